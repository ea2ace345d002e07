import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import type { LoadedTable, TableCommit } from '../iceberg/catalog.ts'
import { decodeManifestList, encodeManifestList } from '../iceberg/codec/manifest-list.ts'
import type { ManifestFile } from '../iceberg/spec/data-file.ts'
import type { Snapshot } from '../iceberg/spec/table-metadata.ts'
import { createAppendClient, type Merging, withRequirements } from '../testkit/append-client.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { systemClock } from '../testkit/fixed-ports.ts'
import { createRandom, createSeededIds } from '../testkit/random.ts'
import { createCatalogService } from './catalog-service.ts'

const identifier = { namespace: ['ns'], name: 't' }

async function prepared(formatVersion = 2) {
  const root = createMemoryRootObject()
  const store = createMemoryObjectStore()
  const ids = createSeededIds(createRandom(7))
  const connect = () =>
    createCatalogService({
      root,
      store,
      clock: systemClock,
      ids,
      warehouseLocation: 'memory://w',
      sleep: async () => undefined,
    })
  const catalog = connect()
  await catalog.createNamespace(['ns'])
  await catalog.commit([
    {
      identifier,
      requirements: [{ type: 'assert-create' }],
      updates: [
        { action: 'upgrade-format-version', formatVersion },
        { action: 'add-schema', schema: testSchema },
        { action: 'set-current-schema', schemaId: -1 },
      ],
    },
  ])
  const client = createAppendClient(store, ids)
  const load = () => catalog.loadTable(identifier)
  const headOf = ({ metadata }: LoadedTable, branch = 'main'): Snapshot => {
    const head = metadata.snapshots.find(
      ({ snapshotId }) => snapshotId === metadata.refs[branch]?.snapshotId,
    )
    if (head === undefined) throw new RangeError('no head')
    return head
  }
  const listOf = async ({ manifestList }: Snapshot) =>
    decodeManifestList(await store.read(manifestList), manifestList)
  return { root, store, catalog, connect, client, load, headOf, listOf }
}

/** The commit with its snapshot, or its manifests, made different. */
function altered(commit: TableCommit, change: (snapshot: Snapshot) => Snapshot): TableCommit {
  return {
    ...commit,
    updates: commit.updates.map((update) =>
      update.action === 'add-snapshot'
        ? { action: 'add-snapshot', snapshot: change(update.snapshot) }
        : update,
    ),
  }
}

