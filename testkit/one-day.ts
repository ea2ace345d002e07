/** The shortest whole story of a potok: events in, provisional averages, an exact run, the same averages exact. */
import { expect } from 'vitest'
import { eventually, getJson, postEvents, recompute, type RunningPotok } from './potok-process.ts'

type Windows = {
  readonly total: { event_count: number; avg_speed: number }
  readonly windows: readonly { status: string; event_count: number; avg_speed: number }[]
}

const dayMs = 86_400_000

/** Of a camera that nobody used yet: 60 detections of one past day at 40, 41 … 99 km/h. */
export async function playOneDay(potok: RunningPotok, camera: string): Promise<void> {
  const startMs = (Math.floor(Date.now() / dayMs) - 3) * dayMs
  const day = new Date(startMs).toISOString()
  const url = `${potok.url}/kvfv/${camera}/avg-speed?from=${day}&to=${new Date(startMs + dayMs).toISOString()}&interval=1h`
  const look = (isExact: boolean) => async (): Promise<Windows | null> => {
    const response = await fetch(url)
    // Not known before its first rows are committed.
    if (response.status === 404) return null
    const answer = (await response.json()) as Windows
    const isWhole = answer.total.event_count === 60
    const isRight = answer.windows.every(({ status }) => (status === 'exact') === isExact)
    return isWhole && isRight ? answer : null
  }
  const posted = await postEvents(
    potok.url,
    Array.from({ length: 60 }, (_, i) => ({
      kvfv_id: camera,
      timestamp: new Date(startMs + i * 120_000).toISOString(),
      vehicle_speed: 40 + i,
    })),
  )
  expect(posted.status).toBe(202)
  const provisional = await eventually('provisional averages', look(false))
  expect(provisional.total.avg_speed).toBe(69.5)
  const from = day.slice(0, 10)
  const to = new Date(startMs + dayMs).toISOString().slice(0, 10)
  const run = await recompute(potok.url, { from, to, cameras: null })
  expect(run['status'], JSON.stringify(run)).toBe('done')
  const exact = await eventually('exact averages', look(true))
  expect(exact.total).toEqual(provisional.total)
  expect(exact.windows.map(({ avg_speed }) => avg_speed)).toEqual([54.5, 84.5])
  await getJson(`${potok.url}/readyz`)
}
