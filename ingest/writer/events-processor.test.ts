import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LoadedTable } from '../../iceberg/catalog.ts'
import type { LogPosition, SinkState } from '../../iceberg/sink/sink-processor.ts'
import type { TableDefinition, WritableBatch } from '../../kernel/columns.ts'
import { createDetectionDecoder } from '../../kernel/decode-detection.ts'
import type { IdSource, LogRecord, ParquetWriter } from '../../kernel/ports.ts'
import { buildBlock } from '../../kernel/record-block-codec.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import { dayOfUs } from '../../kernel/time.ts'
import { type MemoryRow, rowsOf } from '../../testkit/memory-parquet.ts'
import { encodePosition, positionKey } from '../../iceberg/sink/positions.ts'
import { createEventsProcessor, defaultEventsProcessorConfig } from './events-processor.ts'

const receivedAtUs = Date.UTC(2025, 3, 5, 12) * 1_000
const ids: IdSource = { uuid: () => 'uuid', snapshotId: () => 1n }

function table(name: string): LoadedTable {
  const metadata = {
    location: `file:///w/traffic/${name}`,
    defaultSpecId: 0,
    defaultSortOrderId: 1,
  }
  const identifier = { namespace: ['traffic'], name }
  return { identifier, metadataLocation: '', metadata } as unknown as LoadedTable
}

function state(nextOffset = 0, logEpoch = 0): SinkState {
  const log = { clusterId: 'c', topic: 't', topicId: 'i' }
  const position: LogPosition = { ...log, logEpoch, nextOffset, eventTimeUsMax: null }
  return {
    snapshotId: null,
    properties: { [positionKey(0)]: encodePosition(position) },
    positions: new Map([[0, position]]),
    tables: [table('events'), table('rejected_events')],
  }
}

/** Keeps what it is given, and names one file per day. */
function recordingParquet() {
  const rows: Record<string, MemoryRow[]> = { events: [], rejected_events: [] }
  const parquet: ParquetWriter = {
    async write(definition: TableDefinition, batch: WritableBatch, locationOf) {
      const written = rowsOf(definition, batch)
      rows[definition.name]?.push(...written)
      const byDay = Map.groupBy(written, (row) =>
        dayOfUs(row[definition.partitionByDayOf ?? ''] as number),
      )
      return [...byDay].map(([partitionDay, of]) => ({
        location: locationOf(partitionDay),
        partitionDay,
        recordCount: of.length,
        fileSizeBytes: 1,
        columns: [],
      }))
    },
    async close() {},
  }
  return { rows, parquet }
}

function processorOf(
  options: { config?: Partial<typeof defaultEventsProcessorConfig>; lazyTexts?: boolean } = {},
) {
  const { rows, parquet } = recordingParquet()
  const processor = createEventsProcessor(
    {
      parquet,
      ids,
      clock: { nowMs: () => 42_000 },
      decoder: createDetectionDecoder(undefined, { lazyTexts: options.lazyTexts ?? true }),
      hashEventId: (_detection, out, at) => out.fill(0xee, at, at + 16),
    },
    { ...defaultEventsProcessorConfig, ...options.config },
  )
  return { rows, processor }
}

function record(value: unknown, more: Partial<LogRecord> = {}): LogRecord {
  const bytes = new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
  return { logPartition: 0, kind: 0, receivedAtUs, key: null, eventId: null, value: bytes, ...more }
}

const detection = {
  kvfv_id: 'KV1',
  timestamp: '2025-04-05T10:15:30.25Z',
  vehicle_speed: 85.2,
  plate_number: 'А123БВ68',
  lane: 2,
}

test('what had left the log before an empty table read anything is a range, so that offsets begin at 0', async () => {
  const { rows, processor } = processorOf()
  processor.begin({ ...state(100), properties: {} })
  processor.add(buildBlock([record(detection)], 100))
  await processor.take().stage()
  expect(rows['rejected_events']).toMatchObject([
    { reason: 'log_gap', log_offset: 0n, record_count: 100n },
  ])
})

