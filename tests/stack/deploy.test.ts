/**
 * The files of deploy/, docker-compose.yml and the Dockerfile, tried with the real programs as far as that goes
 * without a Docker: Compose's own `config`, promtool, Prometheus scraping a potok, Mosquitto with its users and
 * access control, and the program run from nothing but what the image would hold. Kafka's and Trino's files
 * are run by `npm run stack`.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type IClientOptions, connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type ComposeFile, readComposeFile, schemaProblems } from '../../testkit/compose-file.ts'
import { type RunningPotok, startPotok } from '../../testkit/potok-process.ts'
import { selectorsOf } from '../../testkit/promql.ts'
import { startMinio } from '../../testkit/servers/minio.ts'
import { type Redis, startRedis } from '../../testkit/servers/redis.ts'
import { freePort, type ServerProcess, startServer } from '../../testkit/servers/server-process.ts'
import { findSystemProgram, serverPath } from '../../testkit/servers/system-program.ts'

const execute = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')
const deploy = join(root, 'deploy')

/** Series that a potok which is well doesn't have. */
const onlyInTrouble = new Set(['potok_sink_halted'])

let work: string
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'potok-deploy-'))
})
afterAll(async () => {
  await rm(work, { recursive: true, force: true })
})

test("Compose's own config command takes docker-compose.yml and reads it as it was meant", async () => {
  const compose = await findSystemProgram('docker-compose', 'docker-compose')
  const { stdout } = await execute(compose, ['-f', 'docker-compose.yml', 'config'], { cwd: root })
  const read = parse(stdout) as ComposeFile
  expect(schemaProblems(read)).toEqual([])
  const meant = readComposeFile()
  for (const [name, { environment, command }] of Object.entries(meant.services)) {
    expect(read.services[name]?.environment, name).toEqual(environment)
    // Compose writes a dollar as it has to be written in such a file.
    const words = read.services[name]?.command?.map((word) => word.replaceAll('$$', '$'))
    expect(words, name).toEqual(command)
  }
  expect(Object.keys(read.services).toSorted()).toEqual(Object.keys(meant.services).toSorted())
})

