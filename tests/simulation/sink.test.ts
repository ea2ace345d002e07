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
const seedCount = Number(process.env['POTOK_SIM_SEEDS'] ?? 100)

async function runSeeds(
  count: number,
  options: Parameters<typeof runChaos>[1],
): Promise<Record<string, number>> {
  const seeds =
    single === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(single)]
  const total: Record<string, number> = { seeds: seeds.length }
  for (const seed of seeds) {
    const report = await runChaos(seed, options).catch((cause: unknown) => {
      throw new Error(`seed ${seed}: replay it with POTOK_SIM_SEED=${seed}`, { cause })
    })
    for (const [name, value] of Object.entries(report)) total[name] = (total[name] ?? 0) + value
  }
  return total
}

test('every offset is in the tables exactly once, whatever happens to the writers', async () => {
  const total = await runSeeds(seedCount, {})
  console.info(total)
  expect(total['rows']).toBeGreaterThan(100 * (total['seeds'] ?? 0))
})

test('so it is where sinks assert their positions instead of the snapshot', async () => {
  const total = await runSeeds(seedCount, { fence: 'property' })
  console.info(total)
  expect(total['rows']).toBeGreaterThan(100 * (total['seeds'] ?? 0))
})

for (const fence of ['snapshot', 'property'] as const) {
  test(`so it is with writers of some log partitions each, with a fence by ${fence}`, async () => {
    const options = { fence, isSplit: true, partitionCount: 4 }
    const total = await runSeeds(Math.ceil(seedCount / 2), options)
    console.info(total)
    expect(total['rows']).toBeGreaterThan(100 * (total['seeds'] ?? 0))
  })

  test(`so it is in a consumer group whose shares change at any time, with a fence by ${fence}`, async () => {
    const options = { fence, isGroup: true, partitionCount: 4 }
    const total = await runSeeds(Math.ceil(seedCount / 2), options)
    console.info(total)
    expect(total['rows']).toBeGreaterThan(100 * (total['seeds'] ?? 0))
  })

  test(`so it is over the real catalog, several servers of it, a root whose swaps fail, with a fence by ${fence}`, async () => {
    const total = await runSeeds(Math.ceil(seedCount / 4), { catalog: 'service', fence })
    console.info(total)
    expect(total['rows']).toBeGreaterThan(100 * (total['seeds'] ?? 0))
  })
}

test('a seed gives the same run every time', async () => {
  for (const catalog of ['memory', 'service'] as const) {
    for (const fence of ['snapshot', 'property'] as const) {
      expect(await runChaos(7, { catalog, fence })).toEqual(await runChaos(7, { catalog, fence }))
    }
  }
})
