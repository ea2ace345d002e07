/**
 * What is left of a catalog in its warehouse, for the repair: the newest metadata files of each table and view,
 * and the newest copy of the root that can still be read. Reads only.
 *
 * Of a table a file is a head if no other file names it in its log of past metadata files. More than one head
 * is the trace of a commit that lost its swap, or whose outcome was never known.
 */
import { metadataVersionOf, readTableMetadata } from '../iceberg/codec/metadata-json.ts'
import { readViewMetadata } from '../iceberg/codec/view-json.ts'
import type { TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { ViewMetadata } from '../iceberg/spec/view-metadata.ts'
import { describeError, isPotokError, PotokError } from '../kernel/errors.ts'
import type { ObjectStore } from '../kernel/ports.ts'
import type { NamePages } from './name-pages.ts'
import { type CatalogEntry, decodeRootState, type RootState } from './root-state.ts'

const filesAtOnce = 16

export type MetadataHead = {
  readonly kind: 'table' | 'view'
  readonly uuid: string
  /** Of the metadata file. */
  readonly location: string
  /** Where the table says that it is. */
  readonly folder: string
  readonly updatedMs: number
  readonly sequenceNumber: number
  readonly version: number
  /** Earlier metadata files that it builds upon, so far as its log reaches back. */
  readonly ancestors: ReadonlySet<string>
  /** Why it can't be used, null where it can. */
  readonly flaw: string | null
}

export type RootCopy = {
  readonly location: string
  readonly state: RootState
  /** Without those of pages that have gone. */
  readonly entries: ReadonlyMap<string, CatalogEntry>
  readonly isWhole: boolean
}

export type RepairScan = {
  readonly heads: readonly MetadataHead[]
  readonly unreadable: readonly { location: string; why: string }[]
  readonly metadataFiles: number
  readonly rootCopy: RootCopy | null
}

export async function scanForRepair(options: {
  store: ObjectStore
  pages: NamePages
  warehouse: string
  /** Folder of the root object and of its pages. */
  catalogFolder: string
  /** Further prefixes under which tables may be. */
  prefixes: readonly string[]
}): Promise<RepairScan> {
  const { store, catalogFolder } = options
  const folders = new Map<string, Set<string>>()
  for (const prefix of new Set([options.warehouse, ...options.prefixes])) {
    for await (const { location } of store.list(`${prefix}/`)) {
      if (!/\.metadata\.json(\.gz)?$/.test(location)) continue
      const folder = location.slice(0, location.lastIndexOf('/'))
      const files = folders.get(folder) ?? new Set()
      folders.set(folder, files.add(location))
    }
  }
  let metadataFiles = 0
  const found: MetadataHead[] = []
  const unreadable: { location: string; why: string }[] = []
  for (const files of folders.values()) {
    metadataFiles += files.size
    found.push(...(await headsOf(store, [...files], unreadable)))
  }
  // A table's files may lie in more than one folder.
  const ancestors = new Set(found.flatMap((head) => [...head.ancestors]))
  const heads = found.filter((head) => !ancestors.has(head.location))
  const rootCopy = await newestRootCopy(store, options.pages, catalogFolder)
  return { heads, unreadable, metadataFiles, rootCopy }
}

/** Newest first, so that most of a folder is named in the log of the first file and needn't be read. */
async function headsOf(
  store: ObjectStore,
  files: readonly string[],
  unreadable: { location: string; why: string }[],
): Promise<MetadataHead[]> {
  const sorted = files.toSorted((a, b) => metadataVersionOf(b) - metadataVersionOf(a))
  const found: MetadataHead[] = []
  const ancestors = new Set<string>()
  for (let at = 0; at < sorted.length; ) {
    const batch: string[] = []
    // One first: its log tells which others to leave aside.
    const batchMax = at === 0 ? 1 : filesAtOnce
    for (; at < sorted.length && batch.length < batchMax; at++) {
      const file = sorted[at] as string
      if (!ancestors.has(file)) batch.push(file)
    }
    await Promise.all(
      batch.map(async (location) => {
        try {
          const head = await readHead(store, location)
          found.push(head)
          for (const ancestor of head.ancestors) ancestors.add(ancestor)
        } catch (error) {
          if (!isPotokError(error)) throw error
          if (error.kind === 'Unavailable' || error.kind === 'Timeout') throw error
          unreadable.push({ location, why: describeError(error) })
        }
      }),
    )
  }
  return found
}

async function readHead(store: ObjectStore, location: string): Promise<MetadataHead> {
  const bytes = await store.read(location)
  const version = metadataVersionOf(location)
  let table: TableMetadata
  try {
    table = readTableMetadata(bytes, location)
  } catch (error) {
    const view = viewOf(bytes, location)
    if (view === null) throw error
    const { viewUuid: uuid, location: folder } = view
    return {
      kind: 'view',
      uuid,
      location,
      folder,
      updatedMs: Math.max(0, ...view.versionLog.map((entry) => entry.timestampMs)),
      sequenceNumber: Math.max(0, ...view.versions.map((one) => one.versionId)),
      version,
      ancestors: new Set(),
      flaw: null,
    }
  }
  const current = table.snapshots.find((one) => one.snapshotId === table.currentSnapshotId)
  const list = current?.manifestList ?? ''
  const isMissing = list !== '' && (await store.stat(list)) === null
  return {
    kind: 'table',
    uuid: table.tableUuid,
    location,
    folder: table.location,
    updatedMs: table.lastUpdatedMs,
    sequenceNumber: table.lastSequenceNumber,
    version,
    ancestors: new Set(table.metadataLog.map((entry) => entry.metadataFile)),
    flaw: isMissing ? `the manifest list of its current snapshot is missing (${list})` : null,
  }
}

function viewOf(bytes: Uint8Array, location: string): ViewMetadata | null {
  try {
    return readViewMetadata(bytes, location)
  } catch {
    return null
  }
}

/** Of everything beside the root: generations that are kept, a torn one's predecessor, copies put there by hand. */
async function newestRootCopy(
  store: ObjectStore,
  pages: NamePages,
  folder: string,
): Promise<RootCopy | null> {
  let newest: { location: string; state: RootState } | null = null
  for await (const { location } of store.list(`${folder}/root`)) {
    try {
      const state = decodeCopy(await store.read(location))
      if (newest === null || state.generation > newest.state.generation) {
        newest = { location, state }
      }
    } catch (error) {
      // Torn, or of another format: the next one may be better.
      if (!(error instanceof PotokError) || error.kind === 'Unavailable') throw error
    }
  }
  if (newest === null) return null
  try {
    return { ...newest, entries: new Map(await pages.scan(newest.state, '')), isWhole: true }
  } catch (error) {
    if (!isPotokError(error, 'NotFound') && !isPotokError(error, 'DataCorrupt')) throw error
  }
  const entries = new Map<string, CatalogEntry>()
  for (const [key, entry] of newest.state.entries) if (entry !== null) entries.set(key, entry)
  return { ...newest, entries, isWhole: newest.state.pages.length === 0 }
}

/** Root objects begin with a line of their own; it says how long the content is. */
function decodeCopy(bytes: Uint8Array): RootState {
  const lineEnd = bytes.indexOf(0x0a)
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, Math.max(0, lineEnd)))
  const length = /^potok-root 1 .*\bbytes=(\d+)\b/.exec(head)?.[1]
  const content = bytes.subarray(lineEnd + 1)
  if (length !== undefined && Number(length) !== content.length) {
    throw new PotokError('DataCorrupt', 'the copy of the root is torn')
  }
  return decodeRootState(content)
}
