/** Snapshots and their refs as JSON (spec, appendix C). */
import type { Snapshot, SnapshotOperation, SnapshotRef } from '../spec/table-metadata.ts'
import { wireInteger } from './lossless-json.ts'
import {
  bigintField,
  integerField,
  invalidWire,
  optional,
  present,
  stringField,
  stringMapField,
  unknownFields,
  type WireObject,
  wireObject,
} from './wire-reader.ts'

const operations: ReadonlySet<string> = new Set(['append', 'replace', 'overwrite', 'delete'])
const snapshotFields: ReadonlySet<string> = new Set([
  'snapshot-id',
  'parent-snapshot-id',
  'sequence-number',
  'timestamp-ms',
  'manifest-list',
  'summary',
  'schema-id',
])

export function encodeSnapshot(snapshot: Snapshot): WireObject {
  return {
    ...snapshot.unknownFields,
    ...(snapshot.sequenceNumber === 0 ? {} : { 'sequence-number': snapshot.sequenceNumber }),
    'snapshot-id': wireInteger(snapshot.snapshotId),
    ...present(
      'parent-snapshot-id',
      snapshot.parentSnapshotId === undefined ? undefined : wireInteger(snapshot.parentSnapshotId),
    ),
    'timestamp-ms': snapshot.timestampMs,
    summary: snapshot.summary,
    // Old v1 snapshots list their manifests themselves (`manifests`, kept as it was).
    ...(snapshot.manifestList === '' ? {} : { 'manifest-list': snapshot.manifestList }),
    ...present('schema-id', snapshot.schemaId),
  }
}

/** Of v1, where the summary may be missing, the operation is taken for the one that promises least. */
export function decodeSnapshot(value: unknown): Snapshot {
  const object = wireObject(value, 'snapshot')
  const summary = optional(object, 'summary', stringMapField) ?? {}
  const operation = summary['operation'] ?? 'overwrite'
  if (!operations.has(operation)) throw invalidWire(`Invalid snapshot operation: ${operation}`)
  return {
    snapshotId: bigintField(object, 'snapshot-id'),
    ...present('parentSnapshotId', optional(object, 'parent-snapshot-id', bigintField)),
    sequenceNumber: optional(object, 'sequence-number', integerField) ?? 0,
    timestampMs: integerField(object, 'timestamp-ms'),
    manifestList: optional(object, 'manifest-list', stringField) ?? '',
    summary: { ...summary, operation: operation as SnapshotOperation },
    ...present('schemaId', optional(object, 'schema-id', integerField)),
    ...present('unknownFields', unknownFields(object, snapshotFields)),
  }
}

export function encodeSnapshotRef(ref: SnapshotRef): WireObject {
  return {
    'snapshot-id': wireInteger(ref.snapshotId),
    type: ref.type,
    ...present('min-snapshots-to-keep', ref.minSnapshotsToKeep),
    ...present('max-snapshot-age-ms', ref.maxSnapshotAgeMs),
    ...present('max-ref-age-ms', ref.maxRefAgeMs),
  }
}

export function decodeSnapshotRef(value: unknown): SnapshotRef {
  const object = wireObject(value, 'snapshot reference')
  const type = stringField(object, 'type').toLowerCase()
  if (type !== 'branch' && type !== 'tag') throw invalidWire(`Invalid snapshot ref type: ${type}`)
  return {
    snapshotId: bigintField(object, 'snapshot-id'),
    type,
    ...present('minSnapshotsToKeep', optional(object, 'min-snapshots-to-keep', integerField)),
    ...present('maxSnapshotAgeMs', optional(object, 'max-snapshot-age-ms', integerField)),
    ...present('maxRefAgeMs', optional(object, 'max-ref-age-ms', integerField)),
  }
}
