/** Detections over MQTT: a message that was acknowledged is in the table, whoever is killed meanwhile. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { connectAsync, type IClientOptions } from 'mqtt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createMqttCamera, type MqttCamera } from '../../testkit/mqtt-cameras.ts'
import {
  eventually,
  getJson,
  type RunningPotok,
  startPotok,
  startRole,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { runPython } from '../../testkit/python-venv.ts'
import { type Mosquitto, startMosquitto } from '../../testkit/servers/mosquitto.ts'
import { freePort } from '../../testkit/servers/server-process.ts'

const execute = promisify(execFile)
const waitMs = 120_000
const minute = 60_000
const ids = ['KV1', 'KV2', 'KV3', 'KV4']
const passwords = Object.fromEntries(ids.map((id) => [id, `of-${id}`]))
const loginOf = (id: string) => ({ username: id, password: passwords[id] as string })

type Rows = { ids: string[]; rows: number; offsets: number; rejected: [string, string, string][] }

/** What another engine finds in the tables. */
async function readRows(catalogUrl: string): Promise<Rows> {
  const text = await runPython(
    `
import json, sys
from pyiceberg.catalog import load_catalog
catalog = load_catalog('potok', **{'type': 'rest', 'uri': sys.argv[1]})
events = catalog.load_table(('traffic', 'events')).scan().to_arrow()
rejected = catalog.load_table(('traffic', 'rejected_events')).scan().to_arrow()
attributes = events.to_pylist()
print(json.dumps({
  'ids': sorted({str(row['event_id']) for row in attributes}),
  'rows': len(attributes),
  'offsets': len({(row['log_partition'], row['log_offset']) for row in attributes}),
  'rejected': sorted([row['source'], row['reason'], row['kvfv_id'] or ''] for row in rejected.to_pylist()),
}))
`,
    [catalogUrl],
  )
  return JSON.parse(text) as Rows
}

/** Every acknowledged event is there; ids are made of camera, instant and event_id, so that each counts once. */
async function expectAll(catalogUrl: string, cameras: readonly MqttCamera[]): Promise<Rows> {
  const count = cameras.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0)
  const rows = await eventually(
    `all of ${count} events in the table`,
    async () => {
      const found = await readRows(catalogUrl)
      return found.ids.length >= count ? found : null
    },
    waitMs,
  )
  expect(rows.ids).toHaveLength(count)
  expect(rows.offsets).toBe(rows.rows)
  return rows
}

async function readiness(url: string): Promise<string> {
  return await (await fetch(`${url}/readyz`)).text()
}

async function takenBy(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/potok_service\{service="mqtt",figure="taken"\} (\d+)/.exec(text)?.[1] ?? 0)
}

const acknowledgedOf = (cameras: readonly MqttCamera[]) =>
  cameras.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0)

async function more(cameras: readonly MqttCamera[], messages: number): Promise<void> {
  const goal = acknowledgedOf(cameras) + messages
  await eventually(
    `${messages} more messages acknowledged`,
    async () => (acknowledgedOf(cameras) >= goal ? true : null),
    waitMs,
  )
}

