/**
 * One batch of a sink into its tables: files and positions in one transaction, tried until it is known to
 * be in or known to be superseded (DESIGN §4 points 3 to 6).
 *
 * Invariants:
 * - Every attempt names the same data files, the same positions and the same commit id, and has a fence
 *   (commit-fence.ts): the snapshots that it was staged on, or the positions that it sets. All attempts on one
 *   base exclude each other: the first one that lands moves both, and a delayed one can't land any more. By
 *   position that holds of attempts on different bases, too. So a batch is in at most once.
 * - Where the stored positions are still our starts, the batch is not in: a commit always moves one. Where
 *   they moved and our commit id isn't in the lineage, somebody else wrote those records.
 * - Nothing is deleted unless every attempt that named it got a definite answer, none can land any more, and
 *   main's lineage was seen back to the base. All else is left to orphan removal.
 *
 * A look that fails is repeated: without it nothing is decided. Only the abort signal ends that.
 */
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import type { Clock, IdSource, Logger, ObjectStore } from '../../kernel/ports.ts'
import { summaryCommitIdKey, summaryOffsetsKey } from '../../kernel/tables.ts'
import { type Catalog, isDefiniteFailure, type LoadedTable, type TableCommit } from '../catalog.ts'
import { mainSnapshotId } from '../spec/schema.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'
import type { ManifestCache } from '../scan/manifest-cache.ts'
import { stageSnapshot } from '../transaction/stage-snapshot.ts'
import { type CommitFence, createCommitFence, type FencedBatch, hasMoved } from './commit-fence.ts'
import {
  encodeOffsets,
  holdsCommit,
  encodePosition,
  lineageOf,
  type OffsetRange,
  positionKey,
} from './positions.ts'
import { readState, type Sleep, stateOf, tableName } from './read-state.ts'
import { SinkHalt } from './sink-halt.ts'
import type { LogPosition, SinkState, StagedTable } from './sink-processor.ts'

export type Batch = FencedBatch & {
  /** In the summary of every snapshot of every attempt: by it a lost answer is cleared up. */
  readonly commitId: string
  readonly staged: readonly StagedTable[]
  /** Where reading began, for the log partitions of `ends`, the positions to store. */
  readonly starts: ReadonlyMap<number, LogPosition>
}

export type CommitOutcome =
  | { readonly kind: 'committed'; readonly state: SinkState }
  /** Somebody else moved the positions, or the processor can't go on top of what is there: back to step 1. */
  | { readonly kind: 'superseded' }

/** Windows in which a crash would hurt if the protocol were wrong; tests kill or pause there. */
export type CrashPoint = 1 | 2 | 3 | 4 | 5
export type CrashHook = (point: CrashPoint) => void | Promise<void>

export type CommitIo = {
  readonly catalog: Catalog
  readonly store: ObjectStore
  readonly manifests: ManifestCache
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  /** Rejects with ShuttingDown when the sink was told to give up. */
  readonly sleep: Sleep
  readonly signal: AbortSignal
  readonly onCrashPoint: CrashHook
  readonly canRebase: (current: SinkState) => boolean
  readonly chosenBy: readonly string[]
  readonly report: (event: CommitEvent, error?: unknown) => void
}
export type CommitEvent = 'conflict' | 'unknown' | 'unknown_resolved' | 'look_failed' | 'failed'

type Attempt = {
  readonly commits: readonly TableCommit[]
  /** Manifests and manifest lists of this attempt alone. */
  readonly written: readonly string[]
  /** By table. */
  readonly snapshotIds: readonly bigint[]
  readonly base: SinkState
  isDefinite: boolean
}

const backoffMsMin = 20
const backoffMsMax = 5_000

