/** What potok writes itself, events and averages, before the judges. */
import { beforeAll, describe, expect, test } from 'vitest'
import {
  eventually,
  getJson,
  postEvents,
  recompute,
  runPotok,
} from '../../../testkit/potok-process.ts'
import { expectSameFilters, expectSameRows, named, type World } from './world.ts'

/** Text that is hard on bounds: long, beyond the basic plane, of the greatest characters, with quotes. */
const plates = [
  'А123БВ68',
  'ж'.repeat(40),
  `${'a'.repeat(15)}\u{10ffff}\u{10ffff}`,
  '\u{1f697}'.repeat(17),
  `\uffff${'\u{10ffff}'.repeat(20)}`,
  'o\'clock "x" \\ %_',
  'e\u0301 combining',
]

function events(batch: number): Record<string, unknown>[] {
  return Array.from({ length: 40 }, (_, i) => ({
    kvfv_id: `KV${(batch * 3 + i) % 7}${i % 11 === 0 ? ' камера с длинным именем \u{1f6a6}' : ''}`,
    timestamp: new Date(Date.UTC(2025, 3, 5 + ((batch + i) % 3), 10, i, batch, i)).toISOString(),
    vehicle_speed: i === 0 ? 0 : 20 + batch * 10 + i * 0.125,
    ...(i % 3 === 0 ? {} : { plate_number: plates[(i + batch) % plates.length] }),
    ...(i % 5 === 0 ? { lane: i, note: '\u0000 \u2028 "' } : {}),
  }))
}

const batchCount = 4

export function describeOwnTables(world: () => World): void {
  describe('what potok writes', () => {
    const traffic = (name: string) => named('traffic', name)

    beforeAll(async () => {
      const { data, potok } = world()
      const { url } = potok
      for (let batch = 0; batch < batchCount; batch++) {
        const response = await postEvents(url, [...events(batch), { kvfv_id: 'KV1', bad: batch }])
        expect(response.status).toBe(202)
        await settled(data)
      }
      expect(await recompute(url, { from: '2025-04-05', to: '2025-04-06' })).toMatchObject({
        status: 'done',
      })
      // Late, and a duplicate: provisional rows beside exact ones.
      expect((await postEvents(url, events(0).slice(0, 20))).status).toBe(202)
      await fetch(`${url}/v1/cameras/KV1`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          name: 'Мост',
          latitude: 52.72,
          longitude: 41.44,
          speed_limit: 60,
          lanes: 2,
        }),
      })
      await settled(data)
    })

    test.each([
      ['events', 180, ['log_partition', 'log_offset']],
      ['rejected_events', batchCount, ['log_partition', 'log_offset']],
      ['rollup_5m', 20, ['kvfv_id', 'window_start', 'event_count', 'is_exact']],
      ['cameras', 1, ['kvfv_id']],
      ['recompute_runs', 1, ['run_id']],
    ])(
      '%s gives Trino, PyIceberg and DuckDB the same rows, also by filters on every column',
      async (name, rowsMin, keys) => {
        const rows = await expectSameRows(world(), traffic(name))
        expect(rows.length).toBeGreaterThanOrEqual(rowsMin)
        const filters = await expectSameFilters(world(), traffic(name), rows, keys)
        expect(filters).toBeGreaterThan(20)
      },
    )

    test.each(['rollup_1h', 'rollup_1d'])(
      '%s gives Trino, PyIceberg and DuckDB the same rows',
      async (name) => {
        expect((await expectSameRows(world(), traffic(name))).length).toBeGreaterThan(5)
      },
    )

    test.each(['avg_speed_5m', 'avg_speed_1h', 'avg_speed_1d'])(
      'the view %s gives Trino the averages of the API',
      async (view) => {
        const { rows } = await world().sql(
          `SELECT kvfv_id, to_unixtime(window_start), event_count, avg_speed, is_exact FROM traffic.${view} ORDER BY 1, 2`,
        )
        const ours = []
        for (const camera of new Set(rows.map(([id]) => String(id)))) {
          const interval = view.slice('avg_speed_'.length)
          const { windows } = await getJson<{ windows: Record<string, unknown>[] }>(
            `${world().potok.url}/kvfv/${encodeURIComponent(camera)}/avg-speed?from=2025-04-05T00:00:00Z&to=2025-04-08T00:00:00Z&interval=${interval}`,
          )
          for (const window of windows) {
            ours.push([
              camera,
              Date.parse(String(window['start'])) / 1000,
              window['event_count'],
              window['avg_speed'],
              window['status'] === 'exact' || window['status'] === 'revising',
            ])
          }
        }
        expect(rows.length).toBeGreaterThan(5)
        expect(rows).toEqual(ours)
      },
    )
  })
}

/** Everything that was sent is in the tables. */
async function settled(data: string): Promise<void> {
  await eventually('no lag', async () => {
    const { stdout } = await runPotok(['status', '--data', data, '--json'])
    const { lag } = JSON.parse(stdout) as { lag: Record<string, number> }
    return lag['events'] === 0 && lag['rollup_5m'] === 0 ? true : null
  })
}
