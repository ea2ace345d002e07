/**
 * Table metadata ↔ JSON (spec, "Table Metadata" and appendix C). Reads v1 and v2, and v3 so far as it is the
 * same; fields it doesn't know are kept. Writes the version that the metadata has.
 */
import { promisify } from 'node:util'
import { gunzipSync, gzip, gzipSync } from 'node:zlib'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { PartitionSpec, Schema, SnapshotRef, TableMetadata } from '../spec/table-metadata.ts'
import { parseJson, stringifyJson, wireInteger } from './lossless-json.ts'
import {
  decodePartitionFields,
  decodePartitionSpec,
  decodeSchema,
  decodeSortOrder,
  encodePartitionFields,
  encodePartitionSpec,
  encodeSchema,
  encodeSortOrder,
  unassignedFieldId,
} from './schema-json.ts'
import {
  decodeSnapshot,
  decodeSnapshotRef,
  encodeSnapshot,
  encodeSnapshotRef,
} from './snapshot-json.ts'
import {
  arrayField,
  bigintField,
  integerField,
  objectField,
  optional,
  present,
  stringField,
  stringMapField,
  unknownFields,
  type WireObject,
  wireObject,
} from './wire-reader.ts'

const gzipAsync = promisify(gzip)
const formatVersionMax = 3
/** Ids of partition fields begin after this one. */
const partitionIdBase = 999
const unzippedBytesMax = 512 * 1024 * 1024

const metadataFields: ReadonlySet<string> = new Set([
  'format-version',
  'table-uuid',
  'location',
  'last-sequence-number',
  'last-updated-ms',
  'last-column-id',
  'schema',
  'schemas',
  'current-schema-id',
  'partition-spec',
  'partition-specs',
  'default-spec-id',
  'last-partition-id',
  'sort-orders',
  'default-sort-order-id',
  'properties',
  'current-snapshot-id',
  'snapshots',
  'snapshot-log',
  'metadata-log',
  'refs',
  'statistics',
  'partition-statistics',
])

/** `00003-<uuid>.metadata.json`: engines order files by the number and never read more into it. */
export function metadataFileName(
  version: number,
  uuid: string,
  options: { gzip?: boolean } = {},
): string {
  const suffix = options.gzip === true ? '.gz.metadata.json' : '.metadata.json'
  return `${String(version).padStart(5, '0')}-${uuid}${suffix}`
}

/** The number in front, -1 where the name has none. */
export function metadataVersionOf(location: string): number {
  const match = /^(\d{1,9})-/.exec(location.slice(location.lastIndexOf('/') + 1))
  return match === null ? -1 : Number(match[1])
}

export function isGzipMetadata(location: string): boolean {
  return location.endsWith('.gz.metadata.json') || location.endsWith('.metadata.json.gz')
}

/** Bytes of a metadata file, gzipped where its name says so. */
export function encodeMetadataFile(wire: WireObject, location: string): Uint8Array {
  const bytes = new TextEncoder().encode(stringifyJson(wire))
  return isGzipMetadata(location) ? gzipSync(bytes) : bytes
}

/** Gzipped where the file's name says so, beside the event loop: there may be megabytes. */
export async function packMetadata(bytes: Uint8Array, location: string): Promise<Uint8Array> {
  return isGzipMetadata(location) ? gzipAsync(bytes) : bytes
}

/** The JSON in a metadata file; DataCorrupt where there is none. */
export function parseMetadataFile(bytes: Uint8Array, location: string): unknown {
  try {
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b
    const plain = isGzip ? gunzipSync(bytes, { maxOutputLength: unzippedBytesMax }) : bytes
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(plain))
  } catch (cause) {
    throw corrupt(location, cause)
  }
}

export function readTableMetadata(bytes: Uint8Array, location: string): TableMetadata {
  const wire = parseMetadataFile(bytes, location)
  try {
    return decodeTableMetadata(wire)
  } catch (cause) {
    if (cause instanceof PotokError && cause.kind === 'Unsupported') throw cause
    throw corrupt(location, cause)
  }
}

