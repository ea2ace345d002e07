/**
 * Parquet files of all potok's tables, by DuckDB's COPY (docs/adr/0002): a batch goes through a temporary
 * table into one sorted file a day, one after another, so memory is bounded by the batch; some are still
 * being made durable while the next ones are written.
 * Sorting, encoding and compression run on DuckDB's threads; only filling the table uses the caller's.
 *
 * Columns are OPTIONAL in the file even where the table requires them (COPY can't do otherwise); Iceberg
 * readers take optionality from the table's schema. Every required column is checked to hold no null.
 */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { TableDefinition, WritableBatch } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStore, ParquetWriter, WrittenFile } from '../../kernel/ports.ts'
import { appendBatch } from './append-batch.ts'
import { type BatchDay, daysOfBatch } from './batch-days.ts'
import { fieldIdsOption, sqlTypes } from './column-types.ts'
import { createConnectionPool } from './connection-pool.ts'
import {
  columnStatistics,
  columnsWithNan,
  type CopyAnswer,
  readCopyAnswer,
} from './file-statistics.ts'
import { type DuckDb, duckDbError, sqlName, sqlText } from './instance.ts'

export type DuckDbParquetWriterOptions = {
  readonly store: ObjectStore
  readonly duckdb: DuckDb
  /** zstd, 1 (fastest) to 22. */
  readonly compressionLevel?: number
  /** Writes under way at a time; further ones wait. Each holds its batch. */
  readonly concurrency?: number
}

const compressionLevelDefault = 3
const concurrencyDefault = 2
/** DuckDB's least. */
const rowGroupRowsMin = 2048
const tableName = 'batch'
const smallDaysName = 'small_days'
/** Files that are made durable (fsync, upload) while the next ones are written: of late data many are small. */
const adoptionsMax = 8

type LocalFile = Omit<WrittenFile, 'fileSizeBytes'> & { readonly path: string }

export function createDuckDbParquetWriter(options: DuckDbParquetWriterOptions): ParquetWriter {
  const { store, duckdb } = options
  const level = options.compressionLevel ?? compressionLevelDefault
  const pool = createConnectionPool(duckdb, options.concurrency ?? concurrencyDefault)

  return {
    async write(definition, batch, locationOf) {
      assertNoMissing(definition, batch)
      return pool.use(async (connection) => {
        const adoptions: Promise<WrittenFile>[] = []
        const underWay = new Set<Promise<unknown>>()
        try {
          const days = daysOfBatch(definition, batch)
          if (days.length > 0) await fillTable(connection, definition, batch)
          const options = optionsOf(definition, batch)
          const largest = await setSmallDaysApart(connection, days)
          for (const day of days) {
            if (underWay.size >= adoptionsMax) await Promise.race(underWay)
            const location = locationOf(day.day)
            const source = day === largest ? tableName : smallDaysName
            const file = await writeFile(connection, definition, options, source, day, location)
            const adoption = adopt(file).finally(() => underWay.delete(adoption))
            underWay.add(adoption)
            adoptions.push(adoption)
          }
          return await Promise.all(adoptions)
        } finally {
          // Nothing is written any more when this has failed.
          await Promise.allSettled(adoptions)
          for (const name of [tableName, smallDaysName]) {
            await connection.run(`DROP TABLE IF EXISTS temp.${name}`)
          }
        }
      })
    },
    async close() {
      await pool.close()
    },
  }

  async function writeFile(
    connection: DuckDBConnection,
    definition: TableDefinition,
    options: string,
    source: string,
    { day, where }: BatchDay,
    location: string,
  ): Promise<LocalFile> {
    const path = await store.stagingPath(location)
    const selection = `temp.${source}${where === null ? '' : ` WHERE ${where}`}`
    try {
      const { recordCount, statistics } = await copyTo(
        connection,
        definition,
        options,
        selection,
        path,
      )
      const nanCounts = await countNan(
        connection,
        columnsWithNan(definition.columns, statistics),
        selection,
      )
      const columns = columnStatistics(definition.columns, statistics, nanCounts)
      return { path, location, partitionDay: day, recordCount, columns }
    } catch (error) {
      await rm(path, { force: true })
      throw error
    }
  }

  async function adopt({ path, ...file }: LocalFile): Promise<WrittenFile> {
    try {
      const { sizeBytes } = await store.adopt(path, file.location)
      return { ...file, fileSizeBytes: sizeBytes }
    } catch (error) {
      await rm(path, { force: true })
      throw error
    }
  }

  function optionsOf(definition: TableDefinition, batch: WritableBatch): string {
    return [
      `COMPRESSION zstd, COMPRESSION_LEVEL ${level}`,
      `ROW_GROUP_SIZE ${Math.max(definition.rowGroupRows, rowGroupRowsMin)}`,
      `FIELD_IDS ${fieldIdsOption(definition.columns)}`,
      // DuckDB's dictionaries hold both zeros for one value, and give back the one that came first.
      ...(hasNegativeZero(batch) ? ['DICTIONARY_SIZE_LIMIT 0'] : []),
    ].join(', ')
  }

  async function copyTo(
    connection: DuckDBConnection,
    definition: TableDefinition,
    options: string,
    selection: string,
    path: string,
  ): Promise<CopyAnswer> {
    const columns = definition.columns.map(({ name }) => sqlName(name)).join(', ')
    const order = definition.sortBy.map((name) => `${sqlName(name)} ASC NULLS LAST`).join(', ')
    const sql = `COPY (SELECT ${columns} FROM ${selection}
      ${order === '' ? '' : `ORDER BY ${order}`}) TO ${sqlText(path)} (
        FORMAT parquet, ${options}, RETURN_STATS)`
    try {
      const result = await connection.run(sql)
      const answer = await result.fetchChunk()
      assert(answer?.rowCount === 1, 'COPY with RETURN_STATS answers one row a file')
      return readCopyAnswer(answer.chunk)
    } catch (error) {
      throw duckDbError(error, `write ${definition.name} as Parquet`)
    }
  }
}

