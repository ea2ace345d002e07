/**
 * Notices a root that was put back from an old copy while no server looked on: the highest generation seen is
 * remembered outside of the root, and a server that starts on a lower one of the same catalog refuses. To go on
 * from an old root would make the files of every commit after it orphans.
 *
 * It is written now and then and at the end, so the last seconds before a crash may be missing: what is
 * remembered is a proof where it says "older", and says nothing otherwise. A catalog that was begun anew in a
 * folder or bucket that was used before has another id, and is never held against what was there.
 */
import { describeError, PotokError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/ports.ts'
import type { RootState } from './root-state.ts'

export type SeenGeneration = { readonly warehouseId: string; readonly generation: number }

/** One place where it is remembered. */
export type GenerationMemory = {
  /** For people: "the warehouse", a path. */
  readonly place: string
  /** It goes with the warehouse: a warehouse in which it is found is no new one. */
  readonly isInWarehouse: boolean
  recall(): Promise<readonly SeenGeneration[]>
  /** Never lowers what is there of the same catalog. */
  remember(seen: SeenGeneration): Promise<void>
}

export const repairHint =
  'put the newest root back, or rebuild it from the metadata files with: potok catalog repair'
const rememberEveryMs = 30_000

export type GenerationWatch = {
  /** DataCorrupt where a newer root of this catalog was seen before. */
  check(state: RootState): Promise<void>
  /** Where there is no root: DataCorrupt if there was one in this warehouse. */
  requireNew(): Promise<void>
  /** Remembers it, soon. */
  note(state: RootState): void
  close(): Promise<void>
}

export function createGenerationWatch(options: {
  memories: readonly GenerationMemory[]
  nowMs: () => number
  logger: Logger | undefined
}): GenerationWatch {
  const { memories, nowMs, logger } = options
  let newest: SeenGeneration | null = null
  let remembered: SeenGeneration | null = null
  let rememberedMs = nowMs()
  let writing: Promise<void> = Promise.resolve()

  async function write(): Promise<void> {
    const seen = newest
    if (seen === null || seen === remembered) return
    remembered = seen
    for (const memory of memories) {
      try {
        await memory.remember(seen)
      } catch (error) {
        // Only the next start would miss it.
        const what = `the catalog's generation could not be noted in ${memory.place}`
        logger?.warn({ ...seen }, `${what}: ${describeError(error)}`)
      }
    }
  }

  return {
    async check(state) {
      for (const memory of memories) {
        for (const seen of await memory.recall()) {
          // A root without an id is older than all that have one.
          if (state.warehouseId !== null && state.warehouseId !== seen.warehouseId) continue
          if (state.generation >= seen.generation) continue
          throw new PotokError(
            'DataCorrupt',
            `the catalog's root is of generation ${state.generation}, but ${seen.generation} was seen before (noted in ${memory.place}): an old copy was put back, or the newest one was lost; ${repairHint}`,
            { context: { generation: state.generation, seen: seen.generation } },
          )
        }
      }
    },

    async requireNew() {
      for (const memory of memories) {
        if (!memory.isInWarehouse) continue
        const [seen] = await memory.recall()
        if (seen === undefined) continue
        throw new PotokError(
          'DataCorrupt',
          `the catalog's root object is missing, but generation ${seen.generation} was seen before (noted in ${memory.place}); ${repairHint}`,
          { context: { seen: seen.generation } },
        )
      }
    },

    note({ warehouseId, generation }) {
      if (warehouseId === null) return
      if (newest?.warehouseId === warehouseId && newest.generation >= generation) return
      newest = { warehouseId, generation }
      if (nowMs() - rememberedMs < rememberEveryMs) return
      rememberedMs = nowMs()
      writing = writing.then(write)
    },

    async close() {
      writing = writing.then(write)
      await writing
    },
  }
}