export function encodeLogEntry(entry: TableMetadata['snapshotLog'][number]): WireObject {
  return { 'timestamp-ms': entry.timestampMs, 'snapshot-id': wireInteger(entry.snapshotId) }
}

export function encodeTableMetadata(
  metadata: TableMetadata,
  options: { withHistory: boolean } = { withHistory: true },
): WireObject {
  const isV1 = metadata.formatVersion === 1
  const schema = metadata.schemas.find((one) => one.schemaId === metadata.currentSchemaId)
  const spec = metadata.partitionSpecs.find((one) => one.specId === metadata.defaultSpecId)
  return {
    ...metadata.unknownFields,
    'format-version': metadata.formatVersion,
    'table-uuid': metadata.tableUuid,
    location: metadata.location,
    ...(isV1 ? {} : { 'last-sequence-number': metadata.lastSequenceNumber }),
    'last-updated-ms': metadata.lastUpdatedMs,
    'last-column-id': metadata.lastColumnId,
    // v1 readers know one schema and one spec.
    ...(isV1 && schema !== undefined ? { schema: encodeSchema(schema) } : {}),
    'current-schema-id': metadata.currentSchemaId,
    schemas: metadata.schemas.map(encodeSchema),
    ...(isV1 && spec !== undefined ? { 'partition-spec': encodePartitionFields(spec.fields) } : {}),
    'default-spec-id': metadata.defaultSpecId,
    'partition-specs': metadata.partitionSpecs.map(encodePartitionSpec),
    'last-partition-id': metadata.lastPartitionId,
    'default-sort-order-id': metadata.defaultSortOrderId,
    'sort-orders': metadata.sortOrders.map(encodeSortOrder),
    properties: metadata.properties,
    // -1 for none in v1 and v2, because older readers fail without the field.
    'current-snapshot-id':
      metadata.currentSnapshotId === null
        ? metadata.formatVersion < 3
          ? -1
          : null
        : wireInteger(metadata.currentSnapshotId),
    refs: Object.fromEntries(
      Object.entries(metadata.refs).map(([name, ref]) => [name, encodeSnapshotRef(ref)]),
    ),
    statistics: metadata.statistics,
    'partition-statistics': metadata.partitionStatistics,
    ...(options.withHistory
      ? {
          snapshots: metadata.snapshots.map(encodeSnapshot),
          'snapshot-log': metadata.snapshotLog.map(encodeLogEntry),
        }
      : {}),
    'metadata-log': metadata.metadataLog.map((entry) => ({
      'timestamp-ms': entry.timestampMs,
      'metadata-file': entry.metadataFile,
    })),
  }
}

