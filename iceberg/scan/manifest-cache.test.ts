import { expect, test } from 'vitest'
import {
  createMemoryObjectStore,
  type MemoryObjectStore,
} from '../../adapters/object-store/memory-object-store.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { fakeDataFile, stagedTableOf } from '../../testkit/staged-table.ts'
import { createManifestCache } from './manifest-cache.ts'

async function lists(
  count: number,
): Promise<{ store: MemoryObjectStore; locations: string[]; reads: string[] }> {
  const store = createMemoryObjectStore()
  const table = stagedTableOf(eventsTable, { store })
  for (let i = 0; i < count; i++) await table.change({ add: [fakeDataFile(eventsTable, `f${i}`)] })
  const reads: string[] = []
  store.faults.before = (call, location) => {
    if (call === 'read') reads.push(location)
  }
  return {
    store,
    locations: table.loaded().metadata.snapshots.map((snapshot) => snapshot.manifestList),
    reads,
  }
}

test('a file is read once, also when many ask for it at once', async () => {
  const { store, locations, reads } = await lists(1)
  const cache = createManifestCache(store, 1e6)
  const [location] = locations as [string]
  const results = await Promise.all([1, 2, 3].map(() => cache.manifestList(location)))
  await cache.manifestList(location)
  expect(reads).toHaveLength(1)
  expect(results[1]).toBe(results[0])
})

test('what is used least makes room when the capacity is reached', async () => {
  const { store, locations, reads } = await lists(3)
  const [a, b, c] = locations as [string, string, string]
  // A list of one to three manifests takes 1 to 3 kB: two fit, three don't.
  const cache = createManifestCache(store, 4_500)
  await cache.manifestList(a)
  await cache.manifestList(b)
  await cache.manifestList(a)
  await cache.manifestList(c)
  reads.length = 0
  await cache.manifestList(c)
  expect(reads).toEqual([])
  await cache.manifestList(b)
  expect(reads).toEqual([b])
})

test('without capacity everything is read anew and still right', async () => {
  const { store, locations, reads } = await lists(1)
  const cache = createManifestCache(store, 0)
  const [location] = locations as [string]
  expect(await cache.manifestList(location)).toHaveLength(1)
  expect(await cache.manifestList(location)).toHaveLength(1)
  expect(reads).toHaveLength(2)
})

test('a load that failed is tried again', async () => {
  const { store, locations } = await lists(1)
  const cache = createManifestCache(store, 1e6)
  const [location] = locations as [string]
  store.faults.before = () => {
    throw new Error('unreachable')
  }
  await expect(cache.manifestList(location)).rejects.toThrow('unreachable')
  delete store.faults.before
  expect(await cache.manifestList(location)).toHaveLength(1)
})
