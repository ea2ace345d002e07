/**
 * What schemas, partition specs and sort orders must be, before one is added to a table or made its own. The
 * rules and their wording are the reference implementation's (`Schema`, `PartitionSpec`, `SortOrder`).
 */
import { illegalArgument, validationFailed } from './refusals.ts'
import { fieldById } from './schema.ts'
import type {
  IcebergType,
  NestedField,
  PartitionField,
  PartitionSpec,
  Schema,
  SortField,
  SortOrder,
  StructType,
} from './table-metadata.ts'
import { parseTransform } from './transforms.ts'

const defaultsFormatVersion = 3
const typesOfV3 = /^(timestamp_ns|timestamptz_ns|variant|unknown|geometry|geography)\b/

/** Fields of a schema with those around them, the outermost first. */
type Place = { readonly field: NestedField; readonly parents: readonly NestedField[] }

export function checkSchema(schema: Schema, formatVersion: number): void {
  const places = placesOf(schema)
  checkIds(places)
  checkNames(schema)
  checkFormat(places, formatVersion)
  for (const id of schema.identifierFieldIds ?? []) checkIdentifier(id, places)
}

export function checkSpecFitsSchema(spec: PartitionSpec, schema: Schema): void {
  const places = new Map(placesOf(schema).map((place) => [place.field.id, place]))
  for (const field of spec.fields) {
    // A column that was dropped leaves its field void.
    if (field.transform === 'void') continue
    const source = places.get(field.sourceId)
    if (source === undefined) {
      throw validationFailed(
        `Cannot find source column for partition field: ${describePartition(field)}`,
      )
    }
    const { type } = source.field
    if (typeof type !== 'string') {
      throw validationFailed(
        `Cannot partition by non-primitive source field: ${describeType(type)}`,
      )
    }
    if (!canTransform(field.transform, type)) {
      throw validationFailed(`Invalid source type ${type} for transform: ${field.transform}`)
    }
    const parent = source.parents.find((one) => !isStruct(one.type))
    if (parent !== undefined) {
      throw validationFailed(`Invalid partition field parent: ${describeType(parent.type)}`)
    }
  }
}

/** Names of a spec that is added: each once, and that of a column only where it is made of it. */
export function checkPartitionNames(spec: PartitionSpec, schema: Schema): void {
  const names = new Set<string>()
  const columns = new Map(namesOf(schema).map(({ name, id }) => [name, id]))
  for (const { name, sourceId } of spec.fields) {
    const column = columns.get(name)
    if (column !== undefined && column !== sourceId && fieldById(schema, sourceId) !== null) {
      throw illegalArgument(
        `Cannot create identity partition sourced from different field in schema: ${name}`,
      )
    }
    if (name === '') throw illegalArgument(`Cannot use empty partition name: ${name}`)
    if (names.has(name)) throw illegalArgument(`Cannot use partition name more than once: ${name}`)
    names.add(name)
  }
}

export function checkSortOrderFitsSchema(order: SortOrder, schema: Schema): void {
  for (const field of order.fields) {
    const source = fieldById(schema, field.sourceId)
    if (source === null) {
      throw validationFailed(`Cannot find source column for sort field: ${describeSort(field)}`)
    }
    if (typeof source.type !== 'string') {
      throw validationFailed(
        `Cannot sort by non-primitive source field: ${describeType(source.type)}`,
      )
    }
    if (!canTransform(field.transform, source.type)) {
      throw validationFailed(`Invalid source type ${source.type} for transform: ${field.transform}`)
    }
  }
}

/** All columns by full name: `location.lat`, `points.element.x`. */
export function namesOf(schema: StructType): { name: string; id: number }[] {
  return placesOf(schema).map(({ field, parents }) => ({
    name: [...parents, field].map((one) => one.name).join('.'),
    id: field.id,
  }))
}

function placesOf(schema: StructType): Place[] {
  const places: Place[] = []
  const visit = (field: NestedField, parents: readonly NestedField[]): void => {
    places.push({ field, parents })
    for (const child of childrenOf(field.type)) visit(child, [...parents, field])
  }
  for (const field of schema.fields) visit(field, [])
  return places
}

export function childrenOf(type: IcebergType): readonly NestedField[] {
  if (typeof type === 'string') return []
  switch (type.type) {
    case 'struct':
      return type.fields
    case 'list': {
      const { elementId: id, elementRequired: required, element } = type
      return [{ id, name: 'element', required, type: element }]
    }
    case 'map':
      return [
        { id: type.keyId, name: 'key', required: true, type: type.key },
        { id: type.valueId, name: 'value', required: type.valueRequired, type: type.value },
      ]
  }
}