async function fillTable(
  connection: DuckDBConnection,
  definition: TableDefinition,
  batch: WritableBatch,
): Promise<void> {
  const columns = definition.columns
    .map(({ name, type }) => `${sqlName(name)} ${sqlTypes[type]}`)
    .join(', ')
  try {
    await connection.run(`CREATE OR REPLACE TEMP TABLE ${tableName} (${columns})`)
    await appendBatch(connection, tableName, definition, batch)
  } catch (error) {
    throw duckDbError(error, `take in rows of ${definition.name}`)
  }
}

/**
 * The rows of all days but the largest in a table of their own: each file is a look through its table, and late
 * events are few rows of many days. Gives the largest day.
 */
async function setSmallDaysApart(
  connection: DuckDBConnection,
  days: readonly BatchDay[],
): Promise<BatchDay | undefined> {
  const [largest] = [...days].sort((a, b) => b.rowCount - a.rowCount)
  if (days.length > 1) {
    await connection.run(
      `CREATE OR REPLACE TEMP TABLE ${smallDaysName} AS
        SELECT * FROM temp.${tableName} WHERE NOT (${largest?.where})`,
    )
  }
  return largest
}

/** A second look only where DuckDB has seen a NaN: it says that there is one, not how many. */
async function countNan(
  connection: DuckDBConnection,
  names: readonly string[],
  selection: string,
): Promise<Map<string, number>> {
  if (names.length === 0) return new Map()
  const counts = names.map((name) => `count(*) FILTER (isnan(${sqlName(name)}))`).join(', ')
  const reader = await connection.runAndReadAll(`SELECT ${counts} FROM ${selection}`)
  const row = reader.getRowsJson()[0] ?? []
  return new Map(names.map((name, index) => [name, Number(row[index])]))
}

function hasNegativeZero({ columns, rowCount }: WritableBatch): boolean {
  return Object.values(columns).some((column) => {
    if (column.type !== 'double') return false
    for (let row = 0; row < rowCount; row++) if (Object.is(column.values[row], -0)) return true
    return false
  })
}

function assertNoMissing(definition: TableDefinition, batch: WritableBatch): void {
  for (const { name, required } of definition.columns) {
    const column = batch.columns[name]
    if (!required || column === undefined) continue
    const at =
      column.type === 'string' ? column.values.indexOf(null) : (column.nulls?.indexOf(1) ?? -1)
    if (at !== -1 && at < batch.rowCount) {
      throw new PotokError(
        'InvalidInput',
        `${definition.name}.${name} is required, row ${at} lacks it`,
      )
    }
  }
}
