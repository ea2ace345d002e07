/**
 * Branches, tags, and which snapshot a branch is at: changes of metadata alone. Pure. Each requires that the ref
 * still stands where it was seen (the wording of refusals is Java's ManageSnapshots).
 */
import { PotokError } from '../../kernel/errors.ts'
import { mainBranch } from '../spec/schema.ts'
import type { SnapshotRef, TableMetadata } from '../spec/table-metadata.ts'
import type { TableUpdate } from '../spec/table-updates.ts'
import type { MetadataChange } from './metadata-change.ts'
import { isAncestor, lineageOf, requirementsOfBranch } from './snapshot-history.ts'

export type RefRetention = Partial<
  Pick<SnapshotRef, 'minSnapshotsToKeep' | 'maxSnapshotAgeMs' | 'maxRefAgeMs'>
>

export function createRef(metadata: TableMetadata, name: string, ref: SnapshotRef): MetadataChange {
  if (metadata.refs[name] !== undefined) throw invalid(`Ref ${name} already exists`)
  return setRef(metadata, name, ref)
}

/** Branch or tag to another snapshot, whatever it was before. Its retention stays. */
export function replaceRef(
  metadata: TableMetadata,
  type: SnapshotRef['type'],
  name: string,
  snapshotId: bigint,
): MetadataChange {
  return setRef(metadata, name, { ...existing(metadata, type, name), snapshotId })
}

/** The branch to where another ref is, which must be ahead of it. A branch that isn't there is made. */
export function fastForward(metadata: TableMetadata, branch: string, to: string): MetadataChange {
  const target = metadata.refs[to]
  if (target === undefined) throw invalid(`Ref does not exist: ${to}`)
  const { snapshotId } = target
  if (metadata.refs[branch] === undefined) {
    return setRef(metadata, branch, { type: 'branch', snapshotId })
  }
  const ref = existing(metadata, 'branch', branch)
  if (!isAncestor(metadata, snapshotId, ref.snapshotId)) {
    throw invalid(`Cannot fast-forward: ${branch} is not an ancestor of ${to}`)
  }
  return setRef(metadata, branch, { ...ref, snapshotId })
}

export function removeRef(
  metadata: TableMetadata,
  type: SnapshotRef['type'],
  name: string,
): MetadataChange {
  if (name === mainBranch) throw invalid('Cannot remove main branch')
  existing(metadata, type, name)
  return {
    requirements: requirementsOfBranch(metadata, name),
    updates: [{ action: 'remove-snapshot-ref', refName: name }],
  }
}

export function renameBranch(metadata: TableMetadata, name: string, to: string): MetadataChange {
  if (name === mainBranch) throw invalid('Cannot rename main branch')
  const ref = existing(metadata, 'branch', name)
  const made = createRef(metadata, to, ref)
  const removed = removeRef(metadata, 'branch', name)
  return {
    requirements: [...removed.requirements, ...made.requirements.slice(1)],
    updates: [...made.updates, ...removed.updates],
  }
}

/** What is given is set; the rest stays. */
export function setRetention(
  metadata: TableMetadata,
  name: string,
  retention: RefRetention,
): MetadataChange {
  const ref = metadata.refs[name]
  if (ref === undefined) throw invalid(`Ref does not exist: ${name}`)
  const isOfBranch =
    retention.minSnapshotsToKeep !== undefined || retention.maxSnapshotAgeMs !== undefined
  if (ref.type === 'tag' && isOfBranch) {
    throw invalid('Tags do not support setting minSnapshotsToKeep and maxSnapshotAgeMs')
  }
  if (Object.values(retention).some((value) => !Number.isSafeInteger(value) || value < 1)) {
    throw invalid('What is kept of a ref must be greater than 0')
  }
  return setRef(metadata, name, { ...ref, ...retention })
}

/** Back to a snapshot that the branch has passed. Newer ones stay until they expire. */
export function rollbackTo(
  metadata: TableMetadata,
  snapshotId: bigint,
  branch = mainBranch,
): MetadataChange {
  const ref = existing(metadata, 'branch', branch)
  if (!metadata.snapshots.some((snapshot) => snapshot.snapshotId === snapshotId)) {
    throw invalid(`Cannot roll back to unknown snapshot id: ${snapshotId}`)
  }
  if (!isAncestor(metadata, ref.snapshotId, snapshotId)) {
    throw invalid(
      `Cannot roll back to snapshot, not an ancestor of the current state: ${snapshotId}`,
    )
  }
  return setRef(metadata, branch, { ...ref, snapshotId })
}

/** Back to the newest snapshot that is older than the time. */
export function rollbackToTime(
  metadata: TableMetadata,
  timeMs: number,
  branch = mainBranch,
): MetadataChange {
  const ref = existing(metadata, 'branch', branch)
  const found = lineageOf(metadata, ref.snapshotId)
    .filter(({ timestampMs }) => timestampMs < timeMs)
    .reduce<{ snapshotId: bigint; timestampMs: number } | null>(
      (best, each) => (best === null || each.timestampMs > best.timestampMs ? each : best),
      null,
    )
  if (found === null) throw invalid(`Cannot roll back, no valid snapshot older than: ${timeMs}`)
  return setRef(metadata, branch, { ...ref, snapshotId: found.snapshotId })
}

/** To any snapshot of the table, ancestor or not. */
export function setCurrentSnapshot(
  metadata: TableMetadata,
  snapshotId: bigint,
  branch = mainBranch,
): MetadataChange {
  if (metadata.refs[branch] === undefined) {
    return setRef(metadata, branch, { type: 'branch', snapshotId })
  }
  return replaceRef(metadata, 'branch', branch, snapshotId)
}

function existing(metadata: TableMetadata, type: SnapshotRef['type'], name: string): SnapshotRef {
  const ref = metadata.refs[name]
  if (ref === undefined) {
    throw invalid(`${type === 'branch' ? 'Branch' : 'Tag'} does not exist: ${name}`)
  }
  if (ref.type !== type) throw invalid(`Ref ${name} is a ${ref.type} not a ${type}`)
  return ref
}

/** No updates where the ref is so already. */
function setRef(metadata: TableMetadata, name: string, ref: SnapshotRef): MetadataChange {
  if (!metadata.snapshots.some(({ snapshotId }) => snapshotId === ref.snapshotId)) {
    throw invalid(`Cannot set ${name} to unknown snapshot: ${ref.snapshotId}`)
  }
  const before = metadata.refs[name]
  const keys: (keyof SnapshotRef)[] = [
    'snapshotId',
    'type',
    'minSnapshotsToKeep',
    'maxSnapshotAgeMs',
    'maxRefAgeMs',
  ]
  const isSame = before !== undefined && keys.every((key) => before[key] === ref[key])
  const update: TableUpdate = { action: 'set-snapshot-ref', refName: name, ...ref }
  return {
    requirements: requirementsOfBranch(metadata, name),
    updates: isSame ? [] : [update],
  }
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
