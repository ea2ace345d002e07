/**
 * RecordBlock ↔ one Uint8Array: what the embedded log stores as a value.
 *
 * Layout, little endian (the only byte order potok runs on), every array aligned to its element:
 *   0 magic u32 · 4 crc32 of all that follows u32 · 8 logPartition u32 · 12 count u32 · 16 baseOffset f64
 *   24 nextOffset f64 · 32 flags u32 · 36 length of values u32 · 40 greatest receivedAtUs f64
 *   48 receivedAtUs f64[count] · offsets f64[count] if flagged · valueEnds u32[count]
 *   eventIds 16·[count] if flagged · kinds u8[count] · values
 *
 * Invariants: decoding copies nothing where the bytes are aligned, all views of a decoded, built or merged
 * block share one ArrayBuffer of their own (`blockBuffers` is the transfer list), and a block that is torn or
 * was doctored is DataCorrupt, never wrong data.
 */
import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { PotokError } from './errors.ts'
import type { LogRecord } from './ports.ts'
import type { RecordBlock } from './record-block.ts'

const magic = 0x31_4b_4c_42
const headerBytes = 48
const flagOffsets = 1
const flagEventIds = 2
const eventIdBytes = 16

type Shape = {
  readonly logPartition: number
  readonly baseOffset: number
  readonly nextOffset: number
  readonly count: number
  readonly hasOffsets: boolean
  readonly hasEventIds: boolean
  readonly valuesLength: number
}

/** Bytes that a block of these records takes, an upper bound: what limits and budgets count. */
export function encodedSizeBytesMax(records: readonly LogRecord[]): number {
  let sizeBytes = headerBytes
  for (const record of records) sizeBytes += record.value.length + 13 + eventIdBytes
  return sizeBytes
}

/** Records [from, to) of one partition as an encoded block with contiguous offsets from `baseOffset`. */
export function encodeRecords(
  records: readonly LogRecord[],
  baseOffset: number,
  from = 0,
  to = records.length,
): Uint8Array<ArrayBuffer> {
  assert(to > from, 'a block holds at least one record')
  const block = fillFromRecords(records, baseOffset, from, to)
  const bytes = new Uint8Array(block.values.buffer as ArrayBuffer)
  seal(bytes)
  return bytes
}

/** The same records as a block in memory. */
export function buildBlock(records: readonly LogRecord[], baseOffset: number): RecordBlock {
  assert(records.length > 0, 'a block holds at least one record')
  return fillFromRecords(records, baseOffset, 0, records.length)
}

export function encodeBlock(block: RecordBlock): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(copyBlocks([block], 0).values.buffer as ArrayBuffer)
  seal(bytes)
  return bytes
}

/** Views into `bytes` where it is aligned and owns its buffer, else into one copy of it. */
export function decodeBlock(bytes: Uint8Array, where = 'record block'): RecordBlock {
  const corrupt = (why: string): PotokError =>
    new PotokError('DataCorrupt', `${where}: ${why}`, { context: { lengthBytes: bytes.length } })
  if (bytes.length < headerBytes) throw corrupt('shorter than its header')
  const own = ownBuffer(bytes)
  const view = new DataView(own)
  if (view.getUint32(0, true) !== magic) throw corrupt('does not begin like a record block')
  const crc = crc32(new Uint8Array(own, 8))
  if (crc !== view.getUint32(4, true)) throw corrupt('check sum does not match its bytes')
  const flags = view.getUint32(32, true)
  const shape: Shape = {
    logPartition: view.getUint32(8, true),
    count: view.getUint32(12, true),
    baseOffset: view.getFloat64(16, true),
    nextOffset: view.getFloat64(24, true),
    hasOffsets: (flags & flagOffsets) !== 0,
    hasEventIds: (flags & flagEventIds) !== 0,
    valuesLength: view.getUint32(36, true),
  }
  if (shapeBytes(shape) !== own.byteLength) throw corrupt('length does not fit its header')
  return layOut(shape, own)
}

