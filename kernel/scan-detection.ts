/**
 * Finds the known fields of a detection in its bytes without building objects: several times faster than
 * JSON.parse (bench/decode.ts).
 *
 * Invariant: `scanDetection` returns true only for what the plain way (`decode-detection-plain.ts`) accepts,
 * and then with equal values; a property test holds the two together. Everything unusual (escaped keys,
 * repeated keys, speeds with exponents, deep nesting, and everything that is to be rejected) returns false
 * and goes the plain way. Half surrogates written as escapes and rules about `now` are the caller's.
 */
import { nestingDepthMax } from './decode-detection-members.ts'
import { parseRfc3339 } from './rfc3339.ts'

/** Byte ranges into the scanned bytes. Filled anew by each scan. */
export type ScannedDetection = {
  kvfvStart: number
  kvfvEnd: number
  eventTimeUs: number
  speedMilli: number
  /** Content between the quotes; -1 where there is no plate. */
  plateStart: number
  plateEnd: number
  plateEscaped: boolean
  /** Content of the string, or the digits; -1 where there is none. */
  eventIdStart: number
  eventIdEnd: number
  eventIdEscaped: boolean
  /** Are all bytes ASCII? */
  ascii: boolean
  furtherCount: number
  /** Four a member: start and end of the key with its quotes, start and end of the value. */
  readonly further: Int32Array
}

const furtherMembersMax = 32
/** Bytes: so much is below every limit in characters; what is longer is counted the plain way. */
const kvfvIdBytesMax = 128
const eventIdBytesMax = 256

export function createScannedDetection(): ScannedDetection {
  return {
    kvfvStart: -1,
    kvfvEnd: -1,
    eventTimeUs: 0,
    speedMilli: 0,
    plateStart: -1,
    plateEnd: -1,
    plateEscaped: false,
    eventIdStart: -1,
    eventIdEnd: -1,
    eventIdEscaped: false,
    ascii: true,
    furtherCount: 0,
    further: new Int32Array(furtherMembersMax * 4),
  }
}

/** So many bytes the further members have at most, as one JSON object. */
export function furtherBytesMax({ further, furtherCount }: ScannedDetection): number {
  return (further[furtherCount * 4 - 1] as number) - (further[0] as number) + 2
}

/** The further members (one at least) as one JSON object, without the white space between them. Gives its end. */
export function writeFurtherFields(
  to: Uint8Array,
  at: number,
  bytes: Uint8Array,
  { further, furtherCount }: ScannedDetection,
): number {
  for (let i = 0; i < furtherCount * 4; i += 4) {
    to[at++] = i === 0 ? 0x7b : 0x2c
    const keyEnd = further[i + 1] as number
    for (let p = further[i] as number; p < keyEnd; p++) to[at++] = bytes[p] as number
    to[at++] = 0x3a
    const valueEnd = further[i + 3] as number
    for (let p = further[i + 2] as number; p < valueEnd; p++) to[at++] = bytes[p] as number
  }
  to[at++] = 0x7d
  return at
}

const fieldBit = {
  none: 0,
  kvfvId: 1,
  timestamp: 2,
  vehicleSpeed: 4,
  plateNumber: 8,
  eventId: 16,
} as const
const required = fieldBit.kvfvId | fieldBit.timestamp | fieldBit.vehicleSpeed

/** Of the string skipped last. Module state: the scanner is synchronous and called in a tight loop. */
let stringEscaped = false
let sawNonAscii = false
/** Of the speed read last. */
let speedEnd = 0

const keyHashes = new Int32Array(furtherMembersMax)

