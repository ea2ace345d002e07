/**
 * Producing to a real Kafka: potok's producer, @platformatic/kafka's and kafkajs', each in a process of its own,
 * idempotent and with acks=all, the same events in requests of the same size, one after the other on one broker.
 *
 *   npm run bench -- kafka-produce [--count N] [--rounds N]
 *
 * Prints events/s, CPU seconds per million of the client and of the broker. docs/adr/0018-kafka-client.md quotes it.
 */
import { parseArgs } from 'node:util'
import { ProduceAcks, Producer, stringSerializers } from '@platformatic/kafka'
import kafkajs from 'kafkajs'
import { logPartitionOf } from '../kernel/partitioner.ts'
import type { LogRecord } from '../kernel/ports.ts'
import { openKafkaLog } from '../testkit/kafka-log.ts'
import { startKafka } from '../testkit/servers/kafka.ts'
import { type BenchEvent, benchEvent, runInProcess } from './lib-kafka-clients.ts'
import { createTopic } from './lib-kafka-sinks.ts'
import { machine, usageOf } from './lib-machine.ts'

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '500000' },
    rounds: { type: 'string', default: '2' },
    one: { type: 'string' },
    brokers: { type: 'string', default: '' },
    topic: { type: 'string', default: '' },
  },
})
const count = Number(values.count)
const partitionCount = 8
/** Events of one request, as of a body of NDJSON; so many are under way at a time. */
const perRequest = 5_000
const requestsAtOnce = 8

type Send = (events: readonly BenchEvent[]) => Promise<void>
type Client = { readonly send: Send; readonly close: () => Promise<void>; readonly atOnce: number }

async function openPotok(): Promise<Client> {
  const log = await openKafkaLog(values.brokers, values.topic, { partitionCount })
  return {
    atOnce: requestsAtOnce,
    send: async (events) => {
      const receivedAtUs = Date.now() * 1_000
      await log.append(
        events.map(({ camera, value }): LogRecord => {
          const key = Buffer.from(camera)
          return {
            logPartition: logPartitionOf(key, partitionCount),
            kind: 0,
            receivedAtUs,
            key,
            eventId: null,
            value: Buffer.from(value),
          }
        }),
      )
    },
    close: () => log.close(),
  }
}

/** One request at a time: with more, it fails with OUT_OF_ORDER_SEQUENCE_NUMBER. So they are made larger. */
async function openPlatformatic(compression: 'lz4' | 'zstd'): Promise<Client> {
  const producer = new Producer({
    clientId: 'bench',
    bootstrapBrokers: values.brokers.split(','),
    idempotent: true,
    acks: ProduceAcks.ALL,
    compression,
    serializers: stringSerializers,
  })
  return {
    atOnce: 1,
    send: async (events) => {
      await producer.send({
        messages: events.map(({ camera, value }) => ({ topic: values.topic, key: camera, value })),
      })
    },
    close: async () => {
      await producer.close()
    },
  }
}

async function openKafkajs(withGzip: boolean): Promise<Client> {
  const client = new kafkajs.Kafka({
    clientId: 'bench',
    brokers: values.brokers.split(','),
    logLevel: kafkajs.logLevel.NOTHING,
  })
  const producer = client.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  return {
    atOnce: 1,
    send: async (events) => {
      await producer.send({
        topic: values.topic,
        acks: -1,
        compression: withGzip ? kafkajs.CompressionTypes.GZIP : kafkajs.CompressionTypes.None,
        messages: events.map(({ camera, value }) => ({ key: camera, value })),
      })
    },
    close: () => producer.disconnect(),
  }
}

const clients: Readonly<Record<string, () => Promise<Client>>> = {
  potok: openPotok,
  'platformatic, lz4': () => openPlatformatic('lz4'),
  'platformatic, zstd': () => openPlatformatic('zstd'),
  'kafkajs, gzip': () => openKafkajs(true),
  kafkajs: () => openKafkajs(false),
}

/** In a process of its own: prints one line of JSON. */
async function runOne(name: string): Promise<void> {
  const client = await (clients[name] as () => Promise<Client>)()
  const events = Array.from({ length: count }, (_, i) => benchEvent(i))
  const requestEvents = client.atOnce === 1 ? perRequest * requestsAtOnce : perRequest
  await client.send(events.slice(0, 1_000))
  const began = performance.now()
  const cpu = process.cpuUsage()
  let next = 0
  const sendAll = async (): Promise<void> => {
    while (next < events.length) {
      const from = next
      next += requestEvents
      await client.send(events.slice(from, from + requestEvents))
    }
  }
  await Promise.all(Array.from({ length: client.atOnce }, sendAll))
  const seconds = (performance.now() - began) / 1_000
  const used = process.cpuUsage(cpu)
  console.log(JSON.stringify({ seconds, cpuSeconds: (used.user + used.system) / 1e6 }))
  await client.close()
  process.exit(0)
}

async function compare(): Promise<void> {
  const kafka = await startKafka()
  console.log(`${machine()}; ${count} events of about 180 bytes, ${partitionCount} partitions`)
  console.log('client                 events/s  client CPU s/M  broker CPU s/M')
  try {
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [i, name] of Object.keys(clients).entries()) {
        const topic = `bench-${round}-${i}`
        await createTopic(kafka, topic, partitionCount, ['max.message.bytes=10000000'])
        const before = usageOf(kafka.pid()).cpuSeconds
        const { brokers } = kafka
        const one = await runInProcess<{ seconds: number; cpuSeconds: number }>(
          import.meta.filename,
          { name, topic, brokers, count },
        )
        const broker = usageOf(kafka.pid()).cpuSeconds - before
        const perMillion = (seconds: number): string => ((seconds / count) * 1e6).toFixed(2)
        console.log(
          `${name.padEnd(20)} ${Math.round(count / one.seconds)
            .toString()
            .padStart(
              10,
            )} ${perMillion(one.cpuSeconds).padStart(15)} ${perMillion(broker).padStart(15)}`,
        )
      }
    }
  } finally {
    await kafka.stop()
  }
}

if (values.one === undefined) await compare()
else await runOne(values.one)
