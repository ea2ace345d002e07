/**
 * The event log on Kafka: `EventLog` over one topic that others may write to and read from, too.
 *
 * - Appends go through the idempotent producer (kafka-producer.ts). Kafka has no appends over several partitions:
 *   one that failed may be kept in part.
 * - `ranges` gives first offsets and high watermarks: what is acknowledged counts, also while an open transaction
 *   of another producer hides it from readers.
 * - `identity` asks the cluster each time: a topic that was deleted and made again has another id.
 * - The number of partitions is that of the topic when it was opened. Partitions added later are read (by those
 *   whose reader learns of them), and written to after the next start.
 *
 * Retention is the topic's: unlike the embedded log it forgets what the sinks have not read.
 */
import { listOffsetsV7 } from '@platformatic/kafka'
import { isPotokError, PotokError } from '../../kernel/errors.ts'
import type { EventLog, LogRange, LogReader, Logger } from '../../kernel/ports.ts'
import { createKafkaCluster, type KafkaCluster, type KafkaTopic } from './kafka-cluster.ts'
import type { KafkaConnection } from './kafka-connection.ts'
import { brokerErrorCodes, isRefusal, kafkaFailure } from './kafka-failure.ts'
import { openKafkaLogReader } from './kafka-log-reader.ts'
import { createKafkaProducer, type KafkaProducer } from './kafka-producer.ts'
import { readReceivedAt } from './kafka-received-at.ts'
import { openTopic } from './kafka-topic.ts'
import { sleep } from './sleep.ts'

export type KafkaEventLogOptions = {
  readonly connection: KafkaConnection
  readonly topic: string
  /** Of a topic that is made here. */
  readonly partitionCount: number
  readonly retentionMs: number
  readonly replication: number
  readonly logger: Logger
  readonly readOnly?: boolean
  readonly pendingBytesMax?: number
  /** Less than what the intake waits, so that it hears the reason. */
  readonly deliveryTimeoutMs?: number
  /** How long opening waits for brokers that don't answer yet. */
  readonly openTimeoutMs?: number
  /** After which the others of a reader's group take its partitions, where it is silent. */
  readonly sessionTimeoutMs?: number
}

const mib = 1_024 * 1_024
const isolationUncommitted = 0
const earliest = -2n
const latest = -1n
const replicaNone = -1
const epochUnknown = -1
const rangesTries = 20
const rangesRetryMs = 250
const sessionTimeoutMsDefault = 30_000

export async function createKafkaEventLog(options: KafkaEventLogOptions): Promise<EventLog> {
  const { logger, connection, readOnly = false } = options
  const cluster = createKafkaCluster(connection)
  const wish = { ...options, name: options.topic }
  const opened = await openTopic(cluster, wish, {
    readOnly,
    waitMs: options.openTimeoutMs ?? 15_000,
    logger,
  }).catch(async (error: unknown) => {
    await cluster.close()
    throw error
  })
  const producer: KafkaProducer | null = readOnly
    ? null
    : createKafkaProducer({
        cluster,
        topic: opened.topic,
        batchBytesMax: opened.batchBytesMax,
        pendingBytesMax: options.pendingBytesMax ?? 64 * mib,
        deliveryTimeoutMs: options.deliveryTimeoutMs ?? 9_000,
        requestTimeoutMs: connection.requestTimeoutMs,
        logger,
      })
  const readers = new Set<LogReader>()
  let closing: Promise<void> | null = null

  async function describe(): Promise<KafkaTopic> {
    const topic = await cluster.describeTopic(options.topic)
    if (topic === null) throw new PotokError('NotFound', `topic ${options.topic} has gone`)
    return topic
  }

  async function readAllRanges(): Promise<LogRange[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await readRanges(cluster, await describe())
      } catch (error) {
        const passes = isPotokError(error) && error.retryable && !isRefusal(error)
        if (!passes || tries >= rangesTries || closing !== null) throw error
      }
      await sleep(rangesRetryMs)
    }
  }

  return {
    async identity() {
      const { clusterId, name, topicId } = await describe()
      return { clusterId, topic: name, topicId: shownTopicId(topicId) }
    },
    partitionCount: opened.topic.partitions.length,
    async append(records) {
      if (producer === null) throw new PotokError('InvalidInput', 'the log is open for reading')
      await producer.append(records)
    },
    ranges: readAllRanges,
    receivedAt: async (logPartition, offset) =>
      readReceivedAt(cluster, await describe(), logPartition, offset),
    async openReader({ group }) {
      if (closing !== null) throw new PotokError('ShuttingDown', 'the event log is closed')
      const reader = await openKafkaLogReader({
        connection,
        cluster,
        topic: options.topic,
        topicId: (await describe()).topicId,
        group,
        sessionTimeoutMs: options.sessionTimeoutMs ?? sessionTimeoutMsDefault,
        ranges: readAllRanges,
        logger,
      })
      const close = async (): Promise<void> => {
        readers.delete(own)
        await reader.close()
      }
      const own: LogReader = { ...reader, close }
      readers.add(own)
      if (closing !== null) await own.close()
      return own
    },
    async close() {
      closing ??= (async () => {
        await Promise.all([producer?.close(), ...[...readers].map((reader) => reader.close())])
        await cluster.close()
      })()
      await closing
    },
  }
}

/** As Kafka's own tools show it. */
function shownTopicId(topicId: string): string {
  return Buffer.from(topicId.replaceAll('-', ''), 'hex').toString('base64url')
}

async function readRanges(cluster: KafkaCluster, topic: KafkaTopic): Promise<LogRange[]> {
  // One after the other: what is appended in between makes a range longer, never its start later than its end.
  const starts = await listOffsets(cluster, topic, earliest)
  const ends = await listOffsets(cluster, topic, latest)
  return topic.partitions.map(({ index }) => ({
    logPartition: index,
    startOffset: starts.get(index) as number,
    endOffset: ends.get(index) as number,
  }))
}

async function listOffsets(
  cluster: KafkaCluster,
  topic: KafkaTopic,
  timestamp: bigint,
): Promise<Map<number, number>> {
  const byLeader = Map.groupBy(topic.partitions, ({ leader }) => leader)
  const offsets = new Map<number, number>()
  await Promise.all(
    [...byLeader].map(async ([leader, partitions]) => {
      const asked = partitions.map(({ index }) => ({
        partitionIndex: index,
        currentLeaderEpoch: epochUnknown,
        timestamp,
      }))
      try {
        const { topics } = await cluster.request(leader, listOffsetsV7.api, [
          replicaNone,
          isolationUncommitted,
          [{ name: topic.name, partitions: asked }],
        ])
        for (const { partitionIndex, offset } of topics[0]?.partitions ?? []) {
          offsets.set(partitionIndex, Number(offset))
        }
      } catch (error) {
        throw kafkaFailure(
          error,
          `can't ask for offsets of topic ${topic.name} (${brokerErrorCodes(error).join(', ')})`,
        )
      }
    }),
  )
  const missing = topic.partitions.find(({ index }) => !offsets.has(index))
  if (missing !== undefined) {
    throw new PotokError(
      'Unavailable',
      `Kafka names no offsets of partition ${missing.index} of topic ${topic.name}`,
    )
  }
  return offsets
}
