/**
 * The state of an installation from its tables and its log: what `potok status` and the demo show. It needs no
 * running potok, and judges by itself: positions against the log by the same check as the sinks', the age of
 * the oldest record that is not committed, and whether catalog, store and log answer at all. What can't be
 * asked is a problem with its reason, not a failure: the rest is shown all the same.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadedTable } from '../iceberg/catalog.ts'
import { planScan } from '../iceberg/scan/plan-files.ts'
import { inspectSink, type LogView } from '../iceberg/sink/inspect-sink.ts'
import { isSameLog, readPositions } from '../iceberg/sink/positions.ts'
import { describeError, isPotokError, PotokError } from '../kernel/errors.ts'
import { exactSequenceOfDay, readExactness } from '../kernel/exactness.ts'
import { allTables, namespaceName } from '../kernel/tables.ts'
import { formatDay, formatUs, startOfDayUs } from '../kernel/time.ts'
import { eventTimeUsMinOf } from '../rollups/recompute/read-sources.ts'
import { readRunning, tryDataLock } from './data-lock.ts'
import type { Installation } from './installation.ts'
import { judgeSink, type Problem, type SinkReport } from './judge-sinks.ts'

export type TableStatus = {
  readonly rows: number
  readonly files: number
  readonly bytes: number
  readonly snapshots: number
  readonly lastCommit: string | null
}

export type InstallationStatus = {
  /** Nothing is wrong as far as tables and log tell. */
  readonly ok: boolean
  readonly problems: readonly Problem[]
  readonly running: { pid: number; url: string | null } | null
  readonly warehouse: string
  /** Another catalog that is used; null: potok's own, in the warehouse. */
  readonly catalog: string | null
  readonly tables: Readonly<Record<string, TableStatus>>
  /** Records of the log that a sink has not committed yet; null: not known. */
  readonly lag: Readonly<Record<'events' | 'rollup_5m', number | null>>
  readonly sinks: Readonly<Partial<Record<'events' | 'rollup_5m', SinkReport>>>
  readonly logRecords: number | null
  readonly sealedUntil: string | null
  /** Sealed days that got newer data since their exact run; null: not known. */
  readonly dirtyDays: readonly string[] | null
}

/** A part that has not answered for so long doesn't. */
const answerMsMax = 20_000
const looksMax = 4

export async function readStatus(installation: Installation): Promise<InstallationStatus> {
  const { catalogAccess, warehouse } = installation
  const problems: Problem[] = []
  const ask = async <T>(part: string, look: () => Promise<T>): Promise<T | null> => {
    try {
      return await withinTime(look())
    } catch (error) {
      problems.push({ part, reason: describeError(error) })
      return null
    }
  }
  const { loaded, log, sinks, sinkProblems } = await lookAtSinks(installation, ask)
  problems.push(...sinkProblems)
  const dirty =
    loaded.size === 0
      ? []
      : await ask('object store', async () => {
          await readCurrentMetadata(installation, loaded)
          return dirtyDays(installation, loaded)
        })
  const exactness = readExactness(loaded.get('rollup_5m')?.metadata.properties ?? {})
  return {
    ok: problems.length === 0,
    problems,
    running: running(installation),
    warehouse,
    catalog: catalogAccess.uri,
    tables: Object.fromEntries([...loaded].map(([name, table]) => [name, tableStatus(table)])),
    lag: { events: sinks.events?.lag ?? null, rollup_5m: sinks.rollup_5m?.lag ?? null },
    sinks,
    logRecords:
      log === null ? null : log.view.ranges.reduce((sum, { endOffset }) => sum + endOffset, 0),
    sealedUntil: exactness.sealedUntilUs === null ? null : formatUs(exactness.sealedUntilUs),
    dirtyDays: dirty,
  }
}

type Ask = <T>(part: string, look: () => Promise<T>) => Promise<T | null>

/**
 * Tables and log are asked one after another, while sinks commit and retention follows them: what looks like a
 * halt is looked at again.
 */
async function lookAtSinks(installation: Installation, ask: Ask) {
  for (let look = 1; ; look++) {
    const answer = await ask('catalog', () => loadTables(installation))
    const loaded = answer ?? new Map<string, LoadedTable>()
    const log = await ask('log', () => lookAtLog(installation, loaded))
    const judged = judgeSinks(installation, loaded, log)
    const sinks = Object.values(judged.sinks)
    const isHalted = sinks.some(({ halted }) => halted !== null)
    // Ends of transactions are offsets without records, too: a sink passes them with its next commit.
    const isUnsure = sinks.some(({ lag, lagAgeSeconds }) => lag !== 0 && lagAgeSeconds === null)
    const isProblem = isHalted || (isUnsure && judged.sinkProblems.length > 0)
    if (!isProblem || answer === null || log === null || look === looksMax) {
      return { loaded, log, ...judged }
    }
    await sleep(isHalted ? 200 : 2_000)
  }
}

