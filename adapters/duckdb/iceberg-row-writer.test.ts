import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DuckDBValue } from '@duckdb/node-api'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SingleValue } from '../../iceberg/codec/single-value.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import { newTableMetadata } from '../../iceberg/spec/new-table.ts'
import { checkedRow, type Row } from '../../iceberg/spec/rows.ts'
import { currentSchema } from '../../iceberg/spec/schema.ts'
import type {
  PartitionSpec,
  Schema,
  SortOrder,
  TableMetadata,
} from '../../iceberg/spec/table-metadata.ts'
import { applyTransform, parseTransform } from '../../iceberg/spec/transforms.ts'
import { randomIds } from '../../testkit/fixed-ports.ts'
import { nestedSchemas, primitiveValues, rowsOf, rowValueOf } from '../../testkit/iceberg-rows.ts'
import { createLocalObjectStore } from '../object-store/local-object-store.ts'
import { writeRows, type RowWriterIo } from './iceberg-row-writer.ts'
import { type DuckDb, openDuckDb, sqlPaths } from './instance.ts'

let folder: string
let duckdb: DuckDb
let io: RowWriterIo

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "potok rows it's [a] "))
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'spill'),
  })
  io = { store: createLocalObjectStore(), ids: randomIds, duckdb }
})
afterAll(async () => {
  duckdb.close()
  await rm(folder, { recursive: true })
})

function tableOf(
  schema: Schema,
  options: {
    spec?: PartitionSpec
    order?: SortOrder
    properties?: Record<string, string>
  } = {},
): TableMetadata {
  return newTableMetadata(
    {
      uuid: randomIds.uuid(),
      location: `file://${folder}/table-${randomIds.uuid()}`,
      schema,
      ...(options.spec === undefined ? {} : { partitionSpec: options.spec }),
      ...(options.order === undefined ? {} : { sortOrder: options.order }),
      properties: options.properties ?? {},
    },
    1,
  )
}

function flat(...types: readonly string[]): Schema {
  return {
    type: 'struct',
    schemaId: 0,
    fields: types.map((type, i) => ({ id: i + 1, name: `c${i + 1}`, required: false, type })),
  }
}

/** In the order of the file. */
async function rowsIn(schema: Schema, file: DataFile): Promise<Row[]> {
  const connection = await duckdb.connect()
  try {
    const path = await io.store.localPath(file.filePath)
    // Of one thread: else row groups may come in any order.
    const result = await connection.runAndReadAll(
      `SELECT * FROM read_parquet(${sqlPaths([path])}, file_row_number = true, hive_partitioning = false) ORDER BY file_row_number`,
    )
    return result
      .getRows()
      .map((values) =>
        Object.fromEntries(
          schema.fields.map((field, i) => [
            field.name,
            rowValueOf(field.type, values[i] as DuckDBValue),
          ]),
        ),
      )
  } finally {
    connection.closeSync()
  }
}

async function schemaIn(file: DataFile): Promise<Record<string, unknown>[]> {
  const connection = await duckdb.connect()
  try {
    const path = await io.store.localPath(file.filePath)
    const answer = await connection.runAndReadAll(
      `SELECT name, type, converted_type, field_id FROM parquet_schema(${sqlPaths([path])}) OFFSET 1`,
    )
    return answer.getRowObjectsJson()
  } finally {
    connection.closeSync()
  }
}

