/**
 * Appending to a real Kafka, judged by kafkajs and by Kafka's own Java programs: what is in the topic, where, and
 * how often, also when Kafka is killed, answers get lost or a limit is met.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isPotokError, PotokError } from '../../kernel/errors.ts'
import { logPartitionOf } from '../../kernel/partitioner.ts'
import type { EventLog, Logger } from '../../kernel/ports.ts'
import {
  cameraRecord,
  foreignClient,
  kafkaConnection,
  newTopic,
  openKafkaLog,
  readTopic,
  silent,
  withKafkaLog,
} from '../../testkit/kafka-log.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'
import { freePort } from '../../testkit/servers/server-process.ts'

const topicCommand = 'org.apache.kafka.tools.TopicCommand'
const configCommand = 'kafka.admin.ConfigCommand'
const hourMs = 3_600_000

let kafka: Kafka
let proxy: Proxy

beforeAll(async () => {
  proxy = await startProxy()
  kafka = await startKafka({ proxyPorts: [proxy.port] })
  proxy.connectTo(Number(kafka.brokersOf('proxied').split(':')[1]))
})
afterAll(async () => {
  await kafka?.stop()
  proxy?.stop()
})

type OpenOptions = Parameters<typeof openKafkaLog>[2]

function open(topic: string, more: OpenOptions = {}): Promise<EventLog> {
  return openKafkaLog(kafka.brokers, topic, { retentionMs: 7 * 24 * hourMs, ...more })
}

function withLog(
  topic: string,
  use: (log: EventLog) => Promise<void>,
  more: OpenOptions = {},
): Promise<void> {
  return withKafkaLog(kafka.brokers, topic, use, { retentionMs: 7 * 24 * hourMs, ...more })
}

describe('the topic', () => {
  it('is made once, with its partitions, retention and the log’s own time, by whoever comes first', async () => {
    const topic = newTopic()
    const logs = await Promise.all(Array.from({ length: 4 }, () => open(topic)))
    const identities = await Promise.all(logs.map((log) => log.identity()))
    expect(new Set(identities.map((identity) => JSON.stringify(identity))).size).toBe(1)
    expect(logs.map((log) => log.partitionCount)).toEqual([3, 3, 3, 3])
    await Promise.all(logs.map((log) => log.close()))
    const described = await kafka.tool(topicCommand, [
      '--bootstrap-server',
      kafka.brokers,
      '--describe',
      '--topic',
      topic,
    ])
    expect(described).toContain(`TopicId: ${identities[0]?.topicId}`)
    expect(described).toContain('PartitionCount: 3')
    for (const setting of [
      'retention.ms=604800000',
      'message.timestamp.type=LogAppendTime',
      'cleanup.policy=delete',
    ]) {
      expect(described).toContain(setting)
    }
  })

  it('is not made by who only reads', async () => {
    await expect(open(newTopic(), { readOnly: true })).rejects.toMatchObject({ kind: 'NotFound' })
  })

  it('that is there keeps its partitions; dangers are told, and one that forgets by key is refused', async () => {
    const topics = [newTopic(), newTopic()] as const
    const admin = foreignClient(kafka.brokers).admin()
    await admin.connect()
    await admin.createTopics({
      topics: [
        {
          topic: topics[0],
          numPartitions: 5,
          configEntries: [{ name: 'retention.ms', value: String(hourMs) }],
        },
        {
          topic: topics[1],
          configEntries: [{ name: 'cleanup.policy', value: 'compact,delete' }],
        },
      ],
    })
    await admin.disconnect()
    const warnings: string[] = []
    const logger: Logger = { ...silent, warn: (_fields, message) => warnings.push(message) }
    await withLog(topics[0], async (log) => expect(log.partitionCount).toBe(5), { logger })
    expect(warnings.join('\n')).toMatch(/another number of partitions/)
    expect(warnings.join('\n')).toMatch(/retention\.ms=3600000 is less/)
    expect(warnings.join('\n')).toMatch(/message\.timestamp\.type=CreateTime/)
    await expect(open(topics[1])).rejects.toMatchObject({
      kind: 'Unsupported',
      message: expect.stringContaining('cleanup.policy=compact,delete'),
    })
  })

  it('made anew has another identity', async () => {
    const topic = newTopic()
    await withLog(topic, async (log) => {
      const before = await log.identity()
      await log.append([cameraRecord('KV1', 'before', 3)])
      const admin = foreignClient(kafka.brokers).admin()
      await admin.connect()
      await admin.deleteTopics({ topics: [topic] })
      await expect
        .poll(() => log.identity().catch((error: unknown) => error))
        .toMatchObject({
          kind: 'NotFound',
        })
      await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] })
      await admin.disconnect()
      await expect
        .poll(async () => (await log.identity()).topicId, { timeout: 20_000 })
        .not.toBe(before.topicId)
      const after = await log.identity()
      expect({ ...after, topicId: '' }).toEqual({ ...before, topicId: '' })
      await log.append([cameraRecord('KV1', 'after', 3)])
      expect((await readTopic(kafka.brokers, topic)).map(({ value }) => value)).toEqual(['after'])
    })
  })
})

describe('an append', () => {
  it('gives records their camera as key, their headers, and the time of the log', async () => {
    const topic = newTopic()
    const beganMs = Date.now()
    await withLog(topic, async (log) => {
      await log.append([
        {
          ...cameraRecord('камера-1', 'a', 3),
          eventId: Uint8Array.from(Buffer.from('0123456789abcdef')),
        },
        { ...cameraRecord('камера-1', 'b', 3), kind: 1 },
        { ...cameraRecord('x', 'c', 3), key: null },
      ])
    })
    const seen = await readTopic(kafka.brokers, topic)
    const received = { 'potok.received_at_us': '1700000000000000' }
    expect(seen.map(({ key, value, headers }) => ({ key, value, headers }))).toEqual(
      expect.arrayContaining([
        {
          key: 'камера-1',
          value: 'a',
          headers: { ...received, 'potok.event_id': '0123456789abcdef' },
        },
        { key: 'камера-1', value: 'b', headers: { ...received, 'potok.kind': '1' } },
        { key: null, value: 'c', headers: received },
      ]),
    )
    for (const { timestampMs } of seen) expect(timestampMs).toBeGreaterThanOrEqual(beganMs - 1_000)
  })

  it('puts a camera where Java’s producer and kafkajs put it', async () => {
    const topic = newTopic()
    const cameras = Array.from({ length: 120 }, (_, i) =>
      i % 3 === 0
        ? `камера ${'ж'.repeat(i % 40)}${i}`
        : i % 3 === 1
          ? `${i}`
          : `KV-${i}-é€😀`.slice(0, i % 17 === 0 ? 4 : 99),
    )
    await withLog(
      topic,
      async (log) => {
        await log.append(cameras.map((camera) => cameraRecord(camera, 'potok', 7)))
        const producer = foreignClient(kafka.brokers).producer()
        await producer.connect()
        await producer.send({ topic, messages: cameras.map((key) => ({ key, value: 'kafkajs' })) })
        await producer.disconnect()
        const printed = await kafka.tool(
          join(import.meta.dirname, 'java-kafka', 'KeyedProducer.java'),
          [
            kafka.brokers,
            topic,
            'zstd',
            ...cameras.map((camera) => Buffer.from(camera).toString('base64')),
          ],
        )
        expect(printed.trim().split('\n').map(Number)).toEqual(
          cameras.map((camera) => logPartitionOf(Buffer.from(camera), 7)),
        )
      },
      { partitionCount: 7 },
    )
    const seen = await readTopic(kafka.brokers, topic)
    expect(seen).toHaveLength(3 * cameras.length)
    const places = Map.groupBy(seen, ({ key }) => key)
    for (const [key, records] of places) {
      expect(new Set(records.map(({ partition }) => partition)).size, String(key)).toBe(1)
    }
  })

  it('is read by Kafka’s own consumer as well, large and small, compressed and not', async () => {
    const topic = newTopic()
    const long = 'длинный'.repeat(5_000)
    await withLog(topic, async (log) => {
      await log.append([cameraRecord('a', 'small', 3)])
      await log.append(Array.from({ length: 20_000 }, (_, i) => cameraRecord('a', `n ${i}`, 3)))
      await log.append([cameraRecord('a', long, 3)])
    })
    const printed = await kafka.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
      '--bootstrap-server',
      kafka.brokers,
      '--topic',
      topic,
      '--from-beginning',
      '--max-messages',
      '20002',
      '--timeout-ms',
      '60000',
    ])
    const lines = printed.trimEnd().split('\n')
    expect(lines.at(-1)?.length).toBe(long.length)
    expect(lines).toEqual(['small', ...Array.from({ length: 20_000 }, (_, i) => `n ${i}`), long])
  })

  it('of a record that the topic never takes is refused before anything is kept, and fails nobody else', async () => {
    const topic = newTopic()
    await withLog(topic, async (log) => {
      const huge = cameraRecord('a', 'x'.repeat(1_100_000), 3)
      const [refused] = await Promise.allSettled([
        log.append([cameraRecord('b', 'with it', 3), huge]),
        log.append([cameraRecord('a', 'other', 3)]),
      ])
      expect(refused).toMatchObject({
        reason: { kind: 'TooLarge', message: expect.stringContaining('max.message.bytes') },
      })
      // Lowered while the log is open: batches shrink to it.
      await kafka.tool(configCommand, [
        '--bootstrap-server',
        kafka.brokers,
        '--alter',
        '--entity-type',
        'topics',
        '--entity-name',
        topic,
        '--add-config',
        'max.message.bytes=2000',
      ])
      const noise = (i: number): string =>
        Array.from({ length: 20 }, (_, j) => Math.sin(i * 20 + j).toString(36)).join('')
      await log.append(Array.from({ length: 200 }, (_, i) => cameraRecord('a', noise(i), 3)))
      const tooLong = cameraRecord('a', Array.from({ length: 40 }, (_, i) => noise(i)).join(''), 3)
      await expect(log.append([tooLong])).rejects.toThrow('max.message.bytes')
      await expect(log.append([tooLong])).rejects.toMatchObject({ kind: 'TooLarge' })
      const seen = await readTopic(kafka.brokers, topic)
      expect(seen.map(({ value }) => value)).toEqual([
        'other',
        ...Array.from({ length: 200 }, (_, i) => noise(i)),
      ])
    })
  })

  it('is refused where too much waits, and nothing of it was kept', async () => {
    const topic = newTopic()
    await withLog(
      topic,
      async (log) => {
        const records = Array.from({ length: 100 }, (_, i) => cameraRecord('a', `first ${i}`, 3))
        const first = log.append(records)
        const second = Promise.allSettled([
          log.append(Array.from({ length: 100 }, () => cameraRecord('a', 'second', 3))),
        ])
        expect(await second).toMatchObject([{ reason: { kind: 'Overloaded' } }])
        await first
        await log.append([cameraRecord('a', 'third', 3)])
        const values = (await readTopic(kafka.brokers, topic)).map(({ value }) => value)
        expect(values.filter((value) => value === 'second')).toEqual([])
        expect(values.at(-1)).toBe('third')
      },
      { pendingBytesMax: 20_000 },
    )
  })

  it('whose answer is lost is sent again and kept once', async () => {
    const topic = newTopic()
    await withLog(
      topic,
      async (log) => {
        await log.append([cameraRecord('a', '0', 3)])
        for (let i = 1; i <= 5; i++) {
          proxy.loseNextAnswer()
          await log.append([cameraRecord('a', `${i}`, 3)])
        }
        expect(proxy.lost()).toBe(5)
        const seen = await readTopic(kafka.brokers, topic)
        expect(seen.map(({ value }) => value)).toEqual(['0', '1', '2', '3', '4', '5'])
      },
      { connection: kafkaConnection(`127.0.0.1:${proxy.port}`) },
    )
  })

  it('through a kill of Kafka is kept once where it was acknowledged, and in order', async () => {
    const topic = newTopic()
    const acknowledged = new Set<string>()
    let unknown = 0
    await withLog(topic, async (log) => {
      const stop = new AbortController()
      const send = async (sender: number): Promise<void> => {
        for (let i = 0; !stop.signal.aborted; i++) {
          const cameras = Array.from({ length: 20 }, (_, n) => `cam ${n}`)
          const texts = cameras.map((_, n) => `${sender}:${i}:${n}`)
          try {
            await log.append(
              cameras.map((camera, n) => cameraRecord(camera, texts[n] as string, 3)),
            )
            for (const text of texts) acknowledged.add(text)
          } catch (error) {
            if (!isPotokError(error, 'Unavailable')) throw error
            unknown++
          }
        }
      }
      const senders = [0, 1, 2].map(send)
      for (let kills = 0; kills < 2; kills++) {
        await new Promise((resolve) => setTimeout(resolve, 1_500))
        await kafka.restart()
      }
      const before = acknowledged.size
      await expect.poll(() => acknowledged.size, { timeout: 60_000 }).toBeGreaterThan(before)
      stop.abort()
      await Promise.all(senders)
    })
    const seen = await readTopic(kafka.brokers, topic)
    const counts = Map.groupBy(seen, ({ value }) => value)
    const missing = [...acknowledged].filter((text) => !counts.has(text))
    const twice = [...counts].filter(([, records]) => records.length > 1).map(([text]) => text)
    expect({ missing, twice }, `${acknowledged.size} acknowledged, ${unknown} unknown`).toEqual({
      missing: [],
      twice: [],
    })
    // Each sender waits for its append: within a partition its numbers rise.
    const last = new Map<string, number>()
    for (const { value, partition } of seen) {
      const [sender, i, n] = value.split(':')
      const key = `${partition}/${sender}/${n}`
      expect(Number(i)).toBeGreaterThan(last.get(key) ?? -1)
      last.set(key, Number(i))
    }
  })

  it('ends with an error while Kafka is away, and works again when it is back', async () => {
    const topic = newTopic()
    await withLog(
      topic,
      async (log) => {
        await log.append([cameraRecord('a', 'before', 3)])
        await kafka.kill()
        const failure = await log
          .append([cameraRecord('a', 'away', 3)])
          .catch((error: unknown) => error)
        expect(failure).toBeInstanceOf(PotokError)
        expect(failure).toMatchObject({ kind: 'Unavailable' })
        await kafka.restart()
        await expect
          .poll(() => log.append([cameraRecord('a', 'after', 3)]).then(() => 'kept', String), {
            timeout: 60_000,
          })
          .toBe('kept')
        const values = (await readTopic(kafka.brokers, topic)).map(({ value }) => value)
        expect(values[0]).toBe('before')
        expect(values.at(-1)).toBe('after')
      },
      { deliveryTimeoutMs: 2_000 },
    )
  })
})

type Proxy = {
  readonly port: number
  connectTo(port: number): void
  /** Takes the next request through, and cuts the connection instead of giving the answer back. */
  loseNextAnswer(): void
  lost(): number
  stop(): void
}

async function startProxy(): Promise<Proxy> {
  const port = await freePort()
  let target = 0
  let losing = false
  let lost = 0
  const sockets = new Set<Socket>()
  const server: Server = createServer((client) => {
    const broker = connect(target, '127.0.0.1')
    for (const socket of [client, broker]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        broker.destroy()
      })
    }
    // The API key of a request stands behind its length: 0 is Produce.
    let isProduce = false
    client.on('data', (bytes) => {
      if (bytes.length >= 6) isProduce = bytes.readInt16BE(4) === 0
      broker.write(bytes)
    })
    broker.on('data', (bytes) => {
      if (losing && isProduce) {
        losing = false
        lost++
        client.destroy()
      } else client.write(bytes)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    port,
    connectTo(to) {
      target = to
    },
    loseNextAnswer() {
      losing = true
    },
    lost: () => lost,
    stop() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
