/**
 * Puts files in the place of others that hold the same rows (compaction): an operation `replace`, which changes
 * nothing for readers and which other writers need not mind.
 *
 * New deletes for the replaced files, since the snapshot that was rewritten, are a conflict: they would be lost.
 * With `dataSequenceNumber`, that of the snapshot rewritten, the new data files are as old as those they replace,
 * so equality deletes that came since still apply to them and are none; position deletes name files and always
 * are. The files must still be live (CommitConflict).
 */
import assert from 'node:assert/strict'
import { PotokError } from '../../kernel/errors.ts'
import type { LoadedTable } from '../catalog.ts'
import type { DataFile } from '../spec/data-file.ts'
import { mainBranch } from '../spec/schema.ts'
import { checkNoNewDeletesFor } from './conflict-checks.ts'
import { pathsOf } from './delete-files.ts'
import { type StagedCommit, stageSnapshot, type TransactionIo } from './stage-snapshot.ts'

export type RewriteRequest = {
  readonly branch?: string
  /** Data files and files of deletes that go. */
  readonly replace: readonly DataFile[]
  readonly add: readonly DataFile[]
  /** What was read to make the new files. */
  readonly startingSnapshotId: bigint
  readonly dataSequenceNumber?: number
  readonly summary?: Readonly<Record<string, string>>
}

export async function stageRewrite(
  io: TransactionIo,
  table: LoadedTable,
  request: RewriteRequest,
): Promise<StagedCommit> {
  const { branch = mainBranch, replace, add, startingSnapshotId, dataSequenceNumber } = request
  const { metadata } = table
  checkKinds(replace, add)
  if (dataSequenceNumber !== undefined) {
    if (metadata.formatVersion === 1) {
      throw new PotokError('Unsupported', 'tables of format version 1 have no sequence numbers')
    }
    assert(
      dataSequenceNumber <= metadata.lastSequenceNumber,
      'rewritten files are not newer than the table',
    )
  }
  const scope = { manifests: io.manifests, metadata, branch, startingSnapshotId }
  await checkNoNewDeletesFor(
    scope,
    replace.filter(({ content }) => content === 'data'),
    { ignoreEqualityDeletes: dataSequenceNumber !== undefined },
  )
  return stageSnapshot(io, table, {
    operation: 'replace',
    branch,
    add,
    remove: pathsOf(replace),
    ...(dataSequenceNumber === undefined ? {} : { dataSequenceNumber }),
    summary: request.summary ?? {},
  })
}

/** Rows may come from data files only, deletes from files of deletes only: else rows would appear or vanish. */
function checkKinds(replace: readonly DataFile[], add: readonly DataFile[]): void {
  const has = (files: readonly DataFile[], isData: boolean) =>
    files.some(({ content }) => (content === 'data') === isData)
  assert(replace.length > 0, 'a rewrite replaces something')
  assert(has(replace, true) || !has(add, true), 'no data file is rewritten, so none is added')
  assert(
    has(replace, false) || !has(add, false),
    'no file of deletes is rewritten, so none is added',
  )
}
