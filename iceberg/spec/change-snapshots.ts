/**
 * Snapshots, refs and statistics of table metadata in the making: the part of `apply-updates.ts` that knows what
 * they are to each other. Invariants: every ref names a snapshot that is there; `main` and
 * `current-snapshot-id` agree; sequence numbers never fall.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { MetadataDraft } from './metadata-draft.ts'
import { illegalArgument, staleCommit, unsupported, validationFailed } from './refusals.ts'
import { mainBranch, refByName } from './schema.ts'
import type { Snapshot, SnapshotRef } from './table-metadata.ts'

/** Row lineage and encryption: who sends them counts on what is not done here. */
const fieldsOfV3 = ['first-row-id', 'added-rows', 'key-id']

export function addSnapshot(draft: MetadataDraft, snapshot: Snapshot): void {
  const { metadata } = draft
  for (const [list, kind] of [
    [metadata.schemas, 'schema'],
    [metadata.partitionSpecs, 'partition spec'],
    [metadata.sortOrders, 'sort order'],
  ] as const) {
    if (list.length === 0) {
      throw validationFailed(`Attempting to add a snapshot before a ${kind} is added`)
    }
  }
  for (const key of fieldsOfV3) {
    if (snapshot.unknownFields?.[key] !== undefined) {
      throw unsupported(`Cannot add a snapshot with ${key}: it is of format v3`)
    }
  }
  if (draft.snapshotsById.has(snapshot.snapshotId)) {
    throw validationFailed(`Snapshot already exists for id: ${snapshot.snapshotId}`)
  }
  // One without a parent begins the table's content anew (a replacement): what others added meanwhile is not in it.
  if (
    metadata.formatVersion > 1 &&
    snapshot.sequenceNumber <= metadata.lastSequenceNumber &&
    snapshot.parentSnapshotId !== undefined
  ) {
    throw staleCommit(
      `Cannot add snapshot with sequence number ${snapshot.sequenceNumber} older than last sequence number ${metadata.lastSequenceNumber}`,
    )
  }
  metadata.lastSequenceNumber = Math.max(metadata.lastSequenceNumber, snapshot.sequenceNumber)
  metadata.snapshots = [...metadata.snapshots, snapshot]
  draft.snapshotsById.set(snapshot.snapshotId, snapshot)
  draft.addedSnapshotIds.add(snapshot.snapshotId)
}

export function setRef(draft: MetadataDraft, name: string, ref: SnapshotRef): void {
  const { metadata } = draft
  const existing = refByName(metadata, name)
  const snapshot = draft.snapshotsById.get(ref.snapshotId)
  if (snapshot === undefined) {
    throw validationFailed(`Cannot set ${name} to unknown snapshot: ${ref.snapshotId}`)
  }
  if (name === mainBranch && ref.type === 'tag') {
    throw validationFailed(`Cannot set ${mainBranch} to a tag, it must be a branch`)
  }
  checkRetention(ref)
  if (existing !== undefined && isSameRef(existing, ref)) return
  if (existing?.type === 'branch') checkContinues(draft, name, existing.snapshotId, snapshot)
  if (name === mainBranch && metadata.currentSnapshotId !== ref.snapshotId) {
    metadata.currentSnapshotId = ref.snapshotId
    metadata.snapshotLog = [
      ...metadata.snapshotLog,
      { timestampMs: draft.updatedMs, snapshotId: ref.snapshotId },
    ]
  }
  metadata.refs = { ...metadata.refs, [name]: ref }
}

/**
 * A snapshot made in this commit must go on from the branch's head: were its parent another one, what the
 * head added would be lost. To set a branch back to a snapshot that was there before is a rollback, and meant.
 */
function checkContinues(
  draft: MetadataDraft,
  branch: string,
  head: bigint,
  snapshot: Snapshot,
): void {
  let at: Snapshot | undefined = snapshot
  while (at !== undefined && draft.addedSnapshotIds.has(at.snapshotId)) {
    if (at.parentSnapshotId === head) return
    at =
      at.parentSnapshotId === undefined ? undefined : draft.snapshotsById.get(at.parentSnapshotId)
    if (at === undefined) {
      throw new PotokError(
        'CommitConflict',
        `Cannot set ${branch} to snapshot ${snapshot.snapshotId}: it does not go on from ${head}`,
      )
    }
  }
  if (draft.addedSnapshotIds.has(snapshot.snapshotId) && at?.snapshotId !== head) {
    throw new PotokError(
      'CommitConflict',
      `Cannot set ${branch} to snapshot ${snapshot.snapshotId}: its parent is not ${head}`,
    )
  }
}

export function removeRef(draft: MetadataDraft, name: string): void {
  const { metadata } = draft
  if (name === mainBranch) metadata.currentSnapshotId = null
  if (refByName(metadata, name) === undefined) return
  metadata.refs = Object.fromEntries(
    Object.entries(metadata.refs).filter(([refName]) => refName !== name),
  )
}

export function removeSnapshots(draft: MetadataDraft, ids: readonly bigint[]): void {
  const { metadata } = draft
  const gone = new Set(ids.filter((id) => draft.snapshotsById.has(id)))
  if (gone.size === 0) return
  draft.removedSnapshots = true
  metadata.snapshots = metadata.snapshots.filter((snapshot) => !gone.has(snapshot.snapshotId))
  for (const id of gone) {
    draft.snapshotsById.delete(id)
    metadata.statistics = withoutSnapshot(metadata.statistics, id)
    metadata.partitionStatistics = withoutSnapshot(metadata.partitionStatistics, id)
  }
  for (const [name, ref] of Object.entries(metadata.refs)) {
    if (gone.has(ref.snapshotId)) removeRef(draft, name)
  }
}

function isSameRef(a: SnapshotRef, b: SnapshotRef): boolean {
  return (
    a.snapshotId === b.snapshotId &&
    a.type === b.type &&
    a.minSnapshotsToKeep === b.minSnapshotsToKeep &&
    a.maxSnapshotAgeMs === b.maxSnapshotAgeMs &&
    a.maxRefAgeMs === b.maxRefAgeMs
  )
}

function checkRetention(ref: SnapshotRef): void {
  if (ref.type === 'tag') {
    for (const name of ['minSnapshotsToKeep', 'maxSnapshotAgeMs'] as const) {
      if (ref[name] !== undefined) throw illegalArgument(`Tags do not support setting ${name}`)
    }
  }
  const positive = (value: number | undefined, message: string): void => {
    if (value !== undefined && value <= 0) throw illegalArgument(message)
  }
  positive(ref.minSnapshotsToKeep, 'Min snapshots to keep must be greater than 0')
  positive(ref.maxSnapshotAgeMs, 'Max snapshot age must be greater than 0 ms')
  positive(ref.maxRefAgeMs, 'Max reference age must be greater than 0')
}

type Statistics = Readonly<Record<string, unknown>>

export function withoutSnapshot(files: readonly Statistics[], id: bigint): readonly Statistics[] {
  return files.some((file) => statisticsSnapshotId(file) === id)
    ? files.filter((file) => statisticsSnapshotId(file) !== id)
    : files
}

export function statisticsSnapshotId(file: Statistics): bigint {
  const id = file['snapshot-id']
  return typeof id === 'bigint' ? id : BigInt(id as number)
}
