/**
 * Windows of an answer: 5 minutes, local hours, local days. Pure (luxon brings the rules of time zones).
 *
 * A local day begins with the first instant of its date and ends where the next begins: 23, 24 or 25 hours.
 * A local hour is 60 minutes of the clock on the wall; where a zone shifts by 30 minutes (Lord Howe) the hour
 * of the shift falls in two. Offsets since 2000 are multiples of 5 minutes, so every such window is made of
 * whole 5-minute windows.
 */
import { IANAZone } from 'luxon'
import { usPer5Minutes, usPerDay, usPerHour } from '../../kernel/time.ts'

export type Interval = '5m' | '1h' | '24h'

/** From this instant on, local time = UTC + offset. */
type ZoneSegment = { readonly fromUs: number; readonly offsetUs: number }

/** Asking ICU costs as much as an answer from the cache. Bounded: names may differ in upper and lower case. */
const knownZones = new Set(['UTC'])
const knownZonesMax = 1_024

export function isTimeZone(name: string): boolean {
  if (knownZones.has(name)) return true
  if (name.length > 64 || !IANAZone.isValidZone(name)) return false
  if (knownZones.size < knownZonesMax) knownZones.add(name)
  return true
}

/** Start of the window that holds the instant. */
export function floorToInterval(us: number, interval: Interval, zone: string): number {
  return floorIn(us, interval, segmentsBetween(zone, us - 2 * usPerDay, us + usPerDay))
}

/**
 * Starts of the windows whose start is in [fromUs, toUs), and at the end the end of the last one.
 * `fromUs` must be a start.
 */
export function windowBoundaries(
  fromUs: number,
  toUs: number,
  interval: Interval,
  zone: string,
): number[] {
  const boundaries = [fromUs]
  const segments =
    interval === '5m' ? [] : segmentsBetween(zone, fromUs - 2 * usPerDay, toUs + 3 * usPerDay)
  let start = fromUs
  while (start < toUs) {
    start = nextStart(start, interval, segments)
    boundaries.push(start)
  }
  return boundaries
}

function nextStart(startUs: number, interval: Interval, segments: readonly ZoneSegment[]): number {
  if (interval === '5m') return startUs + usPer5Minutes
  // 36 hours after the start of a day of 23 to 25 hours it is the day after.
  const inNext = startUs + (interval === '1h' ? usPerHour : 1.5 * usPerDay)
  return floorIn(inNext, interval, segments)
}

function floorIn(us: number, interval: Interval, segments: readonly ZoneSegment[]): number {
  if (interval === '5m') return Math.floor(us / usPer5Minutes) * usPer5Minutes
  let index = segments.length - 1
  while (index > 0 && (segments[index] as ZoneSegment).fromUs > us) index--
  const here = segments[index] as ZoneSegment
  const lengthUs = interval === '1h' ? usPerHour : usPerDay
  const localStart = Math.floor((us + here.offsetUs) / lengthUs) * lengthUs
  const start = localStart - here.offsetUs
  const before = segments[index - 1]
  if (start >= here.fromUs || before === undefined) return start
  // The clock was shifted inside this window: it began under the offset before, unless the shift skipped
  // or repeated its beginning.
  if (interval === '1h') return here.fromUs
  return Math.min(localStart - before.offsetUs, here.fromUs)
}

/** Bounded: zones × years that are asked for; emptied when full, as it is cheap to make again. */
const segmentsOfYear = new Map<string, readonly ZoneSegment[]>()
const yearsMax = 512

function segmentsBetween(zone: string, fromUs: number, toUs: number): ZoneSegment[] {
  const result: ZoneSegment[] = []
  const lastYear = new Date(toUs / 1_000).getUTCFullYear()
  for (let year = new Date(fromUs / 1_000).getUTCFullYear(); year <= lastYear; year++) {
    for (const segment of segmentsIn(zone, year)) {
      if (result.at(-1)?.offsetUs !== segment.offsetUs) result.push(segment)
    }
  }
  return result
}

function segmentsIn(zone: string, year: number): readonly ZoneSegment[] {
  const key = `${year} ${zone}`
  const known = segmentsOfYear.get(key)
  if (known !== undefined) return known
  const rules = IANAZone.create(zone)
  const offsetUs = (us: number) => rules.offset(us / 1_000) * 60_000_000
  const endUs = Date.UTC(year + 1, 0, 1) * 1_000
  let fromUs = Date.UTC(year, 0, 1) * 1_000
  const segments: ZoneSegment[] = [{ fromUs, offsetUs: offsetUs(fromUs) }]
  // No zone shifts its clock there and back within 12 hours.
  for (; fromUs < endUs; fromUs += usPerDay / 2) {
    const toUs = Math.min(fromUs + usPerDay / 2, endUs - usPer5Minutes)
    if (offsetUs(toUs) === offsetUs(fromUs)) continue
    let [low, high] = [fromUs, toUs]
    while (high - low > usPer5Minutes) {
      const middle = Math.floor((low + high) / 2 / usPer5Minutes) * usPer5Minutes
      if (offsetUs(middle) === offsetUs(fromUs)) low = middle
      else high = middle
    }
    segments.push({ fromUs: high, offsetUs: offsetUs(high) })
  }
  if (segmentsOfYear.size >= yearsMax) segmentsOfYear.clear()
  segmentsOfYear.set(key, segments)
  return segments
}
