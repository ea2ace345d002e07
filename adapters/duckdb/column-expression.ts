/**
 * SQL that makes a table's column of a file's: found by field id, converted where the type was promoted since,
 * rebuilt where the fields of a struct changed. Structs come out with fields `c0`, `c1`, … in the order of the
 * table's schema: whoever reads them counts.
 *
 * Where a column is the same in file and table, the expression is the column itself, so that DuckDB prunes row
 * groups by it.
 */
import { PotokError } from '../../kernel/errors.ts'
import { decimalPrecisionScale } from '../../iceberg/codec/manifest-avro.ts'
import type { IcebergType, NestedField, StructType } from '../../iceberg/spec/table-metadata.ts'
import type { ParquetNode } from './parquet-layout.ts'

/** What stands for a column that a file lacks, if it isn't null: by field id. */
export type Constants = ReadonlyMap<number, string>

type Parent = {
  readonly fields: readonly ParquetNode[]
  /** SQL of the field at an index. */
  readonly access: (index: number) => string
}

export type FileColumns = Parent & { readonly constants: Constants; readonly file: string }

/** The column of a field, or of a field in structs: `path` leads to it from the top level. */
export function columnExpression(columns: FileColumns, path: readonly NestedField[]): string {
  let parent: Parent = columns
  for (const [depth, field] of path.entries()) {
    const isLast = depth === path.length - 1
    if (isLast) return fieldExpression(columns, parent, field)
    const at = parent.fields.findIndex(({ id }) => id === field.id)
    const node = parent.fields[at]
    if (node?.kind !== 'struct') {
      const leaf = path.at(-1) as NestedField
      return columns.constants.get(leaf.id) ?? missing(columns, leaf)
    }
    const access = parent.access(at)
    parent = { fields: node.fields, access: (i) => `struct_extract_at(${access}, ${i + 1})` }
  }
  throw new RangeError('a path has at least one field')
}

function fieldExpression(columns: FileColumns, parent: Parent, field: NestedField): string {
  const at = parent.fields.findIndex(({ id }) => id === field.id)
  const node = parent.fields[at]
  if (node === undefined) return columns.constants.get(field.id) ?? missing(columns, field)
  return converted(columns, field.type, node, parent.access(at), 0)
}

function missing(columns: FileColumns, field: NestedField): string {
  if (field.required) {
    throw new PotokError('DataCorrupt', `${columns.file} lacks the required column ${field.name}`, {
      context: { file: columns.file, fieldId: field.id },
    })
  }
  return `CAST(NULL AS ${sqlTypeOf(field.type)})`
}

function converted(
  columns: FileColumns,
  type: IcebergType,
  node: ParquetNode,
  access: string,
  depth: number,
): string {
  if (typeof type === 'string') {
    if (node.kind === 'primitive') return convertedPrimitive(columns, type, node, access)
  } else if (type.type === 'struct') {
    if (node.kind === 'struct') return convertedStruct(columns, type, node, access, depth)
  } else if (type.type === 'list') {
    if (node.kind === 'list') {
      const variable = `x${depth}`
      const element = node.isElementBare
        ? rebuiltStruct(columns, type.element, node.element, () => variable, depth + 1)
        : converted(columns, type.element, node.element, variable, depth + 1)
      if (element === variable) return access
      return `list_transform(${access}, lambda ${variable}: ${element})`
    }
  } else if (node.kind === 'map') {
    const variable = `x${depth}`
    const keyAccess = `struct_extract_at(${variable}, 1)`
    const valueAccess = `struct_extract_at(${variable}, 2)`
    const key = converted(columns, type.key, node.key, keyAccess, depth + 1)
    const value = converted(columns, type.value, node.value, valueAccess, depth + 1)
    if (key === keyAccess && value === valueAccess) return access
    // A list of entries, not a map: whoever reads it sees the same, and keys need not be told apart again.
    return `list_transform(map_entries(${access}), lambda ${variable}: struct_pack(c0 := ${key}, c1 := ${value}))`
  }
  throw unreadable(columns, type, node)
}

function convertedStruct(
  columns: FileColumns,
  type: StructType,
  node: ParquetNode & { readonly kind: 'struct' },
  access: string,
  depth: number,
): string {
  const accessOf = (at: number) => `struct_extract_at(${access}, ${at + 1})`
  const parts = structParts(columns, type.fields, node.fields, accessOf, depth)
  const isSame =
    parts.length === node.fields.length && parts.every((part, i) => part === accessOf(i))
  if (isSame) return access
  return `CASE WHEN ${access} IS NULL THEN NULL ELSE ${packed(parts)} END`
}

