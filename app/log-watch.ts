/**
 * Whether the log takes appends, for the readiness of those who append: by what the last appends met with,
 * and, where none comes (a balancer sends nothing to who isn't ready), by asking the log for its ends.
 * Nothing is appended for a test: it would be a record.
 */
import { describeError, PotokError } from '../kernel/errors.ts'
import type { Clock, EventLog, ServiceHealth } from '../kernel/ports.ts'

export type LogWatch = {
  /** The same log, with its appends watched. */
  readonly log: EventLog
  health(): ServiceHealth
}

/** After so long a failed append says nothing any more: the next one shall be tried. */
const failureMsMax = 10_000
const lookMs = 2_000
const answerMsMax = 10_000

export function watchLog(log: EventLog, clock: Clock): LogWatch {
  let failed: { atMs: number; error: string } | null = null
  let failures = 0
  let lookFailed: string | null = null
  let lookedAtMs = Number.NEGATIVE_INFINITY
  let looking: { sinceMs: number } | null = null

  async function append(records: Parameters<EventLog['append']>[0]): Promise<void> {
    try {
      await log.append(records)
      failed = null
    } catch (error) {
      // A batch that is too large says nothing of the log.
      const isSenders = error instanceof PotokError && error.kind === 'TooLarge'
      if (!isSenders) {
        failures++
        failed = { atMs: clock.nowMs(), error: describeError(error) }
      }
      throw error
    }
  }

  function look(nowMs: number): void {
    if (looking !== null || nowMs - lookedAtMs < lookMs) return
    lookedAtMs = nowMs
    looking = { sinceMs: nowMs }
    log
      .ranges()
      .then(
        () => (lookFailed = null),
        (error: unknown) => (lookFailed = describeError(error)),
      )
      .finally(() => (looking = null))
      .catch(() => undefined)
  }

  return {
    log: {
      identity: () => log.identity(),
      get partitionCount() {
        return log.partitionCount
      },
      append,
      ranges: () => log.ranges(),
      openReader: (options) => log.openReader(options),
      close: () => log.close(),
    },
    health() {
      const nowMs = clock.nowMs()
      look(nowMs)
      const details = { appendsFailed: failures }
      const red = (why: string): ServiceHealth => ({ ok: false, reason: why, details })
      if (failed !== null && nowMs - failed.atMs < failureMsMax) {
        return red(`the log does not take appends: ${failed.error}`)
      }
      const silentMs = looking === null ? 0 : nowMs - looking.sinceMs
      if (silentMs > answerMsMax) {
        return red(`the log has not answered for ${Math.round(silentMs / 1_000)} s`)
      }
      if (lookFailed !== null) return red(`the log does not answer: ${lookFailed}`)
      return { ok: true, details }
    },
  }
}
