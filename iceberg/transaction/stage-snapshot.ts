/**
 * Stages a new snapshot of a branch: writes its manifests and manifest list and says what to commit. Nothing of
 * the table changes before the catalog takes the commit, which requires the snapshot that this one was built
 * on; so what is decided here holds or the commit is refused. A branch that isn't there yet begins at main's
 * head.
 *
 * An append reads the parent's manifest list only, keeps its manifests and adds one. A change that removes files
 * reads all manifests and rewrites those that hold them. Every change makes a snapshot, also one that adds
 * nothing: a position that moved without one would leave an older assertion valid.
 * Formats v1 and v2; in v1 there are no delete files and all sequence numbers are 0. Files of a stage that failed or lost are nobody's: `written` may be deleted only after a
 * definite loss, and what a failed stage left behind is for orphan removal.
 */
import assert from 'node:assert/strict'
import { PotokError } from '../../kernel/errors.ts'
import type { IdSource } from '../../kernel/ports.ts'
import type { LoadedTable, TableCommit } from '../catalog.ts'
import { encodeManifestList, unknownCount } from '../codec/manifest-list.ts'
import type { DataFile, ManifestEntry, ManifestFile } from '../spec/data-file.ts'
import { mainBranch, snapshotById } from '../spec/schema.ts'
import type {
  Snapshot,
  SnapshotOperation,
  SnapshotRef,
  TableMetadata,
} from '../spec/table-metadata.ts'
import type { TableRequirement, TableUpdate } from '../spec/table-updates.ts'
import { planSnapshotExpiry, snapshotUpkeepProperty } from './plan-snapshot-expiry.ts'
import {
  mergeManifests,
  mergeSettingsOf,
  planMerges,
  type RewrittenManifests,
  removeFiles,
} from './rewrite-manifests.ts'
import { snapshotSummary } from './snapshot-summary.ts'
import { branchHeadId, requirementsOfBranch } from './snapshot-history.ts'
import type { Staging, TransactionIo } from './staging.ts'
import { countEntries, writeManifest } from './write-manifest.ts'

export type { TransactionIo } from './staging.ts'

export type SnapshotChange = {
  readonly operation: SnapshotOperation
  /** `main` where it isn't given. */
  readonly branch?: string
  readonly add: readonly DataFile[]
  /**
   * Data sequence number of the data files added: they take the place of files as old as that, so deletes
   * that came since still apply. Else they are as new as the snapshot.
   */
  readonly dataSequenceNumber?: number
  /** `never`: a fast append, which leaves the parent's manifests as they are. */
  readonly mergeManifests?: 'never' | 'when-many'
  /** Paths of live files (data or deletes) that go. */
  readonly remove: ReadonlySet<string>
  readonly summary?: Readonly<Record<string, string>>
  readonly setProperties?: Readonly<Record<string, string>>
  readonly removeProperties?: readonly string[]
  /** Beside the table's uuid and the branch's snapshot. */
  readonly requirements?: readonly TableRequirement[]
}

export type StagedCommit = {
  readonly commit: TableCommit
  readonly snapshotId: bigint
  /** Manifests and list: deletable only after a definite loss. */
  readonly written: readonly string[]
}

const formatVersionMax = 2

/** Entries in one new manifest: about 3 MiB on disk with ten columns; also bounds what is encoded at once. */
const entriesPerManifestMax = 10_000

