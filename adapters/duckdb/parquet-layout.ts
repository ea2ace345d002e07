/**
 * The schema of a Parquet file as a tree with field ids, in step with the types that DuckDB reads it as: the
 * flat list of `parquet_schema()` is folded in the same way as DuckDB's reader does it, and compared with what
 * `read_parquet` then says. Names are carried along for name mapping and messages only.
 *
 * Lists of old writers (Parquet's LogicalTypes.md, "backward-compatibility rules"): a repeated primitive, a
 * repeated group of several fields, or one called `array` or `<list>_tuple`, is the element itself.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { NameMapping } from '../../iceberg/scan/name-mapping.ts'

export type ParquetNode = {
  readonly name: string
  /** null: the file has none, and no name mapping gave one. */
  readonly id: number | null
} & (
  | { readonly kind: 'primitive'; readonly duckDbType: string; readonly lengthBytes: number | null }
  | { readonly kind: 'struct'; readonly fields: readonly ParquetNode[] }
  | {
      readonly kind: 'list'
      readonly element: ParquetNode
      /** The element is a struct of one field, for which DuckDB gives the field alone. */
      readonly isElementBare: boolean
    }
  | { readonly kind: 'map'; readonly key: ParquetNode; readonly value: ParquetNode }
)

/** A row of `parquet_schema()`. */
export type SchemaRow = {
  readonly name: string
  readonly repetition: string
  readonly childCount: number | null
  readonly convertedType: string | null
  readonly logicalType: string | null
  readonly fieldId: number | null
  readonly lengthBytes: number | null
  readonly duckDbType: string | null
}

/** The columns of the file. The first row is the root. */
export function parquetLayout(rows: readonly SchemaRow[], file: string): ParquetNode[] {
  const cursor = { at: 1 }
  const columns: ParquetNode[] = []
  for (let i = 0; i < (rows[0]?.childCount ?? 0); i++) columns.push(nodeAt(rows, cursor, file))
  return columns
}

export function hasFieldIds(nodes: readonly ParquetNode[]): boolean {
  return nodes.some((node) => node.id !== null || hasFieldIds(childrenOf(node)))
}

/** The same tree with the ids that a name mapping gives. */
export function withMappedIds(
  nodes: readonly ParquetNode[],
  mapping: NameMapping | undefined,
): ParquetNode[] {
  return nodes.map((node) => mapped(node, node.name, mapping))
}

function mapped(node: ParquetNode, name: string, mapping: NameMapping | undefined): ParquetNode {
  const field = mapping?.get(name)
  const id = field?.id ?? null
  const below = field?.fields
  switch (node.kind) {
    case 'primitive':
      return { ...node, id }
    case 'struct':
      return { ...node, id, fields: withMappedIds(node.fields, below) }
    case 'list':
      return { ...node, id, element: mapped(node.element, 'element', below) }
    case 'map':
      return {
        ...node,
        id,
        key: mapped(node.key, 'key', below),
        value: mapped(node.value, 'value', below),
      }
  }
}

function childrenOf(node: ParquetNode): readonly ParquetNode[] {
  switch (node.kind) {
    case 'primitive':
      return []
    case 'struct':
      return node.fields
    case 'list':
      return [node.element]
    case 'map':
      return [node.key, node.value]
  }
}

function nodeAt(
  rows: readonly SchemaRow[],
  cursor: { at: number },
  file: string,
  isRepeatedTaken = false,
): ParquetNode {
  const row = rows[cursor.at++]
  if (row === undefined) throw odd(file, 'its schema ends too early')
  const base = { name: row.name, id: row.fieldId }
  let node: ParquetNode
  if (row.childCount === null || row.childCount === 0) {
    if (row.duckDbType === null) throw odd(file, `${row.name} has no type that potok reads`)
    node = {
      ...base,
      kind: 'primitive',
      duckDbType: row.duckDbType,
      lengthBytes: row.lengthBytes,
    }
  } else if (isList(row) && row.childCount === 1) {
    return listAt(rows, cursor, file, row)
  } else if (isMap(row) && row.childCount === 1) {
    return mapAt(rows, cursor, file, row)
  } else {
    const fields: ParquetNode[] = []
    for (let i = 0; i < row.childCount; i++) fields.push(nodeAt(rows, cursor, file))
    node = { ...base, kind: 'struct', fields }
  }
  if (row.repetition !== 'REPEATED' || isRepeatedTaken) return node
  // Repeated without a list around it: a list of its own.
  return { ...base, kind: 'list', element: node, isElementBare: isBareStruct(node) }
}

function listAt(
  rows: readonly SchemaRow[],
  cursor: { at: number },
  file: string,
  list: SchemaRow,
): ParquetNode {
  const base = { name: list.name, id: list.fieldId, kind: 'list' } as const
  const repeated = rows[cursor.at]
  if (repeated?.repetition !== 'REPEATED') throw odd(file, `the list ${list.name} repeats nothing`)
  const isElement =
    repeated.childCount === null ||
    repeated.childCount !== 1 ||
    repeated.name === 'array' ||
    repeated.name === `${list.name}_tuple`
  if (isElement) {
    const element = nodeAt(rows, cursor, file, true)
    return { ...base, element, isElementBare: isBareStruct(element) }
  }
  cursor.at++
  return { ...base, element: nodeAt(rows, cursor, file), isElementBare: false }
}

function mapAt(
  rows: readonly SchemaRow[],
  cursor: { at: number },
  file: string,
  map: SchemaRow,
): ParquetNode {
  const entries = rows[cursor.at++]
  if (entries?.repetition !== 'REPEATED' || entries.childCount !== 2) {
    throw odd(file, `the map ${map.name} has no keys and values`)
  }
  const key = nodeAt(rows, cursor, file)
  const value = nodeAt(rows, cursor, file)
  return { name: map.name, id: map.fieldId, kind: 'map', key, value }
}

function isBareStruct(node: ParquetNode): boolean {
  return node.kind === 'struct' && node.fields.length === 1
}

function isList(row: SchemaRow): boolean {
  return row.convertedType === 'LIST' || (row.logicalType ?? '').startsWith('ListType')
}

function isMap(row: SchemaRow): boolean {
  return (
    row.convertedType === 'MAP' ||
    row.convertedType === 'MAP_KEY_VALUE' ||
    (row.logicalType ?? '').startsWith('MapType')
  )
}

function odd(file: string, why: string): PotokError {
  return new PotokError('Unsupported', `the Parquet file ${file} can not be read: ${why}`, {
    context: { file },
  })
}
