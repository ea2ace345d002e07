import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ExactDayResult, ExactDayTask, ExactEngine } from '../../kernel/exact-engine.ts'
import { type RollupName, rollupNames } from '../../kernel/exact-engine.ts'
import type { ObjectStore, ParquetWriter } from '../../kernel/ports.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { startOfDayUs, usPer5Minutes, usPerDay, usPerHour, usPerMinute } from '../../kernel/time.ts'
import { type NaiveEvent, type NaiveRow, naiveRollup } from '../../testkit/naive-rollups.ts'
import { createDuckDbParquetWriter } from '../duckdb/duckdb-parquet-writer.ts'
import { type DuckDb, openDuckDb } from '../duckdb/instance.ts'
import { createLocalObjectStore } from '../object-store/local-object-store.ts'
import { createDuckDbExactEngine } from './duckdb-exact-engine.ts'
import { windowLengthUs } from './exact-day-sql.ts'

const day = 20_183
const dayStartUs = startOfDayUs(day)
const latenessUsMax = 3 * usPerHour
const signal = new AbortController().signal

let root: string
let store: ObjectStore
let duckdb: DuckDb
let writer: ParquetWriter
let engine: ExactEngine
let named = 0

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'potok-exact-'))
  store = createLocalObjectStore({ root: pathToFileURL(root).href })
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(root, 'spill'),
  })
  writer = createDuckDbParquetWriter({ store, duckdb })
  engine = createDuckDbExactEngine({ store, duckdb })
})
afterAll(async () => {
  await engine.close()
  await writer.close()
  duckdb.close()
  await rm(root, { recursive: true, force: true })
})

function newLocation(table: string): string {
  return `${pathToFileURL(root).href}/${table}/${named++}.parquet`
}

async function writeEvents(events: readonly NaiveEvent[]): Promise<string> {
  const ids = new Uint8Array(events.length * 16)
  events.forEach((e, i) => ids.set(Buffer.from(e.eventId.replaceAll('-', ''), 'hex'), i * 16))
  const files = await writer.write(
    eventsTable,
    {
      rowCount: events.length,
      columns: {
        event_id: { type: 'uuid', values: ids },
        kvfv_id: { type: 'string', values: events.map((e) => e.kvfvId) },
        event_time: {
          type: 'timestamptz',
          values: Float64Array.from(events, (e) => e.eventTimeUs),
        },
        vehicle_speed: {
          type: 'double',
          values: Float64Array.from(events, (e) => e.speedMilli / 1000),
        },
        plate_number: { type: 'string', values: events.map(() => null) },
        attributes: { type: 'string', values: events.map(() => null) },
        received_at: {
          type: 'timestamptz',
          values: Float64Array.from(events, (e) => e.receivedAtUs),
        },
        log_epoch: { type: 'int', values: Int32Array.from(events, (e) => e.logEpoch) },
        log_partition: { type: 'int', values: Int32Array.from(events, (e) => e.logPartition) },
        log_offset: {
          type: 'long',
          values: BigInt64Array.from(events, (e) => BigInt(e.logOffset)),
        },
      },
    },
    () => newLocation('events'),
  )
  return (files[0] as { location: string }).location
}

function event(over: Partial<NaiveEvent> & { minute?: number } = {}): NaiveEvent {
  const { minute, ...rest } = over
  const eventTimeUs = dayStartUs + (minute ?? 0) * usPerMinute
  const offset = named++
  return {
    eventId: `00000000-0000-4000-8000-${String(offset).padStart(12, '0')}`,
    kvfvId: 'A',
    eventTimeUs,
    speedMilli: 60_000,
    receivedAtUs: (rest.eventTimeUs ?? eventTimeUs) + 1_000_000,
    logEpoch: 0,
    logPartition: 0,
    logOffset: offset,
    ...rest,
  }
}

function task(over: Partial<ExactDayTask>): ExactDayTask {
  return {
    day,
    source: { kind: 'events', files: [] },
    cameras: null,
    sealedUntilUs: dayStartUs + usPerDay,
    existing: { rollup_5m: [], rollup_1h: [], rollup_1d: [] },
    revised: null,
    sourceSnapshotId: 8124n << 40n,
    computedAtUs: dayStartUs + 2 * usPerDay + 123_456,
    latenessUsMax,
    speedLimits: [],
    locationOf: newLocation,
    ...over,
  }
}

