/**
 * When the first record at or after an offset was received: one Fetch, of no group. What an open transaction
 * hides can't be read here either.
 */
import type { KafkaCluster, KafkaTopic } from './kafka-cluster.ts'
import { brokerError } from './kafka-failure.ts'
import { fetchApi } from './kafka-fetch.ts'
import { openFetched, readBlock } from './kafka-record-batch.ts'

/** The broker gives one batch whole, however large it is. */
const bytesMax = 64 * 1_024

export async function readReceivedAt(
  cluster: KafkaCluster,
  topic: KafkaTopic,
  logPartition: number,
  offset: number,
): Promise<number | null> {
  const partition = topic.partitions[logPartition]
  if (partition === undefined) return null
  const request = {
    topicId: topic.topicId,
    maxWaitMs: 0,
    bytesMax,
    partitionBytesMax: bytesMax,
    partitions: [{ index: logPartition, leaderEpoch: -1, offset }],
  }
  const { partitions } = await cluster.request(partition.leader, fetchApi, [request])
  const [got] = partitions
  // Outside of the log, or its leader moved: then nobody knows, and asks again.
  if (got === undefined || got.errorCode !== brokerError.none) return null
  const fetched = openFetched(logPartition, got.records, got.aborted)
  for (let position = offset; ; ) {
    const block = readBlock(fetched, position, bytesMax)
    if (block === null) return null
    if (block.count > 0) return block.receivedAtUs[0] as number
    position = block.nextOffset
  }
}
