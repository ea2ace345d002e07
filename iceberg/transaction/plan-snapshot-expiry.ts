/**
 * Which snapshots a table needs no more (Java client's `expire_snapshots` rules for metadata). Decides only;
 * files of expired snapshots stay for orphan removal, which looks at what is still referred to.
 *
 * Kept are: the head of every ref; of each branch the newest ancestors up to its minimum count, and those
 * younger than its maximum age, up to the first that is neither; snapshots that belong to no ref while they
 * are young, since somebody may be about to use them.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import type { TableUpdate } from '../spec/table-updates.ts'

/** `true`: each commit of potok also expires what is due, so that metadata stays small between compactions. */
export const snapshotUpkeepProperty = 'potok.snapshot-upkeep'

const maxAgeProperty = 'history.expire.max-snapshot-age-ms'
const minCountProperty = 'history.expire.min-snapshots-to-keep'
const maxAgeMsDefault = 5 * 24 * 3_600_000
const minCountDefault = 1

export function planSnapshotExpiry(metadata: TableMetadata, nowMs: number): TableUpdate | null {
  const maxAgeMs = settingOf(metadata, maxAgeProperty, maxAgeMsDefault, 0)
  const minCount = settingOf(metadata, minCountProperty, minCountDefault, 1)
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]))
  const keep = new Set<bigint>()
  const reachable = new Set<bigint>()
  if (metadata.currentSnapshotId !== null) keep.add(metadata.currentSnapshotId)
  for (const ref of Object.values(metadata.refs)) {
    keep.add(ref.snapshotId)
    reachable.add(ref.snapshotId)
    if (ref.type !== 'branch') continue
    const oldestMs = nowMs - (ref.maxSnapshotAgeMs ?? maxAgeMs)
    const countMin = ref.minSnapshotsToKeep ?? minCount
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
  const expired = metadata.snapshots.filter(
    (snapshot) =>
      !keep.has(snapshot.snapshotId) &&
      (reachable.has(snapshot.snapshotId) || snapshot.timestampMs < nowMs - maxAgeMs),
  )
  if (expired.length === 0) return null
  return { action: 'remove-snapshots', snapshotIds: expired.map((snapshot) => snapshot.snapshotId) }
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
