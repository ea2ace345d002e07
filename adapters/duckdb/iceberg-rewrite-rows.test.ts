/** Rows deleted and replaced by a filter, over real files: what stays is what a filter by hand leaves. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ScanFilter } from '../../iceberg/scan/scan-filter.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import type { Schema } from '../../iceberg/spec/table-metadata.ts'
import { rowsOfBatch } from '../../iceberg/table-reader.ts'
import { stageAppend } from '../../iceberg/transaction/append.ts'
import { liveFiles } from '../../iceberg/transaction/live-entries.ts'
import {
  type RowRewriteIo,
  type RowRewriteRequest,
  stageRowRewrite,
} from '../../iceberg/transaction/rewrite-rows.ts'
import { stageRowDelta } from '../../iceberg/transaction/row-delta.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { createStagedTable, type StagedTable } from '../../testkit/staged-table.ts'
import { createLocalObjectStore } from '../object-store/local-object-store.ts'
import { createDuckDbTableReader } from './duckdb-table-reader.ts'
import { writeRows } from './iceberg-row-writer.ts'
import { type DuckDb, openDuckDb } from './instance.ts'
import { writePositionDeletes } from './position-deletes.ts'

const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [
    { id: 1, name: 'id', required: true, type: 'int' },
    { id: 2, name: 'part', required: false, type: 'string' },
    { id: 3, name: 'value', required: false, type: 'double' },
  ],
}

let folder: string
let store: ObjectStore
let duckdb: DuckDb
let table: StagedTable
let io: RowRewriteIo
let tables = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok rewrite '))
  store = createLocalObjectStore()
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

/** Ids 0 to 9 in one file for each of three parts; values with nulls and NaN. */
beforeEach(async () => {
  table = createStagedTable({
    store,
    schema,
    spec: {
      specId: 0,
      fields: [{ sourceId: 2, fieldId: 1000, name: 'part', transform: 'identity' }],
    },
    location: `file://${folder}/t${tables++}`,
  })
  io = {
    ...table.io,
    reader: createDuckDbTableReader({ store, duckdb, manifests: table.io.manifests }),
    writeRows: (metadata, rows) => writeRows({ store, ids: table.io.ids, duckdb }, metadata, rows),
  }
  await append(all)
})

const all: readonly Row[] = Array.from({ length: 30 }, (_, id) => ({
  id,
  part: ['a', 'b', null][id % 3] ?? null,
  value: id % 7 === 0 ? null : id % 5 === 0 ? Number.NaN : id / 2,
}))

async function append(rows: readonly Row[]): Promise<void> {
  table.now += 1_000
  const files = await io.writeRows(table.loaded().metadata, rows)
  table.apply(await stageAppend(table.io, table.loaded(), { files }))
}
async function run(request: RowRewriteRequest) {
  table.now += 1_000
  const staged = await stageRowRewrite(io, table.loaded(), request)
  if (staged !== null) table.apply(staged)
  return staged
}
async function ids(): Promise<number[]> {
  const scan = await io.reader.open(table.loaded().metadata)
  const found: number[] = []
  for await (const batch of scan.batches()) {
    found.push(...rowsOfBatch(scan.schema, batch).map(({ id }) => Number(id)))
  }
  return found.toSorted((a, b) => a - b)
}
async function paths(): Promise<string[]> {
  const { metadata } = table.loaded()
  const live = await Array.fromAsync(
    liveFiles(table.io.manifests, metadata, metadata.currentSnapshotId, 'data'),
  )
  return live.map(({ dataFile }) => dataFile.filePath)
}
const idsWhere = (test: (row: Row) => boolean) => all.filter(test).map(({ id }) => Number(id))

describe('rows that match a filter go, all others stay', () => {
  test.each<[string, ScanFilter, (row: Row) => boolean]>([
    ['in parts of files', [{ column: 'id', op: '<', value: 7 }], ({ id }) => Number(id) >= 7],
    [
      'null and NaN match no comparison',
      [{ column: 'value', op: '>=', value: 3 }],
      ({ value }) => value === null || Number.isNaN(value) || Number(value) < 3,
    ],
    [
      'null is neither equal nor unequal',
      [{ column: 'part', op: '!=', value: 'a' }],
      ({ part }) => part === 'a' || part === null,
    ],
    [
      'what is not less is also NaN, and not null',
      [{ op: 'not', of: { column: 'value', op: '<', value: 3 } }],
      ({ value }) => value === null || Number(value) < 3,
    ],
    [
      'or, over two columns',
      [
        {
          op: 'or',
          of: [
            { column: 'part', op: 'is null' },
            { column: 'id', op: 'in', values: [3, 4] },
          ],
        },
      ],
      ({ id, part }) => part !== null && ![3, 4].includes(Number(id)),
    ],
    ['all', [], () => false],
  ])('%s', async (_, filter, stays) => {
    await run({ filter })
    expect(await ids()).toEqual(idsWhere(stays))
  })
})

test('files of which every row matches are not read, those of which none may are not touched', async () => {
  const before = await paths()
  const staged = await run({ filter: [{ column: 'part', op: '=', value: 'a' }] })
  expect(staged?.written.filter((path) => path.endsWith('.parquet'))).toEqual([])
  const after = await paths()
  expect(before.filter((path) => after.includes(path))).toHaveLength(2)
  expect(after).toHaveLength(2)
  expect(table.loaded().metadata.snapshots.at(-1)?.summary.operation).toBe('delete')
})

test('rows deleted before by position stay gone', async () => {
  const { metadata } = table.loaded()
  const live = await Array.fromAsync(
    liveFiles(table.io.manifests, metadata, metadata.currentSnapshotId, 'data'),
  )
  const deletes = await writePositionDeletes(
    { store, ids: table.io.ids, duckdb },
    metadata,
    live.map(({ dataFile }) => ({ file: dataFile, positions: [0] })),
  )
  table.now += 1_000
  table.apply(await stageRowDelta(table.io, table.loaded(), { deletes }))
  await run({ filter: [{ column: 'id', op: '>=', value: 20 }] })
  expect(await ids()).toEqual(idsWhere(({ id }) => Number(id) >= 3 && Number(id) < 20))
})

test('rows take the place of those that match, in one snapshot', async () => {
  const add = await io.writeRows(table.loaded().metadata, [{ id: 100, part: 'c' }])
  await run({ filter: [{ column: 'id', op: '>', value: 0 }], add })
  expect(await ids()).toEqual([0, 100])
  expect(table.loaded().metadata.snapshots).toHaveLength(2)
  expect(table.loaded().metadata.snapshots.at(-1)?.summary.operation).toBe('overwrite')
})

test('where nothing matches nothing is done', async () => {
  // Within the bounds of a file, so that it has to be read.
  expect(await run({ filter: [{ column: 'value', op: '=', value: 3.25 }] })).toBeNull()
  expect(await ids()).toHaveLength(30)
})

test('a lost attempt names its data files, so that they can go with it', async () => {
  const staged = await stageRowRewrite(io, table.loaded(), {
    filter: [{ column: 'id', op: '=', value: 3 }],
  })
  expect(staged?.written.filter((path) => path.endsWith('.parquet'))).toHaveLength(1)
})
