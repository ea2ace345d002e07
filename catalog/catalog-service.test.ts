import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createLocalObjectStore } from '../adapters/object-store/local-object-store.ts'
import { createLocalRootObject } from '../adapters/object-store/local-root-object.ts'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import {
  appendOf,
  catalogContract,
  nextSnapshot,
  testSchema,
} from '../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../testkit/fixed-ports.ts'
import { createCatalogService } from './catalog-service.ts'

const warehouse = 'memory://warehouse'
const namespace = ['ns']
const identifier = { namespace, name: 't' }

function memoryWarehouse(allowedLocations: string[] = []) {
  const root = createMemoryRootObject()
  const store = createMemoryObjectStore()
  const connect = () =>
    createCatalogService({
      root,
      store,
      clock: systemClock,
      ids: randomIds,
      warehouseLocation: warehouse,
      allowedLocations,
      sleep: async () => undefined,
    })
  return { root, store, connect }
}

catalogContract('in process, over memory', async () => {
  const { connect, store } = memoryWarehouse()
  return { connect, close: () => store.close() }
})

catalogContract('in process, over a local folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'potok-catalog-'))
  return {
    connect: () =>
      createCatalogService({
        root: createLocalRootObject({ directory: join(folder, '.potok-catalog/root') }),
        store: createLocalObjectStore({ root: folder }),
        clock: systemClock,
        ids: randomIds,
        warehouseLocation: `file:${folder}`,
      }),
    close: () => rm(folder, { recursive: true, force: true }),
  }
})

describe('group commit', () => {
  it('takes concurrent commits into few swaps and one metadata file per table and swap', async () => {
    const { connect, root, store } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    await catalog.createTable({ identifier, schema: testSchema })
    const swapsBefore = root.swapCount
    const tables = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        catalog.commit([
          {
            identifier,
            requirements: [],
            updates: [{ action: 'set-properties', updates: { [`p${i}`]: 'x' } }],
          },
        ]),
      ),
    )
    expect(root.swapCount - swapsBefore).toBeLessThanOrEqual(3)
    const { metadata, metadataLocation } = await connect().loadTable(identifier)
    expect(Object.keys(metadata.properties).filter((key) => /^p\d/.test(key))).toHaveLength(50)
    expect(metadata.metadataLog.length).toBe(root.swapCount - swapsBefore)
    for (const [table] of tables)
      expect(store.objects.has(table?.metadataLocation ?? '')).toBe(true)
    for (const entry of metadata.metadataLog) {
      expect(store.objects.has(entry.metadataFile)).toBe(true)
    }
    const files = [...store.objects.keys()].filter((key) => key.endsWith('.metadata.json'))
    expect(files).toHaveLength(metadata.metadataLog.length + 1)
    expect(files).toContain(metadataLocation)
  })

  it('refuses one of a group and takes the others, each seeing those before it', async () => {
    const { connect } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const results = await Promise.allSettled([
      catalog.createTable({ identifier, schema: testSchema }),
      catalog.createTable({ identifier, schema: testSchema }),
      catalog.createTable({ identifier: { namespace, name: 'u' }, schema: testSchema }),
      catalog.renameTable(identifier, { namespace, name: 'renamed' }),
      catalog.dropNamespace(namespace),
    ])
    expect(results.map((result) => result.status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'rejected',
    ])
    expect((await catalog.listTables(namespace)).map((one) => one.name)).toEqual(['renamed', 'u'])
    await connect().loadTable({ namespace, name: 'renamed' })
  })

  it('takes the others where the file of one table can not be written', async () => {
    const { connect, store } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    store.faults.before = (call, location) => {
      if (call === 'write' && location.includes('/bad/')) throw new Error('disk full')
    }
    const results = await Promise.allSettled(
      ['bad', 'good'].map((name) =>
        catalog.createTable({ identifier: { namespace, name }, schema: testSchema }),
      ),
    )
    expect(results.map((result) => result.status)).toEqual(['rejected', 'fulfilled'])
    expect((await catalog.listTables(namespace)).map((one) => one.name)).toEqual(['good'])
  })

  it('refuses what comes after close, and finishes what was under way', async () => {
    const { connect } = memoryWarehouse()
    const catalog = connect()
    const under = catalog.createNamespace(namespace)
    await catalog.close()
    await under
    await expect(catalog.createNamespace(['late'])).rejects.toMatchObject({ kind: 'ShuttingDown' })
  })
})