/** Next offset and greatest receive time of an encoded block, without decoding it. */
export function peekBlock(bytes: Uint8Array): { nextOffset: number; receivedAtUsMax: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes)
  return { nextOffset: view.getFloat64(24, true), receivedAtUsMax: view.getFloat64(40, true) }
}

/**
 * Consecutive blocks of one partition as one, from `fromOffset` on. Small requests make small blocks; sinks
 * pay per block, so readers hand out merged ones.
 */
export function mergeBlocks(blocks: readonly RecordBlock[], fromOffset: number): RecordBlock {
  const only = blocks[0]
  assert(only !== undefined, 'nothing to merge')
  if (blocks.length === 1 && fromOffset <= only.baseOffset && blockBuffers(only).length === 1) {
    return only
  }
  return copyBlocks(blocks, fromOffset)
}

/** The distinct buffers of a block: the transfer list of a message that carries it. */
export function blockBuffers(block: RecordBlock): ArrayBuffer[] {
  const views = [block.receivedAtUs, block.kinds, block.valueEnds, block.values]
  const buffers = new Set(views.map((view) => view.buffer as ArrayBuffer))
  if (block.offsets !== null) buffers.add(block.offsets.buffer as ArrayBuffer)
  if (block.eventIds !== null) buffers.add(block.eventIds.buffer as ArrayBuffer)
  return [...buffers]
}

function shapeBytes(shape: Shape): number {
  const perRecord = 8 + (shape.hasOffsets ? 8 : 0) + 4 + (shape.hasEventIds ? eventIdBytes : 0) + 1
  return headerBytes + perRecord * shape.count + shape.valuesLength
}

function layOut(shape: Shape, buffer: ArrayBuffer): RecordBlock {
  const { count } = shape
  let at = headerBytes
  const take = (lengthBytes: number): number => {
    const start = at
    at += lengthBytes
    return start
  }
  return {
    logPartition: shape.logPartition,
    baseOffset: shape.baseOffset,
    nextOffset: shape.nextOffset,
    count,
    receivedAtUs: new Float64Array(buffer, take(8 * count), count),
    offsets: shape.hasOffsets ? new Float64Array(buffer, take(8 * count), count) : null,
    valueEnds: new Uint32Array(buffer, take(4 * count), count),
    eventIds: shape.hasEventIds
      ? new Uint8Array(buffer, take(eventIdBytes * count), eventIdBytes * count)
      : null,
    kinds: new Uint8Array(buffer, take(count), count),
    values: new Uint8Array(buffer, at, shape.valuesLength),
  }
}

function allocate(shape: Shape): RecordBlock {
  const buffer = new ArrayBuffer(shapeBytes(shape))
  const view = new DataView(buffer)
  view.setUint32(0, magic, true)
  view.setUint32(8, shape.logPartition, true)
  view.setUint32(12, shape.count, true)
  view.setFloat64(16, shape.baseOffset, true)
  view.setFloat64(24, shape.nextOffset, true)
  const flags = (shape.hasOffsets ? flagOffsets : 0) | (shape.hasEventIds ? flagEventIds : 0)
  view.setUint32(32, flags, true)
  view.setUint32(36, shape.valuesLength, true)
  return layOut(shape, buffer)
}

/** Fills in what depends on the contents: greatest receive time and check sum. */
function seal(bytes: Uint8Array<ArrayBuffer>): void {
  const view = new DataView(bytes.buffer)
  const count = view.getUint32(12, true)
  const receivedAtUs = new Float64Array(bytes.buffer, headerBytes, count)
  let greatest = 0
  for (const us of receivedAtUs) if (us > greatest) greatest = us
  view.setFloat64(40, greatest, true)
  view.setUint32(4, crc32(bytes.subarray(8)), true)
}