export function scanDetection(
  bytes: Uint8Array,
  start: number,
  end: number,
  speedMilliMax: number,
  out: ScannedDetection,
): boolean {
  let seen = 0
  let furtherCount = 0
  const further = out.further
  out.plateStart = -1
  out.eventIdStart = -1
  sawNonAscii = false

  let p = skipSpace(bytes, start, end)
  if (p >= end || bytes[p] !== 0x7b) return false
  p = skipSpace(bytes, p + 1, end)
  for (;;) {
    if (p >= end || bytes[p] !== 0x22) return false
    const keyStart = p
    const field = knownField(bytes, p + 1)
    if (field === fieldBit.none) {
      p = skipString(bytes, p + 1, end) + 1
      if (p === 0 || stringEscaped) return false
    } else {
      if ((seen & field) !== 0) return false
      seen |= field
      p += knownFieldBytes
    }
    const keyEnd = p
    if (p < end && (bytes[p] as number) <= 0x20) p = skipSpace(bytes, p, end)
    if (p >= end || bytes[p++] !== 0x3a) return false
    if (p < end && (bytes[p] as number) <= 0x20) p = skipSpace(bytes, p, end)
    if (p >= end) return false

    const valueStart = p
    if (field === fieldBit.none) {
      if (furtherCount === furtherMembersMax) return false
      const hash = hashOf(bytes, keyStart, keyEnd)
      for (let i = 0; i < furtherCount; i++) if (keyHashes[i] === hash) return false
      keyHashes[furtherCount] = hash
      p = skipValue(bytes, p, end, 1)
      if (p < 0) return false
      const at = furtherCount++ * 4
      further[at] = keyStart
      further[at + 1] = keyEnd
      further[at + 2] = valueStart
      further[at + 3] = p
    } else if (field === fieldBit.vehicleSpeed) {
      const milli = speedMilliAt(bytes, p, end, speedMilliMax)
      if (milli < 0) return false
      out.speedMilli = milli
      p = speedEnd
    } else if (field === fieldBit.timestamp) {
      // Every byte of a valid time stamp is checked by its parser: only the closing quote is looked for.
      if (bytes[p++] !== 0x22) return false
      const contentStart = p
      while (p < end && bytes[p] !== 0x22) p++
      const us = parseRfc3339(bytes, contentStart, p)
      if (p === end || !Number.isSafeInteger(us)) return false
      out.eventTimeUs = us
      p++
    } else if (bytes[p] === 0x22) {
      const contentStart = p + 1
      p = skipString(bytes, contentStart, end)
      if (p < 0) return false
      const contentEnd = p++
      if (field === fieldBit.kvfvId) {
        const length = contentEnd - contentStart
        if (stringEscaped || length === 0 || length > kvfvIdBytesMax) return false
        out.kvfvStart = contentStart
        out.kvfvEnd = contentEnd
      } else if (field === fieldBit.plateNumber) {
        if (contentEnd > contentStart) {
          out.plateStart = contentStart
          out.plateEnd = contentEnd
          out.plateEscaped = stringEscaped
        }
      } else if (contentEnd > contentStart) {
        if (contentEnd - contentStart > eventIdBytesMax) return false
        out.eventIdStart = contentStart
        out.eventIdEnd = contentEnd
        out.eventIdEscaped = stringEscaped
      }
    } else if (field === fieldBit.plateNumber || field === fieldBit.eventId) {
      p = skipValue(bytes, p, end, nestingDepthMax)
      if (p < 0) return false
      if (bytes[valueStart] !== 0x6e) {
        if (field === fieldBit.plateNumber || !isInteger(bytes, valueStart, p)) return false
        if (p - valueStart > eventIdBytesMax) return false
        out.eventIdStart = valueStart
        out.eventIdEnd = p
        out.eventIdEscaped = false
      }
    } else {
      return false
    }

    if (p < end && (bytes[p] as number) <= 0x20) p = skipSpace(bytes, p, end)
    if (p >= end) return false
    const c = bytes[p++]
    if (c === 0x7d) break
    if (c !== 0x2c) return false
    if (p < end && (bytes[p] as number) <= 0x20) p = skipSpace(bytes, p, end)
  }
  if (skipSpace(bytes, p, end) !== end || (seen & required) !== required) return false
  out.furtherCount = furtherCount
  out.ascii = !sawNonAscii
  return true
}

/**
 * Is it one valid JSON value in valid UTF-8, nested at most `nestingDepthMax` deep? Allocates nothing, where
 * JSON.parse makes hundreds of megabytes of 16 MiB of brackets.
 */
export function isJsonValue(bytes: Uint8Array, start: number, end: number): boolean {
  const first = skipSpace(bytes, start, end)
  if (first >= end) return false
  const valueEnd = skipValue(bytes, first, end, 0)
  return valueEnd >= 0 && skipSpace(bytes, valueEnd, end) === end
}

/** Of the known field found last: its name and both quotes. */
let knownFieldBytes = 0

