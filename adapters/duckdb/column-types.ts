/** How a column of a table definition is called in DuckDB, and what its Parquet fields are numbered. */
import duckdb from '@duckdb/node-bindings'
import type { ColumnDefinition, ColumnType } from '../../kernel/columns.ts'
import { sqlName } from './instance.ts'

export const sqlTypes: Readonly<Record<ColumnType, string>> = {
  boolean: 'BOOLEAN',
  int: 'INTEGER',
  long: 'BIGINT',
  double: 'DOUBLE',
  string: 'VARCHAR',
  timestamptz: 'TIMESTAMPTZ',
  date: 'DATE',
  uuid: 'UUID',
  'map<int,long>': 'MAP(INTEGER, BIGINT)',
}

export function logicalType(type: ColumnType): duckdb.LogicalType {
  switch (type) {
    case 'boolean':
      return duckdb.create_logical_type(duckdb.Type.BOOLEAN)
    case 'int':
      return duckdb.create_logical_type(duckdb.Type.INTEGER)
    case 'long':
      return duckdb.create_logical_type(duckdb.Type.BIGINT)
    case 'double':
      return duckdb.create_logical_type(duckdb.Type.DOUBLE)
    case 'string':
      return duckdb.create_logical_type(duckdb.Type.VARCHAR)
    case 'timestamptz':
      return duckdb.create_logical_type(duckdb.Type.TIMESTAMP_TZ)
    case 'date':
      return duckdb.create_logical_type(duckdb.Type.DATE)
    case 'uuid':
      return duckdb.create_logical_type(duckdb.Type.UUID)
    case 'map<int,long>':
      return duckdb.create_map_type(
        duckdb.create_logical_type(duckdb.Type.INTEGER),
        duckdb.create_logical_type(duckdb.Type.BIGINT),
      )
  }
}

/** The option FIELD_IDS of COPY: Iceberg readers find columns by these numbers alone. */
export function fieldIdsOption(columns: readonly ColumnDefinition[]): string {
  const parts = columns.map((column) => {
    const name = sqlName(column.name)
    if (column.mapIds === undefined) return `${name}: ${column.id}`
    const { key, value } = column.mapIds
    return `${name}: {__duckdb_field_id: ${column.id}, key: ${key}, value: ${value}}`
  })
  return `{${parts.join(', ')}}`
}
