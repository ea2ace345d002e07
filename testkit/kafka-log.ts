/** What suites over a real Kafka share: a log on a topic of its own, records with keys, a judge that reads. */
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import kafkajs from 'kafkajs'
import { type KafkaConnection, parseBrokers } from '../adapters/event-log/kafka-connection.ts'
import {
  createKafkaEventLog,
  type KafkaEventLogOptions,
} from '../adapters/event-log/kafka-event-log.ts'
import { logPartitionOf } from '../kernel/partitioner.ts'
import type { EventLog, Logger, LogRecord } from '../kernel/ports.ts'

const { CompressionCodecs, CompressionTypes, Kafka: KafkaJs, logLevel } = kafkajs
const decompressZstd = promisify(zstdDecompress)
// kafkajs brings gzip alone.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async () => {
    throw new Error('the judge only reads')
  },
  decompress: (bytes: Buffer) => decompressZstd(bytes),
})

export function kafkaConnection(
  brokers: string,
  more: Partial<KafkaConnection> = {},
): KafkaConnection {
  return {
    brokers: parseBrokers(brokers),
    clientId: 'potok-tests',
    tls: null,
    sasl: null,
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 10_000,
    ...more,
  }
}

export function newTopic(): string {
  return `test-${randomUUID()}`
}

export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** Three partitions, an hour of retention, where `more` says nothing else. */
export function openKafkaLog(
  brokers: string,
  topic: string,
  more: Partial<KafkaEventLogOptions> = {},
): Promise<EventLog> {
  return createKafkaEventLog({
    connection: kafkaConnection(brokers),
    topic,
    partitionCount: 3,
    retentionMs: 3_600_000,
    replication: 0,
    logger: silent,
    ...more,
  })
}

/** Closes it whatever becomes of its use. */
export async function withKafkaLog(
  brokers: string,
  topic: string,
  use: (log: EventLog) => Promise<void>,
  more: Partial<KafkaEventLogOptions> = {},
): Promise<void> {
  const log = await openKafkaLog(brokers, topic, more)
  try {
    await use(log)
  } finally {
    await log.close()
  }
}

/** A record of a camera, in the camera's partition. */
export function cameraRecord(camera: string, text: string, partitionCount: number): LogRecord {
  const key = Buffer.from(camera)
  return {
    logPartition: logPartitionOf(key, partitionCount),
    kind: 0,
    receivedAtUs: 1_700_000_000_000_000,
    key,
    eventId: null,
    value: Buffer.from(text),
  }
}

/** The client of somebody else. */
export function foreignClient(brokers: string): kafkajs.Kafka {
  return new KafkaJs({
    clientId: 'foreign',
    brokers: brokers.split(','),
    logLevel: logLevel.NOTHING,
    retry: { retries: 20, initialRetryTime: 200, maxRetryTime: 2_000 },
  })
}

export type SeenRecord = {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string
  readonly headers: Readonly<Record<string, string>>
  readonly timestampMs: number
}

/** Everything that is in the topic now, read by kafkajs. */
export async function readTopic(brokers: string, topic: string): Promise<SeenRecord[]> {
  const client = foreignClient(brokers)
  const admin = client.admin()
  await admin.connect()
  const offsets = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const left = new Map(
    offsets
      .filter(({ high, low }) => Number(high) > Number(low))
      .map(({ partition, high }) => [partition, Number(high)]),
  )
  const seen: SeenRecord[] = []
  if (left.size === 0) return seen
  const consumer = client.consumer({ groupId: `judge-${randomUUID()}`, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    consumer
      .run({
        eachBatch: async ({ batch }) => {
          for (const message of batch.messages) {
            const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [
              name,
              String(value),
            ])
            seen.push({
              partition: batch.partition,
              offset: Number(message.offset),
              key: message.key === null ? null : message.key.toString(),
              value: message.value?.toString() ?? '',
              headers: Object.fromEntries(headers) as Record<string, string>,
              timestampMs: Number(message.timestamp),
            })
          }
          if (Number(batch.lastOffset()) + 1 >= (left.get(batch.partition) ?? 0)) {
            left.delete(batch.partition)
          }
          if (left.size === 0) resolve()
        },
      })
      .catch(reject)
  })
  await consumer.disconnect()
  return seen.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}
