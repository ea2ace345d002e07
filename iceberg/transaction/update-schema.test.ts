import { describe, expect, test } from 'vitest'
import { nameMappingProperty } from '../scan/name-mapping.ts'
import { applyUpdates } from '../spec/apply-updates.ts'
import { checkRequirements } from '../spec/check-requirements.ts'
import { newTableMetadata } from '../spec/new-table.ts'
import { currentSchema } from '../spec/schema.ts'
import type { NestedField, Schema, TableMetadata } from '../spec/table-metadata.ts'
import { canPromote, type SchemaChange, updateSchema } from './update-schema.ts'

const field = (
  id: number,
  name: string,
  type: NestedField['type'],
  required = false,
): NestedField => ({ id, name, required, type })

const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  identifierFieldIds: [1],
  fields: [
    field(1, 'id', 'long', true),
    field(2, 'data', 'string'),
    field(3, 'place', {
      type: 'struct',
      fields: [field(4, 'lat', 'float', true), field(5, 'lon', 'float', true)],
    }),
    field(6, 'points', {
      type: 'list',
      elementId: 7,
      elementRequired: true,
      element: { type: 'struct', fields: [field(8, 'x', 'int')] },
    }),
    field(9, 'marks', {
      type: 'map',
      keyId: 10,
      key: { type: 'struct', fields: [field(11, 'k', 'int')] },
      valueId: 12,
      valueRequired: false,
      value: { type: 'struct', fields: [field(13, 'v', 'int')] },
    }),
    field(14, 'price', 'decimal(9,2)'),
  ],
}

function table(properties: Record<string, string> = {}): TableMetadata {
  return newTableMetadata(
    {
      uuid: 'u',
      location: 'file:///t',
      schema,
      partitionSpec: {
        specId: 0,
        fields: [{ sourceId: 2, fieldId: 1000, name: 'data', transform: 'identity' }],
      },
      properties,
    },
    1,
  )
}

function evolve(
  changes: readonly SchemaChange[],
  options: { allowIncompatible?: boolean } = {},
  base = table(),
): TableMetadata {
  const { requirements, updates } = updateSchema(base, changes, options)
  checkRequirements(requirements, base)
  return applyUpdates(base, updates, 2)
}

/** Every column as `id name: type`, optional ones with `?`. */
function outline(metadata: TableMetadata): string[] {
  const lines: string[] = []
  const visit = (one: NestedField, prefix: string): void => {
    const name = prefix === '' ? one.name : `${prefix}.${one.name}`
    const { type } = one
    const shown = typeof type === 'string' ? type : type.type
    lines.push(`${one.id} ${name}${one.required ? '' : '?'}: ${shown}`)
    if (typeof type === 'string') return
    if (type.type === 'struct') for (const child of type.fields) visit(child, name)
    if (type.type === 'list') {
      visit(field(type.elementId, 'element', type.element, type.elementRequired), name)
    }
    if (type.type === 'map') {
      visit(field(type.keyId, 'key', type.key, true), name)
      visit(field(type.valueId, 'value', type.value, type.valueRequired), name)
    }
  }
  for (const one of currentSchema(metadata).fields) visit(one, '')
  return lines
}

