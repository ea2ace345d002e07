/**
 * Fetch as we send and read it: version 13 (Kafka 3.1), the first that names a topic by its id, so that a topic that
 * was deleted and made again is never read by mistake. Without fetch sessions: few partitions, asked for by name.
 *
 * platformatic's own parser makes an object per record, and its read_committed lets aborted records through; so the
 * answer is read here as far as the records of each partition, which stay bytes.
 */
import { createAPI, type Reader, Writer } from '@platformatic/kafka'
import type { AbortedTransaction } from './kafka-record-batch.ts'

export type FetchRequest = {
  readonly topicId: string
  readonly maxWaitMs: number
  readonly bytesMax: number
  readonly partitionBytesMax: number
  readonly partitions: readonly FetchPosition[]
}

export type FetchPosition = {
  readonly index: number
  readonly leaderEpoch: number
  readonly offset: number
}

export type FetchAnswer = {
  readonly errorCode: number
  readonly partitions: readonly FetchedPartition[]
}

export type FetchedPartition = {
  readonly index: number
  readonly errorCode: number
  /** Up to where committed records can be read now. */
  readonly lastStableOffset: number
  readonly aborted: readonly AbortedTransaction[]
  readonly records: Buffer
}

const apiKey = 1
const apiVersion = 13
const readCommitted = 1
const noBytes = Buffer.alloc(0)

export const fetchApi = createAPI<[FetchRequest], FetchAnswer>(
  apiKey,
  apiVersion,
  encodeRequest,
  (_correlationId, _apiKey, _apiVersion, reader) => parseAnswer(bytesOf(reader)),
)

function encodeRequest(request: FetchRequest): Writer {
  return Writer.create()
    .appendInt32(-1)
    .appendInt32(request.maxWaitMs)
    .appendInt32(1)
    .appendInt32(request.bytesMax)
    .appendInt8(readCommitted)
    .appendInt32(0)
    .appendInt32(-1)
    .appendArray([request], (topics, { topicId, partitions, partitionBytesMax }) => {
      topics.appendUUID(topicId).appendArray([...partitions], (writer, partition) => {
        writer
          .appendInt32(partition.index)
          .appendInt32(partition.leaderEpoch)
          .appendInt64(BigInt(partition.offset))
          .appendInt32(-1)
          .appendInt64(-1n)
          .appendInt32(partitionBytesMax)
      })
    })
    .appendArray([], () => {})
    .appendString('')
    .appendTaggedFields()
}

/** One piece: copied once where it came in several. */
function bytesOf(reader: Reader): Buffer {
  return reader.buffer.slice(reader.position)
}

/**
 * throttle_time_ms error_code session_id [topic_id [partition_index error_code high_watermark last_stable_offset
 * log_start_offset [producer_id first_offset _] preferred_read_replica records _] _] _
 */
export function parseAnswer(bytes: Buffer): FetchAnswer {
  let at = 0
  const skip = (length: number): void => {
    at += length
  }
  const int16 = (): number => bytes.readInt16BE((at += 2) - 2)
  const int32 = (): number => bytes.readInt32BE((at += 4) - 4)
  const int64 = (): bigint => bytes.readBigInt64BE((at += 8) - 8)
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes.readUInt8(at++)
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    throw new RangeError('a number of more than five bytes')
  }
  const tags = (): void => {
    for (let left = varint(); left > 0; left--) {
      varint()
      skip(varint())
    }
  }
  const array = (each: () => void): void => {
    // 0 is null.
    for (let left = varint() - 1; left > 0; left--) each()
  }

  skip(4)
  const errorCode = int16()
  skip(4)
  const partitions: FetchedPartition[] = []
  array(() => {
    skip(16)
    array(() => {
      const index = int32()
      const partitionError = int16()
      skip(8)
      const lastStableOffset = Number(int64())
      skip(8)
      const aborted: AbortedTransaction[] = []
      array(() => {
        aborted.push({ producerId: int64(), firstOffset: Number(int64()) })
        tags()
      })
      skip(4)
      const length = Math.max(0, varint() - 1)
      if (at + length > bytes.length) throw new RangeError('records beyond the end of the answer')
      const records = length === 0 ? noBytes : bytes.subarray(at, at + length)
      skip(length)
      tags()
      partitions.push({ index, errorCode: partitionError, lastStableOffset, aborted, records })
    })
    tags()
  })
  return { errorCode, partitions }
}
