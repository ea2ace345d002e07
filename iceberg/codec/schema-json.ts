/** Schemas, partition specs and sort orders as JSON (spec, appendix C). */
import type {
  IcebergType,
  NestedField,
  PartitionField,
  PartitionSpec,
  Schema,
  SortField,
  SortOrder,
  StructType,
} from '../spec/table-metadata.ts'
import {
  arrayField,
  booleanField,
  integerField,
  integersField,
  invalidWire,
  optional,
  present,
  stringField,
  unknownFields,
  type WireObject,
  wireObject,
} from './wire-reader.ts'

const typeDepthMax = 64
const primitivePattern =
  /^(boolean|int|long|float|double|date|time|timestamp|timestamptz|timestamp_ns|timestamptz_ns|string|uuid|binary|unknown|variant|geometry(\(.*\))?|geography(\(.*\))?|fixed\[\d+\]|decimal\(\s*\d+\s*,\s*\d+\s*\))$/

export function encodeSchema(schema: Schema): WireObject {
  return {
    type: 'struct',
    'schema-id': schema.schemaId,
    ...present('identifier-field-ids', schema.identifierFieldIds),
    fields: schema.fields.map(encodeField),
  }
}

/** A schema without an id (in requests, in v1) gets `defaultId`. */
export function decodeSchema(value: unknown, defaultId = 0): Schema {
  const object = wireObject(value, 'schema')
  const identifiers = optional(object, 'identifier-field-ids', integersField)
  return {
    ...decodeStruct(object, 0),
    schemaId: optional(object, 'schema-id', integerField) ?? defaultId,
    ...(identifiers === undefined || identifiers.length === 0
      ? {}
      : { identifierFieldIds: identifiers }),
  }
}

export function encodeType(type: IcebergType): string | WireObject {
  if (typeof type === 'string') return type
  if (type.type === 'struct') return { type: 'struct', fields: type.fields.map(encodeField) }
  if (type.type === 'list') {
    return {
      type: 'list',
      'element-id': type.elementId,
      element: encodeType(type.element),
      'element-required': type.elementRequired,
    }
  }
  return {
    type: 'map',
    'key-id': type.keyId,
    key: encodeType(type.key),
    'value-id': type.valueId,
    value: encodeType(type.value),
    'value-required': type.valueRequired,
  }
}

function encodeField(field: NestedField): WireObject {
  return {
    id: field.id,
    name: field.name,
    required: field.required,
    type: encodeType(field.type),
    ...present('doc', field.doc),
    ...present('initial-default', field.initialDefault),
    ...present('write-default', field.writeDefault),
  }
}

function decodeType(value: unknown, depth: number): IcebergType {
  if (typeof value === 'string') {
    if (!primitivePattern.test(value)) throw invalidWire(`Cannot parse type string: ${value}`)
    return value
  }
  if (depth > typeDepthMax)
    throw invalidWire(`Cannot parse type: nested deeper than ${typeDepthMax}`)
  const object = wireObject(value, 'type')
  switch (object['type']) {
    case 'struct':
      return decodeStruct(object, depth)
    case 'list':
      return {
        type: 'list',
        elementId: integerField(object, 'element-id'),
        element: decodeType(object['element'], depth + 1),
        elementRequired: booleanField(object, 'element-required'),
      }
    case 'map':
      return {
        type: 'map',
        keyId: integerField(object, 'key-id'),
        key: decodeType(object['key'], depth + 1),
        valueId: integerField(object, 'value-id'),
        value: decodeType(object['value'], depth + 1),
        valueRequired: booleanField(object, 'value-required'),
      }
    default:
      throw invalidWire(`Cannot parse type from json: ${JSON.stringify(object['type'])}`)
  }
}

function decodeStruct(object: WireObject, depth: number): StructType {
  if (object['type'] !== undefined && object['type'] !== 'struct') {
    throw invalidWire(`Cannot create schema, not a struct type: ${JSON.stringify(object['type'])}`)
  }
  return {
    type: 'struct',
    fields: arrayField(object, 'fields').map((field) => decodeField(field, depth + 1)),
  }
}

