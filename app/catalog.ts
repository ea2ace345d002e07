/**
 * Which catalog this installation's tables are in: potok's own, over the storage, or with `--catalog-uri`
 * another Iceberg REST catalog, which then every role and command uses instead.
 */
import type { CatalogProperties } from '../adapters/catalog/catalog-properties.ts'
import { createRestCatalog } from '../adapters/catalog/rest-catalog.ts'
import { type CatalogService, createCatalogService } from '../catalog/catalog-service.ts'
import type { GenerationMemory } from '../catalog/generation-watch.ts'
import type { Catalog } from '../iceberg/catalog.ts'
import { describeError, PotokError } from '../kernel/errors.ts'
import type { Clock, IdSource, Logger, Service, ServiceHealth } from '../kernel/ports.ts'
import { allTables, namespaceName } from '../kernel/tables.ts'
import { readCatalogProperties } from './catalog-settings.ts'
import { isS3Warehouse, listSetting, type Settings } from './settings.ts'
import type { Storage } from './storage.ts'

export type OpenCatalog = Catalog & {
  /** Refuses what comes after it, and waits for what is under way or cuts it. */
  close(): Promise<void>
}

export type CatalogAccess = {
  readonly catalog: OpenCatalog
  /** Where another catalog is; null: it is potok's own. */
  readonly uri: string | null
  /** potok's own, to be served; null where another one is used. */
  readonly own: CatalogService | null
  /** Whether catalog and store are what potok relies on: once where a role starts, not in every command. */
  probe(): Promise<void>
}

type Ports = {
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly generationMemory: GenerationMemory
  /** For tests: the catalog of a process that serves it. */
  readonly onCrashPoint?: (point: number) => void
}

export function openCatalog(settings: Settings, storage: Storage, ports: Ports): CatalogAccess {
  return settings.catalogUri === ''
    ? openOwn(settings, storage, ports)
    : openOther(readCatalogProperties(settings), settings, ports)
}

function openOwn(settings: Settings, storage: Storage, ports: Ports): CatalogAccess {
  const own = createCatalogService({
    ...ports,
    root: storage.root,
    store: storage.store,
    warehouseLocation: storage.warehouse,
    allowedLocations: listSetting(settings.warehouseAllow),
  })
  return {
    catalog: own,
    own,
    uri: null,
    probe: () => storage.probe(),
  }
}

function openOther(properties: CatalogProperties, settings: Settings, ports: Ports): CatalogAccess {
  const catalog = createRestCatalog({
    ...ports,
    properties,
    timeoutMs: settings.catalogTimeoutSeconds * 1_000,
    ...(settings.catalogCaFile === '' ? {} : { caFile: settings.catalogCaFile }),
  })
  return {
    catalog,
    own: null,
    uri: settings.catalogUri,
    // The store's conditional writes are the other catalog's business.
    probe: () => catalog.start(),
  }
}

/**
 * Another catalog chooses where tables are: refused where potok's store can't be that place. For potok's own
 * nothing is to check.
 */
export async function checkTablesInReach(
  { catalog, uri }: CatalogAccess,
  settings: Settings,
): Promise<void> {
  if (uri === null) return
  for (const { name } of allTables) {
    const { location } = (await catalog.loadTable({ namespace: [namespaceName], name })).metadata
    const isInS3 = /^s3[an]?:/.test(location)
    if (isInS3 ? isS3Warehouse(settings) : /^(file:|\/)/.test(location)) continue
    throw new PotokError(
      'InvalidInput',
      isInS3
        ? `the catalog ${uri} keeps ${namespaceName}.${name} at ${location}: tell potok of that store with --warehouse s3://… and the settings --s3-…`
        : `the catalog ${uri} keeps ${namespaceName}.${name} at ${location}, where potok can't read and write: it knows S3 stores and folders of this machine`,
      { context: { location } },
    )
  }
}

/** Whether the catalog answers: potok's own asked at most once a second, another one less often. */
export function catalogHealth({ catalog, uri }: CatalogAccess, clock: Clock): Service {
  const place = uri === null ? {} : { uri }
  let state: ServiceHealth = { ok: true, details: place }
  let lookedAtMs = 0
  return {
    start: async () => undefined,
    stop: async () => undefined,
    health() {
      const nowMs = clock.nowMs()
      if (nowMs - lookedAtMs > (uri === null ? 1_000 : 5_000)) {
        lookedAtMs = nowMs
        catalog.version([]).then(
          (version) => {
            state = { ok: true, details: uri === null ? { version } : place }
          },
          (error: unknown) => {
            const reason =
              uri === null
                ? `the root can't be read: ${describeError(error)}`
                : `the catalog ${uri} can't be used: ${describeError(error)}`
            state = { ok: false, reason, details: place }
          },
        )
      }
      return state
    },
  }
}