describe('potok mqtt on Mosquitto', () => {
  const folder = temporaryFolder('mqtt')
  const data = join(folder.path, 'data')
  let mosquitto: Mosquitto
  let catalog: Awaited<ReturnType<typeof startRole>>
  let writer: Awaited<ReturnType<typeof startRole>>
  const subscribers: Awaited<ReturnType<typeof startRole>>[] = []
  let cameras: MqttCamera[] = []
  const startSubscriber = (id: string, ...more: string[]) =>
    startRole('mqtt', data, [
      '--mqtt-url',
      mosquitto.url,
      '--mqtt-username',
      'potok',
      '--mqtt-password',
      mosquitto.password,
      '--mqtt-client-id',
      id,
      ...more,
    ])

  const allReady = () =>
    eventually(
      'all to be subscribed',
      async () => {
        const texts = await Promise.all(subscribers.map(({ url }) => readiness(url)))
        return texts.every((text) => text.includes('"ready"')) ? true : null
      },
      waitMs,
    )

  beforeAll(async () => {
    mosquitto = await startMosquitto(passwords)
    catalog = await startRole('catalog', data, ['--catalog-port', '0'])
    writer = await startRole('writer', data)
    subscribers.push(await startSubscriber('one'), await startSubscriber('two'))
    // Before somebody has subscribed a broker keeps nothing.
    await allReady()
    cameras = ids.map((id) => createMqttCamera(mosquitto.url, id, loginOf(id)))
  })
  afterAll(async () => {
    for (const camera of cameras) await camera.close()
    for (const role of [...subscribers, writer, catalog]) await role?.kill('SIGKILL')
    await mosquitto?.stop()
    folder.remove()
  })

  it('loses nothing and shares the load though subscribers are killed, and finds a broker again that was', {
    timeout: 6 * minute,
  }, async () => {
    const running = cameras.map((camera) => camera.run())
    await more(cameras, 500)
    expect(await takenBy(subscribers[0]?.url as string)).toBeGreaterThan(0)
    expect(await takenBy(subscribers[1]?.url as string)).toBeGreaterThan(0)
    for (const [index, id] of [
      [0, 'one'],
      [1, 'two'],
    ] as const) {
      await subscribers[index]?.kill('SIGKILL')
      await more(cameras, 300)
      subscribers[index] = await startSubscriber(id)
    }
    for (const camera of cameras) camera.finish()
    await Promise.all(running)
    await expectAll(catalog.catalogUrl as string, cameras)

    // With nothing on its way there is nothing that a broker without warning could lose.
    await mosquitto.kill()
    await eventually('a red readiness', async () => {
      const text = await readiness(subscribers[0]?.url as string)
      return text.includes('mqtt: no messages from') ? true : null
    })
    await mosquitto.restart()
    await allReady()
  })

  it('keeps what cannot be taken as rejected, and goes on', { timeout: 3 * minute }, async () => {
    const client = await connectAsync(mosquitto.url, {
      ...loginOf('KV1'),
      protocolVersion: 5,
      reconnectPeriod: 0,
    })
    const event = { timestamp: '2025-04-06T10:00:00Z', vehicle_speed: 50 }
    const before = (await readRows(catalog.catalogUrl as string)).ids.length
    for (const payload of [
      '[{"broken":',
      gzipSync(Buffer.alloc(40 * 1024 * 1024, 0x20)),
      Buffer.alloc(16 * 1024 * 1024 + 1_000, 0x20),
      JSON.stringify({ ...event, kvfv_id: 'KV2' }),
      JSON.stringify({ ...event, vehicle_speed: 999 }),
      gzipSync(JSON.stringify([event, { ...event, vehicle_speed: 51 }])),
      '',
    ]) {
      await client.publishAsync('kvfv/KV1/events', payload, { qos: 1 })
    }
    await client.endAsync()
    const rows = await eventually(
      'the rejected rows',
      async () => {
        const found = await readRows(catalog.catalogUrl as string)
        return found.rejected.length >= 5 && found.ids.length >= before + 2 ? found : null
      },
      waitMs,
    )
    // A log that confirms too late is asked again: a row may be there twice.
    const kinds = [...new Set(rows.rejected.map((row) => row.join(' ')))]
    expect(kinds).toEqual([
      'mqtt speed_out_of_range KV1',
      'mqtt too_large KV1',
      'mqtt unreadable KV1',
      'mqtt wrong_camera KV1',
    ])
    expect(rows.ids).toHaveLength(before + 2)
  })

  it('says who took its session away', { timeout: 3 * minute }, async () => {
    const thief = await startSubscriber('one')
    const reason = await eventually(
      'the reason',
      async () => {
        const texts = await Promise.all([subscribers[0]?.url as string, thief.url].map(readiness))
        return texts.find((text) => text.includes('--mqtt-client-id')) ?? null
      },
      waitMs,
    )
    expect(reason).toContain('the session one')
    await thief.kill('SIGTERM')
  })

  it('loses nothing without a group though the broker restarts under load', {
    timeout: 6 * minute,
  }, async () => {
    for (const subscriber of subscribers.splice(0)) await subscriber.kill('SIGTERM')
    const alone = await startSubscriber('alone', '--mqtt-share', 'off')
    subscribers.push(alone)
    await allReady()
    const others = ids.map((id) => createMqttCamera(mosquitto.url, id, loginOf(id), 'again'))
    const before = (await readRows(catalog.catalogUrl as string)).ids.length
    const running = others.map((camera) => camera.run())
    await more(others, 300)
    await mosquitto.halt()
    await mosquitto.restart()
    await more(others, 300)
    for (const camera of others) camera.finish()
    await Promise.all(running)
    const count = before + acknowledgedOf(others)
    const rows = await eventually(
      `all of ${count} events in the table`,
      async () => {
        const found = await readRows(catalog.catalogUrl as string)
        return found.ids.length >= count ? found : null
      },
      waitMs,
    )
    expect(rows.ids).toHaveLength(count)
    for (const camera of others) await camera.close()
  })
})

