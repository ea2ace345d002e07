/**
 * The highest generation of a catalog's root that this installation has seen, in a file of its data folder: a
 * root is noticed that was put back together with the whole warehouse, too. One entry per warehouse.
 *
 * Threads and processes of one installation may write at once; the file is whole at any moment, and what is
 * lost in a race is written again with the next note.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { GenerationMemory, SeenGeneration } from '../catalog/generation-watch.ts'

const fileName = 'catalog-generation.json'

type Noted = Record<string, SeenGeneration>

export function createGenerationFile(folder: string, warehouse: string): GenerationMemory {
  const path = join(folder, fileName)

  /** One that can't be understood says nothing. */
  async function read(): Promise<Noted> {
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
      throw error
    }
    try {
      return JSON.parse(text) as Noted
    } catch {
      return {}
    }
  }

  return {
    place: path,
    isInWarehouse: false,

    async recall() {
      const seen = (await read())[warehouse]
      return seen === undefined ? [] : [seen]
    },

    async remember(seen) {
      const noted = await read()
      const before = noted[warehouse]
      const isNewer = before?.warehouseId !== seen.warehouseId
      if (!isNewer && before.generation >= seen.generation) return
      await mkdir(folder, { recursive: true })
      const temporary = `${path}.${randomUUID()}`
      const file = await open(temporary, 'wx')
      try {
        await file.writeFile(`${JSON.stringify({ ...noted, [warehouse]: seen })}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(temporary, path)
    },
  }
}
