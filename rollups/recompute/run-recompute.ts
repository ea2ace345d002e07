/**
 * One exact run (DESIGN §5): pin, plan, compute day by day, commit; again while there is more.
 *
 * Each round pins anew and puts at most `daysPerCommitMax` days, oldest first, into one atomic commit. A run
 * over a year is therefore many commits, each a whole of its own: it can be stopped between any two, what is
 * sealed is always a prefix of time, and what is left is found again by the next run.
 * Memory: one day at a time in the engine; here only names of files and of dirty cameras.
 */
import { mainSnapshotId } from '../../iceberg/spec/schema.ts'
import type { TableCommit } from '../../iceberg/catalog.ts'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import type { ExactDayResult, PerRollup, RollupName } from '../../kernel/exact-engine.ts'
import { type Exactness, exactnessProperties } from '../../kernel/exactness.ts'
import type { WrittenFile } from '../../kernel/ports.ts'
import type { RecomputedDay, RecomputeRequest } from '../../kernel/recompute.ts'
import { recomputeRunsTable } from '../../kernel/tables.ts'
import { formatDay } from '../../kernel/time.ts'
import {
  type ComputedDay,
  commitDays,
  deleteQuietly,
  filesOf,
  throwIfAborted,
} from './commit-days.ts'
import { ledgerBatch } from './ledger-row.ts'
import {
  type Chunk,
  explainNothing,
  nextChunk,
  type PlanInput,
  type PlannedDay,
  planDays,
  type RecomputePlan,
  settlePlan,
} from './plan-recompute.ts'
import {
  describeDays,
  type PinnedSources,
  pinSources,
  readFacts,
  readSpeedLimits,
  type SourceFacts,
} from './read-sources.ts'
import type { RecomputeConfig, RecomputePorts } from './recompute-ports.ts'

export type RunContext = {
  readonly runId: string
  readonly request: RecomputeRequest
  readonly requestedAtMs: number
  readonly startedAtMs: number
  readonly signal: AbortSignal
  readonly onProgress: (progress: RunProgress) => void
}

export type RunProgress = {
  readonly days: readonly RecomputedDay[]
  readonly daysDone: number
  readonly cameraDays: number
  readonly eventsRead: number
  readonly rowsWritten: number
  readonly sealedUntilUs: number | null
  readonly message: string | null
}

export type RunOutcome = RunProgress & { readonly status: 'done' | 'nothing_to_do' }

/** Rounds that may be lost to other exact runs before this one gives up. */
const supersededMax = 5

export async function runRecompute(
  ports: RecomputePorts,
  config: RecomputeConfig,
  context: RunContext,
): Promise<RunOutcome> {
  const { request, signal } = context
  let progress: RunProgress = {
    days: [],
    daysDone: 0,
    cameraDays: 0,
    eventsRead: 0,
    rowsWritten: 0,
    sealedUntilUs: null,
    message: null,
  }
  const report = (change: Partial<RunProgress>) => {
    progress = { ...progress, ...change }
    context.onProgress(progress)
  }
  const log = await ports.logEnds()
  const doneDays = new Set<number>()
  let superseded = 0
  let committed = false
  for (;;) {
    throwIfAborted(signal)
    report({ message: 'waiting for writer and rollup stream' })
    const pinned = await pinSources(ports, config, log, signal)
    const round = await planRound(ports, config, request, pinned, doneDays)
    const { chunk, input } = round
    report({ sealedUntilUs: input.exactness.sealedUntilUs, message: null })
    if (chunk.days.length === 0 && !isSealMoved(input.exactness, chunk)) {
      if (committed) return { ...progress, status: 'done' }
      const message = explainNothing(input, round.plan)
      await advanceSequence(ports, pinned, input.exactness, chunk.exactness)
      return { ...progress, status: 'nothing_to_do', message }
    }
    const before = progress
    report({
      days: [...before.days, ...chunk.days.map(({ day, cameras }) => ({ day, cameras }))],
      message: `computing ${describeDays(chunk.days)}`,
    })
    const outcome = await computeAndCommit(ports, config, context, pinned, round, (done) =>
      report({
        daysDone: before.daysDone + done.length,
        cameraDays: before.cameraDays + sum(done, ({ result }) => result.cameras),
        eventsRead: before.eventsRead + sum(done, ({ result }) => result.eventsRead),
        rowsWritten: before.rowsWritten + rowsOf(done),
      }),
    )
    if (outcome === 'superseded') {
      progress = before
      if (++superseded > supersededMax) {
        throw new PotokError(
          'CommitConflict',
          `${superseded} rounds were lost to other exact runs; this one gives way`,
        )
      }
      continue
    }
    committed = true
    for (const { day } of chunk.days) doneDays.add(day)
    report({ sealedUntilUs: chunk.sealedUntilUs, message: null })
    if (chunk.isLast) return { ...progress, status: 'done' }
  }
}

