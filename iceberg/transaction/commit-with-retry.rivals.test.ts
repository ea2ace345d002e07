/**
 * Rivals that append by `commitWithRetry` over a network that loses, repeats and delays: what was told as done is
 * in the table once, what was told as refused isn't, what is unknown is there at most once, and every manifest
 * that the table names is there to be read.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { isPotokError } from '../../kernel/errors.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { createFaultyCatalog, type CommitFault } from '../../testkit/faulty-catalog.ts'
import { createMemoryCatalog } from '../../testkit/memory-catalog.ts'
import { createRandom, createSeededIds } from '../../testkit/random.ts'
import { fakeDataFile } from '../../testkit/staged-table.ts'
import { createManifestCache } from '../scan/manifest-cache.ts'
import { partitionSpecOf, schemaOf } from '../spec/from-definition.ts'
import { stageAppend } from './append.ts'
import { commitWithRetry } from './commit-with-retry.ts'
import { liveFiles } from './live-entries.ts'
import type { TransactionIo } from './stage-snapshot.ts'

const faults: readonly CommitFault[] = [
  'ok',
  'ok',
  'request-lost',
  'answer-lost',
  'delayed',
  'refused-though-done',
  'answered-late',
]
const identifier = { namespace: ['traffic'], name: 'events' }

test('every append is in as often as its sender was told', async () => {
  const seen = { done: 0, unknown: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const random = createRandom(seed)
      const ids = createSeededIds(random)
      const store = createMemoryObjectStore()
      let nowMs = 1_000
      const clock = { nowMs: () => nowMs++ }
      const inner = createMemoryCatalog({
        warehouse: 'file:///warehouse',
        nowMs: clock.nowMs,
        uuid: () => ids.uuid(),
      })
      await inner.createTable({
        identifier,
        schema: schemaOf(eventsTable),
        partitionSpec: partitionSpecOf(eventsTable),
        properties: { 'commit.retry.num-retries': '3', 'commit.manifest.min-count-to-merge': '3' },
      })
      const catalog = createFaultyCatalog(inner)
      catalog.beforeCommit = async () => random.pick(faults)
      const io: TransactionIo = { store, ids, clock, manifests: createManifestCache(store, 1e6) }
      const sleep = async () => {
        for (let turns = random.below(4); turns > 0; turns--) await Promise.resolve()
        if (random.chance(0.3)) await catalog.deliver()
      }
      const told = new Map<string, 'done' | 'unknown' | 'refused'>()
      const client = async (name: string) => {
        for (let i = 0; i < 3; i++) {
          const file = fakeDataFile(eventsTable, `${name}${i}`)
          try {
            await commitWithRetry({ catalog, store, ids, sleep }, identifier, (table) =>
              stageAppend(io, table, { files: [file] }),
            )
            told.set(file.filePath, 'done')
          } catch (error) {
            if (isPotokError(error, 'CommitStateUnknown')) told.set(file.filePath, 'unknown')
            else if (isPotokError(error, 'CommitConflict')) told.set(file.filePath, 'refused')
            else throw error
          }
        }
      }
      await Promise.all(['a', 'b', 'c', 'd'].map(client))
      await catalog.deliver()

      const { metadata } = await inner.loadTable(identifier)
      const cache = createManifestCache(store, 1e6)
      const times = new Map<string, number>()
      for await (const { dataFile } of liveFiles(
        cache,
        metadata,
        metadata.currentSnapshotId,
        'data',
      )) {
        times.set(dataFile.filePath, (times.get(dataFile.filePath) ?? 0) + 1)
      }
      for (const [path, what] of told) {
        seen[what]++
        const count = times.get(path) ?? 0
        if (what === 'done') expect(count, path).toBe(1)
        if (what === 'refused') expect(count, path).toBe(0)
        if (what === 'unknown') expect(count, path).toBeLessThanOrEqual(1)
      }
    }),
    { numRuns: 60 },
  )
  expect(seen.done).toBeGreaterThan(300)
  expect(seen.unknown).toBeGreaterThan(0)
})
