/**
 * Events, cameras, revision of a day for the list of days. From the cube where it is in memory; else the day
 * is read once and only the figures are kept, so that a look at a year doesn't push the cubes out.
 *
 * Bounded: `summariesMax` days, the least recently asked for go first; one day is counted at a time.
 */
import type { ParquetReader } from '../../kernel/ports.ts'
import { rollup5mTable } from '../../kernel/tables.ts'
import type { CubeStore } from './cube-store.ts'
import { addRowsInTurns, cubeColumns, DayCube, type DaySummary } from './day-cube.ts'
import { type DayFiles, filesOf } from './day-files.ts'
import { WorkLimit } from './work-limit.ts'

const summariesMax = 4_096
const filesPerRead = 512

type Counted = {
  readonly generation: number
  value: DaySummary | null
  readonly work: Promise<DaySummary | null>
}

export class DaySummaries {
  readonly #store: CubeStore
  readonly #reader: ParquetReader
  readonly #limit = new WorkLimit(1, summariesMax)
  readonly #counted = new Map<number, Counted>()

  constructor(store: CubeStore, reader: ParquetReader) {
    this.#store = store
    this.#reader = reader
  }

  /** null where it isn't counted within `waitMs`; the counting goes on for the next who asks. */
  async get(files: DayFiles, waitMs: number): Promise<DaySummary | null> {
    const cube = this.#store.peek(files.day)
    if (cube !== null) return cube.summary()
    let counted = this.#counted.get(files.day)
    if (counted === undefined || counted.generation < files.generation) {
      counted = this.#begin(files)
    } else {
      this.#counted.delete(files.day)
      this.#counted.set(files.day, counted)
    }
    if (counted.value !== null) return counted.value
    if (waitMs <= 0) return null
    return within(counted.work, waitMs)
  }

  #begin(files: DayFiles): Counted {
    const work = this.#limit
      .run(() => this.#count(files))
      .then(
        (value) => {
          counted.value = value
          return value
        },
        (error: unknown) => {
          if (this.#counted.get(files.day) === counted) this.#counted.delete(files.day)
          throw error
        },
      )
    const counted: Counted = { generation: files.generation, value: null, work }
    work.catch(() => {})
    this.#counted.delete(files.day)
    this.#counted.set(files.day, counted)
    if (this.#counted.size > summariesMax) {
      const [oldest] = this.#counted.keys()
      this.#counted.delete(oldest as number)
    }
    return counted
  }

  async #count(files: DayFiles): Promise<DaySummary> {
    const cube = new DayCube(files.day)
    const present = filesOf(files)
    for (let i = 0; i < present.length; i += filesPerRead) {
      const paths = present.slice(i, i + filesPerRead).map(({ path }) => path)
      const batch = await this.#reader.read(rollup5mTable, paths, cubeColumns)
      await addRowsInTurns(batch, (day) => (day === files.day ? cube : null), new Set())
    }
    return cube.summary()
  }
}

async function within<T>(work: Promise<T>, waitMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, waitMs, null)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}