describe('names and locations', () => {
  it('serves 2,000 tables from pages, with names changed and dropped since', async () => {
    const { connect, root, store } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const names = Array.from({ length: 2_000 }, (_, i) => `t${String(i).padStart(5, '0')}`)
    await Promise.all(
      names.map((name) =>
        catalog.createTable({ identifier: { namespace, name }, schema: testSchema }),
      ),
    )
    await catalog.dropTable({ namespace, name: 't00007' })
    await catalog.createNamespace(['other'])
    const reader = connect()
    const expected = names.filter((name) => name !== 't00007')
    expect((await reader.listTables(namespace)).map((one) => one.name)).toEqual(expected)
    expect(await reader.listNamespaces()).toEqual([namespace, ['other']])
    await reader.loadTable({ namespace, name: 't01999' })
    expect((await root.read())?.bytes.length).toBeLessThan(120_000)
    const pages = [...store.objects.keys()].filter((key) => key.includes('/pages/'))
    expect(pages.length).toBeGreaterThan(3)
  })

  it('gives a new table a folder of its own where a renamed one still lies in the plain one', async () => {
    const { connect } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const first = await catalog.createTable({ identifier, schema: testSchema })
    expect(first.metadata.location).toBe('memory://warehouse/ns/t')
    await catalog.renameTable(identifier, { namespace, name: 'old' })
    const second = await catalog.createTable({ identifier, schema: testSchema })
    expect(second.metadata.location).toMatch(/^memory:\/\/warehouse\/ns\/t-[0-9a-f]{8}$/)
  })

  it('purges a dropped table, and nothing of its neighbours', async () => {
    const { connect, store } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    await catalog.createTable({ identifier, schema: testSchema })
    const neighbour = { namespace, name: 't2' }
    await catalog.createTable({ identifier: neighbour, schema: testSchema })
    store.plant(`${warehouse}/ns/t/data/x.parquet`, new Uint8Array(1))
    await catalog.dropTable(identifier, { purge: true })
    await catalog.close()
    expect([...store.objects.keys()].filter((key) => key.startsWith(`${warehouse}/ns/t/`))).toEqual(
      [],
    )
    await connect().loadTable(neighbour)
  })

  it.each([
    ['memory://elsewhere/t', 'another place'],
    ['memory://warehouse/../t', 'a way up'],
    ['memory://warehouse/%2e%2e/t', 'a hidden way up'],
    ['memory://warehouse-2/t', 'a name that only begins like the warehouse'],
    ['file:///etc', 'the server itself'],
  ])('refuses %s: %s', async (location) => {
    const { connect } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    await expect(
      catalog.createTable({ identifier, schema: testSchema, location }),
    ).rejects.toMatchObject({ kind: 'InvalidInput' })
    await catalog.createTable({ identifier, schema: testSchema })
    await expect(
      catalog.commit([
        { identifier, requirements: [], updates: [{ action: 'set-location', location }] },
      ]),
    ).rejects.toMatchObject({ kind: 'InvalidInput' })
    await expect(
      catalog.registerTable({ namespace, name: 'r' }, `${location}/metadata/1.metadata.json`),
    ).rejects.toMatchObject({ kind: 'InvalidInput' })
    const properties = { 'write.data.path': location }
    await expect(
      catalog.createTable({ identifier: { namespace, name: 'p' }, schema: testSchema, properties }),
    ).rejects.toMatchObject({ kind: 'InvalidInput' })
  })

  it('allows what the operator allows', async () => {
    const { connect } = memoryWarehouse(['memory://elsewhere/shared'])
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const location = 'memory://elsewhere/shared/t'
    const table = await catalog.createTable({ identifier, schema: testSchema, location })
    expect(table.metadata.location).toBe(location)
  })

  it('registers a table from its metadata file', async () => {
    const { connect } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const table = await catalog.createTable({ identifier, schema: testSchema })
    await catalog.dropTable(identifier)
    const back = await catalog.registerTable(identifier, table.metadataLocation)
    expect(back.metadata.tableUuid).toBe(table.metadata.tableUuid)
    await expect(catalog.registerTable(identifier, table.metadataLocation)).rejects.toMatchObject({
      kind: 'AlreadyExists',
    })
  })
})

describe('metadata upkeep', () => {
  it('deletes metadata files that fell out of the log, if the table says so, after the swap', async () => {
    const { connect, store } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    await catalog.createTable({
      identifier,
      schema: testSchema,
      properties: {
        'write.metadata.delete-after-commit.enabled': 'true',
        'write.metadata.previous-versions-max': '3',
      },
    })
    for (let i = 0; i < 10; i++) {
      await catalog.commit([
        {
          identifier,
          requirements: [],
          updates: [{ action: 'set-properties', updates: { i: String(i) } }],
        },
      ])
    }
    await catalog.close()
    const files = [...store.objects.keys()].filter((key) => key.endsWith('.metadata.json'))
    expect(files).toHaveLength(4)
    const { metadata } = await connect().loadTable(identifier)
    expect(metadata.metadataLog.map((entry) => entry.metadataFile).sort()).toEqual(
      files.sort().slice(0, 3),
    )
  })

  it('writes gzip where the table asks for it, and reads it', async () => {
    const { connect, store } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const properties = { 'write.metadata.compression-codec': 'gzip' }
    const table = await catalog.createTable({ identifier, schema: testSchema, properties })
    expect(table.metadataLocation).toMatch(/\/00000-.*\.gz\.metadata\.json$/)
    expect(store.objects.get(table.metadataLocation)?.bytes[0]).toBe(0x1f)
    expect((await connect().loadTable(identifier)).metadata).toEqual(table.metadata)
  })

  it('writes nothing where updates change nothing', async () => {
    const { connect, root } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const table = await catalog.createTable({ identifier, schema: testSchema })
    const swaps = root.swapCount
    const [same] = await catalog.commit([
      {
        identifier,
        requirements: [{ type: 'assert-table-uuid', uuid: table.metadata.tableUuid }],
        updates: [],
      },
    ])
    expect(same?.metadataLocation).toBe(table.metadataLocation)
    expect(root.swapCount).toBe(swaps)
  })

  it('says DataCorrupt where a metadata file is missing, and can still drop the table', async () => {
    const { connect, store } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const table = await catalog.createTable({ identifier, schema: testSchema })
    await store.delete([table.metadataLocation])
    await expect(connect().loadTable(identifier)).rejects.toMatchObject({ kind: 'DataCorrupt' })
    await connect().dropTable(identifier)
  })

  it('keeps snapshot and sequence of an append through a restart', async () => {
    const { connect } = memoryWarehouse()
    const catalog = connect()
    await catalog.createNamespace(namespace)
    const { metadata } = await catalog.createTable({ identifier, schema: testSchema })
    const snapshot = nextSnapshot(metadata, 9_007_199_254_740_993n)
    await catalog.commit([{ identifier, requirements: [], updates: appendOf(snapshot) }])
    expect((await connect().loadTable(identifier)).metadata.snapshots).toEqual([snapshot])
  })
})
