/**
 * Record batches (message format v2, KIP-98) as a Fetch response brings them, walked batch by batch and given on as
 * record blocks. The walk follows Java's consumer (`CompletedFetch`):
 *
 * - Aborted transactions: from the first offset that the broker names on, batches of that producer are left out, until
 *   the control batch that ends the transaction. Control batches are left out always. Both are gaps of the block.
 * - A response begins with the batch that holds the offset asked for: what lies below is left out. The last batch may
 *   be cut off: the rest of it comes with the next response.
 * - Reading goes on after the last offset of a batch also where compaction or an abort left nothing of it.
 * - A batch whose check sum or structure is wrong is DataCorrupt, with partition and offset: never left out.
 *
 * Formats before v2 are refused: brokers since Kafka 4 have none, those before convert on the way to old clients only.
 */
import { crc32c } from '@node-rs/crc32'
import { PotokError } from '../../kernel/errors.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import { type BatchBody, fillBlock, RecordFault } from './kafka-decode-records.ts'
import { decompressRecords } from './kafka-decompress.ts'
import { batchHeadBytes } from './kafka-encode-batch.ts'

export type AbortedTransaction = { readonly producerId: bigint; readonly firstOffset: number }

/** The records of one partition out of one response, as far as they aren't read yet. */
export type FetchedRecords = {
  readonly logPartition: number
  readonly bytes: Buffer
  /** Where the next batch begins. */
  at: number
  /** By first offset. */
  readonly aborted: readonly AbortedTransaction[]
  abortedSeen: number
  readonly abortedProducers: Set<bigint>
  /** A batch that is decompressed and didn't fit into the block before. */
  waiting: BatchBody | null
}

const lengthHeadBytes = 12
const crcStart = 21
const attributeTransactional = 0x10
const attributeControl = 0x20
const attributeAppendTime = 0x08
const controlAbort = 0
/** Each of its seven parts takes a byte. */
const recordBytesMin = 7

export function openFetched(
  logPartition: number,
  bytes: Buffer,
  aborted: readonly AbortedTransaction[],
): FetchedRecords {
  return {
    logPartition,
    bytes,
    at: 0,
    aborted: [...aborted].sort((a, b) => a.firstOffset - b.firstOffset),
    abortedSeen: 0,
    abortedProducers: new Set(),
    waiting: null,
  }
}

/** The offset after the last whole batch, by the heads alone; null where there is none. */
export function offsetAfter(logPartition: number, bytes: Buffer): number | null {
  let next: number | null = null
  for (let at = 0; ; ) {
    const end = batchEnd(logPartition, bytes, at)
    if (end === null) return next
    next = lastOffsetOf(bytes, at) + 1
    at = end
  }
}

/**
 * The next block from `position` on: whole batches of about `valueBytesMax` together, one at least. A block without
 * records moves the position over a gap. null where nothing is left.
 */
export function readBlock(
  fetched: FetchedRecords,
  position: number,
  valueBytesMax: number,
): RecordBlock | null {
  const bodies: BatchBody[] = []
  let nextOffset = position
  let valueBytes = 0
  for (;;) {
    const body = fetched.waiting ?? nextBatch(fetched, position)
    fetched.waiting = null
    if (body === null) break
    const { length } = body.bytes
    if (bodies.length > 0 && length > 0 && valueBytes + length > valueBytesMax) {
      fetched.waiting = body
      break
    }
    nextOffset = Math.max(nextOffset, body.lastOffset + 1)
    if (length === 0) continue
    bodies.push(body)
    valueBytes += length
  }
  if (nextOffset === position) return null
  try {
    return fillBlock(fetched.logPartition, bodies, position, nextOffset)
  } catch (error) {
    if (!(error instanceof RecordFault)) throw error
    throw corrupt(fetched.logPartition, error.batchOffset, error.message)
  }
}

