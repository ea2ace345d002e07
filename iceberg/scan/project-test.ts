/**
 * A test of a column as a test of its partition value (spec, "Scan Planning": inclusive projection): every row
 * that passes the first lies in a partition whose value passes the second. null where nothing can be said.
 */
import type { SingleValue } from '../codec/single-value.ts'
import type { IcebergType } from '../spec/table-metadata.ts'
import { applyTransform, isMonotone, type Transform } from '../spec/transforms.ts'
import type { ValueTest } from './bind-filter.ts'

export function projectTest(
  transform: Transform,
  source: IcebergType,
  test: ValueTest,
): ValueTest | null {
  if (transform.name === 'identity') return test
  if (transform.name === 'void' || transform.name === 'unknown') return null
  const apply = (value: SingleValue) => applyTransform(transform, source, value) as SingleValue
  switch (test.op) {
    case 'is null':
    case 'is not null':
      // These transforms make null of null, and of nothing else.
      return test
    case '=':
    case 'in': {
      const values = (test.op === '=' ? [test.value] : test.values).map(apply)
      return { op: 'in', values: isOfTime(transform) ? values.flatMap(withOldRounding) : values }
    }
    case 'starts with': {
      if (transform.name !== 'truncate') return null
      const isLonger = Array.from(test.value).length >= transform.width
      return isLonger ? { op: '=', value: apply(test.value) } : test
    }
    case '<':
    case '<=':
    case '>':
    case '>=':
      return isMonotone(transform) ? projectRange(transform, source, test.op, test.value) : null
    case '!=':
    case 'not in':
    case 'not starts with':
    case 'is nan':
    case 'is not nan':
      return null
  }
}

function projectRange(
  transform: Transform,
  source: IcebergType,
  op: '<' | '<=' | '>' | '>=',
  value: SingleValue,
): ValueTest {
  const isUpper = op === '<' || op === '<='
  const isStrict = op === '<' || op === '>'
  const end = isStrict && isDiscrete(source) ? neighbour(value, isUpper ? -1 : 1) : value
  const projected = applyTransform(transform, source, end) as SingleValue
  if (!isUpper) return { op: '>=', value: projected }
  const widest = isOfTime(transform) ? (withOldRounding(projected).at(-1) as number) : projected
  return { op: '<=', value: widest }
}

/**
 * Times before 1970: old writers rounded them towards zero, so a value below zero may stand one higher (as the
 * Java client takes it).
 */
function withOldRounding(value: SingleValue): SingleValue[] {
  return typeof value === 'number' && value < 0 ? [value, value + 1] : [value]
}

function isOfTime({ name }: Transform): boolean {
  return name === 'year' || name === 'month' || name === 'day' || name === 'hour'
}

/** An exclusive end over whole numbers is the inclusive one beside it: `< midnight` is the day before. */
function neighbour(value: SingleValue, step: 1 | -1): SingleValue {
  if (typeof value === 'bigint') return value + BigInt(step)
  return Number.isSafeInteger(value) ? (value as number) + step : value
}

function isDiscrete(source: IcebergType): boolean {
  return (
    source === 'int' ||
    source === 'long' ||
    source === 'date' ||
    (typeof source === 'string' && source.startsWith('time'))
  )
}
