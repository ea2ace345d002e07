/**
 * What reads and changes of namespaces, tables and views share: the current root, pages of names, metadata by
 * location, group commit, location rules.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Namespace, TableIdentifier } from '../iceberg/catalog.ts'
import { tableMetadataBytes } from '../iceberg/codec/metadata-bytes.ts'
import {
  encodeMetadataFile,
  packMetadata,
  readTableMetadata,
} from '../iceberg/codec/metadata-json.ts'
import { encodeViewMetadata, readViewMetadata } from '../iceberg/codec/view-json.ts'
import type { TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { ViewMetadata } from '../iceberg/spec/view-metadata.ts'
import { isPotokError, PotokError } from '../kernel/errors.ts'
import type { Clock, IdSource, Logger, ObjectStore, RootObject } from '../kernel/ports.ts'
import { type BackgroundDeletion, createBackgroundDeletion } from './background-deletion.ts'
import { createBoundedCache } from './bounded-cache.ts'
import type { StagedFile } from './catalog-draft.ts'
import { nameTaken, noMetadataFile, noSuchNamespace } from './catalog-errors.ts'
import { createGenerationMarks } from './generation-marks.ts'
import {
  createGenerationWatch,
  type GenerationMemory,
  type GenerationWatch,
} from './generation-watch.ts'
import { createGroupCommit, type FilePart, type GroupCommit } from './group-commit.ts'
import { createIdempotencyKeys, type IdempotencyKeys } from './idempotency-keys.ts'
import { createLocationPolicy, type LocationPolicy } from './location-policy.ts'
import { createNamePages } from './name-pages.ts'
import { namespaceKey, tableKey, viewKey } from './names.ts'
import { createRootClient } from './root-client.ts'
import { type CatalogEntry, newSwapId, type RootState } from './root-state.ts'
import {
  createStagedLists,
  encodeStagedList,
  listsNamedBy,
  type StagedLists,
} from './staged-lists.ts'

export type CatalogOptions = {
  readonly root: RootObject
  readonly store: ObjectStore
  readonly clock: Clock
  readonly ids: IdSource
  readonly warehouseLocation: string
  /** Prefixes beside the warehouse under which tables may be. */
  readonly allowedLocations?: readonly string[]
  readonly logger?: Logger
  /** Metadata kept in memory: twice the size of its files. */
  readonly metadataCacheBytesMax?: number
  /** Where the highest generation seen is noted, beside the warehouse itself. */
  readonly generationMemory?: GenerationMemory
  /** Idempotency keys remembered at once. */
  readonly idempotencyKeysMax?: number
  readonly sleep?: (ms: number) => Promise<void>
  readonly random?: () => number
  /** For benchmarks: 1 is a catalog without group commit. */
  readonly changesPerSwapMax?: number
  /** For tests: killed around the swap (group-commit.ts). */
  readonly onCrashPoint?: (point: 1 | 2) => void
}

const metadataCacheBytesDefault = 128 * 1024 * 1024
/** Of metadata over its file: it is kept decoded, and as the bytes of answers. */
const memoryPerByte = 2
/** Decoded manifest lists, for appends that are rebased here. */
const manifestListCacheBytesMax = 64 * 1024 * 1024
const readAttemptsMax = 4
/** In the warehouse, where no namespace can be: their folders never begin with a dot. */
const catalogFolderName = '.catalog'

/** Where names are looked up: the current root, or a draft over it. */
export type EntryView = { get(key: string): Promise<CatalogEntry | null> }

/** What reads and changes of all kinds share. */
export type CatalogCore = {
  readonly policy: LocationPolicy
  readonly groupCommit: GroupCommit
  readonly keys: IdempotencyKeys
  readonly watch: GenerationWatch
  readonly deletion: BackgroundDeletion
  readonly lists: StagedLists
  readonly ids: IdSource
  readonly logger: Logger | undefined
  nowMs(): number
  get(key: string): Promise<CatalogEntry | null>
  scan(prefix: string): Promise<[string, CatalogEntry][]>
  requireNamespace(view: EntryView, namespace: Namespace): Promise<CatalogEntry>
  /** What has the name. */
  kindOf(view: EntryView, identifier: TableIdentifier): Promise<'table' | 'view' | null>
  /** Nothing has the name that a table or view is to get. */
  requireFree(view: EntryView, identifier: TableIdentifier, wanted: 'table' | 'view'): Promise<void>
  defaultLocation(view: EntryView, identifier: TableIdentifier, uuid: string): Promise<string>
  version(): Promise<string>
  readTable(location: string): Promise<TableMetadata>
  readView(location: string): Promise<ViewMetadata>
  /** Entry and metadata of one moment, though files are replaced and deleted meanwhile. */
  loadEntry<T>(
    key: string,
    missing: () => PotokError,
    read: (location: string) => Promise<T>,
  ): Promise<{ location: string; metadata: T }>
}

