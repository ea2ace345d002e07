/**
 * Live data files through manifests, as the read model wants them: all of a snapshot, or only what some
 * appends added. The difference matters: a table that commits every second or two has tens of thousands of
 * files by the evening, and a refresh must cost what is new.
 */
import { liveFileOf } from '../../iceberg/scan/live-files.ts'
import { loadManifests } from '../../iceberg/scan/load-manifests.ts'
import type { ManifestCache } from '../../iceberg/scan/manifest-cache.ts'
import type { DataFile, ManifestEntry, ManifestFile } from '../../iceberg/spec/data-file.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { LiveFile, LiveFileScanner } from '../ports.ts'

export function createManifestScanner(manifests: ManifestCache): LiveFileScanner {
  return {
    async all(metadata) {
      return scan(manifests, metadata, await listedManifests(manifests, metadata), () => true)
    },
    async addedBy(metadata, snapshotIds) {
      // The entries of a snapshot are in its own manifest, or in one merged later: never in an older one.
      let sequenceNumberMin = Number.POSITIVE_INFINITY
      for (const { snapshotId, sequenceNumber } of metadata.snapshots) {
        if (snapshotIds.has(snapshotId)) {
          sequenceNumberMin = Math.min(sequenceNumberMin, sequenceNumber)
        }
      }
      const recent = (await listedManifests(manifests, metadata)).filter(
        ({ sequenceNumber }) => sequenceNumber >= sequenceNumberMin,
      )
      return scan(manifests, metadata, recent, ({ snapshotId }) => snapshotIds.has(snapshotId))
    },
  }
}

async function listedManifests(
  manifests: ManifestCache,
  metadata: TableMetadata,
): Promise<readonly ManifestFile[]> {
  const id = metadata.currentSnapshotId
  if (id === null) return []
  const snapshot = metadata.snapshots.find(({ snapshotId }) => snapshotId === id)
  if (snapshot === undefined) {
    throw new PotokError(
      'DataCorrupt',
      `${metadata.location}: the current snapshot ${id} is missing`,
    )
  }
  return manifests.manifestList(snapshot.manifestList)
}

async function scan(
  manifests: ManifestCache,
  metadata: TableMetadata,
  listed: readonly ManifestFile[],
  isWanted: (entry: ManifestEntry) => boolean,
): Promise<LiveFile[]> {
  const loaded = await loadManifests(manifests, listed)
  const timeFieldIds = new Map(
    metadata.partitionSpecs.map(({ specId, fields }) => [
      specId,
      fields.length === 1 && fields[0]?.transform === 'day' ? fields[0].sourceId : null,
    ]),
  )
  const files: LiveFile[] = []
  for (const [i, manifest] of listed.entries()) {
    for (const entry of loaded[i] as readonly ManifestEntry[]) {
      if (entry.status === 'deleted' || !isWanted(entry)) continue
      if (entry.dataFile.content !== 'data') {
        throw new PotokError(
          'Unsupported',
          `${metadata.location} has delete files (${entry.dataFile.filePath}): the API reads none, rewrite the data files`,
        )
      }
      const timeFieldId = timeFieldIds.get(entry.dataFile.specId) ?? null
      const day = timeFieldId === null ? null : entry.dataFile.partition[0]
      files.push({
        path: entry.dataFile.filePath,
        day: typeof day === 'number' ? day : null,
        sequenceNumber: liveFileOf(entry, manifest).sequenceNumber,
        timeUsMin: lowerTimeUs(entry.dataFile, timeFieldId),
      })
    }
  }
  return files
}

function lowerTimeUs(file: DataFile, fieldId: number | null): number | null {
  const bound = fieldId === null ? undefined : file.lowerBounds?.get(fieldId)
  if (bound === undefined || bound.byteLength !== 8) return null
  return Number(new DataView(bound.buffer, bound.byteOffset, 8).getBigInt64(0, true))
}