describe('rows of any schema', () => {
  test('come back as they were, in their order, nested values and odd names too', async () => {
    const cases = nestedSchemas.chain((schema) => fc.tuple(fc.constant(schema), rowsOf(schema, 8)))
    await fc.assert(
      fc.asyncProperty(cases, async ([schema, rows]) => {
        const table = tableOf(schema)
        const files = await writeRows(io, table, rows)
        expect(files).toHaveLength(rows.length === 0 ? 0 : 1)
        for (const file of files) {
          expect(file.recordCount).toBe(rows.length)
          expect(await rowsIn(currentSchema(table), file)).toEqual(
            rows.map((row) => checkedRow(currentSchema(table), row)),
          )
        }
      }),
      { numRuns: 40 },
    )
  })

  test('keep both zeros apart, also where they are repeated', async () => {
    const list = { type: 'list', elementId: 9, elementRequired: false, element: 'float' } as const
    const { fields } = flat('double', 'string')
    const table = tableOf({
      ...flat(),
      fields: [...fields, { id: 8, name: 'l', required: false, type: list }],
    })
    const zeros = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 0 : -0))
    const rows = zeros.map((zero) => ({ c1: zero, c2: 'a', l: [-zero, zero] }))
    const [file] = await writeRows(io, table, rows)
    expect(await rowsIn(currentSchema(table), file as DataFile)).toEqual(rows)
  })

  test('carry the field ids of all levels', async () => {
    const schema: Schema = {
      type: 'struct',
      schemaId: 0,
      fields: [
        {
          id: 10,
          name: 's',
          required: false,
          type: {
            type: 'struct',
            fields: [{ id: 3, name: 'x', required: false, type: 'long' }],
          },
        },
        {
          id: 2,
          name: 'l',
          required: false,
          type: { type: 'list', elementId: 21, elementRequired: false, element: 'string' },
        },
        {
          id: 30,
          name: 'm',
          required: false,
          type: {
            type: 'map',
            keyId: 31,
            key: 'string',
            valueId: 32,
            valueRequired: false,
            value: {
              type: 'list',
              elementId: 33,
              elementRequired: false,
              element: 'double',
            },
          },
        },
      ],
    }
    const [file] = await writeRows(io, tableOf(schema), [{ l: ['a'] }])
    const ids = (await schemaIn(file as DataFile)).flatMap(({ field_id: id }) =>
      id === null ? [] : [Number(id)],
    )
    expect(ids).toEqual([10, 3, 2, 21, 30, 31, 32, 33])
    expect([...(file?.columnSizes?.keys() ?? [])].toSorted((a, b) => a - b)).toEqual([
      3, 21, 31, 33,
    ])
  })

  test('have the Parquet types of the specification', async () => {
    const types = Object.keys(primitiveValues)
    const [file] = await writeRows(io, tableOf(flat(...types)), [{}])
    const found = await schemaIn(file as DataFile)
    expect(
      Object.fromEntries(
        types.map((type, i) => [type, [found[i]?.['type'], found[i]?.['converted_type']]]),
      ),
    ).toEqual({
      boolean: ['BOOLEAN', null],
      int: ['INT32', 'INT_32'],
      long: ['INT64', 'INT_64'],
      float: ['FLOAT', null],
      double: ['DOUBLE', null],
      date: ['INT32', 'DATE'],
      time: ['INT64', 'TIME_MICROS'],
      timestamp: ['INT64', 'TIMESTAMP_MICROS'],
      timestamptz: ['INT64', 'TIMESTAMP_MICROS'],
      string: ['BYTE_ARRAY', 'UTF8'],
      uuid: ['FIXED_LEN_BYTE_ARRAY', null],
      binary: ['BYTE_ARRAY', null],
      'decimal(9,2)': ['INT32', 'DECIMAL'],
      'decimal(18,4)': ['INT64', 'DECIMAL'],
      'decimal(38,10)': ['FIXED_LEN_BYTE_ARRAY', 'DECIMAL'],
    })
  })

  test('with times at the ends of their range are kept', async () => {
    const far = 9_200_000_000_000_000_000n
    const rows: Row[] = [
      { c1: far, c2: 2 ** 31 - 2 },
      { c1: -far, c2: -(2 ** 31) + 2 },
    ]
    const schema = flat('timestamptz', 'date')
    const [file] = await writeRows(io, tableOf(schema), rows)
    expect(await rowsIn(schema, file as DataFile)).toEqual(rows)
    expect(Buffer.from(file?.upperBounds?.get(1) ?? []).readBigInt64LE()).toBe(far)
    await expect(writeRows(io, tableOf(schema), [{ c1: far + 1n }])).rejects.toMatchObject({
      kind: 'Unsupported',
    })
  })
})

describe('what the schema can not hold is refused by name', () => {
  const schema: Schema = {
    type: 'struct',
    schemaId: 0,
    fields: [
      { id: 1, name: 'n', required: true, type: 'int' },
      { id: 2, name: 'd', required: false, type: 'decimal(4,2)' },
      {
        id: 3,
        name: 's',
        required: false,
        type: {
          type: 'struct',
          fields: [{ id: 4, name: 'x', required: true, type: 'string' }],
        },
      },
      {
        id: 5,
        name: 'l',
        required: false,
        type: { type: 'list', elementId: 6, elementRequired: true, element: 'long' },
      },
    ],
  }
  test.each<[Row, string]>([
    [{}, 'n is required'],
    [{ n: 1.5 }, 'n is not int'],
    [{ n: 2 ** 31 }, 'n is not int'],
    [{ n: 1n << 40n }, 'n is not int'],
    [{ n: 1, d: 10_000n }, 'd is not'],
    [{ n: 1, s: { x: null } }, 's.x is required'],
    [{ n: 1, s: { x: '\ud800' } }, 's.x is not well-formed text'],
    [{ n: 1, s: 'x' }, 's is not a struct'],
    [{ n: 1, l: [1n, null] }, 'l.element is required'],
    [{ n: 1, extra: 1 }, 'extra is no column'],
  ])('%o', async (row, message) => {
    await expect(writeRows(io, tableOf(schema), [row])).rejects.toMatchObject({
      kind: 'InvalidInput',
      message: expect.stringContaining(message),
    })
  })

  test('fixed has no Parquet column here', async () => {
    await expect(
      writeRows(io, tableOf(flat('fixed[4]')), [{ c1: new Uint8Array(4) }]),
    ).rejects.toMatchObject({
      kind: 'Unsupported',
      message: expect.stringContaining('fixed[4] (c1)'),
    })
  })
})

