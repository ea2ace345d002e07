/**
 * Takes bodies of events in: finds the items, judges each one, appends the good and the bad ones to the log
 * together. Knows nothing of HTTP; MQTT and replay use it too.
 *
 * Invariants
 * - `accept` resolves only after the log has everything durably. Before that nothing is acknowledged, and
 *   what was refused as a whole left no trace in the log.
 * - One body is one append: all of its items are kept or none, accepted and rejected alike.
 * - An item is judged alone; a bad one never takes a good one with it. Only a body that can't be divided
 *   into items (no valid JSON document, nothing in it) is refused as a whole. Where nobody can be told of it
 *   (MQTT), the caller has it kept as one rejected item.
 * - Where the transport vouches for a camera (a topic that only it may publish to), an event of another one is
 *   rejected, and an event that names none is the camera's.
 * - Under the plate policy `keep` and without a mapping the camera's own bytes are what is kept.
 * - Memory is bounded by the byte budget; the event loop is left free every few thousand items.
 */
import { defaultDetectionRules, type DetectionRules } from '../../kernel/detection.ts'
import {
  describeError,
  type ErrorKind,
  errorPolicy,
  isPotokError,
  PotokError,
} from '../../kernel/errors.ts'
import { createPlatePolicy, type PlatePolicy } from '../../kernel/plate-policy.ts'
import type { Clock, EventLog, Logger, LogRecord } from '../../kernel/ports.ts'
import type { RejectReason } from '../../kernel/record-block.ts'
import { createByteBudget, type ByteBudget, type Reservation } from './byte-budget.ts'
import { defaultIntakeLimits, type IntakeLimits } from './intake-limits.ts'
import { sniffFormat, type BodyFormat } from './item-cursor.ts'
import {
  createItemJudge,
  type IntakeSource,
  type RefusedBody,
  type RejectedItem,
} from './judge-items.ts'
import type { Mapping } from './mapping.ts'

export type IntakeOptions = {
  readonly log: EventLog
  readonly clock: Clock
  readonly logger: Logger
  readonly rules?: DetectionRules
  readonly platePolicy?: PlatePolicy
  readonly mapping?: Mapping | null
  /** Further fields that stay out of event ids computed here (policies other than `keep`). */
  readonly eventIdExcludedFields?: readonly string[]
  readonly limits?: Partial<IntakeLimits>
  /** Called once for each body, whatever became of it. */
  readonly onMetrics?: (measurement: IntakeMeasurement) => void
}

export type IntakeMeasurement = {
  readonly source: IntakeSource
  /** `accepted`: at least one item is in the log as a detection; else why not. */
  readonly outcome: 'accepted' | 'rejected' | 'refused' | 'unavailable'
  readonly bodyBytes: number
  readonly accepted: number
  readonly rejected: Readonly<Partial<Record<RejectReason, number>>>
  /** Seconds in all, and of them waiting for the log. */
  readonly seconds: number
  readonly appendSeconds: number
}

export type IntakeResult = { readonly accepted: number; readonly rejected: readonly RejectedItem[] }

export type Intake = {
  readonly limits: IntakeLimits
  readonly budget: ByteBudget
  readonly clock: Clock
  readonly logger: Logger
  /**
   * `body` must not be changed until the promise settles. `reservation` is one that the caller opened for
   * the body's bytes; it is released here, when the log is done with them.
   * InvalidInput, TooLarge: nothing was kept. Overloaded, ShuttingDown: nothing was kept, send again.
   * Unavailable: the log may have it or not; send again, duplicates are recognised by event_id.
   * `camera` is the one that the transport vouches for.
   */
  accept(
    body: Uint8Array,
    format: BodyFormat | 'unknown',
    source: IntakeSource,
    receivedAtUs: number,
    reservation?: Reservation,
    camera?: string,
  ): Promise<IntakeResult>
  /** Keeps a body that was refused as a whole as one rejected item; resolves as `accept` does. */
  keepRefused(refused: RefusedBody): Promise<void>
  /** Counts a body that was refused before it came to `accept`. */
  countRefusal(error: unknown, source: IntakeSource, bodyBytes: number): void
  /** From now on everything is refused as ShuttingDown; resolves when what is under way has settled. */
  close(): Promise<void>
}

