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
  const [update] = planSnapshotExpiry(table, { nowMs }).updates
  if (update === undefined) return []
  if (update.action !== 'remove-snapshots') throw new Error('another update')
  return update.snapshotIds.map(Number)
}

test('what is older than the maximum age goes', () => {
  expect(expired(metadata(line, { main }, ageOf(2_000)), 5_000)).toEqual([1, 2])
})

test('nothing to expire is no update', () => {
  expect(expired(metadata(line, { main }, ageOf(10_000)), 5_000)).toEqual([])
  expect(expired(metadata([], {}, {}), 5_000)).toEqual([])
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
    expect(() => planSnapshotExpiry(metadata(line, { main }, properties), { nowMs: 0 })).toThrow(
      Object.keys(properties)[0],
    )
  }
})

test('a ref older than its maximum age goes, main never', () => {
  const refs = {
    main,
    old: { type: 'tag', snapshotId: 2, maxRefAgeMs: 1_000 } as const,
    young: { type: 'tag', snapshotId: 3 } as const,
  }
  const table = metadata(line, refs, { 'history.expire.max-ref-age-ms': '1000000' })
  expect(planSnapshotExpiry(table, { nowMs: 10_000 }).updates).toEqual([
    { action: 'remove-snapshot-ref', refName: 'old' },
  ])
  expect(planSnapshotExpiry(table, { nowMs: 10_000, keepRefs: ['old'] }).updates).toEqual([])
})

test('age and count of a call stand in for the table, and snapshots may be named', () => {
  const table = metadata(line, { main }, {})
  const ids = (options: object) => {
    const [update] = planSnapshotExpiry(table, { nowMs: 6_000, ...options }).updates
    return update?.action === 'remove-snapshots' ? update.snapshotIds.map(Number) : []
  }
  expect(ids({ olderThanMs: 4_000 })).toEqual([1, 2, 3])
  expect(ids({ olderThanMs: 4_000, retainLast: 4 })).toEqual([1])
  expect(ids({ snapshotIds: [4n] })).toEqual([4])
  expect(() => ids({ snapshotIds: [5n] })).toThrow('Still referenced by refs: main')
})

test('expiry requires that no ref has moved', () => {
  const { requirements } = planSnapshotExpiry(metadata(line, { main }, {}), { nowMs: 0 })
  expect(requirements).toContainEqual({
    type: 'assert-ref-snapshot-id',
    ref: 'main',
    snapshotId: 5n,
  })
})
