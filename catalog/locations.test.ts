/** Every way in which a client can bring a location, and what comes of one that isn't allowed. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLocalObjectStore } from '../adapters/object-store/local-object-store.ts'
import { createLocalRootObject } from '../adapters/object-store/local-root-object.ts'
import { encodeMetadataFile, encodeTableMetadata } from '../iceberg/codec/metadata-json.ts'
import { encodeViewMetadata } from '../iceberg/codec/view-json.ts'
import type { TableUpdate } from '../iceberg/spec/table-updates.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../testkit/fixed-ports.ts'
import { type CatalogService, createCatalogService } from './catalog-service.ts'

let folder: string
let warehouse: string
let catalog: CatalogService
let store: ReturnType<typeof createLocalObjectStore>

const t = { namespace: ['ns'], name: 't' }
const u = { namespace: ['ns'], name: 'u' }
const v = { namespace: ['ns'], name: 'v' }

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-locations-'))
  warehouse = `file://${folder}/w`
  store = createLocalObjectStore({ root: `${folder}/w` })
  catalog = createCatalogService({
    root: createLocalRootObject({ directory: `${folder}/w/.catalog` }),
    store,
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: warehouse,
    allowedLocations: [`file://${folder}/also`],
  })
  await catalog.createNamespace(['ns'])
  await catalog.createTable({ identifier: t, schema: testSchema })
})
afterEach(async () => {
  await catalog.close()
  await rm(folder, { recursive: true, force: true })
})

const viewOf = (location?: string) => ({
  name: 'v',
  schema: testSchema,
  viewVersion: {
    versionId: 1,
    schemaId: 0,
    timestampMs: 1,
    summary: {},
    representations: [{ type: 'sql' as const, sql: 'select 1', dialect: 'trino' }],
    defaultNamespace: ['ns'],
  },
  properties: {},
  ...(location === undefined ? {} : { location }),
})

function commit(...updates: TableUpdate[]): Promise<unknown> {
  return catalog.commit([{ identifier: t, requirements: [], updates }])
}

async function createView(location?: string): Promise<unknown> {
  return catalog.createView(v, await catalog.newView(v, viewOf(location)))
}

async function registerWith(location: string): Promise<unknown> {
  const { metadata } = await catalog.loadTable(t)
  const file = `${warehouse}/import/${randomIds.uuid()}.metadata.json`
  const wire = encodeTableMetadata({ ...metadata, location })
  await store.write(file, encodeMetadataFile(wire, file))
  return catalog.registerTable(u, file)
}

async function registerViewWith(location: string): Promise<unknown> {
  const metadata = await catalog.newView(v, viewOf())
  const file = `${warehouse}/import/${randomIds.uuid()}.metadata.json`
  await store.write(file, encodeMetadataFile(encodeViewMetadata({ ...metadata, location }), file))
  return catalog.registerView(v, file)
}

const snapshot = (manifestList: string): TableUpdate => ({
  action: 'add-snapshot',
  snapshot: {
    snapshotId: 7n,
    sequenceNumber: 1,
    timestampMs: Date.now(),
    manifestList,
    summary: { operation: 'append' },
  },
})

const ways: [string, (location: string) => Promise<unknown>][] = [
  [
    'createTable',
    (location) => catalog.createTable({ identifier: u, schema: testSchema, location }),
  ],
  [
    'stageCreate',
    (location) => catalog.stageCreate({ identifier: u, schema: testSchema, location }),
  ],
  [
    'a create by commit',
    (location) =>
      catalog.commit([
        {
          identifier: u,
          requirements: [{ type: 'assert-create' }],
          updates: [
            { action: 'add-schema', schema: testSchema },
            { action: 'set-current-schema', schemaId: -1 },
            { action: 'set-location', location },
          ],
        },
      ]),
  ],
  ['set-location', (location) => commit({ action: 'set-location', location })],
  ...['write.metadata.path', 'write.data.path', 'write.object-storage.path'].map(
    (key): [string, (location: string) => Promise<unknown>] => [
      key,
      (location) => commit({ action: 'set-properties', updates: { [key]: location } }),
    ],
  ),
  ['a manifest list', (location) => commit(snapshot(`${location}/snap.avro`))],
  [
    'a statistics file',
    (location) =>
      commit({
        action: 'set-statistics',
        statistics: {
          'snapshot-id': 7,
          'statistics-path': `${location}/s.puffin`,
          'file-size-in-bytes': 1,
          'file-footer-size-in-bytes': 1,
          'blob-metadata': [],
        },
      }),
  ],
  [
    'the file of registerTable',
    (location) => catalog.registerTable(u, `${location}/a.metadata.json`),
  ],
  ['the table of registerTable', registerWith],
  ['createView', createView],
  [
    'the file of registerView',
    (location) => catalog.registerView(v, `${location}/a.metadata.json`),
  ],
  ['the view of registerView', registerViewWith],
  [
    'set-location of a view',
    (location) => catalog.replaceView(v, [], [{ action: 'set-location', location }]),
  ],
  [
    'write.metadata.path of a view',
    (location) =>
      catalog.replaceView(
        v,
        [],
        [{ action: 'set-properties', updates: { 'write.metadata.path': location } }],
      ),
  ],
  ["a new namespace's location", (location) => catalog.createNamespace(['other'], { location })],
  [
    "a namespace's location",
    (location) =>
      catalog.updateNamespaceProperties(['ns'], { removals: [], updates: { location } }),
  ],
]

const refused = [
  'file:///etc',
  'file:/etc/x',
  'file://localhost/etc/x',
  '/etc/x',
  's3://other/x',
  'http://169.254.169.254/latest',
  'file://host/share',
  'WAREHOUSE-two/x',
  'WAREHOUSE/../x',
  'WAREHOUSE/ns/%2e%2e/x',
  'WAREHOUSE/.catalog',
  'WAREHOUSE/.catalog-seen/x',
  'WAREHOUSE//.catalog/x',
]

describe('a location elsewhere', () => {
  it.each(ways)('is refused where it comes by %s, and nothing is written', async (way, bring) => {
    if (way.endsWith('of a view')) await createView()
    const before = await catalog.version([])
    for (const text of refused) {
      const outcome = await bring(text.replace('WAREHOUSE', warehouse)).catch(
        (error: unknown) => error,
      )
      expect([text, outcome]).toMatchObject([text, { kind: 'InvalidInput' }])
    }
    expect(await catalog.version([])).toBe(before)
  })
})

describe('spellings of one place', () => {
  it.each(['file:', 'file://localhost', ''])('with "%s" in front are taken', async (scheme) => {
    const location = `${scheme}${folder}/w/ns/u`
    await catalog.createTable({ identifier: u, schema: testSchema, location })
    expect((await catalog.loadTable(u)).metadata.location).toBe(`${warehouse}/ns/u`)
    await catalog.createTable({
      identifier: v,
      schema: testSchema,
      location: `${scheme}${folder}/also/x`,
    })
  })

  it('hide no neighbour from a purge', async () => {
    const location = `file:${folder}/w/ns/t`
    await catalog.createTable({ identifier: u, schema: testSchema })
    await catalog.commit([
      { identifier: u, requirements: [], updates: [{ action: 'set-location', location }] },
    ])
    await catalog.dropTable(u, { purge: true })
    await catalog.close()
    const files: string[] = []
    for await (const object of store.list(`${warehouse}/ns/t/`)) files.push(object.location)
    expect(files).not.toEqual([])
  })

  it.each(['file:WAREHOUSE/w', 'file://WAREHOUSE/w/', 'WAREHOUSE/also'])(
    'never let a purge empty the warehouse or an allowed prefix: %s',
    async (text) => {
      const location = text.replace('WAREHOUSE', folder)
      await store.write(`file://${folder}/also/file`, new Uint8Array(1))
      await catalog.createTable({ identifier: u, schema: testSchema })
      await catalog.commit([
        { identifier: u, requirements: [], updates: [{ action: 'set-location', location }] },
      ])
      await catalog.dropTable(u, { purge: true })
      await catalog.dropTable(t)
      await catalog.close()
      expect(await store.stat(`file://${folder}/also/file`)).not.toBeNull()
      const files: string[] = []
      for await (const object of store.list(`${warehouse}/ns/`)) files.push(object.location)
      expect(files).not.toEqual([])
    },
  )
})
