/**
 * Applies updates of a commit to table metadata (REST specification, "TableUpdate"; table specification,
 * "Table Metadata Fields"). Pure: the clock and the location of the file that is replaced come in.
 *
 * Invariants: sequence numbers and `last-updated-ms` never fall; every ref names a snapshot that is there;
 * `main` and `current-snapshot-id` agree; ids of schemas, specs, orders and fields are never reused.
 * InvalidInput: the update makes no sense on any table. CommitConflict: on this one it doesn't any more.
 * It doesn't look at files or locations: what they may be is the catalog's to say.
 */
import {
  addSnapshot,
  removeRef,
  removeSnapshots,
  setRef,
  statisticsSnapshotId,
  withoutSnapshot,
} from './change-snapshots.ts'
import { checkSortOrderFitsSchema, checkSpecFitsSchema } from './check-schema.ts'
import { addPartitionSpec, addSchema, addSortOrder } from './evolve-schema.ts'
import type { MetadataDraft, Mutable } from './metadata-draft.ts'
import { appendMetadataLog, pruneSnapshotLog } from './metadata-history.ts'
import { illegalArgument, unsupported, validationFailed } from './refusals.ts'
import type { TableMetadata } from './table-metadata.ts'
import type { TableUpdate } from './table-updates.ts'

/** Of tables that are written; v3 is read only. */
const formatVersionMax = 2

/** What a table is before its first updates. */
export function emptyTableMetadata(formatVersion: number, tableUuid: string): TableMetadata {
  if (formatVersion > formatVersionMax) {
    throw unsupported(
      `Unsupported format version: v${formatVersion} (supported: v${formatVersionMax})`,
    )
  }
  return {
    formatVersion,
    tableUuid,
    location: '',
    lastSequenceNumber: 0,
    lastUpdatedMs: 0,
    lastColumnId: 0,
    schemas: [],
    currentSchemaId: -1,
    partitionSpecs: [],
    defaultSpecId: -1,
    lastPartitionId: 999,
    sortOrders: [],
    defaultSortOrderId: -1,
    properties: {},
    currentSnapshotId: null,
    snapshots: [],
    snapshotLog: [],
    metadataLog: [],
    refs: {},
    statistics: [],
    partitionStatistics: [],
  }
}

/**
 * `previousMetadataLocation`: the file that `base` is in; it goes into the metadata log. Gives `base` itself
 * where nothing changes.
 */
export function applyUpdates(
  base: TableMetadata,
  updates: readonly TableUpdate[],
  nowMs: number,
  previousMetadataLocation?: string,
): TableMetadata {
  checkWritable(base.formatVersion)
  const draft: MetadataDraft = {
    metadata: { ...base },
    snapshotsById: new Map(base.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot])),
    addedSnapshotIds: new Set(),
    lastAddedSchemaId: null,
    lastAddedSpecId: null,
    lastAddedOrderId: null,
    removedSnapshots: false,
    updatedMs: Math.max(base.lastUpdatedMs, ...changeTimes(updates, nowMs)),
  }
  for (const update of updates) applyUpdate(draft, update)

  const { metadata } = draft
  if (isUnchanged(base, metadata)) return base
  checkWhole(base, metadata)
  metadata.lastUpdatedMs = draft.updatedMs
  metadata.snapshotLog = pruneSnapshotLog(draft)
  metadata.metadataLog = appendMetadataLog(base, metadata.properties, previousMetadataLocation)
  return metadata
}

