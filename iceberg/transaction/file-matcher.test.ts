/** What is proven of a file by partition and bounds holds for its rows, and whole partitions are proven. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rowsOf } from '../../testkit/iceberg-rows.ts'
import { compareSingleValues, type SingleValue } from '../codec/single-value.ts'
import type { ScanExpression, ScanFilter } from '../scan/scan-filter.ts'
import { rowsByPartition } from '../spec/arrange-rows.ts'
import type { DataFile, PartitionValue } from '../spec/data-file.ts'
import { fileMetrics } from '../spec/file-metrics.ts'
import { metricsModes } from '../spec/metrics-modes.ts'
import { newTableMetadata } from '../spec/new-table.ts'
import { checkedRow, type Row } from '../spec/rows.ts'
import type { PartitionSpec, Schema } from '../spec/table-metadata.ts'
import { fileMatcher } from './file-matcher.ts'

const types = ['int', 'long', 'double', 'string', 'timestamptz', 'date', 'decimal(9,2)', 'boolean']
const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: types.map((type, i) => ({ id: i + 1, name: `c${i + 1}`, required: false, type })),
}
const transforms = [
  [1, 'truncate[10]'],
  [2, 'bucket[3]'],
  [3, 'identity'],
  [4, 'truncate[1]'],
  [5, 'day'],
  [5, 'hour'],
  [6, 'month'],
  [6, 'year'],
  [7, 'truncate[100]'],
  [8, 'identity'],
] as const

function metadataOf(spec: PartitionSpec) {
  return newTableMetadata(
    { uuid: 'u', location: 'file:///t', schema, partitionSpec: spec, properties: {} },
    1,
  )
}
function specOf(list: readonly (readonly [number, string])[]): PartitionSpec {
  return {
    specId: 0,
    fields: list.map(([sourceId, transform], i) => ({
      sourceId,
      fieldId: 1000 + i,
      name: `p${i}`,
      transform,
    })),
  }
}
function fileOf(
  partition: readonly PartitionValue[],
  rows: readonly Row[],
  properties: Record<string, string>,
): DataFile {
  const modes = metricsModes(properties, schema, { orderId: 0, fields: [] })
  return {
    content: 'data',
    filePath: 'f',
    fileFormat: 'PARQUET',
    specId: 0,
    partition,
    recordCount: rows.length,
    fileSizeBytes: 1,
    ...fileMetrics(schema, modes, rows),
  }
}

/** As SQL has it: null is unknown, NaN is outside of every order. */
function matches(row: Row, expression: ScanExpression): boolean | null {
  if (!('column' in expression)) {
    if (expression.op === 'not') {
      const inner = matches(row, expression.of)
      return inner === null ? null : !inner
    }
    const parts = expression.of.map((each) => matches(row, each))
    const decides = expression.op === 'or'
    if (parts.includes(decides)) return decides
    return parts.includes(null) ? null : !decides
  }
  const value = (row[expression.column] ?? null) as SingleValue | null
  if (expression.op === 'is null') return value === null
  if (expression.op === 'is not null') return value !== null
  if (value === null) return null
  const isNan = Number.isNaN(value)
  if (expression.op === 'is nan') return isNan
  if (expression.op === 'is not nan') return !isNan
  const order = (other: SingleValue) => (isNan ? Number.NaN : compareSingleValues(value, other))
  switch (expression.op) {
    case '=':
      return order(expression.value) === 0
    case '!=':
      return order(expression.value) !== 0
    case '<':
      return order(expression.value) < 0
    case '<=':
      return order(expression.value) <= 0
    case '>':
      return order(expression.value) > 0
    case '>=':
      return order(expression.value) >= 0
    case 'in':
      return expression.values.some((each) => order(each) === 0)
    case 'not in':
      return expression.values.every((each) => order(each) !== 0)
    case 'starts with':
      return String(value).startsWith(expression.value)
    case 'not starts with':
      return !String(value).startsWith(expression.value)
  }
}

/** Filters by values that are in the rows, so that they are hit. */
function filterOf(rows: readonly Row[], picks: readonly (readonly [number, number, number])[]) {
  const filter: ScanExpression[] = []
  for (const [column, row, op] of picks) {
    const name = `c${1 + (column % types.length)}`
    const value = (rows[row % Math.max(1, rows.length)]?.[name] ?? null) as SingleValue | null
    const unary = ['is null', 'is not null', 'is nan', 'is not nan'] as const
    const binary = ['=', '!=', '<', '<=', '>', '>='] as const
    const chosen = binary[op % 8]
    if (value === null || Number.isNaN(value)) {
      filter.push({ column: name, op: unary[op % 4] ?? 'is null' })
    } else if (chosen !== undefined) {
      filter.push({ column: name, op: chosen, value })
    } else {
      filter.push({ column: name, op: op % 2 === 0 ? 'in' : 'not in', values: [value] })
    }
  }
  const [first, second] = filter
  if (first === undefined || second === undefined) return filter
  const shape = (picks[0]?.[2] ?? 0) % 4
  if (shape === 0) return [{ op: 'or' as const, of: filter }]
  if (shape === 1) return [{ op: 'not' as const, of: { op: 'or' as const, of: filter } }]
  return shape === 2 ? [{ op: 'not' as const, of: first }, second] : filter
}

