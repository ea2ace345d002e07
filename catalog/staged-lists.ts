/**
 * Manifest lists around `rebase-append.ts`: reads those that a rebase needs, and stages the one that it makes,
 * which is written before the swap like the metadata file that names it. Decoded lists are kept, bounded; those
 * that changes before it in the same swap have staged come from memory, for no file has them yet.
 *
 * The list that the client wrote is neither changed nor deleted: only its writer knows whether another attempt
 * of his names it. A sink of potok deletes its own (iceberg/sink); what others leave is for orphan removal.
 */
import type { TableCommit } from '../iceberg/catalog.ts'
import { encodeManifestList } from '../iceberg/codec/manifest-list.ts'
import { createManifestCache } from '../iceberg/scan/manifest-cache.ts'
import type { ManifestFile } from '../iceberg/spec/data-file.ts'
import type { Snapshot, TableMetadata } from '../iceberg/spec/table-metadata.ts'
import { isPotokError } from '../kernel/errors.ts'
import type { ObjectStore } from '../kernel/ports.ts'
import type { LocationPolicy } from './location-policy.ts'
import { planRebase, staleAppendOf, unassertedAppendOf } from './rebase-append.ts'

/** The manifest list of a snapshot that was rebased, to be written before the swap. */
export type StagedList = {
  readonly location: string
  readonly snapshot: Snapshot
  readonly formatVersion: number
  readonly manifests: readonly ManifestFile[]
}

export type StagedLists = {
  /** Begins to read what a rebase of the commit would need, while it waits for its turn. */
  prefetch(commit: TableCommit): void
  /**
   * The commit as it can be applied on `metadata`, whose lists that aren't written yet are `staged`; null where
   * it needs no rebase or may not be rebased.
   */
  rebase(
    metadata: TableMetadata,
    commit: TableCommit,
    staged: readonly StagedList[],
  ): Promise<{ commit: TableCommit; list: StagedList } | null>
  /** What was written need not be read again. */
  remember(lists: readonly StagedList[]): void
}

const readsAheadMax = 32
const waitingMax = 4_096

export function createStagedLists(options: {
  store: Pick<ObjectStore, 'read'>
  policy: Pick<LocationPolicy, 'isAllowed'>
  newId: () => string
  cacheBytesMax: number
}): StagedLists {
  const { policy, newId } = options
  const cache = createManifestCache(options.store, options.cacheBytesMax)

  const waiting: string[] = []
  let readsAhead = 0
  function readAhead(): void {
    while (readsAhead < readsAheadMax) {
      const location = waiting.shift()
      if (location === undefined) return
      readsAhead++
      // A failure shows when the list is needed, and is not kept.
      const done = cache.manifestList(location).catch(() => undefined)
      void done.then(() => {
        readsAhead--
        readAhead()
      })
    }
  }

  /** Else it is refused when the commit is applied. */
  function isReadable(location: string): boolean {
    try {
      return policy.isAllowed(location)
    } catch {
      return false
    }
  }

  async function read(
    snapshot: Snapshot | null,
    staged: readonly StagedList[],
  ): Promise<readonly ManifestFile[]> {
    if (snapshot === null) return []
    const { manifestList } = snapshot
    const own = staged.find(({ location }) => location === manifestList)
    return own?.manifests ?? cache.manifestList(manifestList)
  }

  return {
    prefetch(commit) {
      const snapshot = unassertedAppendOf(commit)
      if (snapshot === null || !isReadable(snapshot.manifestList)) return
      // Full: it is read when its turn comes.
      if (waiting.length < waitingMax) waiting.push(snapshot.manifestList)
      readAhead()
    },

    async rebase(metadata, commit, staged) {
      const stale = staleAppendOf(metadata, commit)
      if (stale === null || !isReadable(stale.snapshot.manifestList)) return null
      // Format v1 may name manifests in the metadata instead.
      if (stale.head.manifestList === '' || stale.parent?.manifestList === '') return null
      try {
        const [own, parent, head] = await Promise.all([
          read(stale.snapshot, []),
          read(stale.parent, staged),
          read(stale.head, staged),
        ])
        const planned = planRebase(metadata, commit, stale, { own, parent, head })
        if (planned === null) return null
        const location = `${folderOf(stale.snapshot.manifestList)}/snap-${stale.snapshot.snapshotId}-2-${newId()}.avro`
        const snapshot = { ...planned.snapshot, manifestList: location }
        const { formatVersion } = metadata
        return {
          commit: withSnapshot(commit, snapshot),
          list: { location, snapshot, formatVersion, manifests: planned.manifests },
        }
      } catch (error) {
        // What can't be read can't be rebased: the client hears of the conflict.
        if (isPotokError(error, 'NotFound') || isPotokError(error, 'DataCorrupt')) return null
        throw error
      }
    },

    remember(lists) {
      for (const { location, manifests } of lists) cache.keepManifestList(location, manifests)
    },
  }
}

export function encodeStagedList(list: StagedList): Promise<Buffer> {
  const { snapshot, manifests, formatVersion } = list
  return encodeManifestList({
    snapshotId: snapshot.snapshotId,
    parentSnapshotId: snapshot.parentSnapshotId ?? null,
    sequenceNumber: snapshot.sequenceNumber,
    manifests,
    formatVersion,
  })
}

/** Lists that `metadata` still names: a later change of the same swap may have removed the snapshot. */
export function listsNamedBy(
  metadata: TableMetadata,
  lists: readonly StagedList[],
): readonly StagedList[] {
  if (lists.length === 0) return lists
  const named = new Set(metadata.snapshots.map(({ manifestList }) => manifestList))
  return lists.filter(({ location }) => named.has(location))
}

function withSnapshot(commit: TableCommit, snapshot: Snapshot): TableCommit {
  return {
    ...commit,
    updates: commit.updates.map((update) =>
      update.action === 'add-snapshot' ? { action: 'add-snapshot', snapshot } : update,
    ),
  }
}

function folderOf(location: string): string {
  return location.slice(0, location.lastIndexOf('/'))
}
