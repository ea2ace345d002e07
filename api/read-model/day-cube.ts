/**
 * Windows of one UTC day in memory: of all cameras (a cube), or of one camera. Made from rows of rollup_5m,
 * and taken further by the rows of files that were appended since. Pure: who reads files is `cube-store.ts`.
 *
 * No reader sees half of a batch: few rows go in without an `await` between them; many into a draft, in turns,
 * and the draft into the cube at once. A cube or draft for which `addRows` threw is to be thrown away.
 */
import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import type { Column, ColumnBatch } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import { dayOfUs, startOfDayUs, usPer5Minutes } from '../../kernel/time.ts'
import { CameraDay, cell, exactNumber, type RollupRow } from './camera-day.ts'

/** Columns of rollup_5m that a cube is made of. */
export const cubeColumns = [
  'kvfv_id',
  'window_start',
  'event_count',
  'speed_sum_milli',
  'pace_sum',
  'standing_count',
  'speed_min_milli',
  'speed_max_milli',
  'is_exact',
  'source_snapshot_id',
  'revision',
  'computed_at',
] as const

export type DaySummary = {
  readonly cameras: number
  readonly windows: number
  readonly exactWindows: number
  readonly events: number
  readonly revisionMax: number
  readonly computedAtUsMax: number | null
}

const bytesPerCamera = 300 + new CameraDay().cells.byteLength

export class DayCube {
  readonly day: number
  readonly cameras = new Map<string, CameraDay>()
  /** Source snapshot ids as the API gives them (they don't fit a double); index 0: none. */
  readonly sources: (string | null)[] = [null]
  readonly #sourceIndex = new Map<bigint, number>()
  #summary: DaySummary | null = null
  #grownBytes = 0
  #base: DayCube | null = null

  constructor(day: number) {
    this.day = day
  }

  /** A cube that begins as this one is and takes rows without anybody seeing it, until `adopt`. */
  draft(): DayCube {
    const draft = new DayCube(this.day)
    draft.#base = this
    for (let i = 1; i < this.sources.length; i++) {
      draft.indexOfSource(BigInt(this.sources[i] as string))
    }
    return draft
  }

