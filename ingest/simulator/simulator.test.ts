import { describe, expect, it } from 'vitest'
import { type Arrival, arrivals } from './arrivals.ts'
import { createFleet, type FleetConfig, type SimulatedItem } from './fleet.ts'
import { createGroundTruth, truthIntervals } from './ground-truth.ts'
import { createLiveFeed } from './live-feed.ts'
import { createRandom } from './random.ts'

const dayStartMs = Date.UTC(2025, 3, 5)
const hourMs = 3_600_000

function history(config: Partial<FleetConfig>, hours: number): Arrival[] {
  const fleet = createFleet(config)
  return [
    ...arrivals(fleet, {
      fromMs: dayStartMs,
      toMs: dayStartMs + hours * hourMs,
      deliverRest: true,
    }),
  ]
}

function itemsOf(all: readonly Arrival[]): SimulatedItem[] {
  return all.flatMap((arrival) => arrival.items)
}

function linesOf(seed: number): string[] {
  return itemsOf(history({ ...lively, seed }, 2)).map(({ line }) => line)
}

function item(kind: SimulatedItem['kind'], eventTimeMs: number, speedMilli: number): SimulatedItem {
  return { kvfvId: 'a', line: '', kind, eventTimeMs, speedMilli }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function speedOf({ speedMilli }: SimulatedItem): number {
  return speedMilli
}

const lively: Partial<FleetConfig> = {
  cameras: 10,
  seed: 7,
  eventsPerSecond: 0.04,
  tickMs: 20_000,
  outagesPerDay: 1,
  malformedShare: 0.01,
}

describe('simulator', () => {
  it('gives the same from the same seed, and something else from another', () => {
    expect(linesOf(7)).toEqual(linesOf(7))
    expect(linesOf(8)).not.toEqual(linesOf(7))
  })

  it('delivers every detection of the time span, once as a detection', () => {
    const fleet = createFleet(lively)
    const detected: string[] = []
    for (let tick = dayStartMs / 20_000; tick < (dayStartMs + 24 * hourMs) / 20_000; tick++) {
      for (const camera of fleet.cameras) {
        for (const { item } of fleet.detections(camera, tick)) {
          if (item.kind === 'detection') detected.push(item.line)
        }
      }
    }
    const delivered = itemsOf(history(lively, 24))
    const first = delivered.filter((item) => item.kind === 'detection').map(({ line }) => line)
    expect(first.toSorted()).toEqual(detected.toSorted())
    expect(new Set(first).size).toBe(first.length)
    for (const hours of [3, 9]) {
      const cut = itemsOf(history(lively, hours)).filter((item) => item.kind === 'detection')
      const endMs = dayStartMs + hours * hourMs
      const before = detected.filter(
        (line) =>
          Date.parse((JSON.parse(line) as { timestamp: string }).timestamp) <
          endMs + (line.includes('SIM00010') ? hourMs : 0),
      )
      expect(cut.map(({ line }) => line).toSorted()).toEqual(before.toSorted())
    }
  })

  it('has all that goes wrong: late, out of order, twice, hours late after an outage, malformed', () => {
    const all = history(lively, 24)
    const items = itemsOf(all)
    const kinds = Map.groupBy(items, (item) => item.kind)
    expect(kinds.get('repeat')?.length).toBeGreaterThan(50)
    expect(kinds.get('malformed')?.length).toBeGreaterThan(50)
    let hoursLate = 0
    let outOfOrder = 0
    const newest = new Map<string, number>()
    for (const { atMs, items: arrived } of all) {
      for (const item of arrived.filter(({ kind }) => kind === 'detection')) {
        if (atMs - item.eventTimeMs > hourMs) hoursLate++
        if (item.eventTimeMs < (newest.get(item.kvfvId) ?? 0)) outOfOrder++
        newest.set(item.kvfvId, Math.max(item.eventTimeMs, newest.get(item.kvfvId) ?? 0))
      }
    }
    expect(hoursLate).toBeGreaterThan(100)
    expect(outOfOrder).toBeGreaterThan(100)
    const lines = new Set(items.filter(({ kind }) => kind === 'detection').map(({ line }) => line))
    for (const { line } of kinds.get('repeat') ?? []) {
      const original = JSON.stringify({ ...(JSON.parse(line) as object), attempt: undefined })
      expect(lines.has(original)).toBe(true)
    }
  })

  it('sends nothing from the future but from the camera whose clock is ahead', () => {
    const ahead = new Set<string>()
    for (const { atMs, items } of history(lively, 6)) {
      for (const item of items) if (item.eventTimeMs >= atMs) ahead.add(item.kvfvId)
    }
    expect([...ahead]).toEqual(['SIM00010'])
  })

  it('has more vehicles and lower speeds in the rush hour than at night', () => {
    const config = { ...lively, outagesPerDay: 0, camerasAhead: 0, malformedShare: 0 }
    const detections = itemsOf(history(config, 24)).filter(({ kind }) => kind === 'detection')
    const atLocalHour = (hour: number) =>
      detections.filter((item) => new Date(item.eventTimeMs).getUTCHours() === (hour - 3 + 24) % 24)
    expect(atLocalHour(8).length).toBeGreaterThan(5 * atLocalHour(3).length)
    expect(mean(atLocalHour(8).map(speedOf))).toBeLessThan(0.9 * mean(atLocalHour(3).map(speedOf)))
    const perSecond = detections.length / 10 / 86_400
    expect(perSecond).toBeGreaterThan(0.028)
    expect(perSecond).toBeLessThan(0.052)
  })

  it('judges by windows that add up to what was delivered', () => {
    const truth = createGroundTruth()
    const all = history(lively, 24)
    for (const { atMs, items } of all) for (const item of items) truth.accept(item, atMs)
    const counted = itemsOf(all).filter(
      (item) => item.kind === 'detection' && item.kvfvId !== 'SIM00010',
    )
    expect(truth.counts.detections).toBe(counted.length)
    expect(truth.counts.clockAhead).toBeGreaterThan(0)
    for (const interval of Object.keys(truthIntervals)) {
      const windows = truth.windows().filter((window) => window.interval === interval)
      const sum = (field: 'event_count' | 'speed_sum_milli') =>
        windows.reduce((total, window) => total + window[field], 0)
      expect(sum('event_count')).toBe(counted.length)
      expect(sum('speed_sum_milli')).toBe(
        counted.reduce((total, item) => total + item.speedMilli, 0),
      )
    }
    const before = truth.windows().length
    const taken = truth.takeWindowsBefore(dayStartMs + 12 * hourMs)
    expect(taken.length).toBeGreaterThan(0)
    expect(truth.windows().length).toBe(before - taken.length)
  })

  it('works out one window by hand', () => {
    const truth = createGroundTruth()
    const t = dayStartMs + hourMs
    truth.accept(item('detection', t, 60_000), t)
    truth.accept(item('repeat', t, 60_000), t)
    truth.accept(item('detection', t + 299_999, 90_001), t + 300_000)
    truth.accept(item('detection', t + 1, 500), t)
    truth.accept(item('detection', t + 300_001, 1), t)
    truth.accept(item('malformed', t, 0), t)
    expect(truth.windows().filter((window) => window.interval === '5m')).toEqual([
      {
        kvfv_id: 'a',
        interval: '5m',
        start: '2025-04-05T01:00:00Z',
        event_count: 3,
        speed_sum_milli: 150_501,
        pace_sum: 60_000_000 + 39_999_556,
        standing_count: 1,
        speed_min_milli: 500,
        speed_max_milli: 90_001,
      },
    ])
    expect(truth.counts).toEqual({ detections: 3, repeats: 1, malformed: 1, clockAhead: 1 })
  })

  it('feeds live: each tick once it is over, in bounded batches, until told to stop', async () => {
    let nowMs = dayStartMs + 5 * hourMs
    const abort = new AbortController()
    const truth = createGroundTruth()
    const sent: { atMs: number; lines: number }[] = []
    const feed = createLiveFeed({
      fleet: createFleet({ cameras: 20, seed: 3, eventsPerSecond: 2, camerasAhead: 0 }),
      clock: { nowMs: () => nowMs },
      signal: abort.signal,
      truth,
      batchItemsMax: 30,
      sleep: async (ms) => {
        nowMs += ms
      },
      send: async (ndjson) => {
        sent.push({ atMs: nowMs, lines: new TextDecoder().decode(ndjson).split('\n').length })
        if (nowMs > dayStartMs + 5 * hourMs + 60_000) abort.abort()
      },
    })
    await feed.run()
    expect(Math.max(...sent.map(({ lines }) => lines))).toBe(30)
    const total = sent.reduce((sum, { lines }) => sum + lines, 0)
    expect(feed.stats()).toEqual({ sentItems: total, behindMs: 0 })
    const { detections, repeats, malformed, clockAhead } = truth.counts
    expect(detections + repeats + malformed).toBe(total)
    expect(clockAhead).toBe(0)
  })

  it('draws numbers that are uniform, normal and Poisson', () => {
    const random = createRandom(1, 2, 3)
    const draws = Array.from({ length: 20_000 }, () => random.next())
    expect(mean(draws)).toBeCloseTo(0.5, 1)
    expect(mean(draws.map(() => random.normal()))).toBeCloseTo(0, 1)
    for (const expected of [0.2, 5, 100]) {
      const counts = draws.map(() => random.poisson(expected))
      expect(Math.abs(mean(counts) / expected - 1)).toBeLessThan(0.05)
    }
  })
})
