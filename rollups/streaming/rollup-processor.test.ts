import { beforeEach, describe, expect, test } from 'vitest'
import type { SinkState } from '../../iceberg/sink/sink-processor.ts'
import { createCameraLimits } from '../../kernel/camera-limits.ts'
import { createDetectionDecoder } from '../../kernel/decode-detection.ts'
import { exactnessProperties } from '../../kernel/exactness.ts'
import type { WrittenFile } from '../../kernel/ports.ts'
import { buildBlock } from '../../kernel/record-block-codec.ts'
import { rollup5mTable } from '../../kernel/tables.ts'
import { formatUs, usPer5Minutes, usPerDay, usPerHour } from '../../kernel/time.ts'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { type MemoryRow, rowsOf } from '../../testkit/memory-parquet.ts'
import { type NaiveEvent, naiveRollup } from '../../testkit/naive-rollups.ts'
import { createRandom, createSeededIds } from '../../testkit/random.ts'
import { stagedTableOf } from '../../testkit/staged-table.ts'
import {
  createRollupProcessor,
  defaultRollupProcessorConfig,
  type RollupProcessorConfig,
} from './rollup-processor.ts'

const day = 20_183 * usPerDay
const nowMs = (day + usPerDay) / 1_000
const latenessUsMax = 3 * usPerHour

type Event = { kvfvId: string; eventTimeUs: number; speedMilli: number; receivedAtUs: number }

function recordOf(event: Event, logPartition = 0) {
  const { kvfvId, eventTimeUs, speedMilli, receivedAtUs } = event
  const text = JSON.stringify({
    kvfv_id: kvfvId,
    timestamp: formatUs(eventTimeUs),
    vehicle_speed: speedMilli / 1_000,
  })
  return { logPartition, kind: 0, receivedAtUs, key: null, eventId: null, value: Buffer.from(text) }
}

function event(changes: Partial<Event> = {}): Event {
  const eventTimeUs = changes.eventTimeUs ?? day + 60_000_000
  return {
    kvfvId: 'KV1',
    speedMilli: 50_000,
    receivedAtUs: eventTimeUs + 1,
    ...changes,
    eventTimeUs,
  }
}

function someEvents(count: number, seed: number): Event[] {
  const random = createRandom(seed)
  return Array.from({ length: count }, () => {
    const eventTimeUs = day - usPerHour + random.below(3 * usPerHour)
    return {
      kvfvId: `KV${random.below(5)}`,
      eventTimeUs,
      speedMilli: random.chance(0.1) ? random.below(2_000) : random.below(400_001),
      receivedAtUs: eventTimeUs + random.below(2 * latenessUsMax),
    }
  })
}

const limits = createCameraLimits([
  { kvfvId: 'KV1', validFromUs: null, limitMilli: 60_000 },
  { kvfvId: 'KV2', validFromUs: day, limitMilli: 90_000 },
])

function stateOf(sealedUntilUs: number | null): SinkState {
  const properties = exactnessProperties({ sealedUntilUs, sequence: 0, overrides: new Map() })
  const table = stagedTableOf(rollup5mTable, { store: createMemoryObjectStore(), properties })
  return { snapshotId: null, properties, positions: new Map(), tables: [table.loaded()] }
}

