/**
 * potok's REST catalog alone, in a process of its own, for the catalog's benchmark. Unlike the real one it can
 * be told to take one change a swap, and it says how many swaps it made.
 *
 *   node lib-catalog-server.ts DATA CHANGES_PER_SWAP [s3://bucket/prefix]   settings of S3: POTOK_S3_…
 */
import express from 'express'
import { randomIds } from '../adapters/system/random-ids.ts'
import { systemClock } from '../adapters/system/system-clock.ts'
import { createLogger } from '../adapters/telemetry/logger.ts'
import { listen } from '../app/http-server.ts'
import { readSettings } from '../app/settings.ts'
import { openStorage } from '../app/storage.ts'
import { createCatalogService } from '../catalog/catalog-service.ts'
import { createCatalogRouter } from '../catalog/rest-server.ts'

const [data = '', changesPerSwap = '', warehouse] = process.argv.slice(2)
const settings = readSettings({ data, warehouse }, process.env)
const logger = createLogger({ level: 'error', role: 'catalog' })
const storage = openStorage(settings, data, logger)
await storage.probe()
const service = createCatalogService({
  root: storage.root,
  store: storage.store,
  clock: systemClock,
  ids: randomIds,
  warehouseLocation: storage.warehouse,
  logger,
  changesPerSwapMax: Number(changesPerSwap),
})
const app = express().disable('x-powered-by')
app.get('/stats', (_request, response) => {
  response.json(service.stats)
})
app.use(createCatalogRouter(service))
const listening = await listen(app, {
  host: '127.0.0.1',
  port: 0,
  name: 'the catalog',
  flag: '--port',
})
process.on('SIGTERM', () => {
  void listening
    .close(5_000)
    .then(() => service.close())
    .then(() => process.exit(0))
})
console.log(JSON.stringify({ port: listening.port, warehouse: storage.warehouse }))
