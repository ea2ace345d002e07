/**
 * A detection as potok understands it, and the rules that say what one is. Pure: `now` is the instant at
 * which the gateway received it, so every engine and every restart decides alike.
 */
import type { RejectReason } from './record-block.ts'

/** Filled anew by each decode; copy what is to be kept. */
export type Detection = {
  kvfvId: string
  eventTimeUs: number
  /** Speed in 0.001 km/h, 0 to 400,000. */
  speedMilli: number
  plateNumber: string | null
  /** JSON object text of every further field, null where there is none. */
  attributes: string | null
  /** The camera's own id of the detection (field `event_id`), where it gave one. */
  cameraEventId: string | null
}

export type Rejection = {
  reason: RejectReason
  detail: string
  /** Where it could be read in spite of all. */
  kvfvId: string | null
}

export type DetectionRules = {
  readonly speedKmhMax: number
  /** Further in the future than this is `clock_ahead`. */
  readonly clockAheadUsMax: number
  /** Before this is `too_old`. Epoch µs. */
  readonly eventTimeUsMin: number
}

export const defaultDetectionRules: DetectionRules = {
  speedKmhMax: 400,
  clockAheadUsMax: 5 * 60 * 1_000_000,
  eventTimeUsMin: Date.UTC(2000, 0, 1) * 1_000,
}

/**
 * Decodes values of a log block or items of a request in canonical field names. One instance per thread
 * and loop: it reuses its result.
 */
export interface DetectionDecoder {
  /** True: `detection` holds it. False: `rejection` says why not. */
  decode(bytes: Uint8Array, start: number, end: number, receivedAtUs: number): boolean
  readonly detection: Detection
  readonly rejection: Rejection
}
