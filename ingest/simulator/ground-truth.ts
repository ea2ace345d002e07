/**
 * What every window must be, worked out from what the fleet delivered by the plainest code there is, and by
 * nothing that potok itself computes with: the judge of any run. It knows which items are repeats because the
 * fleet says so, not by comparing them.
 *
 * Counted are detections that a gateway takes: those in the future by more than five minutes when they are
 * received are refused (`clock_ahead`). Windows are in UTC.
 */
import type { SimulatedItem } from './fleet.ts'

export const truthIntervals = { '5m': 300_000, '1h': 3_600_000, '24h': 86_400_000 } as const
export type TruthInterval = keyof typeof truthIntervals

export type TruthWindow = {
  readonly kvfv_id: string
  readonly interval: TruthInterval
  readonly start: string
  readonly event_count: number
  /** Σ speed, 0.001 km/h. */
  readonly speed_sum_milli: number
  /** Σ ⌊(3.6·10¹² + ⌊v/2⌋) / v⌋ in µs per km over speeds v (0.001 km/h) of at least 1 km/h. */
  readonly pace_sum: number
  /** Below 1 km/h. */
  readonly standing_count: number
  readonly speed_min_milli: number
  readonly speed_max_milli: number
}

export type GroundTruth = {
  accept(item: SimulatedItem, receivedAtMs: number): void
  readonly counts: { detections: number; repeats: number; malformed: number; clockAhead: number }
  /** All windows, by camera, interval and start. */
  windows(): TruthWindow[]
  /** Takes out the windows that ended before: for a feed that runs for weeks. */
  takeWindowsBefore(ms: number): TruthWindow[]
}

const clockAheadMsMax = 5 * 60_000
type Cell = { count: number; sum: bigint; pace: bigint; standing: number; min: number; max: number }

export function createGroundTruth(): GroundTruth {
  const cells = new Map<string, Cell>()
  const counts = { detections: 0, repeats: 0, malformed: 0, clockAhead: 0 }

  function add(key: string, speedMilli: number): void {
    const cell = cells.get(key) ?? {
      count: 0,
      sum: 0n,
      pace: 0n,
      standing: 0,
      min: speedMilli,
      max: speedMilli,
    }
    cell.count += 1
    cell.sum += BigInt(speedMilli)
    if (speedMilli < 1_000) cell.standing += 1
    else cell.pace += (3_600_000_000_000n + BigInt(speedMilli) / 2n) / BigInt(speedMilli)
    cell.min = Math.min(cell.min, speedMilli)
    cell.max = Math.max(cell.max, speedMilli)
    cells.set(key, cell)
  }

  function take(which: (endMs: number) => boolean, remove: boolean): TruthWindow[] {
    const windows: TruthWindow[] = []
    for (const key of [...cells.keys()].sort()) {
      const [kvfvId, interval, startMs] = JSON.parse(key) as [string, TruthInterval, number]
      if (!which(startMs + truthIntervals[interval])) continue
      const cell = cells.get(key) as Cell
      if (remove) cells.delete(key)
      windows.push({
        kvfv_id: kvfvId,
        interval,
        start: new Date(startMs).toISOString().replace('.000Z', 'Z'),
        event_count: cell.count,
        speed_sum_milli: Number(cell.sum),
        pace_sum: Number(cell.pace),
        standing_count: cell.standing,
        speed_min_milli: cell.min,
        speed_max_milli: cell.max,
      })
    }
    return windows
  }

  return {
    counts,
    accept(item, receivedAtMs) {
      if (item.kind === 'malformed') counts.malformed += 1
      else if (item.eventTimeMs - receivedAtMs > clockAheadMsMax) counts.clockAhead += 1
      else if (item.kind === 'repeat') counts.repeats += 1
      else {
        counts.detections += 1
        for (const [interval, lengthMs] of Object.entries(truthIntervals)) {
          const startMs = Math.floor(item.eventTimeMs / lengthMs) * lengthMs
          add(JSON.stringify([item.kvfvId, interval, startMs]), item.speedMilli)
        }
      }
    },
    windows: () => take(() => true, false),
    takeWindowsBefore: (ms) => take((endMs) => endMs <= ms, true),
  }
}
