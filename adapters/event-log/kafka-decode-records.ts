/**
 * The records of batches as one record block, walked in place: no object, string or buffer per record, since a
 * writer reads hundreds of thousands a second.
 *
 * The uncompressed batches are copied as they are, one after the other, into the buffer of the values, and the values
 * then moved to its front over keys and headers: they end where the reading already was.
 *
 * Headers are ours (`potok.kind`, `potok.received_at_us`, `potok.event_id`, see kafka-encode-batch.ts); others are
 * passed over. A foreign producer may write anything into them, and none of it may stop a reader:
 * - a kind that is no number below 255 becomes `unreadableKind`: the writer rejects the record, and says why;
 * - a receive time that is no number, or lies an hour after the time that the batch gives the record, and an event id
 *   that isn't 16 bytes count as absent.
 * A record without value (a tombstone) has an empty one.
 */
import { eventIdBytes } from '../../kernel/event-id.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'

export type BatchBody = {
  /** Uncompressed. */
  readonly bytes: Buffer
  readonly baseOffset: number
  readonly lastOffset: number
  readonly count: number
  /** With append time it is that of all records. */
  readonly baseTimestampMs: number
  readonly isAppendTime: boolean
}

/** What is wrong with a record; the walk over batches says where. */
export class RecordFault extends Error {
  readonly batchOffset: number
  constructor(batchOffset: number, message: string) {
    super(message)
    this.batchOffset = batchOffset
  }
}

export const unreadableKind = 255
const aheadUsMax = 3_600_000_000
/** The last millisecond of 9999: what lies beyond is a producer's mistake. */
const timestampMsMax = 253_402_300_799_999
const nameKind = Buffer.from('potok.kind')
const nameReceivedAt = Buffer.from('potok.received_at_us')
const nameEventId = Buffer.from('potok.event_id')

/** Records below `position` are left out; offsets of `bodies` rise. */
export function fillBlock(
  logPartition: number,
  bodies: readonly BatchBody[],
  position: number,
  nextOffset: number,
): RecordBlock {
  const filling = new Filling(bodies)
  for (const body of bodies) filling.addBatch(body, position)
  return filling.finish(logPartition, position, nextOffset)
}

/** The columns as far as they are filled, and where the walk stands: fields, so that no call returns an object. */
class Filling {
  readonly #values: Buffer
  readonly #valueEnds: Uint32Array
  readonly #receivedAtUs: Float64Array
  readonly #kinds: Uint8Array
  #offsets: Float64Array | null = null
  #eventIds: Uint8Array | null = null
  readonly #countMax: number
  #count = 0
  #firstOffset = 0
  #valuesEnd = 0
  #at = 0
  /** Of the record at hand. */
  #kind = 0
  #receivedUs = 0

  constructor(bodies: readonly BatchBody[]) {
    let sizeBytes = 0
    let count = 0
    for (const body of bodies) {
      sizeBytes += body.bytes.length
      count += body.count
    }
    this.#countMax = count
    // Its own memory: who gets the block may transfer it.
    this.#values = Buffer.allocUnsafeSlow(sizeBytes)
    this.#valueEnds = new Uint32Array(count)
    this.#receivedAtUs = new Float64Array(count)
    this.#kinds = new Uint8Array(count)
  }

