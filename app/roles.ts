/** What each role that runs in a thread or process of its own is made of. */
import { createDuckDbParquetReader } from '../adapters/duckdb/duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from '../adapters/duckdb/duckdb-parquet-writer.ts'
import { type DuckDb, openDuckDb } from '../adapters/duckdb/instance.ts'
import type { DetectionRules } from '../kernel/detection.ts'
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

/** Key of event ids and pseudonyms; null under the policy keep, where ids need none. */
export function plateKey(settings: Settings): Uint8Array | null {
  return settings.platePolicy === 'keep' ? null : new TextEncoder().encode(settings.plateKey)
}

export async function openEngine(installation: Installation, threads: number): Promise<DuckDb> {
  return await openDuckDb({
    memoryLimitBytes: installation.settings.engineMemoryMib * bytesPerMib,
    threads,
    tempDirectory: installation.scratch,
  })
}