describe('an append without an assertion, made on an older snapshot', () => {
  it('goes on top of the head: its list, number, parent, time and totals are made anew', async () => {
    const { catalog, client, load, headOf, listOf, store } = await prepared()
    const empty = await load()
    const [first, second] = [
      await client.stage(empty, { files: 2 }),
      await client.stage(empty, { files: 3 }),
    ]
    await catalog.commit([first.commit])
    const [after] = await catalog.commit([second.commit])
    const head = headOf(after as LoadedTable)
    expect(head).toMatchObject({
      snapshotId: second.snapshot.snapshotId,
      parentSnapshotId: first.snapshot.snapshotId,
      sequenceNumber: 2,
      summary: {
        operation: 'append',
        'added-records': '30',
        'total-records': '50',
        'total-data-files': '5',
        'total-files-size': '5000',
        'manifests-created': '1',
        'manifests-kept': '1',
      },
    })
    expect(head.timestampMs).toBeGreaterThanOrEqual(first.snapshot.timestampMs)
    expect(head.manifestList).not.toBe(second.snapshot.manifestList)
    expect(store.objects.has(second.snapshot.manifestList)).toBe(true)
    const list = await listOf(head)
    expect(list.map((one) => one.sequenceNumber)).toEqual([2, 1])
    expect(list.map((one) => one.minSequenceNumber)).toEqual([2, 1])
    expect((await client.filesOf(head)).sort()).toEqual([...first.files, ...second.files].sort())
    expect((await load()).metadata).toEqual(after?.metadata)
    expect(after?.metadata.lastSequenceNumber).toBe(2)
    expect(after?.metadata.snapshotLog).toHaveLength(2)
  })

  it('is so in format v1, whose lists know no sequence numbers', async () => {
    const { catalog, client, load, headOf, listOf } = await prepared(1)
    const empty = await load()
    expect(empty.metadata.formatVersion).toBe(1)
    const staged = [await client.stage(empty), await client.stage(empty)]
    for (const { commit } of staged) await catalog.commit([commit])
    const head = headOf(await load())
    expect(head.sequenceNumber).toBe(0)
    expect((await listOf(head)).map((one) => one.sequenceNumber)).toEqual([0, 0])
    expect((await client.filesOf(head)).sort()).toEqual(staged.flatMap(({ files }) => files).sort())
  })

  it('is so on a branch, and where another branch took its sequence number', async () => {
    const { catalog, client, load, headOf } = await prepared()
    const base = await client.stage(await load())
    await catalog.commit([base.commit])
    const { snapshotId } = base.snapshot
    await catalog.commit([
      {
        identifier,
        requirements: [],
        updates: [{ action: 'set-snapshot-ref', refName: 'b', type: 'branch', snapshotId }],
      },
    ])
    const before = await load()
    const [onMain, onBranch, again] = [
      await client.stage(before),
      await client.stage(before, { branch: 'b' }),
      await client.stage(before, { branch: 'b' }),
    ]
    for (const { commit } of [onMain, onBranch, again]) await catalog.commit([commit])
    const after = await load()
    expect(after.metadata.lastSequenceNumber).toBe(4)
    expect(headOf(after)).toMatchObject({ parentSnapshotId: snapshotId, sequenceNumber: 2 })
    expect(headOf(after, 'b').parentSnapshotId).toBe(onBranch.snapshot.snapshotId)
    const files = [...base.files, ...onBranch.files, ...again.files]
    expect((await client.filesOf(headOf(after, 'b'))).sort()).toEqual(files.sort())
  })

  it('is not so where it replaces the table: what was there goes, though others have added to it', async () => {
    const { catalog, client, load, headOf } = await prepared()
    const empty = await load()
    const replacement = await client.stage(empty)
    await catalog.commit([(await client.stage(empty)).commit])
    const { updates } = replacement.commit
    await catalog.commit([
      {
        ...replacement.commit,
        updates: [{ action: 'remove-snapshot-ref', refName: 'main' }, ...updates],
      },
    ])
    const head = headOf(await load())
    expect(head.snapshotId).toBe(replacement.snapshot.snapshotId)
    expect((await client.filesOf(head)).sort()).toEqual([...replacement.files].sort())
  })

  it('leaves out a merge of what somebody else has merged, and is refused where it is part of it', async () => {
    const { catalog, client, load, headOf } = await prepared()
    const all: string[] = []
    for (let i = 0; i < 3; i++) {
      const { commit, files } = await client.stage(await load())
      await catalog.commit([commit])
      all.push(...files)
    }
    const base = await load()
    const winner = await client.stage(base, { merging: 'together' })
    const apart = await client.stage(base, { merging: 'apart' })
    const together = await client.stage(base, { merging: 'together' })
    await catalog.commit([winner.commit])
    await catalog.commit([apart.commit])
    await expect(catalog.commit([together.commit])).rejects.toMatchObject({
      kind: 'CommitConflict',
    })
    const head = headOf(await load())
    expect((await client.filesOf(head)).sort()).toEqual(
      [...all, ...winner.files, ...apart.files].sort(),
    )
    expect(head.summary['total-data-files']).toBe('5')
  })

  it('writes every list of a swap before it, and none that no table names at its end', async () => {
    const { catalog, client, load, store, root } = await prepared()
    const empty = await load()
    const staged = await Promise.all(Array.from({ length: 80 }, () => client.stage(empty)))
    const own = new Set(staged.map(({ snapshot }) => snapshot.manifestList))
    const swapsBefore = root.swapCount
    const writes = { atOnce: 0, atOnceMax: 0 }
    store.faults.before = async (call) => {
      if (call !== 'write') return
      writes.atOnceMax = Math.max(writes.atOnceMax, ++writes.atOnce)
      await new Promise((resolve) => setImmediate(resolve))
      writes.atOnce--
    }
    await Promise.all(staged.map(({ commit }) => catalog.commit([commit])))
    expect(root.swapCount - swapsBefore).toBeLessThan(4)
    const { metadata } = await load()
    expect(metadata.snapshots).toHaveLength(80)
    expect(writes.atOnceMax).toBeGreaterThan(8)
    expect(writes.atOnceMax).toBeLessThanOrEqual(32)
    const lists = [...store.objects.keys()].filter((key) => key.includes('/snap-'))
    const named = metadata.snapshots.map(({ manifestList }) => manifestList)
    expect(lists.filter((key) => !own.has(key)).sort()).toEqual(
      named.filter((key) => !own.has(key)).sort(),
    )
    for (const { snapshotId, manifestList } of metadata.snapshots) {
      expect(manifestList).toContain(String(snapshotId))
      expect(store.objects.has(manifestList)).toBe(true)
    }
  })

  it('takes back its list where the swap is lost, and leaves it where that is unknown', async () => {
    const { catalog, connect, client, load, root, store } = await prepared()
    const empty = await load()
    const [first, second, third] = [
      await client.stage(empty),
      await client.stage(empty),
      await client.stage(empty),
    ]
    await catalog.commit([first.commit])
    const rebased = (): string[] => [...store.objects.keys()].filter((key) => key.includes('-2-'))
    root.script = ['refused']
    await expect(catalog.commit([second.commit])).rejects.toMatchObject({ kind: 'Unavailable' })
    expect(rebased()).toEqual([])
    const updates = [{ action: 'set-properties' as const, updates: { a: '1' } }]
    await Promise.all([
      connect().commit([{ identifier, requirements: [], updates }]),
      catalog.commit([second.commit]),
    ])
    expect(catalog.stats.swapsLost).toBe(1)
    expect(rebased()).toHaveLength(1)
    root.script = Array.from({ length: 50 }, () => 'delayed' as const)
    const outcome = catalog.commit([third.commit])
    await expect(outcome).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    root.script = []
    expect(rebased()).toHaveLength(2)
    root.deliverDelayed()
    const { metadata } = await connect().loadTable(identifier)
    expect(metadata.properties['a']).toBe('1')
    expect(metadata.snapshots).toHaveLength(3)
    for (const { manifestList } of metadata.snapshots) {
      expect(store.objects.has(manifestList)).toBe(true)
    }
  })
})