describe('Prometheus', () => {
  const expressions: { where: string; expression: string }[] = []
  let potok: RunningPotok
  let prometheus: ServerProcess
  let redis: Redis
  let url: string

  async function ask(path: string, parameters: Record<string, string> = {}): Promise<unknown> {
    const response = await fetch(
      `${url}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`,
    )
    const answer = (await response.json()) as { status: string; error?: string; data: unknown }
    if (answer.status !== 'success') throw new Error(answer.error)
    return answer.data
  }

  beforeAll(async () => {
    const rules = parse(await readFile(join(deploy, 'prometheus/rules/potok.yml'), 'utf8')) as {
      groups: { rules: { alert: string; expr: string }[] }[]
    }
    for (const { alert, expr } of rules.groups.flatMap((group) => group.rules)) {
      expressions.push({ where: alert, expression: expr })
    }
    const dashboard = JSON.parse(
      await readFile(join(deploy, 'grafana/dashboards/potok.json'), 'utf8'),
    ) as { panels: { title: string; targets?: { expr: string }[] }[] }
    for (const { title, targets = [] } of dashboard.panels) {
      for (const { expr } of targets) {
        expressions.push({
          where: `panel ${title}`,
          expression: expr.replaceAll('$__rate_interval', '1m'),
        })
      }
    }
    redis = await startRedis()
    potok = await startPotok(join(work, 'potok'), ['--redis-url', redis.url])
    await sendSome(potok.url)

    const folder = join(work, 'prometheus')
    await cp(join(deploy, 'prometheus'), folder, { recursive: true })
    await mkdir(join(folder, 'targets'))
    await writeFile(
      join(folder, 'targets/potok.json'),
      JSON.stringify([{ targets: [new URL(potok.url).host], labels: { role: 'up' } }]),
    )
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    prometheus = await startServer({
      name: 'Prometheus',
      command: await findSystemProgram('prometheus', 'prometheus'),
      args: [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      isReady: async () => (await fetch(`${url}/-/ready`)).ok,
    })
  })
  afterAll(async () => {
    await prometheus.stop()
    await redis.stop()
    await potok.kill('SIGKILL')
  })

  test('takes configuration and rules', async () => {
    const promtool = await findSystemProgram('promtool', 'prometheus')
    const config = join(deploy, 'prometheus/prometheus.yml')
    const { stdout } = await execute(promtool, ['check', 'config', config])
    expect(stdout).toContain('1 rule files found')
    expect(stdout).toMatch(/SUCCESS: \d+ rules found/)
  })

  test('finds every series that alerts and dashboard ask for at a potok', async () => {
    await until(async () => seriesOf(await ask('query', { query: 'potok_service_ok' })).length > 0)
    const missing: string[] = []
    for (const { where, expression } of expressions) {
      await ask('query', { query: expression })
      const selectors = selectorsOf(expression)
      expect(selectors.length, where).toBeGreaterThan(0)
      for (const { metric, labels } of selectors) {
        // Labels that only come with a trouble that this potok doesn't have.
        const { outcome: _outcome, ...asked } = labels
        const query = `${metric}{${Object.entries(asked)
          .map(([name, value]) => `${name}="${value}"`)
          .join(',')}}`
        if (onlyInTrouble.has(metric)) {
          const known = await (await fetch(`${potok.url}/metrics`)).text()
          if (!known.includes(`# TYPE ${metric} `)) missing.push(`${where}: ${metric}`)
          continue
        }
        const found = seriesOf(await ask('query', { query: `last_over_time(${query}[5m])` }))
        if (found.length === 0) missing.push(`${where}: ${query}`)
      }
    }
    expect(expressions.length).toBeGreaterThan(30)
    expect(missing).toEqual([])
  })

  test('raises an alert when a potok is gone', async () => {
    await potok.kill('SIGKILL')
    await until(async () => {
      const { alerts } = (await ask('alerts')) as { alerts: { labels: Record<string, string> }[] }
      const names = alerts.map(({ labels }) => labels['alertname'])
      return names.includes('PotokProcessDown') && names.includes('PotokWriterMissing')
    })
  })
})

describe('Mosquitto', () => {
  let mosquitto: ServerProcess
  let port: number
  const logIn = (options: IClientOptions) =>
    connectAsync(`mqtt://127.0.0.1:${port}`, {
      protocolVersion: 5,
      reconnectPeriod: 0,
      ...options,
    })
  const potokUser = { username: 'potok', password: 'of potok *' }
  const camera = { username: 'KV1', password: 'of-KV1*' }

  beforeAll(async () => {
    port = await freePort()
    const data = join(work, 'mosquitto')
    await mkdir(data)
    await findSystemProgram('mosquitto', 'mosquitto')
    mosquitto = await startServer({
      name: 'Mosquitto',
      command: 'sh',
      args: [join(deploy, 'mosquitto/start.sh')],
      env: {
        PATH: serverPath(),
        MQTT_LISTEN: `${port} 127.0.0.1`,
        MQTT_DATA: data,
        MQTT_PASSWORD: potokUser.password,
        MQTT_CAMERAS: 'KV1:of-KV1* KV2:of-KV2',
      },
      isReady: async () => {
        await (await logIn(potokUser)).endAsync()
        return true
      },
    })
  })
  afterAll(() => mosquitto.stop())

  test('listens where it is told to, and nowhere else', () => {
    expect(mosquitto.log().match(/Opening ipv[46] listen socket on port \d+/g)).toEqual([
      `Opening ipv4 listen socket on port ${port}`,
    ])
  })

  test('lets a camera publish under its own id only, and potok read all', async () => {
    const potok = await logIn(potokUser)
    const received: string[] = []
    potok.on('message', (topic, payload) => received.push(`${topic} ${payload.toString()}`))
    await potok.subscribeAsync('$share/potok/kvfv/+/events', { qos: 1 })
    const client = await logIn(camera)
    await client.publishAsync('kvfv/KV1/events', 'own', { qos: 1 })
    await expect(client.publishAsync('kvfv/KV2/events', 'other', { qos: 1 })).rejects.toThrow(
      /Not authorized/,
    )
    // What is refused to it doesn't come: of the two only the first, and the third after both.
    await client.publishAsync('kvfv/KV1/events', 'again', { qos: 1 })
    await until(async () => received.includes('kvfv/KV1/events again'))
    expect(received).toEqual(['kvfv/KV1/events own', 'kvfv/KV1/events again'])

    const heard: string[] = []
    client.on('message', (topic) => heard.push(topic))
    await client.subscribeAsync('kvfv/+/events', { qos: 1 }).catch(() => undefined)
    await client.publishAsync('kvfv/KV1/events', 'heard by potok alone', { qos: 1 })
    await until(async () => received.length === 3)
    expect(heard).toEqual([])
    await Promise.all([potok.endAsync(), client.endAsync()])
  })

  test('refuses who has no name or a wrong password, and packets that are too large', async () => {
    await expect(logIn({})).rejects.toThrow(/[Nn]ot authorized/)
    await expect(logIn({ ...camera, password: 'wrong' })).rejects.toThrow(/[Nn]ot authorized/)
    const client = await logIn({ ...camera, protocolVersion: 4 })
    const cut = new Promise<void>((resolve) => {
      client.once('close', () => resolve())
    })
    client.publish('kvfv/KV1/events', Buffer.alloc(17 * 1024 * 1024), { qos: 1 })
    await cut
    await client.endAsync(true)
  })
})

describe('the image', () => {
  let image: string

  beforeAll(async () => {
    image = join(work, 'image')
    await mkdir(image)
    const dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8')
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
      ([, sources = '']) => sources.split(' '),
    )
    for (const source of copied) {
      await cp(join(root, source), join(image, source), {
        recursive: true,
        filter: (path) => !path.endsWith('.test.ts'),
      })
    }
    const install = /npm (ci [^&\n\\]+)/.exec(dockerfile)?.[1]?.trim().split(/\s+/) ?? []
    await execute('npm', [...install, '--prefer-offline'], { cwd: image })
  })

  test('has all that the program needs: it takes detections, writes tables and shows the dashboard', async () => {
    const [port, catalogPort] = [await freePort(), await freePort()]
    const url = `http://127.0.0.1:${port}`
    const program = await startServer({
      name: "the image's potok",
      command: join(image, 'potok'),
      args: ['up'],
      cwd: work,
      env: {
        // The image's own Node is the one on its PATH; here it is that of this test.
        PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
        POTOK_DATA: join(work, 'of-image'),
        POTOK_PORT: String(port),
        POTOK_MQTT_PORT: '0',
        POTOK_CATALOG_PORT: String(catalogPort),
      },
      isReady: async () => (await fetch(`${url}/readyz`)).ok,
    })
    try {
      await sendSome(url)
      const page = await (await fetch(url)).text()
      const scripts = [...page.matchAll(/(?:src|href)="([^"]+\.(?:js|css))"/g)]
      expect(scripts.length).toBeGreaterThan(0)
      for (const [, path = ''] of scripts)
        expect((await fetch(new URL(path, url))).status).toBe(200)
      await until(async () => {
        const answer = await fetch(`${url}/kvfv/KV1/avg-speed?from=${anHourAgo()}&to=${inAnHour()}`)
        return ((await answer.json()) as { windows?: unknown[] }).windows?.length === 1
      })
    } finally {
      await program.stop()
    }
  })

  test('makes the bucket where it is missing, once', async () => {
    const minio = await startMinio()
    try {
      const env = { ...process.env, ...minio.env, POTOK_WAREHOUSE: 's3://another/prefix' }
      const script = join(image, 'deploy/s3/make-bucket.ts')
      const make = async () => (await execute(process.execPath, [script], { env })).stdout
      expect(await make()).toBe('bucket another was made\n')
      expect(await minio.judge().bucketExists('another')).toBe(true)
      expect(await make()).toBe('bucket another is there\n')
    } finally {
      await minio.stop()
    }
  })
})

/** One of each kind, so that every counter has begun. */
async function sendSome(url: string): Promise<void> {
  const nowMs = Date.now()
  const events = [
    { kvfv_id: 'KV1', timestamp: new Date(nowMs).toISOString(), vehicle_speed: 50 },
    { kvfv_id: 'KV1', timestamp: new Date(nowMs).toISOString(), vehicle_speed: 5_000 },
  ]
  const headers = { 'content-type': 'application/json' }
  for (const body of [JSON.stringify(events), 'x']) {
    await fetch(`${url}/v1/events`, { method: 'POST', headers, body })
  }
  await fetch(`${url}/kvfv`)
}

const anHourAgo = (): string =>
  new Date(Date.now() - 3_600_000).toISOString().slice(0, 13) + ':00:00Z'
const inAnHour = (): string =>
  new Date(Date.now() + 3_600_000).toISOString().slice(0, 13) + ':00:00Z'

function seriesOf(data: unknown): unknown[] {
  return (data as { result: unknown[] }).result
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 120_000
  while (!(await isSo())) {
    if (Date.now() > endMs) throw new Error('it is not so after two minutes')
    await sleep(500)
  }
}