test('a detection becomes a row with its log position, a rejected item one with its reason', async () => {
  const { rows, processor } = processorOf()
  processor.begin(state(100, 3))
  const item = {
    reason: 'missing_field',
    detail: 'no speed',
    source: 'http',
    kvfv_id: 'KV2',
    payload: '{}',
  }
  processor.add(buildBlock([record(detection), record(item, { kind: 1 })], 100))
  const staged = await processor.take().stage()
  expect(rows['events']).toEqual([
    {
      event_id: 'ee'.repeat(16),
      kvfv_id: 'KV1',
      event_time: Date.UTC(2025, 3, 5, 10, 15, 30, 250) * 1_000,
      vehicle_speed: 85.2,
      plate_number: 'А123БВ68',
      attributes: '{"lane":2}',
      received_at: receivedAtUs,
      log_epoch: 3,
      log_partition: 0,
      log_offset: 100n,
    },
  ])
  expect(rows['rejected_events']).toEqual([
    {
      received_at: receivedAtUs,
      reason: 'missing_field',
      detail: 'no speed',
      source: 'http',
      kvfv_id: 'KV2',
      payload: '{}',
      log_epoch: 3,
      log_partition: 0,
      log_offset: 101n,
      record_count: 1n,
    },
  ])
  expect(staged.map(({ dataFiles }) => dataFiles.map(({ filePath }) => filePath))).toEqual([
    ['file:///w/traffic/events/data/event_time_day=2025-04-05/uuid.parquet'],
    ['file:///w/traffic/rejected_events/data/received_at_day=2025-04-05/uuid.parquet'],
  ])
})

test('texts go into rows as bytes as they would as strings', async () => {
  const texts = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 30 }),
    fc.constantFrom('exactly12byt', 'thirteenbytes', '😀\u0000'),
  )
  const item = fc
    .tuple(texts, fc.option(texts), fc.dictionary(texts, fc.jsonValue(), { maxKeys: 4 }), fc.nat(2))
    .map(([id, plate, further, indent]) =>
      record(
        JSON.stringify(
          { ...further, ...detection, kvfv_id: `K${id}`, plate_number: plate },
          null,
          indent,
        ).replaceAll('é', '\\u00e9'),
      ),
    )
  await fc.assert(
    fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 8 }), async (items) => {
      const [bytes, strings] = [processorOf(), processorOf({ lazyTexts: false })]
      for (const { processor } of [bytes, strings]) {
        processor.begin(state())
        // Twice: the second batch reuses the memory of the first.
        for (let round = 0; round < 2; round++) {
          processor.add(buildBlock(items, round * items.length))
          const taken = processor.take()
          await taken.stage()
          taken.committed()
        }
      }
      expect(bytes.rows).toEqual(strings.rows)
      const plates = items.map(
        ({ value }) => JSON.parse(Buffer.from(value).toString()).plate_number,
      )
      expect(bytes.rows['events']?.map((row) => row['plate_number'] ?? '')).toEqual(
        [...plates, ...plates].map((plate) => plate ?? ''),
      )
    }),
    { numRuns: 200 },
  )
})

test('what is added while a batch is being written is of the next one', async () => {
  const { rows, processor } = processorOf()
  processor.begin(state())
  for (let round = 0; round < 4; round++) {
    const plate = `before${round}`
    processor.add(buildBlock([record({ ...detection, plate_number: plate })], round * 3))
    const taken = processor.take()
    const after = [record({ ...detection, plate_number: `after${round}` }), record('nonsense')]
    expect(processor.add(buildBlock(after, round * 3 + 1))).toMatchObject({ rows: 2 })
    await taken.stage()
    taken.committed()
    expect(rows['events']?.map((row) => row['plate_number'])).toEqual([plate])
    expect(rows['rejected_events']).toEqual([])
    const rest = processor.take()
    await rest.stage()
    rest.committed()
    expect(rows['events']?.map((row) => row['plate_number'])).toEqual([plate, `after${round}`])
    expect(rows['rejected_events']).toHaveLength(1)
    for (const kept of Object.values(rows)) kept.length = 0
  }
})

test('an event id that the gateway computed is kept, a missing one is computed', async () => {
  const { rows, processor } = processorOf()
  processor.begin(state())
  const given = new Uint8Array(16).fill(0xab)
  processor.add(buildBlock([record(detection, { eventId: given }), record(detection)], 0))
  await processor.take().stage()
  expect(rows['events']?.map((row) => row['event_id'])).toEqual(['ab'.repeat(16), 'ee'.repeat(16)])
})

