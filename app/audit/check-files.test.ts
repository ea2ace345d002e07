import { describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { createManifestCache, type ManifestCache } from '../../iceberg/scan/plan-files.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { fakeDataFile, stagedTableOf } from '../../testkit/staged-table.ts'
import { checkFiles } from './check-files.ts'

const sizeBytes = 1_000

async function tableOf(appends: number) {
  const store = createMemoryObjectStore()
  const table = stagedTableOf(eventsTable, { store })
  const paths: string[] = []
  for (let i = 0; i < appends; i++) {
    const file = fakeDataFile(eventsTable, `f${i}`, { sizeBytes })
    await store.write(file.filePath, new Uint8Array(sizeBytes))
    await table.change({ add: [file] })
    paths.push(file.filePath)
  }
  const read: string[] = []
  const cache = createManifestCache(store, 1)
  const manifests: ManifestCache = {
    ...cache,
    manifest(manifest) {
      read.push(manifest.manifestPath)
      return cache.manifest(manifest)
    },
  }
  const audit = async () => {
    const { reports } = await checkFiles({ store, manifests }, [table.loaded()])
    const [present, once] = reports
    if (present === undefined || once === undefined) throw new Error('two checks')
    return { present, once }
  }
  return { store, table, paths, read, audit }
}

describe('files of a table', () => {
  it('are found sound, the manifests that snapshots share being read no more than twice', async () => {
    const { read, audit } = await tableOf(40)
    const { present, once } = await audit()
    expect(present.findings).toEqual([])
    expect(present.counts).toEqual({ tables: 1, snapshots: 40, files: 40 })
    expect(once.counts).toEqual({ files: 40 })
    expect(read.length).toBeLessThanOrEqual(2 * new Set(read).size)
  })

  it('name what is missing or of another size once, however many snapshots refer to it', async () => {
    const { store, paths, audit } = await tableOf(5)
    await store.delete(paths.slice(0, 1))
    await store.delete(paths.slice(1, 2))
    await store.write(paths[1] as string, new Uint8Array(7))
    const { present } = await audit()
    expect(present.findings.map(({ message }) => message)).toEqual([
      expect.stringContaining('f0.parquet of table is not there'),
      expect.stringContaining('f1.parquet of table has 7 bytes instead of 1000'),
    ])
  })

  it('name a manifest and a manifest list that are missing', async () => {
    const { store, read, table, audit } = await tableOf(3)
    await audit()
    await store.delete(read.slice(0, 1))
    await store.delete([table.loaded().metadata.snapshots[1]?.manifestList as string])
    const { present } = await audit()
    expect(present.findings).toHaveLength(2)
    expect(JSON.stringify(present.findings)).toContain(read[0])
  })

  it('name a file that is live twice in the current snapshot', async () => {
    const { table, audit } = await tableOf(2)
    await table.change({ add: [fakeDataFile(eventsTable, 'f0', { sizeBytes })] })
    const { once } = await audit()
    expect(once.findings).toHaveLength(1)
  })
})
