/** Entries of a snapshot's manifests, a portion at a time, so that those of a big table are never in memory together. */
import { unknownCount } from '../codec/manifest-list.ts'
import { type LiveFile, liveFileOf } from '../scan/live-files.ts'
import { loadManifests } from '../scan/load-manifests.ts'
import type { ManifestCache } from '../scan/manifest-cache.ts'
import { snapshotManifests } from '../scan/snapshot-manifests.ts'
import type { ManifestEntry, ManifestFile } from '../spec/data-file.ts'
import { snapshotById } from '../spec/schema.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'

const portion = 64

export async function* entriesOf(
  cache: ManifestCache,
  manifests: readonly ManifestFile[],
): AsyncGenerator<{ readonly entry: ManifestEntry; readonly manifest: ManifestFile }> {
  for (let start = 0; start < manifests.length; start += portion) {
    const part = manifests.slice(start, start + portion)
    const loaded = await loadManifests(cache, part)
    for (const [i, manifest] of part.entries()) {
      for (const entry of loaded[i] ?? []) yield { entry, manifest }
    }
  }
}

/** Live files of a snapshot; none where there is no snapshot. */
export async function* liveFiles(
  cache: ManifestCache,
  metadata: TableMetadata,
  snapshotId: bigint | null,
  content: ManifestFile['content'],
): AsyncGenerator<LiveFile> {
  if (snapshotId === null) return
  const manifests = (await snapshotManifests(cache, snapshotById(metadata, snapshotId))).filter(
    (manifest) =>
      manifest.content === content &&
      (hasAny(manifest.addedFilesCount) || hasAny(manifest.existingFilesCount)),
  )
  for await (const { entry, manifest } of entriesOf(cache, manifests)) {
    if (entry.status !== 'deleted') yield liveFileOf(entry, manifest)
  }
}

function hasAny(count: number): boolean {
  return count > 0 || count === unknownCount
}