type Row = NaiveRow & {
  readonly isExact: boolean
  readonly revision: number | null
  readonly sourceSnapshotId: bigint | null
}

async function rowsOf(location: string | null | undefined): Promise<Row[]> {
  if (location === null || location === undefined) return []
  const connection = await duckdb.connect()
  try {
    const path = await store.localPath(location)
    const reader = await connection.runAndReadAll(
      `SELECT * REPLACE (epoch_us(window_start) AS window_start) FROM read_parquet('${path}')
       ORDER BY kvfv_id, window_start, is_exact`,
    )
    return reader.getRowObjects().map((row) => {
      const map = row['speed_histogram'] as unknown as { entries: { key: number; value: bigint }[] }
      return {
        kvfvId: row['kvfv_id'] as string,
        windowStartUs: Number(row['window_start']),
        eventCount: row['event_count'] as bigint,
        speedSum: row['speed_sum_milli'] as bigint,
        speedSumSq: row['speed_sum_sq_milli'] as bigint,
        paceSum: row['pace_sum'] as bigint,
        standingCount: row['standing_count'] as bigint,
        speedMin: row['speed_min_milli'] as bigint,
        speedMax: row['speed_max_milli'] as bigint,
        violationCount: row['violation_count'] as bigint | null,
        lateCount: row['late_count'] as bigint,
        histogram: Object.fromEntries(map.entries.map(({ key, value }) => [key, value])),
        median: row['median_milli'] as bigint,
        p85: row['p85_milli'] as bigint,
        duplicateCount: row['duplicate_count'] as bigint,
        isExact: row['is_exact'] as boolean,
        revision: row['revision'] as number | null,
        sourceSnapshotId: row['source_snapshot_id'] as bigint | null,
      }
    })
  } finally {
    connection.closeSync()
  }
}

function values(row: Row): NaiveRow {
  const { isExact: _1, revision: _2, sourceSnapshotId: _3, ...rest } = row
  return rest
}

async function rowsIn(result: ExactDayResult, table: RollupName): Promise<Row[]> {
  return rowsOf(result.files[table]?.location)
}

/** What a provisional commit of the stream would leave: rows with `is_exact` false. */
async function writeProvisional(rows: readonly { kvfvId: string; minute: number }[]) {
  const connection = await duckdb.connect()
  const location = newLocation('provisional')
  const path = await store.stagingPath(location)
  const selects = rows.map(
    ({ kvfvId, minute }) => `SELECT '${kvfvId}' AS kvfv_id,
      make_timestamp(${dayStartUs + minute * usPerMinute})::TIMESTAMPTZ AS window_start,
      1::BIGINT AS event_count, 50000::BIGINT AS speed_sum_milli, 2500000000::BIGINT AS speed_sum_sq_milli,
      72000000::BIGINT AS pace_sum, 0::BIGINT AS standing_count, 50000::BIGINT AS speed_min_milli,
      50000::BIGINT AS speed_max_milli, NULL::BIGINT AS violation_count, 0::BIGINT AS late_count,
      MAP {50: 1::BIGINT} AS speed_histogram, NULL::BIGINT AS median_milli, NULL::BIGINT AS p85_milli,
      NULL::BIGINT AS duplicate_count, false AS is_exact, NULL::BIGINT AS source_snapshot_id,
      NULL::INTEGER AS revision, now() AS computed_at`,
  )
  await connection.run(`COPY (${selects.join(' UNION ALL ')}) TO '${path}' (FORMAT parquet)`)
  connection.closeSync()
  await store.adopt(path, location)
  return location
}

function existingOf(result: ExactDayResult): ExactDayTask['existing'] {
  const list = (table: RollupName) => {
    const file = result.files[table]
    return file === null ? [] : [file.location]
  }
  return {
    rollup_5m: list('rollup_5m'),
    rollup_1h: list('rollup_1h'),
    rollup_1d: list('rollup_1d'),
  }
}

const byKey = (a: NaiveRow, b: NaiveRow) =>
  Buffer.compare(Buffer.from(a.kvfvId), Buffer.from(b.kvfvId)) || a.windowStartUs - b.windowStartUs

