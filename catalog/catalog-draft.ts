/**
 * The catalog as a change sees and leaves it, before anything is written: what the root says, under what the
 * changes before it in the same swap have made of it. A change works on a draft of its own, which is merged
 * when it succeeds: so a change with several tables counts whole or not at all.
 */
import type { LoadedTable, LoadedView } from '../iceberg/catalog.ts'
import type { TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { ViewMetadata } from '../iceberg/spec/view-metadata.ts'
import type { PendingKey } from './idempotent-changes.ts'
import { parseKey } from './names.ts'
import type { CatalogEntry, RootState } from './root-state.ts'
import type { StagedList } from './staged-lists.ts'

/** Metadata that is to be written before the swap. */
export type StagedFile =
  | {
      readonly kind: 'table'
      readonly location: string
      readonly metadata: TableMetadata
      /** Metadata files of the past that fell out of the log: to be deleted when the swap has won. */
      readonly obsolete: readonly string[]
      /** Manifest lists of rebased snapshots, to be written with it. */
      readonly lists: readonly StagedList[]
    }
  | { readonly kind: 'view'; readonly location: string; readonly metadata: ViewMetadata }

export type CatalogDraft = {
  readonly state: RootState
  get(key: string): Promise<CatalogEntry | null>
  scan(prefix: string): Promise<[string, CatalogEntry][]>
  set(key: string, entry: CatalogEntry | null): void
  staged(key: string): StagedFile | undefined
  stage(key: string, file: StagedFile): void
  /** Idempotency keys that this swap will record. */
  pendingKey(key: string): PendingKey | undefined
  pendingKeyCount(): number
  addPendingKey(key: string, pending: PendingKey): void
  child(): CatalogDraft
  /** Takes over what a child made. */
  merge(child: CatalogDraft): void
  readonly changes: ReadonlyMap<string, CatalogEntry | null>
  readonly files: ReadonlyMap<string, StagedFile>
  readonly pendingKeys: ReadonlyMap<string, PendingKey>
}

export function createCatalogDraft(
  state: RootState,
  base: {
    get(key: string): Promise<CatalogEntry | null>
    scan(prefix: string): Promise<[string, CatalogEntry][]>
    staged(key: string): StagedFile | undefined
  },
  parent: CatalogDraft | null = null,
): CatalogDraft {
  const changes = new Map<string, CatalogEntry | null>()
  const files = new Map<string, StagedFile>()
  const pendingKeys = new Map<string, PendingKey>()

  const draft: CatalogDraft = {
    state,
    changes,
    files,
    pendingKeys,
    pendingKey: (key) => pendingKeys.get(key) ?? parent?.pendingKey(key),
    pendingKeyCount: () => pendingKeys.size + (parent?.pendingKeyCount() ?? 0),
    addPendingKey: (key, pending) => pendingKeys.set(key, pending),
    async get(key) {
      const changed = changes.get(key)
      return changed === undefined ? base.get(key) : changed
    },
    async scan(prefix) {
      const found = new Map(await base.scan(prefix))
      for (const [key, entry] of changes) {
        if (!key.startsWith(prefix)) continue
        if (entry === null) found.delete(key)
        else found.set(key, entry)
      }
      return [...found].sort(([a], [b]) => (a < b ? -1 : 1))
    },
    set(key, entry) {
      changes.set(key, entry)
      if (entry === null || entry.kind === 'namespace') return
      if (files.get(key)?.location !== entry.metadataLocation) files.delete(key)
    },
    staged(key) {
      return files.get(key) ?? base.staged(key)
    },
    stage(key, file) {
      const uuid = file.kind === 'table' ? file.metadata.tableUuid : file.metadata.viewUuid
      changes.set(key, { kind: file.kind, uuid, metadataLocation: file.location })
      files.set(key, file)
    },
    child() {
      return createCatalogDraft(state, draft, draft)
    },
    merge(child) {
      for (const [key, entry] of child.changes) changes.set(key, entry)
      for (const [key, file] of child.files) files.set(key, file)
      for (const [key, pending] of child.pendingKeys) pendingKeys.set(key, pending)
    },
  }
  return draft
}

/** Staged files that the draft's end still refers to: what was dropped or renamed over within it is not written. */
export function filesToWrite(draft: CatalogDraft): [string, StagedFile][] {
  return [...draft.files].filter(([key, file]) => {
    const entry = draft.changes.get(key)
    return (
      entry !== null &&
      entry !== undefined &&
      entry.kind !== 'namespace' &&
      entry.metadataLocation === file.location
    )
  })
}

export function loadedTable(key: string, file: StagedFile): LoadedTable {
  if (file.kind !== 'table') throw new TypeError(`${key} is a view`)
  const { namespace, name } = parseKey(key)
  return {
    identifier: { namespace, name },
    metadataLocation: file.location,
    metadata: file.metadata,
  }
}

export function loadedView(key: string, file: StagedFile): LoadedView {
  if (file.kind !== 'view') throw new TypeError(`${key} is a table`)
  const { namespace, name } = parseKey(key)
  return {
    identifier: { namespace, name },
    metadataLocation: file.location,
    metadata: file.metadata,
  }
}
