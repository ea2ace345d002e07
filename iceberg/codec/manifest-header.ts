/** The Avro file metadata that the spec demands of a manifest ("Manifests"): schema and partition spec as JSON. */
import type { ManifestFile } from '../spec/data-file.ts'
import type {
  IcebergType,
  NestedField,
  PartitionSpec,
  Schema,
  StructType,
} from '../spec/table-metadata.ts'

export function manifestHeader(
  schema: Schema,
  spec: PartitionSpec,
  content: ManifestFile['content'],
): Record<string, string> {
  return {
    schema: JSON.stringify({
      type: 'struct',
      'schema-id': schema.schemaId,
      ...(schema.identifierFieldIds === undefined
        ? {}
        : { 'identifier-field-ids': schema.identifierFieldIds }),
      fields: schema.fields.map(fieldToJson),
    }),
    'schema-id': String(schema.schemaId),
    'partition-spec': JSON.stringify(
      spec.fields.map((field) => ({
        name: field.name,
        transform: field.transform,
        'source-id': field.sourceId,
        'field-id': field.fieldId,
      })),
    ),
    'partition-spec-id': String(spec.specId),
    'format-version': '2',
    content,
  }
}

/** Defaults stay out: they belong to format v3 and say nothing about a manifest. */
function fieldToJson(field: NestedField): object {
  return {
    id: field.id,
    name: field.name,
    required: field.required,
    type: typeToJson(field.type),
    ...(field.doc === undefined ? {} : { doc: field.doc }),
  }
}

function typeToJson(type: IcebergType): unknown {
  if (typeof type === 'string') return type
  switch (type.type) {
    case 'struct':
      return { type: 'struct', fields: (type as StructType).fields.map(fieldToJson) }
    case 'list':
      return {
        type: 'list',
        'element-id': type.elementId,
        element: typeToJson(type.element),
        'element-required': type.elementRequired,
      }
    case 'map':
      return {
        type: 'map',
        'key-id': type.keyId,
        key: typeToJson(type.key),
        'value-id': type.valueId,
        value: typeToJson(type.value),
        'value-required': type.valueRequired,
      }
  }
}