describe('a schema', () => {
  test('gains columns at every level, with new ids', () => {
    const after = evolve([
      { op: 'add', name: 'note', type: 'string', doc: 'why' },
      { op: 'add', parent: 'place', name: 'alt', type: 'double' },
      { op: 'add', parent: 'points', name: 'y', type: 'int' },
      { op: 'add', parent: 'marks', name: 'w', type: 'int' },
      {
        op: 'add',
        name: 'deep',
        type: {
          type: 'map',
          keyId: 1,
          key: 'string',
          valueId: 2,
          valueRequired: false,
          value: { type: 'struct', fields: [field(1, 'a', 'int'), field(2, 'b', 'int')] },
        },
      },
    ])
    expect(outline(after)).toEqual(
      expect.arrayContaining([
        '15 note?: string',
        '16 place.alt?: double',
        '17 points.element.y?: int',
        '18 marks.value.w?: int',
        '19 deep?: map',
        '20 deep.key: string',
        '21 deep.value?: struct',
        '22 deep.value.a?: int',
        '23 deep.value.b?: int',
      ]),
    )
    expect(currentSchema(after).fields.find(({ name }) => name === 'note')?.doc).toBe('why')
    expect(after.lastColumnId).toBe(23)
    expect(after.currentSchemaId).toBe(1)
  })

  test('loses, renames, widens, loosens and moves columns', () => {
    const after = evolve([
      { op: 'delete', name: 'place.lon' },
      { op: 'rename', name: 'place', to: 'where' },
      { op: 'change type', name: 'points.element.x', type: 'long' },
      { op: 'make optional', name: 'place.lat' },
      { op: 'change type', name: 'price', type: 'decimal(20,2)' },
      { op: 'move first', name: 'price' },
      { op: 'move after', name: 'data', of: 'points' },
      { op: 'change doc', name: 'data', doc: 'text' },
      { op: 'add', name: 'new', type: 'int' },
      { op: 'move before', name: 'new', of: 'id' },
    ])
    expect(outline(after)).toEqual([
      '14 price?: decimal(20,2)',
      '15 new?: int',
      '1 id: long',
      '3 where?: struct',
      '4 where.lat?: float',
      '6 points?: list',
      '7 points.element: struct',
      '8 points.element.x?: long',
      '2 data?: string',
      '9 marks?: map',
      '10 marks.key: struct',
      '11 marks.key.k?: int',
      '12 marks.value?: struct',
      '13 marks.value.v?: int',
    ])
  })

  test('takes a name that is given up by the same change, with a new id', () => {
    const after = evolve([
      { op: 'delete', name: 'price' },
      { op: 'add', name: 'price', type: 'double' },
    ])
    expect(outline(after).at(-1)).toBe('15 price?: double')
  })

  test('stays as it is where nothing changes', () => {
    expect(updateSchema(table(), []).updates).toEqual([])
    expect(updateSchema(table(), [{ op: 'make optional', name: 'data' }]).updates).toEqual([])
  })

  test('keeps identifier fields through renames, and takes others', () => {
    const renamed = evolve([{ op: 'rename', name: 'id', to: 'key' }])
    expect(currentSchema(renamed).identifierFieldIds).toEqual([1])
    const none = evolve([
      { op: 'set identifier fields', names: [] },
      { op: 'delete', name: 'id' },
    ])
    expect(currentSchema(none).identifierFieldIds ?? []).toEqual([])
  })

  test('requires that nobody else changed it', () => {
    const change = updateSchema(table(), [{ op: 'add', name: 'a', type: 'int' }])
    expect(change.requirements).toEqual([
      { type: 'assert-table-uuid', uuid: 'u' },
      { type: 'assert-current-schema-id', currentSchemaId: 0 },
      { type: 'assert-last-assigned-field-id', lastAssignedFieldId: 14 },
    ])
    const moved = evolve([{ op: 'add', name: 'b', type: 'int' }])
    expect(() => checkRequirements(change.requirements, moved)).toThrow('Requirement failed')
  })
})

