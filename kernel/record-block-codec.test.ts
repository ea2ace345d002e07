import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPotokError } from './errors.ts'
import type { LogRecord } from './ports.ts'
import { blockOffset, type RecordBlock } from './record-block.ts'
import {
  blockBuffers,
  buildBlock,
  decodeBlock,
  encodeBlock,
  encodedSizeBytesMax,
  encodeRecords,
  mergeBlocks,
  peekBlock,
} from './record-block-codec.ts'

const recordArbitrary: fc.Arbitrary<LogRecord> = fc.record({
  logPartition: fc.constant(3),
  kind: fc.integer({ min: 0, max: 1 }),
  receivedAtUs: fc.integer({ min: 0, max: 2 ** 52 }),
  key: fc.constant(null),
  eventId: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 })),
  value: fc.uint8Array({ maxLength: 40 }),
})
const recordsArbitrary = fc.array(recordArbitrary, { minLength: 1, maxLength: 20 })
const offsetArbitrary = fc.integer({ min: 0, max: 2 ** 50 })

function recordsOf(block: RecordBlock): { offset: number; record: LogRecord }[] {
  return Array.from({ length: block.count }, (_, i) => {
    const id = block.eventIds?.slice(i * 16, i * 16 + 16)
    return {
      offset: blockOffset(block, i),
      record: {
        logPartition: block.logPartition,
        kind: block.kinds[i] as number,
        receivedAtUs: block.receivedAtUs[i] as number,
        key: null,
        eventId: id === undefined || id.every((byte) => byte === 0) ? null : id,
        value: block.values.slice(i === 0 ? 0 : block.valueEnds[i - 1], block.valueEnds[i]),
      },
    }
  })
}

function expected(records: readonly LogRecord[], baseOffset: number) {
  return records.map((record, i) => ({
    offset: baseOffset + i,
    record: {
      ...record,
      eventId: record.eventId?.every((byte) => byte === 0) ? null : record.eventId,
    },
  }))
}

function isCorrupt(candidate: Uint8Array): boolean {
  try {
    decodeBlock(candidate)
    return false
  } catch (error) {
    return isPotokError(error, 'DataCorrupt')
  }
}

describe('record block codec', () => {
  it('gives back what was encoded, wherever the bytes lie', () => {
    fc.assert(
      fc.property(
        recordsArbitrary,
        offsetArbitrary,
        fc.integer({ min: 0, max: 9 }),
        (records, at, shift) => {
          const bytes = encodeRecords(records, at)
          expect(bytes.length).toBeLessThanOrEqual(encodedSizeBytesMax(records))
          const shifted = new Uint8Array(bytes.length + shift)
          shifted.set(bytes, shift)
          const block = decodeBlock(shifted.subarray(shift))
          expect(recordsOf(block)).toEqual(expected(records, at))
          expect(block.nextOffset).toBe(at + records.length)
          expect(peekBlock(bytes)).toEqual({
            nextOffset: at + records.length,
            receivedAtUsMax: Math.max(...records.map((record) => record.receivedAtUs)),
          })
          expect(encodeBlock(block)).toEqual(bytes)
          expect(blockBuffers(block)).toHaveLength(1)
        },
      ),
    )
  })

  it('keeps explicit offsets', () => {
    const plain = buildBlock(
      [0, 1, 2].map((n) => ({
        logPartition: 0,
        kind: 0,
        receivedAtUs: n,
        key: null,
        eventId: null,
        value: new Uint8Array([n]),
      })),
      7,
    )
    const gappy = { ...plain, offsets: Float64Array.from([7, 9, 12]), nextOffset: 15 }
    const decoded = decodeBlock(encodeBlock(gappy))
    expect([...(decoded.offsets ?? [])]).toEqual([7, 9, 12])
    expect(decoded.nextOffset).toBe(15)
    expect(recordsOf(mergeBlocks([decoded], 8)).map(({ offset }) => offset)).toEqual([9, 12])
  })

  it('refuses a block of which any byte was changed or the end is missing', () => {
    fc.assert(
      fc.property(recordsArbitrary, fc.nat(), fc.integer({ min: 1, max: 255 }), (records, n, x) => {
        const bytes = encodeRecords(records, 5)
        const doctored = bytes.slice()
        const at = n % bytes.length
        doctored[at] = (doctored[at] as number) ^ x
        expect(isCorrupt(doctored)).toBe(true)
        expect(isCorrupt(bytes.subarray(0, at))).toBe(true)
      }),
    )
  })

  it('merges consecutive blocks from any offset, with or without gaps between them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(recordsArbitrary, fc.integer({ min: 0, max: 2 })), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.nat(),
        (parts, n) => {
          let offset = 100
          const all: ReturnType<typeof expected> = []
          const blocks = parts.map(([records, gap]) => {
            offset += gap
            const block = decodeBlock(encodeRecords(records, offset))
            all.push(...expected(records, offset))
            offset += records.length
            return block
          })
          const from = (blocks[0] as RecordBlock).baseOffset + (n % (parts[0]?.[0].length ?? 1))
          const merged = mergeBlocks(blocks, from)
          expect(recordsOf(merged)).toEqual(all.filter((entry) => entry.offset >= from))
          expect(merged.nextOffset).toBe(offset)
          expect(blockBuffers(merged)).toHaveLength(1)
        },
      ),
    )
  })
})
