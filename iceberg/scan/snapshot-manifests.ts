/** The manifests of a snapshot, also where an old v1 table lists them in the metadata itself. */
import { unknownCount } from '../codec/manifest-list.ts'
import type { ManifestFile } from '../spec/data-file.ts'
import type { Snapshot } from '../spec/table-metadata.ts'
import type { ManifestCache } from './manifest-cache.ts'

export async function snapshotManifests(
  cache: Pick<ManifestCache, 'manifestList'>,
  snapshot: Snapshot,
): Promise<readonly ManifestFile[]> {
  if (snapshot.manifestList !== '') return cache.manifestList(snapshot.manifestList)
  const inline = snapshot.unknownFields?.['manifests']
  if (!Array.isArray(inline)) return []
  return inline.map((manifestPath) => ({
    manifestPath: String(manifestPath),
    manifestLength: unknownCount,
    // Such tables are older than the evolution of specs (the Java client takes 0, too).
    partitionSpecId: 0,
    content: 'data',
    sequenceNumber: 0,
    minSequenceNumber: 0,
    addedSnapshotId: snapshot.snapshotId,
    addedFilesCount: unknownCount,
    existingFilesCount: unknownCount,
    deletedFilesCount: unknownCount,
    addedRowsCount: unknownCount,
    existingRowsCount: unknownCount,
    deletedRowsCount: unknownCount,
  }))
}
