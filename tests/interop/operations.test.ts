/**
 * What each operation of `iceberg/transaction/` leaves behind, read by PyIceberg and by DuckDB's Iceberg
 * extension: the rows are those of a model in memory.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDuckDbTableReader } from '../../adapters/duckdb/duckdb-table-reader.ts'
import { writeRows } from '../../adapters/duckdb/iceberg-row-writer.ts'
import { type DuckDb, openDuckDb } from '../../adapters/duckdb/instance.ts'
import { writePositionDeletes } from '../../adapters/duckdb/position-deletes.ts'
import { createLocalObjectStore } from '../../adapters/object-store/local-object-store.ts'
import { encodeMetadataFile, encodeTableMetadata } from '../../iceberg/codec/metadata-json.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import type { PartitionSpec, Schema, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import { stageAppend } from '../../iceberg/transaction/append.ts'
import { stageCherryPick } from '../../iceberg/transaction/cherry-pick.ts'
import { stageDelete } from '../../iceberg/transaction/delete-files.ts'
import { liveFiles } from '../../iceberg/transaction/live-entries.ts'
import {
  type MetadataChange,
  type PlannedCommit,
  stagedChange,
} from '../../iceberg/transaction/metadata-change.ts'
import { stageOverwrite } from '../../iceberg/transaction/overwrite.ts'
import { stageRewrite } from '../../iceberg/transaction/rewrite-files.ts'
import { stageRowDelta } from '../../iceberg/transaction/row-delta.ts'
import { setCurrentSnapshot } from '../../iceberg/transaction/snapshot-refs.ts'
import { updateSchema } from '../../iceberg/transaction/update-schema.ts'
import { updateSpec } from '../../iceberg/transaction/update-spec.ts'
import { replaceSortOrder } from '../../iceberg/transaction/update-table.ts'
import { stageRowRewrite } from '../../iceberg/transaction/rewrite-rows.ts'
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

type Look = {
  readonly metadata: string
  readonly snapshot: string | null
  readonly columns: readonly string[]
  readonly rows: readonly Row[]
}

/** The table as it is now, to be read by the judges later: a Python for each would take longer than all else. */
async function lookAt(
  table: StagedTable,
  columns: readonly string[],
  rows: readonly Row[],
  snapshotId?: bigint | null,
): Promise<Look> {
  const snapshot = snapshotId === undefined || snapshotId === null ? null : String(snapshotId)
  return { metadata: await metadataFile(table), snapshot, columns, rows }
}

/** Both judges read what the looks say, in the order of `id`. */
async function expectRows(...looks: readonly Look[]): Promise<void> {
  const expected = looks.map(({ columns, rows }) =>
    rows
      .toSorted((a, b) => Number(a['id']) - Number(b['id']))
      .map((row) => columns.map((name) => plain(row[name] ?? null))),
  )
  const cases = JSON.stringify(
    looks.map(({ metadata, snapshot, columns }) => ({ metadata, snapshot, columns })),
  )
  for (const script of [pyIcebergRows, duckDbRows]) {
    const answer = JSON.parse(await runPython(script, [], cases)) as unknown[]
    const judge = script === duckDbRows ? 'DuckDB' : 'PyIceberg'
    for (const [i, rows] of expected.entries())
      expect(answer[i], `${judge}, look ${i}`).toEqual(rows)
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
    await expectRows(await lookAt(table, columns, rows))
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
    await expectRows(await lookAt(table, columns, rows))
  })
})

