import { connect as connectSocket } from 'node:net'
import { once } from 'node:events'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Message } from '../../kernel/message-source.ts'
import type { Logger } from '../../kernel/ports.ts'
import { type BrokerLimits, createEmbeddedBroker, type EmbeddedBroker } from './embedded-broker.ts'
import { parseUsers, type Users } from './users.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const brokers: EmbeddedBroker[] = []
const clients: MqttClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.end(true)
  for (const broker of brokers.splice(0)) await broker.close(0)
})

type Handed = { message: Message; signal: AbortSignal; taken(): void; failed(): void }

async function setUp(
  options: { users?: Users; limits?: Partial<BrokerLimits>; takesAtOnce?: boolean } = {},
) {
  const broker = createEmbeddedBroker({
    host: '127.0.0.1',
    port: 0,
    users: options.users ?? null,
    tls: null,
    logger: silent,
    limits: options.limits ?? {},
  })
  brokers.push(broker)
  const handed: Handed[] = []
  await broker.open(
    (message, signal) =>
      new Promise((resolve, reject) => {
        handed.push({ message, signal, taken: resolve, failed: () => reject(new Error('no')) })
        if (options.takesAtOnce === true) resolve()
      }),
  )
  const { port } = new URL(broker.url() as string)
  const connect = async (more: IClientOptions = {}) => {
    const options = { reconnectPeriod: 0, ...more }
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, options, false)
    client.on('error', () => undefined)
    clients.push(client)
    return client
  }
  const has = (count: number) => vi.waitFor(() => expect(handed).toHaveLength(count))
  const details = () => broker.health().details as Record<string, unknown>
  return { broker, handed, has, connect, details, port: Number(port) }
}

