/**
 * Takes one MQTT message in: the payload is a body as over HTTP, the topic says whose it is.
 *
 * Invariants
 * - It resolves only when the log has the events durably: then the message may be acknowledged.
 * - What can't be read as a whole (broken JSON, damaged gzip, too large) is kept as one rejected item: over
 *   MQTT nobody can be told, and a message that is never acknowledged would come for ever.
 * - While the log takes nothing the message waits here, unacknowledged, with growing pauses. How many wait is
 *   bounded by the source, which hands over no more than it may have unacknowledged.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import type { Message, TakeMessage } from '../../kernel/message-source.ts'
import type { Intake } from '../gateway/intake.ts'
import { formatOfContentType } from '../gateway/item-cursor.ts'
import { inflateBody } from '../gateway/read-body.ts'

const pauseMsMin = 100
const pauseMsMax = 5_000
const cameraCharactersMax = 128

export type MessageTakerOptions = {
  readonly intake: Intake
  /** Waits, or rejects when the signal comes first. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  /** An attempt that failed and will be repeated. */
  readonly onFailure: (error: unknown) => void
}

export function createMessageTaker(options: MessageTakerOptions): TakeMessage {
  const { intake, onFailure } = options
  const sleep = options.sleep ?? ((ms, signal) => delay(ms, undefined, { signal }))
  return async (message, signal) => {
    const receivedAtUs = intake.clock.nowMs() * 1_000
    for (let pauseMs = pauseMsMin; ; pauseMs = Math.min(pauseMs * 2, pauseMsMax)) {
      signal.throwIfAborted()
      try {
        await takeOnce(intake, message, receivedAtUs)
        return
      } catch (error) {
        if (isPotokError(error, 'ShuttingDown')) throw error
        onFailure(error)
      }
      await sleep(pauseMs, signal)
    }
  }
}

/** Up to the first `await` in here nothing waits: the bytes are reserved when it returns. */
async function takeOnce(intake: Intake, message: Message, receivedAtUs: number): Promise<void> {
  const { payload, topic } = message
  // An empty message is how MQTT clears a retained one.
  if (payload.length === 0) return
  const camera = cameraOfTopic(topic)
  const refuse = async (error: PotokError, body: Uint8Array): Promise<void> =>
    await intake.keepRefused({
      reason: error.kind === 'TooLarge' ? 'too_large' : 'unreadable',
      detail: describeError(error),
      body,
      source: 'mqtt',
      camera,
      receivedAtUs,
    })
  if (camera === null) {
    const name = JSON.stringify(topic.slice(0, 200))
    const detail = `the topic ${name} is not kvfv/<kvfv_id>/events with an id of 1 to ${cameraCharactersMax} characters`
    await refuse(new PotokError('InvalidInput', detail), payload)
    return
  }
  let body: Uint8Array = payload
  const reservation = intake.budget.open()
  let isHandedOver = false
  try {
    reservation.add(payload.length)
    // JSON never begins like gzip: no property has to say so.
    if (payload[0] === 0x1f && payload[1] === 0x8b) {
      body = new Uint8Array()
      body = await inflateBody(payload, intake.limits.bodyBytesMax, reservation)
    }
    if (body.length > intake.limits.bodyBytesMax) {
      const why = `the message has ${body.length} bytes, more than ${intake.limits.bodyBytesMax}`
      throw new PotokError('TooLarge', why)
    }
    isHandedOver = true
    await intake.accept(body, formatOf(message), 'mqtt', receivedAtUs, reservation, camera)
  } catch (error) {
    if (!isHandedOver) reservation.release()
    if (!isPotokError(error, 'InvalidInput') && !isPotokError(error, 'TooLarge')) throw error
    await refuse(error, body)
  }
}

function formatOf({ contentType }: Message): 'json' | 'ndjson' | 'unknown' {
  const type = contentType?.split(';')[0] ?? ''
  return formatOfContentType(type) ?? 'unknown'
}

/** Null where the topic is none of ours, or its id can be no camera's. */
export function cameraOfTopic(topic: string): string | null {
  const [first, camera = '', last, ...more] = topic.split('/')
  if (first !== 'kvfv' || last !== 'events' || more.length > 0) return null
  return camera.length > 0 && camera.length <= cameraCharactersMax ? camera : null
}