async function withinTime<T>(answer: Promise<T>): Promise<T> {
  const timer = new AbortController()
  const late = sleep(answerMsMax, undefined, { signal: timer.signal }).then(() => {
    throw new PotokError('Timeout', `no answer within ${answerMsMax / 1_000} s`)
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([answer, late])
  } finally {
    timer.abort()
  }
}

async function loadTables(installation: Installation): Promise<Map<string, LoadedTable>> {
  const load = async () => {
    const loaded = new Map<string, LoadedTable>()
    for (const { name } of allTables) {
      const table = await loadOrNull(installation, name)
      if (table !== null) loaded.set(name, table)
    }
    return loaded
  }
  const loaded = await load()
  if (loaded.size === 0) await installation.catalog.version([])
  return loaded
}

/** The catalog may have answered from what it remembers: where the files are must answer, too. */
async function readCurrentMetadata(
  { store }: Installation,
  loaded: ReadonlyMap<string, LoadedTable>,
): Promise<void> {
  const [table] = loaded.values()
  if (table !== undefined) await store.stat(table.metadataLocation)
}

const sinkTables = { events: ['events', 'rejected_events'], rollup_5m: ['rollup_5m'] } as const

const noIdentity = { clusterId: '', topic: '', topicId: '' }

type LogLook = {
  readonly view: LogView
  /** By first table of the sink, then by log partition: received_at of the first record not committed. */
  readonly waiting: ReadonlyMap<string, ReadonlyMap<number, number>>
}

async function lookAtLog(
  installation: Installation,
  loaded: ReadonlyMap<string, LoadedTable>,
): Promise<LogLook> {
  const log = await installation.openLog({ readOnly: true }).catch((error: unknown) => {
    // An installation that has just been made has no log yet.
    const isRead = readPositions(loaded.get('events')?.metadata.properties ?? {}).size > 0
    if (isPotokError(error, 'NotFound') && !isRead) return null
    throw error
  })
  if (log === null) return { view: { identity: noIdentity, ranges: [] }, waiting: new Map() }
  try {
    const view = { identity: await log.identity(), ranges: await log.ranges() }
    const waiting = new Map<string, Map<number, number>>()
    for (const name of Object.keys(sinkTables)) {
      const positions = readPositions(loaded.get(name)?.metadata.properties ?? {})
      const ages = new Map<number, number>()
      for (const { logPartition, startOffset, endOffset } of view.ranges) {
        const position = positions.get(logPartition)
        if (position !== undefined && !isSameLog(position, view.identity)) continue
        const next = position?.nextOffset ?? startOffset
        const receivedAtUs =
          next < endOffset ? await log.receivedAt?.(logPartition, next) : undefined
        if (typeof receivedAtUs === 'number') ages.set(logPartition, receivedAtUs)
      }
      waiting.set(name, ages)
    }
    return { view, waiting }
  } finally {
    await log.close()
  }
}

function judgeSinks(
  installation: Installation,
  loaded: ReadonlyMap<string, LoadedTable>,
  log: LogLook | null,
): { sinks: InstallationStatus['sinks']; sinkProblems: Problem[] } {
  const sinks: { -readonly [K in keyof InstallationStatus['sinks']]: SinkReport } = {}
  const sinkProblems: Problem[] = []
  for (const name of ['events', 'rollup_5m'] as const) {
    const tables = sinkTables[name].flatMap((table) => loaded.get(table) ?? [])
    const [table] = tables
    if (table === undefined || tables.length < sinkTables[name].length) continue
    const { report, problems } = judgeSink({
      name: name === 'events' ? 'writer' : 'rollups',
      view: inspectSink(tables, log?.view ?? null),
      table,
      log: log?.view ?? null,
      waiting: log?.waiting.get(name) ?? new Map(),
      nowMs: installation.clock.nowMs(),
      lagAgeMsMax: installation.settings.lagAgeMaxSeconds * 1_000,
    })
    sinks[name] = report
    sinkProblems.push(...problems)
  }
  return { sinks, sinkProblems }
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
