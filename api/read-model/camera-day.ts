/**
 * One camera's 5-minute windows of one UTC day: a sorted run of cells in one flat array. Pure.
 *
 * Rows add up while they are provisional (each is a partial sum); an exact row is the whole of its window,
 * so it replaces what was there and later provisional rows are ignored. Sums are integers in doubles: one
 * window would need 2·10¹⁰ events before Σv or Σ1/v left the 2⁵³ that a double holds exactly; a value
 * beyond is refused as corrupt, never rounded.
 */
import { PotokError } from '../../kernel/errors.ts'
import { windowsPerDay } from '../../kernel/time.ts'

/** Layout of a cell. */
export const cell = {
  window: 0,
  eventCount: 1,
  speedSumMilli: 2,
  paceSum: 3,
  standingCount: 4,
  speedMinMilli: 5,
  speedMaxMilli: 6,
  /** 0: provisional. */
  revision: 7,
  /** Index into the owner's list of source snapshot ids; 0: none. */
  source: 8,
  computedAtUs: 9,
  size: 10,
} as const

/** A row of rollup_5m as numbers, reused from row to row. */
export type RollupRow = {
  window: number
  eventCount: number
  speedSumMilli: number
  paceSum: number
  standingCount: number
  speedMinMilli: number
  speedMaxMilli: number
  isExact: boolean
  revision: number
  source: number
  computedAtUs: number
}

const firstCapacity = 4

/** Over all camera days of this process: no two states of any of them ever have the same version. */
let lastVersion = 0

export class CameraDay {
  /** Cells, ascending by window; only the first `length` cells count. */
  cells = new Float64Array(firstCapacity * cell.size)
  length = 0
  /** Another one after every change: what was made of the cells is known by it. */
  version = ++lastVersion

  add(row: RollupRow): void {
    this.version = ++lastVersion
    const index = this.#find(row.window)
    const at = index * cell.size
    const { cells } = this
    if (index === this.length || cells[at] !== row.window) {
      this.#insert(index)
      this.#put(at, row)
      return
    }
    const revisionHere = cells[at + cell.revision] as number
    if (row.isExact) {
      const newer =
        row.revision > revisionHere ||
        (row.revision === revisionHere &&
          row.computedAtUs >= (cells[at + cell.computedAtUs] as number))
      if (newer) this.#put(at, row)
      return
    }
    if (revisionHere > 0) return
    this.#addTo(at, row)
  }

  copy(): CameraDay {
    const copy = new CameraDay()
    copy.cells = this.cells.slice()
    copy.length = this.length
    return copy
  }

  /** Index of the first cell whose window isn't before the given one. */
  firstIndexFrom(window: number): number {
    return this.#find(window)
  }

  #find(window: number): number {
    const { cells } = this
    // Time goes on: nearly always the last window or one after it.
    if (this.length === 0) return 0
    const last = cells[(this.length - 1) * cell.size] as number
    if (window > last) return this.length
    let low = 0
    let high = this.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cells[middle * cell.size] as number) < window) low = middle + 1
      else high = middle
    }
    return low
  }

  #insert(index: number): void {
    if (this.length * cell.size === this.cells.length) {
      const capacity = Math.min(this.length * 2, windowsPerDay)
      const grown = new Float64Array(capacity * cell.size)
      grown.set(this.cells)
      this.cells = grown
    }
    const from = index * cell.size
    this.cells.copyWithin(from + cell.size, from, this.length * cell.size)
    this.length++
  }

  #put(at: number, row: RollupRow): void {
    const { cells } = this
    cells[at + cell.window] = row.window
    cells[at + cell.eventCount] = row.eventCount
    cells[at + cell.speedSumMilli] = row.speedSumMilli
    cells[at + cell.paceSum] = row.paceSum
    cells[at + cell.standingCount] = row.standingCount
    cells[at + cell.speedMinMilli] = row.speedMinMilli
    cells[at + cell.speedMaxMilli] = row.speedMaxMilli
    cells[at + cell.revision] = row.isExact ? row.revision : 0
    cells[at + cell.source] = row.source
    cells[at + cell.computedAtUs] = row.computedAtUs
  }

  #addTo(at: number, row: RollupRow): void {
    const { cells } = this
    const add = (field: number, value: number) => {
      const sum = (cells[at + field] as number) + value
      if (sum > Number.MAX_SAFE_INTEGER) throw tooLarge(sum)
      cells[at + field] = sum
    }
    add(cell.eventCount, row.eventCount)
    add(cell.speedSumMilli, row.speedSumMilli)
    add(cell.paceSum, row.paceSum)
    add(cell.standingCount, row.standingCount)
    cells[at + cell.speedMinMilli] = Math.min(
      cells[at + cell.speedMinMilli] as number,
      row.speedMinMilli,
    )
    cells[at + cell.speedMaxMilli] = Math.max(
      cells[at + cell.speedMaxMilli] as number,
      row.speedMaxMilli,
    )
    cells[at + cell.computedAtUs] = Math.max(
      cells[at + cell.computedAtUs] as number,
      row.computedAtUs,
    )
  }
}

/** A 64-bit sum as a double; refuses what a double can't hold exactly. */
export function exactNumber(value: bigint): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw tooLarge(value)
  return number
}

function tooLarge(value: number | bigint): PotokError {
  return new PotokError(
    'DataCorrupt',
    `rollup_5m: a sum of one window is ${value}, beyond what any traffic can add up to`,
  )
}
