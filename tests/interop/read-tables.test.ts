/** Tables that others made, evolved and deleted from: potok reads the rows that their makers read. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDuckDbTableReader } from '../../adapters/duckdb/duckdb-table-reader.ts'
import { type DuckDb, openDuckDb } from '../../adapters/duckdb/instance.ts'
import { writeFiles, writeRows } from '../../adapters/duckdb/iceberg-row-writer.ts'
import { createLocalObjectStore } from '../../adapters/object-store/local-object-store.ts'
import {
  encodeMetadataFile,
  encodeTableMetadata,
  readTableMetadata,
} from '../../iceberg/codec/metadata-json.ts'
import { parseFilter } from '../../iceberg/scan/parse-filter.ts'
import { createManifestCache } from '../../iceberg/scan/plan-files.ts'
import { currentSchema } from '../../iceberg/spec/schema.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import type { IcebergType, NestedField, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import type { ReadRequest, CellValue, TableReader } from '../../iceberg/table-reader.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { randomIds } from '../../testkit/fixed-ports.ts'
import { createStagedTable } from '../../testkit/staged-table.ts'
import { runPython } from '../../testkit/python-venv.ts'
import { changedTables, duckDbRows, evolvedTables, oddFiles } from './read-scripts.ts'

type Made = { metadata: string; scans: Record<string, unknown[][]> } & Record<string, unknown>

let folder: string
let store: ObjectStore
let duckdb: DuckDb
let reader: TableReader

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-[read]-'))
  store = createLocalObjectStore({ root: `file://${folder}` })
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'scratch'),
  })
  reader = createDuckDbTableReader({ store, duckdb, manifests: createManifestCache(store, 1e7) })
})
afterAll(async () => {
  duckdb.close()
  await rm(folder, { recursive: true, force: true })
})

async function make(script: string): Promise<Record<string, Made>> {
  return JSON.parse(await runPython(script, [folder])) as Record<string, Made>
}

async function metadataOf(location: string): Promise<TableMetadata> {
  const path = location.replace(/^file:\/\//, '')
  return readTableMetadata(await readFile(path), location)
}

/** Equal texts are equal values: as `text` of the scripts has it. */
function textOf(type: IcebergType, value: CellValue): unknown {
  if (value === null) return null
  if (typeof type !== 'string') {
    const values = value as readonly CellValue[]
    switch (type.type) {
      case 'struct':
        return type.fields.map((field, i) => textOf(field.type, values[i] ?? null))
      case 'list':
        return values.map((each) => textOf(type.element, each))
      case 'map':
        return (values as readonly (readonly CellValue[])[]).map(([key, each]) => [
          textOf(type.key, key ?? null),
          textOf(type.value, each ?? null),
        ])
    }
  }
  if (type === 'float' || type === 'double') return floatText(value as number)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return value
}

function floatText(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return Number.isNaN(value) ? 'NaN' : bytes.toString('hex')
}

/** Rows as sorted texts: no reader promises an order. */
async function rowsOf(metadata: TableMetadata, request?: ReadRequest): Promise<string[]> {
  const scan = await reader.open(metadata, request)
  const rows: string[] = []
  for await (const batch of scan.batches()) {
    for (let row = 0; row < batch.rowCount; row++) {
      const values = scan.schema.fields.map(({ type }, i) =>
        textOf(type, batch.columns[i]?.[row] ?? null),
      )
      rows.push(JSON.stringify(values))
    }
  }
  return rows.toSorted()
}

function sorted(rows: readonly unknown[][] | undefined): string[] {
  if (rows === undefined) throw new Error('no such scan')
  return rows.map((row) => JSON.stringify(row)).toSorted()
}

function pick(tables: Record<string, Made>, name: string): Made {
  const made = tables[name]
  if (made === undefined) throw new Error(`no table ${name}`)
  return made
}

