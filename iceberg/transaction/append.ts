/**
 * Adds data files to a branch. The plainest operation: it reads the parent's manifest list at most, and nothing
 * that others do meanwhile can make it wrong, so it validates no history and may be staged again on any head.
 */
import assert from 'node:assert/strict'
import type { LoadedTable } from '../catalog.ts'
import type { DataFile } from '../spec/data-file.ts'
import { type StagedCommit, stageSnapshot, type TransactionIo } from './stage-snapshot.ts'

export type AppendRequest = {
  readonly files: readonly DataFile[]
  /** `main` where it isn't given; one that isn't there yet is made, from main's head. */
  readonly branch?: string
  /**
   * `never`: a fast append, one new manifest and nothing rewritten. `when-many`: small manifests are merged as
   * the table's `commit.manifest…` properties say.
   */
  readonly mergeManifests?: 'never' | 'when-many'
  readonly summary?: Readonly<Record<string, string>>
}

export async function stageAppend(
  io: TransactionIo,
  table: LoadedTable,
  request: AppendRequest,
): Promise<StagedCommit> {
  const { files, ...rest } = request
  assert(
    files.every(({ content }) => content === 'data'),
    'deletes are added by a row delta',
  )
  return stageSnapshot(io, table, {
    operation: 'append',
    add: files,
    remove: new Set(),
    ...rest,
  })
}
