/** The two logs in table metadata: which snapshots were current, and which metadata files came before. */
import type { MetadataDraft } from './metadata-draft.ts'
import type { TableMetadata } from './table-metadata.ts'

const previousVersionsMaxDefault = 100

/**
 * Snapshots that were current only in the midst of this commit never were for anybody else. And where a
 * snapshot of the log is gone, what was current before it can't be told any more: the log begins after it.
 */
export function pruneSnapshotLog(draft: MetadataDraft): TableMetadata['snapshotLog'] {
  const { metadata, snapshotsById, addedSnapshotIds } = draft
  const isPassing = (id: bigint): boolean =>
    addedSnapshotIds.has(id) && id !== metadata.currentSnapshotId
  if (!draft.removedSnapshots && addedSnapshotIds.size < 2) return metadata.snapshotLog
  let log: TableMetadata['snapshotLog'][number][] = []
  for (const entry of metadata.snapshotLog) {
    if (isPassing(entry.snapshotId)) continue
    if (snapshotsById.has(entry.snapshotId)) log.push(entry)
    else if (draft.removedSnapshots) log = []
  }
  return log
}

export function appendMetadataLog(
  base: TableMetadata,
  properties: TableMetadata['properties'],
  previousMetadataLocation: string | undefined,
): TableMetadata['metadataLog'] {
  if (previousMetadataLocation === undefined) return base.metadataLog
  const log = [
    ...base.metadataLog,
    { metadataFile: previousMetadataLocation, timestampMs: base.lastUpdatedMs },
  ]
  return log.slice(-previousVersionsMax(properties))
}

function previousVersionsMax(properties: TableMetadata['properties']): number {
  const text = properties['write.metadata.previous-versions-max']
  const value = Number(text ?? previousVersionsMaxDefault)
  return Number.isSafeInteger(value) ? Math.max(1, value) : previousVersionsMaxDefault
}
