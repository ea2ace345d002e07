/**
 * Puts an append that was made on an older snapshot on top of the branch's present head: pure planning, the
 * files are `staged-lists.ts`'s. It is what the client would do after a 409, done here, where nobody can come
 * in between.
 *
 * Only what adds is rebased: operation `append`, no manifest that deletes, no delete file, and as many live
 * files kept as replaced. Manifests that the client merged stay merged where all they replace is still there;
 * where it isn't and they hold nothing new they are left out, and what they would have replaced stays.
 *
 * Invariants: every file of the head and every added one is in the result exactly once; the sequence number is
 * above all the table has seen, and added files inherit it; the client's parent is an ancestor of the head, for
 * after a rollback the client must be told; nothing is ever rebased past an `assert-ref-snapshot-id`.
 */
import type { TableCommit } from '../iceberg/catalog.ts'
import { unknownCount } from '../iceberg/codec/manifest-list.ts'
import { rebasedOffsets } from '../iceberg/sink/positions.ts'
import type { ManifestFile } from '../iceberg/spec/data-file.ts'
import type { Snapshot, TableMetadata } from '../iceberg/spec/table-metadata.ts'
import { summaryOffsetsKey } from '../kernel/tables.ts'

/** An append that the table as it is can't take as it is. */
export type StaleAppend = {
  readonly snapshot: Snapshot
  /** What the client built on; null: an empty branch. */
  readonly parent: Snapshot | null
  readonly head: Snapshot
}

export type RebasedAppend = {
  /** All but the location of its manifest list, which is still the client's. */
  readonly snapshot: Snapshot
  readonly manifests: readonly ManifestFile[]
}

/** Lists of the snapshots that are named so. */
export type AppendLists = {
  readonly own: readonly ManifestFile[]
  readonly parent: readonly ManifestFile[]
  readonly head: readonly ManifestFile[]
}

/** The append of this commit, if it may be rebased and has to be; null leaves the commit to the usual rules. */
export function staleAppendOf(metadata: TableMetadata, commit: TableCommit): StaleAppend | null {
  const snapshot = unassertedAppendOf(commit)
  if (snapshot === null || metadata.formatVersion > 2) return null
  const refName = refOf(commit, snapshot)?.refName ?? ''
  const ref = metadata.refs[refName]
  if (ref?.type !== 'branch') return null
  const isBehind =
    metadata.formatVersion > 1 && snapshot.sequenceNumber <= metadata.lastSequenceNumber
  if (snapshot.parentSnapshotId === ref.snapshotId && !isBehind) return null
  if (metadata.snapshots.some(({ snapshotId }) => snapshotId === snapshot.snapshotId)) return null
  const found = headAndAncestor(metadata, ref.snapshotId, snapshot.parentSnapshotId)
  return found === null ? null : { snapshot, ...found }
}

/**
 * Backwards through the snapshots, in which parents stand before their children: of thousands it looks at the
 * few since the client's. `parentId` undefined: any history will do.
 */
function headAndAncestor(
  { snapshots }: TableMetadata,
  headId: bigint,
  parentId: bigint | undefined,
): { head: Snapshot; parent: Snapshot | null } | null {
  let head: Snapshot | null = null
  let wanted: bigint | undefined = headId
  for (let i = snapshots.length - 1; i >= 0 && wanted !== undefined; i--) {
    const one = snapshots[i] as Snapshot
    if (one.snapshotId !== wanted) continue
    head ??= one
    if (parentId === undefined) return { head, parent: null }
    if (one.snapshotId === parentId) return { head, parent: one }
    wanted = one.parentSnapshotId
  }
  return null
}