/** Without bytes where its records are not for us. */
function nextBatch(fetched: FetchedRecords, position: number): BatchBody | null {
  const { logPartition, bytes, at } = fetched
  const end = batchEnd(logPartition, bytes, at)
  if (end === null) return null
  fetched.at = end
  const baseOffset = readOffset(bytes, at)
  const lastOffset = lastOffsetOf(bytes, at)
  const fail = (why: string, cause?: unknown): PotokError =>
    corrupt(logPartition, baseOffset, why, cause)
  if (lastOffset < baseOffset) throw fail('its last offset lies before its first')
  const attributes = bytes.readUInt16BE(at + crcStart)
  if (crc32c(bytes.subarray(at + crcStart, end)) !== bytes.readUInt32BE(at + 17)) {
    throw fail('its check sum doesn’t match its bytes')
  }
  const producerId = bytes.readBigInt64BE(at + 43)
  seeAborted(fetched, lastOffset)
  const none = { bytes: bytes.subarray(0, 0), lastOffset }
  const isControl = (attributes & attributeControl) !== 0
  if (isControl && readControlType(bytes.subarray(at + batchHeadBytes, end)) === controlAbort) {
    fetched.abortedProducers.delete(producerId)
  }
  const isAborted =
    (attributes & attributeTransactional) !== 0 && fetched.abortedProducers.has(producerId)
  const isUnwanted = isControl || isAborted || lastOffset < position
  const baseTimestampMs = Number(bytes.readBigInt64BE(at + 27))
  const isAppendTime = (attributes & attributeAppendTime) !== 0
  const head = {
    baseOffset,
    lastOffset,
    count: isUnwanted ? 0 : bytes.readInt32BE(at + 57),
    baseTimestampMs: isAppendTime ? Number(bytes.readBigInt64BE(at + 35)) : baseTimestampMs,
    isAppendTime,
  }
  if (isUnwanted || head.count === 0) return { ...head, count: 0, ...none }
  const body = bytes.subarray(at + batchHeadBytes, end)
  if (head.count < 0 || head.count > lastOffset - baseOffset + 1) {
    throw fail(`${head.count} records don’t fit between its offsets`)
  }
  const code = attributes & 0x07
  let plain = body
  try {
    if (code !== 0) plain = decompressRecords(code, body)
  } catch (cause) {
    throw fail('it can’t be decompressed', cause)
  }
  // Before memory is taken for so many.
  if (head.count * recordBytesMin > plain.length)
    throw fail(`${head.count} records don’t fit into it`)
  return { ...head, bytes: plain }
}

/** Where the batch at `at` ends; null where it isn't whole. */
function batchEnd(logPartition: number, bytes: Buffer, at: number): number | null {
  if (at + batchHeadBytes > bytes.length) return null
  const magic = bytes.readInt8(at + 16)
  const length = bytes.readInt32BE(at + 8)
  if (magic !== 2) {
    throw corrupt(logPartition, readOffset(bytes, at), `its format is ${magic}, not 2`)
  }
  if (length < batchHeadBytes - lengthHeadBytes) {
    throw corrupt(logPartition, readOffset(bytes, at), `its length is ${length}`)
  }
  const end = at + lengthHeadBytes + length
  return end > bytes.length ? null : end
}

/** Those whose transaction began at or before `offset`. */
function seeAborted(fetched: FetchedRecords, offset: number): void {
  for (;;) {
    const next = fetched.aborted[fetched.abortedSeen]
    if (next === undefined || next.firstOffset > offset) return
    fetched.abortedProducers.add(next.producerId)
    fetched.abortedSeen++
  }
}

/** 0 abort, 1 commit: second number in the key of the one record of a control batch (KIP-98); else -1. */
function readControlType(body: Buffer): number {
  let at = 0
  // Length, attributes, two differences and the length of the key: each of one byte, the first at most of two.
  const skipVarint = (): void => {
    while (at < body.length && (body[at] as number) >= 128) at++
    at++
  }
  skipVarint()
  at++
  skipVarint()
  skipVarint()
  skipVarint()
  return at + 4 <= body.length ? body.readInt16BE(at + 2) : -1
}

function readOffset(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
}

function lastOffsetOf(bytes: Buffer, at: number): number {
  return readOffset(bytes, at) + bytes.readInt32BE(at + 23)
}

function corrupt(
  logPartition: number,
  baseOffset: number,
  why: string,
  cause?: unknown,
): PotokError {
  return new PotokError(
    'DataCorrupt',
    `the batch at offset ${baseOffset} of log partition ${logPartition} is damaged: ${why}`,
    { context: { logPartition, baseOffset }, cause },
  )
}