  /** Takes what a draft of this cube became, all at once: costs a step per camera, none per row. */
  adopt(draft: DayCube): void {
    assert(draft.#base === this, 'a draft of another cube')
    for (const [camera, cameraDay] of draft.cameras) this.cameras.set(camera, cameraDay)
    for (let i = this.sources.length; i < draft.sources.length; i++) {
      this.indexOfSource(BigInt(draft.sources[i] as string))
    }
    this.#grownBytes += draft.#grownBytes
    this.#summary = null
  }

  /** The windows of a camera that there are so far, made where there are none. */
  cameraDay(camera: string): CameraDay {
    let cameraDay = this.cameras.get(camera)
    if (cameraDay === undefined) {
      const before = this.#base?.cameras.get(camera)
      cameraDay = before === undefined ? new CameraDay() : before.copy()
      this.cameras.set(camera, cameraDay)
    }
    return cameraDay
  }

  add(camera: string, row: RollupRow): void {
    const cameraDay = this.cameraDay(camera)
    const lengthBefore = cameraDay.cells.length
    cameraDay.add(row)
    this.#grownBytes += (cameraDay.cells.length - lengthBefore) * 8
    this.#summary = null
  }

  /** About what it costs: cells, and some 300 bytes a camera for the objects around them. */
  get bytes(): number {
    return 1_024 + this.cameras.size * bytesPerCamera + this.#grownBytes + this.sources.length * 64
  }

  summary(): DaySummary {
    this.#summary ??= summarise(this.cameras.values())
    return this.#summary
  }

  indexOfSource(id: bigint): number {
    let index = this.#sourceIndex.get(id)
    if (index === undefined) {
      index = this.sources.length
      this.sources.push(id.toString())
      this.#sourceIndex.set(id, index)
    }
    return index
  }
}

/** Rows that go in at a time: some 5 ms of work, then requests have their turn. */
export const rowsPerTurn = 4_096

/** `addRows` in turns, for cubes that nobody sees yet. */
export async function addRowsInTurns(
  batch: ColumnBatch,
  cubeOf: (day: number) => DayCube | null,
  seen: Set<string>,
): Promise<void> {
  for (let from = 0; from < batch.rowCount; from += rowsPerTurn) {
    if (from > 0) await setImmediate()
    addRows(batch, cubeOf, seen, from, Math.min(from + rowsPerTurn, batch.rowCount))
  }
}

/**
 * Puts rows into the cubes of their days; `cubeOf` gives null for a day that was not asked for, which
 * is DataCorrupt: a file holds rows of its partition's day alone. Gives the cameras seen.
 */
export function addRows(
  batch: ColumnBatch,
  cubeOf: (day: number) => DayCube | null,
  seen = new Set<string>(),
  from = 0,
  to = batch.rowCount,
): ReadonlySet<string> {
  const longs = (name: string) => columnOf(batch, name, 'long')
  const cameras = columnOf(batch, 'kvfv_id', 'string').values
  const starts = columnOf(batch, 'window_start', 'timestamptz').values
  const computedAt = columnOf(batch, 'computed_at', 'timestamptz').values
  const isExact = columnOf(batch, 'is_exact', 'boolean').values
  const revisions = columnOf(batch, 'revision', 'int')
  const sources = longs('source_snapshot_id')
  const counts = longs('event_count').values
  const speedSums = longs('speed_sum_milli').values
  const paceSums = longs('pace_sum').values
  const standing = longs('standing_count').values
  const minima = longs('speed_min_milli').values
  const maxima = longs('speed_max_milli').values
  for (let i = from; i < to; i++) {
    const camera = cameras[i] as string
    const startUs = starts[i] as number
    const cube = cubeOf(dayOfUs(startUs))
    if (cube === null || startUs % usPer5Minutes !== 0) throw misplaced(camera, startUs)
    const exact = isExact[i] === 1
    // An exact row without a revision must not pass for a provisional one.
    const revision = exact
      ? Math.max(1, revisions.nulls?.[i] === 1 ? 1 : (revisions.values[i] as number))
      : 0
    scratch.window = (startUs - startOfDayUs(cube.day)) / usPer5Minutes
    scratch.eventCount = exactNumber(counts[i] as bigint)
    scratch.speedSumMilli = exactNumber(speedSums[i] as bigint)
    scratch.paceSum = exactNumber(paceSums[i] as bigint)
    scratch.standingCount = exactNumber(standing[i] as bigint)
    scratch.speedMinMilli = exactNumber(minima[i] as bigint)
    scratch.speedMaxMilli = exactNumber(maxima[i] as bigint)
    scratch.isExact = exact
    scratch.revision = revision
    scratch.source =
      exact && sources.nulls?.[i] !== 1 ? cube.indexOfSource(sources.values[i] as bigint) : 0
    scratch.computedAtUs = computedAt[i] as number
    cube.add(camera, scratch)
    seen.add(camera)
  }
  return seen
}

/** One row at a time, and none of them kept. */
const scratch: RollupRow = {
  window: 0,
  eventCount: 0,
  speedSumMilli: 0,
  paceSum: 0,
  standingCount: 0,
  speedMinMilli: 0,
  speedMaxMilli: 0,
  isExact: false,
  revision: 0,
  source: 0,
  computedAtUs: 0,
}

function misplaced(camera: string, startUs: number): PotokError {
  return new PotokError(
    'DataCorrupt',
    `rollup_5m: a row of ${camera} starts at ${startUs} µs, which is no 5-minute window of its file's day`,
  )
}

function summarise(cameraDays: Iterable<CameraDay>): DaySummary {
  let cameras = 0
  let windows = 0
  let exactWindows = 0
  let events = 0
  let revisionMax = 0
  let computedAtUsMax: number | null = null
  for (const { cells, length } of cameraDays) {
    cameras++
    windows += length
    for (let at = 0; at < length * cell.size; at += cell.size) {
      const revision = cells[at + cell.revision] as number
      if (revision > 0) exactWindows++
      if (revision > revisionMax) revisionMax = revision
      events += cells[at + cell.eventCount] as number
      const computedAtUs = cells[at + cell.computedAtUs] as number
      if (computedAtUsMax === null || computedAtUs > computedAtUsMax) computedAtUsMax = computedAtUs
    }
  }
  return { cameras, windows, exactWindows, events, revisionMax, computedAtUsMax }
}

type ColumnOf<T> = T extends 'int'
  ? { readonly values: Int32Array; readonly nulls?: Uint8Array }
  : Extract<Column, { readonly type: T }>

function columnOf<T extends Column['type']>(
  batch: ColumnBatch,
  name: string,
  type: T,
): ColumnOf<T> {
  const column = batch.columns[name]
  if (column === undefined || column.type !== type) {
    throw new PotokError(
      'DataCorrupt',
      `rollup_5m: column ${name} is ${column?.type ?? 'missing'}, expected ${type}`,
    )
  }
  return column as ColumnOf<T>
}
