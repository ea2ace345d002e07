/**
 * The tables of a sink and the log, looked at from outside: what the sink itself would say of them at its
 * beginning, and where its positions and its rows end. For `potok status` and for a reset. Pure.
 */
import type { LogIdentity, LogRange } from '../../kernel/ports.ts'
import type { LoadedTable } from '../catalog.ts'
import { lineageOf, newestSnapshotOffsets, readPositions } from './positions.ts'
import { startPositions, stateOf } from './read-state.ts'
import { SinkHalt } from './sink-halt.ts'
import type { LogPosition } from './sink-processor.ts'

export type LogView = { readonly identity: LogIdentity; readonly ranges: readonly LogRange[] }

export type SinkView = {
  /** For what the sink halts, or would; null: it can go on. */
  readonly halt: SinkHalt | null
  /** As the first table stores them; none where it is fresh, or lost them. */
  readonly positions: ReadonlyMap<number, LogPosition>
  /** Up to where rows are, by the newest snapshot of main that says so; else as stored. */
  readonly heldTo: ReadonlyMap<number, number>
  /** No snapshot and no position: nothing was ever read. */
  readonly isFresh: boolean
}

/** Without a log only what tables say of themselves. The tables must be of one moment. */
export function inspectSink(tables: readonly LoadedTable[], log: LogView | null): SinkView {
  const [first] = tables
  if (first === undefined) throw new RangeError('a sink has a table')
  const positions = readPositions(first.metadata.properties)
  const newest = newestSnapshotOffsets(lineageOf(first.metadata))
  const heldTo = new Map([...positions].map(([p, { nextOffset }]) => [p, nextOffset]))
  for (const [logPartition, { endOffset }] of newest?.ranges ?? []) {
    heldTo.set(logPartition, endOffset)
  }
  const isFresh = positions.size === 0 && first.metadata.snapshots.length === 0
  return { halt: findHalt(tables, log), positions, heldTo, isFresh }
}

function findHalt(tables: readonly LoadedTable[], log: LogView | null): SinkHalt | null {
  try {
    const state = stateOf(tables)
    if (log !== null) {
      const all = log.ranges.map(({ logPartition }) => logPartition)
      startPositions(state, log.identity, log.ranges, all)
    }
    return null
  } catch (error) {
    if (error instanceof SinkHalt) return error
    throw error
  }
}
