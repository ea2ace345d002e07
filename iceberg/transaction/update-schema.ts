/**
 * Changes of a table's schema (Java client's `SchemaUpdate`, with its rules and wording): metadata alone, by field
 * id, so no file is rewritten. Pure: gives what to ask of the catalog.
 *
 * What older files or readers could not bear is refused unless `allowIncompatible`: a required column without a
 * default, an optional column made required. Types only widen: int → long, float → double, more digits of a
 * decimal. A column that partitions or sorts the table can't go. New ids are never used before.
 * Name mapping and per-column properties follow names.
 */
import { PotokError } from '../../kernel/errors.ts'
import { decimalPrecisionScale } from '../codec/manifest-avro.ts'
import {
  checkSchema,
  checkSortOrderFitsSchema,
  checkSpecFitsSchema,
  namesOf,
} from '../spec/check-schema.ts'
import { currentSchema, partitionSpecById } from '../spec/schema.ts'
import type { IcebergType, NestedField, Schema, TableMetadata } from '../spec/table-metadata.ts'
import type { TableUpdate } from '../spec/table-updates.ts'
import { propertiesAfter } from './follow-names.ts'
import type { MetadataChange } from './metadata-change.ts'
import {
  beginSchema,
  buildStruct,
  fieldNamed,
  isNested,
  rootId,
  type SchemaDraft,
  takeId,
  withFreshIds,
} from './schema-draft.ts'

/** Columns by full name, `struct.field`; of lists `list.element`, of maps `map.value`, or straight through them. */
export type SchemaChange =
  | {
      readonly op: 'add'
      readonly name: string
      /** The struct (or list or map of structs) that it is added to; else the table. */
      readonly parent?: string
      /** Ids inside of it are given anew. */
      readonly type: IcebergType
      readonly required?: boolean
      readonly doc?: string
    }
  | { readonly op: 'delete' | 'require' | 'make optional'; readonly name: string }
  | { readonly op: 'rename'; readonly name: string; readonly to: string }
  | { readonly op: 'change type'; readonly name: string; readonly type: string }
  | { readonly op: 'change doc'; readonly name: string; readonly doc: string | null }
  | { readonly op: 'move first'; readonly name: string }
  | { readonly op: 'move before' | 'move after'; readonly name: string; readonly of: string }
  | { readonly op: 'set identifier fields'; readonly names: readonly string[] }

export function updateSchema(
  metadata: TableMetadata,
  changes: readonly SchemaChange[],
  options: { readonly allowIncompatible?: boolean } = {},
): MetadataChange {
  const before = currentSchema(metadata)
  const draft = beginSchema(before, metadata.lastColumnId)
  for (const change of changes) note(draft, change, options.allowIncompatible ?? false)
  checkIdentifiersStay(draft)
  const schema = built(draft, metadata)
  const requirements: MetadataChange['requirements'] = [
    { type: 'assert-table-uuid', uuid: metadata.tableUuid },
    { type: 'assert-current-schema-id', currentSchemaId: metadata.currentSchemaId },
    { type: 'assert-last-assigned-field-id', lastAssignedFieldId: metadata.lastColumnId },
  ]
  if (isSame(before, schema)) return { requirements, updates: [] }
  const updates: TableUpdate[] = [
    { action: 'add-schema', schema, lastColumnId: draft.lastColumnId },
    { action: 'set-current-schema', schemaId: -1 },
    ...propertiesAfter(metadata, draft, schema),
  ]
  return { requirements, updates }
}

function built(draft: SchemaDraft, metadata: TableMetadata): Schema {
  const struct = buildStruct(draft)
  const ids = new Map(namesOf(struct).map(({ name, id }) => [name, id]))
  const identifierFieldIds = [...draft.identifierNames].map((name) => {
    const id = ids.get(name)
    if (id === undefined) {
      throw invalid(
        `Cannot add field ${name} as an identifier field: not found in current schema or added columns`,
      )
    }
    return id
  })
  const schema: Schema = {
    ...struct,
    schemaId: metadata.schemas.reduce((next, each) => Math.max(next, each.schemaId + 1), 0),
    ...(identifierFieldIds.length === 0 ? {} : { identifierFieldIds }),
  }
  checkSchema(schema, metadata.formatVersion)
  checkSpecFitsSchema(partitionSpecById(metadata, metadata.defaultSpecId), schema)
  const order = metadata.sortOrders.find(({ orderId }) => orderId === metadata.defaultSortOrderId)
  if (order !== undefined) checkSortOrderFitsSchema(order, schema)
  return schema
}

