/**
 * Replaces data files of a branch in one snapshot: those named, or all of whose rows match a filter, by new ones.
 * It is how rows are rewritten (copy on write), so what others did to the same rows meanwhile is a conflict:
 * `validation` says since when, and how much (as Java's OverwriteFiles).
 *
 * By a filter: deletes and deleted files of the filter's rows conflict; `serializable`: added files too.
 * By files: new deletes for them conflict; `serializable`: added files that match `conflictFilter`, or any.
 * Without validation nothing is checked but that the files are still live.
 */
import assert from 'node:assert/strict'
import { PotokError } from '../../kernel/errors.ts'
import type { LoadedTable } from '../catalog.ts'
import type { ScanFilter } from '../scan/scan-filter.ts'
import type { DataFile } from '../spec/data-file.ts'
import { mainBranch } from '../spec/schema.ts'
import {
  checkNoAddedData,
  checkNoAddedDeletes,
  checkNoDeletedData,
  checkNoNewDeletesFor,
  type Validation,
} from './conflict-checks.ts'
import { pathsOf, wholeFiles } from './delete-files.ts'
import { fileMatcher } from './file-matcher.ts'
import { type StagedCommit, stageSnapshot, type TransactionIo } from './stage-snapshot.ts'

export type OverwriteRequest = {
  readonly branch?: string
  readonly add: readonly DataFile[]
  /** All files whose rows match go. A file of which only some rows match is InvalidInput. */
  readonly replaceRows?: ScanFilter
  readonly replaceFiles?: readonly DataFile[]
  /** The files added must hold rows of `replaceRows` only, by the proof of their bounds. */
  readonly addMatchesFilter?: boolean
  readonly validation?: Validation
  readonly summary?: Readonly<Record<string, string>>
}

export async function stageOverwrite(
  io: TransactionIo,
  table: LoadedTable,
  request: OverwriteRequest,
): Promise<StagedCommit> {
  const { branch = mainBranch, add, replaceRows, replaceFiles = [], summary = {} } = request
  const { metadata } = table
  assert(
    replaceRows !== undefined || replaceFiles.length > 0,
    'an overwrite replaces something: by a filter or by files',
  )
  if (request.addMatchesFilter && replaceRows !== undefined) {
    const { mustMatch } = fileMatcher(metadata, replaceRows)
    const stranger = add.find((file) => !mustMatch(file))
    if (stranger !== undefined) {
      throw new PotokError(
        'InvalidInput',
        `Cannot append file with rows that do not match filter: ${stranger.filePath}`,
      )
    }
  }
  await validate(io, table, branch, request)
  const whole = replaceRows === undefined ? [] : await wholeFiles(io, metadata, branch, replaceRows)
  return stageSnapshot(io, table, {
    operation: add.length === 0 ? 'delete' : 'overwrite',
    branch,
    add,
    remove: new Set([...pathsOf(whole), ...pathsOf(replaceFiles)]),
    summary,
  })
}

async function validate(
  io: TransactionIo,
  { metadata }: LoadedTable,
  branch: string,
  request: OverwriteRequest,
): Promise<void> {
  const { validation, replaceRows, replaceFiles = [] } = request
  if (validation === undefined) return
  const { startingSnapshotId, isolation, conflictFilter } = validation
  const scope = { manifests: io.manifests, metadata, branch, startingSnapshotId }
  if (isolation === 'serializable') {
    const own = replaceFiles.length === 0 ? replaceRows : undefined
    await checkNoAddedData(scope, conflictFilter ?? own ?? [])
  }
  if (replaceRows !== undefined) {
    await checkNoAddedDeletes(scope, conflictFilter ?? replaceRows)
    await checkNoDeletedData(scope, conflictFilter ?? replaceRows)
  }
  if (replaceFiles.length > 0) {
    const filter = conflictFilter === undefined ? {} : { filter: conflictFilter }
    await checkNoNewDeletesFor(scope, replaceFiles, filter)
  }
}
