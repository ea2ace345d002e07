/**
 * Adds rows and marks rows as deleted in one snapshot (merge on read): data files, files of position or equality
 * deletes, and files that go. Format v2.
 *
 * Positions point into files, so the files must still be there: one that was overwritten or compacted meanwhile
 * is a conflict (CommitConflict). `validation` as Java's RowDelta is used for DELETE, UPDATE and MERGE: a whole
 * file deleted by others is fine for a delete, and a conflict where the added rows are new versions of deleted
 * ones (`rewritesRows`); deletes added by others likewise; `serializable`: rows added by others that match
 * `conflictFilter` too.
 */
import assert from 'node:assert/strict'
import { PotokError } from '../../kernel/errors.ts'
import type { LoadedTable } from '../catalog.ts'
import type { DataFile } from '../spec/data-file.ts'
import { mainBranch } from '../spec/schema.ts'
import type { SnapshotOperation } from '../spec/table-metadata.ts'
import {
  checkDataFilesExist,
  checkNoAddedData,
  checkNoAddedDeletes,
  checkNoNewDeletesFor,
  type Validation,
} from './conflict-checks.ts'
import { pathsOf } from './delete-files.ts'
import { branchHeadId, isAncestor } from './snapshot-history.ts'
import { type StagedCommit, stageSnapshot, type TransactionIo } from './stage-snapshot.ts'

export type RowDeltaRequest = {
  readonly branch?: string
  readonly add?: readonly DataFile[]
  readonly deletes?: readonly DataFile[]
  /** Live files, of data or of deletes, that go. */
  readonly remove?: readonly DataFile[]
  /** Paths of the data files that the position deletes name. */
  readonly referencedFiles?: ReadonlySet<string>
  readonly validation?: Validation & {
    /** An update or merge. Default: whether data files are added or go. */
    readonly rewritesRows?: boolean
  }
  readonly summary?: Readonly<Record<string, string>>
}

export async function stageRowDelta(
  io: TransactionIo,
  table: LoadedTable,
  request: RowDeltaRequest,
): Promise<StagedCommit> {
  const { branch = mainBranch, add = [], deletes = [], remove = [], summary = {} } = request
  assert(
    add.every(({ content }) => content === 'data') &&
      deletes.every(({ content }) => content !== 'data'),
    'data files are added, files of deletes are deletes',
  )
  const both = remove.find(({ filePath }) => request.referencedFiles?.has(filePath))
  if (both !== undefined) {
    throw new PotokError(
      'InvalidInput',
      `Cannot delete data files ${both.filePath} that are referenced by new delete files`,
    )
  }
  await validate(io, table, branch, request)
  return stageSnapshot(io, table, {
    operation: operationOf(request),
    branch,
    add: [...add, ...deletes],
    remove: pathsOf(remove),
    summary,
  })
}

function operationOf({ add = [], deletes = [], remove = [] }: RowDeltaRequest): SnapshotOperation {
  if (deletes.length > 0) return add.length === 0 ? 'delete' : 'overwrite'
  return remove.length === 0 ? 'append' : 'overwrite'
}

async function validate(
  io: TransactionIo,
  { metadata }: LoadedTable,
  branch: string,
  request: RowDeltaRequest,
): Promise<void> {
  const { validation, remove = [], referencedFiles = new Set() } = request
  if (validation === undefined) return
  const { startingSnapshotId, isolation, conflictFilter = [] } = validation
  const headId = branchHeadId(metadata, branch)
  if (startingSnapshotId !== null && !isAncestor(metadata, headId, startingSnapshotId)) {
    throw new PotokError(
      'CommitConflict',
      `Snapshot ${startingSnapshotId} is not an ancestor of ${headId}`,
    )
  }
  const removedData = remove.filter(({ content }) => content === 'data')
  const rewritesRows =
    validation.rewritesRows ?? (request.add?.length ?? 0) + removedData.length > 0
  const scope = { manifests: io.manifests, metadata, branch, startingSnapshotId }
  await checkDataFilesExist(scope, referencedFiles, { allowDeleted: !rewritesRows })
  if (isolation === 'serializable') await checkNoAddedData(scope, conflictFilter)
  if (!rewritesRows) return
  await checkNoNewDeletesFor(scope, removedData, { filter: conflictFilter })
  await checkNoAddedDeletes(scope, conflictFilter)
}
