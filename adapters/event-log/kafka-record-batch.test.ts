import { gzipSync, zstdCompressSync } from 'node:zlib'
import { compressionsAlgorithms, crc32c } from '@platformatic/kafka'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPotokError } from '../../kernel/errors.ts'
import { blockOffset, type RecordBlock } from '../../kernel/record-block.ts'
import { textsOf } from '../../testkit/records.ts'
import {
  type AbortedTransaction,
  offsetAfter,
  openFetched,
  readBlock,
} from './kafka-record-batch.ts'

type TestRecord = {
  readonly offset: number
  readonly value: string | null
  readonly timestampMs?: number
  readonly headers?: readonly (readonly [string, Uint8Array | null])[]
}

type TestBatch = {
  readonly records: readonly TestRecord[]
  readonly baseOffset?: number
  readonly lastOffset?: number
  readonly codec?: number
  readonly producerId?: bigint
  readonly isTransactional?: boolean
  readonly control?: 'commit' | 'abort'
  readonly appendMs?: number
}

const codecs: readonly ((bytes: Buffer) => Buffer)[] = [
  (bytes) => bytes,
  (bytes) => gzipSync(bytes),
  (bytes) => compressionsAlgorithms.snappy.compressSync(bytes),
  (bytes) => compressionsAlgorithms.lz4.compressSync(bytes),
  (bytes) => zstdCompressSync(bytes),
]
const baseMs = 1_700_000_000_000

/** As the protocol's text says it, with big integers and small buffers: nothing of the code under test. */
function varint(value: number): Buffer {
  let rest = value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value)
  const bytes: number[] = []
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0))
    rest >>= 7n
  } while (rest > 0n)
  return Buffer.from(bytes)
}

function withLength(bytes: Uint8Array | null): Buffer {
  return bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes])
}

function encodeRecord(record: TestRecord, baseOffset: number, key: Buffer | null): Buffer {
  const headers = record.headers ?? []
  const body = Buffer.concat([
    Buffer.from([0]),
    varint((record.timestampMs ?? baseMs) - baseMs),
    varint(record.offset - baseOffset),
    withLength(key),
    withLength(record.value === null ? null : Buffer.from(record.value)),
    varint(headers.length),
    ...headers.flatMap(([name, value]) => [withLength(Buffer.from(name)), withLength(value)]),
  ])
  return Buffer.concat([varint(body.length), body])
}

function encode(batch: TestBatch): Buffer {
  const { records, codec = 0, control } = batch
  const baseOffset = batch.baseOffset ?? records[0]?.offset ?? 0
  const lastOffset = batch.lastOffset ?? records.at(-1)?.offset ?? baseOffset
  const key = control === undefined ? null : Buffer.from([0, 0, 0, control === 'commit' ? 1 : 0])
  const plain = Buffer.concat(
    records.map((record) => encodeRecord(record, baseOffset, key ?? Buffer.from('KV1'))),
  )
  const body = (codecs[codec] as (bytes: Buffer) => Buffer)(plain)
  const head = Buffer.alloc(61)
  head.writeBigInt64BE(BigInt(baseOffset), 0)
  head.writeInt32BE(49 + body.length, 8)
  head.writeInt8(2, 16)
  const flags =
    (batch.appendMs === undefined ? 0 : 8) +
    (batch.isTransactional === true || control !== undefined ? 16 : 0) +
    (control === undefined ? 0 : 32)
  head.writeInt16BE(codec + flags, 21)
  head.writeInt32BE(lastOffset - baseOffset, 23)
  head.writeBigInt64BE(BigInt(baseMs), 27)
  head.writeBigInt64BE(BigInt(batch.appendMs ?? baseMs), 35)
  head.writeBigInt64BE(batch.producerId ?? -1n, 43)
  head.writeInt32BE(records.length, 57)
  return seal(Buffer.concat([head, body]))
}

function seal(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

function readBlocks(
  bytes: Buffer,
  position = 0,
  aborted: readonly AbortedTransaction[] = [],
  valueBytesMax = 1e9,
): RecordBlock[] {
  const fetched = openFetched(3, bytes, aborted)
  const blocks: RecordBlock[] = []
  for (let next = position; ; ) {
    const block = readBlock(fetched, next, valueBytesMax)
    if (block === null) return blocks
    expect(block.baseOffset).toBeGreaterThanOrEqual(next)
    expect(block.nextOffset).toBeGreaterThan(next)
    next = block.nextOffset
    blocks.push(block)
  }
}

function recordsOf(blocks: readonly RecordBlock[]): [number, string][] {
  return blocks.flatMap((block) =>
    textsOf(block).map((text, i): [number, string] => [blockOffset(block, i), text]),
  )
}

function one(batch: TestBatch): RecordBlock {
  const [block, ...more] = readBlocks(encode(batch))
  expect(more).toEqual([])
  return block as RecordBlock
}

function headed(...headers: readonly (readonly [string, Uint8Array | null])[]): TestBatch {
  return { records: [{ offset: 0, value: 'x', headers }] }
}

function caught(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}

/** A log of plain and transactional batches, with what of it counts. */
type Step = {
  readonly kind: 'plain' | 'write' | 'commit' | 'abort' | 'gap'
  readonly producer: number
  readonly values: readonly string[]
  readonly codec: number
  /** Offsets that compaction took out. */
  readonly hole: number
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('plain', 'write', 'write', 'commit', 'abort', 'gap'),
  producer: fc.integer({ min: 1, max: 3 }),
  values: fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 5 }),
  codec: fc.integer({ min: 0, max: 4 }),
  hole: fc.integer({ min: 0, max: 3 }),
})