/** The one snapshot that a commit appends to a branch without asserting the branch's snapshot. */
export function unassertedAppendOf(commit: TableCommit): Snapshot | null {
  const added = commit.updates.filter((update) => update.action === 'add-snapshot')
  const [first] = added
  if (first === undefined || added.length > 1) return null
  const { snapshot } = first
  if (snapshot.summary.operation !== 'append' || snapshot.manifestList === '') return null
  const ref = refOf(commit, snapshot)
  if (ref?.type !== 'branch') return null
  const isAsserted = commit.requirements.some(
    (one) => one.type === 'assert-ref-snapshot-id' && one.ref === ref.refName,
  )
  // Who removes the branch first replaces the table: what others added meanwhile is to go, too.
  const isReplacement = commit.updates.some(
    (update) => update.action === 'remove-snapshot-ref' && update.refName === ref.refName,
  )
  return isAsserted || isReplacement ? null : snapshot
}

/** Where more than one ref is set to the snapshot, it is no plain append. */
function refOf(commit: TableCommit, snapshot: Snapshot) {
  const refs = commit.updates.filter(
    (update) => update.action === 'set-snapshot-ref' && update.snapshotId === snapshot.snapshotId,
  )
  const [ref] = refs
  return refs.length === 1 && ref?.action === 'set-snapshot-ref' ? ref : undefined
}

/** null: it doesn't only add, or what it builds on has gone. */
export function planRebase(
  metadata: TableMetadata,
  commit: TableCommit,
  stale: StaleAppend,
  lists: AppendLists,
): RebasedAppend | null {
  const { snapshot, parent, head } = stale
  const isV1 = metadata.formatVersion === 1
  if (!isV1 && parent !== null && snapshot.sequenceNumber <= parent.sequenceNumber) return null
  const before = pathsOf(lists.parent)
  const own = pathsOf(lists.own)
  const present = pathsOf(lists.head)
  const made = lists.own.filter(({ manifestPath }) => !before.has(manifestPath))
  const replaced = lists.parent.filter(({ manifestPath }) => !own.has(manifestPath))
  if (own.size !== lists.own.length) return null
  const specs = new Set(metadata.partitionSpecs.map(({ specId }) => specId))
  const onlyAdds = made.every(
    (manifest) =>
      isAddition(manifest, snapshot, isV1) &&
      specs.has(manifest.partitionSpecId) &&
      !present.has(manifest.manifestPath),
  )
  if (!onlyAdds || !keepsAsMuchAsItReplaces(made, replaced)) return null
  if (!lists.head.every(isCounted)) return null

  let kept = made
  let gone = replaced
  if (!replaced.every((one) => present.has(one.manifestPath) || liveFiles(one) === 0)) {
    // Somebody else has merged, rewritten or removed what the client merged.
    if (made.some((one) => one.addedFilesCount > 0 && one.existingFilesCount > 0)) return null
    kept = made.filter((one) => one.addedFilesCount > 0)
    gone = replaced.filter((one) => liveFiles(one) === 0)
  }
  const sequenceNumber = isV1 ? snapshot.sequenceNumber : metadata.lastSequenceNumber + 1
  const dropped = pathsOf(gone)
  const manifests = [
    ...kept.map((manifest) => (isV1 ? manifest : renumbered(manifest, sequenceNumber))),
    ...lists.head.filter(({ manifestPath }) => !dropped.has(manifestPath)),
  ]
  const summary = rebasedSummary(stale, made, {
    created: kept.length,
    kept: manifests.length - kept.length,
    replaced: kept === made ? replaced.length : 0,
    areMergesLeftOut: kept !== made,
  })
  return {
    manifests,
    snapshot: {
      ...snapshot,
      parentSnapshotId: head.snapshotId,
      sequenceNumber,
      timestampMs: Math.max(snapshot.timestampMs, head.timestampMs),
      summary: withOffsets(summary, metadata, commit),
    },
  }
}

function isAddition(manifest: ManifestFile, snapshot: Snapshot, isV1: boolean): boolean {
  return (
    isCounted(manifest) &&
    manifest.deletedFilesCount === 0 &&
    manifest.deletedRowsCount === 0 &&
    (manifest.content === 'data' || manifest.addedFilesCount === 0) &&
    manifest.addedSnapshotId === snapshot.snapshotId &&
    // What was numbered before keeps its number, and would be older than files it has to come after.
    (isV1 || manifest.sequenceNumber === snapshot.sequenceNumber)
  )
}

