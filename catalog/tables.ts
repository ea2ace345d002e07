/** Tables of the catalog: each change is planned on a draft, and is in or refused as a whole. */
import type { Catalog, LoadedTable, TableCommit, TableIdentifier } from '../iceberg/catalog.ts'
import { checkTableMetadata } from '../iceberg/spec/check-metadata.ts'
import { checkRequirements } from '../iceberg/spec/check-requirements.ts'
import { newTableMetadata } from '../iceberg/spec/new-table.ts'
import type { TableMetadata } from '../iceberg/spec/table-metadata.ts'
import { PotokError } from '../kernel/errors.ts'
import type { CatalogCore, EntryView } from './catalog-core.ts'
import { type CatalogDraft, loadedTable, type StagedFile } from './catalog-draft.ts'
import { nameOf, noSuchTable, renameTargetTaken } from './catalog-errors.ts'
import { normaliseLocation } from './location-policy.ts'
import {
  allTablesPrefix,
  allViewsPrefix,
  checkIdentifier,
  parseKey,
  prefixOfKind,
  tableKey,
} from './names.ts'
import { readRegistered } from './read-registered.ts'
import {
  changedByCommit,
  checkLocations,
  createdByCommit,
  nextMetadataLocation,
  obsoleteMetadataFiles,
  sameIdentifier,
} from './table-changes.ts'

export type TableCreation = Parameters<Catalog['createTable']>[0]
/** `freshFieldIds`: all field ids are given anew, as REST clients expect it; else those that can be are kept. */
export type CreationOptions = { readonly freshFieldIds?: boolean }

export type Tables = Pick<Catalog, 'listTables' | 'loadTable' | 'dropTable' | 'commit'> & {
  createTable(request: TableCreation, options?: CreationOptions): Promise<LoadedTable>
  tableExists(identifier: TableIdentifier): Promise<boolean>
  /** Metadata of a table that a transaction is to create; nothing is written. */
  stageCreate(request: TableCreation, options?: CreationOptions): Promise<TableMetadata>
  registerTable(
    identifier: TableIdentifier,
    metadataLocation: string,
    options?: { overwrite?: boolean },
  ): Promise<LoadedTable>
  renameTable(from: TableIdentifier, to: TableIdentifier): Promise<void>
}

