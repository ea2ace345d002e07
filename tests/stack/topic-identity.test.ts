/**
 * The topic is deleted and made again, retention overtakes the sinks, an open transaction holds records back,
 * another cluster answers: writer and rollup stream halt or are red and say why, and go on where somebody
 * says, without a restart. Each process a role, over a real Kafka.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka as KafkaJs, logLevel } from 'kafkajs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  eventsNamed,
  eventually,
  postEvents,
  potokStatus,
  readiness,
  runPotok,
  startRole,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'

const folder = temporaryFolder('topic-identity')
const scratch = mkdtempSync(join(tmpdir(), 'potok-topic-identity-'))
const topic = 'traffic.detections'
const patienceMs = 120_000
const env: Record<string, string> = {}
let kafka: Kafka

type Role = Awaited<ReturnType<typeof startRole>>

beforeAll(async () => {
  kafka = await startKafka()
  env['POTOK_KAFKA_BROKERS'] = kafka.brokers
  env['POTOK_LOG_PARTITIONS'] = '2'
  env['POTOK_LAG_AGE_MAX_SECONDS'] = '10'
  Object.assign(process.env, env)
})
afterAll(async () => {
  for (const name of Object.keys(env)) delete process.env[name]
  await kafka.stop()
  folder.remove()
  rmSync(scratch, { recursive: true })
})

function redWith(name: string, role: Role, words: string) {
  return eventually(
    `${name} red with ${words}`,
    async () => {
      const { status, text } = await readiness(role.url)
      return status === 503 && text.includes(words) ? text : null
    },
    patienceMs,
  )
}

async function expectHalted(sinks: Record<string, Role>, haltCase: string, words: string) {
  for (const [name, role] of Object.entries(sinks)) {
    expect(await redWith(name, role, words)).toContain('potok ingest reset')
    const metrics = await (await fetch(`${role.url}/metrics`)).text()
    expect(metrics).toContain(`potok_sink_halted{service="${name}",case="${haltCase}"} 1`)
  }
}

it('sinks on Kafka halt for what happened to their topic, say so, and go on where somebody says', async () => {
  const data = join(folder.path, 'data')
  const status = () => potokStatus(['--data', data])
  const reset = async (to: string) => {
    const { code, stdout, stderr } = await runPotok([
      'ingest',
      'reset',
      '--data',
      data,
      '--to',
      to,
      '--json',
    ])
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout) as {
      log_epoch: number
      partitions: { problem: string | null; skipped: number }[]
    }
  }
  const startAll = async () => ({
    gateway: await startRole('gateway', data),
    writer: await startRole('writer', data),
    rollups: await startRole('rollups', data),
  })
  let roles = await startAll()
  const stopAll = () => Promise.all(Object.values(roles).map((role) => role.kill('SIGTERM')))
  const sinks = () => ({ writer: roles.writer, rollups: roles.rollups })
  const rowsAre = (rows: number) =>
    eventually(
      `${rows} rows and all well`,
      async () => {
        for (const role of Object.values(sinks())) {
          if ((await readiness(role.url)).status !== 200) return null
        }
        const { code, tables, lag } = await status()
        return code === 0 && tables['events']?.rows === rows && lag['rollup_5m'] === 0 ? true : null
      },
      patienceMs,
    )
  const send = async (name: string, count: number) =>
    expect((await postEvents(roles.gateway.url, eventsNamed(name, count))).status).toBe(202)
  const topicTool = (...args: string[]) =>
    kafka.tool('org.apache.kafka.tools.TopicCommand', [
      '--bootstrap-server',
      kafka.brokers,
      '--topic',
      topic,
      ...args,
    ])

  await send('a', 200)
  await rowsAre(200)

  // A foreign producer leaves a transaction open: what is acknowledged behind it can't be read.
  const foreign = new KafkaJs({
    clientId: 'foreign',
    brokers: [kafka.brokers],
    logLevel: logLevel.NOTHING,
  }).producer({ transactionalId: 'open', maxInFlightRequests: 1, idempotent: true })
  await foreign.connect()
  const transaction = await foreign.transaction()
  await transaction.send({
    topic,
    messages: [0, 1].map((partition) => ({
      partition,
      value: JSON.stringify(eventsNamed('x', 1)[0]),
    })),
  })
  await send('b', 40)
  for (const [name, role] of Object.entries(sinks())) {
    expect(await redWith(name, role, 'hands out nothing from offset')).toContain('transaction')
  }
  expect((await status()).problems[0]?.reason).toMatch(/can't be read .* transaction/)
  await transaction.abort()
  await foreign.disconnect()
  await rowsAre(240)

  // Retention overtakes sinks that don't run.
  await Promise.all([roles.writer, roles.rollups].map((role) => role.kill('SIGTERM')))
  await send('c', 100)
  await eventually(
    'a status that says how old the oldest record is',
    async () => {
      const { code, problems } = await status()
      return code === 3 && /received \d+ s ago, 100 records/.test(problems[0]?.reason ?? '')
        ? true
        : null
    },
    patienceMs,
  )
  const offsets = join(scratch, 'offsets.json')
  const partitions = [0, 1].map((partition) => ({ topic, partition, offset: -1 }))
  writeFileSync(offsets, JSON.stringify({ partitions, version: 1 }))
  await kafka.tool('org.apache.kafka.tools.DeleteRecordsCommand', [
    '--bootstrap-server',
    kafka.brokers,
    '--offset-json-file',
    offsets,
  ])
  roles = {
    ...roles,
    writer: await startRole('writer', data),
    rollups: await startRole('rollups', data),
  }
  await expectHalted(sinks(), 'below_log_start', 'that were never read')
  const overtaken = await reset('start')
  expect(overtaken.log_epoch).toBe(1)
  expect(overtaken.partitions.reduce((sum, { skipped }) => sum + skipped, 0)).toBe(100)
  await send('d', 20)
  await rowsAre(260)

  // Deleted and made again, beneath processes that run.
  await topicTool('--delete')
  await eventually('no topic', async () =>
    (await topicTool('--list')).includes(topic) ? null : true,
  )
  await topicTool(
    '--create',
    '--partitions',
    '3',
    '--config',
    'message.timestamp.type=LogAppendTime',
  )
  await expectHalted(sinks(), 'log_replaced', 'topic id')
  const told = await status()
  expect(told.code).toBe(3)
  expect(told.sinks).toMatchObject({
    events: { halted: 'log_replaced' },
    rollup_5m: { halted: 'log_replaced' },
  })
  expect((await reset('start')).log_epoch).toBe(2)
  await eventually(
    'the gateway appends to the new topic',
    async () =>
      (await postEvents(roles.gateway.url, eventsNamed('e', 30))).status === 202 ? true : null,
    patienceMs,
  )
  await rowsAre(290)
  await stopAll()

  // Another cluster under the name.
  const other = await startKafka()
  try {
    process.env['POTOK_KAFKA_BROKERS'] = other.brokers
    roles = await startAll()
    await send('f', 10)
    await expectHalted(sinks(), 'log_replaced', 'cluster')
    const skipped = await reset('end')
    expect(skipped.partitions.reduce((sum, one) => sum + one.skipped, 0)).toBe(10)
    await send('g', 5)
    await rowsAre(295)
    await stopAll()
  } finally {
    await other.stop()
  }
  const verify = await runPotok(['verify', '--data', data, '--json'])
  expect(verify.code, verify.stdout + verify.stderr).toBe(0)
})
