import { describe, expect, test } from 'vitest'
import {
  createMemoryObjectStore,
  type MemoryObjectStore,
} from '../../adapters/object-store/memory-object-store.ts'
import { camerasTable, eventsTable } from '../../kernel/tables.ts'
import { fakeDataFile, type StagedTable, stagedTableOf } from '../../testkit/staged-table.ts'
import { createManifestCache, type LiveFile, planScan } from '../scan/plan-files.ts'
import type { ManifestFile } from '../spec/data-file.ts'
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import { snapshotUpkeepProperty } from './plan-snapshot-expiry.ts'
import { planMerges } from './rewrite-manifests.ts'

function events(properties: Record<string, string> = {}): StagedTable {
  return stagedTableOf(eventsTable, { store: createMemoryObjectStore(), properties })
}
function file(name: string, day = 20_000, rows = 10) {
  return fakeDataFile(eventsTable, name, { day, rows })
}
function path(name: string): string {
  return file(name).filePath
}
function metadataOf(table: StagedTable): TableMetadata {
  return table.loaded().metadata
}
function head(table: StagedTable): Snapshot {
  return metadataOf(table).snapshots.at(-1) as Snapshot
}
/** Read back from the store, not from what staging kept in the cache. */
async function live(table: StagedTable, snapshotId?: bigint): Promise<LiveFile[]> {
  const manifests = createManifestCache(table.io.store, 1e6)
  const options = snapshotId === undefined ? {} : { snapshotId }
  return (await planScan({ store: table.io.store, manifests }, metadataOf(table), options)).files
}
async function livePaths(table: StagedTable): Promise<string[]> {
  return (await live(table)).map((each) => each.dataFile.filePath).toSorted()
}
async function manifestsOf(table: StagedTable): Promise<readonly ManifestFile[]> {
  return createManifestCache(table.io.store, 1e6).manifestList(head(table).manifestList)
}

function manifest(sequenceNumber: number, manifestLength: number): ManifestFile {
  return {
    manifestPath: `m${sequenceNumber}`,
    manifestLength,
    partitionSpecId: 0,
    content: 'data',
    sequenceNumber,
    minSequenceNumber: sequenceNumber,
    addedSnapshotId: 1n,
    addedFilesCount: 1,
    existingFilesCount: 0,
    deletedFilesCount: 0,
    addedRowsCount: 1,
    existingRowsCount: 0,
    deletedRowsCount: 0,
  }
}

