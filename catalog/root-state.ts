/**
 * What the root object holds, and its JSON: small and whole, so that one swap of it changes any number of
 * tables at once. Names in bulk are in immutable pages (`name-pages.ts`); the root has what changed since they
 * were written, `null` for what was dropped.
 *
 * The history of swap ids is how a swap whose answer was lost is found again, and how it is proven that one
 * can't be in: if it names the swap we built upon and not ours, ours lost.
 */
import { PotokError } from '../kernel/errors.ts'
import type { IdSource } from '../kernel/ports.ts'
import {
  decodeKeyState,
  encodeKeyState,
  type IdempotencyState,
  noKeys,
  type WireKeyState,
} from './idempotency-state.ts'
import { type EntryKind, keyOf, parseKey } from './names.ts'

/**
 * 1: entries, pages, history. 2: idempotency keys and the warehouse's id, too. 1 is read and becomes 2 with the
 * next swap; a potok that knows 1 only refuses 2, because its swaps would lose the keys.
 */
const rootFormatVersion = 2
const rootFormatVersionsRead: readonly number[] = [1, 2]
export const swapIdsMax = 1_000

export type CatalogEntry =
  | { readonly kind: 'namespace'; readonly properties: Readonly<Record<string, string>> }
  | {
      readonly kind: 'table' | 'view'
      readonly uuid: string
      readonly metadataLocation: string
    }

/** Entries by key; null: dropped, though a page may still have it. */
export type EntryChanges = ReadonlyMap<string, CatalogEntry | null>

export type PagePointer = {
  /** The page holds the keys from this one up to that of the next page. */
  readonly firstKey: string
  readonly location: string
  readonly entryCount: number
}

export type RootState = {
  /** Of this catalog since its first root: what is remembered of another one says nothing here. */
  readonly warehouseId: string | null
  readonly generation: number
  /** Id of the swap that made this state: random, so that equal bytes never come twice (ABA). */
  readonly swapId: string
  /** Newest last, this one included. */
  readonly swapIds: readonly string[]
  readonly updatedMs: number
  readonly entries: EntryChanges
  readonly pages: readonly PagePointer[]
  /** Pages that the last merge replaced: deleted by the next one, when nobody reads them any more. */
  readonly retiredPages: readonly string[]
  readonly idempotency: IdempotencyState
}

type WireEntry = {
  kind: EntryKind
  namespace: string[]
  name?: string
  dropped?: true
  properties?: Record<string, string>
  uuid?: string
  'metadata-location'?: string
}

type WireRoot = {
  format: string
  'format-version': number
  'warehouse-id'?: string
  generation: number
  'swap-id': string
  'updated-ms': number
  entries: WireEntry[]
  pages: { 'first-key': string; location: string; 'entry-count': number }[]
  'retired-pages': string[]
  'swap-ids': string[]
  idempotency?: WireKeyState
}

/** 16 random hex digits: among 1,000 remembered ones no two are ever equal. */
export function newSwapId(ids: IdSource): string {
  return ids.uuid().replaceAll('-', '').slice(0, 16)
}

export function firstRootState(swapId: string, nowMs: number): RootState {
  return {
    warehouseId: swapId,
    generation: 1,
    swapId,
    swapIds: [swapId],
    updatedMs: nowMs,
    entries: new Map(),
    pages: [],
    retiredPages: [],
    idempotency: noKeys,
  }
}

export function nextRootState(
  base: RootState,
  change: Omit<RootState, 'warehouseId' | 'generation' | 'swapIds'>,
): RootState {
  return {
    ...change,
    warehouseId: base.warehouseId ?? change.swapId,
    generation: base.generation + 1,
    swapIds: [...base.swapIds, change.swapId].slice(-swapIdsMax),
  }
}

export function encodeRootState(state: RootState): Uint8Array {
  const wire: WireRoot = {
    format: 'potok-catalog-root',
    'format-version': rootFormatVersion,
    ...(state.warehouseId === null ? {} : { 'warehouse-id': state.warehouseId }),
    generation: state.generation,
    'swap-id': state.swapId,
    'updated-ms': state.updatedMs,
    entries: encodeEntries(state.entries),
    pages: state.pages.map((page) => ({
      'first-key': page.firstKey,
      location: page.location,
      'entry-count': page.entryCount,
    })),
    'retired-pages': [...state.retiredPages],
    'swap-ids': [...state.swapIds],
    idempotency: encodeKeyState(state.idempotency),
  }
  return new TextEncoder().encode(JSON.stringify(wire))
}

export function decodeRootState(bytes: Uint8Array): RootState {
  let wire: WireRoot
  try {
    wire = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as WireRoot
  } catch (cause) {
    throw new PotokError('DataCorrupt', "the catalog's root object is no JSON", { cause })
  }
  if (wire.format !== 'potok-catalog-root') {
    throw new PotokError('DataCorrupt', "the catalog's root object is not one of potok's")
  }
  if (!rootFormatVersionsRead.includes(wire['format-version'])) {
    throw new PotokError(
      'Unsupported',
      `the catalog was written by a newer potok (format ${wire['format-version']}, this one knows ${rootFormatVersion})`,
    )
  }
  return {
    warehouseId: wire['warehouse-id'] ?? null,
    generation: wire.generation,
    swapId: wire['swap-id'],
    swapIds: wire['swap-ids'],
    updatedMs: wire['updated-ms'],
    entries: decodeEntries(wire.entries),
    pages: wire.pages.map((page) => ({
      firstKey: page['first-key'],
      location: page.location,
      entryCount: page['entry-count'],
    })),
    retiredPages: wire['retired-pages'],
    idempotency: wire.idempotency === undefined ? noKeys : decodeKeyState(wire.idempotency),
  }
}

export function encodeEntries(entries: EntryChanges): WireEntry[] {
  return [...entries].map(([key, entry]) => {
    const { kind, namespace, name } = parseKey(key)
    const at = kind === 'namespace' ? { kind, namespace } : { kind, namespace, name }
    if (entry === null) return { ...at, dropped: true }
    if (entry.kind === 'namespace') return { ...at, properties: { ...entry.properties } }
    return { ...at, uuid: entry.uuid, 'metadata-location': entry.metadataLocation }
  })
}

export function decodeEntries(wire: readonly WireEntry[]): EntryChanges {
  const entries = new Map<string, CatalogEntry | null>()
  for (const one of wire) {
    const key = keyOf(one.kind, one.namespace, one.name ?? '')
    if (one.dropped === true) entries.set(key, null)
    else if (one.kind === 'namespace') {
      entries.set(key, { kind: 'namespace', properties: one.properties ?? {} })
    } else {
      entries.set(key, {
        kind: one.kind,
        uuid: one.uuid ?? '',
        metadataLocation: one['metadata-location'] ?? '',
      })
    }
  }
  return entries
}
