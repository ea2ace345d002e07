/**
 * What the catalog remembers of requests that carried an `Idempotency-Key`, and its JSON: the youngest keys in
 * the root itself, the others in immutable pages that the root points at. A key is recorded by the very swap
 * that makes its change, so there is no moment in which one is known without the other.
 *
 * What is kept of an answer is small: what was refused and why, or where the metadata file is that it named.
 */
import type { ErrorKind } from '../kernel/errors.ts'

export type KeyResult =
  | {
      readonly outcome: 'refused'
      readonly kind: ErrorKind
      readonly exception: string | null
      readonly message: string
    }
  | {
      readonly outcome: 'table' | 'view'
      /** The answer was a list of this one. */
      readonly isList: boolean
      readonly namespace: readonly string[]
      readonly name: string
      readonly metadataLocation: string
    }
  | { readonly outcome: 'value'; readonly value: unknown }

export type KeyRecord = {
  /** In lower case. */
  readonly key: string
  /** Hash of the request that it is bound to. */
  readonly fingerprint: string
  readonly recordedMs: number
  readonly result: KeyResult
}

export type KeyPagePointer = {
  /** The file is `keys-<id>.json` in the folder of pages. */
  readonly id: string
  /** Least and greatest key: clients' clocks are mostly right, so most pages are left aside unread. */
  readonly firstKey: string
  readonly lastKey: string
  readonly keyCount: number
  readonly newestMs: number
}

export type IdempotencyState = {
  /** Oldest first. */
  readonly recent: readonly KeyRecord[]
  /** Oldest first. */
  readonly pages: readonly KeyPagePointer[]
  /** Expired, out of use; deleted when the next ones expire, when nobody reads them any more. */
  readonly retired: readonly string[]
}

export const noKeys: IdempotencyState = { recent: [], pages: [], retired: [] }

type WireResult =
  | { refused: ErrorKind; exception?: string; message: string }
  | { table: string; of: readonly string[]; list?: true }
  | { view: string; of: readonly string[]; list?: true }
  | { value?: unknown }
export type WireKeyRecord = [
  key: string,
  fingerprint: string,
  recordedMs: number,
  result: WireResult,
]
type WireKeyPage = [id: string, firstKey: string, lastKey: string, keyCount: number, ms: number]

export type WireKeyState = {
  recent: WireKeyRecord[]
  pages: WireKeyPage[]
  retired: string[]
}

export function encodeKeyState(state: IdempotencyState): WireKeyState {
  return {
    recent: state.recent.map(encodeKeyRecord),
    pages: state.pages.map((page) => [
      page.id,
      page.firstKey,
      page.lastKey,
      page.keyCount,
      page.newestMs,
    ]),
    retired: [...state.retired],
  }
}

export function decodeKeyState(wire: WireKeyState): IdempotencyState {
  return {
    recent: wire.recent.map(decodeKeyRecord),
    pages: wire.pages.map(([id, firstKey, lastKey, keyCount, newestMs]) => ({
      id,
      firstKey,
      lastKey,
      keyCount,
      newestMs,
    })),
    retired: wire.retired,
  }
}

export function encodeKeyRecord(record: KeyRecord): WireKeyRecord {
  return [record.key, record.fingerprint, record.recordedMs, encodeResult(record.result)]
}

export function decodeKeyRecord(wire: WireKeyRecord): KeyRecord {
  const [key, fingerprint, recordedMs, result] = wire
  return { key, fingerprint, recordedMs, result: decodeResult(result) }
}

function encodeResult(result: KeyResult): WireResult {
  switch (result.outcome) {
    case 'refused': {
      const { kind, exception, message } = result
      return { refused: kind, ...(exception === null ? {} : { exception }), message }
    }
    case 'table':
      return { table: result.metadataLocation, ...named(result) }
    case 'view':
      return { view: result.metadataLocation, ...named(result) }
    case 'value':
      return result.value === undefined ? {} : { value: result.value }
  }
}

function decodeResult(wire: WireResult): KeyResult {
  if ('refused' in wire) {
    const { refused: kind, exception = null, message } = wire
    return { outcome: 'refused', kind, exception, message }
  }
  if (!('of' in wire)) return { outcome: 'value', value: wire.value }
  return {
    outcome: 'table' in wire ? 'table' : 'view',
    isList: wire.list === true,
    namespace: wire.of.slice(0, -1),
    name: wire.of.at(-1) ?? '',
    metadataLocation: 'table' in wire ? wire.table : wire.view,
  }
}

function named(result: KeyResult & { outcome: 'table' | 'view' }): {
  of: readonly string[]
  list?: true
} {
  return {
    of: [...result.namespace, result.name],
    ...(result.isList ? { list: true as const } : {}),
  }
}
