import { describe, expect, it } from 'vitest'
import {
  checkPartitionNames,
  checkSchema,
  checkSortOrderFitsSchema,
  checkSpecFitsSchema,
} from './check-schema.ts'
import type { NestedField, Schema } from './table-metadata.ts'

const fields: readonly NestedField[] = [
  { id: 1, name: 'id', required: true, type: 'long' },
  { id: 2, name: 'at', required: false, type: 'timestamptz' },
  { id: 3, name: 'speed', required: true, type: 'double' },
  {
    id: 4,
    name: 'points',
    required: true,
    type: {
      type: 'list',
      elementId: 5,
      elementRequired: true,
      element: {
        type: 'struct',
        fields: [{ id: 6, name: 'x', required: true, type: 'int' }],
      },
    },
  },
  {
    id: 7,
    name: 'place',
    required: false,
    type: { type: 'struct', fields: [{ id: 8, name: 'road', required: true, type: 'string' }] },
  },
]
const schema: Schema = { type: 'struct', schemaId: 0, fields }

function schemaWith(more: Partial<Schema>): Schema {
  return { ...schema, ...more }
}

function column(more: Partial<NestedField>): Schema {
  return schemaWith({ fields: [{ id: 1, name: 'c', required: false, type: 'long', ...more }] })
}

describe('a schema', () => {
  it('may be nested, and have identifier fields', () => {
    checkSchema(schemaWith({ identifierFieldIds: [1] }), 2)
    checkSchema(column({ type: 'timestamp_ns', initialDefault: 1 }), 3)
  })

  it.each([
    [column({ type: 'variant' }), 'Invalid type for c: variant is not supported until v3'],
    [column({ initialDefault: 7 }), 'Invalid initial default for c: non-null default (7)'],
    [
      schemaWith({ fields: [...fields, { ...(fields[1] as NestedField), name: 'z' }] }),
      /have the id 2/,
    ],
    [schemaWith({ fields: [...fields, { ...(fields[1] as NestedField), id: 99 }] }), /for name at/],
    [column({ name: '' }), /an empty name/],
    [
      schemaWith({ identifierFieldIds: [77] }),
      /fieldId 77 as an identifier field: field does not exist/,
    ],
    [
      schemaWith({ identifierFieldIds: [2] }),
      /field at as an identifier field: not a required field/,
    ],
    [schemaWith({ identifierFieldIds: [3] }), /must not be float or double field/],
    [schemaWith({ identifierFieldIds: [4] }), /not a primitive type field/],
    [
      schemaWith({ identifierFieldIds: [6] }),
      /field x as an identifier field: must not be nested in 4/,
    ],
    [schemaWith({ identifierFieldIds: [8] }), /must not be nested in an optional field 7: place/],
  ])('is refused: %#', (wrong, message) => {
    expect(() => checkSchema(wrong, 2)).toThrow(message)
  })
})

describe('a partition spec', () => {
  const spec = (sourceId: number, transform: string, name = 'p') => ({
    specId: 0,
    fields: [{ sourceId, fieldId: 1000, name, transform }],
  })

  it('fits columns that its transforms can take, and void whatever comes', () => {
    checkSpecFitsSchema(spec(2, 'hour'), schema)
    checkSpecFitsSchema(spec(8, 'truncate[3]'), schema)
    checkSpecFitsSchema(spec(99, 'void'), schema)
    checkPartitionNames(spec(1, 'bucket[4]', 'id'), schema)
  })

  it.each([
    [spec(99, 'identity'), 'Cannot find source column for partition field: 1000: p: identity(99)'],
    [spec(3, 'bucket[4]'), 'Invalid source type double for transform: bucket[4]'],
    [spec(1, 'day'), 'Invalid source type long for transform: day'],
    [
      spec(7, 'identity'),
      'Cannot partition by non-primitive source field: struct<8: road: required string>',
    ],
    [spec(6, 'identity'), 'Invalid partition field parent: list<struct<6: x: required int>>'],
  ])('does not fit: %#', (wrong, message) => {
    expect(() => checkSpecFitsSchema(wrong, schema)).toThrow(message)
  })

  it('has names of its own', () => {
    expect(() => checkPartitionNames(spec(2, 'day', 'id'), schema)).toThrow(
      'Cannot create identity partition sourced from different field in schema: id',
    )
    const twice = { specId: 0, fields: [...spec(1, 'identity').fields, ...spec(2, 'day').fields] }
    expect(() => checkPartitionNames(twice, schema)).toThrow(
      'Cannot use partition name more than once: p',
    )
  })
})

describe('a sort order', () => {
  it.each([
    [99, 'identity', 'Cannot find source column for sort field: identity(99) ASC NULLS FIRST'],
    [4, 'identity', /Cannot sort by non-primitive source field: list</],
    [3, 'day', 'Invalid source type double for transform: day'],
  ])('by %i %s is refused', (sourceId, transform, message) => {
    const order = {
      orderId: 1,
      fields: [
        { sourceId, transform, direction: 'asc' as const, nullOrder: 'nulls-first' as const },
      ],
    }
    expect(() => checkSortOrderFitsSchema(order, schema)).toThrow(message)
  })
})
