import { describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import { createCatalogService } from '../catalog/catalog-service.ts'
import type { Catalog } from '../iceberg/catalog.ts'
import { PotokError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/ports.ts'
import { namespaceName } from '../kernel/tables.ts'
import { randomIds, systemClock } from '../testkit/fixed-ports.ts'
import { type CatalogAccess, catalogHealth, checkTablesInReach } from './catalog.ts'
import { ensureTables } from './ensure-tables.ts'
import { readSettings } from './settings.ts'

const uri = 'http://other'

function service(warehouseLocation: string): Catalog {
  return createCatalogService({
    root: createMemoryRootObject(),
    store: createMemoryObjectStore(),
    clock: systemClock,
    ids: randomIds,
    warehouseLocation,
  })
}

async function madeTables(catalog: Catalog): Promise<string[]> {
  const warnings: string[] = []
  const note = (_fields: object, message: string): void => void warnings.push(message)
  const logger: Logger = { debug: note, info: note, warn: note, error: note }
  await ensureTables({ catalog, clock: systemClock, ids: randomIds, logger })
  return warnings
}

const accessTo = (catalog: Catalog): CatalogAccess => ({
  catalog: { ...catalog, close: async () => {} },
  uri,
  own: null,
  probe: async () => {},
})

describe('tables in another catalog', () => {
  it('have their views beside them, wherever they are', async () => {
    const catalog = service('memory://elsewhere')
    expect(await madeTables(catalog)).toEqual([])
    const view = { namespace: [namespaceName], name: 'avg_speed_5m' }
    expect((await catalog.loadView(view)).metadata.location).toBe(
      `memory://elsewhere/${namespaceName}/avg_speed_5m`,
    )
  })

  it('do without views where it keeps none, which is said', async () => {
    const noViews = async (): Promise<never> => {
      throw new PotokError('Unsupported', 'no views here')
    }
    const catalog = { ...service('memory://w'), listViews: noViews }
    expect(await madeTables(catalog)).toEqual([expect.stringContaining('no views')])
    expect(await catalog.listTables([namespaceName])).not.toEqual([])
  })

  it('must be where the store of this installation can reach them', async () => {
    const located = (location: string) => {
      const catalog = service('memory://w')
      const loadTable: Catalog['loadTable'] = async (identifier) => {
        const table = await catalog.loadTable(identifier)
        return { ...table, metadata: { ...table.metadata, location } }
      }
      return madeTables(catalog).then(() => accessTo({ ...catalog, loadTable }))
    }
    const local = readSettings({ catalogUri: uri }, {})
    const s3 = readSettings({ catalogUri: uri, warehouse: 's3://bucket' }, {})
    for (const location of ['file:///w/t', 'file:/w/t']) {
      await checkTablesInReach(await located(location), local)
    }
    await checkTablesInReach(await located('s3://other-bucket/t'), s3)
    await expect(checkTablesInReach(await located('s3://b/t'), local)).rejects.toThrow(
      /--warehouse/,
    )
    await expect(checkTablesInReach(await located('abfss://b/t'), s3)).rejects.toThrow(/abfss:/)
  })

  it('are healthy while it answers; else its address and the reason are shown', async () => {
    let nowMs = 1_000_000
    const version = async (): Promise<string> => {
      throw new PotokError('Unavailable', 'connection refused')
    }
    const health = catalogHealth(accessTo({ ...service('memory://w'), version }), {
      nowMs: () => nowMs,
    })
    expect(health.health()).toMatchObject({ ok: true, details: { uri } })
    nowMs += 10_000
    await new Promise(setImmediate)
    const { ok, reason } = health.health()
    expect(ok).toBe(false)
    expect(reason).toMatch(/http:\/\/other.*connection refused/)
  })
})
