/**
 * Requirements and updates of a table commit ↔ JSON (REST specification, "CommitTableRequest"). One that isn't
 * known is InvalidInput: to skip it would commit something else than the client meant.
 */
import { unsupported, validationFailed } from '../spec/refusals.ts'
import type { TableRequirement, TableUpdate } from '../spec/table-updates.ts'
import { wireInteger } from './lossless-json.ts'
import {
  decodePartitionSpec,
  decodeSchema,
  decodeSortOrder,
  encodePartitionSpec,
  encodeSchema,
  encodeSortOrder,
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
  integersField,
  invalidWire,
  keyOf,
  objectField,
  optional,
  present,
  stringField,
  stringMapField,
  stringsField,
  toBigint,
  type WireObject,
  wireObject,
} from './wire-reader.ts'

export function encodeRequirement(requirement: TableRequirement): WireObject {
  const { type } = requirement
  switch (type) {
    case 'assert-create':
      return { type }
    case 'assert-table-uuid':
      return { type, uuid: requirement.uuid }
    case 'assert-ref-snapshot-id':
      return {
        type,
        ref: requirement.ref,
        'snapshot-id': requirement.snapshotId === null ? null : wireInteger(requirement.snapshotId),
      }
    case 'assert-last-assigned-field-id':
      return { type, 'last-assigned-field-id': requirement.lastAssignedFieldId }
    case 'assert-current-schema-id':
      return { type, 'current-schema-id': requirement.currentSchemaId }
    case 'assert-last-assigned-partition-id':
      return { type, 'last-assigned-partition-id': requirement.lastAssignedPartitionId }
    case 'assert-default-spec-id':
      return { type, 'default-spec-id': requirement.defaultSpecId }
    case 'assert-default-sort-order-id':
      return { type, 'default-sort-order-id': requirement.defaultSortOrderId }
    case 'assert-property':
      return { type, key: requirement.key, value: requirement.value }
  }
}

export function decodeRequirement(value: unknown): TableRequirement {
  const object = wireObject(value, 'update requirement')
  const type = stringField(object, 'type')
  switch (type) {
    case 'assert-create':
      return { type }
    case 'assert-table-uuid':
      return { type, uuid: stringField(object, 'uuid') }
    case 'assert-ref-snapshot-id':
      return {
        type,
        ref: stringField(object, 'ref'),
        snapshotId: optional(object, 'snapshot-id', bigintField) ?? null,
      }
    case 'assert-last-assigned-field-id':
      return { type, lastAssignedFieldId: integerField(object, 'last-assigned-field-id') }
    case 'assert-current-schema-id':
      return { type, currentSchemaId: integerField(object, 'current-schema-id') }
    case 'assert-last-assigned-partition-id':
      return { type, lastAssignedPartitionId: integerField(object, 'last-assigned-partition-id') }
    case 'assert-default-spec-id':
      return { type, defaultSpecId: integerField(object, 'default-spec-id') }
    case 'assert-default-sort-order-id':
      return { type, defaultSortOrderId: integerField(object, 'default-sort-order-id') }
    case 'assert-property':
      return {
        type,
        key: stringField(object, 'key'),
        value: optional(object, 'value', stringField) ?? null,
      }
    case 'assert-view-uuid':
      throw validationFailed('Cannot validate AssertViewUUID against a table')
    default:
      throw invalidWire(`Unknown requirement type: ${type}`)
  }
}

export function encodeUpdate(update: TableUpdate): WireObject {
  const { action } = update
  switch (action) {
    case 'assign-uuid':
      return { action, uuid: update.uuid }
    case 'upgrade-format-version':
      return { action, 'format-version': update.formatVersion }
    case 'add-schema':
      return {
        action,
        schema: encodeSchema(update.schema),
        ...present('last-column-id', update.lastColumnId),
      }
    case 'set-current-schema':
      return { action, 'schema-id': update.schemaId }
    case 'add-spec':
      return { action, spec: encodePartitionSpec(update.spec) }
    case 'set-default-spec':
      return { action, 'spec-id': update.specId }
    case 'add-sort-order':
      return { action, 'sort-order': encodeSortOrder(update.sortOrder) }
    case 'set-default-sort-order':
      return { action, 'sort-order-id': update.sortOrderId }
    case 'add-snapshot':
      return { action, snapshot: encodeSnapshot(update.snapshot) }
    case 'set-snapshot-ref':
      return { action, 'ref-name': update.refName, ...encodeSnapshotRef(update) }
    case 'remove-snapshots':
      return { action, 'snapshot-ids': update.snapshotIds.map(wireInteger) }
    case 'remove-snapshot-ref':
      return { action, 'ref-name': update.refName }
    case 'set-location':
      return { action, location: update.location }
    case 'set-properties':
      return { action, updates: update.updates }
    case 'remove-properties':
      return { action, removals: update.removals }
    case 'set-statistics':
      return { action, statistics: update.statistics }
    case 'remove-statistics':
      return { action, 'snapshot-id': wireInteger(update.snapshotId) }
    case 'set-partition-statistics':
      return { action, 'partition-statistics': update.partitionStatistics }
    case 'remove-partition-statistics':
      return { action, 'snapshot-id': wireInteger(update.snapshotId) }
    case 'remove-partition-specs':
      return { action, 'spec-ids': update.specIds }
    case 'remove-schemas':
      return { action, 'schema-ids': update.schemaIds }
  }
}

