/** potok's catalog over a real S3 store (MinIO): its contract, a race of processes, and a store that is killed. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createS3Api, type S3Api } from '../../adapters/object-store/s3-api.ts'
import { createS3ObjectStore } from '../../adapters/object-store/s3-object-store.ts'
import { createS3RootObject } from '../../adapters/object-store/s3-root-object.ts'
import { randomIds } from '../../adapters/system/random-ids.ts'
import { systemClock } from '../../adapters/system/system-clock.ts'
import { type CatalogService, createCatalogService } from '../../catalog/catalog-service.ts'
import { isPotokError } from '../../kernel/errors.ts'
import { catalogContract, testSchema } from '../../testkit/contracts/catalog.ts'
import { type Minio, startMinio } from '../../testkit/servers/minio.ts'

const execute = promisify(execFile)
let minio: Minio
let folder: string
let count = 0

beforeAll(async () => {
  minio = await startMinio()
  folder = await mkdtemp(join(tmpdir(), 'potok-s3-'))
})
afterAll(async () => {
  await minio.stop()
  await rm(folder, { recursive: true, force: true })
})

/** As another process would have it: nothing in common but the store. */
function openCatalog(warehouse: string): { catalog: CatalogService; close: () => Promise<void> } {
  const api: S3Api = createS3Api({ ...minio.options, requestTimeoutMs: 5_000 })
  const cacheFolder = join(folder, `cache-${count++}`)
  const store = createS3ObjectStore({ api, cacheFolder, cacheBytesMax: 1 << 20 })
  const catalog = createCatalogService({
    root: createS3RootObject({ api, location: `${warehouse}/.catalog/root` }),
    store,
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: warehouse,
  })
  return {
    catalog,
    close: async () => {
      await catalog.close()
      store.close()
      await api.close()
    },
  }
}

const freshWarehouse = (): string => `s3://${minio.bucket}/catalog-${count++}`

catalogContract('in process, over S3 (MinIO)', async () => {
  const warehouse = freshWarehouse()
  const opened: { close: () => Promise<void> }[] = []
  return {
    connect: () => {
      const one = openCatalog(warehouse)
      opened.push(one)
      return one.catalog
    },
    close: async () => {
      await Promise.all(opened.map((one) => one.close()))
    },
  }
})

it('counts exactly while several processes swap one root', async () => {
  const location = `${freshWarehouse()}/.catalog/root`
  const program = join(import.meta.dirname, '../../testkit/swap-counter.ts')
  const [processes, times] = [4, 15]
  const ended = await Promise.all(
    Array.from({ length: processes }, () =>
      execute(process.execPath, [program, JSON.stringify(minio.options), location, String(times)]),
    ),
  )
  const lost = ended.reduce(
    (sum, { stdout }) => sum + (JSON.parse(stdout) as { lost: number }).lost,
    0,
  )
  const api = createS3Api(minio.options)
  const found = await createS3RootObject({ api, location }).read()
  expect(Buffer.from(found?.bytes ?? []).toString()).toBe(String(processes * times))
  expect(lost).toBeGreaterThan(0)
  await api.close()
})

it('keeps what it acknowledged and nothing it refused when the store is killed under its swaps', async () => {
  const warehouse = freshWarehouse()
  const clients = [openCatalog(warehouse), openCatalog(warehouse)]
  await clients[0]?.catalog.createNamespace(['ns'], {})
  const done: string[] = []
  const refused: string[] = []
  let unknown = 0
  const over = new AbortController()
  const work = async (catalog: CatalogService, client: number): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i++) {
      const name = `t-${client}-${i}`
      try {
        await catalog.createTable({
          identifier: { namespace: ['ns'], name },
          schema: testSchema,
          partitionSpec: { specId: 0, fields: [] },
          sortOrder: { orderId: 0, fields: [] },
          properties: {},
        })
        done.push(name)
      } catch (error) {
        if (isPotokError(error, 'CommitStateUnknown')) unknown++
        else refused.push(name)
        await sleep(50)
      }
    }
  }
  const working = clients.map(({ catalog }, i) => work(catalog, i))
  for (let kill = 0; kill < 3; kill++) {
    await sleep(700)
    await minio.kill()
    await sleep(300)
    await minio.restart()
  }
  await sleep(700)
  over.abort()
  await Promise.all(working)

  const fresh = openCatalog(warehouse)
  const names = new Set((await fresh.catalog.listTables(['ns'])).map(({ name }) => name))
  expect(done.filter((name) => !names.has(name))).toEqual([])
  expect(refused.filter((name) => names.has(name))).toEqual([])
  expect(names.size).toBeLessThanOrEqual(done.length + unknown)
  expect(done.length).toBeGreaterThan(10)
  for (const name of done) await fresh.catalog.loadTable({ namespace: ['ns'], name })
  await Promise.all([fresh, ...clients].map((one) => one.close()))
})
