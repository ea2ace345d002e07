/**
 * What an exact run starts from: a pinned snapshot of events that is not behind the rollup stream, the live
 * files of all tables by day, and which sealed days can be proven to have lost no row since they were made
 * exact. Reads only.
 *
 * The order of the loads is the argument: rollup_5m first, events after it. Positions only rise, so events
 * that has reached the positions read before it holds every event that a provisional row knew then.
 */
import type { LoadedTable } from '../../iceberg/catalog.ts'
import { decodeSingleValue } from '../../iceberg/codec/single-value.ts'
import { type LiveFile, planScan } from '../../iceberg/scan/plan-files.ts'
import { isSameLog, lineageOf, readPositions } from '../../iceberg/sink/positions.ts'
import type { LogPosition } from '../../iceberg/sink/sink-processor.ts'
import type { DataFile } from '../../iceberg/spec/data-file.ts'
import { mainSnapshotId, snapshotById } from '../../iceberg/spec/schema.ts'
import type { Snapshot } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import {
  type PerRollup,
  type RollupName,
  rollupNames,
  type SpeedLimit,
} from '../../kernel/exact-engine.ts'
import {
  type Exactness,
  exactSequenceOfDay,
  isDaySealedInPart,
  readExactness,
} from '../../kernel/exactness.ts'
import { camerasTable, eventsTable, rollup1dTable } from '../../kernel/tables.ts'
import { formatDay, startOfDayUs } from '../../kernel/time.ts'
import type { DayFacts, EventFile } from './plan-recompute.ts'
import {
  type LogEnds,
  type RecomputeConfig,
  type RecomputePorts,
  tableIdentifier,
} from './recompute-ports.ts'

export type Rollups = PerRollup<LoadedTable>

export type PinnedSources = {
  readonly events: LoadedTable
  /** null: events has no snapshot yet. */
  readonly snapshot: Snapshot | null
  readonly rollups: Rollups
}

/** Waits until both sinks have passed the ends of the log, and events has reached the stream; then pins. */
export async function pinSources(
  ports: RecomputePorts,
  config: RecomputeConfig,
  log: LogEnds,
  signal: AbortSignal,
): Promise<PinnedSources> {
  const deadlineMs = ports.clock.nowMs() + config.waitMsMax
  for (let tries = 0; ; tries++) {
    const rollups = await loadRollups(ports)
    const events = await ports.catalog.loadTable(tableIdentifier(eventsTable.name))
    const behind = whatIsBehind(
      log,
      readPositions(events.metadata.properties),
      readPositions(rollups.rollup_5m.metadata.properties),
    )
    if (behind === null) {
      const id = mainSnapshotId(events.metadata)
      const snapshot = id === null ? null : snapshotById(events.metadata, id)
      return { events, snapshot, rollups }
    }
    if (ports.clock.nowMs() >= deadlineMs) {
      throw new PotokError(
        'Timeout',
        `${behind}, and has not caught up within ${config.waitMsMax / 1_000} s: an exact run must not ` +
          'leave out what was acknowledged before it. Are writer and rollup stream running?',
      )
    }
    await ports.sleep(Math.min(2_000, 100 * 1.5 ** tries), signal)
  }
}

export async function loadRollups(ports: Pick<RecomputePorts, 'catalog'>): Promise<Rollups> {
  const load = (name: RollupName) => ports.catalog.loadTable(tableIdentifier(name))
  return {
    rollup_5m: await load('rollup_5m'),
    rollup_1h: await load('rollup_1h'),
    rollup_1d: await load('rollup_1d'),
  }
}

/** In words, or null where nothing is. */
export function whatIsBehind(
  { identity, ends }: LogEnds,
  events: ReadonlyMap<number, LogPosition>,
  stream: ReadonlyMap<number, LogPosition>,
): string | null {
  for (const [logPartition, end] of ends) {
    for (const [name, positions] of [
      ['the writer (events)', events],
      ['the rollup stream (rollup_5m)', stream],
    ] as const) {
      const position = positions.get(logPartition)
      if (identity !== null && position !== undefined && !isSameLog(position, identity)) {
        return `${name} stands in another log than the one here and waits to be told where to go on (potok status)`
      }
      const next = position?.nextOffset ?? 0
      if (next < end)
        return `${name} is at offset ${next} of ${end} in log partition ${logPartition}`
    }
  }
  for (const [logPartition, position] of stream) {
    const reached = events.get(logPartition)
    if (reached === undefined || isBefore(reached, position)) {
      const at = reached === undefined ? 'the start' : `offset ${reached.nextOffset}`
      return `the writer (events) is at ${at} in log partition ${logPartition}, behind the rollup stream (${position.nextOffset})`
    }
  }
  return null
}