function applyUpdate(draft: MetadataDraft, update: TableUpdate): void {
  const { metadata } = draft
  switch (update.action) {
    case 'assign-uuid':
      if (metadata.tableUuid !== update.uuid) metadata.tableUuid = update.uuid
      return
    case 'upgrade-format-version':
      upgradeFormatVersion(metadata, update.formatVersion)
      return
    case 'add-schema':
      addSchema(draft, update.schema, update.lastColumnId)
      return
    case 'set-current-schema':
      metadata.currentSchemaId = pick(
        'current schema',
        'schema',
        update.schemaId,
        draft.lastAddedSchemaId,
        metadata.schemas.map((schema) => schema.schemaId),
      )
      return
    case 'add-spec':
      addPartitionSpec(draft, update.spec)
      return
    case 'set-default-spec':
      metadata.defaultSpecId = pick(
        'default partition spec',
        'spec',
        update.specId,
        draft.lastAddedSpecId,
        metadata.partitionSpecs.map((spec) => spec.specId),
      )
      return
    case 'add-sort-order':
      addSortOrder(draft, update.sortOrder)
      return
    case 'set-default-sort-order':
      metadata.defaultSortOrderId = pick(
        'default sort order',
        'sort order',
        update.sortOrderId,
        draft.lastAddedOrderId,
        metadata.sortOrders.map((order) => order.orderId),
      )
      return
    case 'add-snapshot':
      addSnapshot(draft, update.snapshot)
      return
    case 'set-snapshot-ref': {
      const { action: _, refName, ...ref } = update
      setRef(draft, refName, ref)
      return
    }
    case 'remove-snapshots':
      removeSnapshots(draft, update.snapshotIds)
      return
    case 'remove-snapshot-ref':
      removeRef(draft, update.refName)
      return
    case 'set-location':
      metadata.location = update.location.replace(/\/+$/, '')
      return
    case 'set-properties':
      if (Object.entries(update.updates).some(([k, v]) => metadata.properties[k] !== v)) {
        metadata.properties = { ...metadata.properties, ...update.updates }
      }
      return
    case 'remove-properties':
      if (update.removals.some((key) => metadata.properties[key] !== undefined)) {
        const removals = new Set(update.removals)
        metadata.properties = Object.fromEntries(
          Object.entries(metadata.properties).filter(([key]) => !removals.has(key)),
        )
      }
      return
    case 'set-statistics':
      metadata.statistics = [
        ...withoutSnapshot(metadata.statistics, statisticsSnapshotId(update.statistics)),
        update.statistics,
      ]
      return
    case 'remove-statistics':
      metadata.statistics = withoutSnapshot(metadata.statistics, update.snapshotId)
      return
    case 'set-partition-statistics':
      metadata.partitionStatistics = [
        ...withoutSnapshot(
          metadata.partitionStatistics,
          statisticsSnapshotId(update.partitionStatistics),
        ),
        update.partitionStatistics,
      ]
      return
    case 'remove-partition-statistics':
      metadata.partitionStatistics = withoutSnapshot(
        metadata.partitionStatistics,
        update.snapshotId,
      )
      return
    case 'remove-partition-specs':
      if (update.specIds.includes(metadata.defaultSpecId)) {
        throw illegalArgument('Cannot remove the default partition spec')
      }
      if (metadata.partitionSpecs.some((spec) => update.specIds.includes(spec.specId))) {
        metadata.partitionSpecs = metadata.partitionSpecs.filter(
          (spec) => !update.specIds.includes(spec.specId),
        )
      }
      return
    case 'remove-schemas':
      if (update.schemaIds.includes(metadata.currentSchemaId)) {
        throw illegalArgument('Cannot remove the current schema')
      }
      checkSchemasUnused(metadata, update.schemaIds)
      if (metadata.schemas.some((schema) => update.schemaIds.includes(schema.schemaId))) {
        metadata.schemas = metadata.schemas.filter(
          (schema) => !update.schemaIds.includes(schema.schemaId),
        )
      }
      return
  }
}

function upgradeFormatVersion(metadata: Mutable<TableMetadata>, to: number): void {
  if (to < metadata.formatVersion) {
    throw illegalArgument(`Cannot downgrade v${metadata.formatVersion} table to v${to}`)
  }
  if (to > formatVersionMax) {
    throw unsupported(
      `Cannot upgrade table to unsupported format version: v${to} (supported: v${formatVersionMax})`,
    )
  }
  metadata.formatVersion = to
}

/** -1 is what this commit added last. */
function pick(
  what: string,
  kind: string,
  id: number,
  lastAdded: number | null,
  ids: readonly number[],
): number {
  if (id === -1) {
    if (lastAdded === null) {
      throw validationFailed(`Cannot set last added ${kind}: no ${kind} has been added`)
    }
    return lastAdded
  }
  if (!ids.includes(id)) throw illegalArgument(`Cannot set ${what} to unknown ${kind}: ${id}`)
  return id
}

/** A commit that adds snapshots is dated by them, so that the logs agree with the snapshots. */
function changeTimes(updates: readonly TableUpdate[], nowMs: number): number[] {
  const times = updates.flatMap((update) =>
    update.action === 'add-snapshot' ? [update.snapshot.timestampMs] : [],
  )
  return times.length === 0 ? [nowMs] : times
}

function isUnchanged(before: TableMetadata, after: TableMetadata): boolean {
  return (Object.keys(after) as (keyof TableMetadata)[]).every((key) => before[key] === after[key])
}

function checkWhole(base: TableMetadata, metadata: TableMetadata): void {
  const schema = metadata.schemas.find((one) => one.schemaId === metadata.currentSchemaId)
  const spec = metadata.partitionSpecs.find((one) => one.specId === metadata.defaultSpecId)
  const order = metadata.sortOrders.find((one) => one.orderId === metadata.defaultSortOrderId)
  if (schema === undefined) throw illegalArgument('Cannot commit a table without a current schema')
  if (spec === undefined) {
    throw illegalArgument('Cannot commit a table without a default partition spec')
  }
  if (order === undefined) {
    throw illegalArgument('Cannot commit a table without a default sort order')
  }
  const isAsBefore = (['currentSchemaId', 'defaultSpecId', 'defaultSortOrderId'] as const).every(
    (key) => base[key] === metadata[key],
  )
  if (isAsBefore) return
  checkSpecFitsSchema(spec, schema)
  checkSortOrderFitsSchema(order, schema)
}

/** Rows of a snapshot are read with the schema that it names. */
function checkSchemasUnused(metadata: TableMetadata, schemaIds: readonly number[]): void {
  for (const { schemaId, snapshotId } of metadata.snapshots) {
    if (schemaId !== undefined && schemaIds.includes(schemaId)) {
      throw validationFailed(`Cannot remove schema ${schemaId}: snapshot ${snapshotId} uses it`)
    }
  }
}

/** A commit that knew nothing of what a later format wants kept (row lineage, keys) would lose it. */
function checkWritable(formatVersion: number): void {
  if (formatVersion > formatVersionMax) {
    throw unsupported(
      `Tables of format v${formatVersion} can be read but not changed here (supported: v1, v2)`,
    )
  }
}
