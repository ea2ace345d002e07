/**
 * The Iceberg REST catalog (apache/iceberg `open-api/rest-catalog-open-api.yaml`) as an express router over the
 * catalog service. Holds no state: every answer comes from the service.
 *
 * It doesn't listen, authenticate or hand out credentials; `oauth/tokens` is absent, as the specification now
 * wants it. Bodies must be declared as JSON, so that no web page can send one behind a user's back.
 */
import express, { type RequestHandler, type Router } from 'express'
import { unsupported } from '../iceberg/spec/refusals.ts'
import type { Logger } from '../kernel/ports.ts'
import type { CatalogService } from './catalog-service.ts'
import { keyedRequestOf } from './idempotency-header.ts'
import { keyLifetimeText } from './idempotency-keys.ts'
import { normaliseLocation } from './location-policy.ts'
import { sendJson } from './rest-answers.ts'
import { errorHandler, sendError } from './rest-errors.ts'
import { namespaceRoutes } from './rest-namespaces.ts'
import { namespaceSeparator, queryOf } from './rest-requests.ts'
import { endpointOf, expressPathOf, type Routes, unsupportedRoutes } from './rest-routes.ts'
import { tableRoutes } from './rest-tables.ts'
import { viewRoutes } from './rest-views.ts'

export type CatalogRouterOptions = {
  /** What clients may call this warehouse, beside its location. */
  readonly warehouseNames?: readonly string[]
  /** Of the store, for clients that say nothing themselves: endpoint, region. Never a secret. */
  readonly clientDefaults?: Readonly<Record<string, string>>
  readonly logger?: Logger
  readonly bodyBytesMax?: number
}

const bodyBytesDefault = 32 * 1024 * 1024
const routes: Routes = [...namespaceRoutes, ...tableRoutes, ...viewRoutes]

export function createCatalogRouter(
  service: CatalogService,
  options: CatalogRouterOptions = {},
): Router {
  const router = express.Router({ caseSensitive: true, strict: true })
  router.use(decodePlus)
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
      overrides: { 'namespace-separator': encodeURIComponent(namespaceSeparator) },
      'idempotency-key-lifetime': keyLifetimeText,
      endpoints: routes.map(([method, path]) => endpointOf(method, path)),
    })
  })
  // HEAD first: express lets GET answer it otherwise, with the whole table.
  const isHead = ([method]: Routes[number]): number => (method === 'head' ? 0 : 1)
  for (const [method, path, handler] of routes.toSorted((a, b) => isHead(a) - isHead(b))) {
    router[method](expressPathOf(path), async (request, response) => {
      const keyed = keyedRequestOf(request)
      await handler(keyed === null ? service : service.keyed(keyed), request, response)
    })
  }
  for (const [method, path] of unsupportedRoutes) {
    router[method](expressPathOf(path), () => {
      throw unsupported(`Server does not support endpoint: ${endpointOf(method, path)}`)
    })
  }
  router.use((request, response) => {
    const answer = { status: 404, type: 'NotFoundException' }
    sendError(response, answer, `No route for request: ${request.method} ${request.path}`)
  })
  router.use(errorHandler(options.logger))
  return router
}

/** The reference client encodes names as forms do it: a blank is `+`, and a plus `%2B`. */
const decodePlus: RequestHandler = (request, _response, next) => {
  const [path, ...query] = request.url.split('?')
  request.url = [(path as string).replaceAll('+', '%20'), ...query].join('?')
  next()
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