describe('a commit is refused where it does not only add on top of its own history', () => {
  const cases: Record<string, (commit: TableCommit, head: bigint) => TableCommit> = {
    'that asserts the snapshot': (commit, head) =>
      withRequirements(commit, { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: head }),
    'that overwrites': (commit) =>
      altered(commit, (snapshot) => ({
        ...snapshot,
        summary: { ...snapshot.summary, operation: 'overwrite' },
      })),
    'whose list is not there': (commit) =>
      altered(commit, (snapshot) => ({ ...snapshot, manifestList: 'memory://w/ns/t/none.avro' })),
    'whose parent is unknown': (commit) =>
      altered(commit, (snapshot) => ({ ...snapshot, parentSnapshotId: 1n })),
    'whose number is not above that of its parent': (commit) =>
      altered(commit, (snapshot) => ({ ...snapshot, sequenceNumber: 1 })),
  }
  for (const [name, change] of Object.entries(cases)) {
    it(`one ${name}`, async () => {
      const { catalog, client, load } = await prepared()
      const root = await client.stage(await load())
      await catalog.commit([root.commit])
      const base = await load()
      const [winner, loser] = [await client.stage(base), await client.stage(base)]
      await catalog.commit([winner.commit])
      const before = await load()
      await expect(
        catalog.commit([change(loser.commit, root.snapshot.snapshotId)]),
      ).rejects.toMatchObject({ kind: 'CommitConflict' })
      expect((await load()).metadata).toEqual(before.metadata)
    })
  }

  it('one that brings deletes, drops a manifest or brings one that is there', async () => {
    const { catalog, client, load, listOf, store } = await prepared()
    const root = await client.stage(await load())
    await catalog.commit([root.commit])
    const base = await load()
    const winner = await client.stage(base)
    await catalog.commit([winner.commit])
    const [winners] = await listOf(winner.snapshot)
    const before = await load()
    const lists: Record<string, (own: ManifestFile[]) => ManifestFile[]> = {
      'deleted entries': ([made, ...rest]) => [
        { ...(made as ManifestFile), deletedFilesCount: 1, deletedRowsCount: 10 },
        ...rest,
      ],
      'unknown counts': ([made, ...rest]) => [
        { ...(made as ManifestFile), deletedFilesCount: -1 },
        ...rest,
      ],
      'delete files': ([made, ...rest]) => [
        { ...(made as ManifestFile), content: 'deletes' },
        ...rest,
      ],
      'a number of its own': ([made, ...rest]) => [
        { ...(made as ManifestFile), sequenceNumber: 1 },
        ...rest,
      ],
      'a manifest less': ([made]) => [made as ManifestFile],
      'the same manifest twice': ([made, ...rest]) => [
        made as ManifestFile,
        made as ManifestFile,
        ...rest,
      ],
      'what is there already': (own) => [winners as ManifestFile, ...own],
      'an unknown spec': ([made, ...rest]) => [
        { ...(made as ManifestFile), partitionSpecId: 9 },
        ...rest,
      ],
    }
    for (const [name, change] of Object.entries(lists)) {
      const { commit, snapshot } = await client.stage(base)
      const bytes = await encodeManifestList({
        formatVersion: 2,
        snapshotId: snapshot.snapshotId,
        parentSnapshotId: snapshot.parentSnapshotId ?? null,
        sequenceNumber: snapshot.sequenceNumber,
        manifests: change(await listOf(snapshot)),
      })
      const manifestList = `memory://w/ns/t/metadata/${snapshot.snapshotId}.avro`
      await store.write(manifestList, bytes)
      const changed = altered(commit, (one) => ({ ...one, manifestList }))
      await expect(catalog.commit([changed]), name).rejects.toMatchObject({
        kind: 'CommitConflict',
      })
    }
    expect((await load()).metadata).toEqual(before.metadata)
  })

  it('one that was made before the branch was rolled back', async () => {
    const { catalog, client, load } = await prepared()
    const first = await client.stage(await load())
    await catalog.commit([first.commit])
    const second = await client.stage(await load())
    await catalog.commit([second.commit])
    const late = await client.stage(await load())
    const { snapshotId } = first.snapshot
    await catalog.commit([
      {
        identifier,
        requirements: [],
        updates: [{ action: 'set-snapshot-ref', refName: 'main', type: 'branch', snapshotId }],
      },
    ])
    await expect(catalog.commit([late.commit])).rejects.toMatchObject({ kind: 'CommitConflict' })
  })

  it('one whose property has changed, though the append could be rebased', async () => {
    const { catalog, client, load } = await prepared()
    const empty = await load()
    const fenced = async (): Promise<TableCommit> => {
      const { commit } = await client.stage(empty)
      return {
        ...withRequirements(commit, { type: 'assert-property', key: 'position', value: null }),
        updates: [...commit.updates, { action: 'set-properties', updates: { position: '1' } }],
      }
    }
    await catalog.commit([await fenced()])
    await expect(catalog.commit([await fenced()])).rejects.toMatchObject({
      kind: 'CommitConflict',
      message: expect.stringContaining('property position'),
    })
  })
})