describe('the rollup processor', () => {
  let written: MemoryRow[]
  let locations: string[]

  beforeEach(() => {
    written = []
    locations = []
  })

  function create(
    config: Partial<RollupProcessorConfig> = {},
    sealedUntilUs: number | null = null,
  ) {
    const processor = createRollupProcessor(
      {
        ids: createSeededIds(createRandom(1)),
        clock: { nowMs: () => nowMs },
        decoder: createDetectionDecoder(undefined, { texts: false }),
        limits: () => limits,
        parquet: {
          async write(definition, batch, locationOf) {
            const rows = rowsOf(definition, batch)
            written.push(...rows)
            const days = new Set(
              rows.map((row) => Math.floor((row['window_start'] as number) / usPerDay)),
            )
            return [...days].map((partitionDay): WrittenFile => {
              locations.push(locationOf(partitionDay))
              const ofDay = rows.filter(
                (row) => Math.floor((row['window_start'] as number) / usPerDay) === partitionDay,
              )
              return {
                location: locations.at(-1) as string,
                partitionDay,
                recordCount: ofDay.length,
                fileSizeBytes: 1,
                columns: [],
              }
            })
          },
          async close() {},
        },
      },
      { ...defaultRollupProcessorConfig, latenessUsMax, ...config },
    )
    processor.begin(stateOf(sealedUntilUs))
    return processor
  }

  test('provisional rows of any number of commits add up to a naive aggregation', async () => {
    const processor = create()
    const events = someEvents(3_000, 7)
    for (let from = 0, offset = 0; from < events.length; from += 700) {
      const part = events.slice(from, from + 700)
      const half = Math.floor(part.length / 2)
      processor.add(
        buildBlock(
          part.slice(0, half).map((e) => recordOf(e)),
          offset,
        ),
      )
      processor.add(
        buildBlock(
          part.slice(half).map((e) => recordOf(e)),
          offset + half,
        ),
      )
      const taken = processor.take()
      await taken.stage()
      taken.committed()
      offset += part.length
    }
    expect(addedUp(written)).toEqual(naively(events))
    expect(processor.counts()).toEqual({ added: 3_000, sealed: 0, rejected: 0 })
    for (const row of written) {
      expect(row).toMatchObject({
        is_exact: 0,
        revision: null,
        source_snapshot_id: null,
        median_milli: null,
        p85_milli: null,
        duplicate_count: null,
        computed_at: nowMs * 1_000,
      })
    }
  })

  test('a detection sent twice is counted twice: the exact job takes it out', async () => {
    const processor = create()
    processor.add(buildBlock([recordOf(event()), recordOf(event())], 0))
    await processor.take().stage()
    expect(written).toMatchObject([{ event_count: 2n, speed_sum_milli: 100_000n }])
  })

  test('a sealed window gets nothing, the first open one everything', async () => {
    const sealedUntilUs = day + usPer5Minutes
    const processor = create({}, sealedUntilUs)
    processor.add(
      buildBlock(
        [
          recordOf(event({ eventTimeUs: sealedUntilUs - 1 })),
          recordOf(event({ eventTimeUs: sealedUntilUs })),
          recordOf(event({ eventTimeUs: day - usPerDay })),
        ],
        0,
      ),
    )
    const taken = processor.take()
    const [staged] = await taken.stage()
    expect(staged?.dataFiles.length).toBe(1)
    expect(written).toMatchObject([{ window_start: sealedUntilUs, event_count: 1n }])
    expect(processor.counts().sealed).toBe(0)
    taken.committed()
    expect(processor.counts()).toEqual({ added: 1, sealed: 2, rejected: 0 })
    // They were seen: the watermark knows them.
    processor.add(buildBlock([recordOf(event({ eventTimeUs: day }))], 3))
    expect(processor.take().eventTimeUsMax).toEqual(new Map([[0, day]]))
  })

  test('a window that sealed_until cuts is sealed whole', async () => {
    const processor = create({}, day + 1)
    processor.add(buildBlock([recordOf(event({ eventTimeUs: day + 2 }))], 0))
    expect(await processor.take().stage()).toMatchObject([{ dataFiles: [] }])
  })

  test('may be rebased only where sealed_until is what its rows were filtered by', () => {
    const processor = create({}, day)
    const tables = stateOf(day).tables
    expect(processor.canRebase({ ...stateOf(day), tables })).toBe(true)
    expect(processor.canRebase({ ...stateOf(day + usPer5Minutes), tables })).toBe(false)
    expect(processor.canRebase({ ...stateOf(null), tables })).toBe(false)
  })

  test('rejected and undecodable records make no row, but their age counts', async () => {
    const processor = create()
    const fill = processor.add(
      buildBlock(
        [
          { ...recordOf(event({ receivedAtUs: 500 })), kind: 1 },
          { ...recordOf(event()), value: Buffer.from('{"kvfv_id":') },
          recordOf(event({ kvfvId: 'KV9' })),
        ],
        0,
      ),
    )
    expect(fill).toMatchObject({ rows: 1, oldestReceivedAtUs: 500, full: false })
    const taken = processor.take()
    await taken.stage()
    taken.committed()
    expect(written).toMatchObject([{ kvfv_id: 'KV9' }])
    expect(processor.counts()).toEqual({ added: 1, sealed: 0, rejected: 2 })
  })

  test('nothing to write is nothing written: the positions still move', async () => {
    expect(await create().take().stage()).toMatchObject([{ dataFiles: [] }])
    expect(locations).toEqual([])
  })

  test('a batch ends when it has as many rows or days as may be', () => {
    const windows = [0, 1, 2].map((i) => recordOf(event({ eventTimeUs: day + i * usPer5Minutes })))
    const processor = create({ rowsMax: 3 })
    expect(processor.add(buildBlock(windows.slice(0, 2), 0))).toMatchObject({
      rows: 2,
      full: false,
    })
    expect(processor.add(buildBlock(windows, 2))).toMatchObject({ rows: 3, full: true })
    processor.take()
    expect(processor.add(buildBlock(windows.slice(0, 1), 5))).toMatchObject({
      rows: 1,
      full: false,
    })

    const days = [0, 1].map((i) => recordOf(event({ eventTimeUs: day - i * usPerDay })))
    expect(create({ daysPerCommitMax: 2 }).add(buildBlock(days, 0))).toMatchObject({ full: true })
  })

  test('going back to step 1 drops what was collected', async () => {
    const processor = create()
    processor.add(buildBlock([recordOf(event())], 0))
    processor.begin(stateOf(null))
    const taken = processor.take()
    expect(await taken.stage()).toMatchObject([{ dataFiles: [] }])
    taken.committed()
    expect(processor.counts().added).toBe(0)
  })

  test('files are named by day inside the table', async () => {
    const processor = create()
    const events = [event({ eventTimeUs: day - 1 }), event({ eventTimeUs: day })]
    processor.add(
      buildBlock(
        events.map((e) => recordOf(e)),
        0,
      ),
    )
    await processor.take().stage()
    expect(locations.map((location) => location.split('/').slice(-3, -1))).toEqual([
      ['data', 'window_start_day=2025-04-04'],
      ['data', 'window_start_day=2025-04-05'],
    ])
  })

  test('the watermark follows events per log partition, never past the time of receipt', () => {
    const processor = create()
    const ahead = event({ eventTimeUs: day + 10, receivedAtUs: day + 4 })
    processor.add(buildBlock([recordOf(ahead, 3)], 0))
    processor.add(buildBlock([recordOf(event({ eventTimeUs: day + 2 }), 5)], 0))
    expect(processor.take().eventTimeUsMax).toEqual(
      new Map([
        [3, day + 4],
        [5, day + 2],
      ]),
    )
  })
})

