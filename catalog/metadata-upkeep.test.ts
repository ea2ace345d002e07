import { describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import type { TableUpdate } from '../iceberg/spec/table-updates.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../testkit/fixed-ports.ts'
import { createCatalogService } from './catalog-service.ts'

const identifier = { namespace: ['ns'], name: 't' }
const upkeep = {
  'write.metadata.delete-after-commit.enabled': 'true',
  'write.metadata.previous-versions-max': '2',
}

async function prepared(properties: Record<string, string> = upkeep) {
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
  await catalog.createNamespace(['ns'])
  await catalog.createTable({ identifier, schema: testSchema, properties })
  const change = (updates: TableUpdate[], on = catalog, of = identifier) =>
    on.commit([{ identifier: of, requirements: [], updates }])
  const setTo = (i: number, on = catalog, of = identifier) =>
    change([{ action: 'set-properties', updates: { i: String(i) } }], on, of)
  const files = () => [...store.objects.keys()].filter((key) => key.includes('.metadata.json'))
  /** The present file and those of its log, as the root has them now. */
  const named = async (of = identifier) => {
    const { metadata, metadataLocation } = await connect().loadTable(of)
    return [...metadata.metadataLog.map((entry) => entry.metadataFile), metadataLocation]
  }
  return { root, store, connect, catalog, change, setTo, files, named }
}

describe('metadata files that fell out of the log', () => {
  it('stay where the table does not ask for their deletion, though the log forgets them', async () => {
    const { catalog, setTo, files, named } = await prepared({
      'write.metadata.previous-versions-max': '2',
    })
    for (let i = 0; i < 5; i++) await setTo(i)
    await catalog.close()
    expect(await named()).toHaveLength(3)
    expect(files()).toHaveLength(6)
  })

  it('go also where a commit makes the log shorter, or asks for it only now', async () => {
    const { catalog, change, setTo, files, named } = await prepared({})
    for (let i = 0; i < 5; i++) await setTo(i)
    await change([{ action: 'set-properties', updates: upkeep }])
    await catalog.close()
    expect(await named()).toHaveLength(3)
    expect(files().sort()).toEqual((await named()).sort())
  })

  it('stay while the swap is refused or lost, and go when it has won', async () => {
    const { root, catalog, connect, setTo, files, named } = await prepared()
    for (let i = 0; i < 3; i++) await setTo(i)
    root.script = ['refused']
    await expect(setTo(4)).rejects.toMatchObject({ kind: 'Unavailable' })
    await catalog.close()
    expect(files().sort()).toEqual((await named()).sort())
    const [one, other] = [connect(), connect()]
    await Promise.all([setTo(5, one), setTo(6, other)])
    expect(one.stats.swapsLost + other.stats.swapsLost).toBe(1)
    await one.close()
    await other.close()
    expect(files().sort()).toEqual((await named()).sort())
  })

  it('stay where it is unknown whether the swap has won: either root finds its files', async () => {
    const { root, store, catalog, setTo, named } = await prepared()
    for (let i = 0; i < 3; i++) await setTo(i)
    const before = await named()
    root.script = Array.from({ length: 50 }, () => 'delayed' as const)
    await expect(setTo(4)).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    root.script = []
    await catalog.close()
    expect(before.every((file) => store.objects.has(file))).toBe(true)
    root.deliverDelayed()
    const after = await named()
    expect(after).not.toEqual(before)
    expect(after.every((file) => store.objects.has(file))).toBe(true)
  })

  it('go after many commits in one swap, after a rename and from a metadata folder of its own', async () => {
    const folder = 'memory://w/elsewhere'
    const { catalog, setTo, files, named } = await prepared({
      ...upkeep,
      'write.metadata.path': `${folder}/`,
    })
    for (let i = 0; i < 3; i++) await setTo(i)
    const renamed = { namespace: ['ns'], name: 'u' }
    await catalog.renameTable(identifier, renamed)
    await Promise.all(Array.from({ length: 20 }, (_, i) => setTo(100 + i, catalog, renamed)))
    await setTo(200, catalog, renamed)
    await catalog.close()
    expect((await named(renamed)).every((file) => file.startsWith(`${folder}/0`))).toBe(true)
    expect(files().sort()).toEqual((await named(renamed)).sort())
  })

  it('stay where they lie in another folder than the metadata does now', async () => {
    const { catalog, change, setTo, files } = await prepared()
    for (let i = 0; i < 2; i++) await setTo(i)
    const before = files()
    await change([{ action: 'set-location', location: 'memory://w/ns/moved' }])
    for (let i = 2; i < 8; i++) await setTo(i)
    await catalog.close()
    expect(before).toHaveLength(3)
    expect(files().filter((file) => file.startsWith('memory://w/ns/t/'))).toEqual(before)
    expect(files().filter((file) => file.startsWith('memory://w/ns/moved/'))).toHaveLength(3)
  })
})
