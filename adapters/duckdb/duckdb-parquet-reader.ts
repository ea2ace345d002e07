/**
 * Reads columns of a table's Parquet files through DuckDB. Columns are found by Iceberg field id, so files
 * of other writers, with other names or types that widen, read as the table defines them; a column that a
 * file lacks is null.
 */
import assert from 'node:assert/strict'
import type { ColumnDefinition, TableDefinition } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { ObjectStore, ParquetReader } from '../../kernel/ports.ts'
import { sqlTypes } from './column-types.ts'
import { createConnectionPool } from './connection-pool.ts'
import { type DuckDb, duckDbError, sqlName, sqlParquet, sqlText } from './instance.ts'
import { emptyBatch, readBatch } from './read-batch.ts'

export type DuckDbParquetReaderOptions = {
  readonly store: ObjectStore
  readonly duckdb: DuckDb
  /** Reads under way at a time; further ones wait. */
  readonly concurrency?: number
  /** A read that would give more rows is refused: TooLarge. Its result is held in memory. */
  readonly rowsMax?: number
}

const concurrencyDefault = 4
const rowsMaxDefault = 20_000_000

export function createDuckDbParquetReader(options: DuckDbParquetReaderOptions): ParquetReader {
  const { store, duckdb } = options
  const rowsMax = options.rowsMax ?? rowsMaxDefault
  const pool = createConnectionPool(duckdb, options.concurrency ?? concurrencyDefault)

  return {
    async read(definition, locations, columns, filter) {
      const wanted = columns.map((name) => columnOf(definition, name))
      if (locations.length === 0) return emptyBatch(wanted)
      const paths = await localPaths(locations)
      const where = filter === undefined ? '' : `WHERE ${sqlName('kvfv_id')} = $1`
      const sql = `SELECT ${columns.map(sqlName).join(', ')}
        FROM ${sqlParquet(paths, `schema = ${schemaOption(definition)}`)}
        ${where} LIMIT ${rowsMax + 1}`
      return pool.use(async (connection) => {
        try {
          const result = await connection.run(sql, filter === undefined ? [] : [filter.camera])
          if (result.rowCount > rowsMax) {
            throw new PotokError(
              'TooLarge',
              `a read of ${definition.name} gives over ${rowsMax} rows`,
            )
          }
          return await readBatch(result, wanted)
        } catch (error) {
          throw duckDbError(error, `read ${definition.name}`)
        }
      })
    },
    async distinct(locations, column) {
      if (locations.length === 0) return []
      const paths = await localPaths(locations)
      const sql = `SELECT DISTINCT ${sqlName(column)} FROM ${sqlParquet(paths)}
        WHERE ${sqlName(column)} IS NOT NULL`
      return pool.use(async (connection) => {
        try {
          const { columns } = await readBatch(await connection.run(sql), [
            { name: column, type: 'string' },
          ])
          const found = columns[column]
          assert(found?.type === 'string')
          return found.values as string[]
        } catch (error) {
          throw duckDbError(error, `find the values of ${column}`)
        }
      })
    },
    async close() {
      await pool.close()
    },
  }

  async function localPaths(locations: readonly string[]): Promise<string[]> {
    return await Promise.all(locations.map((location) => store.localPath(location)))
  }
}

function columnOf(definition: TableDefinition, name: string): ColumnDefinition {
  const column = definition.columns.find((candidate) => candidate.name === name)
  assert(column !== undefined, `${definition.name} has no column ${name}`)
  return column
}

/** By field id. Struct fields of the map are matched by name (`key`, `value`): DuckDB's option knows top level ids. */
function schemaOption(definition: TableDefinition): string {
  const fields = definition.columns.map(
    ({ id, name, type }) =>
      `${id}: {name: ${sqlText(name)}, type: ${sqlText(sqlTypes[type])}, default_value: NULL}`,
  )
  return `MAP {${fields.join(', ')}}`
}