function note(draft: SchemaDraft, change: SchemaChange, allowIncompatible: boolean): void {
  switch (change.op) {
    case 'add':
      return add(draft, change, allowIncompatible)
    case 'delete':
      return remove(draft, change.name)
    case 'rename':
      return rename(draft, change.name, change.to)
    case 'require':
    case 'make optional':
      return setRequired(draft, change.name, change.op === 'require', allowIncompatible)
    case 'change type':
      return changeType(draft, change.name, change.type)
    case 'change doc': {
      const { doc: _before, ...field } = updatable(draft, change.name)
      draft.changed.set(field.id, change.doc === null ? field : { ...field, doc: change.doc })
      return
    }
    case 'move first':
    case 'move before':
    case 'move after':
      return move(draft, change)
    case 'set identifier fields':
      draft.identifierNames = new Set(change.names)
      return
  }
}

function add(
  draft: SchemaDraft,
  change: Extract<SchemaChange, { op: 'add' }>,
  allowIncompatible: boolean,
): void {
  const { name, parent, type, doc, required = false } = change
  const parentId = parent === undefined ? rootId : structNamed(draft, parent)
  const given = parent === undefined ? name : `${parent}.${name}`
  const full = parent === undefined ? name : `${draft.names.get(parentId)}.${name}`
  const existing = draft.ids.get(full)
  if (draft.addedIds.has(full) || (existing !== undefined && !draft.deleted.has(existing))) {
    throw invalid(`Cannot add column, name already exists: ${given}`)
  }
  if (required && !allowIncompatible) {
    throw invalid(
      `Incompatible change: cannot add required column without a default value: ${full}`,
    )
  }
  const id = takeId(draft)
  const field: NestedField = {
    id,
    name,
    required,
    type: withFreshIds(draft, type),
    ...(doc === undefined ? {} : { doc }),
  }
  draft.changed.set(id, field)
  draft.parents.set(id, parentId)
  draft.added.set(parentId, [...(draft.added.get(parentId) ?? []), id])
  draft.addedIds.set(full, id)
  draft.addedIds.set(given, id)
}

/** The struct of that name; of a list or map that of its elements or values. */
function structNamed(draft: SchemaDraft, name: string): number {
  let field = draft.before.get(draft.ids.get(name) ?? rootId)
  if (field === undefined) throw invalid(`Cannot find parent struct: ${name}`)
  const { type } = field
  if (isNested(type) && type.type !== 'struct') {
    field = draft.before.get(type.type === 'list' ? type.elementId : type.valueId)
  }
  if (field === undefined || !isNested(field.type) || field.type.type !== 'struct') {
    throw invalid(`Cannot add to non-struct column: ${name}`)
  }
  if (draft.deleted.has(field.id)) {
    throw invalid(`Cannot add to a column that will be deleted: ${name}`)
  }
  return field.id
}

function remove(draft: SchemaDraft, name: string): void {
  const id = draft.ids.get(name)
  if (id === undefined) throw invalid(`Cannot delete missing column: ${name}`)
  if (draft.added.has(id)) throw invalid(`Cannot delete a column that has additions: ${name}`)
  if (draft.changed.has(id)) throw invalid(`Cannot delete a column that has updates: ${name}`)
  draft.deleted.add(id)
}

function rename(draft: SchemaDraft, name: string, to: string): void {
  const id = draft.ids.get(name)
  const field = id === undefined ? undefined : (draft.changed.get(id) ?? draft.before.get(id))
  if (field === undefined) throw invalid(`Cannot rename missing column: ${name}`)
  if (draft.deleted.has(field.id)) {
    throw invalid(`Cannot rename a column that will be deleted: ${field.name}`)
  }
  const parent = draft.before.get(draft.parents.get(field.id) ?? rootId)
  if (parent !== undefined && (!isNested(parent.type) || parent.type.type !== 'struct')) {
    throw invalid(`Cannot rename ${name}: elements, keys and values have no names of their own`)
  }
  draft.changed.set(field.id, { ...field, name: to })
  followIdentifiers(draft, name, name.slice(0, -field.name.length) + to)
}

