/**
 * What is known of a set of values without reading them (a partition, a manifest's partition summary, the
 * bounds of a column in a file), and whether one of them may pass a test. The answer "no" is a proof; where
 * something is unknown the answer is "may be".
 *
 * Bounds may be wider than the values (strings are cut), never narrower. NaN and null lie outside of them.
 */
import { compareSingleValues, type SingleValue, truncateLower } from '../codec/single-value.ts'
import type { IcebergType } from '../spec/table-metadata.ts'
import type { Comparison, ValueTest } from './bind-filter.ts'

export type ValueSummary = {
  readonly type: IcebergType
  /** null: unknown. */
  readonly lower: SingleValue | null
  readonly upper: SingleValue | null
  readonly mayHoldNull: boolean
  readonly mayHoldNan: boolean
  /** A value other than null; NaN is one. */
  readonly mayHoldValue: boolean
}

export function mayPass(summary: ValueSummary, test: ValueTest): boolean {
  switch (test.op) {
    case 'is null':
      return summary.mayHoldNull
    case 'is not null':
    case 'is not nan':
      return summary.mayHoldValue
    case 'is nan':
      return summary.mayHoldValue && summary.mayHoldNan
    case 'in':
      return summary.mayHoldValue && test.values.some((value) => mayEqual(summary, value))
    case '=':
      return summary.mayHoldValue && mayEqual(summary, test.value)
    case 'not in':
      return summary.mayHoldValue && !test.values.some((value) => areAll(summary, value))
    case '!=':
      return summary.mayHoldValue && !areAll(summary, test.value)
    case 'starts with':
      return summary.mayHoldValue && mayStartWith(summary, test.value)
    case 'not starts with':
      return summary.mayHoldValue && !doAllStartWith(summary, test.value)
    case '<':
    case '<=':
    case '>':
    case '>=':
      return summary.mayHoldValue && mayLie(summary, test.op, test.value)
  }
}

function mayLie(
  summary: ValueSummary,
  op: Exclude<Comparison, '=' | '!='>,
  value: SingleValue,
): boolean {
  // Writers don't agree in which order uuids are: signed (Java's own) or unsigned.
  if (summary.type === 'uuid') return true
  const isUpper = op === '<' || op === '<='
  const bound = known(isUpper ? summary.lower : summary.upper)
  if (bound === null) return true
  const order = compareSingleValues(bound, value) * (isUpper ? 1 : -1)
  return order < 0 || (order === 0 && (op === '<=' || op === '>='))
}

function mayEqual(summary: ValueSummary, value: SingleValue): boolean {
  if (isWithin(summary, value, compareSingleValues)) return true
  return summary.type === 'uuid' && isWithin(summary, value, compareSigned)
}

function isWithin(
  summary: ValueSummary,
  value: SingleValue,
  compare: (a: SingleValue, b: SingleValue) => number,
): boolean {
  const lower = known(summary.lower)
  const upper = known(summary.upper)
  return (
    (lower === null || compare(value, lower) >= 0) && (upper === null || compare(value, upper) <= 0)
  )
}

/** As Java compares uuids: both halves as signed numbers. */
function compareSigned(a: SingleValue, b: SingleValue): number {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return compareSingleValues(a, b)
  return Buffer.compare(flipSigns(a), flipSigns(b))
}

function flipSigns(bytes: Uint8Array): Uint8Array {
  const flipped = Uint8Array.from(bytes)
  for (const at of [0, 8]) flipped[at] = (flipped[at] ?? 0) ^ 0x80
  return flipped
}

/** Is every value, other than null, certainly this one? */
function areAll(summary: ValueSummary, value: SingleValue): boolean {
  const { lower, upper } = summary
  return (
    !summary.mayHoldNan &&
    lower !== null &&
    upper !== null &&
    compareSingleValues(lower, value) === 0 &&
    compareSingleValues(upper, value) === 0
  )
}

function mayStartWith(summary: ValueSummary, prefix: string): boolean {
  const { lower, upper } = summary
  if (typeof upper === 'string' && compareSingleValues(upper, prefix) < 0) return false
  if (typeof lower !== 'string') return true
  return compareSingleValues(truncateLower(lower, Array.from(prefix).length), prefix) <= 0
}

function doAllStartWith({ lower, upper }: ValueSummary, prefix: string): boolean {
  return (
    typeof lower === 'string' &&
    typeof upper === 'string' &&
    lower.startsWith(prefix) &&
    upper.startsWith(prefix)
  )
}

/** Old writers put NaN into bounds: then nothing is known. */
function known(bound: SingleValue | null): SingleValue | null {
  return typeof bound === 'number' && Number.isNaN(bound) ? null : bound
}
