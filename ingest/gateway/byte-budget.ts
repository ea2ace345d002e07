/**
 * Bytes of request bodies (and of what is made from them) that may be in memory at once, over all requests.
 * What doesn't fit is refused before any side effect, so that a flood costs senders a retry and not us the
 * process.
 */
import { PotokError } from '../../kernel/errors.ts'

export type ByteBudget = {
  readonly usedBytes: number
  readonly maxBytes: number
  open(): Reservation
}

export type Reservation = {
  /** Overloaded where it doesn't fit; what was reserved before stays reserved. */
  add(bytes: number): void
  /** May be called more than once. */
  release(): void
}

export function createByteBudget(maxBytes: number): ByteBudget {
  let used = 0
  return {
    maxBytes,
    get usedBytes() {
      return used
    },
    open() {
      let held = 0
      return {
        add(bytes) {
          if (used + bytes > maxBytes) {
            throw new PotokError(
              'Overloaded',
              'too many bytes of events are being taken in at this moment; send again later',
              { context: { maxBytes } },
            )
          }
          used += bytes
          held += bytes
        },
        release() {
          used -= held
          held = 0
        },
      }
    },
  }
}
