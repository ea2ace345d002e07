/** A seeded fleet with everything that goes wrong on real roads is judged by its own ground truth. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  getJson,
  type RunningPotok,
  recompute,
  runPotok,
  startPotok,
  temporaryFolder,
} from '../../testkit/potok-process.ts'

type Truth = {
  kvfv_id: string
  interval: '5m' | '1h' | '24h'
  start: string
  event_count: number
  speed_sum_milli: number
  pace_sum: number
  standing_count: number
  speed_min_milli: number
  speed_max_milli: number
}

const folder = temporaryFolder('fleet')
let potok: RunningPotok
beforeAll(async () => {
  potok = await startPotok(join(folder.path, 'data'), ['--recompute-schedule', 'off'])
})
afterAll(async () => {
  await potok?.kill('SIGTERM')
  folder.remove()
})

it('every window of every simulated camera is what the fleet says it must be', async () => {
  const truthFile = join(folder.path, 'truth.jsonl')
  const day = Math.floor(Date.now() / 86_400_000) - 4
  const from = new Date(day * 86_400_000 + 4 * 3_600_000).toISOString()
  const to = new Date((day + 1) * 86_400_000 + 3 * 3_600_000).toISOString()
  const sent = await runPotok([
    'simulate',
    '--cameras=15',
    '--rate=0.05',
    '--seed=7',
    `--from=${from}`,
    `--to=${to}`,
    `--truth=${truthFile}`,
    `--url=${potok.url}`,
    '--json',
  ])
  expect(sent.code, sent.stderr).toBe(0)
  const { simulated } = JSON.parse(sent.stdout) as { simulated: Record<string, number> }
  // The fleet is no fleet of angels: there is something to get wrong.
  expect(simulated['repeats']).toBeGreaterThan(50)
  expect(simulated['malformed']).toBeGreaterThan(0)
  expect(simulated['detections']).toBeGreaterThan(20_000)
  const name = (d: number) => new Date(d * 86_400_000).toISOString().slice(0, 10)
  expect(await recompute(potok.url, { from: name(day), to: name(day + 2) })).toMatchObject({
    status: 'done',
  })

  const truth = readFileSync(truthFile, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Truth)
  const groups = Map.groupBy(truth, (t) => `${t.kvfv_id} ${t.interval}`)
  expect(groups.size).toBeGreaterThanOrEqual(3 * 14)
  let compared = 0
  for (const [key, windows] of groups) {
    const [camera, interval] = key.split(' ') as [string, string]
    const answer = await getJson<{ windows: Record<string, number | string>[] }>(
      `${potok.url}/kvfv/${camera}/avg-speed?from=${name(day - 1)}T00:00:00Z&to=${name(day + 3)}T00:00:00Z&interval=${interval}`,
    )
    const shown = answer.windows.map((w) => ({
      start: Date.parse(String(w['start'])),
      event_count: w['event_count'],
      avg_speed: w['avg_speed'],
      space_mean_speed: w['space_mean_speed'],
      min_speed: w['min_speed'],
      max_speed: w['max_speed'],
    }))
    const expected = windows
      .map((t) => {
        const moving = t.event_count - t.standing_count
        return {
          start: Date.parse(t.start),
          event_count: t.event_count,
          avg_speed: expect.closeTo(t.speed_sum_milli / t.event_count / 1000, 2),
          space_mean_speed: moving === 0 ? null : expect.closeTo((3.6e9 * moving) / t.pace_sum, 2),
          min_speed: t.speed_min_milli / 1000,
          max_speed: t.speed_max_milli / 1000,
        }
      })
      .sort((a, b) => a.start - b.start)
    expect(shown, key).toEqual(expected)
    compared += shown.length
  }
  expect(compared).toBe(truth.length)
})
