/**
 * The plate policy applied to the bytes of an item: the plate's text is replaced by what may be kept, all
 * else stays the camera's own. Where the scanner found the plate this is a splice; otherwise the item is put
 * together again from its members, so that a plate under an escaped or repeated key can't slip through.
 *
 * Under a policy other than `keep` a rejected item's payload is kept only where it was understood as a
 * detection but for its values: in anything else a plate may stand under a name nobody knows.
 */
import { joinMembers } from '../../kernel/decode-detection-members.ts'
import { parseJsonObject } from '../../kernel/decode-detection-plain.ts'
import type { PlatePolicy } from '../../kernel/plate-policy.ts'
import type { RejectReason } from '../../kernel/record-block.ts'
import type { ScannedDetection } from '../../kernel/scan-detection.ts'

const quoteBytes = 1

/** `item` is a detection just decoded out of `bytes` with the plate `plate`. */
export function applyPlatePolicy(
  policy: PlatePolicy,
  bytes: Uint8Array,
  start: number,
  end: number,
  scanned: ScannedDetection | null,
  plate: string | null,
): Uint8Array {
  if (policy.mode === 'keep') return bytes.subarray(start, end)
  if (scanned === null) return rewritten(policy, bytes.subarray(start, end))
  if (plate === null) return bytes.subarray(start, end)
  const kept = policy.apply(plate)
  const text = Buffer.from(kept === null ? 'null' : JSON.stringify(kept))
  const from = scanned.plateStart - quoteBytes
  const to = scanned.plateEnd + quoteBytes
  const result = new Uint8Array(end - start - (to - from) + text.length)
  result.set(bytes.subarray(start, from))
  result.set(text, from - start)
  result.set(bytes.subarray(to, end), from - start + text.length)
  return result
}

const reasonsOfValues: ReadonlySet<RejectReason> = new Set<RejectReason>([
  'invalid_timestamp',
  'timestamp_without_zone',
  'speed_out_of_range',
  'clock_ahead',
  'too_old',
  'wrong_camera',
])

/**
 * What is kept of a rejected item; null where nothing may be. Bytes that are no UTF-8 become U+FFFD.
 * `canonical` is the item in potok's field names, null where it could not be brought to them.
 */
export function rejectedPayload(
  policy: PlatePolicy,
  reason: RejectReason,
  item: Uint8Array,
  canonical: Uint8Array | null,
): string | null {
  if (policy.mode === 'keep') return textOf(item)
  if (canonical === null || !reasonsOfValues.has(reason)) return null
  return textOf(rewritten(policy, canonical))
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

function rewritten(policy: PlatePolicy, item: Uint8Array): Uint8Array {
  const object = parseJsonObject(item)
  if (!object.ok) throw new RangeError('only a JSON object can be put together again')
  const plate = object.value['plate_number']
  const kept = typeof plate === 'string' && plate !== '' ? policy.apply(plate) : null
  object.members.delete('plate_number')
  if (kept !== null) {
    object.members.set('plate_number', { key: 'plate_number', text: JSON.stringify(kept) })
  }
  return Buffer.from(joinMembers(object.members.values()))
}
