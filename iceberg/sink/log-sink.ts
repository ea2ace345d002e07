/**
 * A sink: one loop that moves records of the log into tables, exactly once (DESIGN §4). The writer and the
 * rollup stream are processors plugged into it.
 *
 *   step 1  read positions from the table, check them against table history and log, seek
 *   step 2  collect blocks until rows, bytes or age say so
 *   step 3  write data files, commit them with the new positions (commit-batch.ts), tell the log
 *
 * While step 3 runs, which mostly waits for others, the next batch is collected already. It is worth something
 * only where the commit leaves positions and rules as they were expected; else it is dropped (step 1).
 *
 * Invariants: positions come from the table only; of a batch nothing is written before the last one's fate is
 * known; what is collected is bounded by twice the commit limits plus one poll (by three times as much where a
 * commit makes many files); after `stop` nothing is written, deleted or acknowledged.
 */
import assert from 'node:assert'
import { setTimeout as delay, setImmediate as yieldToEventLoop } from 'node:timers/promises'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import type {
  Clock,
  EventLog,
  IdSource,
  Logger,
  LogReader,
  ObjectStore,
  Service,
  ServiceHealth,
} from '../../kernel/ports.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import type { Catalog } from '../catalog.ts'
import type { ManifestCache } from '../scan/manifest-cache.ts'
import { isCommitDue } from './commit-due.ts'
import { createBlockCheck } from './check-block.ts'
import {
  backoffMs,
  type Batch,
  type CommitEvent,
  type CommitIo,
  commitBatch,
  type CrashHook,
} from './commit-batch.ts'
import { isSamePosition, readPositions } from './positions.ts'
import { readState, startPositions, tableName } from './read-state.ts'
import { SinkHalt } from './sink-halt.ts'
import type {
  LogPosition,
  SinkFill,
  SinkProcessor,
  SinkState,
  TakenBatch,
} from './sink-processor.ts'
import { createSinkStatus, type SinkStatus } from './sink-status.ts'

export type LogSinkConfig = {
  /** Name of the sink for the log: retention and lag displays. */
  readonly group: string
  readonly commitRowsMax: number
  readonly commitBytesMax: number
  /** A commit is begun at the latest this long after its oldest record was received. */
  readonly commitAgeMsMax: number
  readonly pollBytes: number
  readonly pollWaitMs: number
  /** Pause after a small poll, so that records gather instead of coming one by one. */
  readonly pollPauseMs: number
  /** Health is red after so many failures in a row … */
  readonly failuresMax: number
  /** … or when what was collected isn't committed, or positions aren't read, after this long … */
  readonly overdueMs: number
  /** … or when the oldest record that isn't committed was received this long ago. */
  readonly lagAgeMsMax: number
  /** A sink that has halted looks again so often whether somebody has put things right. */
  readonly haltedLookMs: number
}

export const defaultLogSinkConfig: Omit<LogSinkConfig, 'group'> = {
  commitRowsMax: 500_000,
  commitBytesMax: 128 * 1024 * 1024,
  commitAgeMsMax: 4_000,
  pollBytes: 4 * 1024 * 1024,
  pollWaitMs: 250,
  pollPauseMs: 20,
  failuresMax: 5,
  overdueMs: 45_000,
  lagAgeMsMax: 60_000,
  haltedLookMs: 10_000,
}

export type LogSinkPorts = {
  readonly log: EventLog
  readonly catalog: Catalog
  readonly store: ObjectStore
  readonly manifests: ManifestCache
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly processor: SinkProcessor
  /** For simulation: time that passes from a seed. 0 ms means: let others run. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  /** For tests: killed (never resolves) or paused at a crash point. */
  readonly onCrashPoint?: CrashHook
}

export type LogSink = Service & { status(): SinkStatus }

/** Longest stretch of decoding before other work of the process gets its turn. */
const sliceMs = 8
const lagRefreshMs = 1_000

