/**
 * Partial sums of the speeds that one camera saw in one window: what a row of a rollup table holds
 * (DESIGN §3). Pure.
 *
 * Invariants: all arithmetic is of integers, so the order of additions never matters and every engine gets
 * the same bits; sums of sums equal the sums over all events; an average is formed once, at the edge, and
 * rounded there to 0.001 km/h. Formulas with their sources: docs/reference/formulas.md.
 *
 * Sums that can leave the safe integers of a double carry on in a bigint (`…High`): adding stays as fast as
 * adding numbers. Counts and Σv can't: 2⁵³ is 22 thousand million vehicles at 400 km/h.
 */
import {
  addToHistogram,
  createHistogram,
  forEachBin,
  type SpeedHistogram,
} from './partial-sums-histogram.ts'

export type PartialSums = {
  eventCount: number
  /** Σv, 0.001 km/h. */
  speedSumMilli: number
  /** Σv² is this plus `speedSumSqHigh`, (0.001 km/h)². */
  speedSumSq: number
  speedSumSqHigh: bigint
  /** Σ1/v of those that move is this plus `paceSumHigh`, µs per km. */
  paceSum: number
  paceSumHigh: bigint
  standingCount: number
  /** Least and greatest speed; ±Infinity where there was no event. */
  speedMinMilli: number
  speedMaxMilli: number
  /** Events above the limit among those for which one was known; null where none was for any. */
  violationCount: number | null
  lateCount: number
  readonly histogram: SpeedHistogram
}

/** Below this a vehicle stands: 1/v would say more about the detector's resolution than about travel time. */
export const standingMilli = 1_000
/** µs in an hour times 1,000: over a speed in 0.001 km/h it is a pace in µs per km. */
const paceNumerator = 3_600_000_000_000
/** Windows of one histogram key, 0.001 km/h. */
const histogramBinMilli = 1_000

export function createSums(): PartialSums {
  return {
    eventCount: 0,
    speedSumMilli: 0,
    speedSumSq: 0,
    speedSumSqHigh: 0n,
    paceSum: 0,
    paceSumHigh: 0n,
    standingCount: 0,
    speedMinMilli: Number.POSITIVE_INFINITY,
    speedMaxMilli: Number.NEGATIVE_INFINITY,
    violationCount: null,
    lateCount: 0,
    histogram: createHistogram(),
  }
}

/** A detection is late where it came more than the allowed lateness after its event time. */
export function isLate(eventTimeUs: number, receivedAtUs: number, latenessUsMax: number): boolean {
  return receivedAtUs - eventTimeUs > latenessUsMax
}

/**
 * µs per km, rounded half up: ⌊(3.6·10¹² + ⌊v/2⌋)/v⌋. The division of doubles gives that floor: numerator
 * and v are exact, the quotient is below 3.6·10⁹ and at least 1/v ≥ 2.5·10⁻⁶ below the next integer unless
 * it is one, and a double's error there is 2.4·10⁻⁷.
 */
export function paceUsPerKm(speedMilli: number): number {
  return Math.floor((paceNumerator + Math.floor(speedMilli / 2)) / speedMilli)
}

/** `limitMilli` is the camera's speed limit at that time, null where none is known. */
export function addDetection(
  sums: PartialSums,
  speedMilli: number,
  late: boolean,
  limitMilli: number | null,
): void {
  sums.eventCount += 1
  sums.speedSumMilli += speedMilli
  addSpeedSumSq(sums, speedMilli * speedMilli)
  if (speedMilli < standingMilli) sums.standingCount += 1
  else addPace(sums, paceUsPerKm(speedMilli))
  if (speedMilli < sums.speedMinMilli) sums.speedMinMilli = speedMilli
  if (speedMilli > sums.speedMaxMilli) sums.speedMaxMilli = speedMilli
  if (limitMilli !== null) {
    sums.violationCount = (sums.violationCount ?? 0) + (speedMilli > limitMilli ? 1 : 0)
  }
  if (late) sums.lateCount += 1
  addToHistogram(sums.histogram, Math.floor(speedMilli / histogramBinMilli), 1)
}

/** Adds `from` to `into`. */
export function mergeSums(into: PartialSums, from: PartialSums): void {
  into.eventCount += from.eventCount
  into.speedSumMilli += from.speedSumMilli
  addSpeedSumSq(into, from.speedSumSq)
  into.speedSumSqHigh += from.speedSumSqHigh
  addPace(into, from.paceSum)
  into.paceSumHigh += from.paceSumHigh
  into.standingCount += from.standingCount
  into.speedMinMilli = Math.min(into.speedMinMilli, from.speedMinMilli)
  into.speedMaxMilli = Math.max(into.speedMaxMilli, from.speedMaxMilli)
  if (from.violationCount !== null) {
    into.violationCount = (into.violationCount ?? 0) + from.violationCount
  }
  into.lateCount += from.lateCount
  forEachBin(from.histogram, (bin, count) => addToHistogram(into.histogram, bin, count))
}

/** Σv², whole. */
export function speedSumSqOf(sums: Pick<PartialSums, 'speedSumSq' | 'speedSumSqHigh'>): bigint {
  return sums.speedSumSqHigh + BigInt(sums.speedSumSq)
}

/** Σ1/v, whole. */
export function paceSumOf(sums: Pick<PartialSums, 'paceSum' | 'paceSumHigh'>): bigint {
  return sums.paceSumHigh + BigInt(sums.paceSum)
}

/** Two safe integers never add up to a wrong one: above 2⁵³ what was there is put aside first. */
function addSpeedSumSq(sums: PartialSums, more: number): void {
  const sum = sums.speedSumSq + more
  if (sum <= Number.MAX_SAFE_INTEGER) {
    sums.speedSumSq = sum
    return
  }
  sums.speedSumSqHigh += BigInt(sums.speedSumSq)
  sums.speedSumSq = more
}

function addPace(sums: PartialSums, more: number): void {
  const sum = sums.paceSum + more
  if (sum <= Number.MAX_SAFE_INTEGER) {
    sums.paceSum = sum
    return
  }
  sums.paceSumHigh += BigInt(sums.paceSum)
  sums.paceSum = more
}

/** Time-mean speed Σv/n: the mean of the spot speeds (Wardrop 1952). km/h to 0.001; null without events. */
export function timeMeanSpeedKmh(
  sums: Pick<PartialSums, 'eventCount' | 'speedSumMilli'>,
): number | null {
  if (sums.eventCount === 0) return null
  return divideHalfUp(BigInt(sums.speedSumMilli), BigInt(sums.eventCount)) / 1_000
}

/**
 * Space-mean speed n/Σ(1/v): the harmonic mean, of those that move (Wardrop 1952). km/h to 0.001; null where
 * nobody moves.
 */
export function spaceMeanSpeedKmh(
  sums: Pick<PartialSums, 'eventCount' | 'standingCount' | 'paceSum' | 'paceSumHigh'>,
): number | null {
  const moving = sums.eventCount - sums.standingCount
  if (moving === 0) return null
  return divideHalfUp(BigInt(paceNumerator) * BigInt(moving), paceSumOf(sums)) / 1_000
}

/** The nearest integer to a/b, a half going up; a ≥ 0, b > 0. */
function divideHalfUp(a: bigint, b: bigint): number {
  return Number((2n * a + b) / (2n * b))
}
