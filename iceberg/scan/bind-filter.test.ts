import { expect, test } from 'vitest'
import type { StructType } from '../spec/table-metadata.ts'
import { bindFilter, type ValueTest } from './bind-filter.ts'
import type { ScanExpression, ScanPredicate } from './scan-filter.ts'

const schema: StructType = {
  type: 'struct',
  fields: [
    ['n', 'int'],
    ['f', 'float'],
    ['q', 'decimal(3,1)'],
    ['t', 'time'],
    ['a.b', 'string'],
    ['a', { type: 'struct', fields: [{ id: 98, name: 'b', required: false, type: 'int' }] }],
    ['l', { type: 'list', elementId: 99, element: 'int', elementRequired: false }],
  ].map(([name, type], i) => ({ id: i + 1, name, required: false, type })) as StructType['fields'],
}

/** What stands in a filter of one predicate. */
function bound(expression: ScanExpression): unknown {
  const filter = bindFilter(schema, [expression])
  const strip = (each: typeof filter): unknown =>
    each.op === 'test' ? each.test : { op: each.op, of: each.of.map(strip) }
  return (strip(filter) as { of: unknown[] }).of[0]
}

const never: ValueTest = { op: 'in', values: [] }
const always: ValueTest = { op: 'is not null' }

test.each<[ScanPredicate, ValueTest]>([
  [
    { column: 'n', op: '<', value: 2.5 },
    { op: '<=', value: 2 },
  ],
  [
    { column: 'n', op: '>=', value: -2.5 },
    { op: '>=', value: -2 },
  ],
  [{ column: 'n', op: '=', value: 2.5 }, never],
  [{ column: 'n', op: '!=', value: 2.5 }, always],
  [{ column: 'n', op: '<', value: 2n ** 31n }, always],
  [{ column: 'n', op: '>', value: 2n ** 31n }, never],
  [{ column: 'n', op: '>', value: -Infinity }, always],
  [
    { column: 'n', op: 'in', values: [1, 1.5, 2n ** 40n] },
    { op: 'in', values: [1] },
  ],
  [{ column: 'q', op: '<=', value: 1_000n }, always],
  [
    { column: 'q', op: '<=', value: 999n },
    { op: '<=', value: 999n },
  ],
  [{ column: 't', op: '<', value: -1 }, never],
  [
    { column: 'f', op: '=', value: 0.1 },
    { op: '=', value: Math.fround(0.1) },
  ],
])('$column $op asks for values that the type can hold', (predicate, expected) => {
  expect(bound(predicate)).toEqual(expected)
})

test('a negation goes down to the comparisons, and NaN is not less than anything', () => {
  const less: ScanPredicate = { column: 'n', op: '<', value: 5 }
  const isNull: ScanPredicate = { column: 'n', op: 'is null' }
  expect(bound({ op: 'not', of: { op: 'and', of: [less, { op: 'not', of: isNull }] } })).toEqual({
    op: 'or',
    of: [{ op: '>=', value: 5 }, { op: 'is null' }],
  })
  expect(bound({ op: 'not', of: { column: 'f', op: '<', value: 5 } })).toEqual({
    op: 'or',
    of: [{ op: '>=', value: 5 }, { op: 'is nan' }],
  })
})

test('a column that can not be NaN is never NaN, and negating that does not find its nulls', () => {
  expect(bound({ column: 'n', op: 'is nan' })).toEqual(never)
  expect(bound({ op: 'not', of: { column: 'n', op: 'is not nan' } })).toEqual(never)
})

test('a name with dots is a column before it is a field of a struct', () => {
  expect(bound({ column: 'a.b', op: '=', value: 'x' })).toEqual({ op: '=', value: 'x' })
  const nested: StructType = { ...schema, fields: schema.fields.filter(({ id }) => id !== 5) }
  const filter = bindFilter(nested, [{ column: 'a.b', op: '=', value: 1 }])
  expect(filter).toMatchObject({ of: [{ field: { id: 98 }, path: [{ id: 6 }, { id: 98 }] }] })
})

test('what can not be compared is refused by name; whether a list is there can be asked', () => {
  const bind = (predicate: ScanPredicate) => () => bindFilter(schema, [predicate])
  expect(bind({ column: 'x', op: 'is null' })).toThrow(/no column x/)
  expect(bind({ column: 'l.element', op: '=', value: 1 })).toThrow(/no column l\.element/)
  expect(bind({ column: 'l', op: '=', value: 1 })).toThrow(/no column l can be filtered by/)
  expect(bind({ column: 'n', op: '=', value: 'x' })).toThrow(/n is compared with another type/)
  expect(bind({ column: 'f', op: '=', value: Number.NaN })).toThrow(/another type/)
  expect(bind({ column: 'n', op: 'starts with', value: 'x' })).toThrow(/no text/)
  expect(bound({ column: 'l', op: 'is null' })).toEqual({ op: 'is null' })
})
