import { expect, test } from 'vitest'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { fakeDataFile, stagedTableOf } from '../../testkit/staged-table.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'
import { planScan } from './plan-files.ts'
import { selectSnapshot } from './select-snapshot.ts'

/** Snapshots 0, 1, 2 of main, each with a schema of its own; then main goes back to 0. */
async function history() {
  const staged = stagedTableOf(eventsTable, { store: createMemoryObjectStore() })
  for (let i = 0; i < 3; i++) {
    const { metadata } = staged.loaded()
    const [schema] = metadata.schemas
    if (i > 0 && schema !== undefined) {
      staged.update([
        {
          action: 'add-schema',
          schema: { ...schema, schemaId: i, fields: schema.fields.slice(0, -i) },
        },
        { action: 'set-current-schema', schemaId: i },
      ])
    }
    await staged.change({ add: [fakeDataFile(eventsTable, `f${i}`)] })
  }
  const [first, second] = staged.loaded().metadata.snapshots.map((each) => each.snapshotId) as [
    bigint,
    bigint,
  ]
  staged.now += 1_000
  staged.update([
    { action: 'set-snapshot-ref', refName: 'old', snapshotId: second, type: 'tag' },
    { action: 'set-snapshot-ref', refName: 'work', snapshotId: second, type: 'branch' },
    { action: 'set-snapshot-ref', refName: 'main', snapshotId: first, type: 'branch' },
  ])
  return { staged, metadata: staged.loaded().metadata }
}

function selected(metadata: TableMetadata, selector?: Parameters<typeof selectSnapshot>[1]) {
  const { snapshotId, schema } = selectSnapshot(metadata, selector)
  const at = metadata.snapshots.findIndex((each) => each.snapshotId === snapshotId)
  return [at, schema.schemaId]
}

test('main and branches are read by the current schema, tags and snapshots by their own', async () => {
  const { metadata } = await history()
  const [, second] = metadata.snapshots
  expect(selected(metadata)).toEqual([0, 2])
  expect(selected(metadata, { ref: 'main' })).toEqual([0, 2])
  expect(selected(metadata, { ref: 'work' })).toEqual([1, 2])
  expect(selected(metadata, { ref: 'old' })).toEqual([1, 1])
  expect(selected(metadata, { snapshotId: second?.snapshotId as bigint })).toEqual([1, 1])
})

test('a time is what main was then, also after it went back', async () => {
  const { metadata } = await history()
  const times = metadata.snapshots.map((each) => each.timestampMs) as [number, number, number]
  const rolledBack = metadata.snapshotLog.at(-1)?.timestampMs as number
  expect(rolledBack).toBeGreaterThan(times[2])
  expect(selected(metadata, { asOfMs: times[0] })).toEqual([0, 0])
  expect(selected(metadata, { asOfMs: times[1] - 1 })).toEqual([0, 0])
  expect(selected(metadata, { asOfMs: rolledBack - 1 })).toEqual([2, 2])
  expect(selected(metadata, { asOfMs: rolledBack })).toEqual([0, 0])
  expect(() => selectSnapshot(metadata, { asOfMs: times[0] - 1 })).toThrow(/no snapshot is older/)
})

test('what is not there is NotFound; a table without snapshots has none', async () => {
  const { metadata } = await history()
  expect(() => selectSnapshot(metadata, { ref: 'none' })).toThrow(/no branch or tag none/)
  expect(() => selectSnapshot(metadata, { snapshotId: 1n })).toThrow(/snapshot 1 is not/)
  const empty = stagedTableOf(eventsTable, { store: createMemoryObjectStore() }).loaded().metadata
  expect(selectSnapshot(empty).snapshotId).toBeNull()
})

test('a snapshot of format v1 that lists its manifests itself is planned from them', async () => {
  const { staged, metadata } = await history()
  const [first] = metadata.snapshots
  const [manifest] = await staged.io.manifests.manifestList(first?.manifestList ?? '')
  const inline: TableMetadata = {
    ...metadata,
    formatVersion: 1,
    snapshots: metadata.snapshots.map((each) =>
      each === first
        ? { ...each, manifestList: '', unknownFields: { manifests: [manifest?.manifestPath] } }
        : each,
    ),
  }
  const { files } = await planScan(staged.io, inline)
  expect(files.map((each) => each.dataFile.filePath)).toEqual([
    expect.stringMatching(/f0\.parquet$/),
  ])
})
