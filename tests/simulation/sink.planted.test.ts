/** The simulation finds sinks that are wrong: each planted error within a few seeds. */
import { expect, test, vi } from 'vitest'
import { type Commit, plantedCommits } from './planted-commits.ts'
import { runChaos } from './sink-world.ts'

const { planted, viaPlanted } = vi.hoisted(() => {
  const planted: { commit: Commit | null } = { commit: null }
  const viaPlanted: Commit = async (io, batch, base) => {
    if (planted.commit === null) throw new Error('nothing is planted')
    return planted.commit(io, batch, base)
  }
  return { planted, viaPlanted }
})

vi.mock('node:zlib', async (importOriginal) => {
  const { synchronousZlib } = await import('./synchronous-zlib.ts')
  return synchronousZlib(await importOriginal())
})
vi.mock('../../iceberg/sink/commit-batch.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../iceberg/sink/commit-batch.ts')>()
  return { ...original, commitBatch: viaPlanted }
})

const seedsMax = 40

for (const fence of ['snapshot', 'property'] as const) {
  for (const [name, commit] of Object.entries(plantedCommits)) {
    test(`a sink with a fence by ${fence} that ${words(name)} is found within ${seedsMax} seeds`, async () => {
      planted.commit = commit
      const found: string[] = []
      for (let seed = 1; seed <= seedsMax && found.length === 0; seed++) {
        await runChaos(seed, { fence }).catch((error: unknown) =>
          found.push(`seed ${seed}: ${String(error)}`),
        )
      }
      console.info(fence, name, found)
      expect(found).toHaveLength(1)
    })
  }
}

function words(camelCase: string): string {
  return camelCase.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}
