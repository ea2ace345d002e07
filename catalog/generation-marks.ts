/**
 * The highest generation seen, noted in the warehouse itself: an empty object whose name says it, beside the
 * folder of the root, so that putting that folder back from a copy leaves it as it is.
 */
import type { ObjectStore } from '../kernel/ports.ts'
import { isPotokError } from '../kernel/errors.ts'
import type { GenerationMemory, SeenGeneration } from './generation-watch.ts'

const folderName = '.catalog-seen'
const namePattern = /\/([0-9a-f]+)-(\d+)$/

export function createGenerationMarks(store: ObjectStore, warehouse: string): GenerationMemory {
  const folder = `${warehouse}/${folderName}`

  async function found(): Promise<{ location: string; seen: SeenGeneration }[]> {
    const marks: { location: string; seen: SeenGeneration }[] = []
    for await (const { location } of store.list(`${folder}/`)) {
      const [, warehouseId, generation] = namePattern.exec(location) ?? []
      if (warehouseId === undefined) continue
      marks.push({ location, seen: { warehouseId, generation: Number(generation) } })
    }
    return marks
  }

  return {
    place: folder,
    isInWarehouse: true,
    recall: async () => (await found()).map((mark) => mark.seen),

    async remember(seen) {
      const before = await found()
      const isNoted = before.some(
        (mark) =>
          mark.seen.warehouseId === seen.warehouseId && mark.seen.generation >= seen.generation,
      )
      if (isNoted) return
      const location = `${folder}/${seen.warehouseId}-${seen.generation}`
      try {
        await store.write(location, new Uint8Array(0))
      } catch (error) {
        if (!isPotokError(error, 'AlreadyExists')) throw error
      }
      await store.delete(before.map((mark) => mark.location))
    },
  }
}