test('a file that must match has no other row, one that may not has none that matches', () => {
  const cases = fc.record({
    rows: rowsOf(schema, 12),
    list: fc.subarray([...transforms], { maxLength: 3 }),
    picks: fc.array(fc.tuple(fc.nat(50), fc.nat(50), fc.nat(50)), { minLength: 1, maxLength: 2 }),
    mode: fc.constantFrom('none', 'counts', 'truncate(2)', 'full'),
  })
  let proven = 0
  let excluded = 0
  fc.assert(
    fc.property(cases, ({ rows, list, picks, mode }) => {
      const spec = specOf(list)
      const checked = rows.map((row) => checkedRow(schema, row))
      const filter: ScanFilter = filterOf(checked, picks)
      const { mayMatch, mustMatch } = fileMatcher(metadataOf(spec), filter)
      for (const group of rowsByPartition(schema, spec, checked)) {
        const file = fileOf(group.partition, group.rows, { 'write.metadata.metrics.default': mode })
        const hits = group.rows.map((row) => filter.every((each) => matches(row, each) === true))
        if (mustMatch(file)) {
          proven++
          expect(hits.every(Boolean)).toBe(true)
        }
        if (!mayMatch(file)) {
          excluded++
          expect(hits.some(Boolean)).toBe(false)
        }
      }
    }),
    { numRuns: 300 },
  )
  expect(proven).toBeGreaterThan(20)
  expect(excluded).toBeGreaterThan(20)
})

test('a NaN or a null among the rows is no match, so nothing is proven of its file by bounds', () => {
  const { mustMatch } = fileMatcher(metadataOf(specOf([])), [{ column: 'c3', op: '>=', value: 1 }])
  const fileWith = (...values: (number | null)[]) =>
    fileOf(
      [],
      values.map((c3) => checkedRow(schema, { c3 })),
      {},
    )
  expect(mustMatch(fileWith(1, 2))).toBe(true)
  expect(mustMatch(fileWith(1, Number.NaN))).toBe(false)
  expect(mustMatch(fileWith(1, null))).toBe(false)
})

describe('by the partition alone is proven', () => {
  const dayUs = 86_400_000_000
  test.each<[string, number, PartitionValue, ScanFilter, boolean]>([
    ['day', 5, 3, [{ column: 'c5', op: '>=', value: 3 * dayUs }], true],
    ['day', 5, 3, [{ column: 'c5', op: '<', value: 4 * dayUs }], true],
    ['day', 5, 3, [{ column: 'c5', op: '<', value: 4 * dayUs - 1 }], false],
    ['hour', 5, 25, [{ column: 'c5', op: '>=', value: dayUs }], true],
    ['month', 6, 1, [{ column: 'c6', op: '>=', value: 31 }], true],
    ['month', 6, 1, [{ column: 'c6', op: '>', value: 31 }], false],
    ['year', 6, 1, [{ column: 'c6', op: '<=', value: 729 }], true],
    ['year', 6, -1, [{ column: 'c6', op: '<=', value: 0 }], true],
    // Old writers rounded towards 1970: the partition may hold the year before, too.
    ['year', 6, -1, [{ column: 'c6', op: '>=', value: -365 }], false],
    ['truncate[10]', 1, -10, [{ column: 'c1', op: '<', value: 0 }], true],
    ['truncate[10]', 1, -10, [{ column: 'c1', op: '<', value: -1 }], false],
    ['identity', 3, 1.5, [{ column: 'c3', op: 'in', values: [2, 1.5] }], true],
    ['bucket[3]', 2, 1, [{ column: 'c2', op: '>=', value: 0n }], false],
  ])('%s of column %i = %s: %o → %s', (transform, sourceId, value, filter, expected) => {
    const { mustMatch } = fileMatcher(metadataOf(specOf([[sourceId, transform]])), filter)
    const file = fileOf([value], [], { 'write.metadata.metrics.default': 'none' })
    expect(mustMatch(file)).toBe(expected)
  })
})
