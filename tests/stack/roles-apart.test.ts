/**
 * The roles of docker-compose.yml with its own variables, each a process with a data folder of its own, as
 * containers have them: they meet in Kafka, in the bucket and in Redis, and nowhere else. What differs from the
 * containers is the addresses.
 */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { readComposeFile } from '../../testkit/compose-file.ts'
import { temporaryFolder } from '../../testkit/potok-process.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'
import { type Minio, startMinio } from '../../testkit/servers/minio.ts'
import { type Redis, startRedis } from '../../testkit/servers/redis.ts'
import { freePort, type ServerProcess, startServer } from '../../testkit/servers/server-process.ts'

const root = join(import.meta.dirname, '..', '..')
const waitMs = { timeout: 180_000, interval: 500 }
const folder = temporaryFolder('roles-apart')
const { services } = readComposeFile()
const roles = Object.entries(services).filter(
  ([name, { build }]) => build === '.' && name !== 'mqtt' && name !== 'bucket',
)
const urls = new Map<string, string>()
const started: ServerProcess[] = []
let kafka: Kafka
let minio: Minio
let redis: Redis

beforeAll(async () => {
  ;[kafka, minio, redis] = await Promise.all([startKafka(), startMinio(), startRedis()])
  await run(process.execPath, [join(root, 'deploy/s3/make-bucket.ts')], here('writer', 0, 0))
  await Promise.all(
    // Two writers and two rollup streams: what `--scale` does.
    [...roles, ...roles.filter(([name]) => name === 'writer' || name === 'rollups')].map(
      async ([name], i) => {
        const [port, catalogPort] = [await freePort(), await freePort()]
        const data = join(folder.path, `${name}-${i}`)
        mkdirSync(data)
        const url = `http://127.0.0.1:${port}`
        const server = await startServer({
          name: `potok ${name}`,
          command: join(root, 'potok'),
          args: services[name]?.command ?? [],
          env: { ...here(name, port, catalogPort), POTOK_DATA: data },
          isReady: async () => (await fetch(`${url}/readyz`)).ok,
          readyMsMax: 180_000,
        })
        started.push(server)
        urls.set(name, url)
        urls.set(`${name} catalog`, `http://127.0.0.1:${catalogPort}`)
      },
    ),
  )
})

afterAll(async () => {
  await Promise.all(started.map((server) => server.stop()))
  await Promise.all([kafka.stop(), minio.stop(), redis.stop()])
  folder.remove()
})

/** The variables of a service, with the addresses of what was started here. */
function here(name: string, port: number, catalogPort: number): Record<string, string> {
  const given = services[name]?.environment ?? {}
  const addresses: Record<string, string> = {
    POTOK_HOST: '127.0.0.1',
    POTOK_PORT: String(port),
    POTOK_CATALOG_PORT: String(catalogPort),
    POTOK_KAFKA_BROKERS: kafka.brokers,
    POTOK_REDIS_URL: redis.url,
    ...minio.env,
  }
  const known = Object.entries(addresses).filter(
    ([variable]) => variable in given || variable === 'POTOK_CATALOG_PORT',
  )
  return { ...given, ...Object.fromEntries(known) }
}

async function run(command: string, args: string[], env: Record<string, string>): Promise<void> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: 'inherit' })
  const code = await new Promise((resolve) => {
    child.once('exit', resolve)
  })
  expect(code).toBe(0)
}

test('a detection goes through all of them, and comes out exact', async () => {
  const cameras = Array.from({ length: 20 }, (_, i) => `KV${i}`)
  const items = cameras.map((kvfv_id) => ({
    kvfv_id,
    timestamp: '2025-04-05T10:15:30Z',
    vehicle_speed: 60,
  }))
  const accepted = await fetch(`${urls.get('gateway')}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(items),
  })
  expect(accepted.status).toBe(202)
  const api = urls.get('api') as string
  const isAnswered = (status: string) =>
    vi.waitFor(async () => {
      for (const id of cameras) {
        const answer = await fetch(
          `${api}/kvfv/${id}/avg-speed?from=2025-04-05T10:00:00Z&to=2025-04-05T11:00:00Z&interval=5m`,
        )
        const { windows } = (await answer.json()) as { windows: Record<string, unknown>[] }
        expect(windows).toMatchObject([{ event_count: 1, avg_speed: 60, status }])
      }
    }, waitMs)
  await isAnswered('open')
  await fetch(`${api}/v1/recompute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  })
  await isAnswered('exact')
  const tables = await fetch(`${urls.get('catalog catalog')}/v1/namespaces/traffic/tables`)
  expect(await tables.text()).toContain('rollup_5m')
})
