/**
 * The port to MQTT: a broker that cameras connect to, or a subscription on somebody else's. Both hand over
 * messages and acknowledge each one when, and only when, it has been taken.
 */
import type { ServiceHealth } from './ports.ts'

export type Message = {
  readonly topic: string
  readonly payload: Uint8Array
  /** As its publisher said it (MQTT 5), or null. */
  readonly contentType: string | null
}

/**
 * Resolves when the log has everything of the message durably, or when nothing in it is to be kept. It waits
 * as long as the log takes nothing, until `signal` says that the message can't be acknowledged any more, and
 * then rejects. A message whose taking was rejected must not be acknowledged: it comes again.
 * `payload` must not be changed until then.
 */
export type TakeMessage = (message: Message, signal: AbortSignal) => Promise<void>

export interface MessageSource {
  /** Begins to hand over. A broker that can't be reached is no error: it is tried again, and `health` says so. */
  open(take: TakeMessage): Promise<void>
  /** Hands over nothing more; acknowledges what is taken within the deadline, and nothing after it. */
  close(deadlineMs: number): Promise<void>
  health(): ServiceHealth
}

/** What a camera publishes to; the level between is its `kvfv_id`. */
export const eventsTopicFilter = 'kvfv/+/events'

export function eventsTopicOf(kvfvId: string): string {
  return `kvfv/${kvfvId}/events`
}
