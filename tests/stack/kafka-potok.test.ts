/**
 * All of potok as processes that share nothing but Kafka and an S3 store: from events over HTTP, and of foreign
 * producers, to exact rows and a clean audit, with a writer and Kafka killed in between.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { foreignClient } from '../../testkit/kafka-log.ts'
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
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'
import { type Minio, startMinio } from '../../testkit/servers/minio.ts'

const folder = temporaryFolder('kafka')
const topic = 'traffic.detections'
let kafka: Kafka
let minio: Minio
let env: Record<string, string>

beforeAll(async () => {
  ;[kafka, minio] = await Promise.all([startKafka(), startMinio()])
  env = {
    ...minio.env,
    POTOK_KAFKA_BROKERS: kafka.brokers,
    POTOK_WAREHOUSE: `s3://${minio.bucket}/kafka`,
    POTOK_RECOMPUTE_SCHEDULE: 'off',
    POTOK_LOG_PARTITIONS: '4',
    // The share of the writer that is killed goes to the other one soon.
    POTOK_KAFKA_SESSION_TIMEOUT_MS: '6000',
  }
  Object.assign(process.env, env)
})
afterAll(async () => {
  for (const name of Object.keys(env ?? {})) delete process.env[name]
  await Promise.all([kafka?.stop(), minio?.stop()])
  folder.remove()
})

type Event = {
  readonly kvfv_id: string
  readonly timestamp: string
  readonly vehicle_speed: number
  readonly event_id: string
}

const startMs = Date.UTC(2025, 3, 5, 10)

function makeEvents(source: string, count: number): Event[] {
  return Array.from({ length: count }, (_, i) => ({
    kvfv_id: `KV${i % 20}`,
    timestamp: new Date(startMs + i * 900).toISOString(),
    vehicle_speed: 20 + (i % 91) + (i % 7) / 8,
    event_id: `${source}-${i}`,
  }))
}

/** As a camera does: what wasn't acknowledged is sent again. */
async function sendAll(url: string, events: readonly Event[]): Promise<void> {
  for (let at = 0; at < events.length; ) {
    const answer = await postEvents(url, events.slice(at, at + 100)).catch(() => null)
    if (answer?.status === 202) at += 100
    else if (answer === null || answer.status === 503) await sleep(200)
    else throw new Error(`${answer.status} ${await answer.text()}`)
  }
}

/** Straight into the topic: without any header, and in transactions, of which one is aborted. */
async function produceForeign(events: readonly Event[], aborted: readonly Event[]): Promise<void> {
  const messagesOf = (some: readonly Event[]) =>
    some.map((event) => ({ key: event.kvfv_id, value: JSON.stringify(event) }))
  const half = events.length / 2
  const client = foreignClient(kafka.brokers)
  const plain = client.producer()
  await plain.connect()
  await plain.send({ topic, messages: messagesOf(events.slice(0, half)) })
  await plain.disconnect()
  const producer = client.producer({
    transactionalId: 'foreign',
    idempotent: true,
    maxInFlightRequests: 1,
  })
  await producer.connect()
  const doomed = await producer.transaction()
  await doomed.send({ topic, messages: messagesOf(aborted) })
  await doomed.abort()
  const committed = await producer.transaction()
  await committed.send({ topic, messages: messagesOf(events.slice(half)) })
  await committed.commit()
  await producer.disconnect()
}

async function lagOf(): Promise<{ events: number; rollup_5m: number }> {
  const status = await runPotok(['status', '--data', join(folder.path, 'asking'), '--json'])
  expect(status.code, status.stderr).toBe(0)
  return (JSON.parse(status.stdout) as { lag: { events: number; rollup_5m: number } }).lag
}