export async function stageSnapshot(
  io: TransactionIo,
  table: LoadedTable,
  change: SnapshotChange,
): Promise<StagedCommit> {
  const { metadata } = table
  assertSound(metadata, change)
  const branch = change.branch ?? mainBranch
  const parentId = branchHeadId(metadata, branch)
  const parent = parentId === null ? null : snapshotById(metadata, parentId)
  const staging = begin(io, metadata)

  const before = parent === null ? [] : await liveManifests(io, parent)
  const kept: RewrittenManifests =
    change.remove.size === 0
      ? { manifests: before, removed: [], entriesProcessed: 0, manifestsReplaced: 0 }
      : await removeFiles(staging, before, change.remove)
  const merged = change.mergeManifests === 'never' ? kept : await mergeSmall(staging, kept)
  const added = await writeAdded(staging, change)
  const manifests = [...added, ...merged.manifests]

  const summary = snapshotSummary({
    operation: change.operation,
    given: change.summary ?? {},
    added: change.add,
    removed: kept.removed,
    manifests: {
      created: staging.written.length,
      kept: manifests.length - staging.written.length,
      replaced: merged.manifestsReplaced,
      entriesProcessed: merged.entriesProcessed,
    },
    parent,
  })
  const list = await encodeManifestList({
    formatVersion: metadata.formatVersion,
    snapshotId: staging.snapshotId,
    parentSnapshotId: parentId,
    sequenceNumber: staging.sequenceNumber,
    manifests,
  })
  const manifestList = `${metadataFolder(metadata)}/snap-${staging.snapshotId}-1-${io.ids.uuid()}.avro`
  staging.written.push(manifestList)
  await io.store.write(manifestList, list)
  io.manifests.keepManifestList(manifestList, manifests)

  const nowMs = io.clock.nowMs()
  const snapshot: Snapshot = {
    snapshotId: staging.snapshotId,
    ...(parentId === null ? {} : { parentSnapshotId: parentId }),
    sequenceNumber: staging.sequenceNumber,
    // Never before what the table has seen: clocks of several machines differ, history must not.
    timestampMs: Math.max(nowMs, metadata.lastUpdatedMs),
    manifestList,
    summary,
    schemaId: metadata.currentSchemaId,
  }
  return {
    commit: {
      identifier: table.identifier,
      requirements: [...requirementsOfBranch(metadata, branch), ...(change.requirements ?? [])],
      updates: updatesOf(metadata, branch, change, snapshot, nowMs),
    },
    snapshotId: staging.snapshotId,
    written: staging.written,
  }
}

function assertSound(metadata: TableMetadata, change: SnapshotChange): void {
  if (metadata.formatVersion > formatVersionMax) {
    throw new PotokError(
      'Unsupported',
      `tables of format version ${metadata.formatVersion} are not written, only 1 and 2`,
      { context: { location: metadata.location } },
    )
  }
  if (metadata.formatVersion === 1 && change.add.some(({ content }) => content !== 'data')) {
    throw new PotokError('Unsupported', 'tables of format version 1 have no delete files', {
      context: { location: metadata.location },
    })
  }
  assert(
    change.operation !== 'append' || change.remove.size === 0,
    'an append removes nothing: name the operation overwrite, replace or delete',
  )
  const paths = new Set<string>()
  for (const file of change.add) {
    assert(!paths.has(file.filePath), `added twice in one snapshot: ${file.filePath}`)
    paths.add(file.filePath)
    assert(!change.remove.has(file.filePath), `added and removed at once: ${file.filePath}`)
  }
}

function begin(io: TransactionIo, metadata: TableMetadata): Staging {
  const commitId = io.ids.uuid()
  let manifestCount = 0
  return {
    io,
    metadata,
    snapshotId: freshSnapshotId(io.ids, metadata),
    sequenceNumber: metadata.formatVersion === 1 ? 0 : metadata.lastSequenceNumber + 1,
    nextManifestLocation: () => `${metadataFolder(metadata)}/${commitId}-m${manifestCount++}.avro`,
    written: [],
  }
}

function freshSnapshotId(ids: IdSource, metadata: TableMetadata): bigint {
  const taken = new Set(metadata.snapshots.map((snapshot) => snapshot.snapshotId))
  for (let attempt = 0; attempt < 100; attempt++) {
    const id = ids.snapshotId()
    if (!taken.has(id)) return id
  }
  throw new Error('the source of snapshot ids repeats itself')
}

/** The parent's manifests, without those in which nothing lives any more: they told of the parent's deletions. */
async function liveManifests(io: TransactionIo, parent: Snapshot): Promise<ManifestFile[]> {
  if (parent.manifestList === '') {
    throw new PotokError(
      'Unsupported',
      `snapshot ${parent.snapshotId} has no manifest list, as the oldest tables of format version 1: not written`,
    )
  }
  const manifests = await io.manifests.manifestList(parent.manifestList)
  const live: ManifestFile[] = []
  for (const manifest of manifests) {
    const counted = await withCounts(io, manifest)
    if (counted.addedFilesCount > 0 || counted.existingFilesCount > 0) live.push(counted)
  }
  return live
}

