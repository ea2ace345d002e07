import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import {
  createMemoryRootObject,
  type SwapFault,
} from '../adapters/object-store/memory-root-object.ts'
import { isPotokError } from '../kernel/errors.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../testkit/fixed-ports.ts'
import { createCatalogService } from './catalog-service.ts'

const namespace = ['ns']
const identifier = { namespace, name: 't' }

async function prepared() {
  const root = createMemoryRootObject()
  const store = createMemoryObjectStore()
  const connect = () =>
    createCatalogService({
      root,
      store,
      clock: systemClock,
      ids: randomIds,
      warehouseLocation: 'memory://w',
      sleep: async () => undefined,
    })
  const catalog = connect()
  await catalog.createNamespace(namespace)
  await catalog.createTable({ identifier, schema: testSchema })
  return { root, store, connect, catalog }
}

type Prepared = Awaited<ReturnType<typeof prepared>>

function setProperty(catalog: Prepared['catalog'], key: string) {
  return catalog.commit([
    {
      identifier,
      requirements: [],
      updates: [{ action: 'set-properties', updates: { [key]: '1' } }],
    },
  ])
}

async function propertiesOf(connect: Prepared['connect']) {
  return (await connect().loadTable(identifier)).metadata.properties
}

function metadataFiles(store: Prepared['store']) {
  return [...store.objects.keys()].filter((key) => key.endsWith('.metadata.json'))
}

describe('lost answers', () => {
  it('finds a commit in the root whose answer was lost, and reports it as done once', async () => {
    const { root, catalog, connect } = await prepared()
    const swaps = root.history.length
    root.script = ['answer-lost']
    await setProperty(catalog, 'a')
    expect((await propertiesOf(connect))['a']).toBe('1')
    expect(root.history.length).toBe(swaps + 1)
  })

  it('finds it though a newer commit of somebody else is on top', async () => {
    const { root, catalog, connect } = await prepared()
    const rival = connect()
    const swap = root.swap.bind(root)
    root.swap = async (expected, bytes) => {
      root.swap = swap
      await swap(expected, bytes)
      await setProperty(rival, 'rival')
      return root.swap('stale', bytes)
    }
    await setProperty(catalog, 'a')
    expect(await propertiesOf(connect)).toMatchObject({ a: '1', rival: '1' })
  })

  it('keeps its files where somebody else builds on its swap, and it reads that, before its answer comes', async () => {
    const { root, catalog, connect } = await prepared()
    const rival = connect()
    const swap = root.swap.bind(root)
    root.swap = async (expected, bytes) => {
      root.swap = swap
      const result = await swap(expected, bytes)
      await rival.createTable({ identifier: { namespace, name: 'other' }, schema: testSchema })
      await catalog.loadTable({ namespace, name: 'other' })
      return result
    }
    await setProperty(catalog, 'a')
    expect((await propertiesOf(connect))['a']).toBe('1')
    await setProperty(catalog, 'b')
    expect(await propertiesOf(connect)).toMatchObject({ a: '1', b: '1' })
  })

  it('sends the same bytes again where the request was lost', async () => {
    const { root, catalog, connect } = await prepared()
    root.script = ['request-lost', 'request-lost']
    await setProperty(catalog, 'a')
    expect((await propertiesOf(connect))['a']).toBe('1')
  })

  it('commits on top where a rival was faster, and a delayed write can not land any more', async () => {
    const { root, catalog, connect } = await prepared()
    root.script = ['delayed', 'rival-first']
    const rival = connect()
    root.rival = async () => {
      await setProperty(rival, 'rival')
    }
    await setProperty(catalog, 'a')
    expect(root.deliverDelayed()).toBe(0)
    expect(await propertiesOf(connect)).toMatchObject({ a: '1', rival: '1' })
  })

  it('says unknown while the root can not be reached, deletes nothing, and the delayed write may land', async () => {
    const { root, store, catalog, connect } = await prepared()
    const files = metadataFiles(store).length
    const swap = root.swap.bind(root)
    root.swap = async (expected, bytes) => {
      root.isUnreachable = true
      return swap(expected, bytes)
    }
    root.script = ['delayed']
    await expect(setProperty(catalog, 'a')).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    expect(metadataFiles(store)).toHaveLength(files + 1)
    root.isUnreachable = false
    root.swap = swap
    expect(root.deliverDelayed()).toBe(1)
    expect((await propertiesOf(connect))['a']).toBe('1')
    await setProperty(catalog, 'b')
    expect(await propertiesOf(connect)).toMatchObject({ a: '1', b: '1' })
  })

  it('deletes new metadata after a proven loss only', async () => {
    const { root, store, catalog, connect } = await prepared()
    const files = metadataFiles(store).length
    const rival = connect()
    root.rival = async () => {
      await setProperty(rival, 'rival')
    }
    root.script = ['rival-first']
    await setProperty(catalog, 'a')
    // The table's, the rival's, ours: the one of the lost attempt has gone.
    expect(metadataFiles(store)).toHaveLength(files + 2)
  })

  it('reports a refused write as failed and leaves nothing behind', async () => {
    const { root, store, catalog, connect } = await prepared()
    const files = metadataFiles(store).length
    root.script = ['refused']
    await expect(setProperty(catalog, 'a')).rejects.toMatchObject({ kind: 'Unavailable' })
    expect((await propertiesOf(connect))['a']).toBeUndefined()
    expect(metadataFiles(store)).toHaveLength(files)
  })

  it('judges a requirement again after a lost swap', async () => {
    const { root, catalog, connect } = await prepared()
    const rival = connect()
    root.rival = async () => {
      await rival.commit([
        {
          identifier,
          requirements: [],
          updates: [{ action: 'set-properties', updates: { position: '2' } }],
        },
      ])
    }
    root.script = ['rival-first']
    await expect(
      catalog.commit([
        {
          identifier,
          requirements: [{ type: 'assert-property', key: 'position', value: null }],
          updates: [{ action: 'set-properties', updates: { position: '1' } }],
        },
      ]),
    ).rejects.toThrow('Requirement failed: property position has changed: expected none != 2')
    expect((await propertiesOf(connect))['position']).toBe('2')
  })
})

