/**
 * Which data files of a table are live, by day of their partition, taken from snapshot to snapshot: where
 * only appends lie between, only what they added is read; else all manifests are.
 *
 * A day's files are an append-only list and a count, so that "what was added since" is a slice and a refresh
 * costs what is new, not what is there. Where files went, the day gets a new list: whoever holds the old
 * one starts afresh.
 */
import { createHash } from 'node:crypto'
import type { Snapshot, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { LiveFile, LiveFileScanner } from '../ports.ts'

export type DayFiles = {
  readonly day: number
  /** Shared and growing: only the first `count` belong to this state. */
  readonly list: readonly LiveFile[]
  readonly count: number
  /** Rises from change to change, over all days. */
  readonly generation: number
}

/** Above this many snapshots between two looks all manifests are read: it's cheaper by then. */
const appendsMax = 200

export class DayFileIndex {
  readonly days = new Map<number, DayFiles>()
  readonly #table: string
  readonly #scanner: LiveFileScanner
  #snapshotId: bigint | null = null
  #generation = 0

  constructor(table: string, scanner: LiveFileScanner) {
    this.#table = table
    this.#scanner = scanner
  }

  /** Takes the index to the current snapshot; gives the days whose files changed. */
  async update(metadata: TableMetadata): Promise<ReadonlySet<number>> {
    if (metadata.currentSnapshotId === this.#snapshotId) return new Set()
    const appended = appendsSince(metadata, this.#snapshotId)
    const changed =
      appended === null
        ? this.#replaceAll(await this.#scanner.all(metadata))
        : this.#append(await this.#scanner.addedBy(metadata, appended))
    this.#snapshotId = metadata.currentSnapshotId
    return changed
  }

  /** Lets go of files that nobody will ask for again. */
  forget(isUseless: (file: LiveFile) => boolean): void {
    for (const [day, files] of this.days) {
      const kept = filesOf(files).filter((file) => !isUseless(file))
      if (kept.length === files.count) continue
      if (kept.length === 0) this.days.delete(day)
      else this.days.set(day, this.#dayFiles(day, kept))
    }
  }

  #append(files: readonly LiveFile[]): ReadonlySet<number> {
    const byDay = this.#groupByDay(files)
    for (const [day, added] of byDay) {
      const before = this.days.get(day)
      if (before === undefined) {
        this.days.set(day, this.#dayFiles(day, added))
        continue
      }
      const list = before.list as LiveFile[]
      // The newest state alone extends the list, so nothing lies beyond its count.
      for (const file of added) list.push(file)
      this.days.set(day, this.#dayFiles(day, list))
    }
    return new Set(byDay.keys())
  }

  #replaceAll(files: readonly LiveFile[]): ReadonlySet<number> {
    const byDay = this.#groupByDay(files)
    const changed = new Set<number>()
    for (const day of this.days.keys()) {
      if (byDay.has(day)) continue
      this.days.delete(day)
      changed.add(day)
    }
    for (const [day, present] of byDay) {
      const before = this.days.get(day)
      const known = new Set(before === undefined ? [] : filesOf(before).map(({ path }) => path))
      const added = present.filter(({ path }) => !known.has(path))
      const onlyAdded = before !== undefined && present.length - added.length === before.count
      if (onlyAdded && added.length === 0) continue
      changed.add(day)
      if (onlyAdded) this.#append(added)
      else this.days.set(day, this.#dayFiles(day, present))
    }
    return changed
  }

  #dayFiles(day: number, list: readonly LiveFile[]): DayFiles {
    return { day, list, count: list.length, generation: ++this.#generation }
  }

  #groupByDay(files: readonly LiveFile[]): Map<number, LiveFile[]> {
    const byDay = new Map<number, LiveFile[]>()
    for (const file of files) {
      if (file.day === null) {
        throw new PotokError('DataCorrupt', `${this.#table}: ${file.path} has no day as partition`)
      }
      const list = byDay.get(file.day)
      if (list === undefined) byDay.set(file.day, [file])
      else list.push(file)
    }
    return byDay
  }
}

export function filesOf(files: DayFiles): readonly LiveFile[] {
  return files.list.length === files.count ? files.list : files.list.slice(0, files.count)
}

const digests = new WeakMap<DayFiles, string>()

/** Names the set of files, the same in every process, in whatever order it learned of them: a path is one content. */
export function digestOf(files: DayFiles): string {
  let digest = digests.get(files)
  if (digest === undefined) {
    const paths = filesOf(files).map(({ path }) => path)
    digest = createHash('sha256').update(paths.toSorted().join('\n')).digest('base64url')
    digests.set(files, digest)
  }
  return digest
}

/** What `to` has beyond `from`, or null where files of `from` went. */
export function filesAddedSince(from: DayFiles, to: DayFiles): readonly LiveFile[] | null {
  return from.list === to.list ? to.list.slice(from.count, to.count) : null
}

/** Snapshots after the known one, if all of them are appends; null where manifests must be read anew. */
function appendsSince(metadata: TableMetadata, known: bigint | null): ReadonlySet<bigint> | null {
  if (known === null) return null
  const byId = new Map<bigint, Snapshot>(metadata.snapshots.map((s) => [s.snapshotId, s]))
  const appended = new Set<bigint>()
  for (let id = metadata.currentSnapshotId ?? undefined; id !== known; ) {
    const snapshot = id === undefined ? undefined : byId.get(id)
    if (snapshot === undefined || snapshot.summary.operation !== 'append') return null
    appended.add(snapshot.snapshotId)
    if (appended.size > appendsMax) return null
    id = snapshot.parentSnapshotId
  }
  return appended
}