describe('an append', () => {
  test('keeps the manifests there are, adds one, and gives its files the new sequence number', async () => {
    const table = events()
    await table.change({ add: [file('a'), file('b', 20_001)] })
    const [first] = await manifestsOf(table)
    await table.change({ add: [file('c')] })
    const manifests = await manifestsOf(table)
    expect(manifests).toHaveLength(2)
    expect(manifests[1]).toEqual(first)
    expect(manifests[0]).toMatchObject({
      sequenceNumber: 2,
      minSequenceNumber: 2,
      addedFilesCount: 1,
      addedRowsCount: 10,
      existingFilesCount: 0,
      deletedFilesCount: 0,
    })
    const files = await live(table)
    expect(
      files.map((each) => [each.dataFile.filePath, each.sequenceNumber, each.fileSequenceNumber]),
    ).toEqual([
      [path('c'), 2, 2],
      [path('a'), 1, 1],
      [path('b'), 1, 1],
    ])
    expect(files[0]?.snapshotId).toBe(head(table).snapshotId)
  })

  test('reads the manifest list only', async () => {
    const store = createMemoryObjectStore()
    const table = stagedTableOf(eventsTable, { store })
    await table.change({ add: [file('a')] })
    const reads: string[] = []
    store.faults.before = (call, location) => {
      if (call === 'read') reads.push(location)
    }
    Object.assign(table.io, { manifests: createManifestCache(store, 1e6) })
    await table.change({ add: [file('b')] })
    expect(reads).toEqual([metadataOf(table).snapshots[0]?.manifestList])
    await table.change({ add: [file('c')] })
    expect(reads, 'what was just written is known').toHaveLength(1)
  })

  test('of nothing still makes a snapshot: positions moved', async () => {
    const table = events()
    await table.change({ setProperties: { 'potok.log.position.0': '5' } })
    const staged = await table.change({
      summary: { 'potok.commit_id': 'x' },
      setProperties: { 'potok.log.position.0': '7' },
    })
    expect(head(table).snapshotId).toBe(staged.snapshotId)
    expect(head(table).summary['potok.commit_id']).toBe('x')
    expect(metadataOf(table).properties['potok.log.position.0']).toBe('7')
    expect(await live(table)).toEqual([])
    expect(head(table).summary).toMatchObject({ operation: 'append', 'total-data-files': '0' })
  })

  test('requires the table and the snapshot that it was built on', async () => {
    const table = events()
    const early = await table.stage({ add: [file('a')] })
    expect(early.commit.requirements).toEqual([
      { type: 'assert-table-uuid', uuid: metadataOf(table).tableUuid },
      { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: null },
    ])
    const winner = await table.change({
      add: [file('b')],
      requirements: [{ type: 'assert-property', key: 'p', value: null }],
    })
    expect(winner.commit.requirements.at(-1)).toEqual({
      type: 'assert-property',
      key: 'p',
      value: null,
    })
    expect(() => table.apply(early)).toThrow(/Requirement failed/)
  })

  test('names what it has written, all of it under metadata/', async () => {
    const table = events()
    const { written } = await table.stage({ add: [file('a')] })
    expect(written).toHaveLength(2)
    for (const location of written) {
      expect(location).toMatch(/^file:\/\/\/warehouse\/traffic\/table\/metadata\/[-\w]+\.avro$/)
      expect(await table.io.store.stat(location)).not.toBeNull()
    }
    const moved = events({ 'write.metadata.path': 'file:///warehouse/elsewhere/' })
    expect((await moved.stage({})).written[0]).toMatch(/^file:\/\/\/warehouse\/elsewhere\/snap-/)
  })

  test('sums up as the Java client does', async () => {
    const table = events()
    await table.change({ add: [file('a', 20_000, 10), file('b', 20_001, 5)] })
    expect(head(table).summary).toEqual({
      operation: 'append',
      'added-data-files': '2',
      'added-records': '15',
      'added-files-size': '2000',
      'changed-partition-count': '2',
      'manifests-created': '1',
      'manifests-kept': '0',
      'manifests-replaced': '0',
      'entries-processed': '0',
      'total-data-files': '2',
      'total-records': '15',
      'total-files-size': '2000',
      'total-delete-files': '0',
      'total-position-deletes': '0',
      'total-equality-deletes': '0',
    })
  })

  test('never goes back in time, whatever the clock says', async () => {
    const table = events()
    await table.change({})
    const before = head(table).timestampMs
    table.now = 5
    table.apply(await table.stage({}))
    expect(head(table).timestampMs).toBeGreaterThanOrEqual(before)
  })

  test('puts thousands of files into manifests of bounded size', async () => {
    const table = events()
    await table.change({ add: Array.from({ length: 10_001 }, (_, i) => file(`f${i}`)) })
    expect((await manifestsOf(table)).map((each) => each.addedFilesCount)).toEqual([10_000, 1])
    expect(head(table).summary['total-data-files']).toBe('10001')
  })

  test('of an unpartitioned table has no partition values', async () => {
    const table = stagedTableOf(camerasTable, { store: createMemoryObjectStore() })
    await table.change({ add: [fakeDataFile(camerasTable, 'a')] })
    expect((await live(table))[0]?.dataFile.partition).toEqual([])
  })

  test('that names a file twice, or removes, is a fault of the program', async () => {
    const table = events()
    await expect(table.stage({ add: [file('a'), file('a')] })).rejects.toThrow(/twice/)
    await expect(table.stage({ remove: new Set(['a']) })).rejects.toThrow(/append removes/)
  })

  test('leaves the table as it was where the store fails', async () => {
    const store = createMemoryObjectStore()
    const table = stagedTableOf(eventsTable, { store })
    await table.change({ add: [file('a')] })
    store.faults.before = (call, location) => {
      if (call === 'write' && location.includes('/snap-')) throw new Error('disk full')
    }
    await expect(table.stage({ add: [file('b')] })).rejects.toThrow('disk full')
    expect(await livePaths(table)).toEqual([path('a')])
  })
})

