/**
 * Applies updates of a commit to table metadata (REST specification, "TableUpdate"; table specification,
 * "Table Metadata Fields"). Pure: the clock and the location of the file that is replaced come in.
 *
 * Invariants: sequence numbers and `last-updated-ms` never fall; every ref names a snapshot that is there;
 * `main` and `current-snapshot-id` agree; ids of schemas, specs, orders and fields are never reused.
 * InvalidInput: the update makes no sense on any table. CommitConflict: on this one it doesn't any more.
 * It doesn't look at files or locations: what they may be is the catalog's to say.
 */
import { PotokError } from '../../kernel/errors.ts'
import {
  addPartitionSpec,
  addSchema,
  addSortOrder,
  checkSpecFitsSchema,
  checkSortOrderFitsSchema,
} from './evolve-schema.ts'
import type { MetadataDraft, Mutable } from './metadata-draft.ts'
import { appendMetadataLog, pruneSnapshotLog } from './metadata-history.ts'
import type { Snapshot, SnapshotRef, TableMetadata } from './table-metadata.ts'
import type { TableUpdate } from './table-updates.ts'

const mainBranch = 'main'
const formatVersionMax = 2

/** What a table is before its first updates. */
export function emptyTableMetadata(formatVersion: number, tableUuid: string): TableMetadata {
  checkWritable(formatVersion)
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
  checkWhole(metadata)
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
        throw invalid('Cannot remove the default partition spec')
      }
      if (metadata.partitionSpecs.some((spec) => update.specIds.includes(spec.specId))) {
        metadata.partitionSpecs = metadata.partitionSpecs.filter(
          (spec) => !update.specIds.includes(spec.specId),
        )
      }
      return
    case 'remove-schemas':
      if (update.schemaIds.includes(metadata.currentSchemaId)) {
        throw invalid('Cannot remove the current schema')
      }
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
    throw invalid(`Cannot downgrade v${metadata.formatVersion} table to v${to}`)
  }
  checkWritable(to)
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
      throw invalid(`Cannot set last added ${kind}: no ${kind} has been added`)
    }
    return lastAdded
  }
  if (!ids.includes(id)) throw invalid(`Cannot set ${what} to unknown ${kind}: ${id}`)
  return id
}

function addSnapshot(draft: MetadataDraft, snapshot: Snapshot): void {
  const { metadata } = draft
  for (const [list, kind] of [
    [metadata.schemas, 'schema'],
    [metadata.partitionSpecs, 'partition spec'],
    [metadata.sortOrders, 'sort order'],
  ] as const) {
    if (list.length === 0) {
      throw invalid(`Attempting to add a snapshot before a ${kind} is added`)
    }
  }
  if (draft.snapshotsById.has(snapshot.snapshotId)) {
    throw invalid(`Snapshot already exists for id: ${snapshot.snapshotId}`)
  }
  // Somebody else's commit came in between: the client takes a new number and tries again.
  if (
    metadata.formatVersion > 1 &&
    snapshot.sequenceNumber <= metadata.lastSequenceNumber &&
    (snapshot.parentSnapshotId !== undefined || metadata.snapshots.length > 0)
  ) {
    throw conflict(
      `Cannot add snapshot with sequence number ${snapshot.sequenceNumber} older than last sequence number ${metadata.lastSequenceNumber}`,
    )
  }
  metadata.lastSequenceNumber = Math.max(metadata.lastSequenceNumber, snapshot.sequenceNumber)
  metadata.snapshots = [...metadata.snapshots, snapshot]
  draft.snapshotsById.set(snapshot.snapshotId, snapshot)
  draft.addedSnapshotIds.add(snapshot.snapshotId)
}

function setRef(draft: MetadataDraft, name: string, ref: SnapshotRef): void {
  const { metadata } = draft
  const existing = metadata.refs[name]
  const snapshot = draft.snapshotsById.get(ref.snapshotId)
  if (snapshot === undefined) {
    throw invalid(`Cannot set ${name} to unknown snapshot: ${ref.snapshotId}`)
  }
  if (name === mainBranch && ref.type === 'tag') {
    throw invalid(`Cannot set ${mainBranch} to a tag: it is the main branch`)
  }
  if (existing !== undefined && isSameRef(existing, ref)) return
  if (existing?.type === 'branch') checkContinues(draft, name, existing.snapshotId, snapshot)
  if (name === mainBranch && metadata.currentSnapshotId !== ref.snapshotId) {
    metadata.currentSnapshotId = ref.snapshotId
    metadata.snapshotLog = [
      ...metadata.snapshotLog,
      { timestampMs: draft.updatedMs, snapshotId: ref.snapshotId },
    ]
  }
  metadata.refs = { ...metadata.refs, [name]: ref }
}

