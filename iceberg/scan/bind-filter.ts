/**
 * A filter bound to a schema: columns are fields, `not` is pushed down into the comparisons, and values are
 * such that every consumer (partitions, bounds, an engine's SQL) understands them alike: rounded to a float
 * where the column is one, whole and within the type's range where it holds whole numbers.
 */
import { PotokError } from '../../kernel/errors.ts'
import { isOfType, type SingleValue } from '../codec/single-value.ts'
import type { IcebergType, NestedField, StructType } from '../spec/table-metadata.ts'
import type { ScanExpression, ScanFilter, ScanPredicate } from './scan-filter.ts'

export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>='

/** What is asked of one value. */
export type ValueTest =
  | { readonly op: '='; readonly value: SingleValue }
  | { readonly op: Exclude<Comparison, '='>; readonly value: SingleValue }
  | { readonly op: 'in'; readonly values: readonly SingleValue[] }
  | { readonly op: 'not in'; readonly values: readonly SingleValue[] }
  | { readonly op: 'is null' | 'is not null' | 'is nan' | 'is not nan' }
  | { readonly op: 'starts with' | 'not starts with'; readonly value: string }

export type BoundPredicate = {
  readonly op: 'test'
  readonly field: NestedField
  /** Fields from the top level down to `field`, which is its last. */
  readonly path: readonly NestedField[]
  readonly test: ValueTest
}

export type BoundFilter =
  | BoundPredicate
  | { readonly op: 'and' | 'or'; readonly of: readonly BoundFilter[] }

/** InvalidInput where a column is unknown or nested in a list or map, or a value isn't of its type. */
export function bindFilter(schema: StructType, filter: ScanFilter): BoundFilter {
  return { op: 'and', of: filter.map((each) => bind(schema, each, false)) }
}

function bind(schema: StructType, expression: ScanExpression, isNegated: boolean): BoundFilter {
  if ('column' in expression) return bindPredicate(schema, expression, isNegated)
  if (expression.op === 'not') return bind(schema, expression.of, !isNegated)
  const isAnd = (expression.op === 'and') !== isNegated
  return {
    op: isAnd ? 'and' : 'or',
    of: expression.of.map((each) => bind(schema, each, isNegated)),
  }
}

function bindPredicate(
  schema: StructType,
  predicate: ScanPredicate,
  isNegated: boolean,
): BoundFilter {
  const path = columnPath(schema, predicate.column)
  const field = path?.at(-1)
  if (path === null || field === undefined || typeof field.type !== 'string') {
    // A struct, list or map can only be asked whether it is there.
    const isNullTest = predicate.op === 'is null' || predicate.op === 'is not null'
    if (path === null || field === undefined || !isNullTest) {
      throw new PotokError('InvalidInput', `no column ${predicate.column} can be filtered by`, {
        context: { column: predicate.column },
      })
    }
  }
  const leaf = (test: ValueTest): BoundPredicate => ({ op: 'test', field, path, test })
  const test = testOf(field.type, predicate)
  if (!isNegated) return leaf(fitting(field.type, test))
  const negated = leaf(fitting(field.type, negate(test)))
  // NaN is not less than 5, hence it is "not (less than 5)".
  const isRange = test.op === '<' || test.op === '<=' || test.op === '>' || test.op === '>='
  return isRange && isFloating(field.type)
    ? { op: 'or', of: [negated, leaf({ op: 'is nan' })] }
    : negated
}

/** A name of the top level first, since names may hold dots; then `struct.field`. */
export function columnPath(struct: StructType, name: string): NestedField[] | null {
  const exact = struct.fields.find((field) => field.name === name)
  if (exact !== undefined) return [exact]
  for (const field of struct.fields) {
    if (typeof field.type === 'string' || field.type.type !== 'struct') continue
    if (!name.startsWith(`${field.name}.`)) continue
    const below = columnPath(field.type, name.slice(field.name.length + 1))
    if (below !== null) return [field, ...below]
  }
  return null
}

