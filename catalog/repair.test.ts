import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import type { TableIdentifier } from '../iceberg/catalog.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { randomIds } from '../testkit/fixed-ports.ts'
import { type CatalogService, createCatalogService } from './catalog-service.ts'
import type { GenerationMemory, SeenGeneration } from './generation-watch.ts'
import { createCatalogRepair } from './repair.ts'
import type { RepairChoices } from './repair-plan.ts'

const warehouse = 'memory://w'
const minuteMs = 60_000
const nothing: RepairChoices = { exclude: new Set(), include: new Set(), names: new Map() }
const rootFile = `${warehouse}/.catalog/root`
let root: ReturnType<typeof createMemoryRootObject>
let store: ReturnType<typeof createMemoryObjectStore>
let nowMs: number
let seen: SeenGeneration[]

beforeEach(() => {
  root = createMemoryRootObject()
  store = createMemoryObjectStore()
  nowMs = 1_800_000_000_000
  seen = []
})

const clock = { nowMs: () => nowMs }
const generationMemory: GenerationMemory = {
  place: 'a file',
  isInWarehouse: false,
  recall: async () => seen,
  remember: async (one) => {
    seen = [one]
  },
}

function open(): CatalogService {
  return createCatalogService({
    root,
    store,
    clock,
    ids: randomIds,
    warehouseLocation: warehouse,
    generationMemory,
    sleep: async () => undefined,
  })
}

function repairs(allowedLocations: string[] = []) {
  return createCatalogRepair({
    root,
    store,
    clock,
    ids: randomIds,
    warehouseLocation: warehouse,
    allowedLocations,
    generationMemory,
  })
}

const at = (namespace: string, name: string): TableIdentifier => ({
  namespace: namespace.split('.'),
  name,
})

async function create(catalog: CatalogService, identifier: TableIdentifier, location?: string) {
  nowMs += minuteMs
  const request = { identifier, schema: testSchema }
  return catalog.createTable(location === undefined ? request : { ...request, location })
}

async function touch(catalog: CatalogService, identifier: TableIdentifier, key: string) {
  nowMs += minuteMs
  const updates = [{ action: 'set-properties' as const, updates: { [key]: '1' } }]
  const [table] = await catalog.commit([{ identifier, requirements: [], updates }])
  return table
}

async function createView(catalog: CatalogService, identifier: TableIdentifier) {
  const metadata = await catalog.newView(identifier, {
    name: identifier.name,
    schema: testSchema,
    viewVersion: {
      versionId: 1,
      schemaId: 0,
      timestampMs: nowMs,
      summary: {},
      representations: [{ type: 'sql', sql: 'select 1', dialect: 'trino' }],
      defaultNamespace: ['a'],
    },
    properties: {},
  })
  return catalog.createView(identifier, metadata)
}

async function filled(): Promise<CatalogService> {
  const catalog = open()
  await catalog.createNamespace(['a', 'b'], { owner: 'me' })
  await create(catalog, at('a', 't'))
  await create(catalog, at('a.b', 'u'))
  await createView(catalog, at('a', 'v'))
  await touch(catalog, at('a', 't'), 'x')
  return catalog
}

async function contentsOf(catalog: CatalogService) {
  const tables: Record<string, string> = {}
  for (const namespace of await allNamespaces(catalog)) {
    for (const one of await catalog.listTables(namespace)) {
      const { metadataLocation } = await catalog.loadTable(one)
      tables[[...one.namespace, one.name].join('.')] = metadataLocation
    }
    for (const one of await catalog.listViews(namespace)) {
      const { metadataLocation } = await catalog.loadView(one)
      tables[`view ${[...one.namespace, one.name].join('.')}`] = metadataLocation
    }
  }
  return tables
}

async function allNamespaces(catalog: CatalogService, parent: string[] = []): Promise<string[][]> {
  const found: string[][] = []
  for (const namespace of await catalog.listNamespaces(parent)) {
    found.push([...namespace], ...(await allNamespaces(catalog, [...namespace])))
  }
  return found
}

/** The root's content as an operator's copy beside the root. */
function keepCopy(index: number, name: string): void {
  store.plant(`${warehouse}/.catalog/${name}`, root.history[index] as Uint8Array)
}

const lose = (): void => {
  root = createMemoryRootObject()
}