describe.each(['1', '2'])('in a table of format v%s', (formatVersion) => {
  const schema: Schema = {
    type: 'struct',
    schemaId: 0,
    fields: [
      { id: 1, name: 'id', required: true, type: 'long' },
      { id: 2, name: 'part', required: false, type: 'string' },
      { id: 3, name: 'value', required: false, type: 'int' },
    ],
  }
  const spec: PartitionSpec = {
    specId: 0,
    fields: [{ sourceId: 2, fieldId: 1000, name: 'part', transform: 'identity' }],
  }
  const columns = ['id', 'part', 'value']
  const row = (id: number, part = 'a', value = id): Row => ({ id: BigInt(id), part, value })

  test('files are deleted, overwritten and rewritten, branches written and published, and main goes back', async () => {
    const table = tableOf(schema, spec, { 'format-version': formatVersion })
    const looks: Look[] = []
    const look = async (rows: readonly Row[], snapshotId?: bigint | null) => {
      looks.push(await lookAt(table, columns, rows, snapshotId))
    }
    const apply = (planned: PlannedCommit | null) => {
      table.now += 1_000
      if (planned !== null) table.apply({ ...planned, snapshotId: 0n })
    }
    const write = (rows: readonly Row[]) =>
      writeRows({ store, ids: table.io.ids, duckdb }, table.loaded().metadata, rows)
    const head = (branch = 'main') => table.loaded().metadata.refs[branch]?.snapshotId as bigint

    await append(table, [row(1), row(2), row(3, 'b')])
    await append(table, [row(4), row(5, 'b'), row(6, 'c')])
    const all = [row(1), row(2), row(3, 'b'), row(4), row(5, 'b'), row(6, 'c')]
    const first = head()

    const isB = [{ column: 'part', op: '=' as const, value: 'b' }]
    apply(await stageDelete(table.io, table.loaded(), { filter: isB }))
    await look([row(1), row(2), row(4), row(6, 'c')])

    const isA = [{ column: 'part', op: '=' as const, value: 'a' }]
    apply(
      await stageOverwrite(table.io, table.loaded(), {
        add: await write([row(1, 'a', 100), row(7)]),
        replaceRows: isA,
        addMatchesFilter: true,
        validation: { startingSnapshotId: head(), isolation: 'serializable' },
      }),
    )
    await append(table, [row(8)])
    await look([row(1, 'a', 100), row(6, 'c'), row(7), row(8)])
    await look(all, first)

    const partA = await Array.fromAsync(
      liveFiles(table.io.manifests, table.loaded().metadata, head(), 'data'),
    )
    apply(
      await stageRewrite(table.io, table.loaded(), {
        replace: partA
          .map(({ dataFile }) => dataFile)
          .filter(({ partition }) => partition[0] === 'a'),
        add: await write([row(8), row(7), row(1, 'a', 100)]),
        startingSnapshotId: head(),
      }),
    )
    const rewritten = [row(1, 'a', 100), row(6, 'c'), row(7), row(8)]
    await look(rewritten)

    await append(table, [row(20, 'd')], 'audit')
    await look(rewritten)
    await look([...rewritten, row(20, 'd')], head('audit'))
    await append(table, [row(21, 'd')])
    apply(await stageCherryPick(table.io, table.loaded(), head('audit')))
    await look([...rewritten, row(20, 'd'), row(21, 'd')])

    const { metadata } = table.loaded()
    apply(stagedChange(table.loaded(), setCurrentSnapshot(metadata, first)))
    await look(all)
    await expectRows(...looks)
  })

  if (formatVersion === '1') return

  test('rows are deleted and updated by position, and compacted while deletes arrive', async () => {
    const table = tableOf(schema, spec)
    const looks: Look[] = []
    const io = { store, ids: table.io.ids, duckdb }
    const head = () => table.loaded().metadata.refs['main']?.snapshotId as bigint
    const filesNow = async () =>
      Array.fromAsync(liveFiles(table.io.manifests, table.loaded().metadata, head(), 'data'))
    const apply = (planned: PlannedCommit | null) => {
      table.now += 1_000
      if (planned !== null) table.apply({ ...planned, snapshotId: 0n })
    }
    await append(
      table,
      Array.from({ length: 6 }, (_, i) => row(i)),
    )
    await append(
      table,
      Array.from({ length: 6 }, (_, i) => row(10 + i, i < 3 ? 'a' : 'b')),
    )
    const before = await filesNow()
    const deletes = await writePositionDeletes(
      io,
      table.loaded().metadata,
      before.map(({ dataFile }) => ({ file: dataFile, positions: [1, 0, 1] })),
    )
    expect(deletes).toHaveLength(2)
    apply(
      await stageRowDelta(table.io, table.loaded(), {
        deletes,
        add: await writeRows(io, table.loaded().metadata, [row(1, 'a', 111)]),
        referencedFiles: new Set(before.map(({ dataFile }) => dataFile.filePath)),
        validation: { startingSnapshotId: head(), isolation: 'serializable' },
      }),
    )
    const left = [row(1, 'a', 111), row(2), row(3), row(4), row(5), row(12), row(15, 'b')]
    looks.push(await lookAt(table, columns, left))

    // Part a is rewritten as of now; meanwhile a row of part b goes. Nothing of either is lost.
    const startingSnapshotId = head()
    const { lastSequenceNumber } = table.loaded().metadata
    const ofA = (await filesNow()).filter(({ dataFile }) => dataFile.partition[0] === 'a')
    const ofB = (await filesNow()).find(({ dataFile }) => dataFile.partition[0] === 'b')
    const moreDeletes = await writePositionDeletes(io, table.loaded().metadata, [
      { file: ofB?.dataFile as DataFile, positions: [2] },
    ])
    apply(await stageRowDelta(table.io, table.loaded(), { deletes: moreDeletes }))
    apply(
      await stageRewrite(table.io, table.loaded(), {
        replace: ofA.map(({ dataFile }) => dataFile),
        add: await writeRows(
          io,
          table.loaded().metadata,
          left.filter((each) => each['part'] === 'a'),
        ),
        startingSnapshotId,
        dataSequenceNumber: lastSequenceNumber,
      }),
    )
    looks.push(await lookAt(table, columns, left.slice(0, -1)))
    await expectRows(...looks)
  })
})

