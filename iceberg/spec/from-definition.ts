/**
 * potok's own table definitions as Iceberg sees them: schema, partition spec, sort order, and the data file of
 * what the Parquet writer wrote. Ids are for ever: schema 0, spec 0, the partition field 1000.
 */
import assert from 'node:assert/strict'
import type {
  BoundValue,
  ColumnDefinition,
  ColumnStats,
  TableDefinition,
} from '../../kernel/columns.ts'
import type { WrittenFile } from '../../kernel/ports.ts'
import { encodeSingleValue, truncateLower, truncateUpper } from '../codec/single-value.ts'
import type { DataFile } from './data-file.ts'
import type { IcebergType, PartitionSpec, Schema, SortOrder } from './table-metadata.ts'

/** Code points in a bound of a string: the Java client's default `truncate(16)`. */
const boundCodePointsMax = 16
const partitionFieldId = 1000

export function schemaOf(definition: TableDefinition): Schema {
  return {
    type: 'struct',
    schemaId: 0,
    fields: definition.columns.map((column) => ({
      id: column.id,
      name: column.name,
      required: column.required,
      type: typeOf(column),
      doc: column.doc,
    })),
  }
}

export function partitionSpecOf(definition: TableDefinition): PartitionSpec {
  const name = definition.partitionByDayOf
  if (name === null) return { specId: 0, fields: [] }
  return {
    specId: 0,
    fields: [
      {
        sourceId: columnNamed(definition, name).id,
        fieldId: partitionFieldId,
        name: `${name}_day`,
        transform: 'day',
      },
    ],
  }
}

export function sortOrderOf(definition: TableDefinition): SortOrder {
  if (definition.sortBy.length === 0) return { orderId: 0, fields: [] }
  return {
    orderId: 1,
    fields: definition.sortBy.map((name) => ({
      transform: 'identity',
      sourceId: columnNamed(definition, name).id,
      direction: 'asc',
      nullOrder: 'nulls-last',
    })),
  }
}

/** Ids as the catalog gave them to spec and sort order: the table's defaults. */
export function dataFileOf(
  definition: TableDefinition,
  written: WrittenFile,
  ids: { readonly specId: number; readonly sortOrderId: number },
): DataFile {
  assert(
    (definition.partitionByDayOf === null) === (written.partitionDay === null),
    `${definition.name}: a file of a partitioned table has a day, and no other`,
  )
  const columnSizes = new Map<number, number>()
  const valueCounts = new Map<number, number>()
  const nullValueCounts = new Map<number, number>()
  const nanValueCounts = new Map<number, number>()
  const lowerBounds = new Map<number, Uint8Array>()
  const upperBounds = new Map<number, Uint8Array>()
  const scalars = new Map(
    definition.columns.filter(({ mapIds }) => mapIds === undefined).map((each) => [each.id, each]),
  )
  for (const stats of written.columns) {
    columnSizes.set(stats.fieldId, stats.sizeBytes)
    valueCounts.set(stats.fieldId, stats.valueCount)
    nullValueCounts.set(stats.fieldId, stats.nullCount)
    if (stats.nanCount !== undefined) nanValueCounts.set(stats.fieldId, stats.nanCount)
    // Keys and values of a map have counts but no bounds, as the spec has it.
    const column = scalars.get(stats.fieldId)
    if (column === undefined) continue
    const lower = lowerBoundOf(column, stats)
    const upper = upperBoundOf(column, stats)
    if (lower !== null) lowerBounds.set(stats.fieldId, lower)
    if (upper !== null) upperBounds.set(stats.fieldId, upper)
  }
  return {
    content: 'data',
    filePath: written.location,
    fileFormat: 'PARQUET',
    specId: ids.specId,
    partition: written.partitionDay === null ? [] : [written.partitionDay],
    recordCount: written.recordCount,
    fileSizeBytes: written.fileSizeBytes,
    columnSizes,
    valueCounts,
    nullValueCounts,
    ...(nanValueCounts.size === 0 ? {} : { nanValueCounts }),
    lowerBounds,
    upperBounds,
    sortOrderId: ids.sortOrderId,
  }
}

function typeOf(column: ColumnDefinition): IcebergType {
  if (column.type !== 'map<int,long>') return column.type
  assert(column.mapIds !== undefined, `the map ${column.name} has no ids for key and value`)
  return {
    type: 'map',
    keyId: column.mapIds.key,
    key: 'int',
    valueId: column.mapIds.value,
    value: 'long',
    valueRequired: true,
  }
}

function lowerBoundOf(column: ColumnDefinition, { lower }: ColumnStats): Uint8Array | null {
  if (!isBound(lower)) return null
  if (typeof lower === 'string') {
    return encodeSingleValue(column.type, truncateLower(lower, boundCodePointsMax))
  }
  // Zero has two signs and the spec's order puts −0 first: bounds must hold both.
  return encodeSingleValue(column.type, column.type === 'double' && lower === 0 ? -0 : lower)
}

function upperBoundOf(column: ColumnDefinition, { upper }: ColumnStats): Uint8Array | null {
  if (!isBound(upper)) return null
  if (typeof upper === 'string') {
    const cut = truncateUpper(upper, boundCodePointsMax)
    return cut === null ? null : encodeSingleValue(column.type, cut)
  }
  return encodeSingleValue(column.type, column.type === 'double' && upper === 0 ? 0 : upper)
}

/** NaN bounds nothing. */
function isBound(value: BoundValue | null): value is BoundValue {
  return value !== null && !Number.isNaN(value)
}

function columnNamed(definition: TableDefinition, name: string): ColumnDefinition {
  const column = definition.columns.find((candidate) => candidate.name === name)
  assert(column !== undefined, `${definition.name} has no column ${name}`)
  return column
}
