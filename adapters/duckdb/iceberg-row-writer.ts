/**
 * Writes rows of any Iceberg schema as Parquet data files, by DuckDB's COPY: one file a partition, one after
 * another, each sorted by the table's sort order. What it gives are data files ready to be committed
 * (`iceberg/transaction/append.ts` and its neighbours), with metrics as the table's properties want them.
 *
 * Memory is bounded by the rows that are handed in: whoever has more calls it again. Files are durable when
 * resolved. A call that fails deletes what it had written: nobody has heard of it.
 *
 * Columns are OPTIONAL in the file even where the schema requires them (COPY can't do otherwise); `checkedRow`
 * has seen that they have values. `fixed[n]` is refused by name: COPY can't make FIXED_LEN_BYTE_ARRAY of it.
 */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { type DuckDBConnection, DuckDBDataChunk, INTEGER } from '@duckdb/node-api'
import { rowsByPartition, sortRows } from '../../iceberg/spec/arrange-rows.ts'
import type { DataFile, PartitionValue } from '../../iceberg/spec/data-file.ts'
import { fileMetrics } from '../../iceberg/spec/file-metrics.ts'
import { type MetricsMode, metricsModes } from '../../iceberg/spec/metrics-modes.ts'
import { partitionPath } from '../../iceberg/spec/partition-path.ts'
import { checkedRow, holdsNegativeZero, type Row } from '../../iceberg/spec/rows.ts'
import { currentSchema, partitionSpecById, partitionTypes } from '../../iceberg/spec/schema.ts'
import type { PartitionSpec, StructType, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { IdSource, ObjectStore } from '../../kernel/ports.ts'
import { readCopyAnswer } from './file-statistics.ts'
import { type DuckDbColumn, duckDbColumns } from './iceberg-types.ts'
import { type DuckDb, duckDbError, sqlName, sqlText } from './instance.ts'
import { parquetOptions } from './parquet-options.ts'

export type RowWriterIo = {
  readonly store: ObjectStore
  readonly ids: IdSource
  readonly duckdb: DuckDb
}

/** By the table's current schema, default partition spec and default sort order. */
export async function writeRows(
  io: RowWriterIo,
  metadata: TableMetadata,
  rows: readonly Row[],
): Promise<DataFile[]> {
  const schema = currentSchema(metadata)
  const spec = partitionSpecById(metadata, metadata.defaultSpecId)
  const order = metadata.sortOrders.find(({ orderId }) => orderId === metadata.defaultSortOrderId)
  assert(order !== undefined, 'the metadata holds its default sort order')
  const modes = metricsModes(metadata.properties, schema, order)
  const checked = rows.map((row) => checkedRow(schema, row))
  const groups = rowsByPartition(schema, spec, checked).map(
    (group): FileOfRows => ({
      content: 'data',
      spec,
      partition: group.partition,
      schema,
      rows: sortRows(schema, order, group.rows),
      modes,
      sortOrderId: order.orderId,
    }),
  )
  return writeFiles(io, metadata, groups)
}

export type FileOfRows = {
  readonly content: DataFile['content']
  readonly spec: PartitionSpec
  readonly partition: readonly PartitionValue[]
  readonly schema: StructType
  /** In the order in which they are to stand. */
  readonly rows: readonly Row[]
  readonly modes: ReadonlyMap<number, MetricsMode>
  readonly sortOrderId?: number
}

export async function writeFiles(
  io: RowWriterIo,
  metadata: TableMetadata,
  files: readonly FileOfRows[],
): Promise<DataFile[]> {
  if (files.length === 0) return []
  const writeId = io.ids.uuid()
  const written: DataFile[] = []
  const connection = await io.duckdb.connect()
  try {
    for (const [i, file] of files.entries()) {
      const location = locationOf(metadata, file, writeId, i + 1)
      written.push(await writeFile(io, connection, metadata, file, location))
    }
  } catch (error) {
    await io.store.delete(written.map(({ filePath }) => filePath)).catch(() => {
      // The failure told of is the first one; what stays is for orphan removal.
    })
    throw error
  } finally {
    connection.closeSync()
  }
  return written
}

/** As the Java client names them: partition 0, task 0, the write, the file's number in it. */
function locationOf(
  metadata: TableMetadata,
  file: FileOfRows,
  writeId: string,
  number: number,
): string {
  const folder = metadata.properties['write.data.path'] ?? `${metadata.location}/data`
  const types = partitionTypes(metadata.schemas, file.spec)
  const parts = partitionPath(file.spec, types, file.partition)
  const kind = file.content === 'data' ? '' : '-deletes'
  const name = `00000-0-${writeId}-${String(number).padStart(5, '0')}${kind}.parquet`
  return [folder.replace(/\/+$/, ''), ...(parts === '' ? [] : [parts]), name].join('/')
}

async function writeFile(
  io: RowWriterIo,
  connection: DuckDBConnection,
  metadata: TableMetadata,
  file: FileOfRows,
  location: string,
): Promise<DataFile> {
  const columns = duckDbColumns(file.schema)
  const path = await io.store.stagingPath(location)
  try {
    await fillTable(connection, columns, file.rows)
    const options = [
      parquetOptions(metadata.properties),
      // DuckDB's dictionaries hold both zeros for one value, and give back the one that came first.
      ...(file.rows.some(holdsNegativeZero) ? ['DICTIONARY_SIZE_LIMIT 0'] : []),
    ]
    const sizes = await copyTo(connection, columns, options.join(', '), path)
    const { sizeBytes } = await io.store.adopt(path, location)
    const columnSizes = new Map(
      [...sizes].filter(([id]) => (file.modes.get(id)?.kind ?? 'none') !== 'none'),
    )
    const { nanValueCounts, ...metrics } = fileMetrics(file.schema, file.modes, file.rows)
    return {
      content: file.content,
      filePath: location,
      fileFormat: 'PARQUET',
      specId: file.spec.specId,
      partition: file.partition,
      recordCount: file.rows.length,
      fileSizeBytes: sizeBytes,
      columnSizes,
      ...metrics,
      ...(nanValueCounts.size === 0 ? {} : { nanValueCounts }),
      ...(file.sortOrderId === undefined ? {} : { sortOrderId: file.sortOrderId }),
    }
  } catch (error) {
    await rm(path, { force: true })
    throw duckDbError(error, `write ${location}`)
  }
}

const tableName = 'temp.rows_to_write'
const ordinal = sqlName('potok row number')
const chunkRows = 2048

/**
 * Columns have numbers for names here, since any name may be a column's. The last one is the row's number:
 * DuckDB keeps an order only where one is asked for, and the table's own may be by transforms.
 */
async function fillTable(
  connection: DuckDBConnection,
  columns: readonly DuckDbColumn[],
  rows: readonly Row[],
): Promise<void> {
  const declared = columns.map(({ type }, i) => `c${i} ${String(type)}`)
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE rows_to_write (${[...declared, `${ordinal} INTEGER`].join(', ')})`,
  )
  const appender = await connection.createAppender('rows_to_write')
  try {
    for (let from = 0; from < rows.length; from += chunkRows) {
      const part = rows.slice(from, from + chunkRows)
      const chunk = DuckDBDataChunk.create([...columns.map(({ type }) => type), INTEGER])
      chunk.setColumns([
        ...columns.map(({ field, toDuckDb }) =>
          part.map((row) => toDuckDb(row[field.name] ?? null)),
        ),
        part.map((_, i) => from + i),
      ])
      appender.appendDataChunk(chunk)
      await nextTurn()
    }
  } finally {
    appender.closeSync()
  }
}

/** Gives the bytes of each column in the file by field id. */
async function copyTo(
  connection: DuckDBConnection,
  columns: readonly DuckDbColumn[],
  options: string,
  path: string,
): Promise<Map<number, number>> {
  const selected = columns.map(({ name }, i) => `c${i} AS ${sqlName(name)}`).join(', ')
  const fieldIds = columns.map((column) => column.fieldIds).join(', ')
  const result = await connection.run(
    `COPY (SELECT ${selected} FROM ${tableName} ORDER BY ${ordinal}) TO ${sqlText(path)}
      (FORMAT parquet, ${options}, FIELD_IDS {${fieldIds}}, RETURN_STATS)`,
  )
  const answer = await result.fetchChunk()
  await connection.run(`DROP TABLE ${tableName}`)
  assert(answer?.rowCount === 1, 'COPY with RETURN_STATS answers one row a file')
  const { statistics } = readCopyAnswer(answer.chunk)
  const sizes = new Map<number, number>()
  for (const [leafPath, id] of columns.flatMap(({ leaves }) => leaves)) {
    const size = Number(statistics.get(leafPath)?.get('column_size_bytes'))
    if (!Number.isSafeInteger(size)) {
      throw new PotokError('Unsupported', `DuckDB gave no statistics of the column ${leafPath}`)
    }
    sizes.set(id, size)
  }
  return sizes
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