/**
 * A snapshot made in this commit must go on from the branch's head: were its parent another one, what the
 * head added would be lost. To set a branch back to a snapshot that was there before is a rollback, and meant.
 */
function checkContinues(
  draft: MetadataDraft,
  branch: string,
  head: bigint,
  snapshot: Snapshot,
): void {
  let at: Snapshot | undefined = snapshot
  while (at !== undefined && draft.addedSnapshotIds.has(at.snapshotId)) {
    if (at.parentSnapshotId === head) return
    at =
      at.parentSnapshotId === undefined ? undefined : draft.snapshotsById.get(at.parentSnapshotId)
    if (at === undefined) {
      throw conflict(
        `Cannot set ${branch} to snapshot ${snapshot.snapshotId}: it does not go on from ${head}`,
      )
    }
  }
  if (draft.addedSnapshotIds.has(snapshot.snapshotId) && at?.snapshotId !== head) {
    throw conflict(
      `Cannot set ${branch} to snapshot ${snapshot.snapshotId}: its parent is not ${head}`,
    )
  }
}

function removeRef(draft: MetadataDraft, name: string): void {
  const { metadata } = draft
  if (name === mainBranch) metadata.currentSnapshotId = null
  if (metadata.refs[name] === undefined) return
  metadata.refs = Object.fromEntries(
    Object.entries(metadata.refs).filter(([refName]) => refName !== name),
  )
}

function removeSnapshots(draft: MetadataDraft, ids: readonly bigint[]): void {
  const { metadata } = draft
  const gone = new Set(ids.filter((id) => draft.snapshotsById.has(id)))
  if (gone.size === 0) return
  draft.removedSnapshots = true
  metadata.snapshots = metadata.snapshots.filter((snapshot) => !gone.has(snapshot.snapshotId))
  for (const id of gone) {
    draft.snapshotsById.delete(id)
    metadata.statistics = withoutSnapshot(metadata.statistics, id)
    metadata.partitionStatistics = withoutSnapshot(metadata.partitionStatistics, id)
  }
  for (const [name, ref] of Object.entries(metadata.refs)) {
    if (gone.has(ref.snapshotId)) removeRef(draft, name)
  }
}

function isSameRef(a: SnapshotRef, b: SnapshotRef): boolean {
  return (
    a.snapshotId === b.snapshotId &&
    a.type === b.type &&
    a.minSnapshotsToKeep === b.minSnapshotsToKeep &&
    a.maxSnapshotAgeMs === b.maxSnapshotAgeMs &&
    a.maxRefAgeMs === b.maxRefAgeMs
  )
}

type Statistics = Readonly<Record<string, unknown>>

function withoutSnapshot(files: readonly Statistics[], id: bigint): readonly Statistics[] {
  return files.some((file) => statisticsSnapshotId(file) === id)
    ? files.filter((file) => statisticsSnapshotId(file) !== id)
    : files
}

function statisticsSnapshotId(file: Statistics): bigint {
  const id = file['snapshot-id']
  return typeof id === 'bigint' ? id : BigInt(id as number)
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

function checkWhole(metadata: TableMetadata): void {
  const schema = metadata.schemas.find((one) => one.schemaId === metadata.currentSchemaId)
  const spec = metadata.partitionSpecs.find((one) => one.specId === metadata.defaultSpecId)
  const order = metadata.sortOrders.find((one) => one.orderId === metadata.defaultSortOrderId)
  if (schema === undefined) throw invalid('Cannot commit a table without a current schema')
  if (spec === undefined) throw invalid('Cannot commit a table without a default partition spec')
  if (order === undefined) throw invalid('Cannot commit a table without a default sort order')
  checkSpecFitsSchema(spec, schema, metadata.formatVersion)
  checkSortOrderFitsSchema(order, schema)
}

function checkWritable(formatVersion: number): void {
  if (formatVersion > formatVersionMax) {
    throw new PotokError(
      'Unsupported',
      `Tables of format v${formatVersion} can be read but not changed here (supported: v1, v2)`,
    )
  }
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}

function conflict(message: string): PotokError {
  return new PotokError('CommitConflict', message)
}
