/**
 * How the catalog wants to be spoken to: `/v1/config`, merged as the REST specification says (defaults, then
 * own settings, then overrides), and what follows from it: paths, endpoints, idempotency keys.
 */
import type { Namespace, TableIdentifier } from '../../iceberg/catalog.ts'
import {
  arrayField,
  objectField,
  optional,
  stringField,
  stringsField,
  type WireObject,
} from '../../iceberg/codec/wire-reader.ts'
import { PotokError } from '../../kernel/errors.ts'

/** Named as Iceberg's clients name them: `uri`, `warehouse`, `token`, `header.…`, `prefix` … */
export type CatalogProperties = Readonly<Record<string, string>>

export type CatalogConfiguration = {
  readonly properties: CatalogProperties
  /** `POST /v1/{prefix}/transactions/commit` */
  readonly endpoints: ReadonlySet<string>
  readonly hasIdempotencyKeys: boolean
}

/** What a catalog that lists no endpoints can do, by the specification; no views among it. */
const defaultEndpoints: ReadonlySet<string> = new Set([
  'GET /v1/{prefix}/namespaces',
  'POST /v1/{prefix}/namespaces',
  'GET /v1/{prefix}/namespaces/{namespace}',
  'DELETE /v1/{prefix}/namespaces/{namespace}',
  'POST /v1/{prefix}/namespaces/{namespace}/properties',
  'GET /v1/{prefix}/namespaces/{namespace}/tables',
  'POST /v1/{prefix}/namespaces/{namespace}/tables',
  'GET /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'POST /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'POST /v1/{prefix}/namespaces/{namespace}/register',
  'POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics',
  'POST /v1/{prefix}/tables/rename',
  'POST /v1/{prefix}/transactions/commit',
])

/** Before they listed endpoints, catalogs said so in a property of Java's client. */
const viewEndpoints: readonly string[] = [
  'GET /v1/{prefix}/namespaces/{namespace}/views',
  'POST /v1/{prefix}/namespaces/{namespace}/views',
  'GET /v1/{prefix}/namespaces/{namespace}/views/{view}',
  'POST /v1/{prefix}/namespaces/{namespace}/views/{view}',
  'DELETE /v1/{prefix}/namespaces/{namespace}/views/{view}',
]

/** Without these potok can't work at all; without another one only what needs it fails. */
const neededEndpoints: readonly (readonly [string, string])[] = [
  ['GET /v1/{prefix}/namespaces/{namespace}/tables/{table}', 'to load tables'],
  ['POST /v1/{prefix}/namespaces/{namespace}/tables/{table}', 'to commit'],
  ['POST /v1/{prefix}/transactions/commit', 'to commit to several tables at once or to none'],
]

export function readConfiguration(
  answer: WireObject,
  own: CatalogProperties,
): CatalogConfiguration {
  const merged = { ...textsOf(answer, 'defaults'), ...own, ...textsOf(answer, 'overrides') }
  const listed = optional(answer, 'endpoints', stringsField) ?? []
  const assumed =
    merged['view-endpoints-supported'] === 'true'
      ? new Set([...defaultEndpoints, ...viewEndpoints])
      : defaultEndpoints
  return {
    properties: merged,
    endpoints: listed.length === 0 ? assumed : new Set(listed),
    hasIdempotencyKeys: optional(answer, 'idempotency-key-lifetime', stringField) !== undefined,
  }
}

/** Throws Unsupported, naming the catalog and what it lacks. */
export function refuseUnfit(configuration: CatalogConfiguration, uri: string): void {
  const { properties, endpoints } = configuration
  const missing = neededEndpoints.filter(([endpoint]) => !endpoints.has(endpoint))
  if (missing.length > 0) {
    const list = missing.map(([endpoint, why]) => `${endpoint} (${why})`).join(', ')
    throw new PotokError(
      'Unsupported',
      `potok can't use the catalog ${uri}: among the endpoints that its /v1/config lists is no ${list}`,
      { context: { catalog: uri, missing: missing.map(([endpoint]) => endpoint) } },
    )
  }
  const isSigned = properties['rest.sigv4-enabled'] === 'true'
  if (isSigned || properties['rest.auth.type'] === 'sigv4') {
    throw new PotokError(
      'Unsupported',
      `potok can't use the catalog ${uri}: it wants requests signed by AWS SigV4, which potok doesn't do`,
      { context: { catalog: uri } },
    )
  }
}

/** A catalog may send its clients elsewhere, but not from an encrypted address to one that isn't. */
export function refuseUnsafeMove(own: CatalogProperties, merged: CatalogProperties): void {
  for (const name of ['uri', 'oauth2-server-uri']) {
    const to = merged[name]
    if (to === undefined || to === own[name]) continue
    if (own['uri']?.startsWith('https:') && /^http:/i.test(to)) {
      throw new PotokError(
        'Unsupported',
        `the catalog ${own['uri']} sets ${name} to ${to}, which is not encrypted: refused`,
      )
    }
  }
}

/** Numbers and booleans, which some catalogs send, are taken as they print; all else is absent. */
function textsOf(answer: WireObject, key: string): Record<string, string> {
  const result: Record<string, string> = {}
  for (const [name, value] of Object.entries(optional(answer, key, objectField) ?? {})) {
    if (typeof value === 'string') result[name] = value
    else if (typeof value === 'number' || typeof value === 'boolean') result[name] = `${value}`
  }
  return result
}

export type CatalogPaths = {
  namespaces(): string
  namespace(namespace: Namespace): string
  tables(namespace: Namespace): string
  table(identifier: TableIdentifier): string
  views(namespace: Namespace): string
  view(identifier: TableIdentifier): string
  transaction(): string
  /** For the query parameter `parent`, not encoded yet. */
  parent(namespace: Namespace): string
}

/** Below the catalog's address, without a slash in front. */
export function createPaths(properties: CatalogProperties): CatalogPaths {
  const prefix = properties['prefix'] ?? ''
  /** Given as it stands in a path, hence encoded. */
  const separator = properties['namespace-separator'] ?? '%1F'
  const base = prefix === '' ? 'v1' : `v1/${prefix.replaceAll(/^\/+|\/+$/g, '')}`
  const namespacePath = (namespace: Namespace): string => {
    if (namespace.length === 0 || namespace.includes('')) {
      throw new PotokError('InvalidInput', 'a namespace has levels, and none of them is empty')
    }
    return `${base}/namespaces/${namespace.map(encodeURIComponent).join(separator)}`
  }
  const named = (kind: string, { namespace, name }: TableIdentifier): string =>
    `${namespacePath(namespace)}/${kind}/${encodeURIComponent(name)}`
  return {
    namespaces: () => `${base}/namespaces`,
    namespace: namespacePath,
    tables: (namespace) => `${namespacePath(namespace)}/tables`,
    table: (identifier) => named('tables', identifier),
    views: (namespace) => `${namespacePath(namespace)}/views`,
    view: (identifier) => named('views', identifier),
    transaction: () => `${base}/transactions/commit`,
    parent: (namespace) => namespace.join(decodeURIComponent(separator)),
  }
}

/** The specification's answer to a list: names, and where to go on. */
export function pageOf(
  answer: WireObject,
  key: string,
): { items: readonly unknown[]; next: string | undefined } {
  const next = optional(answer, 'next-page-token', stringField)
  return { items: arrayField(answer, key), next: next === '' ? undefined : next }
}
