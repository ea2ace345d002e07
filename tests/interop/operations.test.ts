/**
 * What each operation of `iceberg/transaction/` leaves behind, read by PyIceberg and by DuckDB's Iceberg
 * extension: the rows are those of a model in memory.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeRows } from '../../adapters/duckdb/iceberg-row-writer.ts'
import { type DuckDb, openDuckDb } from '../../adapters/duckdb/instance.ts'
import { createLocalObjectStore } from '../../adapters/object-store/local-object-store.ts'
import { encodeMetadataFile, encodeTableMetadata } from '../../iceberg/codec/metadata-json.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import type { PartitionSpec, Schema } from '../../iceberg/spec/table-metadata.ts'
import { stageAppend } from '../../iceberg/transaction/append.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { runPython } from '../../testkit/python-venv.ts'
import { createStagedTable, type StagedTable } from '../../testkit/staged-table.ts'
import { duckDbRows, pyIcebergRows } from './operation-scripts.ts'

let folder: string
let store: ObjectStore
let duckdb: DuckDb

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-operations-'))
  store = createLocalObjectStore()
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'spill'),
  })
})
afterAll(async () => {
  duckdb.close()
  await rm(folder, { recursive: true, force: true })
})

let tables = 0
function tableOf(
  schema: Schema,
  spec?: PartitionSpec,
  properties: Record<string, string> = {},
): StagedTable {
  return createStagedTable({
    store,
    location: `file://${folder}/traffic/t${tables++}`,
    schema,
    ...(spec === undefined ? {} : { spec }),
    properties,
    seed: tables,
  })
}

async function metadataFile(table: StagedTable): Promise<string> {
  const { metadata } = table.loaded()
  const location = `${table.location}/metadata/${metadata.lastUpdatedMs}-${table.now}.metadata.json`
  if ((await store.stat(location)) === null) {
    await store.write(location, encodeMetadataFile(encodeTableMetadata(metadata), location))
  }
  return location
}

/** Both judges read `columns` of the table as `rows` say, in the order of `id`. */
async function expectRows(
  table: StagedTable,
  columns: readonly string[],
  rows: readonly Row[],
  snapshotId?: bigint,
): Promise<void> {
  const metadata = await metadataFile(table)
  const sorted = rows.toSorted((a, b) => Number(a['id']) - Number(b['id']))
  const expected = sorted.map((row) => columns.map((name) => plain(row[name] ?? null)))
  for (const script of [pyIcebergRows, duckDbRows]) {
    const answer = await runPython(
      script,
      [metadata, snapshotId === undefined ? '' : String(snapshotId)],
      JSON.stringify(columns),
    )
    expect(JSON.parse(answer), script === duckDbRows ? 'DuckDB' : 'PyIceberg').toEqual(expected)
  }
}

/** As the scripts print it. */
function plain(value: unknown): unknown {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  const pairs = value instanceof Map ? [...value] : Object.entries(value as object)
  return Object.fromEntries(pairs.map(([key, each]) => [String(plain(key)), plain(each)]))
}

async function append(table: StagedTable, rows: readonly Row[], branch = 'main'): Promise<void> {
  table.now += 1_000
  const { metadata } = table.loaded()
  const files = await writeRows({ store, ids: table.io.ids, duckdb }, metadata, rows)
  table.apply(await stageAppend(table.io, table.loaded(), { files, branch }))
}

const everything: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [
    { id: 1, name: 'id', required: true, type: 'long' },
    { id: 2, name: 'flag', required: false, type: 'boolean' },
    { id: 3, name: 'small', required: false, type: 'int' },
    { id: 4, name: 'day', required: false, type: 'date' },
    { id: 5, name: 'at', required: false, type: 'timestamptz' },
    { id: 6, name: 'local', required: false, type: 'timestamp' },
    { id: 7, name: 'clock', required: false, type: 'time' },
    { id: 8, name: 'text', required: false, type: 'string' },
    { id: 9, name: 'bytes', required: false, type: 'binary' },
    { id: 10, name: 'key', required: false, type: 'uuid' },
    {
      id: 12,
      name: 'nested',
      required: false,
      type: {
        type: 'struct',
        fields: [
          { id: 13, name: 'x', required: false, type: 'long' },
          {
            id: 14,
            name: 'list',
            required: false,
            type: { type: 'list', elementId: 15, elementRequired: false, element: 'string' },
          },
        ],
      },
    },
    {
      id: 16,
      name: 'map',
      required: false,
      type: {
        type: 'map',
        keyId: 17,
        key: 'string',
        valueId: 18,
        value: 'long',
        valueRequired: false,
      },
    },
  ],
}

function someRow(id: number): Row {
  if (id % 5 === 0) return { id: BigInt(id) }
  return {
    id: BigInt(id),
    flag: id % 2 === 0,
    small: id - 10,
    day: id * 400 - 3_000,
    at: 1_743_848_130_123_457 + id * 86_400_000_000,
    local: -1 - id,
    clock: id * 1_000_003,
    text: `длинный текст номер ${id % 3}`,
    bytes: Uint8Array.of(255, id),
    key: new Uint8Array(16).fill(id),
    nested: { x: id === 7 ? null : BigInt(id), list: id % 3 === 0 ? [] : ['a', null, String(id)] },
    map: new Map([[`k${id}`, id % 2 === 0 ? BigInt(id) : null]]),
  }
}

describe.each(['1', '2'])('an append to a table of format v%s', (formatVersion) => {
  const columns = everything.fields.map(({ name }) => name)

  test('of every type, nested too, is read with equal rows', async () => {
    const table = tableOf(everything, undefined, { 'format-version': formatVersion })
    const rows = Array.from({ length: 20 }, (_, i) => someRow(i))
    await append(table, rows.slice(0, 12))
    await append(table, rows.slice(12))
    await expectRows(table, columns, rows)
  })

  test('partitioned by every transform is read with equal rows', async () => {
    const by = (sourceId: number, name: string, transform: string, i: number) => ({
      sourceId,
      fieldId: 1000 + i,
      name,
      transform,
    })
    const spec: PartitionSpec = {
      specId: 0,
      fields: [
        by(4, 'day_month', 'month', 0),
        by(5, 'at_day', 'day', 1),
        by(8, 'text', 'identity', 2),
        by(1, 'id_bucket', 'bucket[2]', 3),
        by(3, 'small_truncate', 'truncate[10]', 4),
        by(6, 'local_hour', 'hour', 5),
        by(4, 'day_year', 'year', 6),
      ],
    }
    const table = tableOf(everything, spec, { 'format-version': formatVersion })
    const rows = Array.from({ length: 12 }, (_, i) => someRow(i))
    await append(table, rows)
    await expectRows(table, columns, rows)
  })
})
