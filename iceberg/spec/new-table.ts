/**
 * Metadata of a new table. Field ids that are usable (unique, from 1 on) are kept, because potok's tables
 * define theirs for ever; else all are given anew, and partition fields and sort fields follow. For clients of
 * the REST server they always are: engines count on the ids that the reference implementation gives.
 */
import { applyUpdates, emptyTableMetadata } from './apply-updates.ts'
import { namesOf } from './check-schema.ts'
import { fieldIdsOf, unassigned } from './evolve-schema.ts'
import { illegalArgument, validationFailed } from './refusals.ts'
import type {
  IcebergType,
  NestedField,
  PartitionField,
  PartitionSpec,
  Schema,
  SortOrder,
  StructType,
  TableMetadata,
} from './table-metadata.ts'

const formatVersionDefault = 2
const formatVersionProperty = 'format-version'
/** They say what the metadata says; nobody may set them. */
const reservedProperties: ReadonlySet<string> = new Set([
  formatVersionProperty,
  'uuid',
  'snapshot-count',
  'current-snapshot-id',
  'current-snapshot-summary',
  'current-snapshot-timestamp-ms',
  'current-schema',
  'default-partition-spec',
  'default-sort-order',
])
const commitProperties = [
  'commit.retry.num-retries',
  'commit.retry.min-wait-ms',
  'commit.retry.max-wait-ms',
  'commit.retry.total-timeout-ms',
]
const columnMetricsPrefix = 'write.metadata.metrics.column.'
const defaultProperties = { 'write.parquet.compression-codec': 'zstd' }

export type NewTable = {
  readonly uuid: string
  readonly location: string
  readonly schema: Schema
  readonly partitionSpec?: PartitionSpec
  readonly sortOrder?: SortOrder
  readonly properties?: Readonly<Record<string, string>>
  /** All field ids are given anew, whatever they are. */
  readonly freshFieldIds?: boolean
}

export function newTableMetadata(table: NewTable, nowMs: number): TableMetadata {
  const formatVersion = formatVersionOf(table.properties?.[formatVersionProperty])
  const properties = Object.fromEntries(
    Object.entries(table.properties ?? {}).filter(([key]) => !reservedProperties.has(key)),
  )
  checkProperties(properties, table.schema)
  const keepsIds = table.freshFieldIds !== true && hasUsableIds(table.schema)
  const idOf = keepsIds ? (id: number) => id : freshIds(table.schema)
  const schema = withIds(table.schema, idOf)
  const empty: PartitionSpec = { specId: 0, fields: [] }
  const unsorted: SortOrder = { orderId: 0, fields: [] }
  const mapSource = <T extends { readonly sourceId: number }>(field: T): T => ({
    ...field,
    sourceId: idOf(field.sourceId),
  })
  const partitionField = (field: PartitionField): PartitionField => ({
    ...mapSource(field),
    ...(table.freshFieldIds === true ? { fieldId: unassigned } : {}),
  })
  const spec = table.partitionSpec ?? empty
  const order = table.sortOrder ?? unsorted
  return applyUpdates(
    emptyTableMetadata(formatVersion, table.uuid),
    [
      { action: 'add-schema', schema },
      { action: 'set-current-schema', schemaId: -1 },
      { action: 'add-spec', spec: { ...spec, fields: spec.fields.map(partitionField) } },
      { action: 'set-default-spec', specId: -1 },
      { action: 'add-sort-order', sortOrder: { ...order, fields: order.fields.map(mapSource) } },
      { action: 'set-default-sort-order', sortOrderId: -1 },
      { action: 'set-location', location: table.location },
      { action: 'set-properties', updates: { ...defaultProperties, ...properties } },
    ],
    nowMs,
  )
}

function formatVersionOf(text: string | undefined): number {
  const version = text === undefined ? formatVersionDefault : Number(text)
  if (!Number.isSafeInteger(version) || version < 1) {
    throw illegalArgument(`Invalid format version: ${text}`)
  }
  return version
}

function checkProperties(properties: Readonly<Record<string, string>>, schema: Schema): void {
  for (const key of commitProperties) {
    const value = properties[key]
    if (value === undefined) continue
    if (!/^[+-]?\d+$/.test(value)) {
      throw validationFailed(`Table property ${key} must have integer value`)
    }
    if (Number(value) < 0) {
      throw validationFailed(`Table property ${key} must have non negative integer value`)
    }
  }
  const columns = new Set(namesOf(schema).map(({ name }) => name))
  for (const key of Object.keys(properties)) {
    const column = key.startsWith(columnMetricsPrefix) ? key.slice(columnMetricsPrefix.length) : ''
    if (column !== '' && !columns.has(column)) {
      throw validationFailed(
        `Invalid metrics config, could not find column ${column} from table prop ${key} in schema`,
      )
    }
  }
}

function hasUsableIds(schema: Schema): boolean {
  const ids = fieldIdsOf(schema)
  return ids.every((id) => id >= 1) && new Set(ids).size === ids.length
}

/** From 1 on, the fields of a struct before what is inside them. Two fields with one id can't be told apart. */
function freshIds(schema: Schema): (id: number) => number {
  const fresh = new Map<number, number>()
  const give = (id: number): void => {
    if (fresh.has(id)) {
      throw illegalArgument(`Invalid schema: multiple fields have the id ${id}`)
    }
    fresh.set(id, fresh.size + 1)
  }
  const visit = (type: IcebergType): void => {
    if (typeof type === 'string') return
    switch (type.type) {
      case 'struct': {
        const { fields } = type
        for (const field of fields) give(field.id)
        for (const field of fields) visit(field.type)
        return
      }
      case 'list':
        give(type.elementId)
        visit(type.element)
        return
      case 'map':
        give(type.keyId)
        give(type.valueId)
        visit(type.key)
        visit(type.value)
        return
    }
  }
  visit(schema)
  return (id) => {
    const found = fresh.get(id)
    if (found === undefined) {
      throw validationFailed(`Cannot find source column: ${id}`)
    }
    return found
  }
}

function withIds(schema: Schema, idOf: (id: number) => number): Schema {
  return {
    ...schema,
    ...structWithIds(schema, idOf),
    ...(schema.identifierFieldIds === undefined
      ? {}
      : { identifierFieldIds: schema.identifierFieldIds.map(idOf) }),
  }
}

function structWithIds(struct: StructType, idOf: (id: number) => number): StructType {
  const fields: NestedField[] = struct.fields.map((field) => ({
    ...field,
    id: idOf(field.id),
    type: typeWithIds(field.type, idOf),
  }))
  return { type: 'struct', fields }
}

function typeWithIds(type: IcebergType, idOf: (id: number) => number): IcebergType {
  if (typeof type === 'string') return type
  switch (type.type) {
    case 'struct':
      return structWithIds(type, idOf)
    case 'list':
      return { ...type, elementId: idOf(type.elementId), element: typeWithIds(type.element, idOf) }
    case 'map':
      return {
        ...type,
        keyId: idOf(type.keyId),
        key: typeWithIds(type.key, idOf),
        valueId: idOf(type.valueId),
        value: typeWithIds(type.value, idOf),
      }
  }
}