describe('files', () => {
  const schema = flat('string', 'timestamptz', 'int')
  const spec: PartitionSpec = {
    specId: 0,
    fields: [
      { sourceId: 2, fieldId: 1000, name: 'c2_day', transform: 'day' },
      { sourceId: 1, fieldId: 1001, name: 'c1', transform: 'truncate[2]' },
      { sourceId: 3, fieldId: 1002, name: 'c3_bucket', transform: 'bucket[4]' },
    ],
  }
  const order: SortOrder = {
    orderId: 1,
    fields: [
      { sourceId: 3, transform: 'bucket[2]', direction: 'asc', nullOrder: 'nulls-first' },
      { sourceId: 3, transform: 'identity', direction: 'desc', nullOrder: 'nulls-last' },
    ],
  }

  test('hold the rows of one partition each, all of them, in the sort order of the table', async () => {
    await fc.assert(
      fc.asyncProperty(rowsOf(schema, 60), async (rows) => {
        const files = await writeRows(io, tableOf(schema, { spec, order }), rows)
        const seen: Row[] = []
        for (const file of files) {
          const found = await rowsIn(schema, file)
          seen.push(...found)
          for (const row of found) {
            const values = spec.fields.map(({ sourceId, transform }) =>
              applyTransform(
                parseTransform(transform),
                schema.fields[sourceId - 1]?.type ?? '',
                row[`c${sourceId}`] as never,
              ),
            )
            expect(file.partition).toEqual(values)
          }
          const keys = found.map(({ c3 }) => ({
            bucket:
              c3 === null
                ? -1
                : (applyTransform(parseTransform('bucket[2]'), 'int', c3 as number) as number),
            value: c3 === null ? Number.POSITIVE_INFINITY : -(c3 as number),
          }))
          const sorted = keys.toSorted((a, b) => a.bucket - b.bucket || a.value - b.value)
          expect(keys).toEqual(sorted)
          expect(file.sortOrderId).toBe(1)
        }
        expect(new Set(files.map((file) => JSON.stringify(file.partition))).size).toBe(files.length)
        const byText = (row: Row) =>
          [row['c1'], row['c2'], row['c3']].map((value) => String(value as SingleValue)).join(' ')
        expect(seen.map(byText).toSorted()).toEqual(rows.map(byText).toSorted())
      }),
      { numRuns: 15 },
    )
  })

  test('lie in folders as the Java client lays them out', async () => {
    const table = tableOf(schema, { spec })
    const [file] = await writeRows(io, table, [{ c1: 'à/b', c2: -1, c3: null }])
    expect(file?.filePath.slice(table.location.length)).toMatch(
      /^\/data\/c2_day=1969-12-31\/c1=%C3%A0%2F\/c3_bucket=null\/00000-0-[-0-9a-f]{36}-00001\.parquet$/,
    )
    const plain = tableOf(schema, { properties: { 'write.data.path': `${table.location}/else/` } })
    const [other] = await writeRows(io, plain, [{}])
    expect(other?.filePath).toMatch(/\/else\/00000-0-[^/]*\.parquet$/)
  })

  test('of a partition named by a long text still have names that file systems take', async () => {
    const byText: PartitionSpec = {
      specId: 0,
      fields: [{ sourceId: 1, fieldId: 1000, name: 'c1', transform: 'identity' }],
    }
    const rows = ['я'.repeat(300), 'я'.repeat(301)].map((c1) => ({ c1 }))
    const files = await writeRows(io, tableOf(flat('string'), { spec: byText }), rows)
    expect(files.map(({ partition }) => partition)).toEqual(rows.map(({ c1 }) => [c1]))
  })

  test('are compressed as the table says; a codec that there is not is an error that names it', async () => {
    const table = (codec: string) =>
      tableOf(schema, { properties: { 'write.parquet.compression-codec': codec } })
    const rows = Array.from({ length: 2_000 }, (_, i) => ({ c1: `row ${i % 7}`, c3: i }))
    const sizes: number[] = []
    for (const codec of ['zstd', 'GZIP', 'snappy', 'uncompressed']) {
      const [file] = await writeRows(io, table(codec), rows)
      sizes.push(file?.fileSizeBytes ?? 0)
    }
    expect(sizes[0]).toBeLessThan(sizes[3] ?? 0)
    await expect(writeRows(io, table('lzo'), rows)).rejects.toMatchObject({
      kind: 'InvalidInput',
      message: expect.stringContaining('write.parquet.compression-codec'),
    })
  })

  test('of a call that fails are gone', async () => {
    const byInt: PartitionSpec = {
      specId: 0,
      fields: [{ sourceId: 1, fieldId: 1000, name: 'c1', transform: 'identity' }],
    }
    const table = tableOf(flat('int'), { spec: byInt })
    let adopted = 0
    const store = createLocalObjectStore()
    const failing: RowWriterIo = {
      ...io,
      store: {
        ...store,
        adopt: async (path, location) => {
          if (++adopted === 3) throw new Error('disk full')
          return store.adopt(path, location)
        },
      },
    }
    const rows = [1, 2, 3, 4].map((c1) => ({ c1 }))
    await expect(writeRows(failing, table, rows)).rejects.toThrow('disk full')
    const left: string[] = []
    for await (const { location } of store.list(`${table.location}/`)) left.push(location)
    expect(left).toEqual([])
  })
})
