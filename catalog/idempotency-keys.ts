/**
 * Looking up idempotency keys in a root's state, and adding those of a swap.
 *
 * A key is found from the swap that records it until its lifetime has passed, by every server, after every
 * restart. None is forgotten early: when as many are held as may be, requests with a new one are refused
 * (429) before anything happens.
 */
import { PotokError } from '../kernel/errors.ts'
import type { ObjectStore } from '../kernel/ports.ts'
import { createBoundedCache } from './bounded-cache.ts'
import {
  decodeKeyRecord,
  encodeKeyRecord,
  type IdempotencyState,
  type KeyPagePointer,
  type KeyRecord,
  type WireKeyRecord,
} from './idempotency-state.ts'

/**
 * Iceberg's Java client gives up after about a minute of retries, so ten are plenty. With one more for clocks
 * that differ, `keysMax` is 262,144 / 660 s = 397 keys a second for as long as you like.
 */
const lifetimeMs = 10 * 60_000
export const keyLifetimeText = 'PT10M'
const graceMs = 60_000
const keysMaxDefault = 262_144
/**
 * As many in the root before they become a page: each is about 230 bytes of JSON in every swap, and each page
 * 130 bytes. At 100 keys a second that makes 258 pages: 30 kB of keys and 33 kB of pointers.
 */
const recentKeysMax = 256
const cacheBytesMax = 16 * 1024 * 1024
/** Of a parsed record over its JSON's. */
const memoryPerByte = 3

export type IdempotencyKeys = {
  find(state: IdempotencyState, key: string, nowMs: number): Promise<KeyRecord | null>
  /** Throws Overloaded where a further key has no room; `pending` are those that the same swap adds. */
  requireRoom(state: IdempotencyState, pending: number, nowMs: number): void
  /**
   * The state with a swap's keys and without what has expired. `obsolete` may be deleted when the swap has won,
   * `written` when it is proven to have lost.
   */
  add(
    state: IdempotencyState,
    added: readonly KeyRecord[],
    nowMs: number,
  ): Promise<{ state: IdempotencyState; written: string[]; obsolete: string[] }>
}

export function createIdempotencyKeys(options: {
  store: ObjectStore
  /** Ends without a slash. */
  folder: string
  newId: () => string
  keysMax?: number
}): IdempotencyKeys {
  const { store, folder, newId } = options
  const keysMax = options.keysMax ?? keysMaxDefault
  const cache = createBoundedCache<ReadonlyMap<string, KeyRecord>>(cacheBytesMax)

  function locationOf(id: string): string {
    return `${folder}/keys-${id}.json`
  }

  async function load(pointer: KeyPagePointer): Promise<ReadonlyMap<string, KeyRecord>> {
    const cached = cache.get(pointer.id)
    if (cached !== undefined) return cached
    const location = locationOf(pointer.id)
    const bytes = await store.read(location)
    const wire = JSON.parse(new TextDecoder().decode(bytes)) as WireKeyRecord[]
    const page = new Map(wire.map((one) => [one[0], decodeKeyRecord(one)]))
    if (page.size !== pointer.keyCount) {
      throw new PotokError('DataCorrupt', `the catalog's page ${location} is not whole`)
    }
    cache.set(pointer.id, page, bytes.length * memoryPerByte)
    return page
  }

  async function write(records: readonly KeyRecord[]): Promise<KeyPagePointer> {
    const id = newId()
    const page = new Map(records.map((record) => [record.key, record]))
    const wire = [...page.values()].map(encodeKeyRecord)
    const bytes = new TextEncoder().encode(JSON.stringify(wire))
    await store.write(locationOf(id), bytes)
    cache.set(id, page, bytes.length * memoryPerByte)
    let firstKey = wire[0]?.[0] ?? ''
    let lastKey = firstKey
    let newestMs = 0
    for (const { key, recordedMs } of page.values()) {
      if (key < firstKey) firstKey = key
      if (key > lastKey) lastKey = key
      newestMs = Math.max(newestMs, recordedMs)
    }
    return { id, firstKey, lastKey, keyCount: page.size, newestMs }
  }

  /** How many are held by then; pages and keys that have expired don't count. */
  function heldAt(state: IdempotencyState, nowMs: number): number {
    let held = 0
    for (const page of state.pages) if (!isExpired(page.newestMs, nowMs)) held += page.keyCount
    for (const record of state.recent) if (!isExpired(record.recordedMs, nowMs)) held++
    return held
  }

  return {
    async find(state, key, nowMs) {
      // Newest first: a key that was used again after its time is there twice.
      const recent = state.recent.findLast((record) => record.key === key)
      if (recent !== undefined) return isExpired(recent.recordedMs, nowMs) ? null : recent
      for (const page of state.pages.toReversed()) {
        if (isExpired(page.newestMs, nowMs) || key < page.firstKey || key > page.lastKey) continue
        const found = (await load(page)).get(key)
        if (found !== undefined) return isExpired(found.recordedMs, nowMs) ? null : found
      }
      return null
    },

    requireRoom(state, pending, nowMs) {
      if (heldAt(state, nowMs) + pending < keysMax) return
      throw new PotokError(
        'Overloaded',
        `the catalog remembers ${keysMax} idempotency keys already: try again when some have expired (${keyLifetimeText})`,
      )
    },

    async add(state, added, nowMs) {
      const recent = [...state.recent, ...added].filter(
        (record) => !isExpired(record.recordedMs, nowMs),
      )
      const pages = state.pages.filter((page) => !isExpired(page.newestMs, nowMs))
      const expired = state.pages.filter((page) => !pages.includes(page)).map((page) => page.id)
      const dropped =
        expired.length === 0
          ? { retired: state.retired, obsolete: [] }
          : { retired: expired, obsolete: state.retired.map(locationOf) }
      const { retired, obsolete } = dropped
      if (recent.length <= recentKeysMax) {
        return { state: { recent, pages, retired }, written: [], obsolete }
      }
      const page = await write(recent)
      return {
        state: { recent: [], pages: [...pages, page], retired },
        written: [locationOf(page.id)],
        obsolete,
      }
    },
  }
}

function isExpired(recordedMs: number, nowMs: number): boolean {
  return recordedMs + lifetimeMs + graceMs < nowMs
}
