/**
 * A week of real detector data, through HTTP, and every average compared with the file. Then one detector's
 * third day comes late and twice.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { averagesOf, readLosLoop, type Reading } from '../../testkit/los-loop-truth.ts'
import {
  eventually,
  getJson,
  recompute,
  type RunningPotok,
  runPotok,
  startPotok,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { runPython } from '../../testkit/python-venv.ts'

const truth = readLosLoop()
const heldDetector = truth.detectors[17] as string
const heldDay = '2012-03-03'
const isHeld = (r: Reading) =>
  r.detector === heldDetector && new Date(r.timeMs).toISOString().startsWith(heldDay)

type Window = Record<string, number | string | null>
type Answer = { total: Record<string, number | null>; windows: Window[] }

describe('a week of Los Angeles detectors', () => {
  const folder = temporaryFolder('los')
  let potok: RunningPotok
  const csv = (keep: (r: Reading) => boolean): string => {
    const columns = truth.detectors.length
    const lines = truth.rows.map((row, index) =>
      row
        .map((cell, c) => (keep(truth.readings[index * columns + c] as Reading) ? cell : ''))
        .join(','),
    )
    return `${[truth.detectors.join(','), ...lines].join('\n')}\n`
  }
  const replay = async (file: string) => {
    const result = await runPotok([
      'replay',
      join(folder.path, 'in', file),
      '--mapping',
      join(import.meta.dirname, '../../examples/los-loop/mapping.json'),
      '--url',
      potok.url,
      '--json',
    ])
    expect(result.stderr + result.stdout).not.toContain('potok:')
    expect(result.code).toBe(0)
    return JSON.parse(result.stdout) as { accepted: number; rejected: number }
  }

  /** Compares every window of every detector; gives how many were compared. */
  const compareAll = async (readings: readonly Reading[]): Promise<number> => {
    let compared = 0
    for (const [tz, offsetHours] of [
      ['UTC', 0],
      ['America/Los_Angeles', -8],
    ] as const) {
      for (const [interval, lengthMs] of [
        ['5m', 300_000],
        ['1h', 3_600_000],
        ['24h', 86_400_000],
      ] as const) {
        const expected = averagesOf(readings, lengthMs, offsetHours)
        for (const detector of truth.detectors) {
          const from = '2012-02-29T08:00:00Z'
          const to = '2012-03-09T08:00:00Z'
          const answer = await getJson<Answer>(
            `${potok.url}/kvfv/${detector}/avg-speed?from=${from}&to=${to}&interval=${interval}&tz=${tz}`,
          )
          const windows = expected.get(detector) ?? new Map()
          const wrong: unknown[] = []
          const seen = new Set<number>()
          for (const window of answer.windows) {
            const start = Date.parse(String(window['start']))
            seen.add(start)
            const a = windows.get(start)
            const near = (got: unknown, want: number | null) =>
              want === null
                ? got === null
                : typeof got === 'number' && Math.abs(got - want) <= 0.00100001
            const space = a === undefined || a.moving === 0 ? null : a.moving / a.paces
            if (
              a === undefined ||
              window['event_count'] !== a.count ||
              !near(window['avg_speed'], a.sum / a.count) ||
              !near(window['space_mean_speed'], space) ||
              !near(window['min_speed'], a.min) ||
              !near(window['max_speed'], a.max)
            ) {
              wrong.push({ tz, interval, detector, window, expected: a })
            }
          }
          for (const start of windows.keys()) {
            if (!seen.has(start))
              wrong.push({ tz, interval, detector, missing: new Date(start).toISOString() })
          }
          expect(wrong.slice(0, 3)).toEqual([])
          compared += seen.size
        }
      }
    }
    return compared
  }

  beforeAll(async () => {
    mkdirSync(join(folder.path, 'in'))
    writeFileSync(
      join(folder.path, 'in', 'first.csv'),
      csv((r) => !isHeld(r)),
    )
    writeFileSync(join(folder.path, 'in', 'held.csv'), csv(isHeld))
    potok = await startPotok(join(folder.path, 'data'), ['--recompute-schedule', 'off'])
  })
  afterAll(async () => {
    await potok?.kill('SIGTERM')
    folder.remove()
  })

  it('the file holds 417,312 readings of 207 detectors', () => {
    expect(truth.detectors).toHaveLength(207)
    expect(truth.readings).toHaveLength(417_312)
  })

  it('every provisional and every exact average equals the file', {
    timeout: 600_000,
  }, async () => {
    const readings = truth.readings.filter((r) => !isHeld(r))
    expect(await replay('first.csv')).toMatchObject({ accepted: readings.length, rejected: 0 })
    const run = await recompute(potok.url, { from: '2012-03-01', to: '2012-03-09' })
    expect(run).toMatchObject({ status: 'done' })
    const compared = await compareAll(readings)
    expect(compared).toBeGreaterThan(2 * (417_312 - 288))
  })

  it('late rows sent twice change that detector and day only, and all is right again', {
    timeout: 600_000,
  }, async () => {
    expect(await replay('held.csv')).toMatchObject({ accepted: 288 })
    expect(await replay('held.csv')).toMatchObject({ accepted: 288 })
    const day = `from=${heldDay}T00:00:00Z&to=2012-03-04T00:00:00Z&interval=24h`
    await eventually('the day of a detector that has revising windows', async () => {
      const days = await getJson<{ days: Record<string, unknown>[] }>(`${potok.url}/v1/days`)
      return days.days.find((d) => d['day'] === heldDay && d['status'] === 'revising') ?? null
    })
    const run = await recompute(potok.url, {})
    expect(run).toMatchObject({
      status: 'done',
      days: [{ day: heldDay, cameras: [heldDetector] }],
    })
    expect(await recompute(potok.url, {})).toMatchObject({ status: 'nothing_to_do' })
    const late = await getJson<Answer>(`${potok.url}/kvfv/${heldDetector}/avg-speed?${day}`)
    expect(late.windows).toMatchObject([{ event_count: 288, status: 'exact' }])
    const other = await getJson<Answer>(`${potok.url}/kvfv/${truth.detectors[3]}/avg-speed?${day}`)
    expect(other.windows).toMatchObject([{ event_count: 288, status: 'exact', revision: 1 }])
    await compareAll(truth.readings)
  })

  it('PyIceberg reads every table through the REST catalog, with the same rows, sums and types', async () => {
    const seen = JSON.parse(
      await runPython(
        `
import json, sys
from pyiceberg.catalog import load_catalog
catalog = load_catalog('potok', **{'type': 'rest', 'uri': sys.argv[1]})
out = {}
for name in sorted(t[1] for t in catalog.list_tables('traffic')):
    table = catalog.load_table(('traffic', name))
    rows = table.scan().to_arrow()
    out[name] = {
        'rows': rows.num_rows,
        'types': {f.name: str(f.field_type) for f in table.schema().fields},
    }
    if name == 'events':
        import pyarrow.compute as pc
        out[name]['speed'] = round(pc.sum(rows['vehicle_speed']).as_py(), 3)
        out[name]['ids'] = len(set(rows['event_id'].to_pylist()))
    if name.startswith('rollup'):
        import pyarrow.compute as pc
        out[name]['events'] = pc.sum(rows['event_count']).as_py()
print(json.dumps(out))
`,
        [potok.catalogUrl],
      ),
    ) as Record<string, Record<string, unknown>>
    const sum = truth.readings.reduce((total, r) => total + r.kmh, 0)
    const held = truth.readings.filter(isHeld).reduce((total, r) => total + r.kmh, 0)
    expect(seen['events']).toMatchObject({
      rows: 417_312 + 288,
      ids: 417_312,
      types: {
        event_id: 'uuid',
        kvfv_id: 'string',
        event_time: 'timestamptz',
        vehicle_speed: 'double',
      },
    })
    expect(Number(seen['events']?.['speed'])).toBeCloseTo(sum + held, 1)
    expect(seen['rollup_5m']).toMatchObject({ events: 417_312 })
    expect(seen['rejected_events']).toMatchObject({ rows: 0 })
    expect(Object.keys(seen)).toEqual([
      'cameras',
      'events',
      'recompute_runs',
      'rejected_events',
      'rollup_1d',
      'rollup_1h',
      'rollup_5m',
    ])
  })

  it('DuckDB reads the same Parquet files with the right types', async () => {
    const types = JSON.parse(
      await runPython(
        `
import duckdb, json, sys
files = sys.argv[1] + '/traffic/events/data/**/*.parquet'
con = duckdb.connect()
print(json.dumps({c[0]: str(c[1]) for c in con.execute(f"DESCRIBE SELECT * FROM read_parquet('{files}', hive_partitioning=false)").fetchall()}))
`,
        [new URL(potok.warehouse).pathname],
      ),
    ) as Record<string, string>
    expect(types).toEqual({
      event_id: 'UUID',
      kvfv_id: 'VARCHAR',
      event_time: 'TIMESTAMP WITH TIME ZONE',
      vehicle_speed: 'DOUBLE',
      plate_number: 'VARCHAR',
      attributes: 'VARCHAR',
      received_at: 'TIMESTAMP WITH TIME ZONE',
      log_epoch: 'INTEGER',
      log_partition: 'INTEGER',
      log_offset: 'BIGINT',
    })
  })

  it('verify finds nothing', async () => {
    const result = await runPotok(['verify', '--data', join(folder.path, 'data'), '--json'])
    expect(JSON.parse(result.stdout)).toMatchObject({ findings: 0 })
    expect(result.code).toBe(0)
  })
})
