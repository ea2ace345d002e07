/** Rows with deletes applied, over tables made here; tables of other writers are in tests/interop/. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { deleteFilePathId, deletePositionId } from '../../iceberg/scan/assign-deletes.ts'
import type { DataFile, PartitionValue } from '../../iceberg/spec/data-file.ts'
import { metricsModes } from '../../iceberg/spec/metrics-modes.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import { currentSchema, partitionSpecById } from '../../iceberg/spec/schema.ts'
import type {
  NestedField,
  PartitionSpec,
  Schema,
  StructType,
} from '../../iceberg/spec/table-metadata.ts'
import { type ReadRequest, rowsOfBatch, type TableReader } from '../../iceberg/table-reader.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { randomIds } from '../../testkit/fixed-ports.ts'
import { createStagedTable, type StagedTable } from '../../testkit/staged-table.ts'
import { createLocalObjectStore } from '../object-store/local-object-store.ts'
import { createDuckDbTableReader } from './duckdb-table-reader.ts'
import { writeFiles, writeRows } from './iceberg-row-writer.ts'
import { type DuckDb, openDuckDb, sqlText } from './instance.ts'

let folder: string
let store: ObjectStore
let duckdb: DuckDb
let reader: TableReader
let table: StagedTable

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "potok read it's [a]*? "))
  store = createLocalObjectStore({ root: `file://${folder}` })
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'spill'),
  })
})
afterAll(async () => {
  duckdb.close()
  await rm(folder, { recursive: true })
})

function optional(id: number, name: string, type: NestedField['type']): NestedField {
  return { id, name, required: false, type }
}

const fields = [optional(1, 'n', 'int'), optional(2, 'name', 'string'), optional(3, 'p', 'string')]
const byP: PartitionSpec = {
  specId: 0,
  fields: [{ sourceId: 3, fieldId: 1000, name: 'p', transform: 'identity' }],
}
const unpartitioned: PartitionSpec = { specId: 0, fields: [] }

let tables = 0
function newTable(spec: PartitionSpec, of: readonly NestedField[] = fields): void {
  const schema: Schema = { type: 'struct', schemaId: 0, fields: of }
  table = createStagedTable({ store, schema, spec, location: `file://${folder}/t${++tables}` })
  reader = createDuckDbTableReader({ store, duckdb, manifests: table.io.manifests })
}

async function append(...rows: Row[]): Promise<DataFile[]> {
  const add = await writeRows({ store, ids: randomIds, duckdb }, table.loaded().metadata, rows)
  await table.change({ add })
  return add
}

async function addDeletes(
  content: 'position-deletes' | 'equality-deletes',
  schema: StructType,
  rows: readonly Row[],
  options: {
    partition?: readonly PartitionValue[]
    specId?: number
    extra?: Partial<DataFile>
  } = {},
): Promise<void> {
  const { metadata } = table.loaded()
  const add = await writeFiles({ store, ids: randomIds, duckdb }, metadata, [
    {
      content,
      spec: partitionSpecById(metadata, options.specId ?? metadata.defaultSpecId),
      partition: options.partition ?? [],
      schema,
      rows,
      modes: metricsModes({}, { ...schema, schemaId: 0 }, { orderId: 0, fields: [] }),
    },
  ])
  await table.change({
    operation: 'delete',
    add: add.map((file) => ({ ...file, ...options.extra })),
  })
}

const positionSchema: StructType = {
  type: 'struct',
  fields: [
    { id: deleteFilePathId, name: 'file_path', required: true, type: 'string' },
    { id: deletePositionId, name: 'pos', required: true, type: 'long' },
  ],
}

async function deleteAt(
  positions: readonly [path: string, position: number][],
  options: Parameters<typeof addDeletes>[3] = {},
): Promise<void> {
  const rows = positions.map(([path, at]) => ({ file_path: path, pos: BigInt(at) }))
  await addDeletes('position-deletes', positionSchema, rows, options)
}

async function deleteEqual(
  columns: readonly NestedField[],
  rows: readonly Row[],
  options: Parameters<typeof addDeletes>[3] & { ids?: readonly number[] } = {},
): Promise<void> {
  const equalityIds = options.ids ?? columns.map(({ id }) => id)
  await addDeletes('equality-deletes', { type: 'struct', fields: columns }, rows, {
    ...options,
    extra: { equalityIds, ...options.extra },
  })
}

async function read(request?: ReadRequest): Promise<Row[]> {
  const scan = await reader.open(table.loaded().metadata, request)
  const rows: Row[] = []
  for await (const batch of scan.batches()) rows.push(...rowsOfBatch(scan.schema, batch))
  return rows
}

async function numbers(request?: ReadRequest): Promise<unknown[]> {
  const rows = await read({ columns: ['n'], ...request })
  return rows.map((row) => row['n'] ?? null).toSorted((a, b) => Number(a) - Number(b))
}

async function valuesOf(column: string): Promise<unknown[]> {
  const values = (await read({ columns: [column] })).map((each) => each[column] ?? null)
  return values.toSorted((a, b) => ((a ?? '') < (b ?? '') ? -1 : 1))
}

const row = (n: number, p = 'a', name: string | null = `v${n}`): Row => ({ n, name, p })

describe('deletes by position', () => {
  test('hide rows of the files they name, of their partition, that are not newer', async () => {
    newTable(byP)
    const [a, b] = (await append(row(1), row(2), row(3), row(4, 'b'))) as [DataFile, DataFile]
    await deleteAt([[a.filePath, 1]], { partition: ['a'] })
    expect(await numbers()).toEqual([1, 3, 4])
    // Two paths, so that the file names no single one: it counts in its own partition alone.
    await deleteAt(
      [
        [a.filePath, 0],
        [b.filePath, 0],
      ],
      { partition: ['a'] },
    )
    expect(await numbers()).toEqual([3, 4])
    // The same file added again, later than the deletes.
    await table.change({ operation: 'overwrite', add: [], remove: new Set([a.filePath]) })
    await table.change({ add: [a] })
    expect(await numbers()).toEqual([1, 2, 3, 4])
  })

  test('reach the one file that they reference wherever it lies, and no other', async () => {
    newTable(byP)
    const [a, b] = (await append(row(1), row(2), row(4, 'b'))) as [DataFile, DataFile]
    await deleteAt(
      [
        [a.filePath, 1],
        [b.filePath, 0],
      ],
      { partition: ['b'], extra: { referencedDataFile: a.filePath } },
    )
    expect(await numbers()).toEqual([1, 4])
  })

  test('count in the file, also where a filter or row groups leave rows out', async () => {
    newTable(unpartitioned)
    const many = Array.from({ length: 9_000 }, (_, n) => row(n))
    const [file] = (await append(...many)) as [DataFile]
    await deleteAt([0, 5_000, 8_999].map((at) => [file.filePath, at]))
    expect(await numbers({ filter: [{ column: 'n', op: '>=', value: 4_999 }] })).toEqual(
      many.map((each) => each['n']).filter((n) => Number(n) >= 4_999 && n !== 5_000 && n !== 8_999),
    )
  })
})

describe('deletes by equality', () => {
  test('hide older rows only, null equal to null, of all partitions where unpartitioned', async () => {
    newTable(unpartitioned)
    await append(row(1), row(2, 'a', null), row(3))
    await deleteEqual(fields.slice(1, 2), [{ name: null }, { name: 'v3' }, { name: 'none' }])
    expect(await numbers()).toEqual([1])
    await append(row(3), row(5, 'a', null))
    expect(await numbers()).toEqual([1, 3, 5])
  })

  test('hide rows that were added in an earlier commit, not those of the same one', async () => {
    newTable(unpartitioned)
    await append(row(1))
    const add = await writeRows({ store, ids: randomIds, duckdb }, table.loaded().metadata, [
      row(1),
    ])
    const { metadata } = table.loaded()
    const deletes = await writeFiles({ store, ids: randomIds, duckdb }, metadata, [
      {
        content: 'equality-deletes',
        spec: unpartitioned,
        partition: [],
        schema: { type: 'struct', fields: fields.slice(0, 1) },
        rows: [{ n: 1 }],
        modes: new Map(),
      },
    ])
    await table.change({
      operation: 'overwrite',
      add: [...add, ...deletes.map((file) => ({ ...file, equalityIds: [1] }))],
    })
    expect(await numbers()).toEqual([1])
  })

  test('of a partition count in it alone; of several columns all must be equal', async () => {
    newTable(byP)
    await append(row(1), row(2), row(1, 'b'), row(2, 'b'))
    await deleteEqual(
      fields.slice(0, 2),
      [
        { n: 1, name: 'v1' },
        { n: 2, name: 'x' },
      ],
      {
        partition: ['b'],
      },
    )
    const rows = await read()
    expect(rows.map(({ n, p }) => JSON.stringify([n, p])).toSorted()).toEqual([
      '[1,"a"]',
      '[2,"a"]',
      '[2,"b"]',
    ])
  })

  test('hold through columns that were added, promoted, renamed or dropped since', async () => {
    newTable(unpartitioned)
    await append(row(1), row(2), row(3))
    const late = optional(4, 'late', 'string')
    const evolve = (schemaId: number, of: readonly NestedField[]) =>
      table.update([
        { action: 'add-schema', schema: { type: 'struct', schemaId, fields: of } },
        { action: 'set-current-schema', schemaId },
      ])
    await deleteEqual(fields.slice(0, 1), [{ n: 2 }])
    evolve(1, [optional(1, 'number', 'long'), ...fields.slice(1), late])
    expect(await valuesOf('number')).toEqual([1n, 3n])
    // A row that is older than the column has null in it.
    await append({ number: 7n, name: 'v7', p: 'a', late: 'yes' })
    await deleteEqual(
      [optional(1, 'number', 'long'), late],
      [
        { number: 3n, late: null },
        { number: 7n, late: null },
      ],
    )
    expect(await valuesOf('number')).toEqual([1n, 7n])
    evolve(2, fields.slice(1))
    expect(await valuesOf('name')).toEqual(['v1', 'v7'])
    await deleteEqual([optional(1, 'number', 'long')], [{ number: 1n }])
    expect(await valuesOf('name')).toEqual(['v7'])
  })

  test('go by fields of structs, and by dates, decimals, uuids and bytes', async () => {
    const typed = [
      optional(1, 'n', 'int'),
      optional(2, 's', { type: 'struct', fields: [optional(3, 'x', 'decimal(20,2)')] }),
      optional(4, 'd', 'date'),
      optional(5, 'u', 'uuid'),
      optional(6, 'b', 'binary'),
      optional(7, 't', 'timestamptz'),
    ]
    newTable(unpartitioned, typed)
    const value = (n: number): Row => ({
      n,
      s: { x: BigInt(n) * 10n ** 17n },
      d: -n,
      u: new Uint8Array(16).fill(200 + n),
      b: new Uint8Array(20).fill(n),
      t: -1_000_001 * n,
    })
    await append(...[1, 2, 3, 4, 5, 6].map(value))
    for (const [n, at] of [
      [2, 2],
      [3, 3],
      [4, 4],
      [5, 5],
    ] as const) {
      const column = typed[at] as NestedField
      await deleteEqual([column], [{ [column.name]: value(n)[column.name] }])
    }
    await deleteEqual([typed[1] as NestedField], [{ s: value(6)['s'] }], { ids: [3] })
    expect(await numbers()).toEqual([1])
  })
})

describe('a column that a file lacks', () => {
  const write = (of: readonly NestedField[], rows: readonly Row[], partition: PartitionValue[]) =>
    writeFiles({ store, ids: randomIds, duckdb }, table.loaded().metadata, [
      {
        content: 'data',
        spec: byP,
        partition,
        schema: { type: 'struct', fields: of },
        rows,
        modes: new Map(),
      },
    ])

  test('is its identity partition, of each file its own, and null where that is null', async () => {
    newTable(byP)
    for (const partition of ["it's", 'b', null]) {
      const rows = [{ n: 1 }, { n: 2 }]
      await table.change({ add: await write(fields.slice(0, 1), rows, [partition]) })
    }
    await append(row(3, 'c'))
    const read = await valuesOf('p')
    expect(read).toEqual([null, null, 'b', 'b', 'c', "it's", "it's"])
    const filter = [{ column: 'p', op: '=', value: "it's" }] as const
    expect(await numbers({ filter })).toEqual([1, 2])
    await deleteEqual(fields.slice(2), [{ p: 'b' }], { partition: ['b'] })
    expect(await valuesOf('p')).toEqual([null, null, 'c', "it's", "it's"])
  })

  test('is the partition and not the column of that name where the file has no field ids', async () => {
    newTable(byP)
    table.update([
      {
        action: 'set-properties',
        updates: {
          'schema.name-mapping.default': JSON.stringify([
            { 'field-id': 1, names: ['n'] },
            { 'field-id': 3, names: ['p'] },
          ]),
        },
      },
    ])
    const path = join(folder, `no ids ${tables}.parquet`)
    const connection = await duckdb.connect()
    await connection.run(`COPY (SELECT 7 AS n, 'stale' AS p) TO ${sqlText(path)} (FORMAT parquet)`)
    connection.closeSync()
    const [file] = (await write(fields, [row(1)], ['x'])) as [DataFile]
    await table.change({ add: [{ ...file, filePath: `file://${path}` }] })
    expect(await read()).toEqual([{ n: 7, name: null, p: 'x' }])
  })
})

describe('a scan', () => {
  test('of many small files of one layout is one query, and gives each row once', async () => {
    newTable(byP)
    for (let i = 0; i < 2; i++) {
      await append(...Array.from({ length: 300 }, (_, n) => row(i * 300 + n, `p${n % 12}`)))
    }
    expect(await numbers()).toEqual(Array.from({ length: 600 }, (_, n) => n))
  })

  test('ends early without a trace', async () => {
    newTable(unpartitioned)
    await append(...Array.from({ length: 5_000 }, (_, n) => row(n)))
    const scan = await reader.open(table.loaded().metadata)
    for await (const batch of scan.batches()) {
      expect(batch.rowCount).toBeLessThan(5_000)
      break
    }
    expect(await numbers()).toHaveLength(5_000)
  })

  test('without columns counts rows', async () => {
    newTable(unpartitioned)
    await append(row(1), row(2))
    expect(await read({ columns: [] })).toEqual([{}, {}])
  })

  test.each<[string, Partial<DataFile>, RegExp]>([
    ['ORC', { fileFormat: 'ORC' }, /ORC files/],
    ['Avro', { fileFormat: 'avro' }, /AVRO files/],
    ['encrypted', { keyMetadata: new Uint8Array(1) }, /encrypted/],
  ])('refuses files that are %s by name', async (_, change, message) => {
    newTable(unpartitioned)
    const [file] = (await writeRows({ store, ids: randomIds, duckdb }, table.loaded().metadata, [
      row(1),
    ])) as [DataFile]
    await table.change({ add: [{ ...file, ...change }] })
    await expect(reader.open(table.loaded().metadata)).rejects.toMatchObject({
      kind: 'Unsupported',
      message: expect.stringMatching(message) as string,
    })
  })

  test('refuses tables of format version 3, unknown columns and unknown snapshots', async () => {
    newTable(unpartitioned)
    const { metadata } = table.loaded()
    await expect(reader.open({ ...metadata, formatVersion: 3 })).rejects.toThrow(/version 3/)
    await expect(reader.open(metadata, { columns: ['nope'] })).rejects.toThrow(/no column nope/)
    await expect(reader.open(metadata, { snapshot: { snapshotId: 5n } })).rejects.toMatchObject({
      kind: 'NotFound',
    })
    expect(await read()).toEqual([])
  })

  test('of a file that lacks a required column, or has it as another type, is an error', async () => {
    newTable(unpartitioned)
    await append(row(1))
    const { metadata } = table.loaded()
    const withField = (field: NestedField) => ({
      ...metadata,
      schemas: [{ ...currentSchema(metadata), fields: [field] }],
    })
    const rowsOf = async (field: NestedField) => {
      for await (const _ of (await reader.open(withField(field))).batches()) return
    }
    await expect(rowsOf({ ...optional(9, 'x', 'int'), required: true })).rejects.toMatchObject({
      kind: 'DataCorrupt',
    })
    await expect(rowsOf(optional(2, 'x', 'long'))).rejects.toMatchObject({ kind: 'Unsupported' })
  })
})