export function createLogSink(ports: LogSinkPorts & { config: LogSinkConfig }): LogSink {
  const { log, catalog, clock, ids, logger, processor, config } = ports
  assert(processor.tables.length > 0, 'a sink writes at least one table')
  /** Raised by stop: no new batch. */
  const stopping = new AbortController()
  /** Raised at the deadline: nothing more at all. */
  const ending = new AbortController()
  const status = createSinkStatus(clock, config)
  const sleepPort = ports.sleep ?? realSleep
  const sleep = async (ms: number): Promise<void> => {
    await sleepPort(ms, ending.signal)
    throwIfEnded()
  }
  const onCrashPoint: CrashHook = ports.onCrashPoint ?? (() => {})
  let running: Promise<void> | null = null
  let reader: LogReader | null = null
  let isReaderSuspect = false
  /** Ends of the log partitions, at most `lagRefreshMs` old. */
  let endsSeen: ReadonlyMap<number, number> = new Map()
  let areEndsKnown = false

  function throwIfEnded(): void {
    if (ending.signal.aborted) throw new PotokError('ShuttingDown', 'the sink was told to stop')
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await follow(await begin())
      } catch (error) {
        if (ending.signal.aborted) break
        if (isReaderSuspect) await closeReader()
        if (error instanceof SinkHalt) {
          await halt(error)
          continue
        }
        reportFailure(error)
        await sleepPort(backoffMs(ids, status.failuresInRow()), stopping.signal)
      }
    }
    await closeReader()
  }

  /**
   * Nothing is read, written or decided until the cause has gone: then a reset needs no restart. A reader of
   * a log that was replaced is one of the old log. Else the sink stays in its group: gone from it, the others
   * would take its log partitions and halt as well.
   */
  async function halt(error: SinkHalt): Promise<void> {
    const isNew = status.snapshot().lastError !== error.message
    status.halted(error)
    if (isNew) logger.error({ group: config.group, ...error.context }, error.message)
    if (error.case === 'log_replaced') await closeReader()
    await sleepPort(config.haltedLookMs, stopping.signal)
  }

  /** Step 1. */
  async function begin(): Promise<{ state: SinkState; assignment: readonly number[] }> {
    status.beginning()
    const stored = await readState({ catalog, clock, sleep }, processor.tables)
    isReaderSuspect = true
    reader ??= await log.openReader({ group: config.group })
    const assignment = [...reader.assignment()]
    const positions = await checkedPositions(stored, assignment)
    for (const logPartition of assignment) {
      const position = positions.get(logPartition)
      if (position === undefined) {
        throw new PotokError('Unavailable', 'the log does not list a partition that it assigned', {
          context: { logPartition },
        })
      }
      const { nextOffset } = position
      if (stored.positions.size === 0 && nextOffset > 0) {
        logger.warn(
          { group: config.group, logPartition, nextOffset },
          'an empty table begins where the log begins: records before that are gone',
        )
      }
      await reader.seek(logPartition, nextOffset)
    }
    isReaderSuspect = false
    const state = { ...stored, positions }
    processor.begin(state)
    status.begun(positions, assignment)
    return { state, assignment }
  }

  async function checkedPositions(
    stored: SinkState,
    assignment: readonly number[],
  ): Promise<Map<number, LogPosition>> {
    try {
      return startPositions(stored, await log.identity(), await log.ranges(), assignment)
    } catch (error) {
      if (!(error instanceof SinkHalt)) throw error
      // Another writer may have committed, and retention followed it, since the tables were loaded.
      const now = await readState({ catalog, clock, sleep }, processor.tables)
      const isStale = [...now.positions].some(
        ([p, at]) => !isSamePosition(at, stored.positions.get(p)),
      )
      if (!isStale) throw error
      throw new PotokError('Unavailable', 'positions moved while they were read', { cause: error })
    }
  }

  /** Steps 2 and 3, over and over; returns where step 1 is due again. */
  async function follow(begun: { state: SinkState; assignment: readonly number[] }): Promise<void> {
    const { assignment } = begun
    let commit: Promise<SinkState | null> = Promise.resolve(begun.state)
    let starts: ReadonlyMap<number, number> = new Map(
      assignment.map((p) => [p, (begun.state.positions.get(p) as LogPosition).nextOffset]),
    )
    for (;;) {
      const next = await collectBeside(commit, starts, assignment)
      if (next === null) return
      commit = commitTaken(next.state, assignment, next.ends, processor.take())
      starts = next.ends
    }
  }

  /** The next batch and the state to commit it on; null: back to step 1. Ends when both have ended. */
  async function collectBeside(
    commit: Promise<SinkState | null>,
    starts: ReadonlyMap<number, number>,
    assignment: readonly number[],
  ): Promise<{ state: SinkState; ends: ReadonlyMap<number, number> } | null> {
    const abandoning = new AbortController()
    const abandonUnless = (state: SinkState | null): SinkState | null => {
      if (state === null) abandoning.abort()
      return state
    }
    const committing = commit.then(abandonUnless, (error: unknown) => {
      abandoning.abort()
      throw error
    })
    const collecting = collect(starts, assignment, abandoning.signal).finally(() => status.paused())
    const [committed, collected] = await Promise.allSettled([committing, collecting])
    status.resumed()
    // What went wrong with a commit says more, and may be a reason to halt.
    if (committed.status === 'rejected') throw committed.reason
    if (collected.status === 'rejected') throw collected.reason
    if (committed.value === null || collected.value === null) return null
    return { state: committed.value, ends: collected.value }
  }

  /** Step 3. The state to go on from; null where rows collected since `begin` can't be committed on it. */
  async function commitTaken(
    state: SinkState,
    assignment: readonly number[],
    ends: ReadonlyMap<number, number>,
    taken: TakenBatch,
  ): Promise<SinkState | null> {
    const batch = await stage(state, assignment, ends, taken)
    const outcome = await commitBatch(commitIo(), batch, state)
    if (outcome.kind === 'superseded') {
      status.superseded()
      logger.info({ group: config.group }, 'positions moved or rebase refused: reading again')
      return null
    }
    taken.committed()
    status.committed(batch)
    await acknowledge(batch)
    const next = outcome.state
    const isOurs = assignment.every((p) => isSamePosition(next.positions.get(p), batch.ends.get(p)))
    // Rows collected since `begin` are filtered by its state: it must still hold.
    return isOurs && processor.canRebase(next) ? next : null
  }

  /** Step 2. Next offset per log partition; null where there is nothing to commit before step 1. */
  async function collect(
    starts: ReadonlyMap<number, number>,
    assignment: readonly number[],
    abandoned: AbortSignal,
  ): Promise<ReadonlyMap<number, number> | null> {
    assert(reader !== null)
    const signal = AbortSignal.any([stopping.signal, abandoned])
    const ends = new Map(starts)
    let fill: SinkFill = { rows: 0, bytes: 0, oldestReceivedAtUs: null }
    let firstMs: number | null = null
    while (!signal.aborted) {
      if (!isSameAssignment(reader.assignment(), assignment)) return null
      const waitMs = firstMs === null ? config.pollWaitMs : Math.min(config.pollWaitMs, 100)
      const blocks = await poll(reader, waitMs, signal)
      let polledBytes = 0
      let sliceStartMs = clock.nowMs()
      const check = createBlockCheck(log)
      for (const block of blocks) {
        if (!(await check.continues(block, ends))) return null
        polledBytes += block.values.byteLength
        fill = processor.add(block)
        ends.set(block.logPartition, block.nextOffset)
        status.read(block)
        firstMs ??= clock.nowMs()
        if (clock.nowMs() - sliceStartMs >= sliceMs) {
          await sleep(0)
          sliceStartMs = clock.nowMs()
        }
      }
      const nowMs = clock.nowMs()
      // A clock set back must not keep a batch from ever being due.
      if (firstMs !== null && firstMs > nowMs) firstMs = nowMs
      status.collected(fill.rows, firstMs)
      await lookAtEnds(nowMs)
      const isCaughtUp = assignment.every((p) => (ends.get(p) ?? 0) >= (endsSeen.get(p) ?? 0))
      // Not after any poll that gave nothing: where each batch fails, all is waiting still.
      const isIdle = firstMs === null && isCaughtUp && areEndsKnown
      if (firstMs !== null) {
        const moment = { firstMs, nowMs, isCaughtUp, lastCommitMs: status.lastCommitMs() }
        if (isCommitDue(config, fill, moment)) return ends
      }
      if (isIdle) status.idle()
      const isSmall = polledBytes < config.pollBytes / 8
      if (isCaughtUp && isSmall && blocks.length > 0) await sleepPort(config.pollPauseMs, signal)
    }
    return firstMs === null || abandoned.aborted ? null : ends
  }

  async function poll(
    from: LogReader,
    maxWaitMs: number,
    signal: AbortSignal,
  ): Promise<RecordBlock[]> {
    try {
      return await from.poll({ maxWaitMs, maxBytes: config.pollBytes, signal })
    } catch (error) {
      if (signal.aborted) return []
      isReaderSuspect = true
      throw error
    }
  }

  async function stage(
    state: SinkState,
    assignment: readonly number[],
    ends: ReadonlyMap<number, number>,
    taken: TakenBatch,
  ): Promise<Batch> {
    // CRASH POINT 1: collected, nothing written. Read again at the next start.
    await onCrashPoint(1)
    status.committing()
    const stored = readPositions(state.properties)
    const starts = new Map<number, LogPosition>()
    const newPositions = new Map<number, LogPosition>()
    for (const [logPartition, start] of state.positions) {
      // Positions of other writers are theirs; those never stored are stored with the first commit.
      if (stored.has(logPartition) && !assignment.includes(logPartition)) continue
      starts.set(logPartition, start)
      const nextOffset = ends.get(logPartition) ?? start.nextOffset
      assert(nextOffset >= start.nextOffset, 'a position never goes back')
      const seen = taken.eventTimeUsMax.get(logPartition) ?? null
      newPositions.set(logPartition, {
        ...start,
        nextOffset,
        eventTimeUsMax: maxOrNull(start.eventTimeUsMax, seen),
      })
    }
    throwIfEnded()
    const staged = await taken.stage()
    // CRASH POINT 2: data files written, nothing refers to them. They are orphans.
    await onCrashPoint(2)
    return { commitId: ids.uuid(), staged, stored, starts, ends: newPositions }
  }

  function commitIo(): CommitIo {
    const { store, manifests } = ports
    return {
      catalog,
      store,
      manifests,
      clock,
      ids,
      logger,
      sleep,
      onCrashPoint,
      signal: ending.signal,
      canRebase: (current) => processor.canRebase(current),
      chosenBy: processor.chosenBy,
      report: (event: CommitEvent, error?: unknown) => {
        status.event(event)
        const fields = { group: config.group, error: error && describeError(error) }
        if (event === 'conflict') logger.info(fields, 'commit conflict: looking')
        else if (event === 'unknown') logger.warn(fields, 'outcome of a commit unknown: looking')
        else if (event === 'unknown_resolved') logger.info(fields, 'the commit is in')
        else reportFailure(error)
      },
    }
  }

  async function acknowledge(batch: Batch): Promise<void> {
    throwIfEnded()
    try {
      // Of log partitions that it doesn't have (any more) others tell, who may be further on.
      const owned = new Set(reader?.assignment())
      const ends = [...batch.ends].filter(([logPartition]) => owned.has(logPartition))
      if (ends.length === 0) return
      await reader?.acknowledge(new Map(ends.map(([p, end]) => [p, end.nextOffset])))
    } catch (error) {
      // Displays and retention only: the next acknowledgement covers this one.
      logger.warn(
        { group: config.group, error: describeError(error) },
        'the log took no acknowledgement',
      )
    }
  }

  /** Once in a while: for the display of lag, and to know whether the log is read to its end. */
  async function lookAtEnds(nowMs: number): Promise<void> {
    if (!status.isLagStale(nowMs, lagRefreshMs)) return
    try {
      const ranges = await log.ranges()
      areEndsKnown = true
      endsSeen = new Map(ranges.map((range) => [range.logPartition, range.endOffset]))
      status.lag(ranges, nowMs)
    } catch (error) {
      areEndsKnown = false
      status.lagUnknown(nowMs)
      logger.warn({ group: config.group, error: describeError(error) }, 'the lag is unknown')
    }
  }

  function reportFailure(error: unknown): void {
    status.failed(error)
    const kind = isPotokError(error) ? error.kind : 'unexpected'
    logger.error(
      { group: config.group, kind, error: describeError(error) },
      'the sink failed; it tries again',
    )
  }

  async function closeReader(): Promise<void> {
    const open = reader
    reader = null
    try {
      await open?.close()
    } catch (error) {
      logger.warn(
        { group: config.group, error: describeError(error) },
        'closing the log reader failed',
      )
    }
  }

  return {
    async start() {
      assert(running === null, 'a sink is started once')
      running = run()
    },

    async stop(deadlineMs) {
      stopping.abort()
      if (running === null) return
      const timer = new AbortController()
      const deadline = sleepPort(Math.max(0, deadlineMs), timer.signal)
      await Promise.race([running, deadline])
      timer.abort()
      ending.abort()
      status.stopped()
    },

    health(): ServiceHealth {
      return status.health(processor.tables.map((identifier) => tableName({ identifier })))
    },

    status: () => status.snapshot(),
  }
}

function isSameAssignment(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((logPartition) => b.includes(logPartition))
}

function maxOrNull(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b
  return Math.max(a, b)
}

/** Resolves at the end of the time or as soon as the signal is raised, whichever is first. */
async function realSleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  if (ms === 0) {
    await yieldToEventLoop()
    return
  }
  try {
    await delay(ms, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
