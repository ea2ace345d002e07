/**
 * Day cubes in memory, loaded on demand through `ParquetReader`, taken further as files are appended.
 *
 * - A day is read for one camera alone until `cameraReadsBeforeCube` cameras have asked for it, then its
 *   cube is made: a month of one camera doesn't read the month of all cameras, a day in demand is read once.
 * - Loads are shared: whoever asks for what is being loaded waits for that.
 * - Bounded by bytes; the least recently used go first. A cube that alone is larger isn't kept: its day is
 *   then always read camera by camera.
 * - What it hands out is never older than the `DayFiles` asked for. It may be newer.
 */
import type { ColumnBatch } from '../../kernel/columns.ts'
import { isPotokError } from '../../kernel/errors.ts'
import type { ParquetReader } from '../../kernel/ports.ts'
import { rollup5mTable } from '../../kernel/tables.ts'
import type { LiveFile } from '../ports.ts'
import { addRows, addRowsInTurns, cubeColumns, DayCube, rowsPerTurn } from './day-cube.ts'
import { type DayFiles, filesAddedSince, filesOf } from './day-files.ts'
import { WorkLimit } from './work-limit.ts'

type Entry = {
  readonly key: string
  cube: DayCube
  files: DayFiles
  bytes: number
  /** The load or catch-up under way. */
  pending: Promise<void> | null
}

export type CubeStoreStats = {
  readonly bytes: number
  readonly entries: number
  readonly loads: number
  readonly catchUps: number
  readonly hits: number
  readonly evictions: number
}

const cameraReadsBeforeCube = 3
/** Files in one read: bounds what the engine opens at once. */
const filesPerRead = 512
const daysOfDemandMax = 4_096

export class CubeStore {
  readonly #reader: ParquetReader
  readonly #bytesMax: number
  readonly #onRows: (cube: DayCube, cameras: Iterable<string>) => void
  /** In order of use, the oldest first. Keys: `day` for a cube, `day camera` for one camera. */
  readonly #entries = new Map<string, Entry>()
  /** Camera reads per day whose cube isn't there; -1: its cube is too large to keep. */
  readonly #demand = new Map<number, number>()
  readonly #limit = new WorkLimit(3, 2_000)
  #bytes = 0
  #stats = { loads: 0, catchUps: 0, hits: 0, evictions: 0 }

  constructor(
    reader: ParquetReader,
    bytesMax: number,
    /** Told whenever a cube took rows in, with the cameras they belong to. */
    onRows: (cube: DayCube, cameras: Iterable<string>) => void = () => {},
  ) {
    this.#reader = reader
    this.#bytesMax = bytesMax
    this.#onRows = onRows
  }

  /** The cubes of a camera's days where all are in memory, without waiting; else null. */
  inMemory(camera: string, days: readonly DayFiles[]): DayCube[] | null {
    const cubes: DayCube[] = []
    for (const files of days) {
      const entry =
        this.#current(String(files.day), files) ?? this.#current(keyOf(files, camera), files)
      if (entry === null) return null
      cubes.push(entry.cube)
    }
    this.#stats.hits++
    return cubes
  }