export type Round = {
  readonly input: PlanInput
  readonly facts: SourceFacts
  readonly plan: RecomputePlan
  readonly chunk: Chunk
}

export async function planRound(
  ports: RecomputePorts,
  config: RecomputeConfig,
  request: RecomputeRequest,
  pinned: PinnedSources,
  doneDays: ReadonlySet<number>,
): Promise<Round> {
  const facts = await readFacts(ports, pinned)
  const input: PlanInput = {
    request,
    nowUs: ports.clock.nowMs() * 1_000,
    latenessUsMax: config.latenessUsMax,
    exactness: facts.exactness,
    pinnedSequence: pinned.snapshot?.sequenceNumber ?? 0,
    days: facts.days,
    doneDays,
  }
  const dayPlan = planDays(input)
  const camerasOf = new Map<number, readonly string[]>()
  for (const { day, newFiles, beforeUs, isWhole } of dayPlan.candidates) {
    if (newFiles.length === 0 || (isWhole && request.cameras === null)) continue
    camerasOf.set(day, await ports.engine.camerasIn(newFiles, beforeUs))
  }
  const plan = settlePlan(request, dayPlan, camerasOf)
  return { input, facts, plan, chunk: nextChunk(input, plan, config.daysPerCommitMax) }
}

function isSealMoved(exactness: Exactness, chunk: Chunk): boolean {
  return chunk.sealedUntilUs !== exactness.sealedUntilUs
}

async function computeAndCommit(
  ports: RecomputePorts,
  config: RecomputeConfig,
  context: RunContext,
  pinned: PinnedSources,
  { facts, chunk, input }: Round,
  onDay: (done: readonly ComputedDay[]) => void,
): Promise<'committed' | 'superseded'> {
  const speedLimits = await readSpeedLimits(ports)
  const sealedUntilUs = chunk.sealedUntilUs ?? Number.NEGATIVE_INFINITY
  const computedAtUs = ports.clock.nowMs() * 1_000
  const compute = (
    planned: PlannedDay,
    existing: PerRollup<readonly string[]>,
    previous: ExactDayResult | null,
  ): Promise<ExactDayResult> =>
    ports.engine.computeDay(
      {
        day: planned.day,
        source:
          previous === null
            ? { kind: 'events', files: planned.eventFiles }
            : { kind: 'computed', files: locationsOf(previous) },
        cameras: planned.cameras,
        sealedUntilUs,
        existing,
        revised: planned.revised,
        sourceSnapshotId: pinned.snapshot?.snapshotId ?? 0n,
        computedAtUs,
        latenessUsMax: config.latenessUsMax,
        speedLimits,
        locationOf: (name) => newLocation(ports, pinned, name, planned.day),
      },
      context.signal,
    )

  const days: ComputedDay[] = []
  try {
    for (const planned of chunk.days) {
      throwIfAborted(context.signal)
      const replaces = existingOf(facts, planned.day)
      days.push({ planned, replaces, result: await compute(planned, replaces, null) })
      onDay(days)
    }
  } catch (error) {
    // Nobody was told of these files.
    await deleteQuietly(ports, filesOf(days))
    throw error
  }
  const outcome = await commitDays(
    ports,
    config,
    {
      runId: context.runId,
      exactness: chunk.exactness,
      days,
      base: pinned.rollups,
      sealedBeforeUs: input.exactness.sealedUntilUs,
      remerge: async (computed, replaces) => ({
        ...(await compute(computed.planned, replaces, computed.result)),
        eventsRead: computed.result.eventsRead,
      }),
      writeLedgerRow: (ledger) =>
        writeLedgerRow(ports, context, days, {
          location: ledger.metadata.location,
          sourceSnapshotId: pinned.snapshot?.snapshotId ?? null,
          sealedUntilUs: chunk.sealedUntilUs,
        }),
    },
    context.signal,
  )
  if (outcome === 'committed') onDay(days)
  return outcome
}