describe('a root that was lost', () => {
  it('is rebuilt from the metadata files: tables and views, each at its newest', async () => {
    const catalog = await filled()
    const before = await contentsOf(catalog)
    await catalog.close()
    lose()
    await expect(open().listNamespaces()).rejects.toThrow(/potok catalog repair/)
    const repair = repairs()
    const inspection = await repair.inspect(nothing)
    expect(inspection).toMatchObject({ condition: 'missing', generationSeen: 6 })
    expect(root.history).toHaveLength(0)
    const { generation } = await repair.apply(inspection)
    expect(generation).toBeGreaterThan(6)
    expect(await contentsOf(open())).toEqual(before)
    await touch(open(), at('a', 't'), 'y')
    expect((await repairs().inspect(nothing)).condition).toBe('whole')
  })

  it('gets names, properties of namespaces and dropped tables from a copy of the root', async () => {
    const catalog = await filled()
    await create(catalog, at('a', 'dropped'))
    await catalog.dropTable(at('a', 'dropped'))
    await catalog.renameTable(at('a.b', 'u'), at('a', 'renamed'))
    nowMs += 10 * minuteMs
    await catalog.createNamespace(['later'])
    keepCopy(root.history.length - 1, 'root.bak')
    await touch(catalog, at('a', 'renamed'), 'y')
    await create(catalog, at('later', 'new'))
    const before = await contentsOf(catalog)
    await catalog.close()
    lose()
    const inspection = await repairs().inspect(nothing)
    expect(inspection.plan.leftOut).toMatchObject([
      { name: 'a.dropped', why: expect.stringMatching(/^dropped: the root of generation/) },
    ])
    await repairs().apply(inspection)
    expect(await contentsOf(open())).toEqual(before)
    expect(await open().namespaceProperties(['a', 'b'])).toEqual({ owner: 'me' })
  })

  it('without a copy holds dropped tables, too, unless they are excluded, and takes names given', async () => {
    const catalog = await filled()
    const { metadata } = await create(catalog, at('a', 'dropped'))
    await catalog.dropTable(at('a', 'dropped'))
    const u = await catalog.loadTable(at('a.b', 'u'))
    await catalog.renameTable(at('a.b', 'u'), at('a', 'renamed'))
    lose()
    const names = (inspected: { plan: { taken: readonly { name: string }[] } }) =>
      inspected.plan.taken.map((entry) => entry.name).toSorted((x, y) => (x < y ? -1 : 1))
    expect(names(await repairs().inspect(nothing))).toEqual(['a.b.u', 'a.dropped', 'a.t', 'a.v'])
    const inspection = await repairs().inspect({
      exclude: new Set(['a.dropped']),
      include: new Set(),
      names: new Map([[u.metadata.tableUuid, at('a', 'renamed')]]),
    })
    expect(names(inspection)).toEqual(['a.renamed', 'a.t', 'a.v'])
    expect(inspection.plan.leftOut).toMatchObject([{ uuid: metadata.tableUuid }])
  })

  it('finds tables under allowed locations, and gives one name once', async () => {
    const catalog = createCatalogService({
      root,
      store,
      clock,
      ids: randomIds,
      warehouseLocation: warehouse,
      allowedLocations: ['memory://elsewhere'],
    })
    await catalog.createNamespace(['x'])
    await create(catalog, at('x', 't'))
    await create(catalog, at('x', 'far'), 'memory://elsewhere/x/t')
    lose()
    expect((await repairs().inspect(nothing)).plan.taken).toHaveLength(1)
    const { plan } = await repairs(['memory://elsewhere']).inspect(nothing)
    expect(plan.taken.map((entry) => entry.name)).toEqual([
      'x.t',
      expect.stringMatching(/^x\.t_[0-9a-f]{8}$/),
    ])
    expect(plan.warnings).toEqual([expect.stringMatching(/claimed twice/)])
  })

  it('rebuilds a catalog of many tables, in pages', async () => {
    const catalog = open()
    await catalog.createNamespace(['m'])
    const names = Array.from({ length: 300 }, (_, i) => at('m', `t${i}`))
    await Promise.all(
      names.map((one) => catalog.createTable({ identifier: one, schema: testSchema })),
    )
    lose()
    await repairs().apply(await repairs().inspect(nothing))
    expect(await open().listTables(['m'])).toHaveLength(300)
  })
})

