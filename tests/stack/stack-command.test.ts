/** `npm run stack`: real servers that outlive the command, found by `.stack/env`, and gone with `down`. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { eventually, postEvents, temporaryFolder } from '../../testkit/potok-process.ts'
import { kafkaProgram } from '../../testkit/servers/kafka.ts'
import { queryTrino } from '../../testkit/servers/trino.ts'

const root = join(import.meta.dirname, '..', '..')
const place = temporaryFolder('stack')
const folder = join(place.path, '.stack')
const roles: ChildProcess[] = []

type Result = { readonly code: number; readonly out: string }

async function stack(...args: readonly string[]): Promise<Result> {
  const words = ['tools/stack.ts', '--folder', folder, ...args]
  return await new Promise((resolve) => {
    execFile(process.execPath, words, { cwd: root }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), out: stdout + stderr })
    })
  })
}

type Status = { readonly name: string; readonly state: string; readonly pid: number }

async function status(): Promise<{ code: number; servers: Status[] }> {
  const { code, out } = await stack('status', '--json')
  return { code, servers: JSON.parse(out) as Status[] }
}

/** As a newcomer does it: in a shell that has read `env`. */
async function fromShell(role: string): Promise<Record<string, string>> {
  const script = `set -a; . '${join(folder, 'env')}'; exec ./potok ${role} --json --log-level warn`
  const child = spawn('sh', ['-c', script], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  roles.push(child)
  const banner = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.trimEnd().endsWith('}')) resolve(text)
    })
    child.once('exit', (code) => reject(new Error(`potok ${role} ended with ${code}`)))
  })
  return JSON.parse(banner) as Record<string, string>
}

function env(): Record<string, string> {
  const lines = readFileSync(join(folder, 'env'), 'utf8').trimEnd().split('\n')
  return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)))
}

async function stopRoles(): Promise<void> {
  await Promise.all(
    roles.splice(0).map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    }),
  )
}

afterAll(async () => {
  await stopRoles()
  await stack('down')
  place.remove()
})

it('starts servers that roles use from a shell: what a gateway takes is in Kafka, and Trino sees the tables of the catalog', async () => {
  const up = await stack('up')
  expect(up.code, up.out).toBe(0)
  const before = await status()
  expect(before.code).toBe(0)
  expect(before.servers.map(({ name, state }) => [name, state])).toEqual(
    ['kafka', 'minio', 'trino', 'mosquitto', 'redis', 'prometheus'].map((name) => [name, 'up']),
  )

  const [gateway] = await Promise.all(['gateway', 'catalog'].map(fromShell))
  const events = Array.from({ length: 500 }, (_, i) => ({
    kvfv_id: `KV${i % 7}`,
    timestamp: new Date(Date.UTC(2025, 3, 5, 10) + i * 1_000).toISOString(),
    vehicle_speed: 60,
  }))
  expect((await postEvents(gateway?.['url'] ?? '', events)).status).toBe(202)
  expect(await recordsInKafka(env()['KAFKA_BROKERS'] as string)).toBe(events.length)
  const { rows } = await queryTrino(env()['TRINO_URL'] as string, 'SHOW TABLES FROM potok.traffic')
  expect(rows.flat()).toContain('events')
  await stopRoles()

  const again = await stack('up')
  expect(again.code, again.out).toBe(0)
  expect(await status()).toEqual(before)
})

/** TOPIC:PARTITION:OFFSET lines of Kafka's own tool, added up. */
async function recordsInKafka(brokers: string): Promise<number> {
  const program = await kafkaProgram()
  const args = ['--bootstrap-server', brokers, '--topic', 'traffic.detections']
  const out = await program.run('org.apache.kafka.tools.GetOffsetShell', args)
  return out
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number(line.split(':')[2]), 0)
}

it('runs every role as a process of its own on them: cameras over HTTP and MQTT, averages, and Trino over the same tables', async () => {
  const demo = await stack('demo', '--seconds', '15')
  expect(demo.code, demo.out).toBe(0)
  expect(demo.out).toMatch(/SIM00001: mean [\d.]+ km\/h of \d+; MQ00001: mean [\d.]+ km\/h of \d+/)
  // 7 cameras are from before; one of each kind has a clock ahead, and some may have seen nobody.
  const [, rows, cameras] = /Trino: (\d+) events of (\d+) cameras/.exec(demo.out) ?? []
  expect(Number(rows)).toBeGreaterThan(500)
  expect(Number(cameras)).toBeGreaterThan(20)
  const pids = [...demo.out.matchAll(/^potok \w+ +pid (\d+)/gm)].map((match) => Number(match[1]))
  expect(pids.map(commandOf)).toEqual(Array.from({ length: 6 }, () => ''))
})

it('says what is down, and starts that again alone', async () => {
  const before = await status()
  const redis = before.servers.find(({ name }) => name === 'redis') as Status
  process.kill(redis.pid, 'SIGKILL')
  const down = await eventually('Redis to be missed', async () => {
    const now = await status()
    return now.servers.some(({ state }) => state === 'down') ? now : null
  })
  expect(down.code).toBe(1)
  const address = env()['REDIS_URL']
  expect((await stack('up')).code).toBe(0)
  const after = await status()
  expect(after.code).toBe(0)
  expect(env()['REDIS_URL']).toBe(address)
  const others = ({ servers }: typeof before): Status[] =>
    servers.filter(({ name }) => name !== 'redis')
  expect(others(after)).toEqual(others(before))
})

it('leaves nothing running after down, and kills nobody who only has the pid of one of its servers', async () => {
  const { servers } = await status()
  const stranger = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 600_000)'])
  const stateFile = join(folder, 'state.json')
  const state = JSON.parse(readFileSync(stateFile, 'utf8')) as {
    servers: Record<string, { pid: number; identity: string }>
  }
  process.kill(state.servers['redis']?.pid as number, 'SIGKILL')
  ;(state.servers['redis'] as { pid: number }).pid = stranger.pid as number
  writeFileSync(stateFile, JSON.stringify(state))

  const down = await stack('down')
  expect(down.code, down.out).toBe(0)
  expect(stranger.exitCode).toBeNull()
  stranger.kill('SIGKILL')
  expect(servers.map(({ pid }) => commandOf(pid))).toEqual(servers.map(() => ''))
  expect(existsSync(join(folder, 'env'))).toBe(false)
  expect(await status()).toEqual({ code: 1, servers: [] })
})

/** Of a process that ended, and that nobody has asked for its end yet, nothing but its name is left. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

it('stops what it has started where a server can’t start, and says which and why', async () => {
  const names = ['up', '--only', 'redis,minio']
  expect((await stack('down', '--data')).code).toBe(0)
  // Where MinIO's folder should be.
  writeFileSync(join(folder, 'minio'), '')
  const failed = await stack(...names)
  expect(failed.code).toBe(1)
  expect(failed.out).toMatch(/^minio: .*EEXIST/m)
  expect(await status()).toEqual({ code: 1, servers: [] })
})
