/**
 * RFC 3339 time stamps to epoch microseconds, straight from bytes.
 *
 * Accepted: `YYYY-MM-DD`, then `T`, `t` or a space (RFC 3339 §5.6, note), `hh:mm:ss`, an optional fraction of
 * any length (what follows the sixth digit is cut off, never rounded: an event must not slip into the next
 * window), then `Z`, `z` or `±hh:mm`. Dates are checked against the calendar; hour 24 is refused. A leap
 * second is accepted where UTC can have one, at the end of a month, and is the first instant of the next
 * day, as POSIX counts. `-00:00` (local offset unknown) is UTC.
 *
 * It doesn't know zones by name, nor ISO 8601 beyond RFC 3339 (week dates, `+0300`, no seconds).
 */
import { usPerMinute, usPerSecond } from './time.ts'

/** Not an RFC 3339 time stamp. */
export const timestampInvalid = Number.NaN
/** All of a time stamp but its zone: an instant nobody can know. */
export const timestampWithoutZone = Number.POSITIVE_INFINITY

const textLengthMax = 64

/** Epoch µs, or `timestampInvalid`, or `timestampWithoutZone`. */
export function parseRfc3339(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length < 19 || length > textLengthMax) return timestampInvalid
  const century = twoDigits(bytes, start)
  const yearOfCentury = twoDigits(bytes, start + 2)
  const month = twoDigits(bytes, start + 5)
  const day = twoDigits(bytes, start + 8)
  const hour = twoDigits(bytes, start + 11)
  const minute = twoDigits(bytes, start + 14)
  const second = twoDigits(bytes, start + 17)
  const separator = bytes[start + 10] as number
  if (
    (century | yearOfCentury | month | day | hour | minute | second) < 0 ||
    bytes[start + 4] !== 0x2d ||
    bytes[start + 7] !== 0x2d ||
    (separator !== 0x54 && separator !== 0x74 && separator !== 0x20) ||
    bytes[start + 13] !== 0x3a ||
    bytes[start + 16] !== 0x3a ||
    hour > 23 ||
    minute > 59 ||
    second > 60
  ) {
    return timestampInvalid
  }
  const year = century * 100 + yearOfCentury
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return timestampInvalid

  let at = start + 19
  let micros = 0
  if (at < end && bytes[at] === 0x2e) {
    const first = ++at
    let unit = 100_000
    while (at < end && isDigit(bytes[at] as number)) {
      micros += ((bytes[at] as number) - 0x30) * unit
      unit = unit === 1 ? 0 : unit / 10
      at++
    }
    if (at === first) return timestampInvalid
  }

  let offsetMinutes = 0
  if (at === end) return timestampWithoutZone
  const sign = bytes[at] as number
  if (sign === 0x5a || sign === 0x7a) {
    if (at + 1 !== end) return timestampInvalid
  } else {
    if ((sign !== 0x2b && sign !== 0x2d) || at + 6 !== end || bytes[at + 3] !== 0x3a) {
      return timestampInvalid
    }
    const offsetHour = twoDigits(bytes, at + 1)
    const offsetMinute = twoDigits(bytes, at + 4)
    if ((offsetHour | offsetMinute) < 0 || offsetHour > 23 || offsetMinute > 59) {
      return timestampInvalid
    }
    offsetMinutes = offsetHour * 60 + offsetMinute
    if (sign === 0x2d) offsetMinutes = -offsetMinutes
  }

  const minutes = daysFromCivil(year, month, day) * 1_440 + hour * 60 + minute - offsetMinutes
  if (second === 60 && !endsUtcMonth(minutes)) return timestampInvalid
  return minutes * usPerMinute + second * usPerSecond + micros
}

export function parseRfc3339Text(text: string): number {
  if (text.length > textLengthMax) return timestampInvalid
  const bytes = Buffer.from(text)
  return parseRfc3339(bytes, 0, bytes.length)
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/** The number, or something negative. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - 0x30
  const ones = (bytes[at + 1] as number) - 0x30
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1
}

const monthDays = Uint8Array.of(0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

function daysInMonth(year: number, month: number): number {
  if (month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)) return 29
  return monthDays[month] as number
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, "days_from_civil"). */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = ((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) | 0
  const dayOfEra =
    yearOfEra * 365 + (yearOfEra >> 2) - ((yearOfEra / 100) | 0) + dayOfYear + day - 1
  return era * 146_097 + dayOfEra - 719_468
}

/** Is this minute 23:59 UTC of the last day of a month? */
function endsUtcMonth(minutes: number): boolean {
  if ((((minutes + 1) % 1_440) + 1_440) % 1_440 !== 0) return false
  return new Date((minutes + 1) * 60_000).getUTCDate() === 1
}
