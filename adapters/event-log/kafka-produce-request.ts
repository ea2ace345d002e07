/** The requests of the producer: a producer id, and Produce with one batch a partition; and compression. */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdCompressSync } from 'node:zlib'
import { createAPI, initProducerIdV4, produceV9, Writer } from '@platformatic/kafka'
import type { KafkaCluster } from './kafka-cluster.ts'
import { type Compression, encodeBatch, sharedBufferBytes } from './kafka-encode-batch.ts'
import { answerIn, kafkaFailure } from './kafka-failure.ts'
import type { Batch, PartitionQueue, ProducerSession } from './kafka-produce-queue.ts'

/** All replicas in sync. */
const acksAll = -1
/** Below it a batch is smaller uncompressed, or by so little that it isn't worth the time. */
const compressedFromBytes = 512
/** Level 1: of zstd's the fastest, and as fast as lz4 at a third to half of its size (bench/kafka-produce.ts). */
const zstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }
const zstdCompressAsync = promisify(zstdCompress)

/** Small ones at once, since others may use their buffer next; large ones off this thread. */
export async function compressRecords(
  bytes: Uint8Array,
): Promise<{ readonly body: Uint8Array; readonly algorithm: Compression }> {
  if (bytes.length < compressedFromBytes) return { body: Buffer.from(bytes), algorithm: 'none' }
  const body =
    bytes.length <= sharedBufferBytes
      ? zstdCompressSync(bytes, zstdOptions)
      : await zstdCompressAsync(bytes, zstdOptions)
  return { body, algorithm: 'zstd' }
}

export async function requestSession(cluster: KafkaCluster): Promise<ProducerSession> {
  try {
    const { producerId, producerEpoch } = await cluster.request('any', initProducerIdV4.api, [
      null,
      60_000,
      -1n,
      -1,
    ])
    return { producerId, producerEpoch }
  } catch (error) {
    throw kafkaFailure(error, 'no producer id')
  }
}

type Answer = Awaited<ReturnType<typeof produceAnswer>>
type PartitionAnswer = { readonly errorCode: number; readonly errorMessage: string | null }

const produceAnswer = produceV9.parseResponse
const produce = createAPI<
  [topic: string, batches: readonly PartitionBatch[], timeoutMs: number],
  Answer
>(produceV9.api.key, produceV9.api.version, encodeProduce, produceAnswer)

type PartitionBatch = { readonly index: number; readonly bytes: Buffer }

/** Produce Request (Version: 9) => transactional_id acks timeout_ms [topic_data] TAG_BUFFER */
function encodeProduce(
  topic: string,
  batches: readonly PartitionBatch[],
  timeoutMs: number,
): Writer {
  return Writer.create()
    .appendString(null)
    .appendInt16(acksAll)
    .appendInt32(timeoutMs)
    .appendArray([topic], (topics, name) => {
      topics.appendString(name).appendArray([...batches], (partitions, { index, bytes }) => {
        partitions
          .appendInt32(index)
          .appendUnsignedVarInt(bytes.length + 1)
          .append(bytes)
      })
    })
    .appendTaggedFields()
}

/** The answer for each partition; throws where there is none at all. */
export async function sendBatches(
  cluster: KafkaCluster,
  broker: number,
  topic: string,
  queues: readonly PartitionQueue[],
  timeoutMs: number,
): Promise<ReadonlyMap<number, PartitionAnswer>> {
  const batches = queues.map((queue) => ({
    index: queue.index,
    bytes: encodeBatch(
      {
        ...(queue.batch as Batch),
        ...(queue.session as ProducerSession),
        baseSequence: queue.nextSequence,
      },
      (queue.batch as Batch).body,
      (queue.batch as Batch).algorithm,
    ),
  }))
  // The broker gives up first, so that its answer still finds us.
  const brokerTimeoutMs = Math.ceil(timeoutMs * 0.8)
  let answer: Answer
  try {
    answer = await cluster.request(broker, produce, [topic, batches, brokerTimeoutMs], timeoutMs)
  } catch (error) {
    const found = answerIn(error) as Answer | null
    if (found === null) throw error
    answer = found
  }
  const partitions = answer.responses.flatMap(({ partitionResponses }) => partitionResponses)
  return new Map(
    partitions.map(({ index, errorCode, errorMessage }) => [
      index,
      { errorCode, errorMessage: errorMessage ?? null },
    ]),
  )
}