export function createCatalogCore(options: CatalogOptions): CatalogCore {
  const { store, ids, clock, logger } = options
  const policy = createLocationPolicy(options)
  const sleep = options.sleep ?? ((ms: number) => delay(ms))
  const nowMs = (): number => clock.nowMs()
  const newId = (): string => newSwapId(ids)
  const cache = createBoundedCache<TableMetadata | ViewMetadata>(
    options.metadataCacheBytesMax ?? metadataCacheBytesDefault,
  )
  const folder = `${policy.warehouse}/${catalogFolderName}/pages`
  const pages = createNamePages({ store, folder, newId: () => ids.uuid() })
  const keys = createIdempotencyKeys({
    store,
    folder,
    newId,
    ...(options.idempotencyKeysMax === undefined ? {} : { keysMax: options.idempotencyKeysMax }),
  })
  const marks = createGenerationMarks(store, policy.warehouse)
  const { generationMemory } = options
  const watch = createGenerationWatch({
    memories: generationMemory === undefined ? [marks] : [generationMemory, marks],
    nowMs,
    logger,
  })
  const client = createRootClient({
    root: options.root,
    store,
    watch,
    warehouse: policy.warehouse,
    nowMs,
    newId,
    sleep,
  })
  const deletion = createBackgroundDeletion(store, logger)
  const lists = createStagedLists({
    store,
    policy,
    newId: () => ids.uuid(),
    cacheBytesMax: manifestListCacheBytesMax,
  })
  const groupCommit = createGroupCommit({
    client,
    pages,
    keys,
    store,
    partsOf,
    remember(files) {
      for (const file of files) {
        const bytes = file.kind === 'table' ? tableMetadataBytes(file.metadata) : viewBytes(file)
        cache.set(file.location, file.metadata, memoryPerByte * bytes.length)
        if (file.kind === 'table') lists.remember(file.lists)
      }
    },
    deleteLater: (locations) => deletion.deleteLater(locations),
    nowMs,
    newId,
    sleep,
    random: options.random ?? Math.random,
    logger,
    changesPerSwapMax: options.changesPerSwapMax,
    onCrashPoint: options.onCrashPoint,
  })

  async function readCached<T extends TableMetadata | ViewMetadata>(
    location: string,
    parse: (bytes: Uint8Array, location: string) => T,
  ): Promise<T> {
    const cached = cache.get(location)
    if (cached !== undefined) return cached as T
    const bytes = await store.read(location)
    const metadata = parse(bytes, location)
    cache.set(location, metadata, memoryPerByte * bytes.length)
    return metadata
  }
  /** A page that has gone was replaced meanwhile: the root says by which. */
  async function withRoot<T>(read: (state: RootState) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const { state } = await client.current()
      try {
        return await read(state)
      } catch (error) {
        if (!isPotokError(error, 'NotFound') || attempt === readAttemptsMax) throw error
      }
    }
  }

  const core: CatalogCore = {
    policy,
    groupCommit,
    keys,
    watch,
    deletion,
    lists,
    ids,
    logger,
    nowMs,
    version: async () => (await client.version()) ?? 'none',
    readTable: (location) => readCached(location, readTableMetadata),
    get: (key) => withRoot((state) => pages.get(state, key)),
    scan: (prefix) => withRoot((state) => pages.scan(state, prefix)),
    readView: (location) => readCached(location, readViewMetadata),

    async requireNamespace(view, namespace) {
      const entry = await view.get(namespaceKey(namespace))
      if (entry === null) throw noSuchNamespace(namespace)
      return entry
    },

    async kindOf(view, identifier) {
      if ((await view.get(tableKey(identifier))) !== null) return 'table'
      return (await view.get(viewKey(identifier))) === null ? null : 'view'
    },

    async requireFree(view, identifier, wanted) {
      const found = await core.kindOf(view, identifier)
      if (found !== null) throw nameTaken(wanted, found, identifier)
    },

    /** With a suffix where files lie already: a renamed or dropped table may still own them. */
    async defaultLocation(view, identifier, uuid) {
      const entry = await view.get(namespaceKey(identifier.namespace))
      const parent = entry?.kind === 'namespace' ? entry.properties['location'] : undefined
      const location = policy.defaultLocation(identifier, parent?.replace(/\/+$/, ''))
      for await (const _ of store.list(`${location}/`)) return `${location}-${uuid.slice(0, 8)}`
      return location
    },

    async loadEntry(key, missing, read) {
      let before = ''
      for (;;) {
        const entry = await core.get(key)
        if (entry === null || entry.kind === 'namespace') throw missing()
        const location = entry.metadataLocation
        try {
          return { location, metadata: await read(location) }
        } catch (error) {
          if (!isPotokError(error, 'NotFound')) throw error
          if (location === before) {
            throw noMetadataFile(location, error)
          }
          before = location
        }
      }
    },
  }

  return core
}

function partsOf(file: StagedFile): readonly FilePart[] {
  const { location } = file
  if (file.kind === 'view') return [{ location, encode: async () => viewBytes(file) }]
  const encode = () => packMetadata(tableMetadataBytes(file.metadata), location)
  const lists = listsNamedBy(file.metadata, file.lists).map((list) => ({
    location: list.location,
    encode: () => encodeStagedList(list),
  }))
  return [{ location, encode }, ...lists]
}

function viewBytes({ metadata, location }: StagedFile & { kind: 'view' }): Uint8Array {
  return encodeMetadataFile(encodeViewMetadata(metadata), location)
}
