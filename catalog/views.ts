/** Views of the catalog. They share the names of a namespace with its tables. */
import type { Catalog, TableIdentifier } from '../iceberg/catalog.ts'
import { metadataFileName, metadataVersionOf } from '../iceberg/codec/metadata-json.ts'
import type { ViewCreation } from '../iceberg/codec/view-json.ts'
import { checkViewRequirements } from '../iceberg/spec/check-requirements.ts'
import { applyViewUpdates, newViewMetadata } from '../iceberg/spec/view-updates.ts'
import type { ViewMetadata } from '../iceberg/spec/view-metadata.ts'
import { loadedView, type StagedFile } from './catalog-draft.ts'
import { noSuchView } from './catalog-errors.ts'
import type { CatalogCore } from './catalog-core.ts'
import { checkIdentifier, parseKey, prefixOfKind, viewKey } from './names.ts'
import { sameIdentifier } from './table-changes.ts'

export type Views = Pick<
  Catalog,
  'listViews' | 'loadView' | 'createView' | 'replaceView' | 'dropView'
> & {
  viewExists(identifier: TableIdentifier): Promise<boolean>
  /** Metadata of a new view from a request: uuid, location and ids are given here. */
  newView(identifier: TableIdentifier, creation: ViewCreation): Promise<ViewMetadata>
  renameView(from: TableIdentifier, to: TableIdentifier): Promise<void>
}

export function createViews(core: CatalogCore): Views {
  const { groupCommit, policy, ids } = core

  function fileOf(metadata: ViewMetadata, previous: string | undefined): StagedFile {
    policy.check(metadata.location, 'view location')
    const version = previous === undefined ? 0 : metadataVersionOf(previous) + 1
    const name = metadataFileName(version, ids.uuid())
    return { kind: 'view', location: `${metadata.location}/metadata/${name}`, metadata }
  }

  return {
    async listViews(namespace) {
      await core.requireNamespace(core, namespace)
      const found = await core.scan(prefixOfKind('view', namespace))
      return found.map(([key]) => ({ namespace, name: parseKey(key).name }))
    },

    async viewExists(identifier) {
      return (await core.get(viewKey(identifier))) !== null
    },

    async loadView(identifier) {
      const found = await core.loadEntry(
        viewKey(identifier),
        () => noSuchView(identifier),
        (location) => core.readView(location),
      )
      return { identifier, metadataLocation: found.location, metadata: found.metadata }
    },

    async newView(identifier, creation) {
      const uuid = ids.uuid()
      const location =
        creation.location === undefined
          ? await core.defaultLocation(core, identifier, uuid)
          : policy.check(creation.location, 'view location')
      const { schema, viewVersion, properties } = creation
      return newViewMetadata({ uuid, location, schema, viewVersion, properties }, core.nowMs())
    },

    async createView(identifier, metadata) {
      checkIdentifier(identifier)
      const key = viewKey(identifier)
      return groupCommit.submit(async (draft) => {
        await core.requireNamespace(draft, identifier.namespace)
        await core.requireFree(draft, identifier)
        const own = fileOf(metadata, undefined)
        draft.stage(key, own)
        return (files) => loadedView(key, files(key) ?? own)
      })
    },

    async replaceView(identifier, requirements, updates) {
      const key = viewKey(identifier)
      return groupCommit.submit(async (draft) => {
        const entry = await draft.get(key)
        if (entry === null || entry.kind !== 'view') throw noSuchView(identifier)
        const staged = draft.staged(key)
        const base =
          staged?.kind === 'view' ? staged.metadata : await core.readView(entry.metadataLocation)
        checkViewRequirements(requirements, base)
        const own = fileOf(applyViewUpdates(base, updates, core.nowMs()), entry.metadataLocation)
        draft.stage(key, own)
        return (files) => loadedView(key, files(key) ?? own)
      })
    },

    async renameView(from, to) {
      checkIdentifier(to)
      await groupCommit.submit(async (draft) => {
        const entry = await draft.get(viewKey(from))
        if (entry === null) throw noSuchView(from)
        await core.requireNamespace(draft, to.namespace)
        if (sameIdentifier(from, to)) return () => undefined
        await core.requireFree(draft, to)
        const staged = draft.staged(viewKey(from))
        draft.set(viewKey(from), null)
        if (staged === undefined) draft.set(viewKey(to), entry)
        else draft.stage(viewKey(to), staged)
        return () => undefined
      })
    },

    async dropView(identifier) {
      await groupCommit.submit(async (draft) => {
        if ((await draft.get(viewKey(identifier))) === null) throw noSuchView(identifier)
        draft.set(viewKey(identifier), null)
        return () => undefined
      })
    },
  }
}