function testOf(type: IcebergType, predicate: ScanPredicate): ValueTest {
  const value = (given: SingleValue): SingleValue => {
    if (!isOfType(type, given)) {
      throw new PotokError('InvalidInput', `${predicate.column} is compared with another type`, {
        context: { column: predicate.column, type },
      })
    }
    return type === 'float' ? Math.fround(Number(given)) : given
  }
  switch (predicate.op) {
    case 'in':
    case 'not in':
      return { op: predicate.op, values: predicate.values.map(value) }
    case 'starts with':
    case 'not starts with':
      if (type !== 'string') {
        throw new PotokError('InvalidInput', `${predicate.column} has no text that could start`, {
          context: { column: predicate.column, type },
        })
      }
      return { op: predicate.op, value: predicate.value }
    case 'is nan':
    case 'is not nan':
      if (!isFloating(type)) {
        // No value is NaN. (`is not null` would say the same, but not once it is negated.)
        return { op: predicate.op === 'is nan' ? 'in' : 'not in', values: [] }
      }
      return { op: predicate.op }
    case 'is null':
    case 'is not null':
      return { op: predicate.op }
    case '=':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
      return { op: predicate.op, value: value(predicate.value) }
  }
}

const opposites = {
  '=': '!=',
  '!=': '=',
  '<': '>=',
  '<=': '>',
  '>': '<=',
  '>=': '<',
  in: 'not in',
  'not in': 'in',
  'is null': 'is not null',
  'is not null': 'is null',
  'is nan': 'is not nan',
  'is not nan': 'is nan',
  'starts with': 'not starts with',
  'not starts with': 'starts with',
} as const

function negate(test: ValueTest): ValueTest {
  return { ...test, op: opposites[test.op] } as ValueTest
}

export function isFloating(type: IcebergType): boolean {
  return type === 'float' || type === 'double'
}

const never: ValueTest = { op: 'in', values: [] }
/** True for every value that is there. */
const always: ValueTest = { op: 'is not null' }

/** The same test with values that the type can hold: `n < 2.5` is `n <= 2`, `n < 2^70` always holds. */
function fitting(type: IcebergType, test: ValueTest): ValueTest {
  const range = rangeOf(type)
  if (range === null) return test
  const holds = (value: SingleValue) =>
    (typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))) &&
    value >= range.min &&
    value <= range.max
  if (test.op === 'in' || test.op === 'not in') {
    return { op: test.op, values: test.values.filter(holds) }
  }
  if (!('value' in test) || holds(test.value)) return test
  const value = test.value as number | bigint
  const isUpper = test.op === '<' || test.op === '<='
  const isLower = test.op === '>' || test.op === '>='
  if (test.op === '=') return never
  if (value > range.max) return isLower ? never : always
  if (value < range.min) return isUpper ? never : always
  if (isUpper) return { op: '<=', value: Math.floor(Number(value)) }
  if (isLower) return { op: '>=', value: Math.ceil(Number(value)) }
  return always
}

/** What a type of whole numbers holds; null for all other types. */
function rangeOf(type: IcebergType): { readonly min: bigint; readonly max: bigint } | null {
  switch (type) {
    case 'int':
    case 'date':
      return { min: -(2n ** 31n), max: 2n ** 31n - 1n }
    case 'long':
    case 'timestamp':
    case 'timestamptz':
    case 'timestamp_ns':
    case 'timestamptz_ns':
      return { min: -(2n ** 63n), max: 2n ** 63n - 1n }
    case 'time':
      return { min: 0n, max: 86_399_999_999n }
  }
  const precision = typeof type === 'string' ? /^decimal\(\s*(\d+)/.exec(type)?.[1] : undefined
  if (precision === undefined) return null
  const max = 10n ** BigInt(precision) - 1n
  return { min: -max, max }
}
