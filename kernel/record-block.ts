/**
 * A block: consecutive records of one log partition as a few flat buffers. It is what the embedded log
 * stores, what readers hand out, and what crosses threads without a copy per record.
 *
 * A detection's value is one JSON object with the canonical fields `kvfv_id`, `timestamp` (RFC 3339 with
 * zone), `vehicle_speed` (km/h), optional `plate_number` and `event_id`, and any further fields; it is the
 * camera's own bytes where nothing had to be changed. A rejected item's value is the JSON of `RejectedPayload`.
 */
export const recordKind = { detection: 0, rejected: 1 } as const

export type RecordBlock = {
  readonly logPartition: number
  /** Offset of the first record. */
  readonly baseOffset: number
  /** Offset after the last record, from which reading goes on; gaps lie before it. */
  readonly nextOffset: number
  readonly count: number
  /** Offset of each record; null where they are contiguous from `baseOffset`. */
  readonly offsets: Float64Array | null
  /** Epoch µs at which the gateway received it (foreign producers: the log's append time). */
  readonly receivedAtUs: Float64Array
  readonly kinds: Uint8Array
  /** 16 bytes a record, all zero where the writer computes the id; null where that holds for all. */
  readonly eventIds: Uint8Array | null
  /** End of each value in `values`. */
  readonly valueEnds: Uint32Array
  readonly values: Uint8Array
}

/** What the gateway keeps of an item that can't be a detection. */
export type RejectedPayload = {
  readonly reason: RejectReason
  readonly detail: string
  /** `http`, `mqtt`, `replay`, `log`. */
  readonly source: string
  readonly kvfv_id: string | null
  /** The item as received, under the plate policy; null where the policy forbids to keep it. */
  readonly payload: string | null
}

export const rejectReasons = [
  'invalid_json',
  'not_an_object',
  'missing_field',
  'invalid_field',
  'invalid_timestamp',
  'timestamp_without_zone',
  'speed_out_of_range',
  'clock_ahead',
  'too_old',
  'too_large',
  'wrong_camera',
  'unreadable',
] as const
export type RejectReason = (typeof rejectReasons)[number]

export function blockOffset(block: RecordBlock, index: number): number {
  return block.offsets === null ? block.baseOffset + index : (block.offsets[index] as number)
}
