/**
 * Times as they come in a query. An instant is RFC 3339 with a zone, or a date, which means the start of that
 * day in `tz`. A `+` that nobody encoded arrives as a space: before the offset it is taken for the `+` it was.
 * Errors name the parameter. Pure.
 */
import { DateTime } from 'luxon'
import { PotokError } from '../../kernel/errors.ts'
import { parseRfc3339Text, timestampWithoutZone } from '../../kernel/rfc3339.ts'
import { dayOfUs, parseDay, startOfDayUs, usPerDay } from '../../kernel/time.ts'
import { floorToInterval, type Interval, isTimeZone } from '../read-model/local-windows.ts'

/** How much one answer may cover: 31 days of any month with a clock shifted back; a year; three years. */
export const rangeDaysMax: Readonly<Record<Interval, number>> = {
  '5m': 32,
  '1h': 367,
  '24h': 1_100,
}

/** Event times are safe integers of µs between these. */
const earliestUs = startOfDayUs(0)
const latestUs = Date.UTC(2255, 0, 1) * 1_000

export function parseInterval(text: string): Interval {
  if (text === '1d' || text === '24h') return '24h'
  if (text === '5m' || text === '1h') return text
  throw badParameter('interval', `is "${text}": expected 5m, 1h or 24h (1d is the same)`)
}

export function parseTimeZone(text: string): string {
  if (isTimeZone(text)) return text
  throw badParameter('tz', `is "${text}": expected an IANA time zone such as Europe/Moscow or UTC`)
}

export function parseInstant(name: string, text: string, zone: string): number {
  const us = instantOf(name, text, zone)
  if (us < earliestUs || us > latestUs) {
    throw badParameter(name, `is "${text}": expected an instant from 1970 to 2254`)
  }
  return us
}

function instantOf(name: string, text: string, zone: string): number {
  const day = parseDay(text)
  if (day !== null) return startOfLocalDay(day, zone)
  const us = parseRfc3339Text(text.replace(/ (?=\d{2}:\d{2}$)/, plusForSpace))
  if (us === timestampWithoutZone) {
    throw badParameter(name, `is "${text}", which has no zone: add Z or an offset such as +03:00`)
  }
  if (Number.isNaN(us)) {
    throw badParameter(
      name,
      `is "${text}": expected RFC 3339 such as 2025-04-05T10:00:00Z, or a date such as 2025-04-05`,
    )
  }
  return us
}

/** `2025-04-05 10:00` is a time without seconds, not an offset. */
function plusForSpace(space: string, at: number): string {
  return at >= 19 ? '+' : space
}

function startOfLocalDay(day: number, zone: string): number {
  const noonUs = startOfDayUs(day) + usPerDay / 2
  const { year, month, day: dayOfMonth } = DateTime.fromMillis(noonUs / 1_000, { zone: 'UTC' })
  const local = DateTime.fromObject({ year, month, day: dayOfMonth, hour: 12 }, { zone })
  return floorToInterval(local.toMillis() * 1_000, '24h', zone)
}

export type Range = {
  readonly fromUs: number
  readonly toUs: number
  readonly interval: Interval
  readonly zone: string
}

/** The range of an answer: `from` rounded down to the interval, checked against the limit. */
export function parseRange(query: {
  readonly from: string
  readonly to: string
  readonly interval: string
  readonly tz: string
}): Range {
  const zone = parseTimeZone(query.tz)
  const interval = parseInterval(query.interval)
  const givenUs = parseInstant('from', query.from, zone)
  const toUs = parseInstant('to', query.to, zone)
  if (toUs <= givenUs) throw badParameter('to', `is "${query.to}": expected an instant after from`)
  const fromUs = floorToInterval(givenUs, interval, zone)
  const daysMax = rangeDaysMax[interval]
  if (toUs - fromUs > daysMax * usPerDay) {
    throw badParameter(
      'to',
      `makes a range of ${Math.ceil((toUs - fromUs) / usPerDay)} days: at interval ${interval} one answer covers at most ${daysMax} days (5m: ${rangeDaysMax['5m']}, 1h: ${rangeDaysMax['1h']}, 24h: ${rangeDaysMax['24h']})`,
    )
  }
  return { fromUs, toUs, interval, zone }
}

/** UTC day of a parameter or member that must be a date. */
export function parseDayParameter(name: string, text: string): number {
  const day = parseDay(text)
  if (day === null || day < dayOfUs(earliestUs) || day > dayOfUs(latestUs)) {
    throw badParameter(name, `is "${text}": expected a date such as 2025-04-05`)
  }
  return day
}

export function badParameter(name: string, text: string): PotokError {
  return new PotokError('InvalidInput', `parameter ${name} ${text}`, {
    context: { parameter: name },
  })
}