/** A list of format v1 may leave the counts out, v2 may not. */
async function withCounts(io: TransactionIo, manifest: ManifestFile): Promise<ManifestFile> {
  const isCounted =
    manifest.addedFilesCount !== unknownCount &&
    manifest.existingFilesCount !== unknownCount &&
    manifest.deletedFilesCount !== unknownCount &&
    manifest.addedRowsCount !== unknownCount &&
    manifest.existingRowsCount !== unknownCount &&
    manifest.deletedRowsCount !== unknownCount
  if (isCounted) return manifest
  const entries = await io.manifests.manifest(manifest)
  return { ...manifest, ...countEntries(entries, manifest.sequenceNumber) }
}

async function mergeSmall(
  staging: Staging,
  kept: RewrittenManifests,
): Promise<Omit<RewrittenManifests, 'removed'>> {
  // Not those that this snapshot has just rewritten: they hold what it deletes, and were written once already.
  const older = kept.manifests.filter((manifest) => manifest.addedSnapshotId !== staging.snapshotId)
  const merges = planMerges(older, mergeSettingsOf(staging.metadata.properties))
  if (merges.length === 0) return kept
  const gone = new Set<ManifestFile>()
  const manifests: ManifestFile[] = []
  let { entriesProcessed, manifestsReplaced } = kept
  for (const bin of merges) {
    const merged = await mergeManifests(staging, bin)
    manifests.push(merged.manifest)
    entriesProcessed += merged.entriesProcessed
    manifestsReplaced += bin.length
    for (const manifest of bin) gone.add(manifest)
  }
  manifests.push(...kept.manifests.filter((manifest) => !gone.has(manifest)))
  return { manifests, entriesProcessed, manifestsReplaced }
}

async function writeAdded(staging: Staging, change: SnapshotChange): Promise<ManifestFile[]> {
  const groups = Map.groupBy(change.add, (file) => `${file.content === 'data'} ${file.specId}`)
  const manifests: ManifestFile[] = []
  for (const files of groups.values()) {
    for (let start = 0; start < files.length; start += entriesPerManifestMax) {
      const part = files.slice(start, start + entriesPerManifestMax)
      const first = part[0] as DataFile
      const entries = part.map(
        (dataFile): ManifestEntry => ({
          status: 'added',
          snapshotId: staging.snapshotId,
          sequenceNumber: dataFile.content === 'data' ? (change.dataSequenceNumber ?? null) : null,
          fileSequenceNumber: null,
          dataFile,
        }),
      )
      const content = first.content === 'data' ? 'data' : 'deletes'
      manifests.push(await writeManifest(staging, first.specId, content, entries))
    }
  }
  return manifests
}

function updatesOf(
  metadata: TableMetadata,
  branch: string,
  change: SnapshotChange,
  snapshot: Snapshot,
  nowMs: number,
): TableUpdate[] {
  const updates: TableUpdate[] = [
    { action: 'add-snapshot', snapshot },
    {
      action: 'set-snapshot-ref',
      refName: branch,
      ...retentionOf(metadata.refs[branch]),
      type: 'branch',
      snapshotId: snapshot.snapshotId,
    },
  ]
  if (Object.keys(change.setProperties ?? {}).length > 0) {
    updates.push({ action: 'set-properties', updates: change.setProperties ?? {} })
  }
  if ((change.removeProperties ?? []).length > 0) {
    updates.push({ action: 'remove-properties', removals: change.removeProperties ?? [] })
  }
  if (metadata.properties[snapshotUpkeepProperty] === 'true') {
    // By the state before this commit: the parent, the branch's head then, stays one commit longer.
    updates.push(...planSnapshotExpiry(metadata, { nowMs, keepRefs: [branch] }).updates)
  }
  return updates
}

/** A branch keeps its own retention when its head moves. */
function retentionOf(ref: SnapshotRef | undefined): Partial<SnapshotRef> {
  if (ref === undefined) return {}
  const { snapshotId: _moved, ...retention } = ref
  return retention
}

function metadataFolder(metadata: TableMetadata): string {
  const folder = metadata.properties['write.metadata.path'] ?? `${metadata.location}/metadata`
  return folder.replace(/\/+$/, '')
}
