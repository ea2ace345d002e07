/**
 * What a sink knows of itself, for health, `/readyz`, `status` and metrics. Pure bookkeeping: nothing here
 * decides what is read or written. Red health always says why and what to do.
 *
 * Red is: stopped for good; failing again and again, or for long; not yet begun; nothing committed for long
 * though records were read; and behind, by the age of what is not committed or can't be read. A sink that
 * catches up after an outage is behind until it has caught up, and says by how much.
 * A sink that owns no log partition is well: others have them.
 */
import { describeError } from '../../kernel/errors.ts'
import type { Clock, LogRange, ServiceHealth } from '../../kernel/ports.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import type { Batch, CommitEvent } from './commit-batch.ts'
import type { SinkHalt, SinkHaltCase } from './sink-halt.ts'
import type { LogPosition } from './sink-processor.ts'

export type SinkStatus = {
  readonly state: 'starting' | 'running' | 'halted' | 'stopped'
  /** While it is halted. */
  readonly haltCase: SinkHaltCase | null
  /** Committed positions of the log partitions read here. */
  readonly positions: ReadonlyMap<number, LogPosition>
  /** Records in the log behind the committed positions, as last seen; null before the first look. */
  readonly lagRecords: number | null
  readonly rowsCollected: number
  readonly rowsCommitted: number
  readonly filesCommitted: number
  readonly commits: number
  readonly conflicts: number
  readonly superseded: number
  readonly unknownOutcomes: number
  readonly unknownOutcomesResolved: number
  readonly failures: number
  readonly failuresInRow: number
  readonly lastCommitMs: number
  readonly lastCommittedAtMs: number | null
  readonly lastError: string | null
}

type StatusConfig = {
  readonly failuresMax: number
  readonly overdueMs: number
  readonly lagAgeMsMax: number
}

/** A log partition read here. */
type PartitionProgress = {
  /** Read up to here, committed or not. */
  readTo: number
  /** End of the log, as last seen. */
  end: number | null
  /** received_at of the oldest record that is not committed, epoch µs; those of a running commit apart. */
  oldestReceivedAtUs: number | null
  /** The same of the records of the commit that runs. */
  takenReceivedAtUs: number | null
  /** That record isn't read yet: it is no older than the last one that was. */
  isGuess: boolean
  lastReceivedAtUs: number | null
  /** Since when the log has offsets behind `readTo` that it doesn't hand out. */
  waitingSinceMs: number | null
}

