/** What a route of the catalog is. Paths are as `/v1/config` lists them: `/namespaces/{namespace}`. */
import type { Request, Response } from 'express'
import type { CatalogService } from './catalog-service.ts'

export type Method = 'get' | 'post' | 'delete' | 'head'
/** `service` is the catalog for this one request: with its idempotency key, where it carries one. */
export type Handler = (
  service: CatalogService,
  request: Request,
  response: Response,
) => Promise<void> | void
export type Routes = readonly (readonly [Method, string, Handler])[]

export const namespacePath = '/namespaces/{namespace}'

/**
 * What the specification has and this catalog hasn't, refused by name: a 404 would say that the table is
 * missing. `/v1/config` doesn't list them, so clients that look don't ask.
 */
export const unsupportedRoutes: readonly (readonly [Method, string])[] = [
  ['post', `${namespacePath}/tables/{table}/plan`],
  ['get', `${namespacePath}/tables/{table}/plan/{plan-id}`],
  ['delete', `${namespacePath}/tables/{table}/plan/{plan-id}`],
  ['post', `${namespacePath}/tables/{table}/tasks`],
  ['get', `${namespacePath}/tables/{table}/credentials`],
  ['post', `${namespacePath}/tables/{table}/sign`],
  ['post', `${namespacePath}/tables/{table}/unregister`],
  ['get', `${namespacePath}/functions`],
  ['get', `${namespacePath}/functions/{function}`],
]

/** As `/v1/config` lists it and clients parse it. */
export function endpointOf(method: Method, path: string): string {
  return `${method.toUpperCase()} /v1/{prefix}${path}`
}

export function expressPathOf(path: string): string {
  return `/v1${path.replaceAll(/\{([\w-]+)\}/g, (_, name: string) => `:${name.replaceAll('-', '_')}`)}`
}