export function decodeUpdate(value: unknown): TableUpdate {
  const object = wireObject(value, 'metadata update')
  const action = stringField(object, 'action')
  switch (action) {
    case 'assign-uuid':
      return { action, uuid: stringField(object, 'uuid') }
    case 'upgrade-format-version':
      return { action, formatVersion: integerField(object, 'format-version') }
    case 'add-schema':
      return {
        action,
        schema: decodeSchema(object['schema']),
        ...present('lastColumnId', optional(object, 'last-column-id', integerField)),
      }
    case 'set-current-schema':
      return { action, schemaId: integerField(object, 'schema-id') }
    case 'add-spec':
      return { action, spec: decodePartitionSpec(object['spec']) }
    case 'set-default-spec':
      return { action, specId: integerField(object, 'spec-id') }
    case 'add-sort-order':
      return { action, sortOrder: decodeSortOrder(object['sort-order']) }
    case 'set-default-sort-order':
      return { action, sortOrderId: integerField(object, 'sort-order-id') }
    case 'add-snapshot':
      return { action, snapshot: decodeSnapshot(object['snapshot']) }
    case 'set-snapshot-ref':
      return { action, refName: stringField(object, 'ref-name'), ...decodeSnapshotRef(object) }
    case 'remove-snapshots':
      return {
        action,
        snapshotIds: arrayField(object, 'snapshot-ids').map((id) => toBigint(id, 'snapshot-ids')),
      }
    case 'remove-snapshot-ref':
      return { action, refName: stringField(object, 'ref-name') }
    case 'set-location':
      return { action, location: stringField(object, 'location') }
    case 'set-properties':
      return { action, updates: stringMapField(object, keyOf(object, 'updates', 'updated')) }
    case 'remove-properties':
      return { action, removals: stringsField(object, keyOf(object, 'removals', 'removed')) }
    case 'set-statistics':
      return { action, statistics: statisticsFile(objectField(object, 'statistics')) }
    case 'remove-statistics':
      return { action, snapshotId: bigintField(object, 'snapshot-id') }
    case 'set-partition-statistics':
      return {
        action,
        partitionStatistics: partitionStatisticsFile(objectField(object, 'partition-statistics')),
      }
    case 'remove-partition-statistics':
      return { action, snapshotId: bigintField(object, 'snapshot-id') }
    case 'remove-partition-specs':
      return { action, specIds: integersField(object, 'spec-ids') }
    case 'remove-schemas':
      return { action, schemaIds: integersField(object, 'schema-ids') }
    case 'add-view-version':
      throw unsupported('Cannot apply update AddViewVersion to a table')
    case 'set-current-view-version':
      throw unsupported('Cannot apply update SetCurrentViewVersion to a table')
    case 'add-encryption-key':
    case 'remove-encryption-key':
      throw unsupported(`Cannot apply update ${action}: encryption keys are of format v3`)
    default:
      throw invalidWire(`Unknown metadata update action: ${action}`)
  }
}

/** Kept as they are, once they have what readers need. */
function statisticsFile(statistics: WireObject): WireObject {
  integerField(statistics, 'file-footer-size-in-bytes')
  for (const blob of arrayField(statistics, 'blob-metadata')) {
    const metadata = wireObject(blob, 'blob-metadata')
    stringField(metadata, 'type')
    bigintField(metadata, 'snapshot-id')
    integerField(metadata, 'sequence-number')
    integersField(metadata, 'fields')
  }
  return partitionStatisticsFile(statistics)
}

function partitionStatisticsFile(statistics: WireObject): WireObject {
  bigintField(statistics, 'snapshot-id')
  stringField(statistics, 'statistics-path')
  integerField(statistics, 'file-size-in-bytes')
  return statistics
}
