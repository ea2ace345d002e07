/**
 * Name mapping (spec, "Name Mapping Serialization"): how the table property `schema.name-mapping.default` gives
 * field ids to columns of files that were written without any.
 */
import { describeError, PotokError } from '../../kernel/errors.ts'
import { parseJson } from '../codec/lossless-json.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'

/** By name in the file; one field may have several names. */
export type NameMapping = ReadonlyMap<string, MappedField>
export type MappedField = { readonly id: number | null; readonly fields: NameMapping }

export const nameMappingProperty = 'schema.name-mapping.default'

/** null: the table has none. */
export function nameMappingOf(metadata: TableMetadata): NameMapping | null {
  const text = metadata.properties[nameMappingProperty]
  if (text === undefined) return null
  try {
    return fieldsOf(parseJson(text))
  } catch (cause) {
    throw new PotokError(
      'DataCorrupt',
      `the property ${nameMappingProperty} can not be understood: ${describeError(cause)}`,
      { context: { location: metadata.location }, cause },
    )
  }
}

type WireField = { 'field-id'?: unknown; names?: unknown; fields?: unknown }

function fieldsOf(wire: unknown): NameMapping {
  if (!Array.isArray(wire)) throw new TypeError('a list of fields is expected')
  const mapping = new Map<string, MappedField>()
  for (const each of wire as WireField[]) {
    const id = each['field-id']
    const field: MappedField = {
      id: id === undefined || id === null ? null : Number(id),
      fields: each.fields === undefined ? new Map() : fieldsOf(each.fields),
    }
    if (!Array.isArray(each.names)) throw new TypeError('a field without names')
    for (const name of each.names) {
      if (mapping.has(String(name))) throw new TypeError(`the name ${String(name)} stands twice`)
      mapping.set(String(name), field)
    }
  }
  return mapping
}
