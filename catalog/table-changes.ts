/**
 * What a commit, a create, a register makes of a table's metadata: the part of the catalog that knows table
 * metadata and locations, and nothing of roots and swaps.
 */
import type { TableCommit, TableIdentifier } from '../iceberg/catalog.ts'
import { metadataFileName, metadataVersionOf } from '../iceberg/codec/metadata-json.ts'
import { applyUpdates, emptyTableMetadata } from '../iceberg/spec/apply-updates.ts'
import { checkRequirements } from '../iceberg/spec/check-requirements.ts'
import { illegalArgument } from '../iceberg/spec/refusals.ts'
import type { Snapshot, TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { TableUpdate } from '../iceberg/spec/table-updates.ts'
import type { LocationPolicy } from './location-policy.ts'

const formatVersionDefault = 2
const metadataPathProperty = 'write.metadata.path'
const locationProperties = [
  metadataPathProperty,
  'write.data.path',
  'write.object-storage.path',
  'write.folder-storage.path',
]

/** The table as a transaction that created it on the client's side leaves it. */
export function createdByCommit(
  commit: TableCommit,
  options: { uuid: string; defaultLocation: string; nowMs: number },
): TableMetadata {
  const others = commit.requirements.filter((one) => one.type !== 'assert-create')
  if (others.length > 0) {
    throw illegalArgument(
      `Invalid create requirements: ${others.map((one) => one.type).join(', ')}`,
    )
  }
  let formatVersion = formatVersionDefault
  let uuid = options.uuid
  for (const update of commit.updates) {
    if (update.action === 'upgrade-format-version') formatVersion = update.formatVersion
    if (update.action === 'assign-uuid') uuid = update.uuid
  }
  const base = { ...emptyTableMetadata(formatVersion, uuid), location: options.defaultLocation }
  return applyUpdates(base, withAddedSpecs(commit.updates), options.nowMs)
}

/** Unpartitioned and unsorted where a create says nothing of it. */
function withAddedSpecs(updates: readonly TableUpdate[]): TableUpdate[] {
  const result = [...updates]
  if (!updates.some((update) => update.action === 'add-sort-order')) {
    result.unshift(
      { action: 'add-sort-order', sortOrder: { orderId: 0, fields: [] } },
      { action: 'set-default-sort-order', sortOrderId: -1 },
    )
  }
  if (!updates.some((update) => update.action === 'add-spec')) {
    result.unshift(
      { action: 'add-spec', spec: { specId: 0, fields: [] } },
      { action: 'set-default-spec', specId: -1 },
    )
  }
  return result
}

/** `previousLocation`: the file that holds `base`; undefined where none does yet. Gives `base` if nothing changes. */
export function changedByCommit(
  base: TableMetadata,
  commit: TableCommit,
  nowMs: number,
  previousLocation: string | undefined,
): TableMetadata {
  checkRequirements(commit.requirements, base)
  for (const update of commit.updates) {
    if (update.action === 'assign-uuid' && update.uuid !== base.tableUuid) {
      throw illegalArgument('Cannot reassign uuid')
    }
  }
  return applyUpdates(base, commit.updates, nowMs, previousLocation)
}

/** All locations that metadata brings and `base` didn't have are where tables may be. */
export function checkLocations(
  policy: LocationPolicy,
  metadata: TableMetadata,
  base: TableMetadata | null,
): void {
  if (metadata.location !== base?.location) policy.check(metadata.location, 'table location')
  for (const key of locationProperties) {
    const value = metadata.properties[key]
    if (value !== undefined && value !== base?.properties[key]) policy.check(value, key)
  }
  if (metadata.snapshots !== base?.snapshots) {
    for (const { manifestList } of newSnapshots(metadata, base)) {
      if (manifestList !== '') policy.check(manifestList, 'manifest list')
    }
  }
  for (const list of ['statistics', 'partitionStatistics'] as const) {
    if (metadata[list] === base?.[list]) continue
    for (const file of metadata[list]) {
      policy.check(String(file['statistics-path']), 'statistics file')
    }
  }
}

/** Nearly always one behind thousands that are the same objects. */
function newSnapshots(metadata: TableMetadata, base: TableMetadata | null): Snapshot[] {
  const before = base?.snapshots ?? []
  let same = 0
  while (same < before.length && before[same] === metadata.snapshots[same]) same++
  const others = new Set(before.slice(same))
  return metadata.snapshots.slice(same).filter((snapshot) => !others.has(snapshot))
}

/** A fresh name for the next metadata file of the table. */
export function nextMetadataLocation(
  metadata: TableMetadata,
  previousLocation: string | undefined,
  uuid: string,
): string {
  const version = previousLocation === undefined ? 0 : metadataVersionOf(previousLocation) + 1
  const gzip = metadata.properties['write.metadata.compression-codec']?.toLowerCase() === 'gzip'
  return `${metadataFolder(metadata)}/${metadataFileName(version, uuid, { gzip })}`
}

function metadataFolder({ properties, location }: TableMetadata): string {
  return properties[metadataPathProperty]?.replace(/\/+$/, '') ?? `${location}/metadata`
}

/**
 * Metadata files that fell out of the log and that the table's owner wants deleted. Only files in the folder
 * where the table's metadata goes now: a log may come from a registered file and name anything. What lies in a
 * folder of before (a changed location, another `write.metadata.path`) is left to orphan removal.
 */
export function obsoleteMetadataFiles(base: TableMetadata, metadata: TableMetadata): string[] {
  if (metadata.properties['write.metadata.delete-after-commit.enabled'] !== 'true') return []
  const folder = metadataFolder(metadata)
  const kept = new Set(metadata.metadataLog.map((entry) => entry.metadataFile))
  return base.metadataLog
    .map((entry) => entry.metadataFile)
    .filter(
      (file) =>
        !kept.has(file) &&
        file.startsWith(`${folder}/`) &&
        !file.slice(folder.length + 1).includes('/') &&
        /\.metadata\.json(\.gz)?$/.test(file),
    )
}

export function sameIdentifier(a: TableIdentifier, b: TableIdentifier): boolean {
  return (
    a.name === b.name &&
    a.namespace.length === b.namespace.length &&
    a.namespace.every((level, i) => level === b.namespace[i])
  )
}