test.each([
  [{ keepUnreadable: true }, '["a plate might hide here"]'],
  [{ keepUnreadable: false }, null],
])(
  'what a foreign producer wrote and nobody can read is rejected, its payload by policy: %j',
  async (config, payload) => {
    const { rows, processor } = processorOf({ config })
    processor.begin(state())
    const bad = '["a plate might hide here"]'
    processor.add(buildBlock([record(bad), record(bad, { kind: 1 }), record(bad, { kind: 9 })], 0))
    await processor.take().stage()
    expect(rows['rejected_events']).toMatchObject([
      { reason: 'not_an_object', source: 'log', payload, log_offset: 0n },
      { reason: 'invalid_json', source: 'log', payload, log_offset: 1n },
      { reason: 'invalid_field', source: 'log', payload, log_offset: 2n },
    ])
  },
)

test('rows and ranges of a batch cover every offset once, wherever the log has gaps', async () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 3 }), fc.boolean()), { maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(steps, fc.nat({ max: 4 }), fc.nat({ max: 5 }), async (given, tail, cut) => {
      const { rows, processor } = processorOf()
      processor.begin(state(10))
      let offset = 10
      const placed = given.map(([skip, good]) => {
        offset += skip
        return { offset: offset++, record: record(good ? detection : 'nonsense') }
      })
      const end = offset + tail
      const parts = [placed.slice(0, cut), placed.slice(cut)].filter((part) => part.length > 0)
      for (const [i, part] of parts.entries()) {
        const isLast = i === parts.length - 1
        const last = part.at(-1)?.offset ?? 0
        const block: RecordBlock = {
          ...buildBlock(
            part.map((each) => each.record),
            part[0]?.offset ?? 0,
          ),
          offsets: Float64Array.from(part, (each) => each.offset),
          nextOffset: isLast ? end : last + 1,
        }
        processor.add(block)
      }
      await processor.take().stage()
      const covered = [...(rows['events'] ?? []), ...(rows['rejected_events'] ?? [])].flatMap(
        (row) =>
          Array.from(
            { length: Number(row['record_count'] ?? 1) },
            (_, i) => Number(row['log_offset']) + i,
          ),
      )
      const expected = parts.length === 0 ? [] : Array.from({ length: end - 10 }, (_, i) => 10 + i)
      expect(covered.toSorted((a, b) => a - b)).toEqual(expected)
    }),
    { numRuns: 60 },
  )
})

function on(day: string): LogRecord {
  return record({ ...detection, timestamp: `${day}T00:00:00Z` })
}

test('a batch is full when it holds so many distinct days', () => {
  const { processor } = processorOf({ config: { daysPerCommitMax: 3 } })
  processor.begin(state())
  expect(processor.add(buildBlock([on('2025-04-01'), on('2025-04-02')], 0)).full).toBe(false)
  expect(processor.add(buildBlock([on('2025-04-03')], 2)).full).toBe(true)
  processor.take()
  expect(processor.add(buildBlock([on('2025-04-03')], 3)).full).toBe(false)
})

test('fill tells rows, bytes and the oldest receipt, and begin drops all', () => {
  const { processor } = processorOf()
  processor.begin(state())
  const block = buildBlock(
    [record(detection, { receivedAtUs: receivedAtUs + 5 }), record(detection), record('x')],
    0,
  )
  const fill = processor.add(block)
  expect(fill).toMatchObject({
    rows: 3,
    bytes: block.values.byteLength,
    oldestReceivedAtUs: receivedAtUs,
  })
  processor.begin(state())
  expect(processor.add(buildBlock([record(detection)], 0)).rows).toBe(1)
})

test('a camera whose clock is ahead does not move the watermark past the time of receipt', () => {
  const { processor } = processorOf()
  processor.begin(state())
  const ahead = new Date(receivedAtUs / 1_000 + 120_000).toISOString()
  processor.add(buildBlock([record({ ...detection, timestamp: ahead })], 0))
  expect(processor.take().eventTimeUsMax).toEqual(new Map([[0, receivedAtUs]]))
})

test('many rows keep their values while columns grow', async () => {
  const { rows, processor } = processorOf()
  processor.begin(state())
  for (let from = 0; from < 20_000; from += 5_000) {
    const records = Array.from({ length: 5_000 }, (_, i) =>
      record({ ...detection, vehicle_speed: (from + i) % 400, kvfv_id: `K${(from + i) % 7}` }),
    )
    processor.add(buildBlock(records, from))
  }
  await processor.take().stage()
  const events = rows['events'] ?? []
  expect(events).toHaveLength(20_000)
  const wrong = events.filter(
    (row, i) =>
      row['log_offset'] !== BigInt(i) ||
      row['vehicle_speed'] !== i % 400 ||
      row['kvfv_id'] !== `K${i % 7}`,
  )
  expect(wrong).toEqual([])
})
