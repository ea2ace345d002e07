import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ColumnBatch, TableDefinition } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { createLocalObjectStore } from '../object-store/local-object-store.ts'
import { createDuckDbParquetReader } from './duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from './duckdb-parquet-writer.ts'
import { type DuckDb, openDuckDb } from './instance.ts'

const table: TableDefinition = {
  name: 'small',
  doc: '',
  columns: [{ id: 1, name: 'n', type: 'long', required: true, doc: '' }],
  partitionByDayOf: null,
  sortBy: ['n'],
  rowGroupRows: 2048,
}
const batchOf = (...values: bigint[]): ColumnBatch => ({
  rowCount: values.length,
  columns: { n: { type: 'long', values: BigInt64Array.from(values) } },
})

let folder: string
let duckdb: DuckDb
let store: ObjectStore

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-duckdb-'))
  store = createLocalObjectStore({ root: `file://${folder}/store` })
  duckdb = await openDuckDb({
    memoryLimitBytes: 128 * 1024 * 1024,
    threads: 1,
    tempDirectory: join(folder, 'spill'),
  })
})
afterEach(async () => {
  duckdb.close()
  await rm(folder, { recursive: true })
})

test('every connection speaks UTC, and fetches no extension', async () => {
  for (const connection of [await duckdb.connect(), await duckdb.connect()]) {
    const reader = await connection.runAndReadAll(
      `SELECT current_setting('TimeZone'), current_setting('autoinstall_known_extensions'),
         current_setting('autoload_known_extensions')`,
    )
    expect(reader.getRowsJson()).toEqual([['UTC', false, false]])
    connection.closeSync()
  }
})

test('a write that the store refuses leaves nothing on the local disk, and the next one works', async () => {
  let isRefusing = true
  const writer = createDuckDbParquetWriter({
    duckdb,
    concurrency: 1,
    store: {
      ...store,
      adopt: async (path, location) => {
        if (isRefusing) throw new PotokError('Unavailable', 'disk full')
        return store.adopt(path, location)
      },
    },
  })
  const write = () =>
    writer.write(table, batchOf(1n), () => `file://${folder}/store/data/a.parquet`)
  await expect(write()).rejects.toMatchObject({ kind: 'Unavailable', message: 'disk full' })
  const left = await readdir(folder, { recursive: true, withFileTypes: true })
  expect(left.filter((entry) => entry.isFile())).toEqual([])
  isRefusing = false
  expect(await write()).toMatchObject([{ recordCount: 1 }])
  await writer.close()
})

test('a location is never overwritten', async () => {
  const writer = createDuckDbParquetWriter({ store, duckdb })
  const location = `file://${folder}/store/data/a.parquet`
  await writer.write(table, batchOf(1n), () => location)
  await expect(writer.write(table, batchOf(2n), () => location)).rejects.toMatchObject({
    kind: 'AlreadyExists',
  })
  await writer.close()
})

test('a read of more rows than may be is refused', async () => {
  const writer = createDuckDbParquetWriter({ store, duckdb })
  const reader = createDuckDbParquetReader({ store, duckdb, rowsMax: 2 })
  const locations = ['a', 'b'].map((name) => `file://${folder}/store/data/${name}.parquet`)
  await writer.write(table, batchOf(1n, 2n), () => locations[0] as string)
  await writer.write(table, batchOf(3n), () => locations[1] as string)
  expect((await reader.read(table, locations.slice(0, 1), ['n'])).rowCount).toBe(2)
  await expect(reader.read(table, locations, ['n'])).rejects.toMatchObject({ kind: 'TooLarge' })
})

test('after close nothing is written, and what was waiting says so', async () => {
  const writer = createDuckDbParquetWriter({ store, duckdb, concurrency: 1 })
  const first = writer.write(table, batchOf(1n), () => `file://${folder}/store/data/a.parquet`)
  const second = writer.write(table, batchOf(2n), () => `file://${folder}/store/data/b.parquet`)
  const settled = Promise.allSettled([first, second])
  // The first has its connection by now.
  await Promise.resolve()
  await writer.close()
  const outcomes = await settled
  expect(outcomes[1]).toMatchObject({ status: 'rejected', reason: { kind: 'ShuttingDown' } })
  await expect(
    writer.write(table, batchOf(3n), () => `file://${folder}/store/data/c.parquet`),
  ).rejects.toMatchObject({ kind: 'ShuttingDown' })
})
