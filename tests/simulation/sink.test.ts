/**
 * The writer under faults, from seeds. `POTOK_SIM_SEEDS=5000 npm run test:sim` runs the long form;
 * `POTOK_SIM_SEED=4711` replays one seed.
 */
import { expect, test, vi } from 'vitest'
import { runChaos } from './sink-world.ts'

vi.mock('node:zlib', async (importOriginal) => {
  const { synchronousZlib } = await import('./synchronous-zlib.ts')
  return synchronousZlib(await importOriginal())
})

const single = process.env['POTOK_SIM_SEED']
const seedCount = Number(process.env['POTOK_SIM_SEEDS'] ?? 150)

test('every offset is in the tables exactly once, whatever happens to the writers', async () => {
  const seeds =
    single === undefined ? Array.from({ length: seedCount }, (_, i) => i + 1) : [Number(single)]
  const total: Record<string, number> = {}
  for (const seed of seeds) {
    const report = await runChaos(seed).catch((cause: unknown) => {
      throw new Error(`seed ${seed}: replay it with POTOK_SIM_SEED=${seed}`, { cause })
    })
    for (const [name, value] of Object.entries(report)) total[name] = (total[name] ?? 0) + value
  }
  console.info(`${seeds.length} seeds`, total)
  expect(total['rows']).toBeGreaterThan(100 * seeds.length)
})

test('a seed gives the same run every time', async () => {
  expect(await runChaos(7)).toEqual(await runChaos(7))
})