function isBefore(a: LogPosition, b: LogPosition): boolean {
  return a.logEpoch < b.logEpoch || (a.logEpoch === b.logEpoch && a.nextOffset < b.nextOffset)
}

export type SourceFacts = {
  readonly exactness: Exactness
  readonly days: readonly DayFacts[]
  /** Live data files of each rollup table by day. */
  readonly existing: PerRollup<ReadonlyMap<number, readonly string[]>>
}

export async function readFacts(
  ports: RecomputePorts,
  pinned: PinnedSources,
): Promise<SourceFacts> {
  const exactness = readExactness(pinned.rollups.rollup_5m.metadata.properties)
  const events = await eventFilesByDay(ports, pinned)
  const existing = {
    rollup_5m: await rollupFilesByDay(ports, pinned.rollups.rollup_5m),
    rollup_1h: await rollupFilesByDay(ports, pinned.rollups.rollup_1h),
    rollup_1d: await rollupFilesByDay(ports, pinned.rollups.rollup_1d),
  }
  const dayNumbers = new Set(events.keys())
  for (const name of rollupNames) for (const day of existing[name].keys()) dayNumbers.add(day)
  const proof = pinned.snapshot === null ? null : historyProof(pinned)
  const days: DayFacts[] = []
  for (const day of [...dayNumbers].sort((a, b) => a - b)) {
    const files = events.get(day) ?? []
    const hasRollups = rollupNames.some((name) => existing[name].has(day))
    const isUnproven =
      isDaySealedInPart(exactness, day) &&
      !(proof?.(exactSequenceOfDay(exactness, day)) ?? false) &&
      !(await isCountUnchanged(ports, exactness, day, files, existing.rollup_1d.get(day) ?? []))
    days.push({ day, files, hasRollups, isUnproven })
  }
  return { exactness, days, existing }
}

/**
 * Does main's history show that nothing was removed from events since that sequence number? Only where it
 * reaches back to it (not expired, not rolled back to before it) and has appends and replacements since.
 */
export function historyProof(pinned: Pick<PinnedSources, 'events'>): (sequence: number) => boolean {
  const { snapshots } = lineageOf(pinned.events.metadata)
  let unchangedSince = Number.POSITIVE_INFINITY
  const provable = new Set<number>()
  for (const { sequenceNumber, summary } of snapshots) {
    unchangedSince = sequenceNumber
    provable.add(unchangedSince)
    // What removes rows is proof of nothing before it.
    if (summary.operation !== 'append' && summary.operation !== 'replace') break
  }
  return (sequence) => provable.has(sequence)
}

/**
 * Where history doesn't say: rows of the files that the day was made exact from, against what its exact rows
 * counted. Rows can only leave such files, never join them (new ones have higher sequence numbers, and
 * compaction keeps the number of rows), so equal counts prove that none left. Only for a day wholly sealed.
 */
async function isCountUnchanged(
  ports: RecomputePorts,
  exactness: Exactness,
  day: number,
  files: readonly EventFile[],
  rollupFiles: readonly string[],
): Promise<boolean> {
  if ((exactness.sealedUntilUs ?? 0) < startOfDayUs(day + 1)) return false
  const known = exactSequenceOfDay(exactness, day)
  const rows = files.reduce((sum, f) => sum + (f.sequence <= known ? f.records : 0), 0)
  const batch = await ports.parquetReader.read(rollup1dTable, rollupFiles, [
    'event_count',
    'duplicate_count',
  ])
  const { event_count, duplicate_count } = batch.columns
  if (event_count?.type !== 'long' || duplicate_count?.type !== 'long') return false
  let counted = 0n
  for (let i = 0; i < batch.rowCount; i++) {
    counted += (event_count.values[i] ?? 0n) + (duplicate_count.values[i] ?? 0n)
  }
  return counted === BigInt(rows)
}