export function decodeTableMetadata(value: unknown): TableMetadata {
  const object = wireObject(value, 'metadata')
  const formatVersion = integerField(object, 'format-version')
  if (formatVersion < 1 || formatVersion > formatVersionMax) {
    throw new PotokError(
      'Unsupported',
      `Cannot read unsupported version ${formatVersion} of table metadata`,
    )
  }
  const schemas = decodeSchemas(object)
  const partitionSpecs = decodeSpecs(object)
  const sortOrders = optional(object, 'sort-orders', arrayField)?.map((one) => decodeSortOrder(one))
  const currentSnapshotId = decodeCurrentSnapshotId(object)
  return {
    formatVersion,
    tableUuid: optional(object, 'table-uuid', stringField) ?? '',
    location: stringField(object, 'location').replace(/\/+$/, ''),
    lastSequenceNumber: formatVersion === 1 ? 0 : integerField(object, 'last-sequence-number'),
    lastUpdatedMs: integerField(object, 'last-updated-ms'),
    lastColumnId: integerField(object, 'last-column-id'),
    schemas,
    currentSchemaId:
      optional(object, 'current-schema-id', integerField) ?? (schemas[0] as Schema).schemaId,
    partitionSpecs,
    defaultSpecId:
      optional(object, 'default-spec-id', integerField) ??
      (partitionSpecs[0] as PartitionSpec).specId,
    lastPartitionId:
      optional(object, 'last-partition-id', integerField) ?? highestPartitionId(partitionSpecs),
    sortOrders: sortOrders ?? [{ orderId: 0, fields: [] }],
    defaultSortOrderId: optional(object, 'default-sort-order-id', integerField) ?? 0,
    properties: optional(object, 'properties', stringMapField) ?? {},
    currentSnapshotId,
    snapshots: (optional(object, 'snapshots', arrayField) ?? []).map(decodeSnapshot),
    snapshotLog: (optional(object, 'snapshot-log', arrayField) ?? []).map((entry) => {
      const log = wireObject(entry, 'snapshot-log')
      return {
        snapshotId: bigintField(log, 'snapshot-id'),
        timestampMs: integerField(log, 'timestamp-ms'),
      }
    }),
    metadataLog: (optional(object, 'metadata-log', arrayField) ?? []).map((entry) => {
      const log = wireObject(entry, 'metadata-log')
      return {
        metadataFile: stringField(log, 'metadata-file'),
        timestampMs: integerField(log, 'timestamp-ms'),
      }
    }),
    refs: decodeRefs(object, currentSnapshotId),
    statistics: objectsOf(object, 'statistics'),
    partitionStatistics: objectsOf(object, 'partition-statistics'),
    ...present('unknownFields', unknownFields(object, metadataFields)),
  }
}

function decodeSchemas(object: WireObject): Schema[] {
  const schemas = optional(object, 'schemas', arrayField)?.map((one) => decodeSchema(one))
  if (schemas !== undefined && schemas.length > 0) return schemas
  return [decodeSchema(objectField(object, 'schema'))]
}

function decodeSpecs(object: WireObject): PartitionSpec[] {
  const specs = optional(object, 'partition-specs', arrayField)
  if (specs !== undefined && specs.length > 0) {
    return specs.map((one) => withFieldIds(decodePartitionSpec(one)))
  }
  return [
    withFieldIds({
      specId: 0,
      fields: decodePartitionFields(optional(object, 'partition-spec', arrayField) ?? []),
    }),
  ]
}

/** In v1 the ids may be missing: then they are sequential from 1000. */
function withFieldIds(spec: PartitionSpec): PartitionSpec {
  return {
    specId: spec.specId,
    fields: spec.fields.map((field, i) =>
      field.fieldId === unassignedFieldId ? { ...field, fieldId: partitionIdBase + 1 + i } : field,
    ),
  }
}

function highestPartitionId(specs: readonly PartitionSpec[]): number {
  return specs
    .flatMap((spec) => spec.fields)
    .reduce((highest, f) => Math.max(highest, f.fieldId), partitionIdBase)
}

function decodeCurrentSnapshotId(object: WireObject): bigint | null {
  const id = optional(object, 'current-snapshot-id', bigintField)
  return id === undefined || id === -1n ? null : id
}

function decodeRefs(object: WireObject, current: bigint | null): Record<string, SnapshotRef> {
  const refs: Record<string, SnapshotRef> = Object.fromEntries(
    Object.entries(optional(object, 'refs', objectField) ?? {}).map(([name, ref]) => [
      name,
      decodeSnapshotRef(ref),
    ]),
  )
  if (current !== null && refs['main'] === undefined) {
    refs['main'] = { snapshotId: current, type: 'branch' }
  }
  return refs
}

function objectsOf(object: WireObject, key: string): WireObject[] {
  return (optional(object, key, arrayField) ?? []).map((one) => wireObject(one, key))
}

function corrupt(location: string, cause: unknown): PotokError {
  return new PotokError(
    'DataCorrupt',
    `the metadata file ${location} can not be understood: ${describeError(cause)}`,
    { context: { location }, cause },
  )
}
