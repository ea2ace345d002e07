/** View metadata and its updates ↔ JSON (view specification; REST specification, "CommitViewRequest"). */
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import { unsupported, validationFailed } from '../spec/refusals.ts'
import type { Schema } from '../spec/table-metadata.ts'
import type {
  ViewMetadata,
  ViewRepresentation,
  ViewRequirement,
  ViewUpdate,
  ViewVersion,
} from '../spec/view-metadata.ts'
import { parseMetadataFile } from './metadata-json.ts'
import { decodeSchema, encodeSchema } from './schema-json.ts'
import {
  arrayField,
  integerField,
  invalidWire,
  keyOf,
  objectField,
  optional,
  present,
  stringField,
  stringMapField,
  stringsField,
  type WireObject,
  wireObject,
} from './wire-reader.ts'

const viewFormatVersion = 1

export function readViewMetadata(bytes: Uint8Array, location: string): ViewMetadata {
  const wire = parseMetadataFile(bytes, location)
  try {
    return decodeViewMetadata(wire)
  } catch (cause) {
    if (isPotokError(cause, 'Unsupported')) throw cause
    throw new PotokError(
      'DataCorrupt',
      `the view metadata ${location} can not be understood: ${describeError(cause)}`,
      { context: { location }, cause },
    )
  }
}

export function encodeViewMetadata(metadata: ViewMetadata): WireObject {
  return {
    'view-uuid': metadata.viewUuid,
    'format-version': metadata.formatVersion,
    location: metadata.location,
    properties: metadata.properties,
    schemas: metadata.schemas.map(encodeSchema),
    'current-version-id': metadata.currentVersionId,
    versions: metadata.versions.map(encodeViewVersion),
    'version-log': metadata.versionLog.map((entry) => ({
      'timestamp-ms': entry.timestampMs,
      'version-id': entry.versionId,
    })),
  }
}

export function decodeViewMetadata(value: unknown): ViewMetadata {
  const object = wireObject(value, 'view metadata')
  const formatVersion = integerField(object, 'format-version')
  if (formatVersion !== viewFormatVersion) {
    throw unsupported(`Cannot read unsupported version ${formatVersion} of view metadata`)
  }
  return {
    viewUuid: stringField(object, 'view-uuid'),
    formatVersion,
    location: stringField(object, 'location'),
    schemas: arrayField(object, 'schemas').map((schema) => decodeSchema(schema)),
    currentVersionId: integerField(object, 'current-version-id'),
    versions: arrayField(object, 'versions').map(decodeViewVersion),
    versionLog: arrayField(object, 'version-log').map((entry) => {
      const log = wireObject(entry, 'version-log')
      return {
        timestampMs: integerField(log, 'timestamp-ms'),
        versionId: integerField(log, 'version-id'),
      }
    }),
    properties: optional(object, 'properties', stringMapField) ?? {},
  }
}

export function encodeViewVersion(version: ViewVersion): WireObject {
  return {
    'version-id': version.versionId,
    'timestamp-ms': version.timestampMs,
    'schema-id': version.schemaId,
    summary: version.summary,
    ...present('default-catalog', version.defaultCatalog),
    'default-namespace': version.defaultNamespace,
    representations: version.representations,
  }
}

export function decodeViewVersion(value: unknown): ViewVersion {
  const object = wireObject(value, 'view version')
  return {
    versionId: integerField(object, 'version-id'),
    schemaId: integerField(object, 'schema-id'),
    timestampMs: integerField(object, 'timestamp-ms'),
    summary: optional(object, 'summary', stringMapField) ?? {},
    representations: arrayField(object, 'representations').map(decodeRepresentation),
    ...present('defaultCatalog', optional(object, 'default-catalog', stringField)),
    defaultNamespace: stringsField(object, 'default-namespace'),
  }
}

function decodeRepresentation(value: unknown): ViewRepresentation {
  const object = wireObject(value, 'view representation')
  const type = stringField(object, 'type')
  if (type !== 'sql') throw invalidWire(`Unknown view representation: ${type}`)
  return { type, sql: stringField(object, 'sql'), dialect: stringField(object, 'dialect') }
}

/** What a request to create a view brings. */
export type ViewCreation = {
  readonly name: string
  readonly location?: string
  readonly schema: Schema
  readonly viewVersion: ViewVersion
  readonly properties: Readonly<Record<string, string>>
}

export function decodeViewCreation(value: unknown): ViewCreation {
  const object = wireObject(value, 'create view request')
  return {
    name: stringField(object, 'name'),
    ...present('location', optional(object, 'location', stringField)),
    schema: decodeSchema(objectField(object, 'schema')),
    viewVersion: decodeViewVersion(objectField(object, 'view-version')),
    properties: optional(object, 'properties', stringMapField) ?? {},
  }
}

export function decodeViewRequirement(value: unknown): ViewRequirement {
  const object = wireObject(value, 'update requirement')
  const type = stringField(object, 'type')
  if (type !== 'assert-view-uuid') {
    const known = tableRequirements[type]
    if (known !== undefined) throw validationFailed(`Cannot validate ${known} against a view`)
    throw invalidWire(`Unknown requirement type: ${type}`)
  }
  return { type, uuid: stringField(object, 'uuid') }
}

export function decodeViewUpdate(value: unknown): ViewUpdate {
  const object = wireObject(value, 'metadata update')
  const action = stringField(object, 'action')
  switch (action) {
    case 'assign-uuid':
      return { action, uuid: stringField(object, 'uuid') }
    case 'upgrade-format-version':
      return { action, formatVersion: integerField(object, 'format-version') }
    case 'add-schema':
      return { action, schema: decodeSchema(object['schema']) }
    case 'set-location':
      return { action, location: stringField(object, 'location') }
    case 'set-properties':
      return { action, updates: stringMapField(object, keyOf(object, 'updates', 'updated')) }
    case 'remove-properties':
      return { action, removals: stringsField(object, keyOf(object, 'removals', 'removed')) }
    case 'add-view-version':
      return { action, viewVersion: decodeViewVersion(object['view-version']) }
    case 'set-current-view-version':
      return { action, viewVersionId: integerField(object, 'view-version-id') }
    default:
      if (tableActions.has(action)) throw unsupported(`Cannot apply update ${action} to a view`)
      throw invalidWire(`Unknown metadata update action: ${action}`)
  }
}

/** As the reference implementation names them. */
const tableRequirements: Readonly<Record<string, string>> = {
  'assert-create': 'AssertTableDoesNotExist',
  'assert-table-uuid': 'AssertTableUUID',
  'assert-ref-snapshot-id': 'AssertRefSnapshotID',
  'assert-last-assigned-field-id': 'AssertLastAssignedFieldId',
  'assert-current-schema-id': 'AssertCurrentSchemaID',
  'assert-last-assigned-partition-id': 'AssertLastAssignedPartitionId',
  'assert-default-spec-id': 'AssertDefaultSpecID',
  'assert-default-sort-order-id': 'AssertDefaultSortOrderID',
}

const tableActions: ReadonlySet<string> = new Set([
  'set-current-schema',
  'add-spec',
  'set-default-spec',
  'remove-partition-specs',
  'remove-schemas',
  'add-sort-order',
  'set-default-sort-order',
  'add-snapshot',
  'set-snapshot-ref',
  'remove-snapshots',
  'remove-snapshot-ref',
  'set-statistics',
  'remove-statistics',
  'set-partition-statistics',
  'remove-partition-statistics',
  'add-encryption-key',
  'remove-encryption-key',
])
