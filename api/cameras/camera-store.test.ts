import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../../adapters/object-store/memory-root-object.ts'
import { createCatalogService } from '../../catalog/catalog-service.ts'
import { createManifestCache } from '../../iceberg/scan/manifest-cache.ts'
import { partitionSpecOf, schemaOf, sortOrderOf } from '../../iceberg/spec/from-definition.ts'
import type { Column } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { ParquetReader } from '../../kernel/ports.ts'
import { camerasTable, namespaceName } from '../../kernel/tables.ts'
import { randomIds, systemClock } from '../../testkit/fixed-ports.ts'
import { createMemoryParquetWriter, readMemoryParquet } from '../../testkit/memory-parquet.ts'
import { createManifestScanner } from '../read-model/manifest-scanner.ts'
import type { CameraFacts } from './camera-facts.ts'
import { createCameraStore } from './camera-store.ts'

const identifier = { namespace: [namespaceName], name: camerasTable.name }

function facts(kvfvId: string, change: Partial<CameraFacts> = {}): CameraFacts {
  return {
    kvfvId,
    name: null,
    road: null,
    latitude: null,
    longitude: null,
    speedLimit: null,
    validFromUs: null,
    timeZone: null,
    lanes: null,
    ...change,
  }
}

let ports: Parameters<typeof createCameraStore>[0]

beforeEach(async () => {
  const store = createMemoryObjectStore()
  const catalog = createCatalogService({
    root: createMemoryRootObject(),
    store,
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: 'memory://warehouse',
  })
  await catalog.createNamespace([namespaceName])
  await catalog.createTable({
    identifier,
    schema: schemaOf(camerasTable),
    partitionSpec: partitionSpecOf(camerasTable),
    sortOrder: sortOrderOf(camerasTable),
  })
  const manifests = createManifestCache(store, 1024 * 1024)
  const reader: ParquetReader = {
    async read(definition, locations) {
      const rows = (await Promise.all(locations.map((at) => readMemoryParquet(store, at)))).flat()
      const columns = definition.columns.map(({ name, type }): [string, Column] => {
        const nulls = Uint8Array.from(rows, (row) => (row[name] === null ? 1 : 0))
        const numbers = rows.map((row) => Number(row[name] ?? 0))
        if (type === 'string') {
          return [name, { type, values: rows.map((row) => row[name] as string | null) }]
        }
        if (type === 'int') return [name, { type, values: Int32Array.from(numbers), nulls }]
        return [name, { type: type as 'double', values: Float64Array.from(numbers), nulls }]
      })
      return { rowCount: rows.length, columns: Object.fromEntries(columns) }
    },
    distinct: async () => [],
    close: async () => {},
  }
  ports = {
    catalog,
    store,
    manifests,
    clock: systemClock,
    ids: randomIds,
    scanner: createManifestScanner(manifests),
    parquetReader: reader,
    parquetWriter: createMemoryParquetWriter(store),
  }
})

describe('the register of cameras', () => {
  it('is empty at first, and keeps what is imported for whoever opens it next', async () => {
    const cameras = createCameraStore(ports)
    expect((await cameras.register()).size).toBe(0)
    const full = facts('B', {
      name: 'Мост',
      road: 'М-7',
      latitude: 55.75,
      longitude: 37.62,
      speedLimit: 60,
      validFromUs: 1_700_000_000_000_000,
      timeZone: 'Europe/Moscow',
      lanes: 4,
    })
    expect(await cameras.importCameras([full, facts('A')])).toEqual({ added: 2, changed: 0 })
    const register = await createCameraStore(ports).register()
    expect([...register.keys()]).toEqual(['A', 'B'])
    expect(register.get('B')).toEqual([full])
  })

  it('replaces facts of the same period and keeps the others', async () => {
    const cameras = createCameraStore(ports)
    await cameras.importCameras([facts('A', { speedLimit: 60 })])
    await cameras.importCameras([facts('A', { speedLimit: 50, validFromUs: 1_000 })])
    expect(await cameras.importCameras([facts('A', { speedLimit: 70 })])).toEqual({
      added: 0,
      changed: 1,
    })
    const periods = (await cameras.register()).get('A')
    expect(periods?.map(({ validFromUs, speedLimit }) => [validFromUs, speedLimit])).toEqual([
      [null, 70],
      [1_000, 50],
    ])
  })

  it('makes no snapshot where nothing changes', async () => {
    const cameras = createCameraStore(ports)
    await cameras.importCameras([facts('A')])
    const before = (await ports.catalog.loadTable(identifier)).metadata.currentSnapshotId
    await cameras.importCameras([facts('A')])
    expect((await ports.catalog.loadTable(identifier)).metadata.currentSnapshotId).toBe(before)
  })

  it('loses nothing when several write at once', async () => {
    const stores = [createCameraStore(ports), createCameraStore(ports), createCameraStore(ports)]
    await Promise.all(stores.map((cameras, i) => cameras.importCameras([facts(`C${i}`)])))
    const register = await createCameraStore(ports).register()
    expect([...register.keys()].sort()).toEqual(['C0', 'C1', 'C2'])
  })

  it('tries again after an unknown outcome, whether it was in or not', async () => {
    for (const isIn of [true, false]) {
      let lost = 0
      const { catalog } = ports
      const cameras = createCameraStore({
        ...ports,
        catalog: {
          ...catalog,
          loadTable: (id) => catalog.loadTable(id),
          async commit(commits) {
            if (lost++ === 0) {
              if (isIn) await catalog.commit(commits)
              throw new PotokError('CommitStateUnknown', 'the answer was lost')
            }
            return catalog.commit(commits)
          },
        },
      })
      await cameras.importCameras([facts(`X${String(isIn)}`)])
      const periods = (await createCameraStore(ports).register()).get(`X${String(isIn)}`)
      expect(periods).toHaveLength(1)
    }
  })
})
