/**
 * Scan planning: the live files of a snapshot that may hold rows of a filter (`may-hold.ts`), and which delete
 * files apply to each. Rows are filtered by whoever reads the files.
 */
import type { ObjectStore } from '../../kernel/ports.ts'
import type { ManifestEntry } from '../spec/data-file.ts'
import { currentSchema, mainSnapshotId, snapshotById } from '../spec/schema.ts'
import type { StructType, TableMetadata } from '../spec/table-metadata.ts'
import { bindFilter } from './bind-filter.ts'
import { assignDeletes, type FileTask } from './assign-deletes.ts'
import { type LiveFile, liveFileOf } from './live-files.ts'
import { loadManifests } from './load-manifests.ts'
import type { ManifestCache } from './manifest-cache.ts'
import { mayHoldRows, type PartitionSieve, partitionSieve } from './may-hold.ts'
import type { ScanFilter } from './scan-filter.ts'
import { snapshotManifests } from './snapshot-manifests.ts'

export type { LiveFile } from './live-files.ts'
export { createManifestCache, type ManifestCache } from './manifest-cache.ts'

export type PlannedScan = { readonly files: LiveFile[]; readonly deleteFiles: LiveFile[] }

export type ScanOptions = {
  /** Else the head of main. */
  readonly snapshotId?: bigint
  readonly filter?: ScanFilter
  /** By which the filter names its columns; else the table's current one. */
  readonly schema?: StructType
}

type ScanIo = {
  readonly store: Pick<ObjectStore, 'read'>
  readonly manifests: ManifestCache
}

/** Data files with the deletes that apply to each, and nothing that applies to none. */
export async function planFileTasks(
  io: ScanIo,
  metadata: TableMetadata,
  options: ScanOptions = {},
): Promise<FileTask[]> {
  const { files, deleteFiles } = await planScan(io, metadata, options)
  return assignDeletes(metadata, files, deleteFiles)
}

export async function planScan(
  io: ScanIo,
  metadata: TableMetadata,
  options: ScanOptions = {},
): Promise<PlannedScan> {
  const snapshotId = options.snapshotId ?? mainSnapshotId(metadata)
  if (snapshotId === null) return { files: [], deleteFiles: [] }
  const snapshot = snapshotById(metadata, snapshotId)
  const filter = bindFilter(options.schema ?? currentSchema(metadata), options.filter ?? [])
  const sieves = new Map<number, PartitionSieve>()
  const sieveOf = (specId: number): PartitionSieve => {
    const found = sieves.get(specId) ?? partitionSieve(metadata, specId, filter)
    sieves.set(specId, found)
    return found
  }

  const manifests = (await snapshotManifests(io.manifests, snapshot)).filter(
    (manifest) =>
      (manifest.addedFilesCount !== 0 || manifest.existingFilesCount !== 0) &&
      sieveOf(manifest.partitionSpecId).mayHoldManifest(manifest),
  )
  const result: PlannedScan = { files: [], deleteFiles: [] }
  // In portions: entries that are sieved out need not wait in memory for the last manifest.
  const portion = 64
  for (let start = 0; start < manifests.length; start += portion) {
    const part = manifests.slice(start, start + portion)
    const loaded = await loadManifests(io.manifests, part)
    for (const [i, manifest] of part.entries()) {
      const sieve = sieveOf(manifest.partitionSpecId)
      for (const entry of loaded[i] as readonly ManifestEntry[]) {
        if (entry.status === 'deleted') continue
        if (!sieve.mayHoldPartition(entry.dataFile.partition)) continue
        // Delete files: their columns are those of the deletes, not of the rows asked for.
        if (entry.dataFile.content !== 'data') {
          result.deleteFiles.push(liveFileOf(entry, manifest))
        } else if (mayHoldRows(entry.dataFile, filter)) {
          result.files.push(liveFileOf(entry, manifest))
        }
      }
    }
  }
  return result
}
