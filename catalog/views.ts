/** Views of the catalog. They share the names of a namespace with its tables. */
import type { Catalog, LoadedView, TableIdentifier } from '../iceberg/catalog.ts'
import { metadataFileName, metadataVersionOf } from '../iceberg/codec/metadata-json.ts'
import type { ViewCreation } from '../iceberg/codec/view-json.ts'
import { checkViewMetadata } from '../iceberg/spec/check-metadata.ts'
import { checkViewRequirements } from '../iceberg/spec/check-requirements.ts'
import { applyViewUpdates, newViewMetadata } from '../iceberg/spec/view-updates.ts'
import type { ViewMetadata } from '../iceberg/spec/view-metadata.ts'
import { loadedView, type StagedFile } from './catalog-draft.ts'
import { noSuchView, renameTargetTaken } from './catalog-errors.ts'
import type { CatalogCore } from './catalog-core.ts'
import { checkIdentifier, parseKey, prefixOfKind, viewKey } from './names.ts'
import { readRegistered } from './read-registered.ts'
import { sameIdentifier } from './table-changes.ts'

const metadataPathProperty = 'write.metadata.path'

export type Views = Pick<
  Catalog,
  'listViews' | 'loadView' | 'createView' | 'replaceView' | 'dropView'
> & {
  viewExists(identifier: TableIdentifier): Promise<boolean>
  /** Metadata of a new view from a request: uuid, location and ids are given here. */
  newView(identifier: TableIdentifier, creation: ViewCreation): Promise<ViewMetadata>
  registerView(identifier: TableIdentifier, metadataLocation: string): Promise<LoadedView>
  renameView(from: TableIdentifier, to: TableIdentifier): Promise<void>
}

export function createViews(core: CatalogCore): Views {
  const { groupCommit, policy, ids } = core

  function checkLocations(metadata: ViewMetadata): void {
    policy.check(metadata.location, 'view location')
    const folder = metadata.properties[metadataPathProperty]
    if (folder !== undefined) policy.check(folder, metadataPathProperty)
  }

  function fileOf(metadata: ViewMetadata, previous: string | undefined): StagedFile {
    checkLocations(metadata)
    const version = previous === undefined ? 0 : metadataVersionOf(previous) + 1
    const name = metadataFileName(version, ids.uuid())
    const folder = metadata.properties[metadataPathProperty]?.replace(/\/+$/, '')
    const location = `${folder ?? `${metadata.location}/metadata`}/${name}`
    return { kind: 'view', location, metadata }
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
        await core.requireFree(draft, identifier, 'view')
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
        const metadata = applyViewUpdates(base, updates, core.nowMs())
        if (metadata === base) {
          const unchanged = { kind: 'view', location: entry.metadataLocation, metadata } as const
          return (files) => loadedView(key, files(key) ?? unchanged)
        }
        const own = fileOf(metadata, entry.metadataLocation)
        draft.stage(key, own)
        return (files) => loadedView(key, files(key) ?? own)
      })
    },

    async registerView(identifier, metadataLocation) {
      checkIdentifier(identifier)
      const location = policy.check(metadataLocation, 'metadata location')
      const metadata = await readRegistered(location, (file) => core.readView(file))
      checkViewMetadata(metadata)
      checkLocations(metadata)
      return groupCommit.submit(async (draft) => {
        await core.requireNamespace(draft, identifier.namespace)
        await core.requireFree(draft, identifier, 'view')
        draft.set(viewKey(identifier), {
          kind: 'view',
          uuid: metadata.viewUuid,
          metadataLocation: location,
        })
        return () => ({ identifier, metadataLocation: location, metadata })
      })
    },

    async renameView(from, to) {
      checkIdentifier(to)
      await groupCommit.submit(async (draft) => {
        const entry = await draft.get(viewKey(from))
        if (entry === null) throw noSuchView(from)
        await core.requireNamespace(draft, to.namespace)
        if (sameIdentifier(from, to)) return () => undefined
        const found = await core.kindOf(draft, to)
        if (found !== null) throw renameTargetTaken(from, to, found)
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
