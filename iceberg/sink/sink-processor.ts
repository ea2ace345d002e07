/**
 * What a sink (writer, rollup stream) plugs into `log-sink.ts`, which owns the protocol of DESIGN §4:
 * positions in the table, one commit of files and positions, fences, unknown outcomes.
 */
import type { RecordBlock } from '../../kernel/record-block.ts'
import type { LoadedTable, TableIdentifier } from '../catalog.ts'
import type { DataFile } from '../spec/data-file.ts'

/** Kept per log partition in the property `potok.log.position.<partition>`, as JSON in snake case. */
export type LogPosition = {
  readonly clusterId: string
  readonly topic: string
  readonly topicId: string
  readonly logEpoch: number
  readonly nextOffset: number
  /** Greatest event time seen (clock-ahead events apart), epoch µs; null before the first. The watermark is this less the allowed lateness. */
  readonly eventTimeUsMax: number | null
}

/** What a sink begins or rebases from: the first table's state. Positions cover every assigned partition. */
export type SinkState = {
  readonly snapshotId: bigint | null
  readonly properties: Readonly<Record<string, string>>
  readonly positions: ReadonlyMap<number, LogPosition>
  /** All tables of the processor as loaded, in its order: location, spec and sort order for new files. */
  readonly tables: readonly LoadedTable[]
}

export type SinkFill = {
  readonly rows: number
  readonly bytes: number
  /** received_at of the oldest record collected, epoch µs; null where nothing is. */
  readonly oldestReceivedAtUs: number | null
  /** Data files that a commit of it would make, where that is known. */
  readonly files?: number
  /** True ends the batch for a reason of the processor's own (too many distinct days). */
  readonly full?: boolean
}

/** What `stage` has written, per table in the order of `tables`; files not yet committed. */
export type StagedTable = {
  readonly identifier: TableIdentifier
  readonly dataFiles: readonly DataFile[]
}

/** What was collected for one commit, apart from what is added meanwhile. */
export interface TakenBatch {
  /** Greatest event time per log partition. */
  readonly eventTimeUsMax: ReadonlyMap<number, number>
  /** Writes it as data files. May be empty: the positions still move by an empty append. */
  stage(): Promise<StagedTable[]>
  /** The staged files are in: forget them. Not called where they aren't; then `begin` comes next. */
  committed(): void
}

export interface SinkProcessor {
  /** The first table holds the positions that count; all are committed in one transaction and carry the same positions. */
  readonly tables: readonly TableIdentifier[]
  /**
   * Properties of the first table by which it chooses what to stage. They never go back to an earlier value.
   * While they stand, `canRebase` holds.
   */
  readonly chosenBy: readonly string[]
  /** Called at start and whenever the sink goes back to step 1: everything collected is dropped. */
  begin(state: SinkState): void
  /** Takes a block in. Must not fail for bad records: they are values. Gives what is collected now. */
  add(block: RecordBlock): SinkFill
  /** Hands over what was collected: what is added from now on is of the next batch. */
  take(): TakenBatch
  /** May what was staged under the state of `begin` be committed on top of `current`? (Positions are checked by the sink.) */
  canRebase(current: SinkState): boolean
}