describe('a whole day', () => {
  it('equals the plainest aggregation, whatever the events', async () => {
    const cameras = ['A', "O'Hara; --", 'камера-Ж-с-длинным-именем', '1']
    const anEvent = fc.record({
      kvfvId: fc.constantFrom(...cameras),
      id: fc.integer({ min: 0, max: 40 }),
      atUs: fc.oneof(
        fc.integer({ min: 0, max: usPerDay - 1 }),
        fc.integer({ min: 0, max: 2 * usPer5Minutes }),
        fc.constantFrom(0, usPer5Minutes - 1, usPer5Minutes, usPerDay - 1),
      ),
      speedMilli: fc.oneof(
        fc.integer({ min: 0, max: 400_000 }),
        fc.constantFrom(0, 1, 999, 1_000, 1_001, 59_999, 60_000, 400_000),
      ),
      delayUs: fc.oneof(
        fc.constantFrom(-60_000_000, 0, latenessUsMax, latenessUsMax + 1),
        fc.integer({ min: 0, max: 2 * latenessUsMax }),
      ),
      logEpoch: fc.integer({ min: 0, max: 1 }),
      logPartition: fc.integer({ min: 0, max: 2 }),
    })
    const limits = [
      { kvfvId: 'A', validFromUs: null, limitMilli: 60_000 },
      { kvfvId: 'A', validFromUs: dayStartUs + usPerHour, limitMilli: 90_000 },
      { kvfvId: 'A', validFromUs: dayStartUs + 12 * usPerHour, limitMilli: null },
      { kvfvId: '1', validFromUs: dayStartUs + usPer5Minutes / 2, limitMilli: 50_000 },
    ]
    const limitOf = (kvfvId: string, atUs: number) =>
      limits.findLast((l) => l.kvfvId === kvfvId && (l.validFromUs ?? 0) <= atUs)?.limitMilli ??
      null
    await fc.assert(
      fc.asyncProperty(fc.array(anEvent, { minLength: 1, maxLength: 120 }), async (drawn) => {
        const events = drawn.map(
          (e, i): NaiveEvent => ({
            // Few ids: many duplicates, also across windows and cameras.
            eventId: `00000000-0000-4000-8000-${String(e.id).padStart(12, '0')}`,
            kvfvId: e.kvfvId,
            eventTimeUs: dayStartUs + e.atUs,
            speedMilli: e.speedMilli,
            receivedAtUs: dayStartUs + e.atUs + e.delayUs,
            logEpoch: e.logEpoch,
            logPartition: e.logPartition,
            logOffset: drawn.length - i,
          }),
        )
        const half = Math.ceil(events.length / 2)
        const files = [await writeEvents(events.slice(0, half))]
        if (half < events.length) files.push(await writeEvents(events.slice(half)))
        const result = await engine.computeDay(
          task({ source: { kind: 'events', files }, speedLimits: limits }),
          signal,
        )
        expect(result.eventsRead).toBe(events.length)
        expect(result.cameras).toBe(
          new Set(naiveRollup(events, { windowUs: usPerDay, latenessUsMax }).map((r) => r.kvfvId))
            .size,
        )
        for (const table of rollupNames) {
          const windowUs = windowLengthUs[table]
          const rows = await rowsIn(result, table)
          const expected = naiveRollup(events, { windowUs, latenessUsMax, limitOf })
          expect(rows.map(values)).toEqual(expected.sort(byKey))
          expect(rows.every((row) => row.isExact && row.revision === 1)).toBe(true)
        }
      }),
      { numRuns: 8 },
    )
  })

  it('has statistics of the file for the manifest', async () => {
    const files = [await writeEvents([event({ kvfvId: 'B', minute: 7 }), event({ minute: 1439 })])]
    const { files: written } = await engine.computeDay(
      task({ source: { kind: 'events', files } }),
      signal,
    )
    const file = written.rollup_5m
    expect(file).toMatchObject({ partitionDay: day, recordCount: 2 })
    const stats = new Map(file?.columns.map((column) => [column.fieldId, column]))
    expect(stats.get(1)).toMatchObject({ lower: 'A', upper: 'B', valueCount: 2, nullCount: 0 })
    expect(stats.get(2)).toMatchObject({
      lower: dayStartUs + 5 * usPerMinute,
      upper: dayStartUs + 1435 * usPerMinute,
    })
    expect(stats.get(10)).toMatchObject({ nullCount: 2, lower: null })
    expect(stats.get(21)).toMatchObject({ lower: dayStartUs + 2 * usPerDay + 123_456 })
    expect(stats.has(13) && stats.has(14)).toBe(true)
    expect((await store.stat(file?.location ?? ''))?.sizeBytes).toBe(file?.fileSizeBytes)
  })

  it('writes no file for a table without a row', async () => {
    const result = await engine.computeDay(task({}), signal)
    expect(result).toEqual({
      files: { rollup_5m: null, rollup_1h: null, rollup_1d: null },
      eventsRead: 0,
      cameras: 0,
    })
  })

  it('refuses files that hold another day', async () => {
    const files = [await writeEvents([event({ eventTimeUs: dayStartUs - 1 })])]
    const work = engine.computeDay(task({ source: { kind: 'events', files } }), signal)
    await expect(work).rejects.toMatchObject({ kind: 'DataCorrupt' })
  })
})

