/** Bodies of requests to a REST catalog, and what its answers hold, between memory and wire. */
import type {
  LoadedTable,
  LoadedView,
  TableCommit,
  TableIdentifier,
} from '../../iceberg/catalog.ts'
import { decodeTableMetadata } from '../../iceberg/codec/metadata-json.ts'
import {
  encodePartitionSpec,
  encodeSchema,
  encodeSortOrder,
} from '../../iceberg/codec/schema-json.ts'
import { encodeRequirement, encodeUpdate } from '../../iceberg/codec/updates-json.ts'
import { decodeViewMetadata, encodeViewVersion } from '../../iceberg/codec/view-json.ts'
import {
  objectField,
  present,
  stringField,
  stringsField,
  type WireObject,
  wireObject,
} from '../../iceberg/codec/wire-reader.ts'
import type {
  PartitionSpec,
  Schema,
  SortOrder,
  TableMetadata,
} from '../../iceberg/spec/table-metadata.ts'
import { fieldIdsOf, highestFieldId } from '../../iceberg/spec/evolve-schema.ts'
import type { TableUpdate } from '../../iceberg/spec/table-updates.ts'
import type { ViewMetadata, ViewUpdate } from '../../iceberg/spec/view-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'

export type TableCreation = {
  readonly identifier: TableIdentifier
  readonly schema: Schema
  readonly partitionSpec?: PartitionSpec
  readonly sortOrder?: SortOrder
  readonly location?: string
  readonly properties?: Readonly<Record<string, string>>
}

/** In format v3 fields could have ids that potok's definitions don't foresee; v1 has no sequence numbers. */
const formatVersion = 2

/** Asks for a place, a uuid and the catalog's own properties; nothing is made yet. */
export function encodeStagedCreation(creation: TableCreation): WireObject {
  const { identifier, schema, partitionSpec, sortOrder, location, properties } = creation
  return {
    name: identifier.name,
    schema: encodeSchema(schema),
    ...present('partition-spec', partitionSpec && encodePartitionSpec(partitionSpec)),
    ...present('write-order', sortOrder && encodeSortOrder(sortOrder)),
    ...present('location', location),
    properties: properties ?? {},
    'stage-create': true,
  }
}

/** What makes the staged table one, with the ids of fields that we gave and not those of the server. */
export function creationCommit(creation: TableCreation, staged: TableMetadata): TableCommit {
  const { identifier, schema, partitionSpec, sortOrder, properties } = creation
  const lastColumnId = highestFieldId(schema)
  const updates: TableUpdate[] = [
    { action: 'assign-uuid', uuid: staged.tableUuid },
    { action: 'upgrade-format-version', formatVersion },
    { action: 'add-schema', schema, lastColumnId },
    { action: 'set-current-schema', schemaId: -1 },
    { action: 'add-spec', spec: partitionSpec ?? { specId: 0, fields: [] } },
    { action: 'set-default-spec', specId: -1 },
    { action: 'add-sort-order', sortOrder: sortOrder ?? { orderId: 0, fields: [] } },
    { action: 'set-default-sort-order', sortOrderId: -1 },
    { action: 'set-location', location: staged.location },
    { action: 'set-properties', updates: { ...staged.properties, ...properties } },
  ]
  return { identifier, requirements: [{ type: 'assert-create' }], updates }
}

export function encodeCommit(commit: TableCommit): WireObject {
  return {
    identifier: encodeIdentifier(commit.identifier),
    requirements: commit.requirements.map(encodeRequirement),
    updates: commit.updates.map(encodeUpdate),
  }
}

export function encodeViewCreation(
  identifier: TableIdentifier,
  metadata: ViewMetadata,
): WireObject {
  const [version, ...others] = metadata.versions
  const schema = metadata.schemas.find(({ schemaId }) => schemaId === version?.schemaId)
  if (version === undefined || schema === undefined || others.length > 0) {
    throw new PotokError(
      'Unsupported',
      'over REST a view is created with one version and its schema',
    )
  }
  return {
    name: identifier.name,
    ...(metadata.location === '' ? {} : { location: metadata.location }),
    schema: encodeSchema(schema),
    'view-version': encodeViewVersion(version),
    properties: metadata.properties,
  }
}

export function encodeViewUpdate(update: ViewUpdate): WireObject {
  const { action } = update
  if (action === 'add-view-version') {
    return { action, 'view-version': encodeViewVersion(update.viewVersion) }
  }
  if (action === 'set-current-view-version') {
    return { action, 'view-version-id': update.viewVersionId }
  }
  // All others are updates of tables, too, and look alike.
  return encodeUpdate(update)
}

/**
 * `config` and `storage-credentials` beside the metadata are not read: potok reaches files with its own
 * credentials (--warehouse), and a table's own token would be one more secret to keep.
 */
export function decodeTable(identifier: TableIdentifier, body: WireObject): LoadedTable {
  return {
    identifier,
    metadataLocation: stringField(body, 'metadata-location'),
    metadata: decodeTableMetadata(objectField(body, 'metadata')),
  }
}

export function decodeView(identifier: TableIdentifier, body: WireObject): LoadedView {
  return {
    identifier,
    metadataLocation: stringField(body, 'metadata-location'),
    metadata: decodeViewMetadata(objectField(body, 'metadata')),
  }
}

export function encodeIdentifier({ namespace, name }: TableIdentifier): WireObject {
  return { namespace, name }
}

export function decodeIdentifier(value: unknown): TableIdentifier {
  const object = wireObject(value, 'table identifier')
  return { namespace: stringsField(object, 'namespace'), name: stringField(object, 'name') }
}

export function decodeNamespace(value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((level) => typeof level === 'string')) {
    throw new PotokError('InvalidInput', 'Cannot parse namespace: not an array of strings')
  }
  return value
}

/** The fields, at any depth, have the ids that were asked for. */
export function isSchemaKept(wanted: Schema, { schemas, currentSchemaId }: TableMetadata): boolean {
  const made = schemas.find(({ schemaId }) => schemaId === currentSchemaId)
  return made !== undefined && String(fieldIdsOf(made)) === String(fieldIdsOf(wanted))
}