export function createIntake(options: IntakeOptions): Intake {
  const { log, clock, logger, mapping = null } = options
  const rules = options.rules ?? defaultDetectionRules
  const policy = options.platePolicy ?? createPlatePolicy({ mode: 'keep' })
  const limits = { ...defaultIntakeLimits, ...options.limits }
  const budget = createByteBudget(limits.inFlightBytesMax)
  const items = createItemJudge({
    rules,
    policy,
    mapping,
    limits,
    partitionCount: log.partitionCount,
    eventIdExcludedFields: options.eventIdExcludedFields ?? [],
  })
  const underWay = new Set<Promise<unknown>>()
  let isClosing = false

  function report(
    outcome: IntakeMeasurement['outcome'],
    source: IntakeSource,
    bodyBytes: number,
    result: IntakeResult,
    totalMs: number,
    appendMs: number,
  ): void {
    options.onMetrics?.({
      source,
      outcome,
      bodyBytes,
      accepted: result.accepted,
      rejected: countReasons(result.rejected),
      seconds: totalMs / 1_000,
      appendSeconds: appendMs / 1_000,
    })
  }

  async function acceptBody(
    body: Buffer,
    given: BodyFormat | 'unknown',
    source: IntakeSource,
    receivedAtUs: number,
    reservation: Reservation,
    camera: string | null,
    timing: { appendMs: number; isHandedOver: boolean },
  ): Promise<IntakeResult> {
    if (isClosing) throw new PotokError('ShuttingDown', 'potok is shutting down; send again later')
    const format = given === 'unknown' ? sniffFormat(body) : given
    const judged = await items.judge(body, format, source, receivedAtUs, reservation, camera)
    const { records, rejected, accepted } = judged
    if (records.length === 0) throw new PotokError('InvalidInput', 'the body holds no event')
    timing.isHandedOver = true
    const startedMs = clock.nowMs()
    try {
      await append(records, reservation)
    } finally {
      timing.appendMs = clock.nowMs() - startedMs
    }
    return { accepted, rejected }
  }

  /** The reservation is held until the log is done with the bytes, even if the caller waits no longer. */
  async function append(records: LogRecord[], reservation: Reservation): Promise<void> {
    const done = (async () => await log.append(records))().finally(() => reservation.release())
    underWay.add(done)
    const forget = () => underWay.delete(done)
    done.then(forget, forget)
    const outcome = await settledWithin(done, limits.appendTimeoutMs)
    if (outcome.state === 'done') return
    if (outcome.state === 'pending') {
      done.catch((error: unknown) => {
        logger.warn({ error: describeError(error) }, 'an append that had timed out failed')
      })
      const seconds = limits.appendTimeoutMs / 1_000
      throw unknownOutcome(`the event log has not confirmed within ${seconds} s`, undefined)
    }
    // Definite: nothing was kept.
    if (isPotokError(outcome.error) && definiteKinds.has(outcome.error.kind)) throw outcome.error
    logger.error({ error: describeError(outcome.error) }, 'an append to the event log failed')
    throw unknownOutcome('the event log did not confirm', outcome.error)
  }

  async function accept(
    body: Uint8Array,
    format: BodyFormat | 'unknown',
    source: IntakeSource,
    receivedAtUs: number,
    given?: Reservation,
    camera?: string,
  ): Promise<IntakeResult> {
    const startedMs = clock.nowMs()
    const timing = { appendMs: 0, isHandedOver: false }
    const measure = (outcome: IntakeMeasurement['outcome'], result: IntakeResult) => {
      report(outcome, source, body.length, result, clock.nowMs() - startedMs, timing.appendMs)
    }
    const reservation = given ?? budget.open()
    try {
      if (given === undefined) reservation.add(body.length)
      const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
      const result = await acceptBody(
        bytes,
        format,
        source,
        receivedAtUs,
        reservation,
        camera ?? null,
        timing,
      )
      measure(result.accepted > 0 ? 'accepted' : 'rejected', result)
      return result
    } catch (error) {
      // One of a known camera comes back to be kept, and is counted then.
      if (camera === undefined || outcomeOf(error) !== 'refused') measure(outcomeOf(error), nothing)
      throw error
    } finally {
      if (!timing.isHandedOver) reservation.release()
    }
  }

  async function keepRefused(refused: RefusedBody): Promise<void> {
    if (isClosing) throw new PotokError('ShuttingDown', 'potok is shutting down; send again later')
    const record = items.refused(refused)
    const reservation = budget.open()
    try {
      reservation.add(record.value.length)
    } catch (error) {
      reservation.release()
      throw error
    }
    await append([record], reservation)
    options.onMetrics?.({
      source: refused.source,
      outcome: 'rejected',
      bodyBytes: refused.body.length,
      accepted: 0,
      rejected: { [refused.reason]: 1 },
      seconds: 0,
      appendSeconds: 0,
    })
  }

  return {
    limits,
    budget,
    clock,
    logger,
    accept,
    keepRefused,
    countRefusal(error, source, bodyBytes) {
      report(outcomeOf(error), source, bodyBytes, nothing, 0, 0)
    },
    async close() {
      isClosing = true
      await Promise.allSettled(underWay)
    },
  }
}

const definiteKinds: ReadonlySet<ErrorKind> = new Set(['Overloaded', 'ShuttingDown', 'TooLarge'])
const nothing: IntakeResult = { accepted: 0, rejected: [] }

/** Is it the sender's fault, or one that passes? */
function outcomeOf(error: unknown): IntakeMeasurement['outcome'] {
  if (!isPotokError(error)) return 'unavailable'
  const isRefused = error.kind === 'Unsupported' || errorPolicy[error.kind].httpStatus < 500
  return isRefused ? 'refused' : 'unavailable'
}

function unknownOutcome(message: string, cause: unknown): PotokError {
  return new PotokError(
    'Unavailable',
    `${message}: it may have the events or not; send them again, duplicates are recognised`,
    cause === undefined ? {} : { cause },
  )
}

type Settled =
  | { readonly state: 'done' }
  | { readonly state: 'pending' }
  | { readonly state: 'failed'; readonly error: unknown }

async function settledWithin(promise: Promise<void>, timeoutMs: number): Promise<Settled> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<Settled>((resolve) => {
    timer = setTimeout(() => resolve({ state: 'pending' }), timeoutMs)
  })
  const settled = promise.then(
    (): Settled => ({ state: 'done' }),
    (error: unknown): Settled => ({ state: 'failed', error }),
  )
  try {
    return await Promise.race([settled, timeout])
  } finally {
    clearTimeout(timer)
  }
}

function countReasons(rejected: readonly RejectedItem[]): Partial<Record<RejectReason, number>> {
  const counts: Partial<Record<RejectReason, number>> = {}
  for (const { reason } of rejected) counts[reason] = (counts[reason] ?? 0) + 1
  return counts
}
