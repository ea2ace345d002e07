/**
 * Reading from a real Kafka: potok's reader, @platformatic/kafka's (its stream and its bare fetch) and kafkajs', each
 * in a process of its own, the same topic as potok's producer writes it, values counted and their bytes summed up.
 *
 *   npm run bench -- kafka-consume [--count N] [--rounds N]
 *
 * Prints records/s, CPU seconds per million and peak memory. docs/adr/0018-kafka-client.md quotes it.
 */
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Consumer, FetchIsolationLevels, MessagesStreamModes } from '@platformatic/kafka'
import type { EventLog } from '../kernel/ports.ts'
import { cameraRecord, foreignClient, openKafkaLog } from '../testkit/kafka-log.ts'
import { startKafka } from '../testkit/servers/kafka.ts'
import { benchEvent, runInProcess } from './lib-kafka-clients.ts'
import { machine, usageOf } from './lib-machine.ts'

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '2' },
    one: { type: 'string' },
    brokers: { type: 'string', default: '' },
    topic: { type: 'string', default: '' },
  },
})
const count = Number(values.count)
const partitionCount = 8
const perAppend = 5_000
const fetchBytesMax = 4 * 1_024 * 1_024

/** Reads all of the topic: records and bytes of their values. */
type Client = () => Promise<{ records: number; bytes: number }>

function openLog(brokers: string, topic: string): Promise<EventLog> {
  return openKafkaLog(brokers, topic, { partitionCount })
}

async function fill(brokers: string, topic: string): Promise<void> {
  const log = await openLog(brokers, topic)
  for (let next = 0; next < count; next += perAppend) {
    const records = Array.from({ length: Math.min(perAppend, count - next) }, (_, j) => {
      const { camera, value } = benchEvent(next + j)
      return cameraRecord(camera, value, partitionCount)
    })
    await log.append(records)
  }
  await log.close()
}

async function readWithPotok(): Promise<{ records: number; bytes: number }> {
  const log = await openLog(values.brokers, values.topic)
  const reader = await log.openReader({ group: randomUUID() })
  for (const { logPartition } of await log.ranges()) await reader.seek(logPartition, 0)
  const { signal } = new AbortController()
  let records = 0
  let bytes = 0
  while (records < count) {
    for (const block of await reader.poll({ maxWaitMs: 250, maxBytes: fetchBytesMax, signal })) {
      records += block.count
      bytes += block.values.length
    }
  }
  return { records, bytes }
}

function openPlatformatic(): Consumer {
  return new Consumer({
    clientId: 'bench',
    groupId: randomUUID(),
    bootstrapBrokers: values.brokers.split(','),
    isolationLevel: FetchIsolationLevels.READ_COMMITTED,
    maxBytes: fetchBytesMax,
    maxWaitTime: 250,
  })
}

async function readWithStream(): Promise<{ records: number; bytes: number }> {
  const stream = await openPlatformatic().consume({
    topics: [values.topic],
    mode: MessagesStreamModes.EARLIEST,
    autocommit: false,
  })
  let records = 0
  let bytes = 0
  for await (const { value } of stream) {
    records++
    bytes += value?.length ?? 0
    if (records === count) break
  }
  return { records, bytes }
}

/** As somebody would who keeps positions himself: one request after the other for all partitions. */
async function readWithFetch(): Promise<{ records: number; bytes: number }> {
  const consumer = openPlatformatic()
  const metadata = await consumer.metadata({ topics: [values.topic] })
  const topic = metadata.topics.get(values.topic)
  const offsets = Array.from({ length: partitionCount }, () => 0n)
  let records = 0
  let bytes = 0
  while (records < count) {
    const answer = await consumer.fetch({
      node: topic?.partitions[0]?.leader ?? 0,
      maxBytes: 4 * fetchBytesMax,
      maxWaitTime: 250,
      topics: [
        {
          topicId: topic?.id ?? '',
          partitions: offsets.map((fetchOffset, partition) => ({
            partition,
            currentLeaderEpoch: -1,
            fetchOffset,
            lastFetchedEpoch: -1,
            partitionMaxBytes: fetchBytesMax,
          })),
        },
      ],
    })
    for (const { partitionIndex, records: batches } of answer.responses[0]?.partitions ?? []) {
      for (const batch of batches ?? []) {
        for (const record of batch.records) {
          if (batch.firstOffset + BigInt(record.offsetDelta) < (offsets[partitionIndex] ?? 0n))
            continue
          records++
          bytes += record.value?.length ?? 0
        }
        offsets[partitionIndex] = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
      }
    }
  }
  return { records, bytes }
}

async function readWithKafkajs(): Promise<{ records: number; bytes: number }> {
  const consumer = foreignClient(values.brokers).consumer({
    groupId: randomUUID(),
    maxBytesPerPartition: fetchBytesMax,
    maxWaitTimeInMs: 250,
  })
  await consumer.connect()
  await consumer.subscribe({ topic: values.topic, fromBeginning: true })
  let records = 0
  let bytes = 0
  await new Promise<void>((resolve, reject) => {
    consumer
      .run({
        autoCommit: false,
        partitionsConsumedConcurrently: 1,
        eachBatch: async ({ batch }) => {
          for (const { value } of batch.messages) {
            records++
            bytes += value?.length ?? 0
          }
          if (records >= count) resolve()
        },
      })
      .catch(reject)
  })
  return { records, bytes }
}

const clients: Readonly<Record<string, Client>> = {
  potok: readWithPotok,
  'platformatic, fetch': readWithFetch,
  'platformatic, stream': readWithStream,
  kafkajs: readWithKafkajs,
}

type Result = { seconds: number; cpuSeconds: number; peakMib: number; bytes: number }

/** In a process of its own, joining the group included; prints one line of JSON. */
async function runOne(name: string): Promise<never> {
  const began = performance.now()
  const cpu = process.cpuUsage()
  const { records, bytes } = await (clients[name] as Client)()
  if (records !== count) throw new Error(`${name} read ${records} records`)
  const used = process.cpuUsage(cpu)
  const result: Result = {
    seconds: (performance.now() - began) / 1_000,
    cpuSeconds: (used.user + used.system) / 1e6,
    peakMib: usageOf(process.pid).rssPeakMib,
    bytes,
  }
  console.log(JSON.stringify(result))
  process.exit(0)
}

async function compare(): Promise<void> {
  const kafka = await startKafka()
  try {
    await fill(kafka.brokers, 'bench')
    console.log(`${machine()}; ${count} events of about 180 bytes, ${partitionCount} partitions`)
    console.log('client                 records/s   CPU s/M   peak MiB')
    const sums = new Set<number>()
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const name of Object.keys(clients)) {
        const one = await runInProcess<Result>(import.meta.filename, {
          name,
          topic: 'bench',
          brokers: kafka.brokers,
          count,
        })
        sums.add(one.bytes)
        const rate = Math.round(count / one.seconds).toString()
        const cpu = ((one.cpuSeconds / count) * 1e6).toFixed(2)
        console.log(
          `${name.padEnd(20)} ${rate.padStart(11)} ${cpu.padStart(9)} ${String(one.peakMib).padStart(10)}`,
        )
      }
    }
    if (sums.size !== 1) throw new Error('the clients read different bytes')
  } finally {
    await kafka.stop()
  }
}

if (values.one === undefined) await compare()
else await runOne(values.one)