describe('appends of several clients in any order', () => {
  type Step = { client: number; files: number; merging: Merging; isLoading: boolean }
  const step: fc.Arbitrary<Step> = fc.record({
    client: fc.nat(3),
    files: fc.integer({ min: 0, max: 3 }),
    merging: fc.constantFrom<Merging>('none', 'apart', 'together'),
    isLoading: fc.boolean(),
  })

  it('have every file exactly once, totals equal to the sum, and no conflict that could be solved', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(1, 2),
        async (rounds, formatVersion) => {
          const { catalog, client, load, headOf } = await prepared(formatVersion)
          const known = new Map<number, LoadedTable>()
          const expected: string[] = []
          for (const round of rounds) {
            const staged = []
            for (const { client: name, files, merging, isLoading } of round) {
              if (isLoading || !known.has(name)) known.set(name, await load())
              const table = known.get(name) as LoadedTable
              staged.push({ merging, ...(await client.stage(table, { files, merging })) })
            }
            const results = await Promise.allSettled(
              staged.map(({ commit }) => catalog.commit([commit])),
            )
            for (const [i, { status }] of results.entries()) {
              const { merging, files } = staged[i] as (typeof staged)[number]
              if (status === 'fulfilled') expected.push(...files)
              else expect(merging).toBe('together')
            }
          }
          const table = await load()
          const { snapshots, currentSnapshotId } = table.metadata
          if (currentSnapshotId === null) return
          const head = headOf(table)
          expect((await client.filesOf(head)).sort()).toEqual(expected.sort())
          expect(head.summary['total-data-files']).toBe(String(expected.length))
          expect(head.summary['total-records']).toBe(String(expected.length * 10))
          for (const [i, one] of snapshots.entries()) {
            expect(one.parentSnapshotId).toBe(snapshots[i - 1]?.snapshotId)
            if (formatVersion === 2) expect(one.sequenceNumber).toBe(i + 1)
          }
        },
      ),
      { numRuns: 40 },
    )
  })
})