type Sums = Record<string, unknown>
const summed = [
  'event_count',
  'speed_sum_milli',
  'speed_sum_sq_milli',
  'pace_sum',
  'standing_count',
  'late_count',
] as const

const order = (a: bigint, b: bigint) => (a < b ? -1 : 1)
const limitOf = (kvfvId: string, atUs: number) => limits.limitAt(kvfvId, atUs)

/** Rows of one key added up, as a reader of the table does. */
function addedUp(rows: readonly MemoryRow[]): Sums[] {
  const byKey = Map.groupBy(rows, (row) => JSON.stringify([row['kvfv_id'], row['window_start']]))
  const result = [...byKey].map(([key, ofKey]): Sums => {
    const [kvfvId, windowStart] = JSON.parse(key) as [string, number]
    const values = (name: string) => ofKey.map((row) => row[name] as bigint | null)
    const total = (name: string) => values(name).reduce<bigint>((sum, v) => sum + (v ?? 0n), 0n)
    const histogram: Record<number, bigint> = {}
    for (const [bin, count] of ofKey.flatMap(
      (row) => row['speed_histogram'] as [number, bigint][],
    )) {
      histogram[bin] = (histogram[bin] ?? 0n) + count
    }
    return {
      key: `${kvfvId} ${windowStart}`,
      ...Object.fromEntries(summed.map((name) => [name, total(name)])),
      violation_count: values('violation_count').every((v) => v === null)
        ? null
        : total('violation_count'),
      min: (values('speed_min_milli') as bigint[]).sort(order)[0],
      max: (values('speed_max_milli') as bigint[]).sort(order).at(-1),
      histogram,
    }
  })
  return result.sort((a, b) => (String(a['key']) < String(b['key']) ? -1 : 1))
}

function naively(events: readonly Event[]): Sums[] {
  const naiveEvents = events.map(
    (e, i): NaiveEvent => ({ ...e, eventId: `${i}`, logEpoch: 0, logPartition: 0, logOffset: i }),
  )
  const rows = naiveRollup(naiveEvents, { windowUs: usPer5Minutes, latenessUsMax, limitOf })
  return rows
    .map(
      (row): Sums => ({
        key: `${row.kvfvId} ${row.windowStartUs}`,
        event_count: row.eventCount,
        speed_sum_milli: row.speedSum,
        speed_sum_sq_milli: row.speedSumSq,
        pace_sum: row.paceSum,
        standing_count: row.standingCount,
        late_count: row.lateCount,
        violation_count: row.violationCount,
        min: row.speedMin,
        max: row.speedMax,
        histogram: row.histogram,
      }),
    )
    .sort((a, b) => (String(a['key']) < String(b['key']) ? -1 : 1))
}
