import { expect, test } from 'vitest'
import type { Snapshot, SnapshotRef, TableMetadata } from '../spec/table-metadata.ts'
import { planSnapshotExpiry } from './plan-snapshot-expiry.ts'

/** Snapshot `id` at `id` seconds, on top of `parent`. */
function snapshot(id: number, parent?: number): Snapshot {
  return {
    snapshotId: BigInt(id),
    ...(parent === undefined ? {} : { parentSnapshotId: BigInt(parent) }),
    sequenceNumber: id,
    timestampMs: id * 1_000,
    manifestList: `${id}`,
    summary: { operation: 'append' },
  }
}

function metadata(
  snapshots: readonly Snapshot[],
  refs: Record<string, Omit<SnapshotRef, 'snapshotId'> & { snapshotId: number }>,
  properties: Record<string, string>,
): TableMetadata {
  const bigRefs = Object.fromEntries(
    Object.entries(refs).map(([name, ref]) => [
      name,
      { ...ref, snapshotId: BigInt(ref.snapshotId) },
    ]),
  )
  return {
    location: 'file:///t',
    snapshots,
    refs: bigRefs,
    currentSnapshotId: bigRefs['main']?.snapshotId ?? null,
    properties,
  } as unknown as TableMetadata
}

const line = [snapshot(1), snapshot(2, 1), snapshot(3, 2), snapshot(4, 3), snapshot(5, 4)]
const main = { type: 'branch', snapshotId: 5 } as const
const ageOf = (ms: number, count = 1) => ({
  'history.expire.max-snapshot-age-ms': String(ms),
  'history.expire.min-snapshots-to-keep': String(count),
})

function expired(table: TableMetadata, nowMs: number): number[] {
  const update = planSnapshotExpiry(table, nowMs)
  if (update === null) return []
  if (update.action !== 'remove-snapshots') throw new Error('another update')
  return update.snapshotIds.map(Number)
}

test('what is older than the maximum age goes', () => {
  expect(expired(metadata(line, { main }, ageOf(2_000)), 5_000)).toEqual([1, 2])
})

test('nothing to expire is no update', () => {
  expect(planSnapshotExpiry(metadata(line, { main }, ageOf(10_000)), 5_000)).toBeNull()
  expect(planSnapshotExpiry(metadata([], {}, {}), 5_000)).toBeNull()
})

test('the head stays however old, and as many as the least count says', () => {
  expect(expired(metadata(line, { main }, ageOf(0)), 1e12)).toEqual([1, 2, 3, 4])
  expect(expired(metadata(line, { main }, ageOf(0, 3)), 1e12)).toEqual([1, 2])
})

test('five days and one snapshot are the defaults', () => {
  const fiveDays = 5 * 24 * 3_600_000
  expect(expired(metadata(line, { main }, {}), fiveDays + 3_000)).toEqual([1, 2])
})

test('every ref keeps its head; a branch has its own rules; a tag keeps no ancestors', () => {
  const refs = {
    main,
    audit: { type: 'branch', snapshotId: 3, minSnapshotsToKeep: 2 } as const,
    release: { type: 'tag', snapshotId: 1 } as const,
  }
  expect(expired(metadata(line, refs, ageOf(0)), 1e12)).toEqual([4])
})

test('a snapshot of no ref stays while it is young', () => {
  const table = metadata([...line, snapshot(9, 3)], { main }, ageOf(5_000))
  expect(expired(table, 10_000)).toEqual([1, 2, 3, 4])
  expect(expired(table, 15_000)).toEqual([1, 2, 3, 4, 9])
})

test('history that turns in a circle ends', () => {
  const circle = [snapshot(1, 2), snapshot(2, 1)]
  expect(expired(metadata(circle, { main: { ...main, snapshotId: 2 } }, ageOf(0)), 1e12)).toEqual([
    1,
  ])
})

test('a setting that is no number is an error that names it', () => {
  for (const properties of [
    { 'history.expire.max-snapshot-age-ms': '5 days' },
    { 'history.expire.min-snapshots-to-keep': '0' },
  ]) {
    expect(() => planSnapshotExpiry(metadata(line, { main }, properties), 0)).toThrow(
      Object.keys(properties)[0],
    )
  }
})