export function createSinkStatus(clock: Clock, config: StatusConfig) {
  const current: { -readonly [K in keyof SinkStatus]: SinkStatus[K] } = {
    state: 'starting',
    haltCase: null,
    positions: new Map(),
    lagRecords: null,
    rowsCollected: 0,
    rowsCommitted: 0,
    filesCommitted: 0,
    commits: 0,
    conflicts: 0,
    superseded: 0,
    unknownOutcomes: 0,
    unknownOutcomesResolved: 0,
    failures: 0,
    failuresInRow: 0,
    lastCommitMs: 0,
    lastCommittedAtMs: null,
    lastError: null,
  }
  let halt: SinkHalt | null = null
  let partitions = new Map<number, PartitionProgress>()
  let firstCollectedMs: number | null = null
  /** The same of the batch that is being committed. */
  let firstTakenMs: number | null = null
  /** Since when the log isn't asked, because a whole batch waits for the commit before it. */
  let pausedAtMs: number | null = null
  let commitBeganMs: number | null = null
  let failingSinceMs: number | null = null
  let isBeginning = true
  /** When the loop last got through: positions read, the log asked, a batch committed. */
  let lastTurnMs = clock.nowMs()
  let lagSeenMs: number | null = null
  let hasBegun = false

  const sinceMs = (atMs: number | null): number =>
    atMs === null ? 0 : Math.max(0, clock.nowMs() - atMs)
  const cause = (): string =>
    current.lastError === null ? '' : `; last error: ${current.lastError}`

  function reason(): string | undefined {
    if (halt !== null) return halt.message
    if (current.state === 'stopped') return 'stopped'
    const { failuresInRow } = current
    if (failuresInRow >= config.failuresMax || sinceMs(failingSinceMs) > config.overdueMs) {
      return `failed ${failuresInRow} times in a row, for ${seconds(sinceMs(failingSinceMs))} s, and keeps trying${cause()}`
    }
    const silentMs = commitBeganMs === null ? sinceMs(lastTurnMs) : 0
    if (!hasBegun || (isBeginning && silentMs > config.overdueMs)) {
      return `not begun yet: reading positions from the table, for ${seconds(silentMs)} s${cause()}`
    }
    if (silentMs > config.overdueMs) {
      return `the log has not answered for ${seconds(silentMs)} s${cause()}`
    }
    const overdueMs = sinceMs(firstTakenMs ?? firstCollectedMs)
    if (overdueMs > config.overdueMs) {
      return `nothing committed for ${seconds(overdueMs)} s although records wait: look at the catalog and the object store${cause()}`
    }
    return whatIsBehind()
  }

  function whatIsBehind(): string | undefined {
    let worst: { logPartition: number; ageMs: number; progress: PartitionProgress } | null = null
    for (const [logPartition, progress] of partitions) {
      const ageMs = ageMsOf(progress)
      if (ageMs > (worst?.ageMs ?? config.lagAgeMsMax)) worst = { logPartition, ageMs, progress }
    }
    if (worst === null) return undefined
    const { logPartition, ageMs, progress } = worst
    if (sinceMs(progress.waitingSinceMs) > config.lagAgeMsMax) {
      return `log partition ${logPartition} hands out nothing from offset ${progress.readTo} on, for ${seconds(sinceMs(progress.waitingSinceMs))} s, although it ends at ${progress.end}: a transaction that a producer left open holds records back, or the log doesn't answer${cause()}`
    }
    return `behind: the oldest record not yet committed was received ${seconds(ageMs)} s ago (log partition ${logPartition}); ${current.lagRecords ?? 'unknown'} records to go${cause()}`
  }

  function ageMsOf(progress: PartitionProgress): number {
    const { oldestReceivedAtUs, takenReceivedAtUs, waitingSinceMs } = progress
    const oldestUs = takenReceivedAtUs ?? oldestReceivedAtUs
    const readMs = oldestUs === null ? null : oldestUs / 1_000
    return Math.max(sinceMs(readMs), sinceMs(waitingSinceMs))
  }

  function wirePartitions(): Record<string, Record<string, number | null>> {
    return Object.fromEntries(
      [...partitions].map(([logPartition, progress]) => {
        const position = current.positions.get(logPartition)?.nextOffset ?? progress.readTo
        const { end } = progress
        const lag = end === null ? null : Math.max(0, end - position)
        const ageSeconds = Math.round(ageMsOf(progress) / 1_000)
        return [logPartition, { position, end, lag, ageSeconds }]
      }),
    )
  }

  return {
    beginning(): void {
      isBeginning = true
      commitBeganMs = null
    },
    begun(positions: ReadonlyMap<number, LogPosition>, assignment: readonly number[]): void {
      hasBegun = true
      halt = null
      current.haltCase = null
      current.state = 'running'
      current.rowsCollected = 0
      const known = { partitions, positions: current.positions }
      current.positions = new Map([...positions].filter(([p]) => assignment.includes(p)))
      partitions = new Map()
      for (const [logPartition, { nextOffset: readTo }] of current.positions) {
        const old = known.partitions.get(logPartition)
        const fresh = { readTo, end: old?.end ?? null, oldestReceivedAtUs: null, isGuess: false }
        const none = { takenReceivedAtUs: null, lastReceivedAtUs: null, waitingSinceMs: null }
        const progress = { ...fresh, ...none }
        // What was collected and dropped still waits, unless somebody else has committed it.
        const isSame = known.positions.get(logPartition)?.nextOffset === readTo
        const kept = isSame && old !== undefined ? droppedOf(old) : {}
        partitions.set(logPartition, { ...progress, ...kept, readTo })
      }
      isBeginning = false
      lastTurnMs = clock.nowMs()
      firstCollectedMs = null
      firstTakenMs = null
      commitBeganMs = null
      lagSeenMs = null
    },
    /** A block was taken in. */
    read({ logPartition, nextOffset, count, receivedAtUs }: RecordBlock): void {
      const progress = partitions.get(logPartition)
      if (progress === undefined) return
      progress.readTo = nextOffset
      progress.waitingSinceMs = null
      if (count === 0) return
      if (progress.oldestReceivedAtUs === null || progress.isGuess) {
        progress.oldestReceivedAtUs = receivedAtUs[0] as number
        progress.isGuess = false
      }
      progress.lastReceivedAtUs = receivedAtUs[count - 1] as number
    },
    /** One turn of collecting: the log was asked, and `rows` are collected now. */
    collected(rows: number, firstMs: number | null): void {
      lastTurnMs = clock.nowMs()
      current.rowsCollected = rows
      firstCollectedMs = firstMs
    },
    /** Nothing is collected and nothing waits in the log: whatever failed before is over. */
    idle(): void {
      if (commitBeganMs !== null) return
      for (const progress of partitions.values()) progress.oldestReceivedAtUs = null
      this.succeeded()
    },
    /** What was collected is being committed; what is read from now on is of the next batch. */
    committing(): void {
      commitBeganMs = clock.nowMs()
      firstTakenMs = firstCollectedMs
      firstCollectedMs = null
      current.rowsCollected = 0
      for (const progress of partitions.values()) {
        if (progress.isGuess) continue
        progress.takenReceivedAtUs = progress.oldestReceivedAtUs
        progress.oldestReceivedAtUs = null
        progress.isGuess = true
      }
    },
    /** The log isn't asked until the commit that runs has ended; then `resumed`. */
    paused(): void {
      pausedAtMs = clock.nowMs()
    },
    resumed(): void {
      for (const progress of partitions.values()) {
        if (progress.waitingSinceMs !== null) progress.waitingSinceMs += sinceMs(pausedAtMs)
      }
      pausedAtMs = null
    },
    committed(batch: Batch): void {
      const nowMs = clock.nowMs()
      const files = batch.staged.flatMap(({ dataFiles }) => dataFiles)
      current.positions = new Map(
        [...batch.ends].filter(([logPartition]) => current.positions.has(logPartition)),
      )
      current.rowsCommitted += files.reduce((rows, { recordCount }) => rows + recordCount, 0)
      current.filesCommitted += files.length
      current.commits++
      current.lastCommitMs = commitBeganMs === null ? 0 : Math.max(0, nowMs - commitBeganMs)
      current.lastCommittedAtMs = nowMs
      for (const progress of partitions.values()) {
        progress.takenReceivedAtUs = null
        if (!progress.isGuess) continue
        const isBehind = progress.end !== null && progress.end > progress.readTo
        progress.oldestReceivedAtUs = isBehind ? progress.lastReceivedAtUs : null
      }
      lastTurnMs = nowMs
      firstTakenMs = null
      commitBeganMs = null
      lagSeenMs = null
      this.succeeded()
    },
    superseded(): void {
      current.superseded++
    },
    event(event: CommitEvent): void {
      if (event === 'conflict') current.conflicts++
      if (event === 'unknown') current.unknownOutcomes++
      if (event === 'unknown_resolved') current.unknownOutcomesResolved++
    },
    failed(error: unknown): void {
      current.failures++
      current.failuresInRow++
      current.lastError = describeError(error)
      // What was collected is dropped and collected again: it has waited since the first time.
      failingSinceMs ??= firstTakenMs ?? firstCollectedMs ?? clock.nowMs()
    },
    succeeded(): void {
      current.failuresInRow = 0
      current.lastError = null
      failingSinceMs = null
    },
    failuresInRow: (): number => current.failuresInRow,
    halted(error: SinkHalt): void {
      halt = error
      current.state = 'halted'
      current.haltCase = error.case
      current.lastError = error.message
    },
    stopped(): void {
      if (halt === null) current.state = 'stopped'
    },
    lastCommitMs: (): number => current.lastCommitMs,
    isLagStale: (nowMs: number, ageMs: number): boolean =>
      lagSeenMs === null || nowMs - lagSeenMs >= ageMs || nowMs < lagSeenMs,
    /** The ends could not be looked at: the next look is due as after one that could. */
    lagUnknown(nowMs: number): void {
      lagSeenMs = nowMs
      current.lagRecords = null
    },
    lag(ranges: readonly LogRange[], nowMs: number): void {
      lagSeenMs = nowMs
      current.lagRecords = 0
      for (const { logPartition, endOffset } of ranges) {
        const progress = partitions.get(logPartition)
        const position = current.positions.get(logPartition)
        if (progress === undefined || position === undefined) continue
        progress.end = endOffset
        if (endOffset <= progress.readTo) progress.waitingSinceMs = null
        else progress.waitingSinceMs ??= nowMs
        current.lagRecords += Math.max(0, endOffset - position.nextOffset)
      }
    },
    snapshot: (): SinkStatus => ({ ...current }),
    health(tables: readonly string[]): ServiceHealth {
      const { positions, haltCase, ...figures } = current
      const ages = [...partitions.values()].map(ageMsOf)
      const details = {
        tables,
        ...figures,
        ...(haltCase === null ? {} : { haltCase }),
        lagAgeSeconds: Math.round(Math.max(0, ...ages) / 1_000),
        lastCommitAgeSeconds:
          current.lastCommittedAtMs === null
            ? null
            : Math.round(sinceMs(current.lastCommittedAtMs) / 1_000),
        partitions: wirePartitions(),
        positions: Object.fromEntries([...positions].map(([p, { nextOffset }]) => [p, nextOffset])),
        eventTimeUsMax: Object.fromEntries(
          [...positions].map(([p, { eventTimeUsMax }]) => [p, eventTimeUsMax]),
        ),
      }
      const wrong = reason()
      return wrong === undefined ? { ok: true, details } : { ok: false, reason: wrong, details }
    },
  }
}

/** Of a log partition whose records were dropped: the oldest of them waits on. */
function droppedOf(old: PartitionProgress): PartitionProgress {
  return {
    ...old,
    oldestReceivedAtUs: old.takenReceivedAtUs ?? old.oldestReceivedAtUs,
    takenReceivedAtUs: null,
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000)
}
