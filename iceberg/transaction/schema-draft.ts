/**
 * A schema in the making: the columns as they were, and what is asked to become of them. Changes name columns as
 * they were called before all of them, and added ones by their new name; so their order matters little. Which
 * changes are allowed is `update-schema.ts`'s to say; here they are kept and put together.
 */
import { PotokError } from '../../kernel/errors.ts'
import { childrenOf, namesOf } from '../spec/check-schema.ts'
import type { IcebergType, NestedField, Schema, StructType } from '../spec/table-metadata.ts'

export const rootId = -1

export type Move =
  | { readonly id: number; readonly to: 'first' }
  | { readonly id: number; readonly to: 'before' | 'after'; readonly of: number }

export type SchemaDraft = {
  readonly schema: Schema
  /** Full names, and short ones through lists and maps: `points.element.x` is also `points.x`. */
  readonly ids: ReadonlyMap<string, number>
  readonly names: ReadonlyMap<number, string>
  readonly before: ReadonlyMap<number, NestedField>
  readonly parents: Map<number, number>
  readonly deleted: Set<number>
  /** Fields changed, by id, and those added. */
  readonly changed: Map<number, NestedField>
  readonly added: Map<number, number[]>
  readonly addedIds: Map<string, number>
  readonly moves: Map<number, Move[]>
  identifierNames: Set<string>
  lastColumnId: number
}

export function beginSchema(schema: Schema, lastColumnId: number): SchemaDraft {
  const before = new Map<number, NestedField>()
  const parents = new Map<number, number>()
  const visit = (field: NestedField, parentId: number): void => {
    before.set(field.id, field)
    parents.set(field.id, parentId)
    for (const child of childrenOf(field.type)) visit(child, field.id)
  }
  for (const field of schema.fields) visit(field, rootId)
  const full = namesOf(schema)
  const names = new Map(full.map(({ id, name }) => [id, name]))
  const ids = new Map(full.map(({ id, name }) => [name, id]))
  for (const { id } of full) {
    const short = shortName(id, before, parents)
    if (!ids.has(short)) ids.set(short, id)
  }
  return {
    schema,
    ids,
    names,
    before,
    parents,
    deleted: new Set(),
    changed: new Map(),
    added: new Map(),
    addedIds: new Map(),
    moves: new Map(),
    identifierNames: new Set((schema.identifierFieldIds ?? []).map((id) => names.get(id) ?? '')),
    lastColumnId,
  }
}

/** Without `element` and `value` where they are structs, whose fields one means. */
function shortName(
  id: number,
  before: ReadonlyMap<number, NestedField>,
  parents: ReadonlyMap<number, number>,
): string {
  const parts: string[] = []
  for (let at = id; at !== rootId; at = parents.get(at) ?? rootId) {
    const field = before.get(at)
    const above = before.get(parents.get(at) ?? rootId)?.type
    const isInner = at !== id && isNested(above) && (above.type === 'list' || above.type === 'map')
    if (field !== undefined && !isInner) parts.unshift(field.name)
  }
  return parts.join('.')
}

/** The field as it is so far, by the name that it had or was added with. */
export function fieldNamed(draft: SchemaDraft, name: string): NestedField | null {
  const id = draft.ids.get(name)
  const known = id === undefined || draft.deleted.has(id) ? draft.addedIds.get(name) : id
  const found = known ?? id
  if (found === undefined) return null
  return draft.changed.get(found) ?? draft.before.get(found) ?? null
}

export function takeId(draft: SchemaDraft): number {
  return ++draft.lastColumnId
}

/** Fresh ids for all that is inside a type: those of a struct's fields before those of their children. */
export function withFreshIds(draft: SchemaDraft, type: IcebergType): IcebergType {
  if (!isNested(type)) return type
  switch (type.type) {
    case 'struct': {
      const ids = type.fields.map(() => takeId(draft))
      return {
        type: 'struct',
        fields: type.fields.map((field, i) => ({
          ...field,
          id: ids[i] as number,
          type: withFreshIds(draft, field.type),
        })),
      }
    }
    case 'list': {
      const elementId = takeId(draft)
      return { ...type, elementId, element: withFreshIds(draft, type.element) }
    }
    case 'map': {
      const keyId = takeId(draft)
      const valueId = takeId(draft)
      const key = withFreshIds(draft, type.key)
      return { ...type, keyId, key, valueId, value: withFreshIds(draft, type.value) }
    }
  }
}

/** All changes applied. */
export function buildStruct(draft: SchemaDraft): StructType {
  return { type: 'struct', fields: builtFields(draft, draft.schema.fields, rootId) }
}

function builtFields(
  draft: SchemaDraft,
  fields: readonly NestedField[],
  parentId: number,
): NestedField[] {
  const kept = fields
    .filter(({ id }) => !draft.deleted.has(id))
    .map((field) => builtField(draft, field))
  const added = (draft.added.get(parentId) ?? []).map((id) => draft.changed.get(id) as NestedField)
  return (draft.moves.get(parentId) ?? []).reduce(moved, [...kept, ...added])
}

function builtField(draft: SchemaDraft, before: NestedField): NestedField {
  const field = draft.changed.get(before.id) ?? before
  return { ...field, type: builtType(draft, field) }
}

function builtType(draft: SchemaDraft, { id, type }: NestedField): IcebergType {
  if (!isNested(type)) return type
  switch (type.type) {
    case 'struct':
      return { type: 'struct', fields: builtFields(draft, type.fields, id) }
    case 'list': {
      const [element] = children(draft, type)
      return { ...type, element: element.type, elementRequired: element.required }
    }
    case 'map': {
      const [key, value] = children(draft, type)
      if (draft.changed.has(type.keyId)) throw invalid('Cannot update map keys')
      checkKey(type.key, key.type)
      return { ...type, value: value.type, valueRequired: value.required }
    }
  }
}

function children(
  draft: SchemaDraft,
  type: Exclude<IcebergType, string>,
): readonly [NestedField, NestedField] {
  const built = childrenOf(type).map((child) => {
    if (draft.deleted.has(child.id)) {
      throw invalid(
        type.type === 'list'
          ? 'Cannot delete element type from list'
          : `Cannot delete ${child.name === 'key' ? 'map keys' : 'value type from map'}`,
      )
    }
    return builtField(draft, child)
  })
  return built as unknown as readonly [NestedField, NestedField]
}

/** Equal maps must stay equal, so their keys never change. */
function checkKey(before: IcebergType, after: IcebergType): void {
  if (JSON.stringify(before) !== JSON.stringify(after)) throw invalid('Cannot alter map keys')
}

function moved(fields: NestedField[], move: Move): NestedField[] {
  const field = fields.find(({ id }) => id === move.id)
  if (field === undefined) throw invalid('Cannot move a column that will be deleted')
  const rest = fields.filter(({ id }) => id !== move.id)
  if (move.to === 'first') return [field, ...rest]
  const at = rest.findIndex(({ id }) => id === move.of)
  if (at === -1) throw invalid(`Cannot move ${field.name} beside a column that will be deleted`)
  return rest.toSpliced(move.to === 'before' ? at : at + 1, 0, field)
}

export function isNested(type: IcebergType | undefined): type is Exclude<IcebergType, string> {
  return type !== undefined && typeof type !== 'string'
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
