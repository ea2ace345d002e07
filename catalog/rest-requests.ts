/** What a request says: names out of paths, bodies out of JSON in which 64-bit ids survive. */
import type { Request } from 'express'
import type { Namespace, TableCommit, TableIdentifier } from '../iceberg/catalog.ts'
import { parseJson } from '../iceberg/codec/lossless-json.ts'
import { decodePartitionSpec, decodeSchema, decodeSortOrder } from '../iceberg/codec/schema-json.ts'
import { decodeRequirement, decodeUpdate } from '../iceberg/codec/updates-json.ts'
import {
  arrayField,
  objectField,
  optional,
  present,
  stringField,
  stringMapField,
  stringsField,
  type WireObject,
  wireObject,
} from '../iceberg/codec/wire-reader.ts'
import { describeError, PotokError } from '../kernel/errors.ts'
import type { TableCreation } from './tables.ts'

export const namespaceSeparator = '\u001f'
const pageSizeMax = 10_000

/** `%1F` between the levels; express has decoded the path already. */
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
    updates: arrayField(body, 'updates').map(decodeUpdate),
  }
}

export function decodeCreation(
  body: WireObject,
  namespace: Namespace,
): { request: TableCreation; isStaged: boolean } {
  const spec = optional(body, 'partition-spec', objectField)
  const order = optional(body, 'write-order', objectField)
  return {
    isStaged: body['stage-create'] === true,
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
 * and go between pages move nothing. Without `pageSize` all is given.
 */
export function pageOf<T>(
  request: Request,
  items: readonly T[],
  nameOf: (item: T) => string,
): { items: readonly T[]; nextPageToken: string | null } {
  const sizeText = queryOf(request, 'pageSize')
  if (sizeText === undefined) return { items, nextPageToken: null }
  const size = Number(sizeText)
  if (!Number.isSafeInteger(size) || size < 1 || size > pageSizeMax) {
    throw new PotokError('InvalidInput', `pageSize must be from 1 to ${pageSizeMax}`)
  }
  const token = queryOf(request, 'pageToken') ?? ''
  const after = Buffer.from(token, 'base64url').toString()
  const from = token === '' ? 0 : items.findIndex((item) => nameOf(item) > after)
  const page = from === -1 ? [] : items.slice(from, from + size)
  const last = page.at(-1)
  const hasMore = from !== -1 && from + size < items.length && last !== undefined
  return {
    items: page,
    nextPageToken: hasMore ? Buffer.from(nameOf(last)).toString('base64url') : null,
  }
}

function parameter(request: Request, name: string): string {
  const value = request.params[name]
  if (typeof value !== 'string') throw new TypeError(`the route has no parameter ${name}`)
  return value
}
