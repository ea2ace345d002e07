/**
 * Step 1 of DESIGN §4: the positions and the snapshots they came from, read from the tables and nowhere
 * else, and checked against what the tables' history and the log say. The checks are pure.
 */
import type { Clock, LogIdentity, LogRange } from '../../kernel/ports.ts'
import type { Catalog, LoadedTable, TableIdentifier } from '../catalog.ts'
import {
  isSameLog,
  isSamePosition,
  lineageOf,
  newestSnapshotOffsets,
  readPositions,
} from './positions.ts'
import {
  logReplaced,
  outsideLog,
  positionsMissing,
  rolledBack,
  SinkHalt,
  tablesDisagree,
} from './sink-halt.ts'
import type { LogPosition, SinkState } from './sink-processor.ts'

/** Tables are loaded one after another: a commit in between makes them differ for a moment. */
const loadAttemptsMax = 5

export type Sleep = (ms: number) => Promise<void>
export type StateIo = { readonly catalog: Catalog; readonly clock: Clock; readonly sleep: Sleep }

/** Positions in the result are those stored; fresh log partitions are not among them yet. */
export async function readState(
  io: StateIo,
  identifiers: readonly TableIdentifier[],
): Promise<SinkState> {
  for (let attempt = 1; ; attempt++) {
    const tables: LoadedTable[] = []
    for (const identifier of identifiers) tables.push(await io.catalog.loadTable(identifier))
    try {
      return stateOf(tables)
    } catch (error) {
      const isTransient = error instanceof SinkHalt && error.case === 'tables_disagree'
      if (!isTransient || attempt === loadAttemptsMax) throw error
      await io.sleep(20 * attempt)
    }
  }
}

/** Throws SinkHalt where the tables contradict themselves or each other. */
export function stateOf(tables: readonly LoadedTable[]): SinkState {
  const [first, ...others] = tables
  if (first === undefined) throw new RangeError('a sink needs a table')
  const positions = checkTable(first)
  for (const other of others) {
    const otherPositions = checkTable(other)
    for (const logPartition of new Set([...positions.keys(), ...otherPositions.keys()])) {
      const [a, b] = [positions.get(logPartition), otherPositions.get(logPartition)]
      if (isSamePosition(a, b)) continue
      const detail = `log partition ${logPartition} is at ${describe(a)} and at ${describe(b)}`
      throw tablesDisagree(tableName(first), tableName(other), detail)
    }
  }
  return {
    snapshotId: first.metadata.currentSnapshotId,
    properties: first.metadata.properties,
    positions,
    tables,
  }
}

function checkTable(table: LoadedTable): Map<number, LogPosition> {
  const { metadata } = table
  const positions = readPositions(metadata.properties)
  if (positions.size === 0) {
    if (metadata.snapshots.length > 0) throw positionsMissing(tableName(table))
    return positions
  }
  const lineage = lineageOf(metadata)
  const newest = newestSnapshotOffsets(lineage)
  if (newest === null) {
    // Expired down to snapshots of foreign maintenance: nothing left that could disagree.
    if (!lineage.isComplete) return positions
    throw rolledBack(tableName(table), 'its history on main holds no commit of a sink')
  }
  for (const logPartition of new Set([...positions.keys(), ...newest.ranges.keys()])) {
    const stored = positions.get(logPartition)?.nextOffset
    const ended = newest.ranges.get(logPartition)?.endOffset
    if (stored === ended) continue
    throw rolledBack(
      tableName(table),
      `snapshot ${newest.snapshotId} ends at offset ${ended ?? 'none'} of log partition ${logPartition}, the stored position is ${stored ?? 'none'}`,
    )
  }
  return positions
}

/**
 * Where to read on: stored positions checked against the log, and beginnings for the assigned partitions that
 * have none. A table that is altogether fresh begins at the log's start, in all partitions; its first commit
 * then stores all of them, so that a second writer with other partitions finds them. A partition that came
 * later begins at 0: nobody else could have read what is missing before the log's start. Whoever has it
 * stores its first position; the others leave it alone, or both would be in each other's way.
 */
export function startPositions(
  state: SinkState,
  identity: LogIdentity,
  ranges: readonly LogRange[],
  assignment: readonly number[],
): Map<number, LogPosition> {
  const table = tableName(state.tables[0] as LoadedTable)
  const isFresh = state.positions.size === 0
  const logEpoch = Math.max(0, ...[...state.positions.values()].map((p) => p.logEpoch))
  const positions = new Map(state.positions)
  for (const range of ranges) {
    const { logPartition } = range
    const stored = positions.get(logPartition)
    if (stored !== undefined && !isSameLog(stored, identity)) {
      throw logReplaced(table, logPartition, stored, identity)
    }
    const isOwn = assignment.includes(logPartition)
    if (stored === undefined && !isFresh && !isOwn) continue
    const position: LogPosition = stored ?? {
      clusterId: identity.clusterId,
      topic: identity.topic,
      topicId: identity.topicId,
      logEpoch,
      nextOffset: isFresh ? range.startOffset : 0,
      eventTimeUsMax: null,
    }
    if (isOwn) {
      const halt = outsideLog(table, range, position.nextOffset)
      if (halt !== undefined) throw halt
    }
    positions.set(logPartition, position)
  }
  return positions
}

export function tableName(table: { readonly identifier: TableIdentifier }): string {
  return [...table.identifier.namespace, table.identifier.name].join('.')
}

function describe(position: LogPosition | undefined): string {
  return position === undefined ? 'none' : `${position.logEpoch}/${position.nextOffset}`
}
