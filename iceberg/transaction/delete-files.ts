/**
 * Removes whole data files from a branch: those named, or those of which every row matches a filter. A file of
 * which only some rows match is refused by name: its rows have to be rewritten (`overwrite.ts`) or marked as
 * deleted (`row-delta.ts`), by somebody who reads them.
 *
 * Nothing is validated beyond the files being live: a file that is added meanwhile is simply not deleted, and one
 * that has gone is CommitConflict.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { LoadedTable } from '../catalog.ts'
import type { ScanFilter } from '../scan/scan-filter.ts'
import type { DataFile } from '../spec/data-file.ts'
import { mainBranch } from '../spec/schema.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'
import { fileMatcher } from './file-matcher.ts'
import { liveFiles } from './live-entries.ts'
import { branchHeadId } from './snapshot-history.ts'
import { type StagedCommit, stageSnapshot, type TransactionIo } from './stage-snapshot.ts'

export type DeleteRequest = {
  readonly branch?: string
  readonly summary?: Readonly<Record<string, string>>
} & ({ readonly paths: ReadonlySet<string> } | { readonly filter: ScanFilter })

/** null: nothing is to be deleted. */
export async function stageDelete(
  io: TransactionIo,
  table: LoadedTable,
  request: DeleteRequest,
): Promise<StagedCommit | null> {
  const { branch = mainBranch, summary = {} } = request
  const remove =
    'paths' in request
      ? request.paths
      : pathsOf(await wholeFiles(io, table.metadata, branch, request.filter))
  if (remove.size === 0) return null
  return stageSnapshot(io, table, { operation: 'delete', branch, add: [], remove, summary })
}

/** Live data files of which every row matches. InvalidInput names one of which only some may. */
export async function wholeFiles(
  io: TransactionIo,
  metadata: TableMetadata,
  branch: string,
  filter: ScanFilter,
): Promise<DataFile[]> {
  const matcher = fileMatcher(metadata, filter)
  const whole: DataFile[] = []
  const headId = branchHeadId(metadata, branch)
  for await (const { dataFile } of liveFiles(io.manifests, metadata, headId, 'data')) {
    if (!matcher.mayMatch(dataFile)) continue
    if (!matcher.mustMatch(dataFile)) {
      throw new PotokError(
        'InvalidInput',
        `Cannot delete file where some, but not all, rows match filter: ${dataFile.filePath}`,
        { context: { location: metadata.location, path: dataFile.filePath } },
      )
    }
    whole.push(dataFile)
  }
  return whole
}

export function pathsOf(files: readonly DataFile[]): Set<string> {
  return new Set(files.map(({ filePath }) => filePath))
}
