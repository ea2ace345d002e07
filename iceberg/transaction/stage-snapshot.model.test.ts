/** Any history of changes against a model: a map from path to the sequence number at which the file came in. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { fakeDataFile, type StagedTable, stagedTableOf } from '../../testkit/staged-table.ts'
import { createManifestCache, planScan } from '../scan/plan-files.ts'
import { snapshotUpkeepProperty } from './plan-snapshot-expiry.ts'
import { countEntries } from './write-manifest.ts'

type Step = { readonly add: number; readonly removeEvery: number; readonly day: number }

const steps = fc.array(
  fc.record({
    add: fc.nat({ max: 4 }),
    /** 0: an append; n: each n-th live file goes. */
    removeEvery: fc.constantFrom(0, 0, 0, 1, 2, 3),
    day: fc.nat({ max: 3 }),
  }),
  { maxLength: 25 },
)

test('live files, their age, counts and totals are those of the model after any history', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 2, max: 5 }), async (history, minCount) => {
      const table = stagedTableOf(eventsTable, {
        store: createMemoryObjectStore(),
        properties: {
          'commit.manifest.min-count-to-merge': String(minCount),
          'history.expire.max-snapshot-age-ms': '5000',
          [snapshotUpkeepProperty]: 'true',
        },
      })
      const model = new Map<string, { sequence: number; rows: number }>()
      for (const [at, step] of history.entries()) {
        await takeStep(table, model, at, step)
        await compare(table, model)
      }
    }),
    { numRuns: 25 },
  )
})

async function takeStep(
  table: StagedTable,
  model: Map<string, { sequence: number; rows: number }>,
  at: number,
  step: Step,
): Promise<void> {
  const add = Array.from({ length: step.add }, (_, i) =>
    fakeDataFile(eventsTable, `${at}-${i}`, { day: 20_000 + step.day, rows: 1 + i }),
  )
  const remove = new Set(
    [...model.keys()].filter((_, i) => step.removeEvery > 0 && i % step.removeEvery === 0),
  )
  await table.change({ operation: remove.size === 0 ? 'append' : 'overwrite', add, remove })
  const sequence = table.loaded().metadata.lastSequenceNumber
  for (const path of remove) model.delete(path)
  for (const file of add) model.set(file.filePath, { sequence, rows: file.recordCount })
}

async function compare(
  table: StagedTable,
  model: ReadonlyMap<string, { sequence: number; rows: number }>,
): Promise<void> {
  const { metadata } = table.loaded()
  const cache = createManifestCache(table.io.store, 1e6)
  const { files } = await planScan({ store: table.io.store, manifests: cache }, metadata)
  expect(files.length, 'no file is live twice').toBe(model.size)
  expect(
    new Map(
      files.map((each) => [
        each.dataFile.filePath,
        [each.sequenceNumber, each.fileSequenceNumber, each.dataFile.recordCount],
      ]),
    ),
  ).toEqual(
    new Map([...model].map(([path, { sequence, rows }]) => [path, [sequence, sequence, rows]])),
  )

  const head = metadata.snapshots.at(-1)
  const total = [...model.values()].reduce((sum, file) => sum + file.rows, 0)
  expect(head?.summary).toMatchObject({
    'total-data-files': String(model.size),
    'total-records': String(total),
    'total-files-size': String(model.size * 1_000),
  })
  expect(metadata.snapshots.length).toBeLessThanOrEqual(8)
  for (const manifest of await cache.manifestList(head?.manifestList as string)) {
    const entries = await cache.manifest(manifest)
    expect(manifest).toMatchObject(countEntries(entries, manifest.sequenceNumber))
    // Deletions are told of by the snapshot that made them only.
    for (const entry of entries) {
      if (entry.status === 'deleted') expect(entry.snapshotId).toBe(manifest.addedSnapshotId)
    }
  }
}