describe('a change that removes files', () => {
  test('rewrites only the manifests that hold them; the rest of their entries keep age and origin', async () => {
    const table = events()
    await table.change({ add: [file('a'), file('b')] })
    const origin = head(table).snapshotId
    await table.change({ add: [file('c')] })
    const untouched = (await manifestsOf(table))[0]
    await table.change({
      operation: 'overwrite',
      add: [file('d')],
      remove: new Set([path('a')]),
    })
    expect(await livePaths(table)).toEqual([path('b'), path('c'), path('d')])
    const manifests = await manifestsOf(table)
    expect(manifests).toContainEqual(untouched)
    const rewritten = manifests.find((each) => each.deletedFilesCount === 1) as ManifestFile
    expect(rewritten).toMatchObject({
      sequenceNumber: 3,
      minSequenceNumber: 1,
      addedFilesCount: 0,
      existingFilesCount: 1,
      deletedFilesCount: 1,
      deletedRowsCount: 10,
    })
    const entries = await createManifestCache(table.io.store, 1e6).manifest(rewritten)
    expect(
      entries.map((each) => [
        each.status,
        each.snapshotId,
        each.sequenceNumber,
        each.fileSequenceNumber,
      ]),
    ).toEqual([
      ['deleted', head(table).snapshotId, 1, 1],
      ['existing', origin, 1, 1],
    ])
    expect(head(table).summary).toMatchObject({
      operation: 'overwrite',
      'added-data-files': '1',
      'deleted-data-files': '1',
      'deleted-records': '10',
      'removed-files-size': '1000',
      'changed-partition-count': '1',
      'manifests-replaced': '1',
      'total-data-files': '3',
      'total-records': '30',
    })
  })

  test('keeps older snapshots readable', async () => {
    const table = events()
    const first = await table.change({ add: [file('a')] })
    await table.change({ operation: 'delete', remove: new Set([path('a')]) })
    expect(await live(table)).toEqual([])
    expect(await live(table, first.snapshotId)).toHaveLength(1)
  })

  test('leaves its deletions to the next snapshot to forget', async () => {
    const table = events()
    await table.change({ add: [file('a')] })
    await table.change({ operation: 'delete', remove: new Set([path('a')]) })
    expect((await manifestsOf(table)).map((each) => each.deletedFilesCount)).toEqual([1])
    await table.change({ add: [file('b')] })
    expect((await manifestsOf(table)).map((each) => each.addedFilesCount)).toEqual([1])
  })

  test('is refused as a conflict that names the file, where the file is not live', async () => {
    const table = events()
    await table.change({ add: [file('a')] })
    const remove = new Set([path('a'), path('gone')])
    const objects = (table.io.store as MemoryObjectStore).objects.size
    await expect(table.stage({ operation: 'replace', remove })).rejects.toMatchObject({
      kind: 'CommitConflict',
      message: expect.stringContaining('gone.parquet'),
    })
    expect((table.io.store as MemoryObjectStore).objects.size, 'nothing was written').toBe(objects)
    await table.change({ operation: 'delete', remove: new Set([path('a')]) })
    await expect(
      table.stage({ operation: 'delete', remove: new Set([path('a')]) }),
    ).rejects.toMatchObject({ kind: 'CommitConflict' })
  })

  test('takes position deletes along, in a manifest of their own', async () => {
    const table = events()
    const deletes = { ...file('deletes'), content: 'position-deletes' as const, recordCount: 2 }
    await table.change({ add: [file('a')] })
    await table.change({ operation: 'delete', add: [deletes] })
    const manifests = await manifestsOf(table)
    expect(manifests.map((each) => each.content).toSorted()).toEqual(['data', 'deletes'])
    const planned = await planScan(table.io, metadataOf(table))
    expect(planned.deleteFiles.map((each) => each.dataFile.filePath)).toEqual([deletes.filePath])
    expect(head(table).summary).toMatchObject({
      'added-delete-files': '1',
      'added-position-deletes': '2',
      'total-records': '10',
      'total-position-deletes': '2',
    })
    await table.change({
      operation: 'replace',
      remove: new Set([path('a'), deletes.filePath]),
      add: [file('b')],
    })
    const after = await planScan(table.io, metadataOf(table))
    expect(after.deleteFiles).toEqual([])
    expect(head(table).summary).toMatchObject({
      'removed-delete-files': '1',
      'total-delete-files': '0',
      'total-data-files': '1',
    })
  })
})

