/**
 * Puts what a snapshot of another branch (or of none: write, audit, publish) added on top of main. Where the
 * snapshot goes on from main's head, main is set to it; else, for an append, its files are added anew by a
 * snapshot that names its source. What removes files is refused by name unless main can be set to it: whether it
 * still holds on another state isn't known.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { LoadedTable } from '../catalog.ts'
import { snapshotManifests } from '../scan/snapshot-manifests.ts'
import type { DataFile } from '../spec/data-file.ts'
import { mainBranch } from '../spec/schema.ts'
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import { entriesOf } from './live-entries.ts'
import { type PlannedCommit, stagedChange } from './metadata-change.ts'
import { branchHeadId, lineageOf } from './snapshot-history.ts'
import { setCurrentSnapshot } from './snapshot-refs.ts'
import { stageSnapshot, type TransactionIo } from './stage-snapshot.ts'

const sourceKey = 'source-snapshot-id'
const wapIdKey = 'wap.id'
const publishedWapIdKey = 'published-wap-id'

/** null: main is at it already. */
export async function stageCherryPick(
  io: TransactionIo,
  table: LoadedTable,
  snapshotId: bigint,
): Promise<PlannedCommit | null> {
  const { metadata } = table
  const picked = metadata.snapshots.find((snapshot) => snapshot.snapshotId === snapshotId)
  if (picked === undefined) {
    throw invalid(`Cannot cherry-pick unknown snapshot ID: ${snapshotId}`)
  }
  const headId = branchHeadId(metadata, mainBranch)
  if ((picked.parentSnapshotId ?? null) === headId) {
    return stagedChange(table, setCurrentSnapshot(metadata, snapshotId))
  }
  if (picked.summary.operation !== 'append') {
    throw invalid(
      `Cannot cherry-pick snapshot ${snapshotId}: not append, dynamic overwrite, or fast-forward`,
    )
  }
  checkUnpublished(metadata, picked, headId)
  const wapId = picked.summary[wapIdKey]
  return stageSnapshot(io, table, {
    operation: 'append',
    add: await addedFiles(io, picked),
    remove: new Set(),
    summary: {
      [sourceKey]: String(snapshotId),
      ...(wapId === undefined ? {} : { [publishedWapIdKey]: wapId }),
    },
  })
}

function checkUnpublished(metadata: TableMetadata, picked: Snapshot, headId: bigint | null): void {
  const wapId = picked.summary[wapIdKey]
  for (const { snapshotId, summary } of lineageOf(metadata, headId)) {
    if (snapshotId === picked.snapshotId) {
      throw invalid(`Cannot cherrypick snapshot ${snapshotId}: already an ancestor`)
    }
    if (summary[sourceKey] === String(picked.snapshotId)) {
      throw invalid(
        `Cannot cherrypick snapshot ${picked.snapshotId}: already picked to create ancestor ${snapshotId}`,
      )
    }
    if (wapId !== undefined && [summary[wapIdKey], summary[publishedWapIdKey]].includes(wapId)) {
      throw invalid(`Duplicate request to cherry pick wap id that was published already: ${wapId}`)
    }
  }
}

async function addedFiles(io: TransactionIo, snapshot: Snapshot): Promise<DataFile[]> {
  const manifests = (await snapshotManifests(io.manifests, snapshot)).filter(
    ({ addedSnapshotId }) => addedSnapshotId === snapshot.snapshotId,
  )
  const files: DataFile[] = []
  for await (const { entry } of entriesOf(io.manifests, manifests)) {
    if (entry.status === 'added') files.push(entry.dataFile)
  }
  return files
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
