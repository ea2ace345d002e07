/**
 * The API as an express router: routes by the contract (`contract/operations.ts`), problem+json for every error,
 * the dashboard at `/`. It listens to nothing; `app/` mounts it beside the gateway.
 */
import express, { type NextFunction, type Request, type Response, type Router } from 'express'
import { errorPolicy, isPotokError, PotokError } from '../kernel/errors.ts'
import type { Service } from '../kernel/ports.ts'
import { createCameraStore, type CameraStore } from './cameras/camera-store.ts'
import { operations } from './contract/operations.ts'
import { createDashboardRouter } from './dashboard/dashboard-router.ts'
import type { ApiConfig, ApiPorts } from './ports.ts'
import { createResponseCache } from './response-cache.ts'
import { createSharedAnswers } from './shared-answers.ts'
import { createManifestScanner } from './read-model/manifest-scanner.ts'
import { createReadModel, type ReadModel } from './read-model/read-model.ts'
import { cameraHandlers } from './routes/cameras.ts'
import { type ApiContext, expressPath, type Handlers, sendProblem } from './routes/context.ts'
import { exactnessHandlers } from './routes/exactness.ts'
import { operationHandlers } from './routes/operation.ts'
import {
  createRequestMetrics,
  registerModelMetrics,
  registerSharedMetrics,
} from './routes/request-metrics.ts'
import { speedHandlers } from './routes/speeds.ts'

const bodyBytesMax = 4 * 1024 * 1024

/** The API with its read model, which `app/` starts and stops, and the register of cameras. */
export function createApi(
  ports: ApiPorts,
  config: ApiConfig,
): { router: Router; readModel: ReadModel & Service; cameras: CameraStore } {
  const scanner = createManifestScanner(ports.manifests)
  const model = createReadModel({ ...ports, scanner }, config)
  const cameras = createCameraStore({ ...ports, scanner })
  const responses = createResponseCache(config.responseCacheBytesMax)
  const shared = ports.answers === null ? null : createSharedAnswers(ports.answers, config.version)
  const router = createApiRouter({ ports, config, model, cameras, responses, shared })
  return { router, readModel: model, cameras }
}

export function createApiRouter(context: ApiContext): Router {
  const router = express.Router({ caseSensitive: true, strict: false })
  const handlers: Handlers = {
    ...speedHandlers(context),
    ...cameraHandlers(context),
    ...exactnessHandlers(context),
    ...operationHandlers(context),
  }
  const measured = createRequestMetrics(context.ports.registry)
  registerModelMetrics(context.ports.registry, context.model, context.responses)
  if (context.shared !== null) registerSharedMetrics(context.ports.registry, context.shared)
  const served = operations.filter(({ servedBy }) => servedBy === undefined)
  for (const operation of served) {
    const handler = handlers[operation.id]
    if (handler === undefined) throw new Error(`no handler for ${operation.id} of the contract`)
    const path = expressPath(operation)
    const body = operation.body === undefined ? [] : [requireJson, parseJson]
    router[operation.method](path, measured(operation.path), secure, ...body, handler)
  }
  const unknown = Object.keys(handlers).filter((id) => !served.some((each) => each.id === id))
  if (unknown.length > 0) throw new Error(`handlers outside the contract: ${unknown.join(', ')}`)
  for (const path of new Set(served.map(expressPath))) router.all(path, refuseMethod(path))
  router.use(createDashboardRouter())
  router.use(problems(context))
  return router
}

const parseJson = express.json({ limit: bodyBytesMax, strict: true })

/** Another type would leave the body unread, and an unread limit to one day would mean all days. */
function requireJson(request: Request, response: Response, next: NextFunction): void {
  const hasBody =
    request.headers['transfer-encoding'] !== undefined ||
    Number(request.headers['content-length'] ?? 0) > 0
  if (!hasBody || request.is('json') !== false) {
    next()
    return
  }
  const error = new PotokError('InvalidInput', 'send the body as application/json')
  sendProblem(response, error, { status: 415, title: 'Not this media type' })
}

function secure(_request: Request, response: Response, next: NextFunction): void {
  response.set({
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  })
  next()
}

/** 405 with what is allowed, for the methods that the contract has not on this path. */
function refuseMethod(path: string) {
  const methods = operations
    .filter((operation) => expressPath(operation) === path)
    .map(({ method }) => method.toUpperCase())
  const allowed = methods.includes('GET') ? [...methods, 'HEAD'] : methods
  return (request: Request, response: Response) => {
    const error = new PotokError('InvalidInput', `${request.method} is not allowed here`)
    response.set('Allow', allowed.join(', '))
    sendProblem(response, error, { status: 405, title: 'Method not allowed' })
  }
}

function problems({ ports }: ApiContext) {
  // Express knows an error handler by its four parameters.
  return (error: unknown, request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(error)
      return
    }
    const known = asPotokError(error)
    const level = isPotokError(known) ? errorPolicy[known.kind].logLevel : 'error'
    ports.logger[level](
      { error: known, method: request.method, path: request.path },
      'a request failed',
    )
    sendProblem(response, known)
  }
}

/** The body parser's errors carry `status` and `type`. */
function asPotokError(error: unknown): unknown {
  if (isPotokError(error) || typeof error !== 'object' || error === null) return error
  const { status, type } = error as { status?: unknown; type?: unknown }
  if (status === 413) return new PotokError('TooLarge', 'the body is larger than 4 MiB')
  if (type === 'entity.parse.failed') {
    return new PotokError('InvalidInput', 'the body is no JSON object', { cause: error })
  }
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new PotokError('InvalidInput', 'the request can’t be read', { cause: error })
  }
  return error
}