/** A struct whose one field DuckDB gives in its stead. */
function rebuiltStruct(
  columns: FileColumns,
  type: IcebergType,
  node: ParquetNode,
  access: (at: number) => string,
  depth: number,
): string {
  if (typeof type === 'string' || type.type !== 'struct' || node.kind !== 'struct') {
    throw unreadable(columns, type, node)
  }
  return packed(structParts(columns, type.fields, node.fields, access, depth))
}

function structParts(
  columns: FileColumns,
  fields: readonly NestedField[],
  nodes: readonly ParquetNode[],
  access: (at: number) => string,
  depth: number,
): string[] {
  return fields.map((field) => {
    const at = nodes.findIndex(({ id }) => id === field.id)
    const node = nodes[at]
    if (node === undefined) {
      // The constants of partitions are those of top-level fields and of fields in structs, not in lists.
      return (depth === 0 ? columns.constants.get(field.id) : undefined) ?? missing(columns, field)
    }
    return converted(columns, field.type, node, access(at), depth)
  })
}

function packed(parts: readonly string[]): string {
  return `struct_pack(${parts.map((part, i) => `c${i} := ${part}`).join(', ')})`
}

/** Types of DuckDB from which a type may be read as it is or by promotion; others may not. */
function convertedPrimitive(
  columns: FileColumns,
  type: string,
  node: ParquetNode & { readonly kind: 'primitive' },
  access: string,
): string {
  const from = node.duckDbType
  const target = sqlTypeOf(type)
  const cast = `CAST(${access} AS ${target})`
  const isFixed = type.startsWith('fixed[')
  if (from === target) {
    // DuckDB reads any length as BLOB.
    if (isFixed && node.lengthBytes !== Number(type.slice(6, -1))) {
      throw unreadable(columns, type, node)
    }
    return access
  }
  if (from === '"NULL"') return `CAST(NULL AS ${target})`
  if ((wideningTo[type] ?? []).includes(from)) return cast
  if (type === 'string' && from === 'BLOB') return `decode(${access})`
  if (type === 'binary' && from === 'VARCHAR') return `encode(${access})`
  if (type === 'uuid' && from === 'BLOB' && node.lengthBytes === 16) {
    return `CAST(hex(${access}) AS UUID)`
  }
  const wanted = decimalPrecisionScale(type)
  const given = decimalPrecisionScale(from.toLowerCase())
  const isWider = wanted !== null && given !== null && given.precision <= wanted.precision
  if (isWider && given.scale === wanted.scale) return cast
  throw unreadable(columns, type, node)
}

const wideningTo: Readonly<Record<string, readonly string[]>> = {
  int: ['TINYINT', 'SMALLINT', 'UTINYINT', 'USMALLINT'],
  long: ['TINYINT', 'SMALLINT', 'INTEGER', 'UTINYINT', 'USMALLINT', 'UINTEGER'],
  double: ['FLOAT'],
  // Old files don't say, or say wrongly, whether they mean UTC; the table does. The instants are the same bits.
  timestamp: ['TIMESTAMP WITH TIME ZONE'],
  timestamptz: ['TIMESTAMP'],
  time: ['TIME WITH TIME ZONE'],
}

/** How DuckDB calls a type of the table, with structs as this file makes them. */
export function sqlTypeOf(type: IcebergType): string {
  if (typeof type !== 'string') {
    switch (type.type) {
      case 'struct':
        return `STRUCT(${type.fields.map((field, i) => `c${i} ${sqlTypeOf(field.type)}`).join(', ')})`
      case 'list':
        return `${sqlTypeOf(type.element)}[]`
      case 'map':
        return `MAP(${sqlTypeOf(type.key)}, ${sqlTypeOf(type.value)})`
    }
  }
  const name = sqlNames[type]
  if (name !== undefined) return name
  if (type.startsWith('fixed[')) return 'BLOB'
  const decimal = decimalPrecisionScale(type)
  if (decimal !== null) return `DECIMAL(${decimal.precision},${decimal.scale})`
  throw new PotokError('Unsupported', `potok reads no columns of the type ${type}`)
}

const sqlNames: Readonly<Record<string, string>> = {
  boolean: 'BOOLEAN',
  int: 'INTEGER',
  long: 'BIGINT',
  float: 'FLOAT',
  double: 'DOUBLE',
  date: 'DATE',
  time: 'TIME',
  timestamp: 'TIMESTAMP',
  timestamptz: 'TIMESTAMP WITH TIME ZONE',
  string: 'VARCHAR',
  uuid: 'UUID',
  binary: 'BLOB',
}

function unreadable(columns: FileColumns, type: IcebergType, node: ParquetNode): PotokError {
  const given = node.kind === 'primitive' ? node.duckDbType : node.kind
  const wanted = typeof type === 'string' ? type : type.type
  return new PotokError(
    'Unsupported',
    `${columns.file} holds ${node.name} as ${given}, which can not be read as ${wanted}`,
    { context: { file: columns.file, fieldId: node.id } },
  )
}
