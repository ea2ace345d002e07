/**
 * Which rows go into one file, and in which order: rows by partition tuple, and in each the table's sort order.
 * Pure; the rows are those that `checkedRow` gave.
 */
import { PotokError } from '../../kernel/errors.ts'
import { compareSingleValues, type SingleValue } from '../codec/single-value.ts'
import type { PartitionValue } from './data-file.ts'
import type { Row, RowValue } from './rows.ts'
import type { NestedField, PartitionSpec, SortOrder, StructType } from './table-metadata.ts'
import { applyTransform, parseTransform } from './transforms.ts'

export type PartitionOfRows = {
  readonly partition: readonly PartitionValue[]
  readonly rows: readonly Row[]
}

/** In the order of the first row of each partition. */
export function rowsByPartition(
  schema: StructType,
  spec: PartitionSpec,
  rows: readonly Row[],
): PartitionOfRows[] {
  if (rows.length === 0) return []
  const readers = spec.fields.map((field) =>
    transformedReader(schema, field.sourceId, field.transform),
  )
  const found = new Map<string, { partition: PartitionValue[]; rows: Row[] }>()
  for (const row of rows) {
    const partition = readers.map((read) => read(row))
    const key = partition.map(partitionKey).join()
    const group = found.get(key)
    if (group === undefined) found.set(key, { partition, rows: [row] })
    else group.rows.push(row)
  }
  return [...found.values()]
}

/** Equal rows keep their order. */
export function sortRows(
  schema: StructType,
  order: SortOrder,
  rows: readonly Row[],
): readonly Row[] {
  if (order.fields.length === 0) return rows
  const keys = order.fields.map((field) => ({
    read: transformedReader(schema, field.sourceId, field.transform),
    sign: field.direction === 'asc' ? 1 : -1,
    nullSign: field.nullOrder === 'nulls-first' ? -1 : 1,
  }))
  const keyed = rows.map((row) => ({ row, key: keys.map(({ read }) => read(row)) }))
  keyed.sort((a, b) => {
    for (const [i, { sign, nullSign }] of keys.entries()) {
      const left = a.key[i] ?? null
      const right = b.key[i] ?? null
      if (left === null || right === null) {
        if (left !== right) return left === null ? nullSign : -nullSign
        continue
      }
      const by = compareWithNan(left, right)
      if (by !== 0) return by * sign
    }
    return 0
  })
  return keyed.map(({ row }) => row)
}

/** NaN is the greatest, as the spec sorts it. */
function compareWithNan(a: SingleValue, b: SingleValue): number {
  const isNanA = Number.isNaN(a)
  const isNanB = Number.isNaN(b)
  if (isNanA || isNanB) return Number(isNanA) - Number(isNanB)
  return compareSingleValues(a, b)
}

function transformedReader(
  schema: StructType,
  sourceId: number,
  transformText: string,
): (row: Row) => SingleValue | null {
  const transform = parseTransform(transformText)
  // The source may be gone (format v1 keeps the field); its partition is null then.
  if (transform.name === 'void') return () => null
  if (transform.name === 'unknown') {
    throw new PotokError('Unsupported', `rows can't be arranged by ${transformText}`)
  }
  const path = pathOf(schema, sourceId)
  const field = path?.at(-1)
  if (path === null || field === undefined || typeof field.type !== 'string') {
    throw new PotokError('DataCorrupt', `the schema has no column ${sourceId} to arrange rows by`)
  }
  return (row) => {
    let value: RowValue = row
    for (const { name } of path) value = value === null ? null : ((value as Row)[name] ?? null)
    return applyTransform(transform, field.type, value as SingleValue | null)
  }
}

/** Through structs only: what is in lists and maps is no column of a row. */
function pathOf(struct: StructType, id: number): NestedField[] | null {
  for (const field of struct.fields) {
    if (field.id === id) return [field]
    if (typeof field.type === 'string' || field.type.type !== 'struct') continue
    const below = pathOf(field.type, id)
    if (below !== null) return [field, ...below]
  }
  return null
}

/** Equal for equal values, within one partition field. −0 and +0 are two partitions, as the spec orders them. */
function partitionKey(value: PartitionValue): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (typeof value === 'string') return JSON.stringify(value)
  return Object.is(value, -0) ? '-0' : String(value)
}
