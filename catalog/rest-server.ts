/**
 * The Iceberg REST catalog (apache/iceberg `open-api/rest-catalog-open-api.yaml`) as an express router over the
 * catalog service. Holds no state: every answer comes from the service.
 *
 * It doesn't listen, authenticate or hand out credentials; `oauth/tokens` is absent, as the specification now
 * wants it. Bodies must be declared as JSON, so that no web page can send one behind a user's back.
 */
import express, { type Request, type RequestHandler, type Response, type Router } from 'express'
import type { LoadedTable, LoadedView } from '../iceberg/catalog.ts'
import { stringifyJson } from '../iceberg/codec/lossless-json.ts'
import { encodeTableMetadata, tableMetadataBytes } from '../iceberg/codec/metadata-json.ts'
import {
  decodeViewCreation,
  decodeViewRequirement,
  decodeViewUpdate,
  encodeViewMetadata,
} from '../iceberg/codec/view-json.ts'
import {
  arrayField,
  objectField,
  optional,
  stringField,
  stringMapField,
  stringsField,
  wireObject,
} from '../iceberg/codec/wire-reader.ts'
import type { TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { Logger } from '../kernel/ports.ts'
import { noSuchNamespace, noSuchTable, noSuchView } from './catalog-errors.ts'
import type { CatalogService } from './catalog-service.ts'
import { keyedRequestOf } from './idempotency-header.ts'
import { keyLifetimeText } from './idempotency-keys.ts'
import { normaliseLocation } from './location-policy.ts'
import { errorHandler, sendError } from './rest-errors.ts'
import {
  bodyOf,
  decodeCommit,
  decodeCreation,
  decodeIdentifier,
  namespaceOf,
  namespaceSeparator,
  pageOf,
  queryOf,
  tableOf,
  viewOf,
} from './rest-requests.ts'

export type CatalogRouterOptions = {
  /** What clients may call this warehouse, beside its location. */
  readonly warehouseNames?: readonly string[]
  /** Of the store, for clients that say nothing themselves: endpoint, region. Never a secret. */
  readonly clientDefaults?: Readonly<Record<string, string>>
  readonly logger?: Logger
  readonly bodyBytesMax?: number
}

const bodyBytesDefault = 32 * 1024 * 1024

type Method = 'get' | 'post' | 'delete' | 'head'
type Handler = (request: Request, response: Response) => Promise<void> | void
/** As the configuration lists them: `GET /v1/{prefix}/namespaces`. */
type Route = readonly [Method, string, Handler]
type Routes = readonly Route[]

const ns = '/namespaces/{namespace}'

export function createCatalogRouter(
  service: CatalogService,
  options: CatalogRouterOptions = {},
): Router {
  const routes = routesOver(service)
  const router = express.Router({ caseSensitive: true, strict: true })
  router.use(requireJson)
  router.use(express.raw({ type: () => true, limit: options.bodyBytesMax ?? bodyBytesDefault }))
  router.get('/v1/config', (request, response) => {
    const wanted = queryOf(request, 'warehouse')
    if (wanted !== undefined && !isThisWarehouse(wanted, service, options.warehouseNames ?? [])) {
      const answer = { status: 404, type: 'NoSuchWarehouseException' }
      sendError(response, answer, `Warehouse does not exist: ${wanted}`)
      return
    }
    sendJson(response, {
      defaults: {
        ...options.clientDefaults,
        'potok.assert-property': String(service.features.assertProperty),
      },
      overrides: {},
      'idempotency-key-lifetime': keyLifetimeText,
      endpoints: routes.map(([method, path]) => `${method.toUpperCase()} /v1/{prefix}${path}`),
    })
  })
  // HEAD first: express lets GET answer it otherwise, with the whole table.
  const isHead = (i: number): number => (routes[i]?.[0] === 'head' ? 0 : 1)
  for (const i of [...routes.keys()].sort((a, b) => isHead(a) - isHead(b))) {
    const [method, path, handler] = routes[i] as Route
    const expressPath = `/v1${path.replaceAll(/\{(\w+)\}/g, ':$1')}`
    router[method](expressPath, async (request, response) => {
      const keyed = keyedRequestOf(request)
      if (keyed === null) return handler(request, response)
      const [, , keyedHandler] = routesOver(service.keyed(keyed))[i] as Route
      return keyedHandler(request, response)
    })
  }
  router.use((request, response) => {
    const answer = { status: 404, type: 'NotFoundException' }
    sendError(response, answer, `No route for request: ${request.method} ${request.path}`)
  })
  router.use(errorHandler(options.logger))
  return router
}

function routesOver(service: CatalogService): Routes {
  return [...namespaceRoutes(service), ...tableRoutes(service), ...viewRoutes(service)]
}

function namespaceRoutes(service: CatalogService): Routes {
  return [
    [
      'get',
      '/namespaces',
      async (request, response) => {
        const parent = queryOf(request, 'parent')
        const levels = parent === undefined || parent === '' ? [] : parent.split(namespaceSeparator)
        const found = await service.listNamespaces(levels)
        const page = pageOf(request, found, (one) => one.join(namespaceSeparator))
        sendJson(response, { namespaces: page.items, 'next-page-token': page.nextPageToken })
      },
    ],
    [
      'post',
      '/namespaces',
      async (request, response) => {
        const body = bodyOf(request)
        const namespace = stringsField(body, 'namespace')
        const properties = optional(body, 'properties', stringMapField) ?? {}
        await service.createNamespace(namespace, properties)
        sendJson(response, { namespace, properties })
      },
    ],
    [
      'get',
      ns,
      async (request, response) => {
        const namespace = namespaceOf(request)
        sendJson(response, {
          namespace,
          // Trino makes a table in two steps, the second of which must find its folder empty; it names the
          // folder itself, and so creates nothing in the first, only where it knows the namespace's.
          properties: {
            location: service.namespaceLocation(namespace),
            ...(await service.namespaceProperties(namespace)),
          },
        })
      },
    ],
    [
      'head',
      ns,
      async (request, response) => {
        const namespace = namespaceOf(request)
        if (!(await service.namespaceExists(namespace))) throw noSuchNamespace(namespace)
        response.status(204).end()
      },
    ],
    [
      'delete',
      ns,
      async (request, response) => {
        await service.dropNamespace(namespaceOf(request))
        response.status(204).end()
      },
    ],
    [
      'post',
      `${ns}/properties`,
      async (request, response) => {
        const body = bodyOf(request)
        sendJson(
          response,
          await service.updateNamespaceProperties(namespaceOf(request), {
            removals: optional(body, 'removals', stringsField) ?? [],
            updates: optional(body, 'updates', stringMapField) ?? {},
          }),
        )
      },
    ],
  ]
}

function tableRoutes(service: CatalogService): Routes {
  return [
    [
      'get',
      `${ns}/tables`,
      async (request, response) => {
        const found = await service.listTables(namespaceOf(request))
        const page = pageOf(request, found, (one) => one.name)
        sendJson(response, { identifiers: page.items, 'next-page-token': page.nextPageToken })
      },
    ],
    [
      'post',
      `${ns}/tables`,
      async (request, response) => {
        const { request: creation, isStaged } = decodeCreation(
          bodyOf(request),
          namespaceOf(request),
        )
        if (isStaged) {
          const metadata = await service.stageCreate(creation, { freshFieldIds: true })
          sendJson(response, { metadata: encodeTableMetadata(metadata), config: {} })
          return
        }
        sendTable(response, await service.createTable(creation, { freshFieldIds: true }))
      },
    ],
    [
      'get',
      `${ns}/tables/{table}`,
      async (request, response) => {
        const table = await service.loadTable(tableOf(request))
        const refsOnly = queryOf(request, 'snapshots') === 'refs'
        const etag = etagOf(table, refsOnly)
        response.set('ETag', etag)
        if (isMatch(request.get('If-None-Match'), etag)) {
          response.status(304).end()
          return
        }
        sendTable(response, refsOnly ? { ...table, metadata: onlyRefs(table.metadata) } : table)
      },
    ],
    [
      'post',
      `${ns}/tables/{table}`,
      async (request, response) => {
        const [table] = await service.commit([decodeCommit(bodyOf(request), tableOf(request))])
        sendTable(response, table as LoadedTable)
      },
    ],
    [
      'head',
      `${ns}/tables/{table}`,
      async (request, response) => {
        const identifier = tableOf(request)
        if (!(await service.tableExists(identifier))) throw noSuchTable(identifier)
        response.status(204).end()
      },
    ],
    [
      'delete',
      `${ns}/tables/{table}`,
      async (request, response) => {
        const purge = queryOf(request, 'purgeRequested')?.toLowerCase() === 'true'
        await service.dropTable(tableOf(request), { purge })
        response.status(204).end()
      },
    ],
    [
      'post',
      `${ns}/register`,
      async (request, response) => {
        const body = bodyOf(request)
        const identifier = { namespace: namespaceOf(request), name: stringField(body, 'name') }
        const location = stringField(body, 'metadata-location')
        const overwrite = body['overwrite'] === true
        sendTable(response, await service.registerTable(identifier, location, { overwrite }))
      },
    ],
    [
      'post',
      '/tables/rename',
      async (request, response) => {
        const body = bodyOf(request)
        await service.renameTable(
          decodeIdentifier(objectField(body, 'source')),
          decodeIdentifier(objectField(body, 'destination')),
        )
        response.status(204).end()
      },
    ],
    [
      'post',
      '/transactions/commit',
      async (request, response) => {
        const changes = arrayField(bodyOf(request), 'table-changes')
        await service.commit(
          changes.map((value) => {
            const change = wireObject(value, 'table change')
            return decodeCommit(change, decodeIdentifier(change['identifier']))
          }),
        )
        response.status(204).end()
      },
    ],
    [
      'post',
      `${ns}/tables/{table}/metrics`,
      // Reports of scans and commits: taken and not kept.
      (_request, response) => {
        response.status(204).end()
      },
    ],
  ]
}

function viewRoutes(service: CatalogService): Routes {
  return [
    [
      'get',
      `${ns}/views`,
      async (request, response) => {
        const found = await service.listViews(namespaceOf(request))
        const page = pageOf(request, found, (one) => one.name)
        sendJson(response, { identifiers: page.items, 'next-page-token': page.nextPageToken })
      },
    ],
    [
      'post',
      `${ns}/views`,
      async (request, response) => {
        const creation = decodeViewCreation(bodyOf(request))
        const identifier = { namespace: namespaceOf(request), name: creation.name }
        const metadata = await service.newView(identifier, creation)
        sendView(response, await service.createView(identifier, metadata))
      },
    ],
    [
      'get',
      `${ns}/views/{view}`,
      async (request, response) => sendView(response, await service.loadView(viewOf(request))),
    ],
    [
      'post',
      `${ns}/views/{view}`,
      async (request, response) => {
        const body = bodyOf(request)
        const requirements = (optional(body, 'requirements', arrayField) ?? []).map(
          decodeViewRequirement,
        )
        const updates = arrayField(body, 'updates').map(decodeViewUpdate)
        sendView(response, await service.replaceView(viewOf(request), requirements, updates))
      },
    ],
    [
      'head',
      `${ns}/views/{view}`,
      async (request, response) => {
        const identifier = viewOf(request)
        if (!(await service.viewExists(identifier))) throw noSuchView(identifier)
        response.status(204).end()
      },
    ],
    [
      'delete',
      `${ns}/views/{view}`,
      async (request, response) => {
        await service.dropView(viewOf(request))
        response.status(204).end()
      },
    ],
    [
      'post',
      `${ns}/register-view`,
      async (request, response) => {
        const body = bodyOf(request)
        const identifier = { namespace: namespaceOf(request), name: stringField(body, 'name') }
        const location = stringField(body, 'metadata-location')
        sendView(response, await service.registerView(identifier, location))
      },
    ],
    [
      'post',
      '/views/rename',
      async (request, response) => {
        const body = bodyOf(request)
        await service.renameView(
          decodeIdentifier(objectField(body, 'source')),
          decodeIdentifier(objectField(body, 'destination')),
        )
        response.status(204).end()
      },
    ],
  ]
}

/** A form or a text can be sent to us by any page that a user opens; JSON can't without asking first. */
const requireJson: RequestHandler = (request, response, next) => {
  const hasBody =
    request.headers['transfer-encoding'] !== undefined ||
    Number(request.headers['content-length'] ?? 0) > 0
  if (!hasBody || request.is('application/json') === 'application/json') {
    next()
    return
  }
  const answer = { status: 415, type: 'BadRequestException' }
  sendError(response, answer, 'The body must have the Content-Type application/json')
}

function isThisWarehouse(
  wanted: string,
  service: CatalogService,
  names: readonly string[],
): boolean {
  if (wanted === '' || names.includes(wanted)) return true
  try {
    return normaliseLocation(wanted) === service.warehouseLocation
  } catch {
    return false
  }
}

/** The file's name is unique to its content; what is left out makes it another answer. */
function etagOf(table: LoadedTable, refsOnly: boolean): string {
  const name = table.metadataLocation.slice(table.metadataLocation.lastIndexOf('/') + 1)
  return `"${name.replaceAll(/[^\w.-]/g, '_')}-${refsOnly ? 'refs' : 'all'}"`
}

function isMatch(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((one) => {
    const value = one.trim().replace(/^W\//, '')
    return value === '*' || value === etag
  })
}

function onlyRefs(metadata: TableMetadata): TableMetadata {
  const kept = new Set(Object.values(metadata.refs).map((ref) => ref.snapshotId))
  return {
    ...metadata,
    snapshots: metadata.snapshots.filter((snapshot) => kept.has(snapshot.snapshotId)),
  }
}

function sendTable(response: Response, table: LoadedTable): void {
  const location = JSON.stringify(table.metadataLocation)
  const head = Buffer.from(`{"metadata-location":${location},"metadata":`)
  const body = tableMetadataBytes(table.metadata)
  // Not through `send`, which hashes megabytes for an ETag that no commit needs.
  response.status(200).type('application/json')
  response.set('Content-Length', String(head.length + body.length + configPart.length))
  response.write(head)
  response.write(body)
  response.end(configPart)
}

const configPart = Buffer.from(',"config":{}}')

function sendView(response: Response, view: LoadedView): void {
  sendJson(response, {
    'metadata-location': view.metadataLocation,
    metadata: encodeViewMetadata(view.metadata),
    config: {},
  })
}

function sendJson(response: Response, value: unknown): void {
  sendText(response, stringifyJson(value))
}

function sendText(response: Response, json: string): void {
  response.status(200).type('application/json').send(json)
}
