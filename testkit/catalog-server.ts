/** The catalog's REST server over memory, on a port of its own, and a client that asks it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import { type CatalogService, createCatalogService } from '../catalog/catalog-service.ts'
import { createCatalogRouter } from '../catalog/rest-server.ts'
import { parseJson, stringifyJson } from '../iceberg/codec/lossless-json.ts'
import type { ObjectStore } from '../kernel/ports.ts'
import { randomIds, systemClock } from './fixed-ports.ts'

// biome-ignore lint: answers of any shape are looked into
export type Json = any

export type Answer = { readonly status: number; readonly json: Json; readonly headers: Headers }

export type CatalogServer = {
  readonly service: CatalogService
  readonly store: ObjectStore
  readonly root: ReturnType<typeof createMemoryRootObject>
  /** `path` without `/v1`; a body that is a string goes as it is. */
  readonly call: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Answer>
  readonly stop: () => Promise<void>
}

/** `over`: what another server leaves, as after a restart. */
export async function startCatalogServer(
  over?: Pick<CatalogServer, 'root' | 'store'>,
): Promise<CatalogServer> {
  const root = over?.root ?? createMemoryRootObject()
  const store = over?.store ?? createMemoryObjectStore()
  const service = createCatalogService({
    root,
    store,
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: 'memory://w',
    sleep: async () => undefined,
  })
  const app = express()
  app.use(createCatalogRouter(service, { warehouseNames: ['potok'], bodyBytesMax: 100_000 }))
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return {
    service,
    store,
    root,
    async call(method, path, body, headers = {}) {
      const response = await fetch(base + path, {
        method,
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { body: typeof body === 'string' ? body : stringifyJson(body) }),
      })
      const text = await response.text()
      return {
        status: response.status,
        json: text === '' ? null : parseJson(text),
        headers: response.headers,
      }
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
