/**
 * What a scan asks for, and whether a partition or a file may hold it. The answer "no" is a proof; wherever
 * bounds are missing, unreadable or of an unknown transform the answer is "may be".
 * Comparisons never match null nor NaN.
 */
import { applyTransform, isMonotone, type Transform } from '../spec/transforms.ts'
import { compareSingleValues, type SingleValue } from '../codec/single-value.ts'
import type { IcebergType } from '../spec/table-metadata.ts'

/** Values as in `codec/single-value.ts`: timestamps in µs, dates in days, uuids as 16 bytes. */
export type ScanPredicate =
  | {
      readonly column: string
      readonly op: '=' | '<' | '<=' | '>' | '>='
      readonly value: SingleValue
    }
  | { readonly column: string; readonly op: 'in'; readonly values: readonly SingleValue[] }

/** All of them hold for the rows asked for. */
export type ScanFilter = readonly ScanPredicate[]

/** Rows whose timestamp lies on the UTC days [fromDay, toDay). */
export function daysFilter(column: string, fromDay: number, toDay: number): ScanFilter {
  return [
    { column, op: '>=', value: fromDay * 86_400_000_000 },
    { column, op: '<', value: toDay * 86_400_000_000 },
  ]
}

/** What a predicate leaves of one column: a range with inclusive or exclusive ends, or some values. */
export type Range = {
  readonly lower: { readonly value: SingleValue; readonly isInclusive: boolean } | null
  readonly upper: { readonly value: SingleValue; readonly isInclusive: boolean } | null
  readonly anyOf: readonly SingleValue[] | null
}

export function rangeOf(predicate: ScanPredicate): Range {
  switch (predicate.op) {
    case '=':
      return { lower: null, upper: null, anyOf: [predicate.value] }
    case 'in':
      return { lower: null, upper: null, anyOf: predicate.values }
    case '<':
    case '<=':
      return {
        lower: null,
        upper: { value: predicate.value, isInclusive: predicate.op === '<=' },
        anyOf: null,
      }
    case '>':
    case '>=':
      return {
        lower: { value: predicate.value, isInclusive: predicate.op === '>=' },
        upper: null,
        anyOf: null,
      }
  }
}

/** May a value between the bounds (null: unknown) lie in the range? */
export function mayOverlap(
  range: Range,
  lowerBound: SingleValue | null,
  upperBound: SingleValue | null,
): boolean {
  const low = isNan(lowerBound) ? null : lowerBound
  const high = isNan(upperBound) ? null : upperBound
  if (range.anyOf !== null) {
    return range.anyOf.some(
      (value) =>
        (low === null || compareSingleValues(value, low) >= 0) &&
        (high === null || compareSingleValues(value, high) <= 0),
    )
  }
  if (range.upper !== null && low !== null) {
    const order = compareSingleValues(low, range.upper.value)
    if (order > 0 || (order === 0 && !range.upper.isInclusive)) return false
  }
  if (range.lower !== null && high !== null) {
    const order = compareSingleValues(high, range.lower.value)
    if (order < 0 || (order === 0 && !range.lower.isInclusive)) return false
  }
  return true
}

/**
 * The range that partition values of matching rows lie in; null where the transform says nothing about it.
 * Times before 1970: old writers rounded them towards zero, so an upper end below zero is taken one higher
 * (as the Java client does).
 */
export function projectRange(
  transform: Transform,
  source: IcebergType,
  range: Range,
): Range | null {
  if (transform.name === 'identity') return range
  if (transform.name === 'void' || transform.name === 'unknown') return null
  const isTime =
    transform.name === 'year' ||
    transform.name === 'month' ||
    transform.name === 'day' ||
    transform.name === 'hour'
  const apply = (value: SingleValue) => applyTransform(transform, source, value) as SingleValue
  if (range.anyOf !== null) {
    const values = range.anyOf.map(apply)
    const widened = isTime
      ? values.flatMap((value) =>
          (value as number) < 0 ? [value, (value as number) + 1] : [value],
        )
      : values
    return { lower: null, upper: null, anyOf: widened }
  }
  if (!isMonotone(transform)) return null
  const lower = range.lower === null ? null : apply(lastExcluded(source, range.lower, 1))
  let upper = range.upper === null ? null : apply(lastExcluded(source, range.upper, -1))
  if (isTime && typeof upper === 'number' && upper < 0) upper++
  return {
    lower: lower === null ? null : { value: lower, isInclusive: true },
    upper: upper === null ? null : { value: upper, isInclusive: true },
    anyOf: null,
  }
}

/** An exclusive end over whole numbers is the inclusive one beside it: `< midnight` is the day before. */
function lastExcluded(
  source: IcebergType,
  end: { readonly value: SingleValue; readonly isInclusive: boolean },
  step: 1 | -1,
): SingleValue {
  if (end.isInclusive || !isDiscrete(source)) return end.value
  if (typeof end.value === 'bigint') return end.value + BigInt(step)
  // A fraction (of a microsecond, say) has no whole neighbour at this distance: keep it, which is wider.
  return Number.isSafeInteger(end.value) ? (end.value as number) + step : end.value
}

function isDiscrete(source: IcebergType): boolean {
  return (
    source === 'int' ||
    source === 'long' ||
    source === 'date' ||
    (typeof source === 'string' && source.startsWith('time'))
  )
}

function isNan(value: SingleValue | null): boolean {
  return typeof value === 'number' && Number.isNaN(value)
}
