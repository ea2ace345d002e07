/** The order in which rows are written from now on, and properties: changes of metadata alone. Pure. */
import { PotokError } from '../../kernel/errors.ts'
import { checkSortOrderFitsSchema, namesOf } from '../spec/check-schema.ts'
import { currentSchema } from '../spec/schema.ts'
import type { SortField, TableMetadata } from '../spec/table-metadata.ts'
import type { TableUpdate } from '../spec/table-updates.ts'
import type { MetadataChange } from './metadata-change.ts'

/** `nullOrder` as Java's default: nulls first where it rises, last where it falls. */
export type SortBy = {
  readonly column: string
  readonly transform?: string
  readonly direction?: SortField['direction']
  readonly nullOrder?: SortField['nullOrder']
}

/** An empty list: unsorted. */
export function replaceSortOrder(metadata: TableMetadata, by: readonly SortBy[]): MetadataChange {
  const schema = currentSchema(metadata)
  const columns = new Map(namesOf(schema).map(({ name, id }) => [name, id]))
  const fields = by.map(({ column, transform = 'identity', direction = 'asc', nullOrder }) => {
    const sourceId = columns.get(column)
    if (sourceId === undefined) {
      throw new PotokError('InvalidInput', `Cannot find field '${column}' in the schema`)
    }
    const nullsDefault = direction === 'asc' ? ('nulls-first' as const) : ('nulls-last' as const)
    return { transform, sourceId, direction, nullOrder: nullOrder ?? nullsDefault }
  })
  const orderId = metadata.sortOrders.reduce((next, each) => Math.max(next, each.orderId + 1), 1)
  const sortOrder = { orderId: fields.length === 0 ? 0 : orderId, fields }
  checkSortOrderFitsSchema(sortOrder, schema)
  const current = metadata.sortOrders.find((each) => each.orderId === metadata.defaultSortOrderId)
  const isSame = JSON.stringify(current?.fields) === JSON.stringify(fields)
  return {
    requirements: [
      { type: 'assert-table-uuid', uuid: metadata.tableUuid },
      { type: 'assert-default-sort-order-id', defaultSortOrderId: metadata.defaultSortOrderId },
      { type: 'assert-current-schema-id', currentSchemaId: metadata.currentSchemaId },
    ],
    updates: isSame
      ? []
      : [
          { action: 'add-sort-order', sortOrder },
          { action: 'set-default-sort-order', sortOrderId: -1 },
        ],
  }
}

/** Last writer wins, key by key, as with the Java client: nothing but the table is asserted. */
export function updateProperties(
  metadata: TableMetadata,
  set: Readonly<Record<string, string>>,
  remove: readonly string[] = [],
): MetadataChange {
  const both = remove.find((key) => Object.hasOwn(set, key))
  if (both !== undefined) {
    throw new PotokError('InvalidInput', `Cannot remove and update the same key: ${both}`)
  }
  const updates: TableUpdate[] = []
  const changed = Object.entries(set).filter(([key, value]) => metadata.properties[key] !== value)
  if (changed.length > 0) {
    updates.push({ action: 'set-properties', updates: Object.fromEntries(changed) })
  }
  const removals = remove.filter((key) => metadata.properties[key] !== undefined)
  if (removals.length > 0) updates.push({ action: 'remove-properties', removals })
  return { requirements: [{ type: 'assert-table-uuid', uuid: metadata.tableUuid }], updates }
}
