/**
 * Puts computed days into the three rollup tables and the ledger: one atomic commit, tried until it is known
 * to be in or known to be lost (DESIGN §5).
 *
 * Invariants:
 * - Every attempt asserts the snapshot of rollup_5m that its days were merged on: no provisional row that the
 *   stream adds meanwhile survives in a sealed window, none in an open window is lost. After a conflict days
 *   whose files changed are merged anew around the same aggregates.
 * - Somebody else's exact run between our base and now ends the attempt (`superseded`): its results may be
 *   newer than ours, and revisions and dirty days have to be decided again.
 * - rollup_5m gets a snapshot by every commit, also without a row: `sealed_until` must not move beneath a
 *   staged commit of the stream that was filtered by the old one.
 * - Files are deleted only where every attempt that named them is known to be lost.
 */
import { isDefiniteFailure, type LoadedTable, type TableCommit } from '../../iceberg/catalog.ts'
import { lineageOf, offsetsToCarryForward } from '../../iceberg/sink/positions.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import { dataFileOf } from '../../iceberg/spec/from-definition.ts'
import { mainSnapshotId } from '../../iceberg/spec/schema.ts'
import { stageSnapshot } from '../../iceberg/transaction/stage-snapshot.ts'
import type { TableDefinition } from '../../kernel/columns.ts'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import {
  type ExactDayResult,
  type PerRollup,
  type RollupName,
  rollupNames,
} from '../../kernel/exact-engine.ts'
import { type Exactness, exactnessProperties, summaryExactRunKey } from '../../kernel/exactness.ts'
import type { WrittenFile } from '../../kernel/ports.ts'
import {
  recomputeRunsTable,
  rollup1dTable,
  rollup1hTable,
  rollup5mTable,
  summaryCommitIdKey,
} from '../../kernel/tables.ts'
import { startOfDayUs } from '../../kernel/time.ts'
import type { PlannedDay } from './plan-recompute.ts'
import { loadRollups, type Rollups, rollupFilesByDay } from './read-sources.ts'
import { type RecomputeConfig, type RecomputePorts, tableIdentifier } from './recompute-ports.ts'

export const rollupDefinitions: PerRollup<TableDefinition> = {
  rollup_5m: rollup5mTable,
  rollup_1h: rollup1hTable,
  rollup_1d: rollup1dTable,
}

export type ComputedDay = {
  readonly planned: PlannedDay
  result: ExactDayResult
  /** Live files that the result replaces: it is good for a commit only while they are the day's files. */
  replaces: PerRollup<readonly string[]>
}

export type DaysCommit = {
  readonly runId: string
  readonly exactness: Exactness
  readonly days: readonly ComputedDay[]
  /** Tables as they were when the days were computed. */
  readonly base: Rollups
  /** `sealed_until` of the base. */
  readonly sealedBeforeUs: number | null
  /** Merges a day anew on other files around the same aggregates. */
  readonly remerge: (
    day: ComputedDay,
    replaces: PerRollup<readonly string[]>,
  ) => Promise<ExactDayResult>
  /** Writes the ledger's row, which says what is committed now. */
  readonly writeLedgerRow: (ledger: LoadedTable) => Promise<WrittenFile[]>
}

export type DaysCommitOutcome = 'committed' | 'superseded'

type Attempt = {
  readonly base: Rollups
  readonly commits: readonly TableCommit[]
  /** Manifests, lists and the ledger's file: of this attempt alone. */
  readonly written: readonly string[]
  /** It was sent once without an answer. */
  isDoubtful: boolean
}