  /** Would `inMemory` find them? Counts as no use of them. */
  holds(camera: string, days: readonly DayFiles[]): boolean {
    const isHeld = (key: string, { generation }: DayFiles): boolean =>
      (this.#entries.get(key)?.files.generation ?? -1) >= generation
    return days.every(
      (files) => isHeld(String(files.day), files) || isHeld(keyOf(files, camera), files),
    )
  }

  /** The cubes of a camera's days, read where they must be. */
  async forCamera(camera: string, days: readonly DayFiles[]): Promise<DayCube[]> {
    return this.inMemory(camera, days) ?? (await this.#loadForCamera(camera, days))
  }

  /** The whole day's cube. */
  async cube(files: DayFiles): Promise<DayCube> {
    const key = String(files.day)
    const current = this.#current(key, files)
    if (current !== null) return current.cube
    const entry = this.#entry(key, files.day)
    await this.#bring(entry, files, undefined)
    return entry.cube
  }

  /** Brings cubes that are in memory to their days' present files; the others are left alone. */
  async catchUp(days: ReadonlyMap<number, DayFiles>): Promise<void> {
    // A copy: requests reorder the entries while files are read.
    const cubes = [...this.#entries.values()].filter(({ key }) => !key.includes(' '))
    for (const entry of cubes) {
      const files = days.get(entry.cube.day)
      if (files === undefined) this.#drop(entry)
      else if (entry.files.generation < files.generation) await this.#bring(entry, files, undefined)
    }
  }

  /** The cube if it is in memory, whatever its age. */
  peek(day: number): DayCube | null {
    const entry = this.#entries.get(String(day))
    return entry === undefined || entry.files.generation < 0 ? null : entry.cube
  }

  isTooLarge(day: number): boolean {
    return this.#demand.get(day) === -1
  }

  get stats(): CubeStoreStats {
    return { bytes: this.#bytes, entries: this.#entries.size, ...this.#stats }
  }

  #current(key: string, files: DayFiles): Entry | null {
    const entry = this.#entries.get(key)
    if (entry === undefined || entry.files.generation < files.generation) return null
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry
  }

  async #loadForCamera(camera: string, days: readonly DayFiles[]): Promise<DayCube[]> {
    const alone: Entry[] = []
    const wanted = days.map((files) => {
      const whole = this.#entries.get(String(files.day))
      if (whole !== undefined) return { entry: whole, files }
      const key = keyOf(files, camera)
      const known = this.#entries.get(key)
      const isNew = known === undefined && this.#isWantedAlone(files.day)
      const entry =
        known ?? (isNew ? this.#entry(key, files.day) : this.#entry(String(files.day), files.day))
      if (isNew) alone.push(entry)
      return { entry, files }
    })
    if (alone.length > 0) this.#loadTogether(camera, alone, wanted)
    for (const { entry, files } of wanted) {
      await this.#bring(entry, files, entry.key.includes(' ') ? camera : undefined)
    }
    return wanted.map(({ entry }) => entry.cube)
  }

  #isWantedAlone(day: number): boolean {
    const reads = this.#demand.get(day) ?? 0
    if (reads < 0) return true
    if (reads >= cameraReadsBeforeCube) return false
    if (this.#demand.size >= daysOfDemandMax) this.#demand.clear()
    this.#demand.set(day, reads + 1)
    return true
  }

  /** New entries of one camera in one read of all their files, not one read a day. */
  #loadTogether(
    camera: string,
    entries: readonly Entry[],
    wanted: readonly { entry: Entry; files: DayFiles }[],
  ): void {
    const filesOfEntry = new Map(wanted.map(({ entry, files }) => [entry, files]))
    const cubes = new Map(entries.map(({ cube }) => [cube.day, new DayCube(cube.day)]))
    const files = entries.flatMap((entry) => filesOf(filesOfEntry.get(entry) as DayFiles))
    const load = this.#read(files, camera, (day) => cubes.get(day) ?? null).then(() => {
      for (const entry of entries) {
        entry.cube = cubes.get(entry.cube.day) as DayCube
        entry.files = filesOfEntry.get(entry) as DayFiles
        this.#account(entry)
      }
    })
    for (const entry of entries) this.#pend(entry, load)
  }

