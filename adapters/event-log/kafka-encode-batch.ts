/**
 * Writes records as a record batch of Kafka (message format v2, KIP-98): own code instead of platformatic's,
 * which makes several objects and buffers per record (bench/kafka-produce.ts has the figures).
 *
 * The records are encoded and compressed once; the head, which names producer and sequence, is made for each
 * attempt. Headers of potok's records: `potok.received_at_us` (decimal), `potok.event_id` (16 bytes, where it was
 * computed), `potok.kind` (decimal, where it isn't a detection).
 */
import { crc32c } from '@node-rs/crc32'
import type { LogRecord } from '../../kernel/ports.ts'

/** Some records of one partition, in order: `records[from..to)`. */
export type RecordSlice = {
  readonly records: readonly LogRecord[]
  readonly from: number
  readonly to: number
}

export type EncodedRecords = {
  /** Uncompressed; up to `sharedBufferBytes` valid until the next call only. */
  readonly bytes: Uint8Array
  readonly count: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
}

export type BatchHead = {
  readonly count: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
}

/** Bits of `attributes` that name the compression. */
export const compression = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const
export type Compression = keyof typeof compression

export const batchHeadBytes = 61
export const sharedBufferBytes = 32 * 1_024
const crcStart = 21

const headerNames = {
  receivedAt: headerName('potok.received_at_us'),
  eventId: headerName('potok.event_id'),
  kind: headerName('potok.kind'),
}

/** Length (zigzag varint: twice the number, below 128 here) and name. */
function headerName(name: string): Uint8Array {
  return Buffer.concat([Buffer.from([name.length * 2]), Buffer.from(name)])
}

/** At most what a record takes in a batch, uncompressed. */
export function recordSizeBytesMax(record: LogRecord): number {
  return record.value.length + (record.key?.length ?? 0) + 128
}

export type RecordEncoder = (slices: readonly RecordSlice[]) => EncodedRecords

/** Small batches share a buffer; large ones get their own, since they are compressed off this thread. */
export function createRecordEncoder(): RecordEncoder {
  const shared = Buffer.allocUnsafeSlow(sharedBufferBytes)
  let receivedAtUs = Number.NaN
  let receivedAtText: Uint8Array = new Uint8Array(0)

  return (slices) => {
    const sizeBytesMax = slices.reduce((sum, slice) => sum + sizeOf(slice), 0)
    const buffer = sizeBytesMax <= shared.length ? shared : Buffer.allocUnsafeSlow(sizeBytesMax)
    const first = slices[0] as RecordSlice
    const baseTimestampMs = toMs(first.records[first.from] as LogRecord)
    let maxTimestampMs = baseTimestampMs
    let at = 0
    let count = 0
    for (const { records, from, to } of slices) {
      for (let i = from; i < to; i++) {
        const record = records[i] as LogRecord
        if (record.receivedAtUs !== receivedAtUs) {
          receivedAtUs = record.receivedAtUs
          receivedAtText = Buffer.from(String(receivedAtUs))
        }
        const timestampMs = toMs(record)
        if (timestampMs > maxTimestampMs) maxTimestampMs = timestampMs
        at = writeRecord(buffer, at, record, timestampMs - baseTimestampMs, count, receivedAtText)
        count++
      }
    }
    return { bytes: buffer.subarray(0, at), count, baseTimestampMs, maxTimestampMs }
  }
}

/** A whole batch. `body` is what was encoded, compressed as `algorithm` says. */
export function encodeBatch(head: BatchHead, body: Uint8Array, algorithm: Compression): Buffer {
  const batch = Buffer.allocUnsafeSlow(batchHeadBytes + body.length)
  batch.writeBigInt64BE(0n, 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12)
  batch.writeInt8(2, 16)
  batch.writeInt16BE(compression[algorithm], crcStart)
  batch.writeInt32BE(head.count - 1, 23)
  batch.writeBigInt64BE(BigInt(head.baseTimestampMs), 27)
  batch.writeBigInt64BE(BigInt(head.maxTimestampMs), 35)
  batch.writeBigInt64BE(head.producerId, 43)
  batch.writeInt16BE(head.producerEpoch, 51)
  batch.writeInt32BE(head.baseSequence, 53)
  batch.writeInt32BE(head.count, 57)
  batch.set(body, batchHeadBytes)
  batch.writeUInt32BE(crc32c(batch.subarray(crcStart)), 17)
  return batch
}

function sizeOf({ records, from, to }: RecordSlice): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += recordSizeBytesMax(records[i] as LogRecord)
  return sum
}

function toMs(record: LogRecord): number {
  return Math.floor(record.receivedAtUs / 1_000)
}

function writeRecord(
  buffer: Buffer,
  start: number,
  record: LogRecord,
  timestampDelta: number,
  offsetDelta: number,
  receivedAt: Uint8Array,
): number {
  const { key, value, eventId, kind } = record
  const keyLength = key === null ? -1 : key.length
  const headers = 1 + (eventId === null ? 0 : 1) + (kind === 0 ? 0 : 1)
  const kindText = kind === 0 ? '' : String(kind)
  const length =
    1 +
    varintSize(timestampDelta) +
    varintSize(offsetDelta) +
    varintSize(keyLength) +
    Math.max(0, keyLength) +
    varintSize(value.length) +
    value.length +
    1 +
    headerSize(headerNames.receivedAt, receivedAt.length) +
    (eventId === null ? 0 : headerSize(headerNames.eventId, eventId.length)) +
    (kind === 0 ? 0 : headerSize(headerNames.kind, kindText.length))
  let at = writeVarint(buffer, start, length)
  buffer[at++] = 0
  at = writeVarint(buffer, at, timestampDelta)
  at = writeVarint(buffer, at, offsetDelta)
  at = writeVarint(buffer, at, keyLength)
  if (key !== null) {
    buffer.set(key, at)
    at += keyLength
  }
  at = writeVarint(buffer, at, value.length)
  buffer.set(value, at)
  at += value.length
  at = writeVarint(buffer, at, headers)
  at = writeHeader(buffer, at, headerNames.receivedAt, receivedAt)
  if (eventId !== null) at = writeHeader(buffer, at, headerNames.eventId, eventId)
  if (kind !== 0) at = writeHeader(buffer, at, headerNames.kind, Buffer.from(kindText))
  return at
}

function headerSize(name: Uint8Array, valueLength: number): number {
  return name.length + varintSize(valueLength) + valueLength
}

function writeHeader(buffer: Buffer, start: number, name: Uint8Array, value: Uint8Array): number {
  buffer.set(name, start)
  const at = writeVarint(buffer, start + name.length, value.length)
  buffer.set(value, at)
  return at + value.length
}

/** Zigzag, over 32 bits too: differences of times may be large. */
function writeVarint(buffer: Buffer, start: number, value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  let at = start
  while (rest >= 128) {
    buffer[at++] = (rest % 128) | 128
    rest = Math.floor(rest / 128)
  }
  buffer[at++] = rest
  return at
}

function varintSize(value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  let size = 1
  while (rest >= 128) {
    rest = Math.floor(rest / 128)
    size++
  }
  return size
}
