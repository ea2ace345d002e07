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

const typeIds: Readonly<Record<Exclude<ColumnType, 'map<int,long>'>, duckdb.Type>> = {
  boolean: duckdb.Type.BOOLEAN,
  int: duckdb.Type.INTEGER,
  long: duckdb.Type.BIGINT,
  double: duckdb.Type.DOUBLE,
  string: duckdb.Type.VARCHAR,
  timestamptz: duckdb.Type.TIMESTAMP_TZ,
  date: duckdb.Type.DATE,
  uuid: duckdb.Type.UUID,
}

export function logicalType(type: ColumnType): duckdb.LogicalType {
  if (type !== 'map<int,long>') return duckdb.create_logical_type(typeIds[type])
  return duckdb.create_map_type(logicalType('int'), logicalType('long'))
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