describe('is refused', () => {
  test.each<[string, SchemaChange[]]>([
    ['name already exists: data', [{ op: 'add', name: 'data', type: 'int' }]],
    ['Cannot find parent struct: no', [{ op: 'add', parent: 'no', name: 'a', type: 'int' }]],
    [
      'Cannot add to non-struct column: data',
      [{ op: 'add', parent: 'data', name: 'a', type: 'int' }],
    ],
    ['cannot add required column', [{ op: 'add', name: 'a', type: 'int', required: true }]],
    ['optional -> required', [{ op: 'require', name: 'data' }]],
    [
      'Cannot change column type: data: string -> int',
      [{ op: 'change type', name: 'data', type: 'int' }],
    ],
    ['long -> int', [{ op: 'change type', name: 'id', type: 'int' }]],
    ['Cannot delete missing column: no', [{ op: 'delete', name: 'no' }]],
    ['Cannot delete identifier field id', [{ op: 'delete', name: 'id' }]],
    [
      'Cannot delete a column that has updates: price',
      [
        { op: 'rename', name: 'price', to: 'cost' },
        { op: 'delete', name: 'price' },
      ],
    ],
    [
      'Cannot delete a column that has additions: place',
      [
        { op: 'add', parent: 'place', name: 'alt', type: 'int' },
        { op: 'delete', name: 'place' },
      ],
    ],
    [
      'that will be deleted: price',
      [
        { op: 'delete', name: 'price' },
        { op: 'rename', name: 'price', to: 'cost' },
      ],
    ],
    ['Cannot delete map keys', [{ op: 'delete', name: 'marks.key' }]],
    ['Cannot alter map keys', [{ op: 'change type', name: 'marks.key.k', type: 'long' }]],
    ['Cannot delete element type', [{ op: 'delete', name: 'points.element' }]],
    ['to a different struct', [{ op: 'move before', name: 'data', of: 'place.lat' }]],
    [
      'beside a column that will be deleted',
      [
        { op: 'delete', name: 'price' },
        { op: 'move before', name: 'data', of: 'price' },
      ],
    ],
    [
      'Cannot move a column that will be deleted',
      [
        { op: 'delete', name: 'price' },
        { op: 'move first', name: 'price' },
      ],
    ],
    ['before itself', [{ op: 'move before', name: 'data', of: 'data' }]],
    ['not found in current schema', [{ op: 'set identifier fields', names: ['no'] }]],
    ['not a required field', [{ op: 'set identifier fields', names: ['data'] }]],
    ['must not be float or double', [{ op: 'set identifier fields', names: ['place.lat'] }]],
    // It partitions the table.
    ['Cannot find source column for partition field', [{ op: 'delete', name: 'data' }]],
    ['data', [{ op: 'rename', name: 'price', to: 'data' }]],
  ])('%s', (message, changes) => {
    expect(() => evolve(changes)).toThrow(message)
  })

  test('unless it is allowed to be incompatible', () => {
    const after = evolve(
      [
        { op: 'require', name: 'data' },
        { op: 'add', name: 'a', type: 'int', required: true },
      ],
      { allowIncompatible: true },
    )
    expect(outline(after)).toEqual(expect.arrayContaining(['2 data: string', '15 a: int']))
  })
})

test('only these types widen', () => {
  const types = [
    'int',
    'long',
    'float',
    'double',
    'date',
    'decimal(9,2)',
    'decimal(10,2)',
    'string',
  ]
  const allowed = types.flatMap((from) =>
    types.flatMap((to) => (from !== to && canPromote(from, to) ? [`${from} ${to}`] : [])),
  )
  expect(allowed).toEqual(['int long', 'float double', 'decimal(9,2) decimal(10,2)'])
})

describe('what goes by names', () => {
  test('the name mapping keeps old names and learns new ones', () => {
    const mapping = JSON.stringify([
      { 'field-id': 2, names: ['data', 'old'] },
      { 'field-id': 3, names: ['place'], fields: [{ 'field-id': 4, names: ['lat'] }] },
      { 'field-id': 14, names: ['price'] },
    ])
    const after = evolve(
      [
        { op: 'rename', name: 'data', to: 'text' },
        { op: 'rename', name: 'price', to: 'old' },
        { op: 'add', parent: 'place', name: 'alt', type: 'int' },
        {
          op: 'add',
          name: 'l',
          type: { type: 'list', elementId: 1, elementRequired: false, element: 'int' },
        },
      ],
      {},
      table({ [nameMappingProperty]: mapping }),
    )
    expect(JSON.parse(after.properties[nameMappingProperty] ?? '')).toEqual([
      // `old` means another column now.
      { 'field-id': 2, names: ['data', 'text'] },
      {
        'field-id': 3,
        names: ['place'],
        fields: [
          { 'field-id': 4, names: ['lat'] },
          { 'field-id': 15, names: ['alt'] },
        ],
      },
      { 'field-id': 14, names: ['price', 'old'] },
      { 'field-id': 16, names: ['l'], fields: [{ 'field-id': 17, names: ['element'] }] },
    ])
  })

  test('properties of columns are renamed and dropped with them', () => {
    const prefix = 'write.metadata.metrics.column.'
    const after = evolve(
      [
        { op: 'rename', name: 'place', to: 'where' },
        { op: 'delete', name: 'price' },
      ],
      {},
      table({
        [`${prefix}place.lat`]: 'full',
        [`${prefix}price`]: 'none',
        [`${prefix}id`]: 'full',
      }),
    )
    expect(
      Object.keys(after.properties)
        .filter((key) => key.startsWith(prefix))
        .toSorted(),
    ).toEqual([`${prefix}id`, `${prefix}where.lat`])
  })
})