type Written = { readonly batch: TestBatch; readonly transaction: Transaction | null }
type Transaction = {
  readonly producerId: bigint
  readonly firstOffset: number
  end: number
  isAborted: boolean
}

function writeLog(steps: readonly Step[]): { written: Written[]; transactions: Transaction[] } {
  const open = new Map<number, Transaction>()
  const written: Written[] = []
  const transactions: Transaction[] = []
  let next = 0
  const finish = (producer: number, isAborted: boolean): void => {
    const transaction = open.get(producer)
    if (transaction === undefined) return
    open.delete(producer)
    transaction.end = next
    transaction.isAborted = isAborted
    const control = isAborted ? 'abort' : 'commit'
    const records = [{ offset: next++, value: '' }]
    written.push({
      batch: { records, control, producerId: transaction.producerId },
      transaction: null,
    })
  }
  for (const { kind, producer, values, codec, hole } of steps) {
    if (kind === 'commit' || kind === 'abort') {
      finish(producer, kind === 'abort')
      continue
    }
    if (kind === 'gap') {
      next += hole
      continue
    }
    const producerId = BigInt(producer)
    let transaction: Transaction | null = null
    if (kind === 'write') {
      transaction = open.get(producer) ?? {
        producerId,
        firstOffset: next,
        end: 0,
        isAborted: false,
      }
      if (!open.has(producer)) transactions.push(transaction)
      open.set(producer, transaction)
    }
    const records = values.map((value) => ({ offset: next++, value }))
    const isTransactional = kind === 'write'
    // Compaction leaves the last offset of a batch when it takes its records.
    const kept = records.filter((_, i) => hole === 0 || i % (hole + 1) !== hole)
    const batch = { records: kept, baseOffset: next - records.length, lastOffset: next - 1 }
    written.push({ batch: { ...batch, codec, producerId, isTransactional }, transaction })
  }
  for (const producer of open.keys()) finish(producer, true)
  return { written, transactions }
}

