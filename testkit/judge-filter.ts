/** What a filter means, said once more and plainly: the judge of everything that prunes or translates filters. */
import * as fc from 'fast-check'
import { compareSingleValues, type SingleValue } from '../iceberg/codec/single-value.ts'
import type { ScanExpression, ScanPredicate } from '../iceberg/scan/scan-filter.ts'

/** What SQL makes of it: null is unknown. */
export function judgeFilter(
  row: Record<string, SingleValue | null>,
  expression: ScanExpression,
): boolean | null {
  if ('column' in expression) return judgeValue(row[expression.column] ?? null, expression)
  if (expression.op === 'not') {
    const inner = judgeFilter(row, expression.of)
    return inner === null ? null : !inner
  }
  const results = expression.of.map((each) => judgeFilter(row, each))
  const decisive = expression.op === 'or'
  if (results.includes(decisive)) return decisive
  return results.includes(null) ? null : !decisive
}

function judgeValue(value: SingleValue | null, predicate: ScanPredicate): boolean | null {
  if (predicate.op === 'is null') return value === null
  if (predicate.op === 'is not null') return value !== null
  if (value === null) return null
  const isNan = Number.isNaN(value)
  const order = (other: SingleValue) => (isNan ? Number.NaN : compareSingleValues(value, other))
  switch (predicate.op) {
    case 'is nan':
      return isNan
    case 'is not nan':
      return !isNan
    case 'in':
      return predicate.values.some((each) => order(each) === 0)
    case 'not in':
      return !predicate.values.some((each) => order(each) === 0)
    case 'starts with':
      return String(value).startsWith(predicate.value)
    case 'not starts with':
      return !String(value).startsWith(predicate.value)
    case '=':
      return order(predicate.value) === 0
    case '!=':
      return order(predicate.value) !== 0
    case '<':
      return order(predicate.value) < 0
    case '<=':
      return order(predicate.value) <= 0
    case '>':
      return order(predicate.value) > 0
    case '>=':
      return order(predicate.value) >= 0
  }
}

/** Filters over columns by name, with values like theirs; `texts` are those that hold text. */
export function filterExpressions(
  columns: Readonly<Record<string, fc.Arbitrary<SingleValue>>>,
  texts: readonly string[],
): fc.Arbitrary<ScanExpression> {
  const predicates = fc.constantFrom(...Object.keys(columns)).chain((name) => {
    const values = columns[name] as fc.Arbitrary<SingleValue>
    const column = fc.constant(name)
    return fc.oneof(
      fc.record({
        column,
        op: fc.constantFrom('=', '!=', '<', '<=', '>', '>='),
        value: values,
      }),
      fc.record({
        column,
        op: fc.constantFrom('in', 'not in'),
        values: fc.array(values, { maxLength: 3 }),
      }),
      fc.record({
        column,
        op: fc.constantFrom('is null', 'is not null', 'is nan', 'is not nan'),
      }),
      fc.record({
        column: fc.constantFrom(...texts),
        op: fc.constantFrom('starts with', 'not starts with'),
        value: fc.string({ unit: 'binary', maxLength: 3 }).filter((text) => text.isWellFormed()),
      }),
    ) as fc.Arbitrary<ScanPredicate>
  })
  const { expression } = fc.letrec<{ expression: ScanExpression }>((tie) => ({
    expression: fc.oneof(
      { maxDepth: 2, withCrossShrink: true },
      predicates,
      fc.record({
        op: fc.constantFrom('and', 'or'),
        of: fc.array(tie('expression'), { maxLength: 3 }),
      }),
      fc.record({ op: fc.constant('not'), of: tie('expression') }),
    ) as fc.Arbitrary<ScanExpression>,
  }))
  return expression
}