/**
 * Which known name, with its closing quote, stands at `p`. May look at bytes after the item: then what is
 * found there ends after it, too, and the caller sees that.
 */
function knownField(bytes: Uint8Array, p: number): number {
  switch (bytes[p] as number) {
    case 0x6b:
      return named(bytes, p, kvfvIdName, fieldBit.kvfvId)
    case 0x74:
      return named(bytes, p, timestampName, fieldBit.timestamp)
    case 0x76:
      return named(bytes, p, vehicleSpeedName, fieldBit.vehicleSpeed)
    case 0x70:
      return named(bytes, p, plateNumberName, fieldBit.plateNumber)
    case 0x65:
      return named(bytes, p, eventIdName, fieldBit.eventId)
    default:
      return fieldBit.none
  }
}

function named(bytes: Uint8Array, p: number, name: Uint8Array, field: number): number {
  if (!equals(bytes, p, name)) return fieldBit.none
  knownFieldBytes = name.length + 1
  return field
}

const kvfvIdName = asciiBytes('kvfv_id"')
const eventIdName = asciiBytes('event_id"')
const timestampName = asciiBytes('timestamp"')
const plateNumberName = asciiBytes('plate_number"')
const vehicleSpeedName = asciiBytes('vehicle_speed"')

function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0))
}

/** 1 for what stands for itself in a JSON string and is ASCII. */
const isPlain = new Uint8Array(256)
for (let c = 0x20; c < 0x80; c++) isPlain[c] = c === 0x22 || c === 0x5c ? 0 : 1

function equals(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false
  return true
}

/** Equal keys have equal hashes; unequal ones with equal hashes only cost the plain way. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0
  return hash
}

function skipSpace(bytes: Uint8Array, p: number, end: number): number {
  while (p < end) {
    const c = bytes[p] as number
    if (c > 0x20 || (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09)) break
    p++
  }
  return p
}

/** From the first byte of the content to the closing quote; -1 where it is no valid JSON string. */
function skipString(bytes: Uint8Array, p: number, end: number): number {
  stringEscaped = false
  while (p < end) {
    const c = bytes[p] as number
    if (isPlain[c] === 1) {
      p++
      continue
    }
    if (c === 0x22) return p
    if (c < 0x20) return -1
    if (c === 0x5c) {
      stringEscaped = true
      p = skipEscape(bytes, p + 1, end)
    } else {
      sawNonAscii = true
      p = skipMultiByte(bytes, p, end)
    }
    if (p < 0) return -1
  }
  return -1
}

function skipEscape(bytes: Uint8Array, p: number, end: number): number {
  if (p >= end) return -1
  switch (bytes[p] as number) {
    case 0x22:
    case 0x5c:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return p + 1
    case 0x75: {
      if (p + 4 >= end) return -1
      for (let i = 1; i <= 4; i++) {
        const c = (bytes[p + i] as number) | 0x20
        // Lower-casing by `| 0x20` keeps digits; control characters that it would turn into digits (0x10–0x19)
        // are told apart by the byte itself.
        const isHex = (c >= 0x61 && c <= 0x66) || (c >= 0x30 && c <= 0x39 && bytes[p + i] === c)
        if (!isHex) return -1
      }
      return p + 5
    }
    default:
      return -1
  }
}

