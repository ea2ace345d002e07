/**
 * The port `Catalog` over any Iceberg REST catalog (apache/iceberg `open-api/rest-catalog-open-api.yaml`).
 *
 * Invariants: nothing is asked of the catalog before `/v1/config` was read and found fit (`start`, or the first
 * call); a table is only ever given as the catalog has it at the time of the call, be it by a 304; a commit is
 * reported as refused only where the catalog said so of its only attempt (catalog-client.ts).
 *
 * It doesn't plan scans on the server, report metrics, or use credentials for files that a catalog hands out.
 */
import type {
  Catalog,
  CatalogFeatures,
  LoadedTable,
  Namespace,
  TableCommit,
  TableIdentifier,
} from '../../iceberg/catalog.ts'
import type { WireObject } from '../../iceberg/codec/wire-reader.ts'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import { pageOf } from './catalog-properties.ts'
import {
  creationCommit,
  decodeIdentifier,
  decodeNamespace,
  decodeTable,
  decodeView,
  encodeCommit,
  encodeStagedCreation,
  encodeViewCreation,
  encodeViewUpdate,
  isSchemaKept,
  type TableCreation,
} from './catalog-requests.ts'
import { type Connection, connectCatalog, type RestCatalogOptions } from './connect-catalog.ts'
import { createLoadedTables } from './loaded-tables.ts'

export type RestCatalog = Catalog & {
  /** Asks the catalog what it can; Unsupported where potok can't work with it, by name. Again is no error. */
  start(): Promise<void>
  /** Cuts what is under way; later calls are refused. */
  close(): Promise<void>
}

/** In a list: a catalog that goes on for ever is broken. */
const pagesMax = 10_000
const loadNamespaceEndpoint = 'GET /v1/{prefix}/namespaces/{namespace}'
const noFeatures: CatalogFeatures = { assertProperty: false }

