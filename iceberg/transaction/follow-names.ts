/**
 * What else in a table goes by column names, after a change of its schema: the name mapping, by which files without
 * field ids are read, keeps old names and learns new ones; per-column properties are renamed or dropped with
 * their column. As the Java client does.
 */
import { parseJson, stringifyJson } from '../codec/lossless-json.ts'
import { nameMappingProperty } from '../scan/name-mapping.ts'
import { childrenOf, namesOf } from '../spec/check-schema.ts'
import type { NestedField, Schema, TableMetadata } from '../spec/table-metadata.ts'
import type { TableUpdate } from '../spec/table-updates.ts'
import { rootId, type SchemaDraft } from './schema-draft.ts'

const columnPrefixes = [
  'write.metadata.metrics.column.',
  'write.parquet.bloom-filter-enabled.column.',
  'write.parquet.stats-enabled.column.',
]

export function propertiesAfter(
  metadata: TableMetadata,
  draft: SchemaDraft,
  schema: Schema,
): TableUpdate[] {
  const set: Record<string, string> = {}
  const removals: string[] = []
  const text = metadata.properties[nameMappingProperty]
  const mapping = text === undefined ? null : mappingAfter(text, draft)
  if (mapping !== null && mapping !== text) set[nameMappingProperty] = mapping

  const namesNow = new Map(namesOf(schema).map(({ id, name }) => [id, name]))
  for (const [key, value] of Object.entries(metadata.properties)) {
    const prefix = columnPrefixes.find((each) => key.startsWith(each))
    const id = prefix === undefined ? undefined : draft.ids.get(key.slice(prefix.length))
    if (prefix === undefined || id === undefined) continue
    const name = namesNow.get(id)
    if (name !== undefined && name === draft.names.get(id)) continue
    removals.push(key)
    if (name !== undefined) set[prefix + name] = value
  }
  const kept = removals.filter((key) => set[key] === undefined)
  return [
    ...(kept.length === 0 ? [] : [{ action: 'remove-properties' as const, removals: kept }]),
    ...(Object.keys(set).length === 0 ? [] : [{ action: 'set-properties' as const, updates: set }]),
  ]
}

type WireField = { 'field-id'?: number; names: string[]; fields?: WireField[] }

/** null where the mapping isn't understood: then it stays as it is, and reading tells of it. */
function mappingAfter(text: string, draft: SchemaDraft): string | null {
  try {
    return stringifyJson(fieldsAfter(parseJson(text) as WireField[], rootId, draft))
  } catch {
    return null
  }
}

function fieldsAfter(
  fields: readonly WireField[],
  parentId: number,
  draft: SchemaDraft,
): WireField[] {
  const changed = fields.map((field): WireField => {
    const id = field['field-id']
    const now = id === undefined ? undefined : draft.changed.get(id)
    const names = now === undefined ? field.names : [...new Set([...field.names, now.name])]
    const isParent = id !== undefined && (field.fields !== undefined || draft.added.has(id))
    return {
      ...field,
      names,
      ...(isParent ? { fields: fieldsAfter(field.fields ?? [], id, draft) } : {}),
    }
  })
  const added = (draft.added.get(parentId) ?? []).flatMap((id) => draft.changed.get(id) ?? [])
  // A name that another field had until now means the new one from now on.
  const owners = new Map<string, number>()
  for (const { 'field-id': id } of fields) {
    const now = id === undefined ? undefined : draft.changed.get(id)
    if (now !== undefined) owners.set(now.name, now.id)
  }
  for (const field of added) owners.set(field.name, field.id)
  const reassigned = changed.map((field) => ({
    ...field,
    names: field.names.filter(
      (name) => (owners.get(name) ?? field['field-id']) === field['field-id'],
    ),
  }))
  return [...reassigned, ...added.map(mappingOf)]
}

function mappingOf(field: NestedField): WireField {
  const children = childrenOf(field.type)
  return {
    'field-id': field.id,
    names: [field.name],
    ...(children.length === 0 ? {} : { fields: children.map(mappingOf) }),
  }
}