  /** Loads or catches up until the entry is at least as new as the files; joins what is under way. */
  async #bring(entry: Entry, files: DayFiles, camera: string | undefined): Promise<void> {
    while (entry.files.generation < files.generation) {
      if (entry.pending === null) this.#pend(entry, this.#load(entry, files, camera))
      await entry.pending
    }
  }

  #pend(entry: Entry, work: Promise<void>): void {
    const pending = work
      .catch((error: unknown) => {
        // What is half known is not kept: the next request reads it anew.
        this.#drop(entry)
        throw error
      })
      .finally(() => {
        entry.pending = null
      })
    entry.pending = pending
    // Whoever waits gets the error; if nobody does any more, it is no unhandled rejection.
    pending.catch(() => {})
  }

  async #load(entry: Entry, files: DayFiles, camera: string | undefined): Promise<void> {
    const added = entry.files.generation < 0 ? null : filesAddedSince(entry.files, files)
    if (added === null) {
      const cube = new DayCube(files.day)
      await this.#read(filesOf(files), camera, (day) => (day === files.day ? cube : null))
      entry.cube = cube
      entry.files = files
      this.#onRows(cube, cube.cameras.keys())
    } else {
      const { cube } = entry
      const seen = await this.#append(cube, added, camera)
      entry.files = files
      this.#stats.catchUps++
      this.#onRows(cube, seen)
    }
    this.#account(entry)
  }

  /** What a commit of the stream adds goes in at once; more than that, in turns beside the cube. */
  async #append(
    cube: DayCube,
    files: readonly LiveFile[],
    camera: string | undefined,
  ): Promise<ReadonlySet<string>> {
    if (files.length <= filesPerRead) {
      const batch = await this.#readBatch(files, camera)
      if (batch.rowCount <= rowsPerTurn) {
        return addRows(batch, (day) => (day === cube.day ? cube : null))
      }
      const draft = cube.draft()
      const seen = new Set<string>()
      await addRowsInTurns(batch, (day) => (day === cube.day ? draft : null), seen)
      cube.adopt(draft)
      return seen
    }
    const draft = cube.draft()
    const seen = await this.#read(files, camera, (day) => (day === cube.day ? draft : null))
    cube.adopt(draft)
    return seen
  }

  /** Into cubes that nobody sees before this is done. */
  async #read(
    files: readonly LiveFile[],
    camera: string | undefined,
    cubeOf: (day: number) => DayCube | null,
  ): Promise<ReadonlySet<string>> {
    const seen = new Set<string>()
    for (let i = 0; i < files.length; i += filesPerRead) {
      // One batch at a time: a day of thousands of small files is never in memory as rows.
      const batch = await this.#readBatch(files.slice(i, i + filesPerRead), camera)
      await addRowsInTurns(batch, cubeOf, seen)
    }
    return seen
  }

  #readBatch(files: readonly LiveFile[], camera: string | undefined): Promise<ColumnBatch> {
    const locations = files.map(({ path }) => path)
    this.#stats.loads++
    return this.#limit.run(() =>
      camera === undefined
        ? this.#reader.read(rollup5mTable, locations, cubeColumns)
        : this.#reader.read(rollup5mTable, locations, cubeColumns, { camera }),
    )
  }

  #entry(key: string, day: number): Entry {
    const known = this.#entries.get(key)
    if (known !== undefined) return known
    const nothing: DayFiles = { day, list: [], count: 0, generation: -1 }
    const entry: Entry = { key, cube: new DayCube(day), files: nothing, bytes: 0, pending: null }
    this.#entries.set(key, entry)
    return entry
  }

  #account(entry: Entry): void {
    if (this.#entries.get(entry.key) !== entry) return
    this.#bytes += entry.cube.bytes - entry.bytes
    entry.bytes = entry.cube.bytes
    if (entry.bytes > this.#bytesMax) {
      this.#demand.set(entry.cube.day, -1)
      this.#drop(entry)
      return
    }
    for (const oldest of this.#entries.values()) {
      if (this.#bytes <= this.#bytesMax) break
      if (oldest.pending !== null || oldest === entry) continue
      this.#drop(oldest)
      this.#stats.evictions++
    }
  }

  #drop(entry: Entry): void {
    if (this.#entries.get(entry.key) !== entry) return
    this.#entries.delete(entry.key)
    this.#bytes -= entry.bytes
    entry.bytes = 0
    if (!entry.key.includes(' ') && this.#demand.get(entry.cube.day) !== -1) {
      this.#demand.delete(entry.cube.day)
    }
  }
}

function keyOf(files: DayFiles, camera: string): string {
  return `${files.day} ${camera}`
}

/** A file that went between planning and reading: plan again. */
export function isFileGone(error: unknown): boolean {
  return isPotokError(error, 'NotFound')
}