function fillFromRecords(
  records: readonly LogRecord[],
  baseOffset: number,
  from: number,
  to: number,
): RecordBlock {
  let valuesLength = 0
  let hasEventIds = false
  for (let i = from; i < to; i++) {
    const record = records[i] as LogRecord
    valuesLength += record.value.length
    if (record.eventId !== null) hasEventIds = true
  }
  const { logPartition } = records[from] as LogRecord
  const count = to - from
  const nextOffset = baseOffset + count
  const block = allocate({
    logPartition,
    baseOffset,
    nextOffset,
    count,
    hasOffsets: false,
    hasEventIds,
    valuesLength,
  })
  let end = 0
  for (let i = 0; i < count; i++) {
    const record = records[from + i] as LogRecord
    assert(record.logPartition === logPartition, 'a block holds one partition')
    block.values.set(record.value, end)
    end += record.value.length
    block.valueEnds[i] = end
    block.receivedAtUs[i] = record.receivedAtUs
    block.kinds[i] = record.kind
    if (record.eventId !== null) block.eventIds?.set(record.eventId, i * eventIdBytes)
  }
  return block
}

function copyBlocks(blocks: readonly RecordBlock[], fromOffset: number): RecordBlock {
  const first = blocks[0] as RecordBlock
  const last = blocks[blocks.length - 1] as RecordBlock
  const skipped = firstIndexAtOrAfter(first, fromOffset)
  const skippedBytes = skipped === 0 ? 0 : (first.valueEnds[skipped - 1] as number)
  let count = -skipped
  let valuesLength = -skippedBytes
  let hasEventIds = false
  let contiguous = true
  blocks.forEach((block, i) => {
    const before = blocks[i - 1]
    assert(
      before === undefined ||
        (before.nextOffset <= block.baseOffset && before.logPartition === block.logPartition),
      'merged blocks are consecutive and of one partition',
    )
    count += block.count
    valuesLength += block.values.length
    hasEventIds ||= block.eventIds !== null
    contiguous &&=
      block.offsets === null && (before === undefined || before.nextOffset === block.baseOffset)
  })
  assert(count > 0, 'a block holds at least one record')
  const merged = allocate({
    logPartition: first.logPartition,
    baseOffset: first.offsets?.[skipped] ?? first.baseOffset + skipped,
    nextOffset: last.nextOffset,
    count,
    hasOffsets: !contiguous,
    hasEventIds,
    valuesLength,
  })
  let at = 0
  let bytesAt = 0
  for (const block of blocks) {
    const from = block === first ? skipped : 0
    const fromByte = block === first ? skippedBytes : 0
    merged.receivedAtUs.set(block.receivedAtUs.subarray(from), at)
    merged.kinds.set(block.kinds.subarray(from), at)
    if (block.eventIds !== null) {
      merged.eventIds?.set(block.eventIds.subarray(from * eventIdBytes), at * eventIdBytes)
    }
    merged.values.set(block.values.subarray(fromByte), bytesAt)
    for (let i = from; i < block.count; i++) {
      merged.valueEnds[at + i - from] = (block.valueEnds[i] as number) - fromByte + bytesAt
      if (merged.offsets !== null) {
        merged.offsets[at + i - from] = block.offsets?.[i] ?? block.baseOffset + i
      }
    }
    at += block.count - from
    bytesAt += block.values.length - fromByte
  }
  return merged
}

function firstIndexAtOrAfter(block: RecordBlock, offset: number): number {
  if (offset <= block.baseOffset) return 0
  if (block.offsets === null) return Math.min(offset - block.baseOffset, block.count)
  const index = block.offsets.findIndex((candidate) => candidate >= offset)
  return index < 0 ? block.count : index
}

function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes
  if (
    buffer instanceof ArrayBuffer &&
    bytes.byteOffset === 0 &&
    buffer.byteLength === bytes.length
  ) {
    return buffer
  }
  // A plain copy: Buffer's own slice would share memory.
  return new Uint8Array(bytes).buffer
}
