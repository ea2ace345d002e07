/**
 * MQTT in front of the intake, whichever source the messages come from: the broker of this process, or a
 * subscription on another. It only holds the two together and says how they are.
 */
import { describeError } from '../../kernel/errors.ts'
import type { MessageSource } from '../../kernel/message-source.ts'
import type { Clock, Logger, Service } from '../../kernel/ports.ts'
import type { Intake } from '../gateway/intake.ts'
import { createMessageTaker, type MessageTakerOptions } from './take-message.ts'

export type MqttIntakeOptions = {
  readonly source: MessageSource
  readonly intake: Intake
  readonly clock: Clock
  readonly logger: Logger
  readonly sleep?: MessageTakerOptions['sleep']
}

/** One line in the log for so long, however many messages wait. */
const complaintMsMin = 10_000

export function createMqttIntake(options: MqttIntakeOptions): Service {
  const { source, intake, clock, logger, sleep } = options
  let failing: { readonly sinceMs: number; error: string } | null = null
  let complainedAtMs = Number.NEGATIVE_INFINITY
  let taken = 0
  let retries = 0

  function onFailure(error: unknown): void {
    retries++
    const nowMs = clock.nowMs()
    failing = { sinceMs: failing?.sinceMs ?? nowMs, error: describeError(error) }
    if (nowMs - complainedAtMs < complaintMsMin) return
    complainedAtMs = nowMs
    logger.warn(
      { error: failing.error },
      'MQTT messages wait unacknowledged: the log takes nothing',
    )
  }

  const take = createMessageTaker({
    intake,
    onFailure,
    ...(sleep === undefined ? {} : { sleep }),
  })

  return {
    start: () =>
      source.open(async (message, signal) => {
        await take(message, signal)
        taken++
        failing = null
      }),
    stop: (deadlineMs) => source.close(deadlineMs),
    health() {
      const { ok, reason, details } = source.health()
      const all = { ...details, taken, retries }
      if (!ok) return { ok, ...(reason === undefined ? {} : { reason }), details: all }
      if (failing === null) return { ok: true, details: all }
      const seconds = Math.round((clock.nowMs() - failing.sinceMs) / 1_000)
      const why = `messages wait unacknowledged for ${seconds} s: ${failing.error}`
      return { ok: false, reason: why, details: all }
    },
  }
}