  addBatch(body: BatchBody, position: number): void {
    const bytes = this.#values
    // Values move to the front only, so this end is never behind what is still to be read.
    this.#at = this.#valuesEnd
    const end = this.#at + body.bytes.copy(bytes, this.#at)
    for (let i = 0; i < body.count; i++) {
      const length = this.#varint()
      const recordEnd = this.#at + length
      if (length < 0 || recordEnd > end) throw this.#fault(body, i, 'it ends outside of its batch')
      this.#at++
      const timestampDelta = this.#varint()
      const offset = body.baseOffset + this.#varint()
      const keyLength = this.#varint()
      if (keyLength > 0) this.#at += keyLength
      const valueLength = Math.max(0, this.#varint())
      const valueStart = this.#at
      if (!(valueStart + valueLength <= recordEnd)) {
        throw this.#fault(body, i, 'its value ends outside of it')
      }
      if (offset < position) {
        this.#at = recordEnd
        continue
      }
      const timestampMs = body.baseTimestampMs + (body.isAppendTime ? 0 : timestampDelta)
      this.#kind = 0
      this.#receivedUs = Math.min(timestampMsMax, Math.max(0, timestampMs)) * 1_000
      this.#at = valueStart + valueLength
      this.#readHeaders(recordEnd)
      if (this.#at !== recordEnd) throw this.#fault(body, i, 'its headers don’t end where it ends')
      this.#addOffset(body, i, offset)
      bytes.copyWithin(this.#valuesEnd, valueStart, valueStart + valueLength)
      this.#valuesEnd += valueLength
      this.#valueEnds[this.#count] = this.#valuesEnd
      this.#receivedAtUs[this.#count] = this.#receivedUs
      this.#kinds[this.#count] = this.#kind
      this.#count++
    }
    if (this.#at !== end) throw new RecordFault(body.baseOffset, 'bytes follow its last record')
  }

  finish(logPartition: number, position: number, nextOffset: number): RecordBlock {
    const count = this.#count
    return {
      logPartition,
      baseOffset: count === 0 ? position : this.#firstOffset,
      nextOffset,
      count,
      offsets: this.#offsets?.subarray(0, count) ?? null,
      receivedAtUs: this.#receivedAtUs.subarray(0, count),
      kinds: this.#kinds.subarray(0, count),
      eventIds: this.#eventIds?.subarray(0, count * eventIdBytes) ?? null,
      valueEnds: this.#valueEnds.subarray(0, count),
      values: this.#values.subarray(0, this.#valuesEnd),
    }
  }

  #addOffset(body: BatchBody, index: number, offset: number): void {
    const count = this.#count
    if (count === 0) {
      this.#firstOffset = offset
      return this.#checkOffset(body, index, offset, body.baseOffset)
    }
    const before = this.#offsets?.[count - 1] ?? this.#firstOffset + count - 1
    this.#checkOffset(body, index, offset, before + 1)
    if (this.#offsets === null && offset !== before + 1) {
      this.#offsets = new Float64Array(this.#countMax)
      for (let i = 0; i < count; i++) this.#offsets[i] = this.#firstOffset + i
    }
    if (this.#offsets !== null) this.#offsets[count] = offset
  }

  #checkOffset(body: BatchBody, index: number, offset: number, least: number): void {
    if (!(offset >= least && offset <= body.lastOffset)) {
      throw this.#fault(body, index, `its offset ${offset} is out of order`)
    }
  }

  #readHeaders(recordEnd: number): void {
    const bytes = this.#values
    for (let left = this.#varint(); left > 0 && this.#at < recordEnd; left--) {
      const nameLength = this.#varint()
      const name = this.#at
      if (!(nameLength >= 0 && name + nameLength <= recordEnd)) return this.#leave(recordEnd)
      this.#at += nameLength
      const valueLength = Math.max(0, this.#varint())
      const value = this.#at
      if (!(value + valueLength <= recordEnd)) return this.#leave(recordEnd)
      this.#at += valueLength
      if (nameLength === nameReceivedAt.length && isName(bytes, name, nameReceivedAt)) {
        const us = readDecimal(bytes, value, valueLength)
        if (us <= this.#receivedUs + aheadUsMax) this.#receivedUs = us
      } else if (nameLength === nameKind.length && isName(bytes, name, nameKind)) {
        const kind = readDecimal(bytes, value, valueLength)
        this.#kind = kind < unreadableKind ? kind : unreadableKind
      } else if (nameLength === nameEventId.length && isName(bytes, name, nameEventId)) {
        if (valueLength === eventIdBytes) this.#addEventId(value)
      }
    }
  }

  /** Beyond the end of the record: who called sees that it doesn't end there. */
  #leave(recordEnd: number): void {
    this.#at = recordEnd + 1
  }

  #addEventId(from: number): void {
    this.#eventIds ??= new Uint8Array(this.#countMax * eventIdBytes)
    const to = this.#count * eventIdBytes
    for (let i = 0; i < eventIdBytes; i++) this.#eventIds[to + i] = this.#values[from + i] as number
  }

  /** Zigzag. Beyond the end of the buffer zeros are read: whoever called compares where the walk ends. */
  #varint(): number {
    const bytes = this.#values
    const first = bytes[this.#at++] as number
    if (first < 128) return (first >>> 1) ^ -(first & 1)
    let value = first & 127
    let scale = 128
    for (let i = 0; i < 9; i++) {
      const byte = bytes[this.#at++] ?? 0
      value += (byte & 127) * scale
      if (byte < 128) break
      scale *= 128
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  #fault(body: BatchBody, index: number, why: string): RecordFault {
    return new RecordFault(body.baseOffset, `record ${index}: ${why}`)
  }
}

function isName(bytes: Buffer, at: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name[i]) return false
  return true
}

/** NaN where it is no number of at most 16 digits. */
function readDecimal(bytes: Buffer, at: number, length: number): number {
  if (length < 1 || length > 16) return Number.NaN
  let value = 0
  for (let i = 0; i < length; i++) {
    const digit = (bytes[at + i] as number) - 48
    if (!(digit >= 0 && digit <= 9)) return Number.NaN
    value = value * 10 + digit
  }
  return value
}