describe('two heads of one table', () => {
  /** A file that a lost or unfinished commit left: it builds upon the one before the newest. */
  async function withOrphan(): Promise<{ newest: string; orphan: string }> {
    await filled()
    const failed = createMemoryRootObject()
    const current = root
    failed.swap = async () => {
      throw new Error('killed')
    }
    failed.read = () => current.read()
    failed.version = () => current.version()
    const deletions = store.faults
    deletions.before = (call) => {
      if (call === 'delete') throw new Error('killed')
    }
    root = failed
    await touch(open(), at('a', 't'), 'orphan').catch(() => undefined)
    root = current
    delete deletions.before
    const newest = (await touch(open(), at('a', 't'), 'newest'))?.metadataLocation ?? ''
    const orphan = [...store.objects.keys()].find(
      (key) => key.includes('/a/t/metadata/00002-') && key !== newest,
    )
    return { newest, orphan: orphan ?? '' }
  }

  it('are shown, and the later one is taken', async () => {
    const { newest, orphan } = await withOrphan()
    lose()
    const { plan } = await repairs().inspect(nothing)
    expect(plan.taken.find((entry) => entry.name === 'a.t')).toMatchObject({
      metadataLocation: newest,
      notTaken: [orphan],
      reason: 'it was written last',
    })
  })

  it('are told apart by a copy of the root that names one of them', async () => {
    const { newest, orphan } = await withOrphan()
    const bytes = store.objects.get(orphan)?.bytes as Uint8Array
    const later = JSON.parse(new TextDecoder().decode(bytes))
    later['last-updated-ms'] += 60 * minuteMs
    store.plant(orphan, new TextEncoder().encode(JSON.stringify(later)))
    keepCopy(root.history.length - 1, 'root.bak')
    lose()
    const { plan } = await repairs().inspect(nothing)
    expect(plan.taken.find((entry) => entry.name === 'a.t')).toMatchObject({
      metadataLocation: newest,
      reason: 'it is what the old root names, or builds upon it',
    })
  })

  it('of which one is torn leave the other, and the torn one is named', async () => {
    const { newest, orphan } = await withOrphan()
    store.plant(newest, new TextEncoder().encode('{"format-ver'))
    lose()
    const { plan, scan } = await repairs().inspect(nothing)
    expect(plan.taken.find((entry) => entry.name === 'a.t')?.metadataLocation).toBe(orphan)
    expect(scan.unreadable).toMatchObject([{ location: newest }])
  })
})

describe('a root that is there', () => {
  it('and whole is left alone', async () => {
    await filled()
    expect((await repairs().inspect(nothing)).condition).toBe('whole')
  })

  it('and torn is replaced, and what was there is kept', async () => {
    const catalog = await filled()
    const before = await contentsOf(catalog)
    store.plant(rootFile, new TextEncoder().encode('{"format":"potok-cat'))
    const torn = createMemoryRootObject()
    await torn.swap(null, new TextEncoder().encode('{"format":"potok-cat'))
    root = torn
    await expect(open().listNamespaces()).rejects.toMatchObject({ kind: 'DataCorrupt' })
    const inspection = await repairs().inspect(nothing)
    expect(inspection.condition).toBe('torn')
    const { kept } = await repairs().apply(inspection)
    expect(store.objects.has(`${kept}/root`)).toBe(true)
    expect(await contentsOf(open())).toEqual(before)
  })

  it('and old is replaced by one above every generation seen, which old copies can not pass for', async () => {
    const catalog = await filled()
    await touch(catalog, at('a', 't'), 'y')
    const before = await contentsOf(catalog)
    await catalog.close()
    root.restore(3)
    keepCopy(3, 'root')
    await expect(open().listNamespaces()).rejects.toThrow(/old copy/)
    const inspection = await repairs().inspect(nothing)
    expect(inspection).toMatchObject({ condition: 'old copy', generation: 4, generationSeen: 7 })
    await repairs().apply(inspection)
    expect(await contentsOf(open())).toEqual(before)
    root.restore(3)
    await expect(open().listNamespaces()).rejects.toThrow(/old copy/)
  })

  it('and changes while it is repaired stays as it is', async () => {
    await filled()
    const inspection = await repairs().inspect(nothing)
    const swap = root.swap.bind(root)
    root.swap = async (expected, bytes) => {
      root.swap = swap
      await open().createNamespace(['rival'])
      return swap(expected, bytes)
    }
    await expect(repairs().apply(inspection)).rejects.toThrow(/changed while it was repaired/)
    expect(await open().namespaceExists(['rival'])).toBe(true)
  })
})