/** Of the column itself, and of those inside of it. */
function followIdentifiers(draft: SchemaDraft, from: string, to: string): void {
  draft.identifierNames = new Set(
    [...draft.identifierNames].map((name) =>
      name === from || name.startsWith(`${from}.`) ? to + name.slice(from.length) : name,
    ),
  )
}

function setRequired(
  draft: SchemaDraft,
  name: string,
  required: boolean,
  allowIncompatible: boolean,
): void {
  const field = updatable(draft, name)
  if (field.required === required) return
  if (required && !allowIncompatible) {
    throw invalid(`Cannot change column nullability: ${name}: optional -> required`)
  }
  draft.changed.set(field.id, { ...field, required })
}

function changeType(draft: SchemaDraft, name: string, type: string): void {
  const field = updatable(draft, name)
  // Some write `decimal(9, 2)`.
  if (typeof field.type === 'string' && field.type.replaceAll(' ', '') === type) return
  if (!canPromote(field.type, type)) {
    const from = typeof field.type === 'string' ? field.type : field.type.type
    throw invalid(`Cannot change column type: ${name}: ${from} -> ${type}`)
  }
  draft.changed.set(field.id, { ...field, type })
}

/** Spec, "Schema Evolution": what every reader of the new type can read of the old. */
export function canPromote(from: IcebergType, to: string): boolean {
  if (typeof from !== 'string') return false
  if (from === 'int') return to === 'long'
  if (from === 'float') return to === 'double'
  const before = decimalPrecisionScale(from)
  const after = decimalPrecisionScale(to)
  if (before === null || after === null) return false
  return (
    before.scale === after.scale && before.precision <= after.precision && after.precision <= 38
  )
}

function move(
  draft: SchemaDraft,
  change: Extract<SchemaChange, { op: 'move first' | 'move before' | 'move after' }>,
): void {
  const field = fieldNamed(draft, change.name)
  if (field === null) throw invalid(`Cannot move missing column: ${change.name}`)
  const parentId = draft.parents.get(field.id) ?? rootId
  const parent = draft.before.get(parentId)
  if (parent !== undefined && (!isNested(parent.type) || parent.type.type !== 'struct')) {
    throw invalid(`Cannot move fields in non-struct type: ${parent.name}`)
  }
  const moves = draft.moves.get(parentId) ?? []
  if (change.op === 'move first') {
    draft.moves.set(parentId, [...moves, { id: field.id, to: 'first' }])
    return
  }
  const to = change.op === 'move before' ? 'before' : 'after'
  const of = fieldNamed(draft, change.of)
  if (of === null) throw invalid(`Cannot move ${change.name} ${to} missing column: ${change.of}`)
  if (of.id === field.id) throw invalid(`Cannot move ${change.name} ${to} itself`)
  if ((draft.parents.get(of.id) ?? rootId) !== parentId) {
    throw invalid(`Cannot move field ${change.name} to a different struct`)
  }
  draft.moves.set(parentId, [...moves, { id: field.id, to, of: of.id }])
}

function updatable(draft: SchemaDraft, name: string): NestedField {
  const field = fieldNamed(draft, name)
  if (field === null) throw invalid(`Cannot update missing column: ${name}`)
  if (draft.deleted.has(field.id)) {
    throw invalid(`Cannot update a column that will be deleted: ${field.name}`)
  }
  return field
}

function checkIdentifiersStay(draft: SchemaDraft): void {
  for (const name of draft.identifierNames) {
    const id = draft.ids.get(name)
    for (let at = id ?? rootId; at !== rootId; at = draft.parents.get(at) ?? rootId) {
      if (!draft.deleted.has(at)) continue
      throw invalid(
        at === id
          ? `Cannot delete identifier field ${name}. To force deletion, also call setIdentifierFields to update identifier fields.`
          : `Cannot delete field ${draft.names.get(at)} as it will delete nested identifier field ${name}`,
      )
    }
  }
}

function isSame(a: Schema, b: Schema): boolean {
  const text = ({ fields, identifierFieldIds = [] }: Schema) =>
    JSON.stringify([fields, identifierFieldIds.toSorted((x, y) => x - y)])
  return text(a) === text(b)
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
