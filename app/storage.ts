/**
 * Where the tables are kept, chosen by the scheme of the warehouse: a folder of this machine, or an S3 store.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLocalObjectStore } from '../adapters/object-store/local-object-store.ts'
import { createLocalRootObject } from '../adapters/object-store/local-root-object.ts'
import { createS3Api } from '../adapters/object-store/s3-api.ts'
import { createS3ObjectStore } from '../adapters/object-store/s3-object-store.ts'
import { probeS3Store } from '../adapters/object-store/s3-probe.ts'
import { createS3RootObject } from '../adapters/object-store/s3-root-object.ts'
import type { Logger, ObjectStore, RootObject } from '../kernel/ports.ts'
import { bytesPerMib, isS3Warehouse, type Settings, warehouseLocation } from './settings.ts'

export type Storage = {
  readonly warehouse: string
  readonly store: ObjectStore
  readonly root: RootObject
  /** What the REST catalog tells clients of the store, for those that say nothing themselves; no secrets. */
  readonly clientDefaults: Readonly<Record<string, string>>
  /** Whether the store keeps what the catalog relies on: once where a role starts, not in every command. */
  probe(): Promise<void>
  removeLeftovers(options: { nowMs: number; olderThanMs: number }): Promise<void>
}

export function openStorage(settings: Settings, data: string, logger: Logger): Storage {
  return isS3Warehouse(settings)
    ? openS3Storage(settings, data, logger)
    : openLocalStorage(warehouseLocation(settings))
}

function openLocalStorage(warehouse: string): Storage {
  const path = warehouse.slice('file://'.length)
  const store = createLocalObjectStore({ root: path })
  return {
    warehouse,
    store,
    root: createLocalRootObject({ directory: join(path, '.catalog') }),
    clientDefaults: {},
    // link(2) is what it is.
    probe: async () => undefined,
    removeLeftovers: async (options) => {
      await store.removeLeftovers(options)
    },
  }
}

function openS3Storage(settings: Settings, data: string, logger: Logger): Storage {
  const warehouse = warehouseLocation(settings)
  const { s3Endpoint: endpoint, s3Region: region } = settings
  const pathStyle = settings.s3PathStyle === 'auto' ? null : settings.s3PathStyle === 'on'
  const api = createS3Api({
    endpoint,
    region,
    pathStyle,
    accessKeyId: settings.s3AccessKeyId,
    secretAccessKey: settings.s3SecretAccessKey,
    caFile: settings.s3CaFile,
  })
  const store = createS3ObjectStore({
    api,
    cacheFolder: join(data, 'cache'),
    cacheBytesMax: settings.s3CacheMib * bytesPerMib,
    logger,
  })
  return {
    warehouse,
    store,
    root: createS3RootObject({ api, location: `${warehouse}/.catalog/root` }),
    clientDefaults: clientDefaults(endpoint, region, pathStyle ?? endpoint !== ''),
    probe: () =>
      probeS3Store({
        api,
        endpoint,
        warehouse,
        sleep: (ms) => sleep(ms),
        random: Math.random,
        nowMs: Date.now,
      }),
    removeLeftovers: (options) => store.removeLeftovers({ ...options, prefix: `${warehouse}/` }),
  }
}

/** As Iceberg's Java library (`s3.…`, `client.region`) and PyIceberg (`s3.region`) name them. */
function clientDefaults(
  endpoint: string,
  region: string,
  isPathStyle: boolean,
): Record<string, string> {
  const chosenRegion = region === '' && endpoint !== '' ? 'us-east-1' : region
  return {
    ...(endpoint === '' ? {} : { 's3.endpoint': endpoint }),
    ...(isPathStyle ? { 's3.path-style-access': 'true' } : {}),
    ...(chosenRegion === '' ? {} : { 's3.region': chosenRegion, 'client.region': chosenRegion }),
  }
}
