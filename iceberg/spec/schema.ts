/** Looking things up in schemas, specs and metadata. Pure. */
import { PotokError } from '../../kernel/errors.ts'
import type {
  IcebergType,
  NestedField,
  PartitionSpec,
  Schema,
  Snapshot,
  SnapshotRef,
  StructType,
  TableMetadata,
} from './table-metadata.ts'
import { parseTransform, resultTypeOf } from './transforms.ts'

export const mainBranch = 'main'

export function currentSchema(metadata: TableMetadata): Schema {
  return schemaById(metadata, metadata.currentSchemaId)
}

export function schemaById(metadata: TableMetadata, schemaId: number): Schema {
  const schema = metadata.schemas.find((candidate) => candidate.schemaId === schemaId)
  if (schema === undefined) throw missing(metadata, 'schema', schemaId)
  return schema
}

export function partitionSpecById(metadata: TableMetadata, specId: number): PartitionSpec {
  const spec = metadata.partitionSpecs.find((candidate) => candidate.specId === specId)
  if (spec === undefined) throw missing(metadata, 'partition spec', specId)
  return spec
}

/** null: the table has no snapshot yet. */
export function mainSnapshotId(metadata: TableMetadata): bigint | null {
  return metadata.refs[mainBranch]?.snapshotId ?? metadata.currentSnapshotId
}

/** By its own name only: `constructor` is a branch where somebody has made one. */
export function refByName(metadata: TableMetadata, name: string): SnapshotRef | undefined {
  return Object.hasOwn(metadata.refs, name) ? metadata.refs[name] : undefined
}

export function snapshotById(metadata: TableMetadata, snapshotId: bigint): Snapshot {
  const snapshot = metadata.snapshots.find((candidate) => candidate.snapshotId === snapshotId)
  if (snapshot === undefined) {
    throw new PotokError('NotFound', `snapshot ${snapshotId} is not (or no longer) in the table`, {
      context: { location: metadata.location, snapshotId: String(snapshotId) },
    })
  }
  return snapshot
}

/** The field of the id at any depth, with keys, values and elements as fields of their own; else null. */
export function fieldById(struct: StructType, id: number): NestedField | null {
  for (const field of struct.fields) {
    const found = fieldWithin(field, id)
    if (found !== null) return found
  }
  return null
}

/** A field of the top level, by its present name; else null. */
export function fieldByName(struct: StructType, name: string): NestedField | null {
  return struct.fields.find((field) => field.name === name) ?? null
}

/**
 * Types of the partition values, in the order of the spec's fields. A source column may have been dropped
 * since: then the newest schema that still has it gives the type.
 */
export function partitionTypes(schemas: readonly Schema[], spec: PartitionSpec): IcebergType[] {
  return spec.fields.map((field) => {
    const transform = parseTransform(field.transform)
    for (let i = schemas.length - 1; i >= 0; i--) {
      const source = fieldById(schemas[i] as Schema, field.sourceId)
      if (source !== null) return resultTypeOf(transform, source.type)
    }
    throw new PotokError('DataCorrupt', `no schema has the source ${field.sourceId} of a partition`)
  })
}

function fieldWithin(field: NestedField, id: number): NestedField | null {
  if (field.id === id) return field
  const type = field.type
  if (typeof type === 'string') return null
  switch (type.type) {
    case 'struct':
      return fieldById(type, id)
    case 'list':
      return fieldWithin(
        {
          id: type.elementId,
          name: 'element',
          required: type.elementRequired,
          type: type.element,
        },
        id,
      )
    case 'map':
      return (
        fieldWithin({ id: type.keyId, name: 'key', required: true, type: type.key }, id) ??
        fieldWithin(
          { id: type.valueId, name: 'value', required: type.valueRequired, type: type.value },
          id,
        )
      )
  }
}

function missing(metadata: TableMetadata, what: string, id: number): PotokError {
  return new PotokError('DataCorrupt', `the table has no ${what} ${id}`, {
    context: { location: metadata.location },
  })
}
