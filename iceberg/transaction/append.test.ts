import { describe, expect, test } from 'vitest'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { fakeDataFile, type StagedTable, stagedTableOf } from '../../testkit/staged-table.ts'
import { decodeAvroContainer } from '../codec/avro-container.ts'
import { createManifestCache, planScan } from '../scan/plan-files.ts'
import { type AppendRequest, stageAppend } from './append.ts'

function events(properties: Record<string, string> = {}): StagedTable {
  return stagedTableOf(eventsTable, { store: createMemoryObjectStore(), properties })
}
function file(name: string) {
  return fakeDataFile(eventsTable, name)
}
async function append(table: StagedTable, name: string, request: Partial<AppendRequest> = {}) {
  table.now += 1_000
  const staged = await stageAppend(table.io, table.loaded(), { files: [file(name)], ...request })
  table.apply(staged)
  return staged
}
async function namesOf(table: StagedTable, snapshotId: bigint | undefined): Promise<string[]> {
  if (snapshotId === undefined) return []
  const io = { ...table.io, manifests: createManifestCache(table.io.store, 1e6) }
  const { files } = await planScan(io, table.loaded().metadata, { snapshotId })
  return files
    .map(({ dataFile }) => /(\w+)\.parquet$/.exec(dataFile.filePath)?.[1] ?? '')
    .toSorted()
}

describe('an append', () => {
  test('that is fast leaves all manifests as they are, however many; the other kind merges', async () => {
    const table = events({ 'commit.manifest.min-count-to-merge': '2' })
    for (const name of ['a', 'b', 'c', 'd']) await append(table, name, { mergeManifests: 'never' })
    const count = async () => {
      const list = table.loaded().metadata.snapshots.at(-1)?.manifestList ?? ''
      return (await table.io.manifests.manifestList(list)).length
    }
    expect(await count()).toBe(4)
    await append(table, 'e')
    expect(await count()).toBe(2)
    expect(await namesOf(table, table.loaded().metadata.snapshots.at(-1)?.snapshotId)).toHaveLength(
      5,
    )
  })

  test('to another branch leaves main alone, begins at its head and goes on from its own', async () => {
    const table = events()
    await append(table, 'a')
    const main = table.loaded().metadata.refs['main']?.snapshotId
    const first = await append(table, 'b', { branch: 'audit' })
    expect(first.commit.requirements).toContainEqual({
      type: 'assert-ref-snapshot-id',
      ref: 'audit',
      snapshotId: null,
    })
    const second = await append(table, 'c', { branch: 'audit' })
    expect(second.commit.requirements).toContainEqual({
      type: 'assert-ref-snapshot-id',
      ref: 'audit',
      snapshotId: first.snapshotId,
    })
    const { metadata } = table.loaded()
    expect(metadata.refs['main']?.snapshotId).toBe(main)
    expect(metadata.currentSnapshotId).toBe(main)
    expect(await namesOf(table, main)).toEqual(['a'])
    expect(await namesOf(table, metadata.refs['audit']?.snapshotId)).toEqual(['a', 'b', 'c'])
  })

  test('to a tag is refused', async () => {
    const table = events()
    const { snapshotId } = await append(table, 'a')
    table.update([{ action: 'set-snapshot-ref', refName: 'v1', type: 'tag', snapshotId }])
    await expect(append(table, 'b', { branch: 'v1' })).rejects.toThrow('v1 is a tag, not a branch')
  })

  test('to a table of format v1 writes v1 manifests, all sequence numbers 0', async () => {
    const table = events({ 'format-version': '1' })
    await append(table, 'a')
    const { written } = await append(table, 'b')
    for (const location of written) {
      const container = await decodeAvroContainer(await table.io.store.read(location), location)
      expect(container.metadata.get('format-version')).toBe('1')
    }
    const { metadata } = table.loaded()
    expect(metadata.snapshots.map(({ sequenceNumber }) => sequenceNumber)).toEqual([0, 0])
    expect(await namesOf(table, metadata.currentSnapshotId ?? undefined)).toEqual(['a', 'b'])
  })

  test('of deletes is a fault of the program; in format v1 there are none', async () => {
    const table = events()
    const deletes = { ...file('d'), content: 'position-deletes' as const }
    await expect(append(table, 'a', { files: [deletes] })).rejects.toThrow(/row delta/)
    const old = events({ 'format-version': '1' })
    await expect(old.stage({ operation: 'delete', add: [deletes] })).rejects.toMatchObject({
      kind: 'Unsupported',
      message: expect.stringContaining('format version 1'),
    })
  })
})
