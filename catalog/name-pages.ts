/**
 * Names in bulk: immutable pages of entries sorted by key, so that a catalog of 10,000 tables still has a
 * small root. The root's own entries lie over them; when these are many, they are merged: only pages that they
 * touch are written anew.
 */
import { PotokError } from '../kernel/errors.ts'
import type { ObjectStore } from '../kernel/ports.ts'
import { createBoundedCache } from './bounded-cache.ts'
import {
  type CatalogEntry,
  decodeEntries,
  encodeEntries,
  type EntryChanges,
  type PagePointer,
  type RootState,
} from './root-state.ts'

/** Above this many entries in the root they are merged into pages: about 50 kB of JSON. */
const rootEntriesMax = 256
const pageEntriesMax = 512
const cacheBytesMax = 32 * 1024 * 1024
const bytesPerEntry = 400

type Page = ReadonlyMap<string, CatalogEntry>

export type NamePages = {
  get(state: RootState, key: string): Promise<CatalogEntry | null>
  /** Entries whose keys begin so, in the order of keys. */
  scan(state: RootState, prefix: string): Promise<[string, CatalogEntry][]>
  isMergeDue(entries: EntryChanges): boolean
  /** Writes new pages; gives the pointers and what they replace. The root's entries are empty then. */
  merge(
    state: RootState,
    entries: EntryChanges,
  ): Promise<{ pages: PagePointer[]; replaced: string[]; written: string[] }>
}

export function createNamePages(options: {
  store: ObjectStore
  /** Ends without a slash. */
  folder: string
  newId: () => string
}): NamePages {
  const { store, folder, newId } = options
  const cache = createBoundedCache<Page>(cacheBytesMax)

  async function load(pointer: PagePointer): Promise<Page> {
    const cached = cache.get(pointer.location)
    if (cached !== undefined) return cached
    const bytes = await store.read(pointer.location)
    const entries = decodeEntries(JSON.parse(new TextDecoder().decode(bytes)))
    const page = new Map<string, CatalogEntry>()
    for (const [key, entry] of entries) if (entry !== null) page.set(key, entry)
    if (page.size !== pointer.entryCount) {
      throw new PotokError('DataCorrupt', `the catalog's page ${pointer.location} is not whole`)
    }
    cache.set(pointer.location, page, page.size * bytesPerEntry)
    return page
  }

  async function write(entries: readonly [string, CatalogEntry][]): Promise<PagePointer> {
    const location = `${folder}/names-${newId()}.json`
    const page = new Map(entries)
    await store.write(location, new TextEncoder().encode(JSON.stringify(encodeEntries(page))))
    cache.set(location, page, page.size * bytesPerEntry)
    return { firstKey: (entries[0] as [string, CatalogEntry])[0], location, entryCount: page.size }
  }

  return {
    async get(state, key) {
      const own = state.entries.get(key)
      if (own !== undefined) return own
      const pointer = state.pages[pageIndexOf(state.pages, key)]
      return pointer === undefined ? null : ((await load(pointer)).get(key) ?? null)
    },

    async scan(state, prefix) {
      const found = new Map<string, CatalogEntry>()
      for (let i = Math.max(0, pageIndexOf(state.pages, prefix)); i < state.pages.length; i++) {
        const pointer = state.pages[i] as PagePointer
        if (pointer.firstKey > prefix && !pointer.firstKey.startsWith(prefix)) break
        for (const [key, entry] of await load(pointer)) {
          if (key.startsWith(prefix)) found.set(key, entry)
        }
      }
      for (const [key, entry] of state.entries) {
        if (!key.startsWith(prefix)) continue
        if (entry === null) found.delete(key)
        else found.set(key, entry)
      }
      return [...found].sort(byKey)
    },

    isMergeDue(entries) {
      return entries.size > rootEntriesMax
    },

    async merge(state, entries) {
      /** By index of the page that they fall into; -1 goes to the first. */
      const touched = new Map<number, Map<string, CatalogEntry>>()
      for (const [key, entry] of entries) {
        const index = Math.max(0, pageIndexOf(state.pages, key))
        let page = touched.get(index)
        if (page === undefined) {
          const pointer = state.pages[index]
          page = new Map(pointer === undefined ? [] : await load(pointer))
          touched.set(index, page)
        }
        if (entry === null) page.delete(key)
        else page.set(key, entry)
      }
      const pages: PagePointer[] = []
      const replaced: string[] = []
      const written: string[] = []
      for (let i = 0; i < Math.max(1, state.pages.length); i++) {
        const pointer = state.pages[i]
        const page = touched.get(i)
        if (page === undefined) {
          if (pointer !== undefined) pages.push(pointer)
          continue
        }
        if (pointer !== undefined) replaced.push(pointer.location)
        const sorted = [...page].sort(byKey)
        for (let at = 0; at < sorted.length; at += pageEntriesMax) {
          const made = await write(sorted.slice(at, at + pageEntriesMax))
          pages.push(made)
          written.push(made.location)
        }
      }
      return { pages, replaced, written }
    },
  }
}

/** The page whose range holds the key: the last whose first key isn't above it; -1 where it is before all. */
function pageIndexOf(pages: readonly PagePointer[], key: string): number {
  let low = 0
  let high = pages.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((pages[middle] as PagePointer).firstKey <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}

function byKey(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : 1
}