/** Files and rows, of data and of deletes: else the append loses or doubles something. */
function keepsAsMuchAsItReplaces(
  made: readonly ManifestFile[],
  replaced: readonly ManifestFile[],
): boolean {
  if (!replaced.every(isCounted)) return false
  return (['data', 'deletes'] as const).every((content) => {
    const sum = (manifests: readonly ManifestFile[], count: (one: ManifestFile) => number) =>
      manifests.filter((one) => one.content === content).reduce((n, one) => n + count(one), 0)
    return (
      sum(made, (one) => one.existingFilesCount) === sum(replaced, liveFiles) &&
      sum(made, (one) => one.existingRowsCount) ===
        sum(replaced, (one) => one.addedRowsCount + one.existingRowsCount)
    )
  })
}

function isCounted(manifest: ManifestFile): boolean {
  return ![
    manifest.addedFilesCount,
    manifest.existingFilesCount,
    manifest.deletedFilesCount,
    manifest.addedRowsCount,
    manifest.existingRowsCount,
    manifest.deletedRowsCount,
  ].includes(unknownCount)
}

function liveFiles(manifest: ManifestFile): number {
  return manifest.addedFilesCount + manifest.existingFilesCount
}

function renumbered(manifest: ManifestFile, sequenceNumber: number): ManifestFile {
  const isAllNew = manifest.minSequenceNumber === manifest.sequenceNumber
  return {
    ...manifest,
    sequenceNumber,
    minSequenceNumber: isAllNew ? sequenceNumber : manifest.minSequenceNumber,
  }
}

function pathsOf(manifests: readonly ManifestFile[]): Set<string> {
  return new Set(manifests.map(({ manifestPath }) => manifestPath))
}

const totals = [
  ['total-records', 'added-records'],
  ['total-data-files', 'added-data-files'],
  ['total-files-size', 'added-files-size'],
  ['total-delete-files', null],
  ['total-position-deletes', null],
  ['total-equality-deletes', null],
] as const

/** The head's totals and what is added. A total that can't be told is left out: one made up is wrong for ever. */
function rebasedSummary(
  { snapshot, head }: StaleAppend,
  made: readonly ManifestFile[],
  manifests: { created: number; kept: number; replaced: number; areMergesLeftOut: boolean },
): Snapshot['summary'] {
  const summary: Record<string, string> = { ...snapshot.summary }
  const rows = made.reduce((n, one) => n + one.addedRowsCount, 0)
  const files = made.reduce((n, one) => n + one.addedFilesCount, 0)
  for (const [total, addedKey] of totals) {
    const isSizeUnknown = total === 'total-files-size' && files > 0
    const fallback = total === 'total-records' ? rows : total === 'total-data-files' ? files : 0
    const text = addedKey === null ? undefined : snapshot.summary[addedKey]
    const added = countOf(text) ?? (isSizeUnknown ? null : fallback)
    const before = countOf(head.summary[total])
    const after = added === null || before === null ? null : before + added
    if (after !== null && Number.isSafeInteger(after)) summary[total] = String(after)
    else delete summary[total]
  }
  const replace = (key: string, value: number): void => {
    if (summary[key] !== undefined) summary[key] = String(value)
  }
  replace('manifests-created', manifests.created)
  replace('manifests-kept', manifests.kept)
  replace('manifests-replaced', manifests.replaced)
  if (manifests.areMergesLeftOut) replace('entries-processed', 0)
  return { ...summary, operation: snapshot.summary.operation }
}

function countOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : null
}

/** A sink's summary names where all log partitions stand: of those it doesn't move the client knew an older stand. */
function withOffsets(
  summary: Snapshot['summary'],
  metadata: TableMetadata,
  commit: TableCommit,
): Snapshot['summary'] {
  const text = summary[summaryOffsetsKey]
  if (text === undefined) return summary
  const moves = commit.updates.flatMap((update) =>
    update.action === 'set-properties' ? Object.keys(update.updates) : [],
  )
  const offsets = rebasedOffsets(text, metadata.properties, new Set(moves))
  return { ...summary, [summaryOffsetsKey]: offsets }
}
