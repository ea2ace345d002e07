/** What each role that runs in a thread or process of its own is made of. */
import { createDuckDbParquetReader } from '../adapters/duckdb/duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from '../adapters/duckdb/duckdb-parquet-writer.ts'
import { type DuckDb, openDuckDb } from '../adapters/duckdb/instance.ts'
import { createWriter, defaultWriterConfig } from '../ingest/writer/writer.ts'
import type { DetectionRules } from '../kernel/detection.ts'
import { createEventIdHasher } from '../kernel/event-id.ts'
import { createPlatePolicy, type PlatePolicy } from '../kernel/plate-policy.ts'
import type { Service } from '../kernel/ports.ts'
import { readSpeedLimits } from '../rollups/recompute/read-sources.ts'
import {
  createRollupStream,
  defaultRollupStreamConfig,
} from '../rollups/streaming/rollup-stream.ts'
import { crashPortOfProcess } from './crash-point.ts'
import type { Installation } from './installation.ts'
import { bytesPerMib, listSetting, type Settings } from './settings.ts'

export type ThreadRole = 'writer' | 'rollups'

export function detectionRules(settings: Settings): DetectionRules {
  return {
    speedKmhMax: settings.speedMaxKmh,
    clockAheadUsMax: settings.clockAheadMaxMinutes * 60_000_000,
    eventTimeUsMin: Date.parse(`${settings.eventTimeMin}T00:00:00Z`) * 1_000,
  }
}

export function platePolicyOf(settings: Settings): PlatePolicy {
  const { platePolicy: mode } = settings
  return createPlatePolicy(
    mode === 'keep' ? { mode } : { mode, secret: new TextEncoder().encode(settings.plateKey) },
  )
}

export async function openEngine(installation: Installation, threads: number): Promise<DuckDb> {
  return await openDuckDb({
    memoryLimitBytes: installation.settings.engineMemoryMib * bytesPerMib,
    threads,
    tempDirectory: installation.scratch,
  })
}

/** Composes a role for this thread; everything it opened is closed when it has stopped. */
export async function createRole(role: ThreadRole, installation: Installation): Promise<Service> {
  const { settings, store, catalog, manifests, clock, ids, logger } = installation
  const log = await installation.openLog()
  // Of its own: the role's thread goes on meanwhile. A second one costs half as much again for the same rows.
  const duckdb = await openEngine(installation, 1)
  const parquet = createDuckDbParquetWriter({ store, duckdb })
  const parquetReader = createDuckDbParquetReader({ store, duckdb })
  const ports = {
    log,
    catalog,
    store,
    manifests,
    clock,
    ids,
    logger,
    parquet,
    ...crashPortOfProcess(),
  }
  const rules = detectionRules(settings)
  const service =
    role === 'writer'
      ? createWriter(
          {
            ...ports,
            hashEventId: createEventIdHasher(platePolicyOf(settings).eventIdKey, {
              excludedFields: listSetting(settings.eventIdExclude),
            }),
          },
          {
            ...defaultWriterConfig,
            ...sinkLimits(settings),
            rules,
            commitAgeMsMax: settings.writerCommitAgeMs,
            commitRowsMax: settings.writerCommitRows,
            keepUnreadable: settings.platePolicy === 'keep',
          },
        )
      : createRollupStream(
          {
            ...ports,
            loadSpeedLimits: () => readSpeedLimits({ catalog, store, manifests, parquetReader }),
          },
          {
            ...defaultRollupStreamConfig,
            ...sinkLimits(settings),
            rules,
            commitAgeMsMax: settings.rollupsCommitAgeMs,
            latenessUsMax: latenessUs(settings),
          },
        )
  return {
    start: () => service.start(),
    health: () => service.health(),
    async stop(deadlineMs) {
      await service.stop(deadlineMs)
      await parquet.close()
      await parquetReader.close()
      duckdb.close()
      await log.close()
      await catalog.close()
    },
  }
}

function sinkLimits(settings: Settings) {
  return { lagAgeMsMax: settings.lagAgeMaxSeconds * 1_000 }
}

export function latenessUs(settings: Settings): number {
  return settings.allowedLatenessMinutes * 60_000_000
}