describe('record batches of Kafka', () => {
  it('give every committed record once, from any position, cut anywhere, in blocks of any size', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(40),
        fc.integer({ min: 1, max: 300 }),
        (steps, where, cut, valueBytesMax) => {
          const { written, transactions } = writeLog(steps)
          const end = written.reduce((max, { batch }) => Math.max(max, endOf(batch)), 0)
          const position = Math.floor(where * end)
          // What a broker sends: from the batch that holds the position, the last one cut off.
          const sent = written.filter(({ batch }) => endOf(batch) > position)
          const encoded = sent.map(({ batch }) => encode(batch))
          const whole = Buffer.concat(encoded)
          const bytes = whole.subarray(0, Math.max(0, whole.length - cut))
          let sizeBytes = 0
          const arrived = sent.filter((_, i) => {
            sizeBytes += (encoded[i] as Buffer).length
            return sizeBytes <= bytes.length
          })
          const aborted = transactions.filter(
            (transaction) => transaction.isAborted && transaction.end >= position,
          )
          const expected = arrived
            .filter(
              ({ transaction, batch }) =>
                transaction?.isAborted !== true && batch.control === undefined,
            )
            .flatMap(({ batch }) => batch.records)
            .filter(({ offset }) => offset >= position)
            .map(({ offset, value }) => [offset, value])
          const blocks = readBlocks(bytes, position, aborted.toReversed(), valueBytesMax)
          expect(recordsOf(blocks)).toEqual(expected)
          const next = arrived.length === 0 ? null : endOf((arrived.at(-1) as Written).batch)
          expect(offsetAfter(3, bytes)).toBe(next)
          expect(blocks.at(-1)?.nextOffset ?? position).toBe(next ?? position)
        },
      ),
      { numRuns: 400 },
    )
  })

  it('with a wrong byte anywhere behind the check sum are damaged, by partition and offset', () => {
    const batch = encode({
      records: [
        { offset: 7, value: 'abc' },
        { offset: 8, value: 'd' },
      ],
    })
    fc.assert(
      fc.property(
        fc.integer({ min: 17, max: batch.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, flip) => {
          const damaged = Buffer.from(batch)
          damaged[at] = (damaged[at] as number) ^ flip
          expect(caught(() => readBlocks(damaged))).toMatchObject({
            kind: 'DataCorrupt',
            context: { logPartition: 3, baseOffset: 7 },
          })
        },
      ),
    )
  })

  it('whose records contradict themselves under a right check sum never hang a reader or pass as another error', () => {
    const records = Array.from({ length: 5 }, (_, i) => ({
      offset: 10 + i,
      value: 'value'.repeat(i),
      headers: [['potok.kind', Buffer.from('1')]] as const,
    }))
    const batch = encode({ records })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 21, max: batch.length - 1 }), fc.nat(255)), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.nat(30),
        (changes, cut) => {
          const changed = Buffer.from(batch.subarray(0, batch.length - cut))
          for (const [at, byte] of changes) if (at < changed.length) changed[at] = byte
          changed.writeInt32BE(changed.length - 12, 8)
          const result = caught(() => readBlocks(seal(changed), 10))
          if (Array.isArray(result)) return
          expect(isPotokError(result, 'DataCorrupt')).toBe(true)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('of another format are refused', () => {
    const batch = encode({ records: [{ offset: 0, value: 'x' }] })
    batch.writeInt8(1, 16)
    expect(caught(() => readBlocks(batch))).toMatchObject({ kind: 'DataCorrupt' })
  })

  it('whose compression fails are damaged, whatever the algorithm', () => {
    for (const codec of [1, 2, 3, 4, 5]) {
      const batch = encode({ records: [{ offset: 0, value: 'x'.repeat(100) }] })
      batch.writeInt16BE(codec, 21)
      expect(caught(() => readBlocks(seal(batch)))).toMatchObject({ kind: 'DataCorrupt' })
    }
  })

  it('with append time give it to every record, else each its own', () => {
    const records = [
      { offset: 0, value: 'a', timestampMs: baseMs + 5 },
      { offset: 1, value: 'b', timestampMs: baseMs - 90_000_000_000 },
    ]
    const appendMs = baseMs + 77
    expect([...one({ records, appendMs }).receivedAtUs]).toEqual([appendMs * 1e3, appendMs * 1e3])
    expect([...one({ records }).receivedAtUs]).toEqual([
      (baseMs + 5) * 1e3,
      (baseMs - 90_000_000_000) * 1e3,
    ])
  })

  it('keep times that no clock shows within what tables can hold', () => {
    const records = [
      { offset: 0, value: 'a', timestampMs: -1 },
      { offset: 1, value: 'b', timestampMs: 9e15 },
    ]
    expect([...one({ records }).receivedAtUs]).toEqual([0, 253_402_300_799_999_000])
  })

  it('give an empty value for none', () => {
    expect(
      recordsOf([
        one({
          records: [
            { offset: 4, value: null },
            { offset: 5, value: 'b' },
          ],
        }),
      ]),
    ).toEqual([
      [4, ''],
      [5, 'b'],
    ])
  })

  it('hand out buffers of their own', () => {
    const bytes = encode({ records: [{ offset: 0, value: 'a' }] })
    const [block] = readBlocks(bytes)
    bytes.fill(0)
    expect(textsOf(block as RecordBlock)).toEqual(['a'])
    expect(block?.values.byteOffset).toBe(0)
  })
})

describe('headers', () => {
  const eventId = Uint8Array.from({ length: 16 }, (_, i) => i + 1)

  it('of ours give kind, receive time and event id, among others', () => {
    const block = one({
      records: [
        { offset: 0, value: 'a' },
        {
          offset: 1,
          value: 'b',
          headers: [
            ['traceparent', Buffer.from('00-1')],
            ['potok.event_id', eventId],
            ['potok.received_at_us', Buffer.from('1699999999123456')],
            ['empty', null],
            ['potok.kind', Buffer.from('1')],
          ],
        },
      ],
    })
    expect([...block.kinds]).toEqual([0, 1])
    expect([...block.receivedAtUs]).toEqual([baseMs * 1e3, 1_699_999_999_123_456])
    expect([...(block.eventIds ?? [])]).toEqual([...Array<number>(16).fill(0), ...eventId])
  })

  it('of ours that can’t be read make a record of an unknown kind, or count as absent', () => {
    for (const text of ['', 'x', '-1', '1.5', '255', '999', '99999999999999999999']) {
      expect([...one(headed(['potok.kind', Buffer.from(text)])).kinds]).toEqual([255])
    }
    expect([...one(headed(['potok.kind', null])).kinds]).toEqual([255])
    for (const text of ['', 'soon', '-5', '1e15', '9'.repeat(16), '9'.repeat(17)]) {
      const { receivedAtUs } = one(headed(['potok.received_at_us', Buffer.from(text)]))
      expect([...receivedAtUs]).toEqual([baseMs * 1e3])
    }
    expect(one(headed(['potok.event_id', eventId.subarray(1)])).eventIds).toBeNull()
    expect(one(headed(['potok.event_id', null])).eventIds).toBeNull()
  })

  it('of others are passed over, also by names that look like ours', () => {
    const others = ['potok.kinds', 'potok.kinD', 'POTOK.KIND', 'potok.event_iD', '']
    const block = one(headed(...others.map((name) => [name, eventId] as const)))
    expect([...block.kinds]).toEqual([0])
    expect(block.eventIds).toBeNull()
  })
})

function endOf(batch: TestBatch): number {
  return (batch.lastOffset ?? batch.records.at(-1)?.offset ?? 0) + 1
}
