/**
 * Every camera that has data, and its newest 5-minute window: for the list of cameras, and to tell a camera
 * without data in a range from one that nobody knows. Fed by cubes as they take rows in, and by the column
 * `kvfv_id` of files whose day is in no cube.
 *
 * Bounded by `camerasMax`: beyond it further cameras aren't listed, and none is called unknown any more.
 */
import { startOfDayUs, usPer5Minutes } from '../../kernel/time.ts'
import { cell } from './camera-day.ts'
import type { DayCube } from './day-cube.ts'

export type LastWindow = {
  startUs: number
  eventCount: number
  speedSumMilli: number
  isExact: boolean
}

export type KnownCamera = {
  readonly id: string
  /** Newest UTC day with data, as far as is known. */
  day: number
  /** null until the cube of that day was read. */
  last: LastWindow | null
}

const camerasMax = 200_000

export class CameraIndex {
  readonly cameras = new Map<string, KnownCamera>()
  /** Has every day of the table been looked through? */
  isComplete = false
  isFull = false

  observeCube(cube: DayCube, cameras: Iterable<string>): void {
    for (const id of cameras) {
      const windows = cube.cameras.get(id)
      if (windows === undefined || windows.length === 0) continue
      const camera = this.observe(id, cube.day)
      if (camera === null || camera.day !== cube.day) continue
      const at = (windows.length - 1) * cell.size
      const { cells } = windows
      const startUs = startOfDayUs(cube.day) + (cells[at + cell.window] as number) * usPer5Minutes
      camera.last = {
        startUs,
        eventCount: cells[at + cell.eventCount] as number,
        speedSumMilli: cells[at + cell.speedSumMilli] as number,
        isExact: (cells[at + cell.revision] as number) > 0,
      }
    }
  }

  /** The camera has data on this day; null where there is no room for another one. */
  observe(id: string, day: number): KnownCamera | null {
    const known = this.cameras.get(id)
    if (known !== undefined) {
      if (day > known.day) {
        known.day = day
        known.last = null
      }
      return known
    }
    if (this.cameras.size >= camerasMax) {
      this.isFull = true
      return null
    }
    const camera: KnownCamera = { id, day, last: null }
    this.cameras.set(id, camera)
    return camera
  }

  /** Certainly without data? False where that isn't known. */
  isUnknown(id: string): boolean {
    return this.isComplete && !this.isFull && !this.cameras.has(id)
  }
}
