/**
 * Adds schemas, partition specs and sort orders to metadata in the making: what is there already is found
 * again, ids are given once and never again.
 */
import { isDeepStrictEqual } from 'node:util'
import { PotokError } from '../../kernel/errors.ts'
import type { MetadataDraft } from './metadata-draft.ts'
import { fieldById } from './schema.ts'
import type {
  IcebergType,
  NestedField,
  PartitionField,
  PartitionSpec,
  Schema,
  SortOrder,
  StructType,
} from './table-metadata.ts'
import { parseTransform } from './transforms.ts'

const unassigned = -1
export const unsortedOrderId = 0
const firstSortOrderId = 1

export function addSchema(draft: MetadataDraft, schema: Schema, lastColumnId?: number): void {
  const { metadata } = draft
  checkSchema(schema)
  metadata.lastColumnId = Math.max(metadata.lastColumnId, lastColumnId ?? 0, highestFieldId(schema))
  const same = metadata.schemas.find(
    (one) =>
      isDeepStrictEqual(one.fields, schema.fields) &&
      isDeepStrictEqual(new Set(one.identifierFieldIds), new Set(schema.identifierFieldIds)),
  )
  if (same !== undefined) {
    draft.lastAddedSchemaId = same.schemaId
    return
  }
  const schemaId = nextId(
    metadata.schemas.map((one) => one.schemaId),
    0,
  )
  metadata.schemas = [...metadata.schemas, { ...schema, schemaId }]
  draft.lastAddedSchemaId = schemaId
}

export function addPartitionSpec(draft: MetadataDraft, spec: PartitionSpec): void {
  const { metadata } = draft
  const same = metadata.partitionSpecs.find((one) => isSamePartitioning(one, spec))
  if (same !== undefined) {
    draft.lastAddedSpecId = same.specId
    return
  }
  checkPartitionNames(spec)
  let lastPartitionId = metadata.lastPartitionId
  const known = metadata.partitionSpecs.flatMap((one) => one.fields)
  const fields = spec.fields.map((field) => {
    if (field.fieldId !== unassigned) return field
    const before = known.find(
      (one) => one.sourceId === field.sourceId && one.transform === field.transform,
    )
    return { ...field, fieldId: before?.fieldId ?? ++lastPartitionId }
  })
  const specId = nextId(
    metadata.partitionSpecs.map((one) => one.specId),
    0,
  )
  const added = { specId, fields }
  const schema = metadata.schemas.find((one) => one.schemaId === metadata.currentSchemaId)
  if (schema !== undefined) checkSpecFitsSchema(added, schema, metadata.formatVersion)
  metadata.partitionSpecs = [...metadata.partitionSpecs, added]
  metadata.lastPartitionId = Math.max(lastPartitionId, ...fields.map((field) => field.fieldId))
  draft.lastAddedSpecId = specId
}

export function addSortOrder(draft: MetadataDraft, order: SortOrder): void {
  const { metadata } = draft
  const same = metadata.sortOrders.find((one) => isDeepStrictEqual(one.fields, order.fields))
  if (same !== undefined) {
    draft.lastAddedOrderId = same.orderId
    return
  }
  const orderId =
    order.fields.length === 0
      ? unsortedOrderId
      : nextId(
          metadata.sortOrders.map((one) => one.orderId),
          firstSortOrderId,
        )
  const added = { orderId, fields: order.fields }
  const schema = metadata.schemas.find((one) => one.schemaId === metadata.currentSchemaId)
  if (schema !== undefined) checkSortOrderFitsSchema(added, schema)
  metadata.sortOrders = [...metadata.sortOrders, added]
  draft.lastAddedOrderId = orderId
}

export function checkSpecFitsSchema(
  spec: PartitionSpec,
  schema: Schema,
  formatVersion: number,
): void {
  for (const field of spec.fields) {
    parseTransform(field.transform)
    // A dropped column leaves its field void in v1, where fields can't be removed.
    if (field.transform === 'void' && formatVersion === 1) continue
    if (fieldById(schema, field.sourceId) === null) {
      throw invalid(`Cannot find source column for partition field: ${describePartition(field)}`)
    }
  }
}

export function checkSortOrderFitsSchema(order: SortOrder, schema: Schema): void {
  for (const field of order.fields) {
    parseTransform(field.transform)
    if (fieldById(schema, field.sourceId) === null) {
      throw invalid(`Cannot find source column for sort field: ${field.sourceId}`)
    }
  }
}

/** All field ids of a type, children included, in the order in which they stand. */
export function fieldIdsOf(type: IcebergType): number[] {
  if (typeof type === 'string') return []
  switch (type.type) {
    case 'struct':
      return type.fields.flatMap((field) => [field.id, ...fieldIdsOf(field.type)])
    case 'list':
      return [type.elementId, ...fieldIdsOf(type.element)]
    case 'map':
      return [type.keyId, ...fieldIdsOf(type.key), type.valueId, ...fieldIdsOf(type.value)]
  }
}

export function highestFieldId(schema: StructType): number {
  return fieldIdsOf(schema).reduce((highest, id) => Math.max(highest, id), 0)
}

function checkSchema(schema: Schema): void {
  const ids = fieldIdsOf(schema)
  if (new Set(ids).size !== ids.length) {
    throw invalid('Invalid schema: multiple fields have the same id')
  }
  checkNames(schema.fields)
  for (const id of schema.identifierFieldIds ?? []) {
    if (fieldById(schema, id) === null) {
      throw invalid(`Cannot add field ${id} as an identifier field: it does not exist`)
    }
  }
}

function checkNames(fields: readonly NestedField[]): void {
  const names = new Set<string>()
  for (const field of fields) {
    if (field.name === '') throw invalid('Invalid schema: a column has an empty name')
    if (names.has(field.name)) {
      throw invalid(`Invalid schema: multiple fields for name ${field.name}`)
    }
    names.add(field.name)
  }
}

function checkPartitionNames(spec: PartitionSpec): void {
  const names = new Set<string>()
  for (const { name } of spec.fields) {
    if (names.has(name)) throw invalid(`Cannot use partition name more than once: ${name}`)
    names.add(name)
  }
}

function isSamePartitioning(a: PartitionSpec, b: PartitionSpec): boolean {
  return (
    a.fields.length === b.fields.length &&
    a.fields.every((field, i) => {
      const other = b.fields[i] as PartitionField
      return (
        field.sourceId === other.sourceId &&
        field.name === other.name &&
        field.transform === other.transform &&
        (other.fieldId === unassigned || field.fieldId === other.fieldId)
      )
    })
  )
}

function nextId(ids: readonly number[], first: number): number {
  return ids.reduce((next, id) => Math.max(next, id + 1), first)
}

function describePartition(field: PartitionField): string {
  return `${field.fieldId}: ${field.name}: ${field.transform}(${field.sourceId})`
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