describe('the broker of potok up', () => {
  const folder = temporaryFolder('mqtt-up')
  const data = join(folder.path, 'data')
  const users = join(folder.path, 'users')
  let port: number
  let potok: RunningPotok
  const start = () =>
    startPotok(data, [
      '--recompute-schedule',
      'off',
      '--mqtt-port',
      String(port),
      '--mqtt-users-file',
      users,
    ])
  const connect = (options: IClientOptions) =>
    connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options })
  const publish = async (id: string, ...words: string[]) => {
    const login = ['-u', id, '-P', passwords[id] ?? 'none']
    const where = ['-h', '127.0.0.1', '-p', String(port)]
    return await execute('mosquitto_pub', [...where, ...login, ...words], { timeout: 30_000 }).then(
      () => 0,
      (error: { code?: number | null }) => error.code ?? 1,
    )
  }

  beforeAll(async () => {
    writeFileSync(users, ids.map((id) => `${id}:${passwords[id]}\n`).join(''))
    await execute('mosquitto_passwd', ['-U', users])
    port = await freePort()
    potok = await start()
  })
  afterAll(async () => {
    await potok?.kill('SIGKILL')
    folder.remove()
  })

  it('takes QoS 0, 1 and 2 of mosquitto_pub, from a camera under its own id only', {
    timeout: 3 * minute,
  }, async () => {
    expect(potok.mqttUrl).toBe(`mqtt://127.0.0.1:${port}`)
    const event = (second: number) =>
      `{"timestamp":"2025-04-07T10:00:0${second}Z","vehicle_speed":60}`
    for (const qos of [0, 1, 2]) {
      expect(
        await publish('KV1', '-q', String(qos), '-t', 'kvfv/KV1/events', '-m', event(qos)),
      ).toBe(0)
    }
    expect(await publish('KV9', '-q', '1', '-t', 'kvfv/KV9/events', '-m', event(3))).not.toBe(0)
    const thief = await connect(loginOf('KV1'))
    const cut = new Promise<void>((resolve) => {
      thief.once('close', () => resolve())
    })
    thief.on('error', () => undefined)
    thief.publish('kvfv/KV2/events', event(4), { qos: 1 })
    await cut
    await expect(
      connect({ username: 'KV1', password: passwords['KV2'] as string }),
    ).rejects.toThrow(/[Nn]ot authorized/)
    const rows = await eventually(
      'three events',
      async () => {
        const found = await readRows(potok.catalogUrl)
        return found.ids.length >= 3 ? found : null
      },
      waitMs,
    )
    expect(rows.ids).toHaveLength(3)
    expect(rows.rejected).toEqual([])
  })

  it('cuts a packet that is too large, and keeps one of 16 MiB as rejected', {
    timeout: 3 * minute,
  }, async () => {
    const client = await connect(loginOf('KV1'))
    client.on('error', () => undefined)
    await client.publishAsync('kvfv/KV1/events', Buffer.alloc(16 * 1024 * 1024 + 1, 0x20), {
      qos: 1,
    })
    const cut = new Promise<void>((resolve) => {
      client.once('close', () => resolve())
    })
    client.publish('kvfv/KV1/events', Buffer.alloc(17 * 1024 * 1024, 0x20), { qos: 1 })
    await cut
    const rows = await eventually(
      'the rejected row',
      async () => {
        const found = await readRows(potok.catalogUrl)
        return found.rejected.length >= 1 ? found : null
      },
      waitMs,
    )
    expect(rows.rejected).toEqual([['mqtt', 'too_large', 'KV1']])
  })

  it('serves 500 connections at once', { timeout: 3 * minute }, async () => {
    const clients = await Promise.all(
      Array.from({ length: 500 }, async (_, i) =>
        connect({ ...loginOf('KV2'), clientId: `many-${i}`, connectTimeout: minute }),
      ),
    )
    await Promise.all(
      clients.map((client, i) =>
        client.publishAsync(
          'kvfv/KV2/events',
          JSON.stringify({
            timestamp: '2025-04-08T10:00:00Z',
            vehicle_speed: 1,
            event_id: `m${i}`,
          }),
          { qos: 1 },
        ),
      ),
    )
    const { services } = await getJson<{ services: string[] }>(`${potok.url}/readyz`)
    expect(services).toContain('mqtt')
    await Promise.all(clients.map((client) => client.endAsync()))
    const rows = await eventually(
      '500 more events',
      async () => {
        const found = await readRows(potok.catalogUrl)
        return found.ids.length >= 503 ? found : null
      },
      waitMs,
    )
    expect(rows.ids).toHaveLength(503)
  })

  it('keeps every acknowledged message though it is killed under load, each log offset once', {
    timeout: 6 * minute,
  }, async () => {
    const before = (await readRows(potok.catalogUrl)).ids.length
    const cameras = ids.map((id) => createMqttCamera(`mqtt://127.0.0.1:${port}`, id, loginOf(id)))
    const running = cameras.map((camera) => camera.run())
    for (let round = 0; round < 3; round++) {
      await more(cameras, 300)
      await sleep(200 * round)
      await potok.kill('SIGKILL')
      potok = await start()
    }
    await more(cameras, 300)
    for (const camera of cameras) camera.finish()
    await Promise.all(running)
    const count = acknowledgedOf(cameras)
    const rows = await eventually(
      `${count} more events`,
      async () => {
        const found = await readRows(potok.catalogUrl)
        return found.ids.length >= before + count ? found : null
      },
      waitMs,
    )
    // Everything was acknowledged in the end, so nothing is there that was not.
    expect(rows.ids).toHaveLength(before + count)
    expect(rows.offsets).toBe(rows.rows)
    for (const camera of cameras) await camera.close()
  })
})
