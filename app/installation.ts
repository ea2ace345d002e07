/**
 * Composition root: from settings to the ports that every role shares. The only place that chooses adapters.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { randomIds } from '../adapters/system/random-ids.ts'
import { systemClock } from '../adapters/system/system-clock.ts'
import { createLogger } from '../adapters/telemetry/logger.ts'
import { createManifestCache, type ManifestCache } from '../iceberg/scan/plan-files.ts'
import { PotokError } from '../kernel/errors.ts'
import type { Clock, EventLog, IdSource, Logger, ObjectStore } from '../kernel/ports.ts'
import { type CatalogAccess, type OpenCatalog, openCatalog } from './catalog.ts'
import { crashPortOfProcess } from './crash-point.ts'
import { openEventLog } from './event-log.ts'
import { createGenerationFile } from './generation-file.ts'
import { bytesPerMib, isS3Warehouse, type Settings } from './settings.ts'
import { openStorage, type Storage } from './storage.ts'

export type Installation = {
  readonly settings: Settings
  /** Absolute path of the data folder. */
  readonly data: string
  readonly warehouse: string
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly store: ObjectStore
  readonly storage: Storage
  readonly catalog: OpenCatalog
  readonly catalogAccess: CatalogAccess
  readonly manifests: ManifestCache
  /** Where engines spill. */
  readonly scratch: string
  /** Temporary files that a killed process left. */
  removeLeftovers(): Promise<void>
  openLog(options?: { readOnly?: boolean }): Promise<EventLog>
}

/** Older than any write can take. */
const leftoverAgeMs = 24 * 3_600_000

/** `existing`: a data folder that isn't there is an error, not a new installation, where anything is kept in it. */
export function openInstallation(
  settings: Settings,
  role: string,
  options: { existing?: boolean } = {},
): Installation {
  const data = resolve(settings.data)
  if (options.existing === true && keepsState(settings) && !existsSync(data)) {
    throw new PotokError(
      'InvalidInput',
      `there is no potok at ${data}: name its folder with --data`,
    )
  }
  const scratchOfAll = join(data, 'scratch')
  const scratch = join(scratchOfAll, String(process.pid))
  mkdirSync(scratch, { recursive: true })
  const clock = systemClock
  const ids = randomIds
  const logger = createLogger({ level: settings.logLevel, role })
  const storage = openStorage(settings, data, logger)
  const { store, warehouse } = storage
  const generationMemory = createGenerationFile(data, warehouse)
  const catalogAccess = openCatalog(settings, storage, {
    clock,
    ids,
    logger,
    generationMemory,
    // Of other roles the points are those of their own work.
    ...(role === 'catalog' ? crashPortOfProcess() : {}),
  })
  return {
    settings,
    data,
    warehouse,
    clock,
    ids,
    logger,
    store,
    storage,
    catalog: catalogAccess.catalog,
    catalogAccess,
    manifests: createManifestCache(store, 64 * bytesPerMib),
    scratch,
    removeLeftovers: async () => {
      await storage.removeLeftovers({ nowMs: clock.nowMs(), olderThanMs: leftoverAgeMs })
      removeDeadScratch(scratchOfAll)
    },
    openLog: (options = {}) =>
      openEventLog(settings, data, { clock, ids, logger }, options.readOnly ?? false),
  }
}

/** Log in Kafka and tables in an S3 store: any machine may ask, with an empty folder. */
function keepsState(settings: Settings): boolean {
  return settings.kafkaBrokers === '' || !(isS3Warehouse(settings) || settings.catalogUri !== '')
}

/** Engines spill into a folder named by their process; those of processes that are gone go. */
function removeDeadScratch(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = Number(name)
    if (Number.isInteger(pid) && !isAlive(pid)) {
      rmSync(join(folder, name), { recursive: true, force: true })
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