describe('of a table that PyIceberg made and evolved', () => {
  let tables: Record<string, Made>
  beforeAll(async () => {
    tables = await make(evolvedTables)
  })

  test('every type is read as it was written, to the last bit', async () => {
    const made = pick(tables, 'types')
    expect(await rowsOf(await metadataOf(made.metadata))).toEqual(sorted(made.scans['all']))
  })

  test('columns are found by field id after adding, dropping, renaming, moving and promoting', async () => {
    const made = pick(tables, 'evolved')
    const metadata = await metadataOf(made.metadata)
    const { scans } = made
    expect(await rowsOf(metadata)).toEqual(sorted(scans['all']))
    expect(await rowsOf(metadata, { columns: ['gone', 'st'] })).toEqual(
      (scans['some'] as [unknown, unknown][])
        .map((row) => JSON.stringify(row.toReversed()))
        .toSorted(),
    )
    const snapshot = { snapshotId: BigInt(made['first'] as string) }
    expect(await rowsOf(metadata, { snapshot })).toEqual(sorted(scans['first']))
  })

  test('filters pass the same rows over files from before and after a promotion', async () => {
    const made = pick(tables, 'evolved')
    const metadata = await metadataOf(made.metadata)
    const { scans } = made
    const range = [
      { column: 'b2', op: '>=', value: 15n },
      { column: 'b2', op: '<', value: 1_099_511_627_800n },
    ] as const
    expect(await rowsOf(metadata, { filter: range })).toEqual(sorted(scans['filtered']))
    const above = [{ column: 'b', op: '>', value: 1.1 }] as const
    expect(await rowsOf(metadata, { filter: above })).toEqual(sorted(scans['widened']))
    const absent = [{ column: 'gone', op: 'is null' }] as const
    expect(await rowsOf(metadata, { filter: absent })).toEqual(sorted(scans['added']))
  })
})

describe('of a table whose partitioning PyIceberg changed, and that it deleted from', () => {
  let tables: Record<string, Made>
  beforeAll(async () => {
    tables = await make(changedTables)
  })

  test.each(['v1', 'v2'])(
    'format %s: rows, branch, tag and times are as PyIceberg reads them',
    async (name) => {
      const made = pick(tables, name)
      const metadata = await metadataOf(made.metadata)
      expect(metadata.formatVersion).toBe(Number(name.slice(1)))
      expect(metadata.partitionSpecs.length).toBeGreaterThan(4)
      expect(await rowsOf(metadata)).toEqual(sorted(made.scans['all']))
      expect(await rowsOf(metadata, { snapshot: { ref: 'early' } })).toEqual(
        sorted(made.scans['tag']),
      )
      expect(await rowsOf(metadata, { snapshot: { ref: 'side' } })).toEqual(
        sorted(made.scans['side']),
      )
      for (const [asOfMs, count] of made['asOf'] as [number, number][]) {
        expect(await rowsOf(metadata, { snapshot: { asOfMs }, columns: [] })).toHaveLength(count)
      }
    },
  )

  test.each(['v1', 'v2'])(
    'format %s: filters on every column and partition pass equal rows',
    async (name) => {
      const made = pick(tables, name)
      const metadata = await metadataOf(made.metadata)
      const filters = tables['filters'] as unknown as string[]
      for (const [i, text] of filters.entries()) {
        const filter = parseFilter(currentSchema(metadata), text)
        expect([text, await rowsOf(metadata, { filter })]).toEqual([
          text,
          sorted(made.scans[`filter ${i}`]),
        ])
      }
    },
  )

  test('files without field ids are read by the name mapping, through renames', async () => {
    const made = pick(tables, 'loose')
    const metadata = await metadataOf(made.metadata)
    expect(await rowsOf(metadata)).toEqual(sorted(made.scans['all']))
    const filter = parseFilter(currentSchema(metadata), 'number > 5')
    expect(await rowsOf(metadata, { filter, columns: ['number', 'late'] })).toEqual(
      sorted(made.scans['some']),
    )
    const { 'schema.name-mapping.default': _, ...properties } = metadata.properties
    await expect(rowsOf({ ...metadata, properties })).rejects.toThrow(/has no field ids/)
  })
})

