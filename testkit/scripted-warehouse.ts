/**
 * Catalog servers over one warehouse in a scripted S3 store (`scripted-s3.ts`): each has connections of its own,
 * as a process on another machine would, and all that fails is what the script says of their requests.
 */
import { createS3Api } from '../adapters/object-store/s3-api.ts'
import { createS3ObjectStore } from '../adapters/object-store/s3-object-store.ts'
import { createS3RootObject } from '../adapters/object-store/s3-root-object.ts'
import { type CatalogService, createCatalogService } from '../catalog/catalog-service.ts'
import { decodeRootState, type RootState } from '../catalog/root-state.ts'
import { parseJson } from '../iceberg/codec/lossless-json.ts'
import type { ObjectStore, RootObject } from '../kernel/ports.ts'
import { randomIds, systemClock } from './fixed-ports.ts'
import { type ScriptedS3, startScriptedS3 } from './scripted-s3.ts'

const location = 's3://lake/w'
export const rootKey = 'w/.catalog/root'

type Options = { requestTimeoutMs?: number; sleep?: () => Promise<void> }

export type ScriptedWarehouse = {
  readonly s3: ScriptedS3
  readonly location: string
  connect(options?: Options): CatalogService
  /** What a server or a command has of it, over connections of its own. */
  open(options?: Options): { store: ObjectStore; root: RootObject }
  /** Every state that ever was the root, oldest first. */
  history(): RootState[]
  /** Properties of the table in that state; null where it isn't in it. Also of files that were deleted since. */
  propertiesIn(state: RootState, tableKey: string): Readonly<Record<string, string>> | null
  metadataFiles(): string[]
  close(): Promise<void>
}

export async function startScriptedWarehouse(): Promise<ScriptedWarehouse> {
  const s3 = await startScriptedS3()
  const closing: (() => Promise<void>)[] = []

  function open({ requestTimeoutMs = 5_000, sleep = async () => undefined }: Options = {}) {
    const api = createS3Api({ ...s3.options, requestTimeoutMs })
    // No file is staged or read on the disk: the cache's folder is never made.
    const cache = { cacheFolder: '/nonexistent/potok-cache', cacheBytesMax: 1 }
    const store = createS3ObjectStore({ api, ...cache, sleep, random: () => 0 })
    const rootLocation = `${location}/.catalog/root`
    const root = createS3RootObject({ api, location: rootLocation, sleep, random: () => 0 })
    closing.push(async () => {
      store.close()
      await api.close()
    })
    return { store, root, sleep }
  }

  return {
    s3,
    location,
    open,
    connect(options) {
      const catalog = createCatalogService({
        ...open(options),
        clock: systemClock,
        ids: randomIds,
        warehouseLocation: location,
        random: () => 0,
      })
      closing.unshift(() => catalog.close())
      return catalog
    },
    history: () =>
      s3.stored
        .filter(({ key }) => key === rootKey)
        .map(({ bytes }) => decodeRootState(bytes.subarray(bytes.indexOf(0x0a) + 1))),
    propertiesIn(state, key) {
      const entry = state.entries.get(key)
      if (entry === undefined || entry === null || entry.kind === 'namespace') return null
      const file = s3.stored.find((one) => `s3://lake/${one.key}` === entry.metadataLocation)
      if (file === undefined) throw new Error(`never written: ${entry.metadataLocation}`)
      const metadata = parseJson(file.bytes.toString()) as { properties: Record<string, string> }
      return metadata.properties
    },
    metadataFiles: () => [...s3.objects.keys()].filter((key) => key.endsWith('.metadata.json')),
    async close() {
      s3.fault = () => null
      for (const close of closing) await close()
      await s3.close()
    },
  }
}