async function eventFilesByDay(
  ports: RecomputePorts,
  pinned: PinnedSources,
): Promise<Map<number, EventFile[]>> {
  const result = new Map<number, EventFile[]>()
  if (pinned.snapshot === null) return result
  const live = await liveDataFiles(ports, pinned.events, pinned.snapshot.snapshotId)
  for (const { dataFile, sequenceNumber } of live) {
    const day = dayOf(pinned.events, dataFile.partition)
    const file: EventFile = {
      location: dataFile.filePath,
      sequence: sequenceNumber,
      records: dataFile.recordCount,
      eventTimeUsMin: eventTimeUsMinOf(dataFile),
    }
    const files = result.get(day)
    if (files === undefined) result.set(day, [file])
    else files.push(file)
  }
  return result
}

const eventTimeFieldId = 3

/** Least event time in a file of events; null where the file doesn't tell. */
export function eventTimeUsMinOf(dataFile: DataFile): number | null {
  const lower = dataFile.lowerBounds?.get(eventTimeFieldId)
  const least = lower === undefined ? null : decodeSingleValue('timestamptz', lower)
  return least === null ? null : Number(least)
}

export async function rollupFilesByDay(
  ports: Pick<RecomputePorts, 'store' | 'manifests'>,
  table: LoadedTable,
): Promise<Map<number, readonly string[]>> {
  const live = await liveDataFiles(ports, table, mainSnapshotId(table.metadata))
  const byDay = Map.groupBy(live, ({ dataFile }) => dayOf(table, dataFile.partition))
  return new Map([...byDay].map(([day, files]) => [day, files.map((f) => f.dataFile.filePath)]))
}

async function liveDataFiles(
  ports: Pick<RecomputePorts, 'store' | 'manifests'>,
  table: LoadedTable,
  snapshotId: bigint | null,
): Promise<readonly LiveFile[]> {
  if (snapshotId === null) return []
  const { files, deleteFiles } = await planScan(ports, table.metadata, { snapshotId })
  if (deleteFiles.length > 0) {
    throw new PotokError(
      'Unsupported',
      `${table.identifier.name} has ${deleteFiles.length} delete files (merge-on-read), which exact runs ` +
        'do not read yet: rewrite its data files first (in Trino: ALTER TABLE … EXECUTE optimize)',
      { context: { deleteFile: deleteFiles[0]?.dataFile.filePath } },
    )
  }
  return files
}

function dayOf(table: LoadedTable, partition: readonly unknown[]): number {
  const [day] = partition
  if (partition.length === 1 && typeof day === 'number') return day
  throw new PotokError(
    'Unsupported',
    `${table.identifier.name} has data files that are not partitioned by day: ${JSON.stringify(partition.map(String))}`,
  )
}

/** Limits of all cameras that have one, for `violation_count`. */
export async function readSpeedLimits(
  ports: Pick<RecomputePorts, 'catalog' | 'store' | 'manifests' | 'parquetReader'>,
): Promise<SpeedLimit[]> {
  const table = await ports.catalog.loadTable(tableIdentifier(camerasTable.name))
  const live = await liveDataFiles(ports, table, mainSnapshotId(table.metadata))
  if (live.length === 0) return []
  const batch = await ports.parquetReader.read(
    camerasTable,
    live.map(({ dataFile }) => dataFile.filePath),
    ['kvfv_id', 'valid_from', 'speed_limit'],
  )
  const { kvfv_id, valid_from, speed_limit } = batch.columns
  if (
    kvfv_id?.type !== 'string' ||
    valid_from?.type !== 'timestamptz' ||
    speed_limit?.type !== 'double'
  ) {
    throw new PotokError('DataCorrupt', 'the table cameras lacks columns of its definition')
  }
  const limits: SpeedLimit[] = []
  for (let i = 0; i < batch.rowCount; i++) {
    const kvfvId = kvfv_id.values[i]
    if (kvfvId === null || kvfvId === undefined) continue
    const hasLimit = speed_limit.nulls?.[i] !== 1
    limits.push({
      kvfvId,
      validFromUs: valid_from.nulls?.[i] === 1 ? null : (valid_from.values[i] ?? null),
      limitMilli: hasLimit ? Math.round((speed_limit.values[i] ?? 0) * 1_000) : null,
    })
  }
  return limits.some(({ limitMilli }) => limitMilli !== null) ? limits : []
}

/** For messages and the ledger. */
export function describeDays(days: readonly { readonly day: number }[]): string {
  const [first] = days
  const last = days.at(-1)
  if (first === undefined || last === undefined) return 'no day'
  return first.day === last.day
    ? formatDay(first.day)
    : `${days.length} days from ${formatDay(first.day)} to ${formatDay(last.day)}`
}
