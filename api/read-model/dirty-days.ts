/**
 * Which cameras of which sealed days have newer events than their exact rows (DESIGN §5): those in live data
 * files of `events` whose data sequence number is above what the day is exact up to. Only the column
 * `kvfv_id` of such files is read, once per file.
 *
 * A file whose rows all lie in windows that aren't sealed yet makes nothing dirty. Bounded: a day with more
 * than `camerasMax` such cameras is dirty as a whole.
 */
import { exactSequenceOfDay, type Exactness, isDaySealedInPart } from '../../kernel/exactness.ts'
import type { ParquetReader } from '../../kernel/ports.ts'
import { type DayFiles, filesOf } from './day-files.ts'
import type { LiveFile } from '../ports.ts'

export type DirtyDay = {
  /** null: all of them. */
  readonly cameras: ReadonlySet<string> | null
}

const camerasMax = 200_000
const filesPerRead = 512

type Known = { readonly paths: Set<string>; readonly cameras: Set<string> }

export class DirtyDays {
  readonly #reader: ParquetReader
  #known = new Map<number, Known>()
  current: ReadonlyMap<number, DirtyDay> = new Map()

  constructor(reader: ParquetReader) {
    this.#reader = reader
  }

  async update(
    events: ReadonlyMap<number, DayFiles>,
    exactness: Exactness,
  ): Promise<ReadonlyMap<number, DirtyDay>> {
    const known = new Map<number, Known>()
    const result = new Map<number, DirtyDay>()
    for (const [day, files] of events) {
      if (!isDaySealedInPart(exactness, day)) continue
      const newer = filesOf(files).filter((file) => isNewer(file, day, exactness))
      if (newer.length === 0) continue
      const found = await this.#camerasOf(this.#known.get(day), newer)
      known.set(day, found)
      result.set(day, { cameras: found.cameras.size > camerasMax ? null : found.cameras })
    }
    this.#known = known
    this.current = result
    return result
  }

  async #camerasOf(before: Known | undefined, files: readonly LiveFile[]): Promise<Known> {
    const paths = new Set(files.map(({ path }) => path))
    const keeps = before !== undefined && before.paths.isSubsetOf(paths)
    const cameras = keeps ? new Set(before.cameras) : new Set<string>()
    const unread = keeps ? [...paths.difference(before.paths)] : [...paths]
    for (let i = 0; i < unread.length && cameras.size <= camerasMax; i += filesPerRead) {
      const found = await this.#reader.distinct(unread.slice(i, i + filesPerRead), 'kvfv_id')
      for (const camera of found) cameras.add(camera)
    }
    return { paths, cameras }
  }
}

function isNewer(file: LiveFile, day: number, exactness: Exactness): boolean {
  if (file.sequenceNumber <= exactSequenceOfDay(exactness, day)) return false
  const sealedUntilUs = exactness.sealedUntilUs as number
  return file.timeUsMin === null || file.timeUsMin < sealedUntilUs
}