test('a table whose schema, partitions and order change between writes, and rows of any file deleted, is read as it is now', async () => {
  const table = tableOf(
    {
      type: 'struct',
      schemaId: 0,
      fields: [
        { id: 1, name: 'id', required: true, type: 'int' },
        { id: 2, name: 'name', required: false, type: 'string' },
        { id: 3, name: 'gone', required: false, type: 'double' },
        {
          id: 4,
          name: 'place',
          required: false,
          type: {
            type: 'struct',
            fields: [{ id: 5, name: 'x', required: false, type: 'float' }],
          },
        },
      ],
    },
    {
      specId: 0,
      fields: [{ sourceId: 2, fieldId: 1000, name: 'name', transform: 'identity' }],
    },
  )
  const change = (make: (metadata: TableMetadata) => MetadataChange) => {
    table.now += 1_000
    table.update(make(table.loaded().metadata).updates)
  }
  await append(
    table,
    [1, 2, 3].map((id) => ({ id, name: `n${id % 2}`, gone: id / 2, place: { x: id + 0.25 } })),
  )
  change((metadata) =>
    updateSchema(metadata, [
      { op: 'change type', name: 'id', type: 'long' },
      { op: 'rename', name: 'name', to: 'label' },
      { op: 'delete', name: 'gone' },
      { op: 'add', name: 'gone', type: 'string', doc: 'another column of the name' },
      { op: 'change type', name: 'place.x', type: 'double' },
      { op: 'add', parent: 'place', name: 'y', type: 'int' },
      { op: 'move first', name: 'place' },
    ]),
  )
  change((metadata) =>
    updateSpec(metadata, [
      { op: 'remove', name: 'name' },
      { op: 'add', column: 'id', transform: 'bucket[2]' },
    ]),
  )
  change((metadata) => replaceSortOrder(metadata, [{ column: 'id', direction: 'desc' }]))
  await append(
    table,
    [4, 5, 6].map((id) => ({ id, label: null, gone: `g${id}`, place: { x: id + 0.25, y: id } })),
  )
  const io = {
    ...table.io,
    reader: createDuckDbTableReader({ store, duckdb, manifests: table.io.manifests }),
    writeRows: (metadata: TableMetadata, rows: readonly Row[]) =>
      writeRows({ store, ids: table.io.ids, duckdb }, metadata, rows),
  }
  const rows: Row[] = [
    ...[1, 2, 3].map((id) => ({ id, label: `n${id % 2}`, place: { x: id + 0.25, y: null } })),
    ...[4, 5, 6].map((id) => ({ id, label: null, gone: `g${id}`, place: { x: id + 0.25, y: id } })),
  ]
  const columns = ['id', 'label', 'gone', 'place']
  const before = await lookAt(table, columns, rows)
  table.now += 1_000
  const staged = await stageRowRewrite(io, table.loaded(), {
    filter: [{ column: 'id', op: 'in', values: [3n, 4n] }],
  })
  if (staged !== null) table.apply(staged)
  const left = rows.filter(({ id }) => id !== 3 && id !== 4)
  await expectRows(before, await lookAt(table, columns, left))
})
