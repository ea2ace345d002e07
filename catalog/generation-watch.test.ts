import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { randomIds } from '../testkit/fixed-ports.ts'
import { createCatalogService } from './catalog-service.ts'
import type { GenerationMemory, SeenGeneration } from './generation-watch.ts'

let root: ReturnType<typeof createMemoryRootObject>
let store: ReturnType<typeof createMemoryObjectStore>
let nowMs: number

beforeEach(() => {
  root = createMemoryRootObject()
  store = createMemoryObjectStore()
  nowMs = 1_800_000_000_000
})

function open(generationMemory?: GenerationMemory) {
  return createCatalogService({
    root,
    store,
    clock: { nowMs: () => nowMs },
    ids: randomIds,
    warehouseLocation: 'memory://w',
    sleep: async () => undefined,
    ...(generationMemory === undefined ? {} : { generationMemory }),
  })
}

/** Somewhere outside of the warehouse. */
function outside(): GenerationMemory & { seen: SeenGeneration[] } {
  const memory = {
    place: 'a file',
    isInWarehouse: false,
    seen: [] as SeenGeneration[],
    recall: async () => memory.seen,
    remember: async (seen: SeenGeneration) => {
      memory.seen = [seen]
    },
  }
  return memory
}

async function someChanges(memory?: GenerationMemory): Promise<void> {
  const catalog = open(memory)
  await catalog.createNamespace(['a'])
  await catalog.createTable({ identifier: { namespace: ['a'], name: 't' }, schema: testSchema })
  await catalog.createNamespace(['b'])
  await catalog.close()
}

const marks = (): string[] => [...store.objects.keys()].filter((key) => key.includes('-seen/'))

describe('a server that starts', () => {
  it('refuses a root that was put back from an old copy, and names the choices', async () => {
    await someChanges()
    root.restore(1)
    const refusal = expect(open().listNamespaces()).rejects
    await refusal.toMatchObject({ kind: 'DataCorrupt' })
    await expect(open().createNamespace(['c'])).rejects.toThrow(
      /generation 2, but 4 was seen before.*old copy.*put the newest root back.*potok catalog repair/,
    )
  })

  it('refuses it by what is noted outside, though the whole warehouse was put back', async () => {
    const memory = outside()
    await someChanges(memory)
    for (const mark of marks()) await store.delete([mark])
    root.restore(2)
    await expect(open(memory).listNamespaces()).rejects.toThrow(/noted in a file/)
  })

  it('goes on with the newest root, and with one that moved on elsewhere', async () => {
    const memory = outside()
    await someChanges(memory)
    expect(await open(memory).listNamespaces()).toHaveLength(2)
    await someChangesElsewhere()
    expect(await open(memory).listNamespaces()).toHaveLength(3)
  })

  async function someChangesElsewhere(): Promise<void> {
    const catalog = open()
    await catalog.createNamespace(['c'])
    await catalog.close()
  }

  it('refuses a missing root where one was seen in this warehouse, though it holds no tables', async () => {
    const catalog = open()
    await catalog.createNamespace(['a'])
    await catalog.close()
    root = createMemoryRootObject()
    await expect(open().listNamespaces()).rejects.toThrow(
      /root object is missing, but generation 2 was seen before/,
    )
  })

  it('makes a new catalog in an emptied warehouse, whatever is noted outside', async () => {
    const memory = outside()
    await someChanges(memory)
    store = createMemoryObjectStore()
    root = createMemoryRootObject()
    const catalog = open(memory)
    await catalog.createNamespace(['new'])
    await catalog.close()
    expect(memory.seen).toMatchObject([{ generation: 2 }])
    expect(await open(memory).listNamespaces()).toEqual([['new']])
  })

  it('is not kept from working by a place where nothing can be noted', async () => {
    const memory = outside()
    memory.remember = async () => {
      throw new Error('read-only')
    }
    await someChanges(memory)
    expect(marks()).toHaveLength(1)
  })
})

describe('what is noted', () => {
  it('is one mark per warehouse, written now and then, and at the end', async () => {
    const catalog = open()
    await catalog.createNamespace(['a'])
    expect(marks()).toEqual([])
    nowMs += 31_000
    await catalog.createNamespace(['b'])
    await catalog.createNamespace(['c'])
    await catalog.close()
    expect(marks()).toHaveLength(1)
    expect(marks()[0]).toMatch(/\.catalog-seen\/[0-9a-f]{16}-4$/)
  })

  it('is never lowered by a server that lags behind', async () => {
    const lagging = open()
    await lagging.createNamespace(['a'])
    await someNamespaces(open())
    const before = marks()
    await lagging.close()
    expect(marks()).toEqual(before)
  })

  async function someNamespaces(catalog: ReturnType<typeof open>): Promise<void> {
    for (const name of ['x', 'y', 'z']) await catalog.createNamespace([name])
    await catalog.close()
  }
})