/** Well-formed UTF-8 as of Unicode's table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. */
function skipMultiByte(bytes: Uint8Array, p: number, end: number): number {
  const a = bytes[p] as number
  if (a < 0xc2 || a > 0xf4) return -1
  if (p + 1 >= end) return -1
  const b = bytes[p + 1] as number
  if (a < 0xe0) return isContinuation(b) ? p + 2 : -1
  if (p + 2 >= end || !isContinuation(b) || !isContinuation(bytes[p + 2] as number)) return -1
  if (a < 0xf0) {
    if ((a === 0xe0 && b < 0xa0) || (a === 0xed && b > 0x9f)) return -1
    return p + 3
  }
  if (p + 3 >= end || !isContinuation(bytes[p + 3] as number)) return -1
  return (a === 0xf0 && b < 0x90) || (a === 0xf4 && b > 0x8f) ? -1 : p + 4
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

/** From the first byte of any JSON value to the byte after it, -1 where it is none or nested too deep. */
function skipValue(bytes: Uint8Array, p: number, end: number, depth: number): number {
  const c = bytes[p] as number
  if (c === 0x22) {
    const quote = skipString(bytes, p + 1, end)
    return quote < 0 ? -1 : quote + 1
  }
  if (c === 0x7b || c === 0x5b) {
    return depth >= nestingDepthMax ? -1 : skipNested(bytes, p, end, depth + 1)
  }
  if (c === 0x74) return skipWord(bytes, p, end, trueWord)
  if (c === 0x66) return skipWord(bytes, p, end, falseWord)
  if (c === 0x6e) return skipWord(bytes, p, end, nullWord)
  return skipNumber(bytes, p, end)
}

function skipNested(bytes: Uint8Array, p: number, end: number, depth: number): number {
  const isObject = bytes[p] === 0x7b
  const closing = isObject ? 0x7d : 0x5d
  p = skipSpace(bytes, p + 1, end)
  if (p < end && bytes[p] === closing) return p + 1
  while (p < end) {
    if (isObject) {
      if (bytes[p] !== 0x22) return -1
      p = skipString(bytes, p + 1, end)
      if (p < 0) return -1
      p = skipSpace(bytes, p + 1, end)
      if (p >= end || bytes[p] !== 0x3a) return -1
      p = skipSpace(bytes, p + 1, end)
    }
    if (p >= end) return -1
    p = skipValue(bytes, p, end, depth)
    if (p < 0) return -1
    p = skipSpace(bytes, p, end)
    if (p >= end) return -1
    if (bytes[p] === closing) return p + 1
    if (bytes[p] !== 0x2c) return -1
    p = skipSpace(bytes, p + 1, end)
  }
  return -1
}

const trueWord = asciiBytes('true')
const falseWord = asciiBytes('false')
const nullWord = asciiBytes('null')

function skipWord(bytes: Uint8Array, p: number, end: number, word: Uint8Array): number {
  return p + word.length <= end && equals(bytes, p, word) ? p + word.length : -1
}

function skipNumber(bytes: Uint8Array, p: number, end: number): number {
  if (bytes[p] === 0x2d) p++
  const first = p
  p = skipDigits(bytes, p, end)
  if (p === first || (bytes[first] === 0x30 && p > first + 1)) return -1
  if (p < end && bytes[p] === 0x2e) {
    const fraction = p + 1
    p = skipDigits(bytes, fraction, end)
    if (p === fraction) return -1
  }
  if (p < end && ((bytes[p] as number) | 0x20) === 0x65) {
    p++
    if (p < end && (bytes[p] === 0x2b || bytes[p] === 0x2d)) p++
    const exponent = p
    p = skipDigits(bytes, exponent, end)
    if (p === exponent) return -1
  }
  return p
}

function skipDigits(bytes: Uint8Array, p: number, end: number): number {
  while (p < end && isDigit(bytes[p] as number)) p++
  return p
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isInteger(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] === 0x2d ? start + 1 : start
  return first < end && skipDigits(bytes, first, end) === end
}

/**
 * Speed in 0.001 km/h, half up on the decimal digits; -1 for signs, exponents, long numbers and what is out
 * of range. Leaves the end of the number in `speedEnd`.
 */
function speedMilliAt(bytes: Uint8Array, p: number, end: number, milliMax: number): number {
  const first = p
  let whole = 0
  while (p < end && isDigit(bytes[p] as number)) whole = whole * 10 + (bytes[p++] as number) - 0x30
  if (p === first || p - first > 6 || (bytes[first] === 0x30 && p > first + 1)) return -1
  let milli = whole * 1_000
  let half = false
  let inexact = false
  if (p < end && bytes[p] === 0x2e) {
    const fraction = ++p
    let unit = 100
    for (; p < end && isDigit(bytes[p] as number); p++) {
      const digit = (bytes[p] as number) - 0x30
      const place = p - fraction
      if (place < 3) {
        milli += digit * unit
        unit /= 10
      } else if (digit !== 0) {
        inexact = true
        if (place === 3 && digit >= 5) half = true
      }
    }
    if (p === fraction) return -1
  }
  if (p < end && ((bytes[p] as number) | 0x20) === 0x65) return -1
  if (milli > milliMax || (milli === milliMax && inexact)) return -1
  speedEnd = p
  return half ? milli + 1 : milli
}
