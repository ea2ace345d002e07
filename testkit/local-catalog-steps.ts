/**
 * A catalog on a local folder, from the empty disk to a table with some commits, one step after another, and
 * the question which steps a machine still has after something happened to it. Every step builds on those before it, so
 * what is left is always the first so many.
 */
import type { FileSystem } from '../adapters/object-store/file-system.ts'
import { createLocalObjectStore } from '../adapters/object-store/local-object-store.ts'
import { createLocalRootObject } from '../adapters/object-store/local-root-object.ts'
import { type CatalogService, createCatalogService } from '../catalog/catalog-service.ts'
import { testSchema } from './contracts/catalog.ts'
import { randomIds, systemClock } from './fixed-ports.ts'

const namespace = ['ns']
const identifier = { namespace, name: 't' }
const commitCount = 2

export type Step = { readonly name: string; run(catalog: CatalogService): Promise<unknown> }

export const steps: readonly Step[] = [
  { name: 'namespace', run: (catalog) => catalog.createNamespace(namespace) },
  { name: 'table', run: (catalog) => catalog.createTable({ identifier, schema: testSchema }) },
  ...Array.from({ length: commitCount }, (_, i) => ({
    name: `p${i}`,
    run: (catalog: CatalogService) => setProperty(catalog, `p${i}`),
  })),
]

export function openLocalCatalog(warehouse: string, fs?: FileSystem): CatalogService {
  const layer = fs === undefined ? {} : { fs }
  return createCatalogService({
    root: createLocalRootObject({ directory: `${warehouse}/.catalog`, ...layer }),
    store: createLocalObjectStore({ root: warehouse, ...layer }),
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: `file://${warehouse}`,
    sleep: async () => undefined,
  })
}

export function setProperty(catalog: CatalogService, name: string): Promise<unknown> {
  const updates = [{ action: 'set-properties' as const, updates: { [name]: '1' } }]
  return catalog.commit([{ identifier, requirements: [], updates }])
}

/** Names of the steps that are in. Throws where the catalog can't be read. */
export async function stepsLeft(catalog: CatalogService): Promise<string[]> {
  if (!(await catalog.namespaceExists(namespace))) return []
  if (!(await catalog.tableExists(identifier))) return ['namespace']
  const { metadata } = await catalog.loadTable(identifier)
  const commits = Object.keys(metadata.properties).filter((name) => /^p\d$/.test(name))
  return ['namespace', 'table', ...commits]
}