describe('a day sealed in part', () => {
  it('makes wholly sealed windows exact and keeps later provisional rows', async () => {
    const files = [
      await writeEvents([
        event({ minute: 10 }),
        event({ minute: 70 }),
        event({ minute: 84 }),
        event({ minute: 86 }),
      ]),
    ]
    const provisional = await writeProvisional([
      { kvfvId: 'A', minute: 10 },
      { kvfvId: 'gone', minute: 20 },
      { kvfvId: 'A', minute: 85 },
      { kvfvId: 'A', minute: 85 },
    ])
    const result = await engine.computeDay(
      task({
        source: { kind: 'events', files },
        sealedUntilUs: dayStartUs + 85 * usPerMinute,
        existing: { rollup_5m: [provisional], rollup_1h: [], rollup_1d: [] },
      }),
      signal,
    )
    const minutes = (rows: Row[]) =>
      rows.map((row) => [(row.windowStartUs - dayStartUs) / usPerMinute, row.isExact])
    expect(minutes(await rowsIn(result, 'rollup_5m'))).toEqual([
      [10, true],
      [70, true],
      [80, true],
      [85, false],
      [85, false],
    ])
    expect(minutes(await rowsIn(result, 'rollup_1h'))).toEqual([[0, true]])
    expect(result.files.rollup_1d).toBeNull()
  })
})