describe('a root that moves on', () => {
  it('while a commit is planned leads to another plan, though the files it was read from are deleted', async () => {
    const { store, catalog, connect } = await prepared()
    await catalog.commit([
      {
        identifier,
        requirements: [],
        updates: [
          {
            action: 'set-properties',
            updates: {
              'write.metadata.delete-after-commit.enabled': 'true',
              'write.metadata.previous-versions-max': '1',
            },
          },
        ],
      },
    ])
    const rival = connect()
    store.faults.before = async (call, location) => {
      if (call !== 'read' || !location.endsWith('.metadata.json')) return
      delete store.faults.before
      for (const key of ['r1', 'r2', 'r3']) await setProperty(rival, key)
      await rival.close()
    }
    await setProperty(connect(), 'a')
    expect(await propertiesOf(connect)).toMatchObject({ r3: '1', a: '1' })
  })
})

describe('a damaged root', () => {
  it('is refused when an old copy was put back', async () => {
    const { root, catalog } = await prepared()
    root.restore(0)
    await expect(catalog.loadTable(identifier)).rejects.toMatchObject({ kind: 'DataCorrupt' })
    await expect(setProperty(catalog, 'a')).rejects.toMatchObject({ kind: 'DataCorrupt' })
  })

  it('is not made anew where the warehouse holds tables', async () => {
    const { store } = await prepared()
    const fresh = createCatalogService({
      root: createMemoryRootObject(),
      store,
      clock: systemClock,
      ids: randomIds,
      warehouseLocation: 'memory://w',
    })
    await expect(fresh.listNamespaces()).rejects.toThrow(/root object is missing/)
  })
})

describe('any mix of faults and rivals', () => {
  const faults: SwapFault[] = [
    'ok',
    'answer-lost',
    'request-lost',
    'delayed',
    'refused',
    'rival-first',
  ]

  it('keeps each reported commit once, no refused one, and unknown ones at most once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...faults), { maxLength: 24 }),
        fc.integer({ min: 1, max: 6 }),
        async (script, commitCount) => {
          const { root, store, connect } = await prepared()
          const rival = connect()
          let rivals = 0
          root.rival = async () => {
            const own = root.script
            root.script = []
            await setProperty(rival, `rival${rivals++}`)
            root.script = own
          }
          root.script = [...script]
          const services = [connect(), connect()]
          const outcomes = await Promise.all(
            Array.from({ length: commitCount }, async (_, i) => {
              try {
                await setProperty(services[i % 2] as Prepared['catalog'], `k${i}`)
                return 'done'
              } catch (error) {
                return isPotokError(error, 'CommitStateUnknown') ? 'unknown' : 'refused'
              }
            }),
          )
          root.deliverDelayed()
          const { metadata } = await connect().loadTable(identifier)
          for (const [i, outcome] of outcomes.entries()) {
            const isIn = metadata.properties[`k${i}`] === '1'
            if (outcome === 'done') expect(isIn).toBe(true)
            if (outcome === 'refused') expect(isIn).toBe(false)
          }
          for (let i = 0; i < rivals; i++) expect(metadata.properties[`rival${i}`]).toBe('1')
          for (const { metadataFile } of metadata.metadataLog) {
            expect(store.objects.has(metadataFile)).toBe(true)
          }
        },
      ),
      { numRuns: 200 },
    )
  })
})
