/**
 * What a catalog that rebases appends makes of one, written apart from `catalog/rebase-append.ts` and plainer:
 * a merge that comes with the append is always left out. For the memory catalog.
 */
import type { TableCommit } from '../iceberg/catalog.ts'
import { decodeManifestList, encodeManifestList } from '../iceberg/codec/manifest-list.ts'
import type { ManifestFile } from '../iceberg/spec/data-file.ts'
import type { Snapshot, TableMetadata } from '../iceberg/spec/table-metadata.ts'
import { PotokError } from '../kernel/errors.ts'

export type ListStore = {
  read(location: string): Promise<Uint8Array>
  write(location: string, bytes: Uint8Array): Promise<void>
}

/** The commit as it goes on top of main; itself where it does already, asserts main or appends nothing. */
export async function rebasedCommit(
  store: ListStore,
  metadata: TableMetadata,
  commit: TableCommit,
): Promise<TableCommit> {
  const snapshot = commit.updates.flatMap((update) =>
    update.action === 'add-snapshot' ? [update.snapshot] : [],
  )[0]
  const isAsserted = commit.requirements.some(({ type }) => type === 'assert-ref-snapshot-id')
  const headId = metadata.refs['main']?.snapshotId
  if (snapshot === undefined || isAsserted || headId === undefined) return commit
  if (snapshot.parentSnapshotId === headId) return commit
  const byId = new Map(metadata.snapshots.map((one) => [one.snapshotId, one]))
  const head = byId.get(headId) as Snapshot
  const history: (bigint | undefined)[] = [head.snapshotId]
  for (let one: Snapshot | undefined = head; one !== undefined; ) {
    history.push(one.parentSnapshotId)
    one = one.parentSnapshotId === undefined ? undefined : byId.get(one.parentSnapshotId)
  }
  const { parentSnapshotId } = snapshot
  const parent = parentSnapshotId === undefined ? undefined : byId.get(parentSnapshotId)
  if (!history.includes(parentSnapshotId)) conflict('another history')
  if (parent === undefined && parentSnapshotId !== undefined) conflict('the parent has expired')
  const listOf = async (one: Snapshot | undefined): Promise<ManifestFile[]> =>
    one === undefined
      ? []
      : decodeManifestList(await store.read(one.manifestList), one.manifestList)
  const known = new Set((await listOf(parent)).map(({ manifestPath }) => manifestPath))
  const added = (await listOf(snapshot)).filter(
    (one) => !known.has(one.manifestPath) && one.addedFilesCount > 0,
  )
  if (added.some((one) => one.existingFilesCount > 0)) conflict('a merge that adds')
  const sequenceNumber = metadata.lastSequenceNumber + 1
  const manifests = [
    ...added.map((one) => ({ ...one, sequenceNumber, minSequenceNumber: sequenceNumber })),
    ...(await listOf(head)),
  ]
  const manifestList = snapshot.manifestList.replace(/\.avro$/, '-rebased.avro')
  const bytes = await encodeManifestList({
    formatVersion: metadata.formatVersion,
    snapshotId: snapshot.snapshotId,
    parentSnapshotId: headId,
    sequenceNumber,
    manifests,
  })
  await store.write(manifestList, bytes)
  const rebased: Snapshot = {
    ...snapshot,
    parentSnapshotId: headId,
    sequenceNumber,
    timestampMs: Math.max(snapshot.timestampMs, head.timestampMs),
    manifestList,
    summary: { ...snapshot.summary, ...offsetsAt(metadata, commit, snapshot) },
  }
  return {
    ...commit,
    updates: commit.updates.map((update) =>
      update.action === 'add-snapshot' ? { ...update, snapshot: rebased } : update,
    ),
  }
}

/** Log partitions that the commit doesn't move stand where the table has them now. */
function offsetsAt(
  metadata: TableMetadata,
  commit: TableCommit,
  { summary }: Snapshot,
): Record<string, string> {
  const key = 'potok.log.offsets'
  const text = summary[key]
  if (text === undefined) return {}
  const ranges = JSON.parse(text) as Record<string, [number, number]>
  const set = new Set(
    commit.updates.flatMap((update) =>
      update.action === 'set-properties' ? Object.keys(update.updates) : [],
    ),
  )
  const prefix = 'potok.log.position.'
  for (const [name, value] of Object.entries(metadata.properties)) {
    if (!name.startsWith(prefix) || set.has(name)) continue
    const { next_offset } = JSON.parse(value) as { next_offset: number }
    ranges[name.slice(prefix.length)] = [next_offset, next_offset]
  }
  return { [key]: JSON.stringify(ranges) }
}

function conflict(detail: string): never {
  throw new PotokError('CommitConflict', `the append can't be rebased: ${detail}`)
}