export async function commitDays(
  ports: RecomputePorts,
  config: RecomputeConfig,
  commit: DaysCommit,
  signal: AbortSignal,
): Promise<DaysCommitOutcome> {
  const commitId = ports.ids.uuid()
  /** Data files that only lost attempts named. */
  const superseded: string[] = []
  const days = [...commit.days]
  let rollups = commit.base
  let attempt: Attempt | null = null
  /** An attempt was given up that may still be in, or come in: none of the data files may be deleted. */
  let isInDoubt = false
  const giveUp = async (): Promise<void> => {
    if (isInDoubt || attempt !== null) return
    await deleteQuietly(ports, [...superseded, ...filesOf(days)])
  }

  for (let tries = 1; ; tries++) {
    throwIfAborted(signal)
    let failure: unknown
    let isUnknown = false
    try {
      if (attempt === null) {
        await mergeOnto(ports, commit, days, rollups, superseded)
        attempt = await stageAttempt(ports, commit, days, commitId, rollups)
      }
    } catch (error) {
      await giveUp()
      throw error
    }
    try {
      // CRASH POINT 1: everything is written, nothing refers to it. What is left is for orphan removal.
      ports.onCrashPoint?.(1)
      await ports.catalog.commit(attempt.commits)
      // CRASH POINT 2: the commit is in and nobody was told. The next run finds the days clean.
      ports.onCrashPoint?.(2)
      await deleteQuietly(ports, isInDoubt ? [] : superseded)
      return 'committed'
    } catch (error) {
      failure = error
      isUnknown = !isDefiniteFailure(error)
    }
    // Lost or not known: look before anything is decided.
    rollups = await look(ports, signal)
    if (hasCommit(rollups.rollup_5m, commitId)) return 'committed'
    if (isUnknown) attempt.isDoubtful = true
    // Not in the lineage is proof only where the lineage is seen back to what the attempt asserted, and
    // where nothing of it can be under way any more: refused, or its base has been left.
    const base = attempt.base.rollup_5m
    const isOut =
      isSeenBackTo(rollups.rollup_5m, mainSnapshotId(base.metadata)) &&
      (!attempt.isDoubtful || hasMoved(rollups.rollup_5m, base))
    if (isOut) await deleteQuietly(ports, attempt.written)
    if (isOut || !isUnknown) {
      if (!isOut) isInDoubt = true
      attempt = null
    }
    // Else the same bytes are sent again: on one base only one of all sendings can get in.
    if (otherRunSince(rollups.rollup_5m, commit.base.rollup_5m)) {
      await giveUp()
      return 'superseded'
    }
    const isConflict = isPotokError(failure, 'CommitConflict')
    const isHopeless = !isUnknown && !isConflict
    if (isHopeless || tries >= config.commitAttemptsMax) {
      await giveUp()
      throw new PotokError(
        isUnknown ? 'CommitStateUnknown' : isConflict ? 'CommitConflict' : 'Unavailable',
        `the exact rows could not be committed (attempt ${tries}): ${describeError(failure)}`,
        { cause: failure },
      )
    }
    ports.logger.debug({ tries, error: describeError(failure) }, 'exact commit is tried again')
    if (isUnknown || tries > 3) await ports.sleep(backoffMs(ports, tries), signal)
  }
}

/**
 * Brings each day onto the present files of its day; `unwanted` takes the data files that are not named any
 * more. A day that got its first provisional rows only now, within what is about to be sealed, joins `days`:
 * it is freed of them, and its events, newer than the pinned snapshot, make it dirty.
 */
async function mergeOnto(
  ports: RecomputePorts,
  commit: DaysCommit,
  days: ComputedDay[],
  rollups: Rollups,
  unwanted: string[],
): Promise<void> {
  if (isSameBase(commit.base, rollups)) return
  const present = await presentFiles(ports, rollups)
  for (const day of present.rollup_5m.keys()) {
    const isNewlySealed =
      startOfDayUs(day) < (commit.exactness.sealedUntilUs ?? Number.NEGATIVE_INFINITY) &&
      startOfDayUs(day + 1) > (commit.sealedBeforeUs ?? Number.NEGATIVE_INFINITY)
    if (isNewlySealed && !days.some(({ planned }) => planned.day === day)) {
      days.push(strayDay(day))
    }
  }
  for (const computed of days) {
    const { day } = computed.planned
    const replaces: PerRollup<readonly string[]> = {
      rollup_5m: present.rollup_5m.get(day) ?? [],
      rollup_1h: present.rollup_1h.get(day) ?? [],
      rollup_1d: present.rollup_1d.get(day) ?? [],
    }
    if (rollupNames.every((name) => isSameSet(replaces[name], computed.replaces[name]))) continue
    const before = filesOf([computed])
    computed.result = await commit.remerge(computed, replaces)
    computed.replaces = replaces
    unwanted.push(...before)
  }
}

async function presentFiles(
  ports: RecomputePorts,
  rollups: Rollups,
): Promise<PerRollup<ReadonlyMap<number, readonly string[]>>> {
  return {
    rollup_5m: await rollupFilesByDay(ports, rollups.rollup_5m),
    rollup_1h: await rollupFilesByDay(ports, rollups.rollup_1h),
    rollup_1d: await rollupFilesByDay(ports, rollups.rollup_1d),
  }
}

/** Nobody's rows are computed; those of sealed windows that aren't exact go. */
function strayDay(day: number): ComputedDay {
  return {
    planned: {
      day,
      reason: 'due',
      cameras: [],
      revised: [],
      eventFiles: [],
      isExtended: true,
      isComplete: false,
    },
    result: {
      files: { rollup_5m: null, rollup_1h: null, rollup_1d: null },
      eventsRead: 0,
      cameras: 0,
    },
    replaces: { rollup_5m: [], rollup_1h: [], rollup_1d: [] },
  }
}

