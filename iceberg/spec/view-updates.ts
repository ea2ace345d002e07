/**
 * Metadata of a new view, and updates of one (view specification; REST specification, "ViewUpdate"). Pure.
 * The version log keeps the last `version.history.num-entries` versions; the current one is always kept.
 */
import { isDeepStrictEqual } from 'node:util'
import { PotokError } from '../../kernel/errors.ts'
import type { Schema } from './table-metadata.ts'
import type { ViewMetadata, ViewUpdate, ViewVersion } from './view-metadata.ts'

const viewFormatVersion = 1
const lastAdded = -1
const historyProperty = 'version.history.num-entries'
const historyDefault = 10

export type NewView = {
  readonly uuid: string
  readonly location: string
  readonly schema: Schema
  readonly viewVersion: ViewVersion
  readonly properties: Readonly<Record<string, string>>
}

export function newViewMetadata(view: NewView, nowMs: number): ViewMetadata {
  const schema = { ...view.schema, schemaId: 0 }
  const version = { ...view.viewVersion, versionId: 1, schemaId: 0 }
  checkVersion(version)
  const timestampMs = Math.max(version.timestampMs, 0) || nowMs
  return {
    viewUuid: view.uuid,
    formatVersion: viewFormatVersion,
    location: view.location,
    schemas: [schema],
    currentVersionId: version.versionId,
    versions: [{ ...version, timestampMs }],
    versionLog: [{ timestampMs, versionId: version.versionId }],
    properties: view.properties,
  }
}

export function applyViewUpdates(
  base: ViewMetadata,
  updates: readonly ViewUpdate[],
  nowMs: number,
): ViewMetadata {
  let view = base
  let addedSchemaId: number | null = null
  let addedVersionId: number | null = null
  for (const update of updates) {
    switch (update.action) {
      case 'assign-uuid':
        if (view.viewUuid !== update.uuid) throw invalid('Cannot reassign the uuid of a view')
        break
      case 'upgrade-format-version':
        if (update.formatVersion !== viewFormatVersion) {
          throw new PotokError(
            'Unsupported',
            `Cannot upgrade view to unsupported format version: v${update.formatVersion} (supported: v${viewFormatVersion})`,
          )
        }
        break
      case 'add-schema': {
        const same = view.schemas.find((one) => isDeepStrictEqual(one.fields, update.schema.fields))
        addedSchemaId = same?.schemaId ?? nextId(view.schemas.map((one) => one.schemaId))
        if (same === undefined) {
          const schema = { ...update.schema, schemaId: addedSchemaId }
          view = { ...view, schemas: [...view.schemas, schema] }
        }
        break
      }
      case 'set-location':
        view = { ...view, location: update.location.replace(/\/+$/, '') }
        break
      case 'set-properties':
        view = { ...view, properties: { ...view.properties, ...update.updates } }
        break
      case 'remove-properties': {
        const kept = Object.entries(view.properties).filter(
          ([key]) => !update.removals.includes(key),
        )
        view = { ...view, properties: Object.fromEntries(kept) }
        break
      }
      case 'add-view-version': {
        const schemaId =
          update.viewVersion.schemaId === lastAdded ? addedSchemaId : update.viewVersion.schemaId
        if (schemaId === null)
          throw invalid('Cannot set last added schema: no schema has been added')
        if (!view.schemas.some((schema) => schema.schemaId === schemaId)) {
          throw invalid(`Cannot add version with unknown schema: ${schemaId}`)
        }
        const version = { ...update.viewVersion, schemaId }
        checkVersion(version)
        const same = view.versions.find((one) => isSameVersion(one, version))
        addedVersionId = same?.versionId ?? nextId(view.versions.map((one) => one.versionId))
        if (same === undefined) {
          const added = { ...version, versionId: addedVersionId }
          view = { ...view, versions: [...view.versions, added] }
        }
        break
      }
      case 'set-current-view-version':
        view = setCurrent(view, update.viewVersionId, addedVersionId, nowMs)
        break
    }
  }
  return prune(view)
}

function setCurrent(
  view: ViewMetadata,
  wanted: number,
  added: number | null,
  nowMs: number,
): ViewMetadata {
  const versionId = wanted === lastAdded ? added : wanted
  if (versionId === null) {
    throw invalid('Cannot set last version id: no current version id has been set')
  }
  const version = view.versions.find((one) => one.versionId === versionId)
  if (version === undefined) {
    throw invalid(`Cannot set current version to unknown version: ${versionId}`)
  }
  if (versionId === view.currentVersionId) return view
  const timestampMs = versionId === added ? version.timestampMs : nowMs
  return {
    ...view,
    currentVersionId: versionId,
    versionLog: [...view.versionLog, { timestampMs, versionId }],
  }
}

function prune(view: ViewMetadata): ViewMetadata {
  const wanted = Number(view.properties[historyProperty] ?? historyDefault)
  const kept = Number.isSafeInteger(wanted) && wanted >= 1 ? wanted : historyDefault
  if (view.versions.length <= kept) return view
  const newest = [...view.versions].sort((a, b) => b.versionId - a.versionId).slice(0, kept)
  const ids = new Set([...newest.map((version) => version.versionId), view.currentVersionId])
  return {
    ...view,
    versions: view.versions.filter((version) => ids.has(version.versionId)),
    versionLog: view.versionLog.filter((entry) => ids.has(entry.versionId)),
  }
}

function isSameVersion(a: ViewVersion, b: ViewVersion): boolean {
  return (
    a.schemaId === b.schemaId &&
    a.defaultCatalog === b.defaultCatalog &&
    isDeepStrictEqual(a.defaultNamespace, b.defaultNamespace) &&
    isDeepStrictEqual(a.summary, b.summary) &&
    isDeepStrictEqual(a.representations, b.representations)
  )
}

function checkVersion(version: ViewVersion): void {
  const dialects = new Set<string>()
  for (const { dialect } of version.representations) {
    const name = dialect.toLowerCase()
    if (dialects.has(name)) {
      throw invalid(`Invalid view version: Cannot add multiple queries for dialect ${name}`)
    }
    dialects.add(name)
  }
}

function nextId(ids: readonly number[]): number {
  return ids.reduce((next, id) => Math.max(next, id + 1), 0)
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