export async function commitBatch(
  io: CommitIo,
  batch: Batch,
  base: SinkState,
): Promise<CommitOutcome> {
  const fence = createCommitFence(io.catalog, batch, io.chosenBy)
  let state = base
  let attempt: Attempt | null = null
  let isEveryAttemptDefinite = true
  for (let tries = 0; ; tries++) {
    let isSent = false
    try {
      // The same bytes are sent again while the base stands: fewer orphans, and the look finds either.
      if (attempt === null || !fence.isSameBase(attempt.base, state)) {
        attempt = await stageAttempt(io, batch, state, fence)
      }
      // CRASH POINT 3: manifests written, commit not sent. They are orphans; nothing refers to them.
      await io.onCrashPoint(3)
      throwIfAborted(io.signal)
      isSent = true
      const tables = await io.catalog.commit(attempt.commits)
      // CRASH POINT 4: the commit is in, we don't know it. The next start reads positions from the table.
      await io.onCrashPoint(4)
      const after = await stateAfter(io, batch, tables)
      await deleteReplaced(io, attempt, after)
      return { kind: 'committed', state: after }
    } catch (error) {
      if (error instanceof SinkHalt || io.signal.aborted) throw error
      if (isSent && attempt !== null && !isDefiniteFailure(error)) {
        attempt.isDefinite = false
        isEveryAttemptDefinite = false
        io.report('unknown', error)
      } else {
        io.report(isPotokError(error, 'CommitConflict') ? 'conflict' : 'failed', error)
      }
    }
    // CRASH POINT 5: refused or unknown, not yet looked. Nothing was deleted, so nothing can be missing.
    await io.onCrashPoint(5)
    state = await look(io, batch)
    if (isCommitted(state, batch)) {
      io.report('unknown_resolved')
      return { kind: 'committed', state }
    }
    // A proxy that repeats requests can make a conflict of our own success. So even a definite answer is
    // believed for deleting only where the lineage shows that our commit isn't there.
    const isProvenOut =
      isSeenBackTo(state, base) && (attempt === null || fence.isFencedOut(attempt.base, state))
    if (isProvenOut && attempt?.isDefinite === true) await deleteQuietly(io, attempt.written)
    if (hasMoved(state, batch) || !io.canRebase(state)) {
      if (isProvenOut && isEveryAttemptDefinite) await deleteQuietly(io, dataFilePaths(batch))
      return { kind: 'superseded' }
    }
    await io.sleep(backoffMs(io.ids, tries))
  }
}

async function stageAttempt(
  io: CommitIo,
  batch: Batch,
  state: SinkState,
  fence: CommitFence,
): Promise<Attempt> {
  const summary = {
    [summaryCommitIdKey]: batch.commitId,
    [summaryOffsetsKey]: encodeOffsets(offsetsOf(batch, state)),
  }
  const setProperties: Record<string, string> = {}
  for (const [logPartition, end] of batch.ends) {
    setProperties[positionKey(logPartition)] = encodePosition(end)
  }
  const commits: TableCommit[] = []
  const written: string[] = []
  const snapshotIds: bigint[] = []
  for (const [index, { identifier, dataFiles }] of batch.staged.entries()) {
    const table = state.tables[index]
    if (table === undefined || tableName(table) !== tableName({ identifier })) {
      throw new RangeError('staged tables must be in the order of the processor')
    }
    const staged = await stageSnapshot(io, table, {
      operation: 'append',
      add: [...dataFiles],
      remove: new Set<string>(),
      summary,
      setProperties,
    })
    commits.push(fence.fenced(staged.commit, state, index))
    written.push(...staged.written)
    snapshotIds.push(staged.snapshotId)
  }
  return { commits, written, snapshotIds, base: state, isDefinite: true }
}

/**
 * Every summary names all log partitions, those that stood still with an empty range (positions.ts). Of those
 * that are others' the catalog puts in the present stand where it rebases the snapshot.
 */
function offsetsOf(batch: Batch, state: SinkState): Map<number, OffsetRange> {
  const ranges = new Map<number, OffsetRange>()
  for (const [logPartition, { nextOffset }] of state.positions) {
    ranges.set(logPartition, { startOffset: nextOffset, endOffset: nextOffset })
  }
  for (const [logPartition, end] of batch.ends) {
    const start = batch.starts.get(logPartition) ?? end
    ranges.set(logPartition, { startOffset: start.nextOffset, endOffset: end.nextOffset })
  }
  return ranges
}