function checkIds(places: readonly Place[]): void {
  const seen = new Map<number, NestedField>()
  for (const { field } of places) {
    const other = seen.get(field.id)
    if (other !== undefined) {
      throw illegalArgument(
        `Invalid schema: multiple fields have the id ${field.id}: ${other.name} and ${field.name}`,
      )
    }
    seen.set(field.id, field)
  }
}

function checkNames(schema: StructType): void {
  const seen = new Map<string, number>()
  for (const { name, id } of namesOf(schema)) {
    if (name === '' || name.endsWith('.')) {
      throw illegalArgument('Invalid schema: a column has an empty name')
    }
    const other = seen.get(name)
    if (other !== undefined) {
      throw validationFailed(`Invalid schema: multiple fields for name ${name}: ${other} and ${id}`)
    }
    seen.set(name, id)
  }
}

function checkFormat(places: readonly Place[], formatVersion: number): void {
  if (formatVersion >= defaultsFormatVersion) return
  const problems: string[] = []
  for (const { field, parents } of places) {
    const name = [...parents, field].map((one) => one.name).join('.')
    if (typeof field.type === 'string' && typesOfV3.test(field.type)) {
      problems.push(`Invalid type for ${name}: ${field.type} is not supported until v3`)
    }
    if (field.initialDefault !== undefined) {
      problems.push(
        `Invalid initial default for ${name}: non-null default (${JSON.stringify(field.initialDefault)}) is not supported until v3`,
      )
    }
  }
  if (problems.length > 0) {
    throw illegalArgument(`Invalid schema for v${formatVersion}:\n- ${problems.join('\n- ')}`)
  }
}

function checkIdentifier(id: number, places: readonly Place[]): void {
  const place = places.find(({ field }) => field.id === id)
  if (place === undefined) {
    throw illegalArgument(`Cannot add fieldId ${id} as an identifier field: field does not exist`)
  }
  const { field, parents } = place
  const refuse = (why: string): never => {
    throw illegalArgument(`Cannot add field ${field.name} as an identifier field: ${why}`)
  }
  if (typeof field.type !== 'string') refuse('not a primitive type field')
  if (!field.required) refuse('not a required field')
  if (field.type === 'float' || field.type === 'double') {
    refuse('must not be float or double field')
  }
  for (const parent of parents) {
    if (!isStruct(parent.type)) refuse(`must not be nested in ${describeField(parent)}`)
    if (!parent.required) {
      refuse(`must not be nested in an optional field ${describeField(parent)}`)
    }
  }
}

function canTransform(text: string, source: string): boolean {
  const transform = parseTransform(text)
  switch (transform.name) {
    case 'identity':
      return !/^(variant|geometry|geography)\b/.test(source)
    case 'bucket':
      return /^(int|long|date|time|timestamp|timestamptz|timestamp_ns|timestamptz_ns|string|uuid|binary|fixed\[.*|decimal\(.*)$/.test(
        source,
      )
    case 'truncate':
      return /^(int|long|string|binary|decimal\(.*)$/.test(source)
    case 'year':
    case 'month':
    case 'day':
      return /^(date|timestamp|timestamptz|timestamp_ns|timestamptz_ns)$/.test(source)
    case 'hour':
      return /^(timestamp|timestamptz|timestamp_ns|timestamptz_ns)$/.test(source)
    case 'void':
    case 'unknown':
      return true
  }
}

function isStruct(type: IcebergType): boolean {
  return typeof type !== 'string' && type.type === 'struct'
}

function describeType(type: IcebergType): string {
  if (typeof type === 'string') return type
  switch (type.type) {
    case 'struct':
      return `struct<${type.fields.map(describeField).join(', ')}>`
    case 'list':
      return `list<${describeType(type.element)}>`
    case 'map':
      return `map<${describeType(type.key)}, ${describeType(type.value)}>`
  }
}

function describeField(field: NestedField): string {
  const requirement = field.required ? 'required' : 'optional'
  return `${field.id}: ${field.name}: ${requirement} ${describeType(field.type)}`
}

function describePartition(field: PartitionField): string {
  return `${field.fieldId}: ${field.name}: ${field.transform}(${field.sourceId})`
}

function describeSort(field: SortField): string {
  const nulls = field.nullOrder === 'nulls-first' ? 'NULLS FIRST' : 'NULLS LAST'
  return `${field.transform}(${field.sourceId}) ${field.direction.toUpperCase()} ${nulls}`
}
