/** All of potok on a warehouse in an S3 store: from events over HTTP to exact averages and a clean audit. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  eventually,
  getJson,
  postEvents,
  recompute,
  runPotok,
  startPotok,
  startRole,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { runPython } from '../../testkit/python-venv.ts'
import { type Minio, startMinio } from '../../testkit/servers/minio.ts'

const folder = temporaryFolder('s3')
let minio: Minio

beforeAll(async () => {
  minio = await startMinio()
  Object.assign(process.env, minio.env)
})
afterAll(async () => {
  for (const name of Object.keys(minio.env)) delete process.env[name]
  await minio.stop()
  folder.remove()
})

type Answer = {
  windows: { start: string; event_count: number; avg_speed: number; status: string }[]
}

const startMs = Date.UTC(2025, 3, 5, 10)
const events = Array.from({ length: 3_000 }, (_, i) => ({
  kvfv_id: `KV${i % 20}`,
  timestamp: new Date(startMs + i * 1_300).toISOString(),
  vehicle_speed: 20 + (i % 91) + (i % 7) / 8,
  event_id: `e${i}`,
}))

async function send(url: string, halfway: () => Promise<void> = async () => {}): Promise<void> {
  for (let at = 0; at < events.length; at += 500) {
    expect((await postEvents(url, events.slice(at, at + 500))).status).toBe(202)
    if (at === 1_000) await halfway()
  }
  // A camera that heard nothing sends again.
  expect((await postEvents(url, events.slice(0, 500))).status).toBe(202)
}

/** Sums in 0.001 km/h over each event once, as the README promises. */
async function expectExactAverages(url: string): Promise<void> {
  const answer = await getJson<Answer>(
    `${url}/kvfv/KV3/avg-speed?from=2025-04-05T10:00:00Z&to=2025-04-05T12:00:00Z&interval=5m`,
  )
  const sums = new Map<number, { n: number; milli: number }>()
  for (const one of events) {
    if (one.kvfv_id !== 'KV3') continue
    const window = Math.floor(Date.parse(one.timestamp) / 300_000) * 300_000
    const sum = sums.get(window) ?? { n: 0, milli: 0 }
    sum.n++
    sum.milli += Math.round(one.vehicle_speed * 1_000)
    sums.set(window, sum)
  }
  expect(answer.windows.map((w) => [Date.parse(w.start), w.event_count, w.status])).toEqual(
    [...sums].map(([start, { n }]) => [start, n, 'exact']),
  )
  expect(answer.windows.map((w) => w.avg_speed)).toEqual(
    [...sums.values()].map(({ n, milli }) => Math.round(milli / n) / 1_000),
  )
}

it('goes from events to exact averages and a clean audit though the store is killed meanwhile, and PyIceberg reads the same rows', async () => {
  const data = join(folder.path, 'up')
  const args = ['--warehouse', `s3://${minio.bucket}/up/warehouse`]
  const potok = await startPotok(data, [...args, '--recompute-schedule', 'off'])
  expect(potok.warehouse).toBe(`s3://${minio.bucket}/up/warehouse`)
  // The log takes events while the store is away; the sinks go on when it is back.
  await send(potok.url, async () => {
    await minio.kill()
    await sleep(1_000)
    await minio.restart()
  })
  const day = { from: '2025-04-05', to: '2025-04-06' }
  expect(await recompute(potok.url, day)).toMatchObject({ status: 'done' })
  await expectExactAverages(potok.url)

  // Endpoint and region come from the catalog; the keys are the client's own.
  const rows = await runPython(
    `
import sys
from pyiceberg.catalog import load_catalog
catalog = load_catalog('potok', **{'type': 'rest', 'uri': sys.argv[1],
  's3.access-key-id': sys.argv[2], 's3.secret-access-key': sys.argv[3]})
print(len(catalog.load_table(('traffic', 'events')).scan().to_arrow()),
  sum(catalog.load_table(('traffic', 'rollup_5m')).scan().to_arrow()['event_count'].to_pylist()))
`,
    [potok.catalogUrl, minio.accessKeyId, minio.secretAccessKey],
  )
  expect(rows.trim()).toBe('3500 3000')

  const beside = await runPotok(['verify', '--data', data, ...args, '--json'])
  expect(beside.code, beside.stdout + beside.stderr).toBe(0)
  expect(potok.log() + beside.stderr).not.toContain(minio.secretAccessKey)
  await potok.kill('SIGTERM')

  // The local copies are worth nothing: without them all is as it was.
  rmSync(join(data, 'cache'), { recursive: true })
  const after = await runPotok(['verify', '--data', data, ...args, '--json'])
  expect(after.code, after.stdout + after.stderr).toBe(0)
  const status = await runPotok(['status', '--data', data, ...args, '--json'])
  expect(JSON.parse(status.stdout)).toMatchObject({ tables: { events: { rows: 3_500 } } })
})

it('runs as one process a role, each with its own view of the store', async () => {
  const data = join(folder.path, 'roles')
  const args = ['--warehouse', `s3://${minio.bucket}/roles`]
  const gateway = await startRole('gateway', data, args)
  const others = await Promise.all([
    startRole('writer', data, args),
    startRole('rollups', data, args),
    startRole('catalog', data, [...args, '--catalog-port', '0']),
    startRole('api', data, [...args, '--recompute-schedule', 'off']),
  ])
  const api = others[3]
  await send(gateway.url)
  const day = { from: '2025-04-05', to: '2025-04-06' }
  expect(await recompute(api?.url ?? '', day)).toMatchObject({ status: 'done' })
  await eventually('exact averages', async () => {
    await expectExactAverages(api?.url ?? '')
    return true
  })
  await Promise.all([gateway, ...others].map((role) => role.kill('SIGTERM')))
  const result = await runPotok(['verify', '--data', data, ...args, '--json'])
  expect(result.code, result.stdout + result.stderr).toBe(0)
})