async function stageAttempt(
  ports: RecomputePorts,
  commit: DaysCommit,
  days: readonly ComputedDay[],
  commitId: string,
  rollups: Rollups,
): Promise<Attempt> {
  const commits: TableCommit[] = []
  const written: string[] = []
  for (const name of rollupNames) {
    const table = rollups[name]
    const add = dataFiles(days, name, table)
    const remove = new Set(days.flatMap(({ replaces }) => replaces[name]))
    if (name !== 'rollup_5m' && add.length === 0 && remove.size === 0) continue
    const staged = await stageSnapshot(ports, table, {
      operation: remove.size === 0 ? 'append' : 'overwrite',
      add,
      remove,
      summary: {
        [summaryCommitIdKey]: commitId,
        [summaryExactRunKey]: commit.runId,
        ...offsetsToCarryForward(table.metadata),
      },
      ...(name === 'rollup_5m' ? { setProperties: exactnessProperties(commit.exactness) } : {}),
    })
    commits.push(staged.commit)
    written.push(...staged.written)
  }
  const ledger = await ports.catalog.loadTable(tableIdentifier(recomputeRunsTable.name))
  const rows = await commit.writeLedgerRow(ledger)
  const staged = await stageSnapshot(ports, ledger, {
    operation: 'append',
    add: rows.map((file) => dataFileOf(recomputeRunsTable, file, targetOf(ledger))),
    remove: new Set<string>(),
    summary: { [summaryCommitIdKey]: commitId, [summaryExactRunKey]: commit.runId },
  })
  commits.push(staged.commit)
  written.push(...staged.written, ...rows.map(({ location }) => location))
  return { base: rollups, commits, written, isDoubtful: false }
}

function dataFiles(days: readonly ComputedDay[], name: RollupName, table: LoadedTable): DataFile[] {
  return days.flatMap(({ result }) => {
    const file = result.files[name]
    return file === null ? [] : [dataFileOf(rollupDefinitions[name], file, targetOf(table))]
  })
}

function targetOf({ metadata }: LoadedTable): { specId: number; sortOrderId: number } {
  return { specId: metadata.defaultSpecId, sortOrderId: metadata.defaultSortOrderId }
}

/** However often the catalog has to be asked: without an answer nothing may be decided. */
async function look(ports: RecomputePorts, signal: AbortSignal): Promise<Rollups> {
  for (let tries = 1; ; tries++) {
    throwIfAborted(signal)
    try {
      return await loadRollups(ports)
    } catch (error) {
      ports.logger.warn({ error: describeError(error) }, 'the rollup tables can not be looked at')
    }
    await ports.sleep(backoffMs(ports, tries), signal)
  }
}

function hasCommit(table: LoadedTable, commitId: string): boolean {
  return lineageOf(table.metadata).snapshots.some(
    ({ summary }) => summary[summaryCommitIdKey] === commitId,
  )
}

function hasMoved(now: LoadedTable, base: LoadedTable): boolean {
  return mainSnapshotId(now.metadata) !== mainSnapshotId(base.metadata)
}

function isSeenBackTo(now: LoadedTable, baseId: bigint | null): boolean {
  const { snapshots, isComplete } = lineageOf(now.metadata)
  return baseId === null ? isComplete : snapshots.some(({ snapshotId }) => snapshotId === baseId)
}

/** Did an exact run go in since, or can that not be seen? Ours would have been found by its commit id. */
export function otherRunSince(now: LoadedTable, base: LoadedTable): boolean {
  if (now.metadata.tableUuid !== base.metadata.tableUuid) return true
  const baseId = mainSnapshotId(base.metadata)
  if (!isSeenBackTo(now, baseId)) return true
  for (const { snapshotId, summary } of lineageOf(now.metadata).snapshots) {
    if (snapshotId === baseId) return false
    if (summary[summaryExactRunKey] !== undefined) return true
  }
  return false
}

function isSameBase(a: Rollups, b: Rollups): boolean {
  return rollupNames.every(
    (name) => mainSnapshotId(a[name].metadata) === mainSnapshotId(b[name].metadata),
  )
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  const set = new Set(a)
  return a.length === b.length && b.every((value) => set.has(value))
}

export function filesOf(days: readonly ComputedDay[]): string[] {
  return days.flatMap(({ result }) =>
    rollupNames.flatMap((name) => {
      const file = result.files[name]
      return file === null ? [] : [file.location]
    }),
  )
}

/** Deleting spares orphan removal some work; it is never worth failing for. */
export async function deleteQuietly(
  ports: Pick<RecomputePorts, 'store' | 'logger'>,
  locations: readonly string[],
): Promise<void> {
  if (locations.length === 0) return
  try {
    await ports.store.delete(locations)
  } catch (error) {
    ports.logger.warn(
      { error: describeError(error), locations: locations.length },
      'files of a lost exact commit are left to orphan removal',
    )
  }
}

function backoffMs(ports: RecomputePorts, tries: number): number {
  const full = Math.min(5_000, 20 * 2 ** Math.min(tries, 12))
  return Math.round(full / 2 + (full / 2) * (Number(ports.ids.snapshotId() % 1_024n) / 1_024))
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new PotokError('ShuttingDown', 'the exact run was stopped')
}
