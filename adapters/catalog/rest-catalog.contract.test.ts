/** The adapter over potok's own REST catalog: by HTTP it promises what it does in process. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createCatalogService } from '../../catalog/catalog-service.ts'
import { createCatalogRouter } from '../../catalog/rest-server.ts'
import { catalogContract } from '../../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../../testkit/fixed-ports.ts'
import { createMemoryObjectStore } from '../object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../object-store/memory-root-object.ts'
import { createRestCatalog, type RestCatalog } from './rest-catalog.ts'

catalogContract("potok's own server, over REST", async () => {
  const store = createMemoryObjectStore()
  const service = createCatalogService({
    root: createMemoryRootObject(),
    store,
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: 'memory://warehouse',
  })
  const server = createServer(express().use(createCatalogRouter(service)))
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const clients: RestCatalog[] = []
  return {
    connect: () => {
      const client = createRestCatalog({
        properties: { uri },
        clock: systemClock,
        ids: randomIds,
      })
      clients.push(client)
      return client
    },
    close: async () => {
      for (const client of clients) await client.close()
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
      await service.close()
      await store.close()
    },
  }
})