function existingOf(facts: SourceFacts, day: number): PerRollup<readonly string[]> {
  return {
    rollup_5m: facts.existing.rollup_5m.get(day) ?? [],
    rollup_1h: facts.existing.rollup_1h.get(day) ?? [],
    rollup_1d: facts.existing.rollup_1d.get(day) ?? [],
  }
}

function locationsOf({ files }: ExactDayResult): PerRollup<string | null> {
  return {
    rollup_5m: files.rollup_5m?.location ?? null,
    rollup_1h: files.rollup_1h?.location ?? null,
    rollup_1d: files.rollup_1d?.location ?? null,
  }
}

function newLocation(
  ports: RecomputePorts,
  pinned: PinnedSources,
  name: RollupName,
  day: number,
): string {
  const { location } = pinned.rollups[name].metadata
  return `${location}/data/window_start_day=${formatDay(day)}/${ports.ids.uuid()}.parquet`
}

async function writeLedgerRow(
  ports: RecomputePorts,
  context: RunContext,
  days: readonly ComputedDay[],
  made: { location: string; sourceSnapshotId: bigint | null; sealedUntilUs: number | null },
): Promise<WrittenFile[]> {
  const batch = ledgerBatch({
    runId: context.runId,
    trigger: context.request.trigger,
    days: days.map(({ planned }) => planned),
    requestedAtUs: context.requestedAtMs * 1_000,
    startedAtUs: context.startedAtMs * 1_000,
    finishedAtUs: ports.clock.nowMs() * 1_000,
    engine: ports.engine.name,
    sourceSnapshotId: made.sourceSnapshotId,
    cameraDays: sum(days, ({ result }) => result.cameras),
    eventsRead: sum(days, ({ result }) => result.eventsRead),
    rowsWritten: rowsOf(days),
    sealedUntilUs: made.sealedUntilUs,
  })
  return ports.parquetWriter.write(
    recomputeRunsTable,
    batch,
    () => `${made.location}/data/${ports.ids.uuid()}.parquet`,
  )
}

/**
 * Nothing is dirty as of the pinned snapshot: the table may remember that, without a snapshot of its own.
 * Otherwise the number would fall behind what events keeps of its history, and days would have to be proven
 * clean by counting. A hint: where it fails, nothing is lost.
 */
async function advanceSequence(
  ports: RecomputePorts,
  pinned: PinnedSources,
  before: Exactness,
  after: Exactness,
): Promise<void> {
  if (before.sealedUntilUs === null || after.sequence <= before.sequence) return
  const { identifier, metadata } = pinned.rollups.rollup_5m
  const commit: TableCommit = {
    identifier,
    requirements: [
      { type: 'assert-table-uuid', uuid: metadata.tableUuid },
      { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: mainSnapshotId(metadata) },
    ],
    updates: [{ action: 'set-properties', updates: exactnessProperties(after) }],
  }
  try {
    await ports.catalog.commit([commit])
  } catch (error) {
    if (!isPotokError(error, 'CommitConflict')) {
      ports.logger.warn(
        { error: describeError(error) },
        'the exact sequence number stays as it was',
      )
    }
  }
}

function rowsOf(days: readonly ComputedDay[]): number {
  return sum(days, ({ result }) =>
    Object.values(result.files).reduce((rows, file) => rows + (file?.recordCount ?? 0), 0),
  )
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}
