/**
 * Changes of schemas and partition specs: the same random changes, asked of potok and of PyIceberg, must end in the
 * same schema with the same ids, wherever both allow them.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodePartitionFields, encodeSchema } from '../../iceberg/codec/schema-json.ts'
import { stringifyJson } from '../../iceberg/codec/lossless-json.ts'
import { newTableMetadata } from '../../iceberg/spec/new-table.ts'
import type { IcebergType, Schema, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { type SchemaChange, updateSchema } from '../../iceberg/transaction/update-schema.ts'
import { type SpecChange, updateSpec } from '../../iceberg/transaction/update-spec.ts'
import { isPotokError } from '../../kernel/errors.ts'
import { runPython } from '../../testkit/python-venv.ts'
import { evolveSchemas, evolveSpecs } from './operation-scripts.ts'

const point: IcebergType = {
  type: 'struct',
  fields: [
    { id: 1, name: 'x', required: false, type: 'int' },
    { id: 2, name: 'y', required: false, type: 'int' },
  ],
}
/** Ids as PyIceberg gives them to a new table. */
const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [
    { id: 1, name: 'id', required: true, type: 'long' },
    { id: 2, name: 'data', required: false, type: 'string' },
    {
      id: 3,
      name: 'place',
      required: false,
      type: {
        type: 'struct',
        fields: [
          { id: 8, name: 'lat', required: true, type: 'float' },
          { id: 9, name: 'lon', required: true, type: 'float' },
        ],
      },
    },
    {
      id: 4,
      name: 'points',
      required: false,
      type: {
        type: 'list',
        elementId: 10,
        elementRequired: false,
        element: {
          type: 'struct',
          fields: [
            { id: 11, name: 'x', required: false, type: 'int' },
            { id: 12, name: 'z', required: false, type: 'int' },
          ],
        },
      },
    },
    {
      id: 5,
      name: 'marks',
      required: false,
      type: {
        type: 'map',
        keyId: 13,
        key: 'string',
        valueId: 14,
        valueRequired: false,
        value: {
          type: 'struct',
          fields: [
            { id: 15, name: 'v', required: false, type: 'int' },
            { id: 16, name: 'u', required: false, type: 'int' },
          ],
        },
      },
    },
    { id: 6, name: 'at', required: false, type: 'timestamptz' },
    { id: 7, name: 'price', required: false, type: 'decimal(9,2)' },
  ],
}

function table(): TableMetadata {
  return newTableMetadata({ uuid: 'u', location: 'file:///t', schema, properties: {} }, 1)
}

const top = fc.constantFrom('id', 'data', 'place', 'points', 'marks', 'at', 'price')
const anywhere = fc.oneof(
  top,
  fc.constantFrom('place.lat', 'place.lon', 'points.element.x', 'marks.value.v'),
)
const schemaChange: fc.Arbitrary<SchemaChange> = fc.oneof(
  fc.record(
    {
      op: fc.constant('add' as const),
      name: fc.constantFrom('n1', 'n2', 'n3', 'data'),
      parent: fc.constantFrom('place', 'points', 'marks'),
      type: fc.constantFrom<IcebergType>('int', 'string', point, {
        type: 'map',
        keyId: 1,
        key: 'string',
        valueId: 2,
        valueRequired: false,
        value: { type: 'list', elementId: 3, elementRequired: true, element: point },
      }),
      doc: fc.constant('a note'),
    },
    { requiredKeys: ['op', 'name', 'type'] },
  ),
  fc.record({ op: fc.constantFrom('delete' as const, 'make optional' as const), name: anywhere }),
  fc.record({
    op: fc.constant('rename' as const),
    name: anywhere,
    to: fc.constantFrom('r1', 'r2'),
  }),
  fc.constantFrom<SchemaChange>(
    { op: 'change type', name: 'points.element.x', type: 'long' },
    { op: 'change type', name: 'place.lat', type: 'double' },
    { op: 'change type', name: 'price', type: 'decimal(12,2)' },
    { op: 'change doc', name: 'place.lon', doc: 'east' },
    { op: 'set identifier fields', names: ['id'] },
  ),
  fc.record({ op: fc.constant('move first' as const), name: anywhere }),
  fc.record({
    op: fc.constantFrom('move before' as const, 'move after' as const),
    name: top,
    of: top,
  }),
  fc.constant<SchemaChange>({ op: 'move before', name: 'place.lon', of: 'place.lat' }),
)

