/** The state of an installation from its tables and its log: what `potok status` and the demo show. */
import type { LoadedTable } from '../iceberg/catalog.ts'
import { planScan } from '../iceberg/scan/plan-files.ts'
import { readPositions } from '../iceberg/sink/positions.ts'
import { isPotokError } from '../kernel/errors.ts'
import { exactSequenceOfDay, readExactness } from '../kernel/exactness.ts'
import { allTables, namespaceName } from '../kernel/tables.ts'
import { formatDay, formatUs, startOfDayUs } from '../kernel/time.ts'
import { eventTimeUsMinOf } from '../rollups/recompute/read-sources.ts'
import { readRunning, tryDataLock } from './data-lock.ts'
import type { Installation } from './installation.ts'

export type TableStatus = {
  readonly rows: number
  readonly files: number
  readonly bytes: number
  readonly snapshots: number
  readonly lastCommit: string | null
}

export type InstallationStatus = {
  readonly running: { pid: number; url: string | null } | null
  readonly warehouse: string
  /** Another catalog that is used; null: potok's own, in the warehouse. */
  readonly catalog: string | null
  readonly tables: Readonly<Record<string, TableStatus>>
  /** Records of the log that a sink has not committed yet. */
  readonly lag: Readonly<Record<'events' | 'rollup_5m', number>>
  readonly logRecords: number
  readonly sealedUntil: string | null
  /** Sealed days that got newer data since their exact run. */
  readonly dirtyDays: readonly string[]
}

export async function readStatus(installation: Installation): Promise<InstallationStatus> {
  const { catalog } = installation
  const tables: Record<string, TableStatus> = {}
  const loaded = new Map<string, LoadedTable>()
  for (const { name } of allTables) {
    const table = await loadOrNull(installation, name)
    if (table === null) continue
    loaded.set(name, table)
    tables[name] = tableStatus(table)
  }
  if (loaded.size === 0) await catalog.version([])
  const log = await logEnds(installation)
  const lagOf = (name: string) => {
    const positions = readPositions(loaded.get(name)?.metadata.properties ?? {})
    return [...log].reduce(
      (sum, [partition, end]) => sum + end - (positions.get(partition)?.nextOffset ?? 0),
      0,
    )
  }
  const exactness = readExactness(loaded.get('rollup_5m')?.metadata.properties ?? {})
  return {
    running: running(installation),
    warehouse: installation.warehouse,
    catalog: installation.catalogAccess.uri,
    tables,
    lag: { events: lagOf('events'), rollup_5m: lagOf('rollup_5m') },
    logRecords: [...log.values()].reduce((sum, end) => sum + end, 0),
    sealedUntil: exactness.sealedUntilUs === null ? null : formatUs(exactness.sealedUntilUs),
    dirtyDays: await dirtyDays(installation, loaded),
  }
}

function running(installation: Installation): InstallationStatus['running'] {
  const lock = tryDataLock(installation.data)
  if (lock !== null) {
    lock.release()
    return null
  }
  const holder = readRunning(installation.data)
  return { pid: holder?.pid ?? 0, url: holder?.url ?? null }
}

async function loadOrNull(installation: Installation, name: string): Promise<LoadedTable | null> {
  try {
    return await installation.catalog.loadTable({ namespace: [namespaceName], name })
  } catch (error) {
    if (isPotokError(error, 'NotFound')) return null
    throw error
  }
}

function tableStatus({ metadata }: LoadedTable): TableStatus {
  const current = metadata.snapshots.find((s) => s.snapshotId === metadata.currentSnapshotId)
  const total = (name: string) => Number(current?.summary[name] ?? 0)
  return {
    rows: total('total-records'),
    files: total('total-data-files'),
    bytes: total('total-files-size'),
    snapshots: metadata.snapshots.length,
    lastCommit: current === undefined ? null : formatUs(current.timestampMs * 1_000),
  }
}

async function logEnds(installation: Installation): Promise<Map<number, number>> {
  const log = await installation.openLog({ readOnly: true }).catch((error: unknown) => {
    if (isPotokError(error, 'NotFound')) return null
    throw error
  })
  if (log === null) return new Map()
  try {
    return new Map((await log.ranges()).map((range) => [range.logPartition, range.endOffset]))
  } finally {
    await log.close()
  }
}

async function dirtyDays(
  installation: Installation,
  loaded: ReadonlyMap<string, LoadedTable>,
): Promise<string[]> {
  const events = loaded.get('events')
  const exactness = readExactness(loaded.get('rollup_5m')?.metadata.properties ?? {})
  if (events === undefined || exactness.sealedUntilUs === null) return []
  const days = new Set<number>()
  const { files } = await planScan(installation, events.metadata)
  for (const { dataFile, sequenceNumber } of files) {
    const day = dataFile.partition[0]
    if (typeof day !== 'number' || startOfDayUs(day) >= exactness.sealedUntilUs) continue
    if (sequenceNumber <= exactSequenceOfDay(exactness, day)) continue
    // Of a day sealed in part: events of windows that aren't sealed yet make nothing dirty.
    const leastUs = eventTimeUsMinOf(dataFile)
    if (leastUs === null || leastUs < exactness.sealedUntilUs) days.add(day)
  }
  return [...days].sort((a, b) => a - b).map(formatDay)
}
