/**
 * Files that have the same schema are read by one query. Looks at the schema of each file (its footer alone),
 * and gives groups of equal ones, with the columns as a tree that has been compared with what DuckDB makes of
 * them: SQL over a file is made by position in this tree, so a difference is refused and never guessed over.
 */
import {
  type DuckDBConnection,
  DuckDBListType,
  DuckDBMapType,
  DuckDBStructType,
  type DuckDBType,
} from '@duckdb/node-api'
import { PotokError } from '../../kernel/errors.ts'
import { duckDbError, sqlParquet, sqlPaths } from './instance.ts'
import { type ParquetNode, parquetLayout, type SchemaRow } from './parquet-layout.ts'

export type FileGroup = {
  readonly columns: readonly ParquetNode[]
  /** Which of the paths: indexes, rising. */
  readonly members: readonly number[]
}

/** Paths on the local disk. `nameOf` tells a file's location, for messages. */
export async function groupByLayout(
  connection: DuckDBConnection,
  paths: readonly string[],
  nameOf: (index: number) => string,
): Promise<FileGroup[]> {
  if (paths.length === 0) return []
  const membersOf = new Map<string, number[]>()
  for (const [index, path] of paths.entries()) {
    const members = membersOf.get(path)
    if (members === undefined) membersOf.set(path, [index])
    else members.push(index)
  }
  const groups: FileGroup[] = []
  for (const { files, schema } of await readSchemas(connection, [...membersOf.keys()])) {
    const members = files.flatMap((path) => membersOf.get(path) ?? []).toSorted((a, b) => a - b)
    const [first] = members
    if (first === undefined) continue
    const columns = parquetLayout(schema, nameOf(first))
    await compareTypes(connection, paths[first] as string, columns, nameOf(first))
    groups.push({ columns, members })
  }
  const found = groups.reduce((sum, group) => sum + group.members.length, 0)
  if (found !== paths.length) {
    throw new PotokError('DataCorrupt', `schemas of ${found} of ${paths.length} files can be read`)
  }
  return groups
}

type WireSchemaRow = {
  name: string
  repetition: string | null
  children: string | number | null
  converted: string | null
  logical: string | null
  id: string | number | null
  length: string | number | null
  duckdb: string | null
}

async function readSchemas(
  connection: DuckDBConnection,
  paths: readonly string[],
): Promise<{ files: string[]; schema: SchemaRow[] }[]> {
  const sql = `SELECT list(file_name) AS files, rows FROM (
      SELECT file_name, list(struct_pack(name := name, repetition := repetition_type,
        children := num_children, converted := converted_type, logical := logical_type, id := field_id,
        length := type_length, duckdb := duckdb_type) ORDER BY column_id) AS rows
      FROM parquet_schema(${sqlPaths(paths)}) GROUP BY file_name
    ) GROUP BY rows`
  try {
    const reader = await connection.runAndReadAll(sql)
    return reader.getRowObjectsJson().map((row) => ({
      files: row['files'] as string[],
      schema: (row['rows'] as unknown as WireSchemaRow[]).map(schemaRow),
    }))
  } catch (error) {
    throw duckDbError(error, 'read the schemas of Parquet files')
  }
}

function schemaRow(wire: WireSchemaRow): SchemaRow {
  const number = (value: string | number | null) => (value === null ? null : Number(value))
  return {
    name: wire.name,
    repetition: wire.repetition ?? 'REQUIRED',
    childCount: number(wire.children),
    convertedType: wire.converted,
    logicalType: wire.logical,
    // Some writers say -1 where they have none.
    fieldId: Number(wire.id ?? -1) < 0 ? null : Number(wire.id),
    lengthBytes: number(wire.length),
    duckDbType: wire.duckdb,
  }
}

async function compareTypes(
  connection: DuckDBConnection,
  path: string,
  columns: readonly ParquetNode[],
  file: string,
): Promise<void> {
  let types: readonly DuckDBType[]
  try {
    types = (await connection.run(`FROM ${sqlParquet([path])} LIMIT 0`)).columnTypes()
  } catch (error) {
    throw duckDbError(error, `read ${file}`)
  }
  const different = columns.find((node, i) => !isReadAs(node, types[i]))
  if (types.length !== columns.length || different !== undefined) {
    throw new PotokError(
      'Unsupported',
      `the Parquet file ${file} has a layout that potok does not read${different === undefined ? '' : `: ${different.name}`}`,
      { context: { file } },
    )
  }
}

function isReadAs(node: ParquetNode, type: DuckDBType | undefined): boolean {
  switch (node.kind) {
    case 'primitive':
      return (
        type !== undefined &&
        !(type instanceof DuckDBListType) &&
        !(type instanceof DuckDBStructType) &&
        !(type instanceof DuckDBMapType)
      )
    case 'struct':
      return (
        type instanceof DuckDBStructType &&
        type.entryTypes.length === node.fields.length &&
        node.fields.every((field, i) => isReadAs(field, type.entryTypes[i]))
      )
    case 'list':
      if (!(type instanceof DuckDBListType)) return false
      if (!node.isElementBare || node.element.kind !== 'struct') {
        return isReadAs(node.element, type.valueType)
      }
      return isReadAs(node.element.fields[0] as ParquetNode, type.valueType)
    case 'map':
      return (
        type instanceof DuckDBMapType &&
        isReadAs(node.key, type.keyType) &&
        isReadAs(node.value, type.valueType)
      )
  }
}