it('has every acknowledged event once, whoever sent it, though a writer and Kafka are killed', {
  timeout: 600_000,
}, async () => {
  const role = (name: string, n = 0, args: string[] = []) =>
    startRole(name, join(folder.path, `${name}-${n}`), args)
  const gateways = [await role('gateway', 0), await role('gateway', 1)] as const
  const writers = [await role('writer', 0), await role('writer', 1)]
  const others = await Promise.all([
    role('rollups'),
    role('catalog', 0, ['--catalog-port', '0']),
    role('api'),
  ])
  const api = others[2]

  const sent = [makeEvents('a', 3_000), makeEvents('b', 3_000)] as const
  const foreign = makeEvents('foreign', 400)
  const aborted = makeEvents('aborted', 400)
  const sending = Promise.all(gateways.map((one, i) => sendAll(one.url, sent[i] as Event[])))
  await produceForeign(foreign, aborted)
  await writers[0]?.kill('SIGKILL')
  await kafka.restart()
  writers[0] = await role('writer', 0)
  await sending
  // A camera that heard nothing sends again; after the transactions each partition gets more.
  await sendAll(gateways[1].url, sent[0].slice(0, 500))

  await eventually(
    'sinks without lag',
    async () => {
      const lag = await lagOf()
      return lag.events === 0 && lag.rollup_5m === 0 ? true : null
    },
    300_000,
  )
  const day = { from: '2025-04-05', to: '2025-04-06' }
  expect(await recompute(api.url, day)).toMatchObject({ status: 'done' })
  const all = [...sent[0], ...sent[1], ...foreign].filter(({ kvfv_id }) => kvfv_id === 'KV3')
  await eventually('exact averages', async () => {
    const { windows } = await getJson<{ windows: { event_count: number; status: string }[] }>(
      `${api.url}/kvfv/KV3/avg-speed?from=2025-04-05T10:00:00Z&to=2025-04-05T12:00:00Z&interval=5m`,
    )
    if (windows.some(({ status }) => status !== 'exact')) return null
    expect(windows.reduce((sum, { event_count }) => sum + event_count, 0)).toBe(all.length)
    return true
  })

  const judged = JSON.parse(
    await runPython(
      `
import sys, json, duckdb
from pyiceberg.catalog import load_catalog
catalog = load_catalog('potok', **{'type': 'rest', 'uri': sys.argv[1],
  's3.access-key-id': sys.argv[2], 's3.secret-access-key': sys.argv[3]})
rows = catalog.load_table(('traffic', 'events')).scan().to_arrow()
print(json.dumps(duckdb.connect().execute('''select count(*) >= 6900, count(distinct event_id),
  count(*) - count(distinct (log_partition, log_offset)),
  (select count(*) from (select kvfv_id from rows group by all having count(distinct log_partition) > 1))
  from rows''').fetchone()))
`,
      [others[1].catalogUrl ?? '', minio.accessKeyId, minio.secretAccessKey],
    ),
  ) as unknown[]
  // Resent and foreign ones included; none of the aborted; no place twice; a camera in one partition.
  expect(judged).toEqual([true, 6_400, 0, 0])

  await Promise.all([...gateways, ...writers, ...others].map((one) => one.kill('SIGTERM')))
  const verify = await runPotok(['verify', '--data', join(folder.path, 'asking'), '--json'])
  expect(verify.code, verify.stdout + verify.stderr).toBe(0)
  for (const name of ['gateway-0', 'writer-0', 'rollups-0', 'api-0']) {
    expect(existsSync(join(folder.path, name, 'log')), name).toBe(false)
  }
})

it('runs as one process on Kafka, and brings stopped data up to the end of the topic', async () => {
  const data = join(folder.path, 'up')
  const args = ['--kafka-topic', 'small', '--warehouse', `file://${join(data, 'warehouse')}`]
  const potok = await startPotok(data, args)
  const events = makeEvents('up', 500)
  await sendAll(potok.url, events)
  await potok.kill('SIGKILL')
  const run = await runPotok(['recompute', '--data', data, ...args, '--json'])
  expect(run.code, run.stdout + run.stderr).toBe(0)
  const status = await runPotok(['status', '--data', data, ...args, '--json'])
  expect(JSON.parse(status.stdout)).toMatchObject({
    tables: { events: { rows: 500 } },
    lag: { events: 0, rollup_5m: 0 },
    logRecords: 500,
  })
  const verify = await runPotok(['verify', '--data', data, ...args, '--json'])
  expect(verify.code, verify.stdout + verify.stderr).toBe(0)
})
