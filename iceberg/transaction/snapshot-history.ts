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

export function lineageOf(metadata: TableMetadata, headId: bigint | null): Snapshot[] {
  if (headId === null) return []
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]))
  return [...ancestorsOf(byId, headId)]
}

export function isAncestor(metadata: TableMetadata, headId: bigint | null, id: bigint): boolean {
  return lineageOf(metadata, headId).some(({ snapshotId }) => snapshotId === id)
}

/**
 * Snapshots of the branch after `startingId` (null: all there ever were), newest first. CommitConflict where they
 * can't all be seen: what isn't seen can't be validated.
 */
export function snapshotsSince(
  metadata: TableMetadata,
  headId: bigint | null,
  startingId: bigint | null,
): Snapshot[] {
  const since: Snapshot[] = []
  for (const snapshot of lineageOf(metadata, headId)) {
    if (snapshot.snapshotId === startingId) return since
    since.push(snapshot)
  }
  const last = since.at(-1)
  if (last === undefined || (last.parentSnapshotId ?? null) === startingId) return since
  throw new PotokError(
    'CommitConflict',
    `Cannot determine history between starting snapshot ${startingId} and the last known ancestor ${last.snapshotId}`,
  )
}