export function createRestCatalog(options: RestCatalogOptions): RestCatalog {
  const { logger } = options
  const loaded = createLoadedTables()
  let connecting: Promise<Connection> | null = null
  let connection: Connection | null = null
  let isClosed = false
  let hasToldCredentials = false

  /** One that failed is tried again by the next call. */
  function connected(): Promise<Connection> {
    if (isClosed)
      return Promise.reject(new PotokError('ShuttingDown', 'the catalog client is closed'))
    connecting ??= connectCatalog(options).then(
      (made) => {
        connection = made
        if (isClosed) made.close()
        return made
      },
      (error: unknown) => {
        connecting = null
        throw error
      },
    )
    return connecting
  }

  /** Refuses by name what this catalog doesn't list. */
  async function able(endpoint: string, what: string): Promise<Connection> {
    const found = await connected()
    if (!found.endpoints.has(endpoint)) {
      throw new PotokError(
        'Unsupported',
        `the catalog ${found.uri} can't ${what}: it does not list ${endpoint}`,
        { context: { catalog: found.uri } },
      )
    }
    return found
  }

  function takeTable(identifier: TableIdentifier, body: WireObject): LoadedTable {
    const isCredentialed = Array.isArray(body['storage-credentials'])
    if (isCredentialed && !hasToldCredentials) {
      hasToldCredentials = true
      logger?.info({}, 'the catalog hands out credentials for files; potok uses its own instead')
    }
    return decodeTable(identifier, body)
  }

  async function loadTable(identifier: TableIdentifier): Promise<LoadedTable> {
    const { client, paths } = await connected()
    const held = loaded.get(identifier)
    const answer = await client.send({
      purpose: 'read',
      what: `load the table ${nameOf(identifier)}`,
      method: 'GET',
      path: paths.table(identifier),
      ...(held === undefined ? {} : { headers: { 'if-none-match': held.etag } }),
    })
    if (answer.status === 304 && held !== undefined) return held.table
    const table = answer.read((body) => takeTable(identifier, body))
    loaded.keep(table, answer.etag, answer.sizeBytes)
    return table
  }

  async function listed<T>(request: {
    path: string
    query?: Readonly<Record<string, string>>
    key: string
    what: string
    decode: (value: unknown) => T
  }): Promise<T[]> {
    const { client } = await connected()
    const { path, what, key, decode } = request
    const result: T[] = []
    // An empty token asks a catalog for pages, and for the first one; others give everything.
    let token = ''
    for (let page = 0; page < pagesMax; page++) {
      const query = { ...request.query, pageToken: token }
      const answer = await client.send({ purpose: 'read', what, method: 'GET', path, query })
      const { items, next } = answer.read((body) => {
        const found = pageOf(body, key)
        return { items: found.items.map(decode), next: found.next }
      })
      result.push(...items)
      if (next === undefined) return result
      if (next === token) break
      token = next
    }
    throw new PotokError('DataCorrupt', `the catalog's list does not end: could not ${what}`)
  }

  async function createTable(creation: TableCreation): Promise<LoadedTable> {
    const { identifier } = creation
    const what = `create the table ${nameOf(identifier)}`
    const { client, paths, uri, endpoints } = await able(
      'POST /v1/{prefix}/namespaces/{namespace}/tables',
      what,
    )
    if (endpoints.has(loadNamespaceEndpoint)) {
      // Some catalogs stage and commit what is in no namespace, and lose sight of it.
      const path = paths.namespace(identifier.namespace)
      await client.send({ purpose: 'read', what, method: 'GET', path })
    }
    // In two steps, because a plain creation may give the fields other ids, by which files are read.
    const stage = await client.send({
      purpose: 'create',
      what,
      method: 'POST',
      path: paths.tables(identifier.namespace),
      body: encodeStagedCreation(creation),
    })
    const staged = stage.read((body) =>
      decodeTable(identifier, { 'metadata-location': '-', ...body }),
    )
    const commit = creationCommit(creation, staged.metadata)
    const answer = await client.send({
      purpose: 'create',
      what,
      method: 'POST',
      path: paths.table(identifier),
      body: encodeCommit(commit),
    })
    loaded.forget(identifier)
    const table = answer.read((body) => takeTable(identifier, body))
    if (!isSchemaKept(creation.schema, table.metadata)) {
      throw new PotokError(
        'Unsupported',
        `the catalog ${uri} made the table ${nameOf(identifier)} with other field ids than it was given: potok can't use it`,
        { context: { catalog: uri } },
      )
    }
    return table
  }

  async function commitOne(
    { client, paths }: Connection,
    commit: TableCommit,
  ): Promise<LoadedTable> {
    const { identifier } = commit
    const answer = await client.send({
      purpose: 'commit',
      what: `commit to the table ${nameOf(identifier)}`,
      method: 'POST',
      path: paths.table(identifier),
      body: encodeCommit(commit),
    })
    const table = answer.read((body) => takeTable(identifier, body))
    loaded.keep(table, answer.etag, answer.sizeBytes)
    return table
  }

  async function commitAll(
    { client, paths, uri }: Connection,
    commits: readonly TableCommit[],
  ): Promise<LoadedTable[]> {
    const names = commits.map(({ identifier }) => nameOf(identifier)).join(', ')
    await client.send({
      purpose: 'commit',
      what: `commit to the tables ${names}`,
      method: 'POST',
      path: paths.transaction(),
      body: { 'table-changes': commits.map(encodeCommit) },
    })
    try {
      // The answer has no tables. Others' later commits may be in these: the port's callers know.
      return await Promise.all(commits.map(({ identifier }) => loadTable(identifier)))
    } catch (cause) {
      throw new PotokError(
        'CommitStateUnknown',
        `the commit to ${names} is in, but the tables could not be loaded after it: ${describeError(cause)}`,
        { context: { catalog: uri }, cause },
      )
    }
  }

  async function commit(commits: readonly TableCommit[]): Promise<LoadedTable[]> {
    const found = await connected()
    const [first] = commits
    if (first === undefined) return []
    const asserts = commits.flatMap(({ requirements }) => requirements)
    if (!found.features.assertProperty && asserts.some(({ type }) => type === 'assert-property')) {
      throw new PotokError('Unsupported', `the catalog ${found.uri} does not know assert-property`)
    }
    return commits.length === 1 ? [await commitOne(found, first)] : await commitAll(found, commits)
  }

  return {
    get features() {
      return connection?.features ?? noFeatures
    },
    async start() {
      await connected()
    },
    async close() {
      isClosed = true
      connection?.close()
    },
    loadTable,
    createTable,
    commit,

    async listNamespaces(parent: Namespace = []) {
      const { paths } = await able('GET /v1/{prefix}/namespaces', 'list namespaces')
      return await listed({
        path: paths.namespaces(),
        ...(parent.length === 0 ? {} : { query: { parent: paths.parent(parent) } }),
        key: 'namespaces',
        what: 'list namespaces',
        decode: decodeNamespace,
      })
    },

    async createNamespace(namespace, properties = {}) {
      const what = `create the namespace ${namespace.join('.')}`
      const { client, paths } = await able('POST /v1/{prefix}/namespaces', what)
      const body = { namespace, properties }
      const path = paths.namespaces()
      await client.send({ purpose: 'create', what, method: 'POST', path, body })
    },

    async listTables(namespace) {
      const what = `list the tables of ${namespace.join('.')}`
      const { paths } = await able('GET /v1/{prefix}/namespaces/{namespace}/tables', what)
      const path = paths.tables(namespace)
      return await listed({ path, key: 'identifiers', what, decode: decodeIdentifier })
    },

    async dropTable(identifier, { purge = false } = {}) {
      const what = `drop the table ${nameOf(identifier)}`
      const endpoint = 'DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}'
      const { client, paths } = await able(endpoint, what)
      const query = { purgeRequested: String(purge) }
      loaded.forget(identifier)
      const path = paths.table(identifier)
      await client.send({ purpose: 'commit', what, method: 'DELETE', path, query })
    },

    async listViews(namespace) {
      const what = `list the views of ${namespace.join('.')}`
      const { paths } = await able('GET /v1/{prefix}/namespaces/{namespace}/views', what)
      const path = paths.views(namespace)
      return await listed({ path, key: 'identifiers', what, decode: decodeIdentifier })
    },

    async loadView(identifier) {
      const what = `load the view ${nameOf(identifier)}`
      const endpoint = 'GET /v1/{prefix}/namespaces/{namespace}/views/{view}'
      const { client, paths } = await able(endpoint, what)
      const path = paths.view(identifier)
      const answer = await client.send({ purpose: 'read', what, method: 'GET', path })
      return answer.read((body) => decodeView(identifier, body))
    },

    async createView(identifier, metadata) {
      const what = `create the view ${nameOf(identifier)}`
      const { client, paths } = await able('POST /v1/{prefix}/namespaces/{namespace}/views', what)
      const body = encodeViewCreation(identifier, metadata)
      const path = paths.views(identifier.namespace)
      const answer = await client.send({ purpose: 'create', what, method: 'POST', path, body })
      return answer.read((given) => decodeView(identifier, given))
    },

    async replaceView(identifier, requirements, updates) {
      const what = `replace the view ${nameOf(identifier)}`
      const endpoint = 'POST /v1/{prefix}/namespaces/{namespace}/views/{view}'
      const { client, paths } = await able(endpoint, what)
      const body = {
        identifier: { ...identifier },
        requirements: requirements.map(({ type, uuid }) => ({ type, uuid })),
        updates: updates.map(encodeViewUpdate),
      }
      const path = paths.view(identifier)
      const answer = await client.send({ purpose: 'commit', what, method: 'POST', path, body })
      return answer.read((given) => decodeView(identifier, given))
    },

    async dropView(identifier) {
      const what = `drop the view ${nameOf(identifier)}`
      const endpoint = 'DELETE /v1/{prefix}/namespaces/{namespace}/views/{view}'
      const { client, paths } = await able(endpoint, what)
      const path = paths.view(identifier)
      await client.send({ purpose: 'commit', what, method: 'DELETE', path })
    },

    async version(tables) {
      if (tables.length === 0) {
        await (await connected()).ping()
        return 'none'
      }
      const locations = await Promise.all(
        tables.map((identifier) =>
          loadTable(identifier).then(
            ({ metadataLocation }) => metadataLocation,
            (error: unknown) => {
              if (isPotokError(error, 'NotFound')) return 'none'
              throw error
            },
          ),
        ),
      )
      return locations.join(' ')
    },
  }
}

function nameOf({ namespace, name }: TableIdentifier): string {
  return [...namespace, name].join('.')
}