test('a schema changes as PyIceberg changes it, ids and all', async () => {
  const sequences = fc.sample(fc.array(schemaChange, { minLength: 1, maxLength: 6 }), {
    numRuns: 300,
    seed: 5,
  })
  const cases = sequences.flatMap((changes) => {
    const after = attempt(() => updateSchema(table(), changes).updates[0])
    return after?.action === 'add-schema' ? [{ changes, after: after.schema }] : []
  })
  expect(cases.length).toBeGreaterThan(60)
  const input = stringifyJson({
    schema: encodeSchema(schema),
    spec: [],
    cases: cases.map(({ changes }) => changes.map(wireChange)),
  })
  // PyIceberg writes `decimal(9, 2)`.
  const printed = (await runPython(evolveSchemas, [], input)).replaceAll(/(decimal\(\d+), /g, '$1,')
  const answers = JSON.parse(printed) as unknown[]
  let compared = 0
  for (const [i, answer] of answers.entries()) {
    // Where PyIceberg refuses what Java allows there is nothing to compare.
    if (typeof answer === 'string') continue
    compared++
    const ours = JSON.parse(stringifyJson(encodeSchema(cases[i]?.after as Schema))) as object
    expect({ ...(answer as object), 'schema-id': 0 }, JSON.stringify(cases[i]?.changes)).toEqual({
      'identifier-field-ids': [],
      ...ours,
      'schema-id': 0,
    })
  }
  expect(compared).toBeGreaterThan(cases.length * 0.8)
})

const specChange: fc.Arbitrary<SpecChange> = fc.oneof(
  fc.record(
    {
      op: fc.constant('add' as const),
      column: fc.constantFrom('id', 'data', 'at', 'price'),
      transform: fc.constantFrom('identity', 'bucket[4]', 'truncate[2]', 'day', 'hour', 'month'),
      name: fc.constantFrom('p1', 'p2'),
    },
    { requiredKeys: ['op', 'column', 'transform'] },
  ),
  fc.record({
    op: fc.constant('remove' as const),
    name: fc.constantFrom('at_day', 'shard', 'data_trunc_2'),
  }),
  fc.record({
    op: fc.constant('rename' as const),
    name: fc.constantFrom('at_day', 'shard'),
    to: fc.constantFrom('q1', 'q2'),
  }),
)

test('a partition spec changes as PyIceberg changes it', async () => {
  const spec = {
    specId: 0,
    fields: [
      { sourceId: 6, fieldId: 1000, name: 'at_day', transform: 'day' },
      { sourceId: 1, fieldId: 1001, name: 'shard', transform: 'bucket[16]' },
    ],
  }
  const base = newTableMetadata(
    { uuid: 'u', location: 'file:///t', schema, partitionSpec: spec, properties: {} },
    1,
  )
  const sequences = fc.sample(fc.array(specChange, { minLength: 1, maxLength: 4 }), {
    numRuns: 150,
    seed: 3,
  })
  const cases = sequences.flatMap((changes) => {
    const after = attempt(() => updateSpec(base, changes).updates[0])
    return after?.action === 'add-spec' ? [{ changes, after: after.spec }] : []
  })
  expect(cases.length).toBeGreaterThan(30)
  const input = stringifyJson({
    schema: encodeSchema(schema),
    spec: encodePartitionFields(spec.fields),
    cases: cases.map(({ changes }) => changes),
  })
  const answers = JSON.parse(await runPython(evolveSpecs, [], input)) as unknown[]
  let compared = 0
  for (const [i, answer] of answers.entries()) {
    if (typeof answer === 'string') continue
    compared++
    const ours = JSON.parse(
      stringifyJson(encodePartitionFields(cases[i]?.after.fields ?? [])),
    ) as unknown
    expect(answer, JSON.stringify(cases[i]?.changes)).toEqual(ours)
  }
  expect(compared).toBeGreaterThan(cases.length * 0.6)
})

function attempt<T>(run: () => T): T | null {
  try {
    return run()
  } catch (error) {
    if (isPotokError(error)) return null
    throw error
  }
}

/** Types as the wire has them. */
function wireChange(change: SchemaChange): unknown {
  if (change.op !== 'add') return change
  const wrapped = encodeSchema({
    type: 'struct',
    schemaId: 0,
    fields: [{ id: 900, name: 'wrapped', required: false, type: change.type }],
  })
  return { ...change, type: wrapped }
}
