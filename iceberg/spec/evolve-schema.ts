/**
 * Adds schemas, partition specs and sort orders to metadata in the making: what is there already is found
 * again, ids are given once and never again.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  checkPartitionNames,
  checkSchema,
  checkSortOrderFitsSchema,
  checkSpecFitsSchema,
} from './check-schema.ts'
import type { MetadataDraft } from './metadata-draft.ts'
import { validationFailed } from './refusals.ts'
import type {
  IcebergType,
  PartitionField,
  PartitionSpec,
  Schema,
  SortOrder,
  StructType,
} from './table-metadata.ts'

/** A partition field whose id is to be given. */
export const unassigned = -1
export const unsortedOrderId = 0
const firstSortOrderId = 1
const firstPartitionFieldId = 1000

export function addSchema(draft: MetadataDraft, schema: Schema, lastColumnId?: number): void {
  const { metadata } = draft
  checkSchema(schema, metadata.formatVersion)
  metadata.lastColumnId = Math.max(metadata.lastColumnId, lastColumnId ?? 0, highestFieldId(schema))
  const same = metadata.schemas.find((one) => isSameSchema(one, schema))
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
  let lastPartitionId = metadata.lastPartitionId
  const known = metadata.partitionSpecs.flatMap((one) => one.fields)
  const fields = spec.fields.map((field, i) => {
    if (field.fieldId !== unassigned) return field
    if (metadata.formatVersion === 1) return { ...field, fieldId: firstPartitionFieldId + i }
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
  if (schema !== undefined) {
    checkPartitionNames(added, schema)
    checkSpecFitsSchema(added, schema)
  }
  if (metadata.formatVersion === 1 && !hasSequentialIds(added)) {
    throw validationFailed(
      `Spec does not use sequential IDs that are required in v1: ${fields.map((field) => field.fieldId).join(', ')}`,
    )
  }
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

/** Whatever their ids. */
export function isSameSchema(a: Schema, b: Schema): boolean {
  return (
    isDeepStrictEqual(a.fields, b.fields) &&
    isDeepStrictEqual(new Set(a.identifierFieldIds), new Set(b.identifierFieldIds))
  )
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

/** In v1 readers count them from 1000 on instead of reading them. */
function hasSequentialIds(spec: PartitionSpec): boolean {
  return spec.fields.every((field, i) => field.fieldId === firstPartitionFieldId + i)
}

/** Ids of the fields don't matter: the same fields under other ids are the same spec. */
function isSamePartitioning(a: PartitionSpec, b: PartitionSpec): boolean {
  return (
    a.fields.length === b.fields.length &&
    a.fields.every((field, i) => {
      const other = b.fields[i] as PartitionField
      return (
        field.sourceId === other.sourceId &&
        field.name === other.name &&
        field.transform === other.transform
      )
    })
  )
}

function nextId(ids: readonly number[], first: number): number {
  return ids.reduce((next, id) => Math.max(next, id + 1), first)
}
