/**
 * potok's own catalog: the port `Catalog`, and what the REST server needs beside it. All state is in the root
 * object and the metadata files (DESIGN §6): any number of these, in any number of processes, may serve one
 * warehouse.
 *
 * Invariants: what a change resolved with is in the root, durable; a refused change left nothing in it; a
 * table's metadata file is written before the root names it and never changed; every answer to a read is of a
 * root that was current after the call began.
 */
import type { Catalog, Namespace } from '../iceberg/catalog.ts'
import { type CatalogCore, type CatalogOptions, createCatalogCore } from './catalog-core.ts'
import type { GroupCommit } from './group-commit.ts'
import { type KeyedRequest, keyedGroupCommit } from './idempotent-changes.ts'
import { createNamespaces, type Namespaces } from './namespaces.ts'
import { createTables, type Tables } from './tables.ts'
import { createViews, type Views } from './views.ts'

export type CatalogService = Catalog &
  Namespaces &
  Tables &
  Views & {
    readonly warehouseLocation: string
    /** Where tables of the namespace go by default. */
    namespaceLocation(namespace: Namespace): string
    /** In one spelling; InvalidInput where the location isn't allowed here. */
    checkLocation(location: string, what: string): string
    /** The same catalog for one request that carries an idempotency key, and makes one change. */
    keyed(request: KeyedRequest): CatalogService
    /** Refuses what comes after it, waits for what is under way. */
    close(): Promise<void>
    readonly stats: GroupCommit['stats']
  }

export function createCatalogService(options: CatalogOptions): CatalogService {
  return serviceOver(createCatalogCore(options))
}

function serviceOver(core: CatalogCore): CatalogService {
  return {
    ...createNamespaces(core),
    ...createTables(core),
    ...createViews(core),
    features: { assertProperty: true },
    warehouseLocation: core.policy.warehouse,
    namespaceLocation: (namespace) => core.policy.namespaceLocation(namespace),
    stats: core.groupCommit.stats,
    checkLocation: (location, what) => core.policy.check(location, what),
    keyed: (request) => serviceOver({ ...core, groupCommit: keyedGroupCommit(core, request) }),
    version: () => core.version(),
    async close() {
      await core.groupCommit.close()
      await core.deletion.close()
      await core.watch.close()
    },
  }
}