/** Whether with an error or without. */
function closeOf(connection: { once(event: 'close', act: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => {
    connection.once('close', () => resolve())
  })
}

async function turn(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('the embedded broker', () => {
  it.each([1, 2] as const)(
    'acknowledges QoS %i when the message is taken and not before',
    async (qos) => {
      const { handed, has, connect } = await setUp()
      const client = await connect()
      let isAcknowledged = false
      const sent = client.publishAsync('kvfv/KV1/events', 'x', { qos }).then(() => {
        isAcknowledged = true
      })
      await has(1)
      await turn()
      expect(isAcknowledged).toBe(false)
      handed[0]?.taken()
      await sent
      expect(handed[0]?.message).toMatchObject({ topic: 'kvfv/KV1/events', contentType: null })
    },
  )

  it('closes the connection of a message that was not taken, without a PUBACK', async () => {
    const { handed, has, connect } = await setUp()
    const client = await connect()
    const closed = closeOf(client)
    const acknowledged = vi.fn()
    client.publish('kvfv/KV1/events', 'x', { qos: 1 }, (error) => {
      if (error === undefined || error === null) acknowledged()
    })
    await has(1)
    handed[0]?.failed()
    await closed
    expect(acknowledged).not.toHaveBeenCalled()
  })

  it('says to who takes a message that its connection is gone', async () => {
    const { handed, has, connect } = await setUp()
    const client = await connect()
    client.publish('kvfv/KV1/events', 'x', { qos: 1 })
    await has(1)
    client.end(true)
    await vi.waitFor(() => expect(handed[0]?.signal.aborted).toBe(true))
    handed[0]?.failed()
  })

  it('acknowledges in order, messages that are taken side by side', async () => {
    const { handed, has, connect } = await setUp()
    const client = await connect()
    const order: number[] = []
    const sent = [0, 1, 2].map((i) =>
      client.publishAsync('kvfv/KV1/events', 'x', { qos: 1 }).then(() => order.push(i)),
    )
    await has(3)
    for (const one of handed.toReversed()) one.taken()
    await Promise.all(sent)
    expect(order).toEqual([0, 1, 2])
  })

  it('reads no further from a connection with enough messages waiting', async () => {
    const { handed, has, connect, details } = await setUp({ limits: { messagesMax: 2 } })
    const client = await connect()
    // Each is more than one read takes.
    const payload = Buffer.alloc(200_000)
    const sent = Array.from({ length: 12 }, () =>
      client.publishAsync('kvfv/KV1/events', payload, { qos: 1 }),
    )
    await has(2)
    await turn()
    expect(handed.length).toBeLessThanOrEqual(3)
    for (let i = 0; i < 12; i++) {
      await vi.waitFor(() => expect(handed.length).toBeGreaterThan(i))
      handed[i]?.taken()
    }
    await Promise.all(sent)
    await vi.waitFor(() => expect(details()['bytesInFlight']).toBe(0))
  })

  it('closes the connection that would pass the bytes that all may hold', async () => {
    const { handed, has, connect, details } = await setUp({ limits: { heldBytesMax: 300_000 } })
    const first = await connect()
    first.publish('kvfv/KV1/events', Buffer.alloc(200_000), { qos: 1 })
    await has(1)
    const second = await connect()
    const closed = closeOf(second)
    second.publish('kvfv/KV2/events', Buffer.alloc(200_000), { qos: 1 })
    await closed
    expect(first.connected).toBe(true)
    handed[0]?.taken()
    await vi.waitFor(() => expect(details()['bytesInFlight']).toBe(0))
  })

  it('closes a connection at a packet that is too large, or not MQTT', async () => {
    const { connect, handed, port } = await setUp({ limits: { packetBytesMax: 1_000 } })
    const client = await connect()
    const closed = closeOf(client)
    client.publish('kvfv/KV1/events', Buffer.alloc(2_000), { qos: 1 })
    await closed
    expect(handed).toHaveLength(0)
    const socket = connectSocket(port, '127.0.0.1')
    socket.on('error', () => undefined)
    const gone = closeOf(socket)
    socket.write('GET / HTTP/1.1\r\n\r\n')
    await gone
  })

  it('lets a user publish under its own id only', async () => {
    const { connect, handed, has, details } = await setUp({
      users: parseUsers('KV1:one\nKV2:two'),
      takesAtOnce: true,
    })
    for (const login of [
      { username: 'KV1', password: 'two' },
      { username: 'KV3', password: 'two' },
      {},
    ]) {
      await expect(connect(login)).rejects.toThrow(/Not authorized/)
    }
    const own = await connect({ username: 'KV1', password: 'one', clientId: 'KV2' })
    await own.publishAsync('kvfv/KV1/events', 'x', { qos: 1 })
    await has(1)
    for (const topic of ['kvfv/KV2/events', 'kvfv/KV1/status', 'kvfv/KV1/events/x', '$SYS/a']) {
      const other = await connect({ username: 'KV1', password: 'one' })
      const closed = closeOf(other)
      other.publish(topic, 'x', { qos: 1 })
      await closed
    }
    expect(handed).toHaveLength(1)
    expect(details()).toMatchObject({ refused: { logins: 3, topics: 4 } })
  })

  it('gives nobody a subscription, keeps no session, retains nothing, publishes no will', async () => {
    const { connect, handed, has, details } = await setUp({ takesAtOnce: true })
    const will = {
      topic: 'kvfv/KV1/events',
      payload: Buffer.from('will'),
      qos: 1 as const,
      retain: true,
    }
    const camera = await connect({ clientId: 'c', clean: false, will })
    await expect(camera.subscribeAsync('#', { qos: 1 })).rejects.toThrow()
    await camera.publishAsync('kvfv/KV1/events', 'x', { qos: 1, retain: true })
    await has(1)
    camera.stream.destroy()
    const again = await connect({ clientId: 'c', clean: false })
    await vi.waitFor(() => expect(details()).toMatchObject({ connections: 1 }))
    await again.publishAsync('kvfv/KV1/events', 'y', { qos: 1 })
    expect(handed.map(({ message }) => Buffer.from(message.payload).toString())).toEqual(['x', 'y'])
    expect(details()).toMatchObject({ refused: { subscriptions: 1 } })
  })

  it('takes no more connections than its limit, and none that is silent', async () => {
    const { connect, port, details } = await setUp({
      limits: { connectionsMax: 1, connectMsMax: 50 },
    })
    const socket = connectSocket(port, '127.0.0.1')
    socket.on('error', () => undefined)
    const gone = closeOf(socket)
    await once(socket, 'connect')
    await vi.waitFor(() => expect(details()).toMatchObject({ connections: 1 }))
    await expect(connect({ connectTimeout: 1_000 })).rejects.toThrow()
    await gone
    await connect()
    expect(details()).toMatchObject({ refused: { connections: 1 } })
  })

  it('names a port that is busy', async () => {
    const { port } = await setUp()
    const second = createEmbeddedBroker({
      host: '127.0.0.1',
      port,
      users: null,
      tls: null,
      logger: silent,
    })
    brokers.push(second)
    await expect(second.open(() => Promise.resolve())).rejects.toThrow(
      new RegExp(`127.0.0.1:${port}: the port is in use.*--mqtt-port`),
    )
  })
})