/** The tables as they are now, however often the catalog has to be asked. */
async function look(io: CommitIo, batch: Batch): Promise<SinkState> {
  const identifiers = batch.staged.map(({ identifier }) => identifier)
  for (let tries = 0; ; tries++) {
    throwIfAborted(io.signal)
    try {
      return await readState(io, identifiers)
    } catch (error) {
      if (error instanceof SinkHalt || io.signal.aborted) throw error
      io.report('look_failed', error)
    }
    await io.sleep(backoffMs(io.ids, tries))
  }
}

/** The commit's own answer saves a look, unless it was put together from loads at different times. */
async function stateAfter(
  io: CommitIo,
  batch: Batch,
  tables: readonly LoadedTable[],
): Promise<SinkState> {
  const byName = new Map(tables.map((table) => [tableName(table), table]))
  const ordered = batch.staged.flatMap((staged) => byName.get(tableName(staged)) ?? [])
  if (ordered.length !== batch.staged.length) return look(io, batch)
  try {
    return stateOf(ordered)
  } catch (error) {
    if (!(error instanceof SinkHalt)) throw error
    return look(io, batch)
  }
}

function isCommitted(state: SinkState, batch: Batch): boolean {
  const [table] = state.tables
  return table !== undefined && holdsCommit(table.metadata, batch.commitId)
}

/** False where snapshots between the base and now were expired: ours could have been among them. */
function isSeenBackTo(state: SinkState, base: SinkState): boolean {
  return state.tables.every((table, index) => {
    const baseTable = base.tables[index]
    const { snapshots, isComplete } = lineageOf(table.metadata)
    const baseId = baseTable === undefined ? null : mainSnapshotId(baseTable.metadata)
    return isComplete || snapshots.some(({ snapshotId }) => snapshotId === baseId)
  })
}

function dataFilePaths(batch: Batch): string[] {
  return batch.staged.flatMap(({ dataFiles }) => dataFiles.map(({ filePath }) => filePath))
}

/**
 * The catalog has rebased our snapshots: the lists that it wrote took the place of ours, and a merged manifest
 * may have been left out. Nothing else ever names these files, since no attempt can land beside this one.
 */
async function deleteReplaced(io: CommitIo, attempt: Attempt, now: SinkState): Promise<void> {
  const lists = attempt.snapshotIds.map((snapshotId, index) =>
    manifestListOf(now.tables[index]?.metadata, snapshotId),
  )
  if (lists.every((list) => list === undefined || attempt.written.includes(list))) return
  const kept = new Set<string>()
  try {
    for (const list of lists) {
      // Expired already: orphan removal sees to what is left.
      if (list === undefined) return
      kept.add(list)
      for (const { manifestPath } of await io.manifests.manifestList(list)) kept.add(manifestPath)
    }
  } catch (error) {
    const fields = { error: describeError(error) }
    io.logger.warn(fields, 'what a rebase replaced is left to orphan removal')
    return
  }
  const replaced = attempt.written.filter((location) => !kept.has(location))
  await deleteQuietly(io, replaced)
}

function manifestListOf(
  metadata: TableMetadata | undefined,
  snapshotId: bigint,
): string | undefined {
  return metadata?.snapshots.find((one) => one.snapshotId === snapshotId)?.manifestList
}

/** Deleting spares orphan removal some work; it is never worth failing for. */
async function deleteQuietly(io: CommitIo, locations: readonly string[]): Promise<void> {
  if (locations.length === 0 || io.signal.aborted) return
  try {
    await io.store.delete(locations)
  } catch (error) {
    io.logger.warn(
      { error: describeError(error), locations: locations.length },
      'files of a refused commit are left to orphan removal',
    )
  }
}

/** Exponential with jitter of one half, so that rivals don't meet again in step. */
export function backoffMs(ids: IdSource, tries: number): number {
  const full = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(tries, 20))
  return Math.round(full / 2 + (full / 2) * (Number(ids.snapshotId() % 1_024n) / 1_024))
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new PotokError('ShuttingDown', 'the sink was told to stop')
}
