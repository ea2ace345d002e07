/** What a request says: names out of paths, bodies out of JSON in which 64-bit ids survive. */
import type { Request } from 'express'
import type { Namespace, TableCommit, TableIdentifier } from '../iceberg/catalog.ts'
import { parseJson } from '../iceberg/codec/lossless-json.ts'
import { decodePartitionSpec, decodeSchema, decodeSortOrder } from '../iceberg/codec/schema-json.ts'
import { decodeRequirement, decodeUpdate } from '../iceberg/codec/updates-json.ts'
import { decodeViewUpdate } from '../iceberg/codec/view-json.ts'
import {
  arrayField,
  booleanField,
  objectField,
  optional,
  present,
  stringField,
  stringMapField,
  stringsField,
  type WireObject,
  wireObject,
} from '../iceberg/codec/wire-reader.ts'
import { illegalArgument } from '../iceberg/spec/refusals.ts'
import type { TableUpdate } from '../iceberg/spec/table-updates.ts'
import type { ViewUpdate } from '../iceberg/spec/view-metadata.ts'
import { describeError, PotokError } from '../kernel/errors.ts'
import { normaliseLocation } from './location-policy.ts'
import type { SnapshotMode } from './rest-answers.ts'
import type { TableCreation } from './tables.ts'

export const namespaceSeparator = '\u001f'

/** `%1F` between the levels, as the configuration says; express has decoded the path already. */
export function namespaceOf(request: Request): Namespace {
  return parameter(request, 'namespace').split(namespaceSeparator)
}

export function tableOf(request: Request): TableIdentifier {
  return { namespace: namespaceOf(request), name: parameter(request, 'table') }
}

export function viewOf(request: Request): TableIdentifier {
  return { namespace: namespaceOf(request), name: parameter(request, 'view') }
}

export function queryOf(request: Request, name: string): string | undefined {
  const value = request.query[name]
  return typeof value === 'string' ? value : undefined
}

/** Below which namespace to list; the root where it is absent or, from older clients, empty. */
export function parentOf(request: Request): Namespace {
  const parent = queryOf(request, 'parent') ?? ''
  return parent === '' ? [] : parent.split(namespaceSeparator)
}

export function snapshotModeOf(request: Request): SnapshotMode {
  const mode = queryOf(request, 'snapshots')?.toLowerCase() ?? 'all'
  if (mode !== 'all' && mode !== 'refs') throw illegalArgument(`Invalid snapshot mode: ${mode}`)
  return mode
}

export function bodyOf(request: Request): WireObject {
  const bytes: unknown = request.body
  if (!(bytes instanceof Uint8Array) || bytes.length === 0) {
    throw new PotokError('InvalidInput', 'The request needs a JSON body')
  }
  let value: unknown
  try {
    value = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new PotokError('InvalidInput', `The body is no JSON: ${describeError(error)}`)
  }
  return wireObject(value, 'request')
}

export function decodeIdentifier(value: unknown): TableIdentifier {
  const object = wireObject(value, 'table identifier')
  return { namespace: stringsField(object, 'namespace'), name: stringField(object, 'name') }
}

export function decodeCommit(body: WireObject, identifier: TableIdentifier): TableCommit {
  return {
    identifier,
    requirements: arrayField(body, 'requirements').map(decodeRequirement),
    updates: arrayField(body, 'updates').map((update) => inOneSpelling(decodeUpdate(update))),
  }
}

export function decodeTransaction(body: WireObject): TableCommit[] {
  const changes = arrayField(body, 'table-changes')
  if (changes.length === 0) throw illegalArgument('Invalid table changes: empty')
  return changes.map((value) => {
    const change = wireObject(value, 'table change')
    if (change['identifier'] === undefined) {
      throw illegalArgument('Invalid table changes: table identifier is required')
    }
    return decodeCommit(change, decodeIdentifier(change['identifier']))
  })
}

export function decodeViewCommitUpdate(value: unknown): ViewUpdate {
  return inOneSpelling(decodeViewUpdate(value))
}

/** `file:/p` and `file:///p` are one place: in the metadata it has one name, by which files are compared. */
function inOneSpelling<T extends TableUpdate | ViewUpdate>(update: T): T {
  return update.action === 'set-location'
    ? { ...update, location: normaliseLocation(update.location) }
    : update
}

export function decodeCreation(
  body: WireObject,
  namespace: Namespace,
): { request: TableCreation; isStaged: boolean } {
  const spec = optional(body, 'partition-spec', objectField)
  const order = optional(body, 'write-order', objectField)
  return {
    isStaged: optional(body, 'stage-create', booleanField) ?? false,
    request: {
      identifier: { namespace, name: stringField(body, 'name') },
      schema: decodeSchema(objectField(body, 'schema')),
      ...present('partitionSpec', spec === undefined ? undefined : decodePartitionSpec(spec)),
      ...present('sortOrder', order === undefined ? undefined : decodeSortOrder(order)),
      ...present('location', optional(body, 'location', stringField)),
      properties: optional(body, 'properties', stringMapField) ?? {},
    },
  }
}

/**
 * The part of a list that the client asked for. The token is the last name given, so that names which come
 * and go between pages move nothing. A client that sends no token, be it empty, doesn't know of pages and gets
 * all; so does one that doesn't say how many it wants at once.
 */
export function pageOf<T>(
  request: Request,
  items: readonly T[],
  nameOf: (item: T) => string,
): { items: readonly T[]; nextPageToken: string | null } {
  const size = pageSizeOf(request)
  const token = queryOf(request, 'pageToken')
  if (token === undefined) return { items, nextPageToken: null }
  const after = decodePageToken(token)
  const rest = after === '' ? items : items.filter((item) => nameOf(item) > after)
  const page = rest.slice(0, size)
  const last = page.at(-1)
  const hasMore = page.length < rest.length && last !== undefined
  return { items: page, nextPageToken: hasMore ? encodePageToken(nameOf(last)) : null }
}

function pageSizeOf(request: Request): number {
  const text = queryOf(request, 'pageSize')
  if (text === undefined) return Number.POSITIVE_INFINITY
  const size = Number(text)
  if (!/^\d+$/.test(text) || size < 1) {
    throw illegalArgument(`Invalid pageSize: ${text} (must be a positive integer)`)
  }
  return size
}

function encodePageToken(name: string): string {
  return Buffer.from(name).toString('base64url')
}

function decodePageToken(token: string): string {
  const name = Buffer.from(token, 'base64url').toString()
  if (encodePageToken(name) !== token) throw illegalArgument(`Invalid pageToken: ${token}`)
  return name
}

function parameter(request: Request, name: string): string {
  const value = request.params[name]
  if (typeof value !== 'string') throw new TypeError(`the route has no parameter ${name}`)
  return value
}