export function createTables(core: CatalogCore): Tables {
  const { policy, groupCommit, ids, logger } = core

  /** The table's metadata as the draft has it, and the file that it is in if it is written. */
  async function tableIn(
    draft: CatalogDraft,
    identifier: TableIdentifier,
  ): Promise<{ metadata: TableMetadata; location: string; written: boolean }> {
    const key = tableKey(identifier)
    const entry = await draft.get(key)
    if (entry === null || entry.kind !== 'table') throw noSuchTable(identifier)
    const staged = draft.staged(key)
    if (staged?.kind === 'table') {
      return { metadata: staged.metadata, location: staged.location, written: false }
    }
    const location = entry.metadataLocation
    return { metadata: await core.readTable(location), location, written: true }
  }

  function stageNew(
    draft: CatalogDraft,
    identifier: TableIdentifier,
    metadata: TableMetadata,
  ): void {
    checkLocations(policy, metadata, null)
    draft.stage(tableKey(identifier), {
      kind: 'table',
      location: nextMetadataLocation(metadata, undefined, ids.uuid()),
      metadata,
      obsolete: [],
      lists: [],
    })
  }

  async function planCommit(draft: CatalogDraft, commit: TableCommit): Promise<void> {
    const { identifier } = commit
    const key = tableKey(identifier)
    if (commit.requirements.some((one) => one.type === 'assert-create')) {
      await core.requireNamespace(draft, identifier.namespace)
      if ((await draft.get(key)) !== null) {
        const { metadata } = await tableIn(draft, identifier)
        checkRequirements(commit.requirements, metadata)
      }
      await core.requireFree(draft, identifier, 'table')
      const uuid = ids.uuid()
      const defaultLocation = await core.defaultLocation(draft, identifier, uuid)
      stageNew(
        draft,
        identifier,
        createdByCommit(commit, { uuid, defaultLocation, nowMs: core.nowMs() }),
      )
      return
    }
    const base = await tableIn(draft, identifier)
    const before = draft.staged(key)
    const staged = before?.kind === 'table' ? before : undefined
    checkRequirements(commit.requirements, base.metadata)
    const rebased = await core.lists.rebase(base.metadata, commit, staged?.lists ?? [])
    const metadata = changedByCommit(
      base.metadata,
      rebased?.commit ?? commit,
      core.nowMs(),
      base.written ? base.location : undefined,
    )
    if (metadata === base.metadata) return
    checkLocations(policy, metadata, base.metadata)
    draft.stage(key, {
      kind: 'table',
      // An unwritten one keeps its number: it takes the place of the file that was never made.
      location: nextMetadataLocation(
        metadata,
        base.written ? base.location : previousOf(base.metadata),
        ids.uuid(),
      ),
      metadata,
      obsolete: [...(staged?.obsolete ?? []), ...obsoleteMetadataFiles(base.metadata, metadata)],
      lists: [...(staged?.lists ?? []), ...(rebased === null ? [] : [rebased.list])],
    })
  }

  async function newTableIn(
    view: EntryView,
    request: TableCreation,
    options: CreationOptions,
  ): Promise<TableMetadata> {
    const { identifier } = request
    await core.requireNamespace(view, identifier.namespace)
    await core.requireFree(view, identifier, 'table')
    const uuid = ids.uuid()
    const location =
      request.location === undefined
        ? await core.defaultLocation(view, identifier, uuid)
        : policy.check(request.location, 'table location')
    const { partitionSpec, sortOrder, properties } = request
    const metadata = newTableMetadata(
      {
        uuid,
        location,
        schema: request.schema,
        ...(partitionSpec === undefined ? {} : { partitionSpec }),
        ...(sortOrder === undefined ? {} : { sortOrder }),
        ...(properties === undefined ? {} : { properties }),
        freshFieldIds: options.freshFieldIds === true,
      },
      core.nowMs(),
    )
    checkLocations(policy, metadata, null)
    return metadata
  }

  /** Files under the table's location, unless another table or view lives there too. */
  async function purge(metadata: TableMetadata): Promise<void> {
    const { location } = metadata
    if (!policy.isAllowed(location) || policy.isWholePrefix(location)) return
    const folder = `${normaliseLocation(location)}/`
    const others = [...(await core.scan(allTablesPrefix)), ...(await core.scan(allViewsPrefix))]
    const neighbour = others.find(
      ([, entry]) =>
        entry.kind !== 'namespace' && normaliseLocation(entry.metadataLocation).startsWith(folder),
    )
    if (neighbour !== undefined) {
      logger?.warn(
        { location: folder },
        `not purged: ${nameOf(parseKey(neighbour[0]))} has its files there too`,
      )
      return
    }
    core.deletion.purgeLater(folder)
  }

  return {
    async listTables(namespace) {
      await core.requireNamespace(core, namespace)
      const found = await core.scan(prefixOfKind('table', namespace))
      return found.map(([key]) => ({ namespace, name: parseKey(key).name }))
    },

    async tableExists(identifier) {
      return (await core.get(tableKey(identifier))) !== null
    },

    async loadTable(identifier) {
      const found = await core.loadEntry(
        tableKey(identifier),
        () => noSuchTable(identifier),
        (location) => core.readTable(location),
      )
      return { identifier, metadataLocation: found.location, metadata: found.metadata }
    },

    async createTable(request, creationOptions = {}) {
      checkIdentifier(request.identifier)
      const key = tableKey(request.identifier)
      return groupCommit.submit(async (draft) => {
        stageNew(draft, request.identifier, await newTableIn(draft, request, creationOptions))
        const own = draft.staged(key) as StagedFile
        return (files) => loadedTable(key, files(key) ?? own)
      })
    },

    async stageCreate(request, creationOptions = {}) {
      checkIdentifier(request.identifier)
      return newTableIn(core, request, creationOptions)
    },

    async registerTable(identifier, metadataLocation, registerOptions) {
      checkIdentifier(identifier)
      const location = policy.check(metadataLocation, 'metadata location')
      const metadata = await readRegistered(location, (file) => core.readTable(file))
      checkTableMetadata(metadata)
      checkLocations(policy, metadata, null)
      const key = tableKey(identifier)
      return groupCommit.submit(async (draft) => {
        await core.requireNamespace(draft, identifier.namespace)
        const entry = await draft.get(key)
        if (registerOptions?.overwrite !== true || entry === null) {
          await core.requireFree(draft, identifier, 'table')
        }
        draft.set(key, { kind: 'table', uuid: metadata.tableUuid, metadataLocation: location })
        return () => ({ identifier, metadataLocation: location, metadata })
      })
    },

    async renameTable(from, to) {
      checkIdentifier(to)
      await groupCommit.submit(async (draft) => {
        const entry = await draft.get(tableKey(from))
        if (entry === null) throw noSuchTable(from)
        await core.requireNamespace(draft, to.namespace)
        if (sameIdentifier(from, to)) return () => undefined
        const found = await core.kindOf(draft, to)
        if (found !== null) throw renameTargetTaken(from, to, found)
        const staged = draft.staged(tableKey(from))
        draft.set(tableKey(from), null)
        if (staged === undefined) draft.set(tableKey(to), entry)
        else draft.stage(tableKey(to), staged)
        return () => undefined
      })
    },

    async dropTable(identifier, dropOptions) {
      let metadata: TableMetadata | null = null
      await groupCommit.submit(async (draft) => {
        const key = tableKey(identifier)
        if ((await draft.get(key)) === null) throw noSuchTable(identifier)
        if (dropOptions?.purge === true) metadata = (await tableIn(draft, identifier)).metadata
        draft.set(key, null)
        return () => undefined
      })
      if (metadata !== null) await purge(metadata)
    },

    async commit(commits) {
      if (commits.length === 0) return []
      for (const [i, { identifier }] of commits.entries()) {
        checkIdentifier(identifier)
        if (commits.slice(0, i).some((other) => sameIdentifier(other.identifier, identifier))) {
          throw new PotokError(
            'InvalidInput',
            `Invalid transaction: ${nameOf(identifier)} occurs twice`,
          )
        }
      }
      for (const commit of commits) core.lists.prefetch(commit)
      return groupCommit.submit(async (draft) => {
        for (const commit of commits) await planCommit(draft, commit)
        const own: LoadedTable[] = []
        for (const { identifier } of commits) {
          const { metadata, location } = await tableIn(draft, identifier)
          own.push({ identifier, metadata, metadataLocation: location })
        }
        return (files) =>
          own.map((table) => {
            const key = tableKey(table.identifier)
            const file = files(key)
            return file === undefined ? table : loadedTable(key, file)
          })
      })
    },
  }
}

/** The last file of the log is the one that an unwritten state replaces. */
function previousOf(metadata: TableMetadata): string | undefined {
  return metadata.metadataLog.at(-1)?.metadataFile
}
