/**
 * What others did to a branch since an operation looked at it, and whether it contradicts the operation (Java
 * client: `MergingSnapshotProducer.validate…`). Each check is silent or throws CommitConflict that names a file;
 * trying again won't help then, the rows have to be looked at anew.
 *
 * `replace` snapshots (compaction) add and remove no rows, so they count only where it matters that a file is
 * still there.
 */
import { PotokError } from '../../kernel/errors.ts'
import { deleteFilePathId, isUnpartitioned, partitionKey } from '../scan/assign-deletes.ts'
import type { ScanFilter } from '../scan/scan-filter.ts'
import { liveFileOf, type LiveFile } from '../scan/live-files.ts'
import type { ManifestCache } from '../scan/manifest-cache.ts'
import { snapshotManifests } from '../scan/snapshot-manifests.ts'
import type { DataFile, ManifestEntry, ManifestFile } from '../spec/data-file.ts'
import type { SnapshotOperation, TableMetadata } from '../spec/table-metadata.ts'
import { fileMatcher } from './file-matcher.ts'
import { entriesOf } from './live-entries.ts'
import { branchHeadId, snapshotsSince } from './snapshot-history.ts'

/** How much an operation minds what others did meanwhile. */
export type Validation = {
  /** The snapshot whose rows the operation looked at; null: the table was empty. */
  readonly startingSnapshotId: bigint | null
  /** `snapshot`: rows deleted by others conflict; `serializable`: rows added by others too. */
  readonly isolation: 'snapshot' | 'serializable'
  /** Which rows the operation depends on, where it is fewer than its own filter or files say. */
  readonly conflictFilter?: ScanFilter
}

export type CheckScope = {
  readonly manifests: ManifestCache
  readonly metadata: TableMetadata
  readonly branch: string
  readonly startingSnapshotId: bigint | null
}

const everyRow: ScanFilter = []

/** No data file that may hold rows of the filter was added. */
export async function checkNoAddedData(scope: CheckScope, filter: ScanFilter): Promise<void> {
  const { mayMatch } = fileMatcher(scope.metadata, filter)
  for await (const { entry } of newEntries(scope, 'data', ['append', 'overwrite'])) {
    if (entry.status === 'added' && mayMatch(entry.dataFile)) {
      throw conflict('Found conflicting files that can contain records matching', filter, entry)
    }
  }
}

/** No data file that may hold rows of the filter was deleted. */
export async function checkNoDeletedData(scope: CheckScope, filter: ScanFilter): Promise<void> {
  const { mayMatch } = fileMatcher(scope.metadata, filter)
  for await (const { entry } of newEntries(scope, 'data', ['overwrite', 'replace', 'delete'])) {
    if (entry.status === 'deleted' && mayMatch(entry.dataFile)) {
      throw conflict(
        'Found conflicting deleted files that can contain records matching',
        filter,
        entry,
      )
    }
  }
}

/** No delete file that may apply to rows of the filter was added. */
export async function checkNoAddedDeletes(scope: CheckScope, filter: ScanFilter): Promise<void> {
  const { mayMatch } = fileMatcher(scope.metadata, filter)
  for await (const { entry } of newEntries(scope, 'deletes', ['overwrite', 'delete'])) {
    if (entry.status === 'added' && mayMatch(entry.dataFile)) {
      throw conflict(
        'Found new conflicting delete files that can apply to records matching',
        filter,
        entry,
      )
    }
  }
}

/**
 * No delete that applies to one of the data files was added. `ignoreEqualityDeletes`: what takes the files'
 * place keeps their sequence number, so that equality deletes that came since still apply to it.
 */
export async function checkNoNewDeletesFor(
  scope: CheckScope,
  files: readonly DataFile[],
  options: { readonly ignoreEqualityDeletes?: boolean; readonly filter?: ScanFilter } = {},
): Promise<void> {
  const { mayMatch } = fileMatcher(scope.metadata, options.filter ?? everyRow)
  for await (const { entry, manifest } of newEntries(scope, 'deletes', ['overwrite', 'delete'])) {
    if (entry.status !== 'added' || !mayMatch(entry.dataFile)) continue
    const deletes = liveFileOf(entry, manifest)
    if (options.ignoreEqualityDeletes && deletes.dataFile.content === 'equality-deletes') continue
    const hit = files.find((file) => appliesTo(scope.metadata, deletes, file))
    if (hit !== undefined) {
      throw new PotokError(
        'CommitConflict',
        `Cannot commit, found new delete for replaced data file: ${hit.filePath}`,
        { context: { deleteFile: deletes.dataFile.filePath } },
      )
    }
  }
}

/** None of the data files, which positions point into, went. `allowDeleted`: whole files may, rows gone are gone. */
export async function checkDataFilesExist(
  scope: CheckScope,
  paths: ReadonlySet<string>,
  options: { readonly allowDeleted: boolean },
): Promise<void> {
  if (paths.size === 0) return
  const operations: SnapshotOperation[] = ['overwrite', 'replace']
  if (!options.allowDeleted) operations.push('delete')
  for await (const { entry } of newEntries(scope, 'data', operations)) {
    if (entry.status === 'deleted' && paths.has(entry.dataFile.filePath)) {
      throw new PotokError(
        'CommitConflict',
        `Cannot commit, missing data files: ${entry.dataFile.filePath}`,
      )
    }
  }
}

/** Entries that the snapshots since the start made themselves, of those with the operations. */
async function* newEntries(
  { manifests, metadata, branch, startingSnapshotId }: CheckScope,
  content: ManifestFile['content'],
  operations: readonly SnapshotOperation[],
): AsyncGenerator<{ readonly entry: ManifestEntry; readonly manifest: ManifestFile }> {
  const headId = branchHeadId(metadata, branch)
  for (const snapshot of snapshotsSince(metadata, headId, startingSnapshotId)) {
    if (!operations.includes(snapshot.summary.operation)) continue
    const own = (await snapshotManifests(manifests, snapshot)).filter(
      (manifest) =>
        manifest.content === content && manifest.addedSnapshotId === snapshot.snapshotId,
    )
    for await (const found of entriesOf(manifests, own)) {
      if (found.entry.snapshotId === snapshot.snapshotId) yield found
    }
  }
}

/** Whether the deletes may name a row of the data file. Both are of one table; the file is older than they are. */
function appliesTo(metadata: TableMetadata, deletes: LiveFile, file: DataFile): boolean {
  const { dataFile } = deletes
  const isGlobal =
    dataFile.content === 'equality-deletes' && isUnpartitioned(metadata, dataFile.specId)
  const isSamePartition =
    partitionKey(dataFile.specId, dataFile.partition) === partitionKey(file.specId, file.partition)
  if (!isGlobal && !isSamePartition) return false
  if (dataFile.content === 'equality-deletes') return true
  const path = Buffer.from(file.filePath)
  const lower = dataFile.lowerBounds?.get(deleteFilePathId)
  const upper = dataFile.upperBounds?.get(deleteFilePathId)
  return (
    (lower === undefined || Buffer.compare(path, lower) >= 0) &&
    (upper === undefined || Buffer.compare(path, upper) <= 0)
  )
}

function conflict(what: string, filter: ScanFilter, entry: ManifestEntry): PotokError {
  const parts = filter.map((part) => ('column' in part ? `${part.column} ${part.op} …` : part.op))
  const text = parts.length === 0 ? 'true' : parts.join(' and ')
  return new PotokError('CommitConflict', `${what} ${text}: ${entry.dataFile.filePath}`)
}