function decodeField(value: unknown, depth: number): NestedField {
  const object = wireObject(value, 'field')
  return {
    id: integerField(object, 'id'),
    name: stringField(object, 'name'),
    required: booleanField(object, 'required'),
    type: decodeType(object['type'], depth),
    ...present('doc', optional(object, 'doc', stringField)),
    ...present('initialDefault', object['initial-default'] ?? undefined),
    ...present('writeDefault', object['write-default'] ?? undefined),
  }
}

export function encodePartitionSpec(spec: PartitionSpec): WireObject {
  return { 'spec-id': spec.specId, fields: encodePartitionFields(spec.fields) }
}

export function encodePartitionFields(fields: readonly PartitionField[]): WireObject[] {
  return fields.map((field) => ({
    ...encodeSource(field),
    ...(field.fieldId === unassignedFieldId ? {} : { 'field-id': field.fieldId }),
    name: field.name,
    transform: field.transform,
  }))
}

type Source = {
  readonly sourceId: number
  readonly unknownFields?: Readonly<Record<string, unknown>>
}

const partitionFieldKeys: ReadonlySet<string> = new Set([
  'source-id',
  'field-id',
  'name',
  'transform',
])
const sortFieldKeys: ReadonlySet<string> = new Set([
  'source-id',
  'transform',
  'direction',
  'null-order',
])
/** Of transforms with several arguments (format v3), in place of `source-id`. */
const sourcesKey = 'source-ids'

/** Of several sources the first stands for all: no transform that we know has more than one. */
function decodeSource(object: WireObject, known: ReadonlySet<string>): Source {
  const sources = optional(object, sourcesKey, integersField)
  const sourceId = optional(object, 'source-id', integerField) ?? sources?.[0]
  return {
    sourceId: sourceId ?? integerField(object, 'source-id'),
    ...present('unknownFields', unknownFields(object, known)),
  }
}

function encodeSource(field: Source): WireObject {
  const sources = field.unknownFields?.[sourcesKey]
  const isOneOfSeveral = Array.isArray(sources) && sources.length > 1
  return { ...(isOneOfSeveral ? {} : { 'source-id': field.sourceId }), ...field.unknownFields }
}

/** A partition field whose id the catalog is to give (it may be absent in requests). */
export const unassignedFieldId = -1

export function decodePartitionSpec(value: unknown, defaultId = 0): PartitionSpec {
  const object = wireObject(value, 'partition spec')
  return {
    specId: optional(object, 'spec-id', integerField) ?? defaultId,
    fields: decodePartitionFields(arrayField(object, 'fields')),
  }
}

export function decodePartitionFields(fields: readonly unknown[]): PartitionField[] {
  return fields.map((value) => {
    const object = wireObject(value, 'partition field')
    return {
      ...decodeSource(object, partitionFieldKeys),
      fieldId: optional(object, 'field-id', integerField) ?? unassignedFieldId,
      name: stringField(object, 'name'),
      transform: stringField(object, 'transform'),
    }
  })
}

export function encodeSortOrder(order: SortOrder): WireObject {
  return {
    'order-id': order.orderId,
    fields: order.fields.map((field) => ({
      transform: field.transform,
      ...encodeSource(field),
      direction: field.direction,
      'null-order': field.nullOrder,
    })),
  }
}

export function decodeSortOrder(value: unknown, defaultId = 1): SortOrder {
  const object = wireObject(value, 'sort order')
  const fields = arrayField(object, 'fields').map(decodeSortField)
  return {
    orderId: optional(object, 'order-id', integerField) ?? (fields.length === 0 ? 0 : defaultId),
    fields,
  }
}

function decodeSortField(value: unknown): SortField {
  const object = wireObject(value, 'sort field')
  const direction = stringField(object, 'direction').toLowerCase()
  if (direction !== 'asc' && direction !== 'desc') {
    throw invalidWire(`Invalid sort direction: ${direction}`)
  }
  const nullOrder = stringField(object, 'null-order').toLowerCase()
  if (nullOrder !== 'nulls-first' && nullOrder !== 'nulls-last') {
    throw invalidWire(`Invalid null order: ${nullOrder}`)
  }
  return {
    ...decodeSource(object, sortFieldKeys),
    transform: stringField(object, 'transform'),
    direction,
    nullOrder,
  }
}