describe('some cameras', () => {
  const cameraNames = ['A', "B'; DROP", 'C']
  async function firstResult(): Promise<{ events: NaiveEvent[]; result: ExactDayResult }> {
    const events = cameraNames.flatMap((kvfvId) => [
      event({ kvfvId, minute: 1 }),
      event({ kvfvId, minute: 601 }),
    ])
    const files = [await writeEvents(events)]
    return {
      events,
      result: await engine.computeDay(task({ source: { kind: 'events', files } }), signal),
    }
  }

  it.each([1, 60])(
    'get new rows and one revision more, the others stay (%i asked)',
    async (asked) => {
      const { events, result } = await firstResult()
      const late = [...events, event({ kvfvId: "B'; DROP", minute: 2, speedMilli: 90_000 })]
      const cameras = ["B'; DROP", ...Array.from({ length: asked - 1 }, (_, i) => `none-${i}`)]
      const second = await engine.computeDay(
        task({
          source: { kind: 'events', files: [await writeEvents(late)] },
          cameras,
          revised: cameras,
          existing: existingOf(result),
          sourceSnapshotId: 77n,
        }),
        signal,
      )
      expect(second.cameras).toBe(1)
      for (const table of rollupNames) {
        const rows = await rowsIn(second, table)
        const windowUs = windowLengthUs[table]
        expect(rows.map(values)).toEqual(naiveRollup(late, { windowUs, latenessUsMax }))
        for (const row of rows) {
          const isAsked = row.kvfvId === "B'; DROP"
          expect([row.revision, row.sourceSnapshotId]).toEqual(
            isAsked ? [2, 77n] : [1, 8124n << 40n],
          )
        }
      }
    },
  )

  it('vanish where none of their events is left', async () => {
    const { events, result } = await firstResult()
    const left = events.filter((e) => e.kvfvId !== 'C')
    const second = await engine.computeDay(
      task({
        source: { kind: 'events', files: [await writeEvents(left)] },
        cameras: ['C'],
        revised: ['C'],
        existing: existingOf(result),
      }),
      signal,
    )
    expect(second.cameras).toBe(0)
    const rows = await rowsIn(second, 'rollup_1d')
    expect(rows.map((row) => row.kvfvId)).toEqual(['A', "B'; DROP"])
  })

  it('keep their revision where only the seal moves on', async () => {
    const { events, result } = await firstResult()
    const second = await engine.computeDay(
      task({
        source: { kind: 'events', files: [await writeEvents(events)] },
        revised: ['A'],
        existing: existingOf(result),
      }),
      signal,
    )
    const revisions = new Map(
      (await rowsIn(second, 'rollup_5m')).map((row) => [row.kvfvId, row.revision]),
    )
    expect([...revisions]).toEqual([
      ['A', 2],
      ["B'; DROP", 1],
      ['C', 1],
    ])
  })

  it('are taken again from an earlier result, around rows that came meanwhile', async () => {
    const { events, result } = await firstResult()
    const late = [...events, event({ kvfvId: 'A', minute: 3 })]
    const sealedUntilUs = dayStartUs + 20 * usPerHour
    const limited = task({ cameras: ['A'], revised: ['A'], sealedUntilUs, sourceSnapshotId: 5n })
    const first = await engine.computeDay(
      {
        ...limited,
        source: { kind: 'events', files: [await writeEvents(late)] },
        existing: existingOf(result),
      },
      signal,
    )
    const provisional = await writeProvisional([
      { kvfvId: 'A', minute: 30 },
      { kvfvId: 'C', minute: 21 * 60 },
    ])
    const existing = existingOf(result)
    const again = await engine.computeDay(
      {
        ...limited,
        source: {
          kind: 'computed',
          files: {
            rollup_5m: first.files.rollup_5m?.location ?? null,
            rollup_1h: first.files.rollup_1h?.location ?? null,
            rollup_1d: first.files.rollup_1d?.location ?? null,
          },
        },
        existing: { ...existing, rollup_5m: [...existing.rollup_5m, provisional] },
      },
      signal,
    )
    const exact = (await rowsIn(again, 'rollup_5m')).filter((row) => row.isExact)
    expect(exact).toEqual(await rowsIn(first, 'rollup_5m'))
    const others = (await rowsIn(again, 'rollup_5m')).filter((row) => !row.isExact)
    expect(others.map((row) => [row.kvfvId, row.windowStartUs])).toEqual([
      ['C', dayStartUs + 21 * usPerHour],
    ])
    expect(await rowsIn(again, 'rollup_1h')).toEqual(await rowsIn(first, 'rollup_1h'))
  })
})

describe('the engine', () => {
  it('names cameras with events before an instant', async () => {
    const file = await writeEvents([
      event({ kvfvId: 'Z', minute: 1 }),
      event({ kvfvId: 'Y', minute: 60 }),
      event({ kvfvId: 'Z', minute: 90 }),
    ])
    expect(await engine.camerasIn([file], null)).toEqual(['Y', 'Z'])
    expect(await engine.camerasIn([file], dayStartUs + usPerHour)).toEqual(['Z'])
    expect(await engine.camerasIn([], null)).toEqual([])
  })

  it('leaves no file behind when it fails or is stopped', async () => {
    const location = newLocation('stopped')
    const stop = new AbortController()
    const file = await writeEvents([event()])
    const failing = engine.computeDay(
      task({
        source: { kind: 'events', files: [file] },
        locationOf: (table) => {
          if (table === 'rollup_1h') stop.abort()
          return `${location}/${table}.parquet`
        },
      }),
      stop.signal,
    )
    await expect(failing).rejects.toMatchObject({ kind: 'ShuttingDown' })
    const left = (await readdir(root, { recursive: true })).filter((path) =>
      path.startsWith(location.slice(pathToFileURL(root).href.length + 1)),
    )
    expect(left.filter((path) => path.endsWith('.parquet') && path.includes('rollup_'))).toEqual([])
  })
})
