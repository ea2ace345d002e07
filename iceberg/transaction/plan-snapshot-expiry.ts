/**
 * Which snapshots and refs a table needs no more (Java client's `expire_snapshots` rules for metadata). Decides
 * only; files of expired snapshots stay for orphan removal, which looks at what is still referred to.
 *
 * Kept are: `main`, and every other ref until its maximum age; the head of every kept ref; of each branch the
 * newest ancestors up to its minimum count, and those younger than its maximum age, up to the first that is
 * neither; snapshots that belong to no ref while they are young, since somebody may be about to use them.
 */
import { PotokError } from '../../kernel/errors.ts'
import { mainBranch } from '../spec/schema.ts'
import type { Snapshot, SnapshotRef, TableMetadata } from '../spec/table-metadata.ts'
import type { TableUpdate } from '../spec/table-updates.ts'
import type { MetadataChange } from './metadata-change.ts'
import { ancestorsOf, requirementsOfBranch } from './snapshot-history.ts'

/** `true`: each commit of potok also expires what is due, so that metadata stays small between compactions. */
export const snapshotUpkeepProperty = 'potok.snapshot-upkeep'

const maxAgeProperty = 'history.expire.max-snapshot-age-ms'
const minCountProperty = 'history.expire.min-snapshots-to-keep'
const maxRefAgeProperty = 'history.expire.max-ref-age-ms'
const maxAgeMsDefault = 5 * 24 * 3_600_000
const minCountDefault = 1

export type ExpiryOptions = {
  readonly nowMs: number
  /** In place of the table's maximum age: what is older goes. A branch's own maximum age stands. */
  readonly olderThanMs?: number
  /** In place of the table's minimum count. A branch's own minimum stands. */
  readonly retainLast?: number
  /** These go however young. InvalidInput where a ref that stays names one. */
  readonly snapshotIds?: readonly bigint[]
  /** Never expired, whatever their age: the branch that is just being written to. */
  readonly keepRefs?: readonly string[]
}

/** No updates: nothing is due. The requirements: no ref has moved since it was looked at. */
export function planSnapshotExpiry(
  metadata: TableMetadata,
  options: ExpiryOptions,
): MetadataChange {
  const maxAgeMs = settingOf(metadata, maxAgeProperty, maxAgeMsDefault, 0)
  const olderThanMs = options.olderThanMs ?? options.nowMs - maxAgeMs
  const countMinDefault =
    options.retainLast ?? settingOf(metadata, minCountProperty, minCountDefault, 1)
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]))
  const refsKept = keptRefs(metadata, byId, options)
  checkUnreferenced(refsKept, options.snapshotIds ?? [])

  const keep = new Set<bigint>()
  const reachable = new Set<bigint>()
  if (metadata.currentSnapshotId !== null) keep.add(metadata.currentSnapshotId)
  for (const ref of refsKept.values()) {
    keep.add(ref.snapshotId)
    reachable.add(ref.snapshotId)
    if (ref.type !== 'branch') continue
    const oldestMs =
      ref.maxSnapshotAgeMs === undefined ? olderThanMs : options.nowMs - ref.maxSnapshotAgeMs
    const countMin = ref.minSnapshotsToKeep ?? countMinDefault
    let kept = 0
    let isKeeping = true
    for (const snapshot of ancestorsOf(byId, ref.snapshotId)) {
      reachable.add(snapshot.snapshotId)
      isKeeping = isKeeping && (kept < countMin || snapshot.timestampMs >= oldestMs)
      if (!isKeeping) continue
      keep.add(snapshot.snapshotId)
      kept++
    }
  }
  const named = new Set(options.snapshotIds)
  const expired = metadata.snapshots.filter(
    ({ snapshotId, timestampMs }) =>
      named.has(snapshotId) ||
      (!keep.has(snapshotId) && (reachable.has(snapshotId) || timestampMs < olderThanMs)),
  )
  const updates: TableUpdate[] = []
  for (const refName of Object.keys(metadata.refs)) {
    if (!refsKept.has(refName)) updates.push({ action: 'remove-snapshot-ref', refName })
  }
  if (expired.length > 0) {
    const snapshotIds = expired.map(({ snapshotId }) => snapshotId)
    updates.push({ action: 'remove-snapshots', snapshotIds })
  }
  const [uuid] = requirementsOfBranch(metadata, mainBranch)
  const refs = Object.keys(metadata.refs).flatMap((name) =>
    requirementsOfBranch(metadata, name).slice(1),
  )
  return { requirements: [...(uuid === undefined ? [] : [uuid]), ...refs], updates }
}

function keptRefs(
  metadata: TableMetadata,
  byId: ReadonlyMap<bigint, Snapshot>,
  options: ExpiryOptions,
): Map<string, SnapshotRef> {
  const maxRefAgeMs = settingOf(metadata, maxRefAgeProperty, Number.POSITIVE_INFINITY, 1)
  const kept = new Map<string, SnapshotRef>()
  for (const [name, ref] of Object.entries(metadata.refs)) {
    const snapshot = byId.get(ref.snapshotId)
    const isYoung =
      snapshot !== undefined &&
      options.nowMs - snapshot.timestampMs <= (ref.maxRefAgeMs ?? maxRefAgeMs)
    if (name === mainBranch || options.keepRefs?.includes(name) || isYoung) kept.set(name, ref)
  }
  return kept
}

function checkUnreferenced(refs: ReadonlyMap<string, SnapshotRef>, ids: readonly bigint[]): void {
  for (const id of ids) {
    const names = [...refs].filter(([, ref]) => ref.snapshotId === id).map(([name]) => name)
    if (names.length > 0) {
      throw new PotokError(
        'InvalidInput',
        `Cannot expire ${id}. Still referenced by refs: ${names.join(', ')}`,
      )
    }
  }
}

function settingOf(metadata: TableMetadata, key: string, fallback: number, least: number): number {
  const text = metadata.properties[key]
  if (text === undefined) return fallback
  const value = Number(text)
  // Java's Long.MAX_VALUE, "for ever", is beyond 2^53 and good enough as a double.
  if (!/^\d+$/.test(text) || value < least) {
    throw new PotokError('InvalidInput', `the table property ${key} is no valid number: ${text}`)
  }
  return value
}
