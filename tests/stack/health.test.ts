/**
 * Health tells the truth: with a process a role and the object store killed, readiness, metrics and
 * `potok status` say so and why, each by itself; and all are well again by themselves when it is back.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  eventsNamed,
  eventually,
  postEvents,
  potokStatus,
  readiness,
  startRole,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { type Minio, startMinio } from '../../testkit/servers/minio.ts'

const folder = temporaryFolder('health')
/** A loaded machine is slow; what must be within a minute is asked of the sink in simulated time. */
const patienceMs = 180_000
let minio: Minio
let env: Readonly<Record<string, string>> = {}

beforeAll(async () => {
  minio = await startMinio()
  env = { ...minio.env, POTOK_LAG_AGE_MAX_SECONDS: '20' }
  Object.assign(process.env, env)
})
afterAll(async () => {
  for (const name of Object.keys(env)) delete process.env[name]
  await minio.stop()
  folder.remove()
})

/** Value of a sample, by its whole name with labels. */
async function metric(url: string, sample: string): Promise<number | null> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`${sample} `))
  return line === undefined ? null : Number(line.slice(sample.length + 1))
}

it('an object store that was killed makes the sinks red with the reason, not the gateway, and green again when it is back', async () => {
  const data = join(folder.path, 'data')
  const args = ['--warehouse', `s3://${minio.bucket}/health`]
  const gateway = await startRole('gateway', data, args)
  const writer = await startRole('writer', data, args)
  const rollups = await startRole('rollups', data, args)
  const sinks = { writer, rollups }
  const status = () => potokStatus(['--data', data, ...args])
  const allWell = (rows: number) =>
    eventually(
      `all well with ${rows} rows`,
      async () => {
        for (const { url } of [gateway, writer, rollups]) {
          if ((await readiness(url)).status !== 200) return null
        }
        const { code, tables, lag } = await status()
        const isDone = tables['events']?.rows === rows && lag['rollup_5m'] === 0
        return code === 0 && isDone ? true : null
      },
      patienceMs,
    )
  expect((await postEvents(gateway.url, eventsNamed('a', 200))).status).toBe(202)
  await allWell(200)

  await minio.kill()
  // The log is here: what is acknowledged while the store is away is kept.
  expect((await postEvents(gateway.url, eventsNamed('b', 100))).status).toBe(202)
  for (const [name, { url }] of Object.entries(sinks)) {
    const { text } = await eventually(
      `${name} red`,
      async () => {
        const now = await readiness(url)
        return now.status === 503 ? now : null
      },
      patienceMs,
    )
    expect(text).toContain(`${name}: `)
    expect(text).toMatch(/ECONNREFUSED|refused|nothing committed for|no answer/i)
    expect(await metric(url, `potok_service_ok{service="${name}"}`)).toBe(0)
  }
  await eventually(
    'failures and the age of what waits in the metrics',
    async () => {
      const failures = await metric(
        writer.url,
        'potok_service{service="writer",figure="failuresInRow"}',
      )
      const ageSeconds = await metric(
        writer.url,
        'potok_service{service="writer",figure="lagAgeSeconds"}',
      )
      return (failures ?? 0) > 0 && (ageSeconds ?? 0) > 20 ? true : null
    },
    patienceMs,
  )
  expect((await readiness(gateway.url)).status).toBe(200)
  const told = await status()
  expect(told.code).toBe(3)
  expect(told.problems.map(({ part }) => part)).toContain('catalog')
  expect(told.problems.find(({ part }) => part === 'catalog')?.reason).toMatch(/refused|answer/i)

  await minio.restart()
  await allWell(300)
  await Promise.all([gateway, writer, rollups].map((role) => role.kill('SIGTERM')))

  // Nobody runs, and something waits: status says so by itself.
  const alone = await startRole('gateway', data, args)
  expect((await postEvents(alone.url, eventsNamed('c', 50))).status).toBe(202)
  await alone.kill('SIGTERM')
  const behind = await eventually(
    'a status that says behind',
    async () => {
      const now = await status()
      return now.code === 3 ? now : null
    },
    patienceMs,
  )
  expect(behind.problems.map(({ part }) => part)).toEqual(['writer', 'rollups'])
  expect(behind.problems[0]?.reason).toMatch(/received \d+ s ago, 50 records to go/)
})
