/**
 * Adds a camera's 5-minute cells up to the windows of an answer. Pure; integer sums until the very end.
 *
 * Combining: sums add, extremes are extremes, `revision` is the greatest, source snapshot that of the exact
 * part computed last, `computed_at` the latest. Windows without events are left out.
 */
import { spaceMeanSpeedKmh, timeMeanSpeedKmh } from '../../kernel/partial-sums.ts'
import { startOfDayUs, usPer5Minutes, usPerDay } from '../../kernel/time.ts'
import { type CameraDay, cell } from './camera-day.ts'
import { type Finality, type WindowStatus, windowStatus } from './window-status.ts'

/** Sums over any time. Σ1/v of a month leaves the 2⁵³ of a double: `paceSumHigh` takes what is above. */
export type SpeedSums = {
  eventCount: number
  speedSumMilli: number
  paceSum: number
  paceSumHigh: bigint
  standingCount: number
  speedMinMilli: number
  speedMaxMilli: number
}

export type AnswerWindow = {
  startUs: number
  endUs: number
  sums: SpeedSums
  status: WindowStatus
  /** null: provisional. */
  revision: number | null
  sourceSnapshotId: string | null
  computedAtUs: number
}

/** One camera's part of a day, as the cube store hands it out. */
export type CameraDaySlice = {
  readonly day: number
  readonly cells: CameraDay
  readonly sources: readonly (string | null)[]
  /** Newer events of this camera and day wait for the next exact run. */
  readonly isDirty: boolean
}

export function aggregateWindows(
  /** Ascending by day. */
  slices: readonly CameraDaySlice[],
  /** From `windowBoundaries`. */
  boundaries: readonly number[],
  isLong: boolean,
  finality: Finality,
): { windows: AnswerWindow[]; total: SpeedSums } {
  const windows: AnswerWindow[] = []
  const total = emptySums()
  const endUs = boundaries.at(-1) as number
  let next = 1
  let current: { window: AnswerWindow; isExact: boolean; isDirty: boolean } | null = null
  const finish = () => {
    if (current === null) return
    const { window, isExact, isDirty } = current
    window.status = windowStatus({ endUs: window.endUs, isExact, isDirty, isLong }, finality)
    addSums(total, window.sums)
    windows.push(window)
    current = null
  }
  for (const { day, cells, sources, isDirty } of slices) {
    const dayStartUs = startOfDayUs(day)
    const fromUs = Math.max(dayStartUs, boundaries[0] as number)
    if (fromUs >= dayStartUs + usPerDay) continue
    const firstIndex = cells.firstIndexFrom((fromUs - dayStartUs) / usPer5Minutes)
    const values = cells.cells
    for (let i = firstIndex; i < cells.length; i++) {
      const at = i * cell.size
      const startUs = dayStartUs + (values[at + cell.window] as number) * usPer5Minutes
      if (startUs >= endUs) break
      if ((values[at + cell.eventCount] as number) === 0) continue
      while ((boundaries[next] as number) <= startUs) {
        finish()
        next++
      }
      current ??= {
        window: emptyWindow(boundaries[next - 1] as number, boundaries[next] as number),
        isExact: true,
        isDirty: false,
      }
      const revision = values[at + cell.revision] as number
      if (revision === 0) current.isExact = false
      else if (isDirty) current.isDirty = true
      addCell(current.window, values, at, revision, sources)
    }
  }
  finish()
  return { windows, total }
}

function addCell(
  window: AnswerWindow,
  values: Float64Array,
  at: number,
  revision: number,
  sources: readonly (string | null)[],
): void {
  const { sums } = window
  sums.eventCount += values[at + cell.eventCount] as number
  sums.speedSumMilli += values[at + cell.speedSumMilli] as number
  addPace(sums, values[at + cell.paceSum] as number)
  sums.standingCount += values[at + cell.standingCount] as number
  const minimum = values[at + cell.speedMinMilli] as number
  const maximum = values[at + cell.speedMaxMilli] as number
  if (minimum < sums.speedMinMilli) sums.speedMinMilli = minimum
  if (maximum > sums.speedMaxMilli) sums.speedMaxMilli = maximum
  const computedAtUs = values[at + cell.computedAtUs] as number
  if (revision > 0) {
    if (window.revision === null || revision > window.revision) window.revision = revision
    // Cells come in order of time: at the same instant the later one's run is meant.
    if (window.sourceSnapshotId === null || computedAtUs >= window.computedAtUs) {
      window.sourceSnapshotId = sources[values[at + cell.source] as number] ?? null
    }
  }
  if (computedAtUs > window.computedAtUs) window.computedAtUs = computedAtUs
}

function emptyWindow(startUs: number, endUs: number): AnswerWindow {
  return {
    startUs,
    endUs,
    sums: emptySums(),
    status: 'open',
    revision: null,
    sourceSnapshotId: null,
    computedAtUs: Number.NEGATIVE_INFINITY,
  }
}

export function emptySums(): SpeedSums {
  return {
    eventCount: 0,
    speedSumMilli: 0,
    paceSum: 0,
    paceSumHigh: 0n,
    standingCount: 0,
    speedMinMilli: Number.POSITIVE_INFINITY,
    speedMaxMilli: Number.NEGATIVE_INFINITY,
  }
}

function addSums(sums: SpeedSums, more: SpeedSums): void {
  sums.eventCount += more.eventCount
  sums.speedSumMilli += more.speedSumMilli
  addPace(sums, more.paceSum)
  sums.paceSumHigh += more.paceSumHigh
  sums.standingCount += more.standingCount
  sums.speedMinMilli = Math.min(sums.speedMinMilli, more.speedMinMilli)
  sums.speedMaxMilli = Math.max(sums.speedMaxMilli, more.speedMaxMilli)
}

function addPace(sums: SpeedSums, pace: number): void {
  if (sums.paceSum + pace > Number.MAX_SAFE_INTEGER) {
    sums.paceSumHigh += BigInt(sums.paceSum)
    sums.paceSum = 0
  }
  sums.paceSum += pace
}

/**
 * The kernel's formulas are exact (bigint); a double gives the same thousandth unless the quotient is all but
 * a half, and is many times faster: a day has 576 of them. Near a half the kernel decides.
 */
const nearHalf = 1e-4

export function timeMeanSpeed(sums: SpeedSums): number | null {
  if (sums.eventCount === 0) return null
  return rounded(sums.speedSumMilli / sums.eventCount) ?? timeMeanSpeedKmh(sums)
}

export function spaceMeanSpeed(sums: SpeedSums): number | null {
  const moving = sums.eventCount - sums.standingCount
  if (moving === 0) return null
  const pace = Number(sums.paceSumHigh) + sums.paceSum
  return rounded((moving * 3.6e12) / pace) ?? spaceMeanSpeedKmh(sums)
}

function rounded(speedMilli: number): number | null {
  const floor = Math.floor(speedMilli)
  const fraction = speedMilli - floor
  if (Math.abs(fraction - 0.5) < nearHalf) return null
  return (fraction > 0.5 ? floor + 1 : floor) / 1_000
}
