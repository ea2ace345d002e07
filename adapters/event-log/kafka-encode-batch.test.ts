import { crc32c, Reader, readRecordsBatch } from '@platformatic/kafka'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LogRecord } from '../../kernel/ports.ts'
import { createRecordEncoder, encodeBatch, recordSizeBytesMax } from './kafka-encode-batch.ts'
import { compressRecords } from './kafka-produce-request.ts'

const recordArbitrary: fc.Arbitrary<LogRecord> = fc.record({
  logPartition: fc.constant(0),
  kind: fc.constantFrom(0, 0, 1, 12),
  receivedAtUs: fc.integer({ min: 0, max: 2 ** 52 }),
  key: fc.option(fc.uint8Array({ maxLength: 200 })),
  eventId: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 })),
  value: fc.uint8Array({ maxLength: 300 }),
})

/** What platformatic's own reader finds in the batch. */
async function decoded(records: readonly LogRecord[], cuts: readonly number[] = []) {
  const encode = createRecordEncoder()
  const ends = [...new Set([...cuts, records.length])].sort((a, b) => a - b)
  const slices = ends.map((to, i) => ({ records, from: ends[i - 1] ?? 0, to }))
  const encoded = encode(slices.filter(({ from, to }) => to > from))
  const { body, algorithm } = await compressRecords(encoded.bytes)
  const head = { producerId: 77n, producerEpoch: 3, baseSequence: 2 ** 31 - 1 }
  const bytes = encodeBatch({ ...encoded, ...head }, body, algorithm)
  const batch = readRecordsBatch(Reader.from(bytes))
  return { bytes, batch, encoded, algorithm }
}

function expectedHeaders(record: LogRecord): [string, string][] {
  const headers: [string, string][] = [['potok.received_at_us', String(record.receivedAtUs)]]
  if (record.eventId !== null) {
    headers.push(['potok.event_id', Buffer.from(record.eventId).toString('latin1')])
  }
  if (record.kind !== 0) headers.push(['potok.kind', String(record.kind)])
  return headers
}

describe('a record batch', () => {
  it('holds what was put in, for a reader that is not ours', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(recordArbitrary, { minLength: 1, maxLength: 40 }),
        fc.array(fc.nat({ max: 40 }), { maxLength: 3 }),
        async (records, cuts) => {
          const within = cuts.filter((cut) => cut < records.length)
          const { bytes, batch, encoded } = await decoded(records, within)
          expect(batch.length).toBe(bytes.length - 12)
          expect(batch.crc >>> 0).toBe(crc32c(bytes.subarray(21)) >>> 0)
          expect(batch).toMatchObject({ producerId: 77n, producerEpoch: 3, magic: 2 })
          expect(batch.firstSequence).toBe(2 ** 31 - 1)
          expect(batch.records).toHaveLength(records.length)
          batch.records.forEach((found, i) => {
            const record = records[i] as LogRecord
            expect(found.offsetDelta).toBe(i)
            expect(Number(batch.firstTimestamp + found.timestampDelta)).toBe(
              Math.floor(record.receivedAtUs / 1_000),
            )
            expect(found.key ?? null).toEqual(record.key === null ? null : Buffer.from(record.key))
            expect(found.value).toEqual(Buffer.from(record.value))
            const headers = found.headers.map(([name, value]) => [
              String(name),
              value?.toString('latin1'),
            ])
            expect(headers).toEqual(expectedHeaders(record))
          })
          const sizeBytesMax = records.reduce((sum, record) => sum + recordSizeBytesMax(record), 0)
          expect(encoded.bytes.length).toBeLessThanOrEqual(sizeBytesMax)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('is compressed where that is worth it', async () => {
    const record: LogRecord = {
      logPartition: 0,
      kind: 0,
      receivedAtUs: 1,
      key: null,
      eventId: null,
      value: Buffer.from('{"kvfv_id":"KV1"}'),
    }
    expect((await decoded([record])).algorithm).toBe('none')
    for (const count of [100, 5_000]) {
      const { algorithm, bytes, encoded, batch } = await decoded(
        Array.from({ length: count }, () => record),
      )
      expect(algorithm).toBe('zstd')
      expect(bytes.length).toBeLessThan(encoded.bytes.length / 4)
      expect(batch.records).toHaveLength(count)
    }
  })
})
