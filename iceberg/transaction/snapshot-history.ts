/** The line of snapshots behind a branch, and what a commit to the branch requires. Pure. */
import { PotokError } from '../../kernel/errors.ts'
import { mainBranch, mainSnapshotId } from '../spec/schema.ts'
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import type { TableRequirement } from '../spec/table-updates.ts'

/** What a commit to the branch goes on from; null where nothing is there yet. A tag isn't committed to. */
export function branchHeadId(metadata: TableMetadata, branch: string): bigint | null {
  const ref = metadata.refs[branch]
  if (ref?.type === 'tag') {
    throw new PotokError(
      'InvalidInput',
      `${branch} is a tag, not a branch. Tags cannot be targets for producing snapshots`,
    )
  }
  return ref?.snapshotId ?? mainSnapshotId(metadata)
}

/** The table is the same one, and the branch stands where it stood (or still isn't there). */
export function requirementsOfBranch(metadata: TableMetadata, branch: string): TableRequirement[] {
  const snapshotId =
    branch === mainBranch ? mainSnapshotId(metadata) : (metadata.refs[branch]?.snapshotId ?? null)
  return [
    { type: 'assert-table-uuid', uuid: metadata.tableUuid },
    { type: 'assert-ref-snapshot-id', ref: branch, snapshotId },
  ]
}

/** The snapshot itself first. Ends where history was expired, and after as many steps as there are snapshots. */
export function* ancestorsOf(
  byId: ReadonlyMap<bigint, Snapshot>,
  snapshotId: bigint,
): Generator<Snapshot> {
  let current = byId.get(snapshotId)
  for (let steps = 0; current !== undefined && steps < byId.size; steps++) {
    yield current
    current =
      current.parentSnapshotId === undefined ? undefined : byId.get(current.parentSnapshotId)
  }
}