describe('of files that old or careless writers made', () => {
  let tables: Record<string, Made>
  beforeAll(async () => {
    tables = await make(oddFiles)
  })

  test.each(['bag', 'two_level', 'array_of_one', 'tuple_of_one', 'group_of_two'])(
    'lists laid out as %s hold what they held',
    async (name) => {
      const made = pick(tables, name)
      expect(await rowsOf(await metadataOf(made.metadata))).toEqual(sorted(made.scans['all']))
    },
  )

  test('narrow integers, INT96, milliseconds and bytes without annotation are what the table says', async () => {
    const types = {
      old: 'timestamp',
      tiny: 'int',
      small: 'int',
      wide: 'long',
      milli: 'timestamptz',
      word: 'string',
      id: 'uuid',
      bytes: 'string',
      zone: 'timestamp',
    }
    const table = tableOfFiles(types, ['odd.parquet'])
    expect(await rowsOf(await table)).toEqual(
      [
        [
          '-2208988799999999',
          '-128',
          '0',
          '0',
          '-1000',
          'a',
          '000102030405060708090a0b0c0d0e0f',
          'ж',
          '5',
        ],
        ['1583020799999999', '127', '65535', '4294967295', '1000', null, null, '', '-5'],
        [null, null, '1', '1', null, 'a', '7a'.repeat(16), null, null],
      ]
        .map((row) => JSON.stringify(row))
        .toSorted(),
    )
    const both = await tableOfFiles({ old: 'timestamp' }, ['odd.parquet', 'int96.parquet'])
    const instants = await rowsOf(both)
    expect(instants.filter((row) => row === '["-2208988799999999"]')).toHaveLength(2)
    expect(instants.filter((row) => row === '["1583020799999999"]')).toHaveLength(2)
    await expect(rowsOf(await tableOfFiles({ wide: 'int' }, ['odd.parquet']))).rejects.toThrow(
      /holds wide as UINTEGER, which can not be read as int/,
    )
  })

  /** A table over files in the folder, by a name mapping. */
  async function tableOfFiles(
    types: Readonly<Record<string, string>>,
    names: readonly string[],
  ): Promise<TableMetadata> {
    const fields = Object.entries(types).map(([name, type], i) => ({
      id: i + 1,
      name,
      required: false,
      type,
    }))
    const table = createStagedTable({
      store,
      schema: { type: 'struct', schemaId: 0, fields },
      location: `file://${folder}/odd-${randomIds.uuid()}`,
      properties: {
        'schema.name-mapping.default': JSON.stringify(
          fields.map(({ id, name }) => ({ 'field-id': id, names: [name] })),
        ),
      },
    })
    await table.change({ add: names.map((name) => dataFile(`file://${folder}/${name}`, 0, [])) })
    return table.loaded().metadata
  }
})

function dataFile(filePath: string, specId: number, partition: DataFile['partition']): DataFile {
  return {
    content: 'data',
    filePath,
    fileFormat: 'PARQUET',
    specId,
    partition,
    recordCount: 3,
    fileSizeBytes: 1_000,
  }
}

test('deletes by position and by equality hide the rows that DuckDB hides', async () => {
  const fields = [
    { id: 1, name: 'n', required: false, type: 'int' },
    { id: 2, name: 'name', required: false, type: 'string' },
  ]
  const schema = { type: 'struct', schemaId: 0, fields } as const
  const table = createStagedTable({ store, schema, location: `file://${folder}/deleted` })
  const io = { store, ids: randomIds, duckdb }
  const spec = { specId: 0, fields: [] }
  const append = async (from: number) => {
    const rows = Array.from({ length: 100 }, (_, i) => ({
      n: from + i,
      name: i % 5 === 0 ? null : `v${i}`,
    }))
    const add = await writeRows(io, table.loaded().metadata, rows)
    await table.change({ add })
    return add[0]?.filePath as string
  }
  const deletes = async (
    content: 'position-deletes' | 'equality-deletes',
    of: readonly NestedField[],
    rows: readonly Row[],
  ) => {
    const files = await writeFiles(io, table.loaded().metadata, [
      {
        content,
        spec,
        partition: [],
        schema: { type: 'struct', fields: of },
        rows,
        modes: new Map(),
      },
    ])
    const equalityIds = of.map(({ id }) => id)
    const add = files.map((file) =>
      content === 'equality-deletes' ? { ...file, equalityIds } : file,
    )
    await table.change({ operation: 'delete', add })
  }
  const paths = [await append(0), await append(1_000)]
  await deletes('equality-deletes', fields.slice(0, 1), [{ n: 3 }, { n: 1_003 }, { n: 2_003 }])
  paths.push(await append(2_000))
  await deletes(
    'position-deletes',
    [
      { id: 2147483546, name: 'file_path', required: true, type: 'string' },
      { id: 2147483545, name: 'pos', required: true, type: 'long' },
    ],
    paths.flatMap((path) => [7n, 8n].map((pos) => ({ file_path: path, pos }))),
  )
  await deletes('equality-deletes', fields, [
    { n: 10, name: null },
    { n: 11, name: null },
    { n: 12, name: 'v12' },
  ])
  await append(3_000)
  const { metadata } = table.loaded()
  const location = `${table.location}/metadata/00001-${randomIds.uuid()}.metadata.json`
  await store.write(location, encodeMetadataFile(encodeTableMetadata(metadata), location))
  const judged = JSON.parse(await runPython(duckDbRows, [location])) as unknown[][]
  const rows = await rowsOf(metadata)
  expect(rows).toEqual(sorted(judged))
  expect(rows).toHaveLength(400 - 2 - 6 - 2)
})
