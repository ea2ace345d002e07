/**
 * What the averages of the Los Angeles data must be, computed straight from the file by the plainest code
 * there is, through nothing of potok: no parser, no window arithmetic, no aggregation of ours.
 * In that week Los Angeles is at UTC−8 throughout, and the file has no gaps.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

export const losLoopFile = join(
  import.meta.dirname,
  '..',
  'examples',
  'los-loop',
  'los-loop-speeds.csv.gz',
)

export type Reading = { readonly detector: string; readonly timeMs: number; readonly kmh: number }
export type Average = {
  count: number
  sum: number
  paces: number
  moving: number
  min: number
  max: number
}

const firstMs = Date.UTC(2012, 2, 1, 8)
const stepMs = 300_000

export function readLosLoop(): { detectors: string[]; rows: string[][]; readings: Reading[] } {
  const lines = gunzipSync(readFileSync(losLoopFile)).toString('utf8').trim().split(/\r?\n/)
  const detectors = (lines[0] as string).split(',')
  const rows = lines.slice(1).map((line) => line.split(','))
  const readings = rows.flatMap((row, index) =>
    row.map((cell, column) => ({
      detector: detectors[column] as string,
      timeMs: firstMs + index * stepMs,
      kmh: Math.round(Number(cell) * 1.609344 * 1000) / 1000,
    })),
  )
  return { detectors, rows, readings }
}

/** Averages by detector and window start (epoch ms); `offsetHours` shifts where days begin. */
export function averagesOf(
  readings: readonly Reading[],
  lengthMs: number,
  offsetHours: number,
): Map<string, Map<number, Average>> {
  const shift = offsetHours * 3_600_000
  const result = new Map<string, Map<number, Average>>()
  for (const { detector, timeMs, kmh } of readings) {
    const start = Math.floor((timeMs + shift) / lengthMs) * lengthMs - shift
    let windows = result.get(detector)
    if (windows === undefined) result.set(detector, (windows = new Map<number, Average>()))
    let a = windows.get(start)
    if (a === undefined) {
      a = { count: 0, sum: 0, paces: 0, moving: 0, min: Infinity, max: -Infinity }
      windows.set(start, a)
    }
    a.count++
    a.sum += kmh
    a.min = Math.min(a.min, kmh)
    a.max = Math.max(a.max, kmh)
    if (kmh >= 1) {
      a.paces += 1 / kmh
      a.moving++
    }
  }
  return result
}