describe('small manifests', () => {
  test('are merged when they have become many; files keep their sequence numbers and snapshots', async () => {
    const table = events({ 'commit.manifest.min-count-to-merge': '5' })
    const expected = new Map<string, [number, bigint]>()
    for (let i = 1; i <= 23; i++) {
      const { snapshotId } = await table.change({ add: [file(`f${i}`, 20_000 + i)] })
      expected.set(path(`f${i}`), [i, snapshotId])
      expect((await manifestsOf(table)).length).toBeLessThanOrEqual(6)
    }
    const files = await live(table)
    expect(
      new Map(
        files.map((each) => [each.dataFile.filePath, [each.sequenceNumber, each.snapshotId]]),
      ),
    ).toEqual(expected)
    const merged = (await manifestsOf(table)).find((each) => each.existingFilesCount > 0)
    expect(merged?.minSequenceNumber).toBe(1)
    expect(head(table).summary['total-data-files']).toBe('23')
  })

  test('stay as they are where the table says so', async () => {
    const table = events({
      'commit.manifest.min-count-to-merge': '2',
      'commit.manifest-merge.enabled': 'false',
    })
    for (let i = 0; i < 4; i++) await table.change({ add: [file(`f${i}`)] })
    expect(await manifestsOf(table)).toHaveLength(4)
  })

  test('are merged one bin a commit, up to the target size, like sizes together, oldest first', () => {
    const settings = { isEnabled: true, minCountToMerge: 4, targetSizeBytes: 1_000_000 }
    const paths = (list: ManifestFile[]) =>
      planMerges(list, settings).map((bin) => bin.map((each) => each.manifestPath))
    const small = [9, 8, 7, 6].map((i) => manifest(i, 3_000))
    const big = [5, 4, 3, 2, 1].map((i) => manifest(i, 300_000))
    expect(paths(small.slice(1))).toEqual([])
    expect(paths([...small, manifest(5, 300_000)])).toEqual([['m6', 'm7', 'm8', 'm9']])
    expect(paths(big)).toEqual([['m1', 'm2', 'm3']])
    expect(paths([...big, ...small])).toEqual([['m6', 'm7', 'm8', 'm9']])
    expect(paths([...small.slice(1), manifest(1, 1_000_000)])).toEqual([])
    const others = small.map((each) => ({ ...each, partitionSpecId: 1 }))
    expect(planMerges([...small, ...others], settings)).toHaveLength(2)
  })

  test('with a setting that is no number are an error that names it', async () => {
    const table = events({ 'commit.manifest.min-count-to-merge': 'many' })
    await expect(table.stage({})).rejects.toMatchObject({
      kind: 'InvalidInput',
      message: expect.stringContaining('commit.manifest.min-count-to-merge'),
    })
  })
})

describe('upkeep of snapshots', () => {
  test('expires what is due in the same commit, so that metadata stays small', async () => {
    const table = events({
      [snapshotUpkeepProperty]: 'true',
      'history.expire.max-snapshot-age-ms': '3000',
      'history.expire.min-snapshots-to-keep': '2',
    })
    for (let i = 0; i < 20; i++) await table.change({ add: [file(`f${i}`)] })
    expect(metadataOf(table).snapshots.length).toBeLessThanOrEqual(6)
    expect(await live(table)).toHaveLength(20)
    expect(head(table).summary['total-data-files']).toBe('20')
  })

  test('is off unless the table asks for it', async () => {
    const table = events({ 'history.expire.max-snapshot-age-ms': '1' })
    for (let i = 0; i < 5; i++) await table.change({})
    expect(metadataOf(table).snapshots).toHaveLength(5)
  })
})

test('tables of another format version are refused, not damaged', async () => {
  const table = events()
  const loaded = table.loaded()
  Object.assign(table, {
    loaded: () => ({ ...loaded, metadata: { ...loaded.metadata, formatVersion: 3 } }),
  })
  await expect(table.stage({})).rejects.toMatchObject({ kind: 'Unsupported' })
})

test('a branch keeps its own retention when its head moves', async () => {
  const table = events()
  const { snapshotId } = await table.change({})
  table.update([
    {
      action: 'set-snapshot-ref',
      refName: 'main',
      type: 'branch',
      snapshotId,
      minSnapshotsToKeep: 7,
    },
  ])
  await table.change({})
  expect(metadataOf(table).refs['main']).toMatchObject({ minSnapshotsToKeep: 7 })
})
