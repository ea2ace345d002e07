import { describe, expect, test } from 'vitest'
import { applyUpdates } from '../spec/apply-updates.ts'
import { checkRequirements } from '../spec/check-requirements.ts'
import { newTableMetadata } from '../spec/new-table.ts'
import { partitionSpecById } from '../spec/schema.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'
import { type SpecChange, updateSpec } from './update-spec.ts'
import { replaceSortOrder, updateProperties } from './update-table.ts'

function table(formatVersion = 2): TableMetadata {
  return newTableMetadata(
    {
      uuid: 'u',
      location: 'file:///t',
      schema: {
        type: 'struct',
        schemaId: 0,
        fields: [
          { id: 1, name: 'id', required: true, type: 'long' },
          { id: 2, name: 'at', required: false, type: 'timestamptz' },
          { id: 3, name: 'data', required: false, type: 'string' },
        ],
      },
      partitionSpec: {
        specId: 0,
        fields: [
          { sourceId: 2, fieldId: 1000, name: 'at_day', transform: 'day' },
          { sourceId: 1, fieldId: 1001, name: 'shard', transform: 'bucket[16]' },
        ],
      },
      properties: { 'format-version': String(formatVersion) },
    },
    1,
  )
}
function evolve(base: TableMetadata, ...changes: readonly SpecChange[]): TableMetadata {
  const { requirements, updates } = updateSpec(base, changes)
  checkRequirements(requirements, base)
  return applyUpdates(base, updates, base.lastUpdatedMs + 1)
}
function outline(metadata: TableMetadata): string[] {
  return partitionSpecById(metadata, metadata.defaultSpecId).fields.map(
    ({ fieldId, name, transform, sourceId }) => `${fieldId} ${name}=${transform}(${sourceId})`,
  )
}

describe('a partition spec', () => {
  test('gains, loses and renames fields; older files keep their spec', () => {
    const after = evolve(
      table(),
      { op: 'add', column: 'data', transform: 'truncate[4]' },
      { op: 'remove', name: 'at_day' },
      { op: 'rename', name: 'shard', to: 'bucket' },
    )
    expect(outline(after)).toEqual([
      '1001 bucket=bucket[16](1)',
      '1002 data_trunc_4=truncate[4](3)',
    ])
    expect(after.partitionSpecs).toHaveLength(2)
    expect(after.lastPartitionId).toBe(1002)
  })

  test('finds a field of an older spec again, with its id', () => {
    const without = evolve(table(), { op: 'remove', column: 'at', transform: 'day' })
    const back = evolve(without, { op: 'add', column: 'at', transform: 'day' })
    expect(outline(back)).toEqual(['1001 shard=bucket[16](1)', '1000 at_day=day(2)'])
    const renamed = evolve(without, { op: 'add', column: 'at', transform: 'day', name: 'day' })
    expect(outline(renamed).at(-1)).toBe('1002 day=day(2)')
  })

  test('of format v1 keeps the place of a field that goes, as void; its name can be taken', () => {
    const after = evolve(table(1), { op: 'remove', name: 'at_day' })
    expect(outline(after)).toEqual(['1000 at_day=void(2)', '1001 shard=bucket[16](1)'])
    const again = evolve(after, { op: 'add', column: 'at', transform: 'day' })
    expect(outline(again)).toEqual([
      '1000 at_day_1000=void(2)',
      '1001 shard=bucket[16](1)',
      '1002 at_day=day(2)',
    ])
  })

  test('stays where a field is removed and added by one change', () => {
    const same = updateSpec(table(), [
      { op: 'remove', name: 'at_day' },
      { op: 'add', column: 'at', transform: 'day' },
    ])
    expect(same.updates).toEqual([])
  })

  test('can be emptied', () => {
    const after = evolve(table(), { op: 'remove', name: 'at_day' }, { op: 'remove', name: 'shard' })
    expect(outline(after)).toEqual([])
  })

  test.each<[string, SpecChange[]]>([
    ['Cannot add duplicate partition field', [{ op: 'add', column: 'at', transform: 'day' }]],
    ["Cannot find field 'no'", [{ op: 'add', column: 'no', transform: 'identity' }]],
    [
      'partition field name: shard',
      [{ op: 'add', column: 'data', transform: 'identity', name: 'shard' }],
    ],
    ['Cannot find partition field to remove: no', [{ op: 'remove', name: 'no' }]],
    ['Cannot find partition field to rename: no', [{ op: 'rename', name: 'no', to: 'a' }]],
    ['Cannot partition id by sideways', [{ op: 'add', column: 'id', transform: 'sideways' }]],
    [
      'redundant partition field',
      [
        { op: 'add', column: 'at', transform: 'hour' },
        { op: 'add', column: 'at', transform: 'month' },
      ],
    ],
    [
      'Cannot delete newly added field',
      [
        { op: 'add', column: 'data', transform: 'identity' },
        { op: 'remove', name: 'data' },
      ],
    ],
    [
      'Cannot rename and delete',
      [
        { op: 'rename', name: 'shard', to: 's' },
        { op: 'remove', name: 'shard' },
      ],
    ],
  ])('is refused: %s', (message, changes) => {
    expect(() => updateSpec(table(), changes)).toThrow(message)
  })
})

test('a sort order is replaced, found again, and taken away', () => {
  const apply = (base: TableMetadata, by: Parameters<typeof replaceSortOrder>[1]) => {
    const { requirements, updates } = replaceSortOrder(base, by)
    checkRequirements(requirements, base)
    return applyUpdates(base, updates, base.lastUpdatedMs + 1)
  }
  const sorted = apply(table(), [
    { column: 'id', direction: 'desc' },
    { column: 'at', transform: 'day' },
  ])
  expect(sorted.defaultSortOrderId).toBe(1)
  expect(sorted.sortOrders.find(({ orderId }) => orderId === 1)?.fields).toEqual([
    { sourceId: 1, transform: 'identity', direction: 'desc', nullOrder: 'nulls-last' },
    { sourceId: 2, transform: 'day', direction: 'asc', nullOrder: 'nulls-first' },
  ])
  const unsorted = apply(sorted, [])
  expect(unsorted.defaultSortOrderId).toBe(0)
  expect(
    apply(unsorted, [
      { column: 'id', direction: 'desc' },
      { column: 'at', transform: 'day' },
    ]).defaultSortOrderId,
  ).toBe(1)
  expect(replaceSortOrder(unsorted, []).updates).toEqual([])
  expect(() => replaceSortOrder(table(), [{ column: 'no' }])).toThrow("Cannot find field 'no'")
})

test('properties change key by key, and only those that differ', () => {
  const base = applyUpdates(table(), [{ action: 'set-properties', updates: { a: '1', b: '2' } }], 2)
  expect(updateProperties(base, { a: '1', c: '3' }, ['b', 'd']).updates).toEqual([
    { action: 'set-properties', updates: { c: '3' } },
    { action: 'remove-properties', removals: ['b'] },
  ])
  expect(updateProperties(base, { a: '1' }).updates).toEqual([])
  expect(() => updateProperties(base, { a: '2' }, ['a'])).toThrow('same key: a')
})
