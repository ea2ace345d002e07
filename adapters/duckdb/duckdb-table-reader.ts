/**
 * Rows of any Iceberg table through DuckDB: the port `TableReader`. Files of one layout are read by one query,
 * in which columns are found by field id (`column-expression.ts`), deletes are joined (`delete-tables.ts`) and
 * the filter is applied (`filter-sql.ts`). Results are streamed: a batch is in memory, not a table.
 *
 * A scan has a connection of its own, with its temporary tables, as long as its batches are iterated.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import bindings from '@duckdb/node-bindings'
import { assertReadable, type FileTask } from '../../iceberg/scan/assign-deletes.ts'
import { type BoundFilter, bindFilter } from '../../iceberg/scan/bind-filter.ts'
import { nameMappingOf } from '../../iceberg/scan/name-mapping.ts'
import { type ManifestCache, planFileTasks } from '../../iceberg/scan/plan-files.ts'
import { selectSnapshot } from '../../iceberg/scan/select-snapshot.ts'
import { fieldByName } from '../../iceberg/spec/schema.ts'
import type { Schema } from '../../iceberg/spec/table-metadata.ts'
import type { ReadRequest, RowBatch, TableReader } from '../../iceberg/table-reader.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { columnExpression } from './column-expression.ts'
import { type DeleteTables, loadDeletes, portions } from './delete-tables.ts'
import { filterSql } from './filter-sql.ts'
import { groupByLayout } from './group-files.ts'
import { type DuckDb, duckDbError } from './instance.ts'
import { readVector } from './read-rows.ts'
import { type ScanSource, scanSources, type SourceContext, type SourceFile } from './scan-source.ts'

export type DuckDbTableReaderOptions = {
  readonly store: ObjectStore
  readonly manifests: ManifestCache
  readonly duckdb: DuckDb
}

export function createDuckDbTableReader(options: DuckDbTableReaderOptions): TableReader {
  return {
    async open(metadata, request = {}) {
      const { snapshotId, schema: whole } = selectSnapshot(metadata, request.snapshot)
      const schema = projected(whole, request.columns)
      const filter = bindFilter(whole, request.filter ?? [])
      assertReadable(metadata, [])
      const planned =
        snapshotId === null
          ? []
          : await planFileTasks(options, metadata, {
              snapshotId,
              schema: whole,
              ...(request.filter === undefined ? {} : { filter: request.filter }),
            })
      const { files } = request
      const tasks =
        files === undefined
          ? planned
          : planned.filter(({ data }) => files.has(data.dataFile.filePath))
      assertReadable(metadata, tasks)
      const context: SourceContext = { metadata, schema: whole, mapping: nameMappingOf(metadata) }
      return {
        snapshotId,
        schema,
        batches: () => readTasks(options, context, { schema, filter, tasks }),
      }
    },
  }
}

function projected(schema: Schema, columns: ReadRequest['columns']): Schema {
  if (columns === undefined) return schema
  const fields = columns.map((name) => {
    const field = fieldByName(schema, name)
    if (field === null) {
      throw new PotokError('InvalidInput', `the table has no column ${name}`, {
        context: { column: name },
      })
    }
    return field
  })
  return { ...schema, fields }
}

type Scan = {
  readonly schema: Schema
  readonly filter: BoundFilter
  readonly tasks: readonly FileTask[]
}

async function* readTasks(
  options: DuckDbTableReaderOptions,
  context: SourceContext,
  scan: Scan,
): AsyncGenerator<RowBatch> {
  if (scan.tasks.length === 0) return
  const connection = await options.duckdb.connect()
  try {
    for await (const sql of scanQueries(connection, options.store, context, scan)) {
      yield* rowsOf(connection, sql, scan.schema)
    }
  } catch (error) {
    throw duckDbError(error, `read ${context.metadata.location}`)
  } finally {
    connection.closeSync()
  }
}

/**
 * One query after another that together give the rows of the tasks, columns in the order of the schema. The
 * temporary tables that they need are made in the connection first.
 */
async function* scanQueries(
  connection: DuckDBConnection,
  store: Pick<ObjectStore, 'localPath'>,
  context: SourceContext,
  scan: Scan,
): AsyncGenerator<string> {
  const deletes = await loadDeletes({ connection, store, context }, scan.tasks)
  const numbered = scan.tasks.map((task, number) => ({ task, number }))
  for (const portion of portions(numbered, ({ task }) => task.data.dataFile.fileSizeBytes)) {
    const taskOf = new Map(portion.map(({ task }) => [task.data.dataFile, task]))
    const files = await Promise.all(
      portion.map(async ({ task, number }): Promise<SourceFile> => {
        const { data } = task
        const isPlain = task.positionDeletes.length === 0 && task.equalityDeletes.length === 0
        const facts = {
          task: String(number),
          part: String(deletes.partOf(data)),
          seq: String(data.sequenceNumber),
        }
        const path = await store.localPath(data.dataFile.filePath)
        return { path, dataFile: data.dataFile, facts: isPlain ? {} : facts }
      }),
    )
    // Files without deletes need no join: they are read apart from the others.
    for (const ofKind of [files.filter(isPlain), files.filter((file) => !isPlain(file))]) {
      const groups = await groupByLayout(
        connection,
        ofKind.map(({ path }) => path),
        (i) => ofKind[i]?.dataFile.filePath ?? '',
      )
      for (const source of scanSources(context, groups, ofKind)) {
        const tasks = source.files.flatMap(({ dataFile }) => taskOf.get(dataFile) ?? [])
        yield querySql(source, scan, tasks, deletes)
      }
    }
  }
}

function isPlain({ facts }: { readonly facts: object }): boolean {
  return Object.keys(facts).length === 0
}

function querySql(
  { columns, sql }: ScanSource,
  { schema, filter }: Scan,
  tasks: readonly FileTask[],
  { equalitySets }: DeleteTables,
): string {
  const selected = schema.fields.map((field) => columnExpression(columns, [field]))
  const joins: string[] = []
  const conditions = [filterSql(filter, (path) => columnExpression(columns, path))]
  for (const { table, paths, isEverywhere, files } of equalitySets) {
    if (!tasks.some((task) => task.equalityDeletes.some((file) => files.has(file)))) continue
    const equal = paths.map(
      (path, i) => `${table}.k${i} IS NOT DISTINCT FROM ${columnExpression(columns, path)}`,
    )
    if (!isEverywhere) equal.push(`${table}.part = f.part`)
    joins.push(`LEFT JOIN ${table} ON ${equal.join(' AND ')}`)
    conditions.push(`(${table}.seq IS NULL OR ${table}.seq <= f.seq)`)
  }
  if (tasks.some(({ positionDeletes }) => positionDeletes.length > 0)) {
    joins.push('ANTI JOIN positions p ON p.task = f.task AND p.pos = r.file_row_number')
  }
  return `SELECT ${selected.length === 0 ? 'TRUE' : selected.join(', ')} FROM ${sql}
    ${joins.join('\n')} WHERE ${conditions.join(' AND ')}`
}

async function* rowsOf(
  connection: DuckDBConnection,
  sql: string,
  schema: Schema,
): AsyncGenerator<RowBatch> {
  const result = await connection.stream(sql)
  for (;;) {
    const fetched = await result.fetchChunk()
    if (fetched === null || fetched.rowCount === 0) return
    const rowCount = fetched.rowCount
    yield {
      rowCount,
      columns: schema.fields.map(({ type }, i) =>
        readVector(type, bindings.data_chunk_get_vector(fetched.chunk, i), rowCount),
      ),
    }
  }
}
