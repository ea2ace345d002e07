/**
 * Metadata of a new view, and updates of one (view specification; REST specification, "ViewUpdate"). Pure.
 * Kept are the last `version.history.num-entries` versions, at least the current one and those just added; the
 * log of what was current begins after the last entry whose version is gone.
 */
import { isDeepStrictEqual } from 'node:util'
import { isSameSchema } from './evolve-schema.ts'
import { illegalArgument, unsupported, validationFailed } from './refusals.ts'
import type { Schema } from './table-metadata.ts'
import type { ViewMetadata, ViewUpdate, ViewVersion } from './view-metadata.ts'

const viewFormatVersion = 1
const lastAdded = -1
const historyProperty = 'version.history.num-entries'
const historyDefault = 10
const dropDialectProperty = 'replace.drop-dialect.allowed'

export type NewView = {
  readonly uuid: string
  readonly location: string
  readonly schema: Schema
  readonly viewVersion: ViewVersion
  readonly properties: Readonly<Record<string, string>>
}

type ViewDraft = {
  view: ViewMetadata
  lastSchemaId: number | null
  lastVersionId: number | null
  readonly addedVersionIds: Set<number>
  /** When the current version became it, where this change made it so. */
  becameCurrentMs: number | null
}

export function newViewMetadata(view: NewView, nowMs: number): ViewMetadata {
  const schema = { ...view.schema, schemaId: 0 }
  const version = { ...view.viewVersion, versionId: 1, schemaId: 0 }
  if (version.representations.length === 0) {
    throw illegalArgument('Cannot create view without specifying a query')
  }
  checkDialects(version)
  checkHistorySize(view.properties)
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

/** Gives `base` itself where nothing changes. */
export function applyViewUpdates(
  base: ViewMetadata,
  updates: readonly ViewUpdate[],
  nowMs: number,
): ViewMetadata {
  const draft: ViewDraft = {
    view: base,
    lastSchemaId: null,
    lastVersionId: null,
    addedVersionIds: new Set(),
    becameCurrentMs: null,
  }
  for (const update of updates) applyUpdate(draft, update, nowMs)
  const { view } = draft
  if (isDeepStrictEqual(view, base)) return base
  if (view.properties[dropDialectProperty]?.toLowerCase() !== 'true') {
    checkDialectsKept(base, view)
  }
  const logged =
    draft.becameCurrentMs === null
      ? view
      : {
          ...view,
          versionLog: [
            ...view.versionLog,
            { timestampMs: draft.becameCurrentMs, versionId: view.currentVersionId },
          ],
        }
  return withoutOldVersions(logged, draft.addedVersionIds)
}

function applyUpdate(draft: ViewDraft, update: ViewUpdate, nowMs: number): void {
  const { view } = draft
  switch (update.action) {
    case 'assign-uuid':
      if (view.viewUuid !== update.uuid) throw illegalArgument('Cannot reassign uuid')
      return
    case 'upgrade-format-version':
      if (update.formatVersion < view.formatVersion) {
        throw illegalArgument(
          `Cannot downgrade v${view.formatVersion} view to v${update.formatVersion}`,
        )
      }
      if (update.formatVersion > viewFormatVersion) {
        throw unsupported(
          `Cannot upgrade view to unsupported format version: v${update.formatVersion} (supported: v${viewFormatVersion})`,
        )
      }
      return
    case 'add-schema':
      addSchema(draft, update.schema)
      return
    case 'set-location':
      draft.view = { ...view, location: update.location.replace(/\/+$/, '') }
      return
    case 'set-properties':
      draft.view = { ...view, properties: { ...view.properties, ...update.updates } }
      return
    case 'remove-properties': {
      const kept = Object.entries(view.properties).filter(([key]) => !update.removals.includes(key))
      draft.view = { ...view, properties: Object.fromEntries(kept) }
      return
    }
    case 'add-view-version':
      addVersion(draft, update.viewVersion)
      return
    case 'set-current-view-version':
      setCurrent(draft, update.viewVersionId, nowMs)
      return
  }
}

function addSchema(draft: ViewDraft, schema: Schema): void {
  const { view } = draft
  const same = view.schemas.find((one) => isSameSchema(one, schema))
  draft.lastSchemaId = same?.schemaId ?? nextId(view.schemas.map((one) => one.schemaId))
  if (same !== undefined) return
  const added = { ...schema, schemaId: draft.lastSchemaId }
  draft.view = { ...view, schemas: [...view.schemas, added] }
}

function addVersion(draft: ViewDraft, wanted: ViewVersion): void {
  const { view } = draft
  const schemaId = wanted.schemaId === lastAdded ? draft.lastSchemaId : wanted.schemaId
  if (schemaId === null) {
    throw validationFailed('Cannot set last added schema: no schema has been added')
  }
  if (!view.schemas.some((schema) => schema.schemaId === schemaId)) {
    throw illegalArgument(`Cannot add version with unknown schema: ${schemaId}`)
  }
  const version = { ...wanted, schemaId }
  checkDialects(version)
  const same = view.versions.find((one) => isSameVersion(one, version))
  if (same !== undefined) {
    draft.lastVersionId = same.versionId
    return
  }
  const taken = nextId(view.versions.map((one) => one.versionId))
  draft.lastVersionId = Math.max(taken, wanted.versionId)
  draft.addedVersionIds.add(draft.lastVersionId)
  draft.view = {
    ...view,
    versions: [...view.versions, { ...version, versionId: draft.lastVersionId }],
  }
}

function setCurrent(draft: ViewDraft, wanted: number, nowMs: number): void {
  const { view } = draft
  const versionId = wanted === lastAdded ? draft.lastVersionId : wanted
  if (versionId === null) {
    throw validationFailed('Cannot set last version id: no current version id has been set')
  }
  const version = view.versions.find((one) => one.versionId === versionId)
  if (version === undefined) {
    throw illegalArgument(`Cannot set current version to unknown version: ${versionId}`)
  }
  if (versionId === view.currentVersionId) return
  draft.becameCurrentMs = draft.addedVersionIds.has(versionId) ? version.timestampMs : nowMs
  draft.view = { ...view, currentVersionId: versionId }
}

function withoutOldVersions(view: ViewMetadata, added: ReadonlySet<number>): ViewMetadata {
  const wanted = checkHistorySize(view.properties)
  const count = Math.max(wanted, new Set([...added, view.currentVersionId]).size)
  if (view.versions.length <= count) return view
  const others = view.versions
    .map((version) => version.versionId)
    .filter((id) => id !== view.currentVersionId)
    .sort((a, b) => b - a)
  const kept = new Set([view.currentVersionId, ...others.slice(0, count - 1)])
  let versionLog: ViewMetadata['versionLog'][number][] = []
  for (const entry of view.versionLog) {
    if (kept.has(entry.versionId)) versionLog.push(entry)
    else versionLog = []
  }
  return {
    ...view,
    versions: view.versions.filter((version) => kept.has(version.versionId)),
    versionLog,
  }
}

function checkHistorySize(properties: Readonly<Record<string, string>>): number {
  const text = properties[historyProperty]
  const size = text === undefined ? historyDefault : Number(text)
  if (!Number.isSafeInteger(size) || size < 1) {
    throw illegalArgument(`${historyProperty} must be positive but was ${text}`)
  }
  return size
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

function checkDialects(version: ViewVersion): void {
  const dialects = new Set<string>()
  for (const { dialect } of version.representations) {
    const name = dialect.toLowerCase()
    if (dialects.has(name)) {
      throw illegalArgument(`Invalid view version: Cannot add multiple queries for dialect ${name}`)
    }
    dialects.add(name)
  }
}

/** An engine that could read the view before must not lose it by another's replacement. */
function checkDialectsKept(before: ViewMetadata, after: ViewMetadata): void {
  const previous = dialectsOf(before)
  const next = dialectsOf(after)
  if (previous.every((dialect) => next.includes(dialect))) return
  throw illegalArgument(
    `Cannot replace view due to loss of view dialects (${dropDialectProperty}=false):\nPrevious dialects: [${previous.join(', ')}]\nNew dialects: [${next.join(', ')}]`,
  )
}

function dialectsOf(view: ViewMetadata): string[] {
  const current = view.versions.find((version) => version.versionId === view.currentVersionId)
  return (current?.representations ?? []).map(({ dialect }) => dialect.toLowerCase())
}

function nextId(ids: readonly number[]): number {
  return ids.reduce((next, id) => Math.max(next, id + 1), 0)
}
