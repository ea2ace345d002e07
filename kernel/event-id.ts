/**
 * The id of a detection: the first 128 bits of SHA-256 (HMAC-SHA-256 where a key is given) over what makes
 * it that detection, so that the same detection sent twice has the same id and two cameras never share one.
 * Stored as a UUID; no version or variant bits are set, all 128 bits are hash.
 *
 * Hashed bytes, unambiguous because every text has its length in front (format 1):
 *   u8 format · u32 length, kvfv_id · i64 instant in µs, then
 *   u8 1 · u32 length, the camera's own event_id                                     where it gave one, else
 *   u8 2 · u32 speed in 0.001 km/h · u32 length + 1 or 0 for none, plate · the same for the further fields
 * Integers are little-endian, texts UTF-8. Further fields are taken in canonical form: no white space, keys
 * sorted at every level, nearly RFC 8785: see event-id-canonical.ts (event-id-flat.ts: the same, faster).
 *
 * A key is given where plates are not kept: the number space of plates is so small that an unkeyed hash of
 * one can be reversed by trying them all.
 */
import type { Detection } from './detection.ts'
import { createHmacSha256, createSha256 } from './event-id-digest.ts'
import { canonicalFields } from './event-id-canonical.ts'
import { writeFlatFields } from './event-id-flat.ts'
import { writeScannedFields } from './event-id-scanned.ts'
import { furtherBytesMax, type ScannedDetection } from './scan-detection.ts'

export type EventIdHasher = {
  /** Writes the id to `out[at …]`. */
  (detection: Detection, out: Uint8Array, at: number): void
  /**
   * The same, from the bytes of a scanned detection. False where that takes its texts; then nothing was
   * written.
   */
  readonly ofScanned?: (
    bytes: Uint8Array,
    scan: ScannedDetection,
    out: Uint8Array,
    at: number,
  ) => boolean
}

export const eventIdBytes = 16

export type EventIdOptions = {
  /** Names of further fields that change when a camera sends a detection again (`sent_at`, `retry`, …). */
  readonly excludedFields?: readonly string[]
}

const formatVersion = 1
const cachedLengthMax = 64
const cachedTextsMax = 4_096

export function createEventIdHasher(
  key: Uint8Array | null,
  options: EventIdOptions = {},
): EventIdHasher {
  const excluded = new Set(options.excludedFields)
  const digest = key === null ? createSha256() : createHmacSha256(key)
  const canonicalTexts = new Map<string, string | null>()
  let scratch = Buffer.alloc(1_024)
  let length = 0

  function room(bytes: number): void {
    if (length + bytes <= scratch.length) return
    const larger = Buffer.alloc(2 ** Math.ceil(Math.log2(length + bytes)))
    larger.set(scratch.subarray(0, length))
    scratch = larger
  }
  function byte(value: number): void {
    room(1)
    scratch[length++] = value
  }
  function uint32(value: number): void {
    room(4)
    scratch[length++] = value
    scratch[length++] = value >>> 8
    scratch[length++] = value >>> 16
    scratch[length++] = value >>> 24
  }
  function text(value: string, lengthPlus: number): void {
    room(4 + value.length * 3)
    const start = length + 4
    const bytes = writeText(scratch, start, value)
    uint32(bytes + lengthPlus)
    length = start + bytes
  }
  function optionalText(value: string | null): void {
    if (value === null) uint32(0)
    else text(value, 1)
  }

  /** Short further fields (lane, direction) repeat, and the decoder shares their texts. */
  function canonical(attributes: string): string | null {
    if (attributes.length > cachedLengthMax) return canonicalFields(attributes, excluded)
    let text = canonicalTexts.get(attributes)
    if (text === undefined) {
      text = canonicalFields(attributes, excluded)
      if (canonicalTexts.size >= cachedTextsMax) canonicalTexts.clear()
      canonicalTexts.set(attributes, text)
    }
    return text
  }

  function furtherFields(attributes: string | null): void {
    if (attributes === null) {
      uint32(0)
      return
    }
    if (attributes.length > cachedLengthMax && excluded.size === 0) {
      room(4 + attributes.length * 3)
      const bytes = writeFlatFields(scratch, length + 4, attributes)
      if (bytes > 0) {
        uint32(bytes + 1)
        length += bytes
        return
      }
    }
    optionalText(canonical(attributes))
  }

  function instant(eventTimeUs: number): void {
    // Two's complement in two halves: ⌊us / 2³²⌋ is negative before 1970, as it must be.
    uint32((eventTimeUs % 4_294_967_296) | 0)
    uint32(Math.floor(eventTimeUs / 4_294_967_296))
  }
  function span(bytes: Uint8Array, start: number, end: number, lengthPlus: number): void {
    uint32(end - start + lengthPlus)
    room(end - start)
    for (let i = start; i < end; i++) scratch[length++] = bytes[i] as number
  }
  function finish(out: Uint8Array, at: number): void {
    const binary = digest(scratch, length)
    for (let i = 0; i < eventIdBytes; i++) out[at + i] = binary.charCodeAt(i)
  }

  function ofDetection(detection: Detection, out: Uint8Array, at: number): void {
    length = 0
    byte(formatVersion)
    text(detection.kvfvId, 0)
    instant(detection.eventTimeUs)
    if (detection.cameraEventId !== null) {
      byte(1)
      text(detection.cameraEventId, 0)
    } else {
      byte(2)
      uint32(detection.speedMilli)
      optionalText(detection.plateNumber)
      furtherFields(detection.attributes)
    }
    finish(out, at)
  }

  function ofScanned(
    bytes: Uint8Array,
    scan: ScannedDetection,
    out: Uint8Array,
    at: number,
  ): boolean {
    length = 0
    byte(formatVersion)
    span(bytes, scan.kvfvStart, scan.kvfvEnd, 0)
    instant(scan.eventTimeUs)
    if (scan.eventIdStart >= 0) {
      if (scan.eventIdEscaped) return false
      byte(1)
      span(bytes, scan.eventIdStart, scan.eventIdEnd, 0)
    } else {
      byte(2)
      uint32(scan.speedMilli)
      if (scan.plateStart < 0) uint32(0)
      else if (scan.plateEscaped) return false
      else span(bytes, scan.plateStart, scan.plateEnd, 1)
      if (scan.furtherCount === 0) {
        uint32(0)
      } else {
        if (excluded.size > 0) return false
        room(4 + furtherBytesMax(scan))
        const fieldBytes = writeScannedFields(scratch, length + 4, bytes, scan)
        if (fieldBytes === 0) return false
        uint32(fieldBytes + 1)
        length += fieldBytes
      }
    }
    finish(out, at)
    return true
  }

  return Object.assign(ofDetection, { ofScanned })
}

function writeText(to: Buffer, start: number, value: string): number {
  if (value.length > 200) return to.write(value, start)
  let at = start
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i)
    if (c < 0x80) {
      to[at++] = c
    } else if (c < 0x800) {
      to[at++] = 0xc0 | (c >> 6)
      to[at++] = 0x80 | (c & 0x3f)
    } else {
      return to.write(value, start)
    }
  }
  return at - start
}
