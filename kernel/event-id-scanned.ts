/**
 * The bytes of further fields that go into an event id, straight from those that the scanner found: as
 * event-id-flat.ts, without a text in between. One level, no escapes, numbers already as JavaScript writes
 * them; everything else is left to the plain way (event-id-canonical.ts), and where this one takes it both
 * give the same bytes (event-id.test.ts).
 *
 * The scanner has seen to it that no key comes twice and that all is valid UTF-8.
 */
import type { ScannedDetection } from './scan-detection.ts'

const digitsMax = 15
/** With more, a small number would be written with an exponent. */
const fractionDigitsMax = 6
const membersMax = 32
/** From here on the order of UTF-8 is not that of UTF-16 code units, which counts: surrogates come before. */
const firstUnordered = 0xee

/** Members by key. */
const order = new Int32Array(membersMax)

/**
 * Writes canonical UTF-8 from `at` on and gives how many bytes; 0 where the fields are not so simple, and
 * then what stands in `to` from there has no meaning.
 */
export function writeScannedFields(
  to: Uint8Array,
  at: number,
  bytes: Uint8Array,
  scan: ScannedDetection,
): number {
  const { further, furtherCount } = scan
  for (let member = 0; member < furtherCount; member++) {
    if (!scan.ascii && !isOrdered(bytes, further, member)) return 0
    insert(bytes, further, member)
  }
  let p = at
  for (let i = 0; i < furtherCount; i++) {
    const member = (order[i] as number) * 4
    to[p++] = i === 0 ? 0x7b : 0x2c
    const keyEnd = further[member + 1] as number
    for (let from = further[member] as number; from < keyEnd; from++)
      to[p++] = bytes[from] as number
    to[p++] = 0x3a
    const valueStart = further[member + 2] as number
    const valueEnd = further[member + 3] as number
    if (!isCanonicalScalar(bytes, valueStart, valueEnd)) return 0
    for (let from = valueStart; from < valueEnd; from++) {
      const byte = bytes[from] as number
      if (byte === 0x5c) return 0
      to[p++] = byte
    }
  }
  to[p++] = 0x7d
  return p - at
}

function isOrdered(bytes: Uint8Array, further: Int32Array, member: number): boolean {
  const end = further[member * 4 + 1] as number
  for (let i = further[member * 4] as number; i < end; i++) {
    if ((bytes[i] as number) >= firstUnordered) return false
  }
  return true
}

/** Puts the member in its place among those before it. */
function insert(bytes: Uint8Array, further: Int32Array, member: number): void {
  let i = member
  for (; i > 0; i--) {
    const other = order[i - 1] as number
    if (!isBefore(bytes, further, member, other)) break
    order[i] = other
  }
  order[i] = member
}

/** The closing quote takes no part. */
function isBefore(bytes: Uint8Array, further: Int32Array, a: number, b: number): boolean {
  let p = (further[a * 4] as number) + 1
  let q = (further[b * 4] as number) + 1
  const pEnd = (further[a * 4 + 1] as number) - 1
  const qEnd = (further[b * 4 + 1] as number) - 1
  while (p < pEnd && q < qEnd) {
    const difference = (bytes[p++] as number) - (bytes[q++] as number)
    if (difference !== 0) return difference < 0
  }
  return pEnd - p < qEnd - q
}

/** Escapes apart, which whoever copies the value meets anyway. */
function isCanonicalScalar(bytes: Uint8Array, start: number, end: number): boolean {
  const c = bytes[start] as number
  if (c === 0x22 || c === 0x74 || c === 0x66 || c === 0x6e) return true
  return c !== 0x7b && c !== 0x5b && isCanonicalNumber(bytes, start, end)
}

function isCanonicalNumber(bytes: Uint8Array, start: number, end: number): boolean {
  const isNegative = bytes[start] === 0x2d
  const first = isNegative ? start + 1 : start
  let p = skipDigits(bytes, first, end)
  let digits = p - first
  if (p === end) return digits <= digitsMax && !(isNegative && bytes[first] === 0x30)
  if (bytes[p] !== 0x2e) return false
  const fraction = p + 1
  p = skipDigits(bytes, fraction, end)
  digits += p - fraction
  return (
    p === end && p - fraction <= fractionDigitsMax && bytes[p - 1] !== 0x30 && digits <= digitsMax
  )
}

function skipDigits(bytes: Uint8Array, p: number, end: number): number {
  while (p < end && (bytes[p] as number) >= 0x30 && (bytes[p] as number) <= 0x39) p++
  return p
}
