/**
 * `ExactEngine` on DuckDB: reads events on the local disk (`ObjectStore.localPath`), aggregates one day in
 * temporary tables of its own connection, writes one Parquet file per rollup table and hands it to the
 * store. The statement texts are in `exact-day-sql.ts`.
 *
 * Memory: what DuckDB's limit allows; above it, it spills to its temporary directory. One day at a time.
 */
import { rm } from 'node:fs/promises'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { TableDefinition } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import {
  type ExactDayResult,
  type ExactDayTask,
  type ExactEngine,
  type PerRollup,
  type RollupName,
  rollupNames,
} from '../../kernel/exact-engine.ts'
import type { ObjectStore, WrittenFile } from '../../kernel/ports.ts'
import { rollup1dTable, rollup1hTable, rollup5mTable } from '../../kernel/tables.ts'
import { formatDay, startOfDayUs, windowsPerDay } from '../../kernel/time.ts'
import { columnStatistics } from '../duckdb/file-statistics.ts'
import { type DuckDb, duckDbError, sqlParquet } from '../duckdb/instance.ts'
import {
  aggregatedRows,
  computedRows,
  copyRows,
  createDetections,
  createLimits,
  createPrior,
  createRanked,
  createRepeated,
  type DayRows,
  deleteDuplicates,
  keptRows,
} from './exact-day-sql.ts'

export type DuckDbExactEngineOptions = {
  readonly store: ObjectStore
  readonly duckdb: DuckDb
  /** zstd, 1 (fastest) to 22. */
  readonly compressionLevel?: number
}

const definitions: PerRollup<TableDefinition> = {
  rollup_5m: rollup5mTable,
  rollup_1h: rollup1hTable,
  rollup_1d: rollup1dTable,
}
export function createDuckDbExactEngine(options: DuckDbExactEngineOptions): ExactEngine {
  const { store, duckdb } = options
  const level = options.compressionLevel ?? 3
  let last: Promise<unknown> = Promise.resolve()
  let closed = false

  /** One after another: the temporary tables are one set, and one day may fill the memory limit. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = last.then(work, work)
    last = turn.catch(() => undefined)
    return turn
  }

  async function withConnection<T>(
    doing: string,
    signal: AbortSignal | null,
    work: (connection: DuckDBConnection) => Promise<T>,
  ): Promise<T> {
    if (closed) throw new PotokError('ShuttingDown', 'the exact engine is closed')
    throwIfAborted(signal)
    const connection = await duckdb.connect()
    const interrupt = () => connection.interrupt()
    signal?.addEventListener('abort', interrupt, { once: true })
    try {
      return await work(connection)
    } catch (error) {
      throwIfAborted(signal)
      throw duckDbError(error, doing)
    } finally {
      signal?.removeEventListener('abort', interrupt)
      // Temporary tables end with their connection, and with them their memory.
      connection.closeSync()
    }
  }

  return {
    name: 'duckdb',
    computeDay(task, signal) {
      const doing = `compute ${formatDay(task.day)}`
      return inTurn(() =>
        withConnection(doing, signal, (connection) => computeDay(connection, task, signal)),
      )
    },
    camerasIn(files, beforeUs) {
      if (files.length === 0) return Promise.resolve([])
      return inTurn(() =>
        withConnection('list cameras', null, async (connection) => {
          const paths = await localPaths(files)
          const where = beforeUs === null ? '' : `WHERE epoch_us(event_time) < ${beforeUs}`
          const rows = await query(
            connection,
            `SELECT DISTINCT kvfv_id FROM ${sqlParquet(paths)} ${where} ORDER BY 1`,
          )
          return rows.map(([kvfvId]) => kvfvId as string)
        }),
      )
    },
    async close() {
      closed = true
      await last
    },
  }

  async function computeDay(
    connection: DuckDBConnection,
    task: ExactDayTask,
    signal: AbortSignal,
  ): Promise<ExactDayResult> {
    const limitUs = Math.min(task.sealedUntilUs, startOfDayUs(task.day + 1))
    await fillNames(connection, 'wanted', task.cameras ?? [])
    await fillNames(connection, 'revised', task.revised ?? [])
    const existing5m = await localPaths(task.existing.rollup_5m)
    await connection.run(createPrior(existing5m))
    const eventsRead =
      task.source.kind === 'events' ? await fillDetections(connection, task, task.source.files) : 0

    const files: Record<RollupName, WrittenFile | null> = {
      rollup_5m: null,
      rollup_1h: null,
      rollup_1d: null,
    }
    let cameras = 0
    try {
      for (const table of rollupNames) {
        throwIfAborted(signal)
        const rows: DayRows = {
          table,
          day: task.day,
          sealedUntilUs: limitUs,
          isLimited: task.cameras !== null,
          revised: task.revised === null ? 'all' : task.revised.length === 0 ? 'none' : 'listed',
          sourceSnapshotId: task.sourceSnapshotId,
          computedAtUs: task.computedAtUs,
        }
        const sources = await sourcesOf(task, rows)
        if (sources.length === 0) continue
        const written = await writeRows(connection, table, sources, task)
        files[table] = written
        if (table === 'rollup_5m' && written !== null) {
          cameras = await countCameras(connection, written.location, rows)
        }
      }
      return { files, eventsRead, cameras }
    } catch (error) {
      // Nobody has been told of these files.
      const orphans = Object.values(files).flatMap((file) => (file === null ? [] : [file.location]))
      await store.delete(orphans)
      throw error
    }
  }

  async function sourcesOf(task: ExactDayTask, rows: DayRows): Promise<string[]> {
    const sources: string[] = []
    if (task.source.kind === 'events') {
      if (task.source.files.length > 0) sources.push(aggregatedRows(rows))
    } else {
      const location = task.source.files[rows.table]
      if (location !== null) sources.push(computedRows(rows, await store.localPath(location)))
    }
    const kept = keptRows(rows, await localPaths(task.existing[rows.table]))
    if (kept !== null) sources.push(kept)
    return sources
  }

  async function writeRows(
    connection: DuckDBConnection,
    table: RollupName,
    sources: readonly string[],
    task: ExactDayTask,
  ): Promise<WrittenFile | null> {
    const definition = definitions[table]
    const location = task.locationOf(table)
    const path = await store.stagingPath(location)
    try {
      const reader = await connection.runAndReadAll(copyRows(definition, sources, path, level))
      const [answer] = reader.getRowObjectsJson() as unknown as CopyAnswer[]
      const recordCount = Number(answer?.count ?? 0)
      if (answer === undefined || recordCount === 0) {
        await rm(path, { force: true })
        return null
      }
      const raw = new Map(
        answer.column_statistics.map(({ key, value }) => [
          key,
          new Map(value.map((pair) => [pair.key, pair.value])),
        ]),
      )
      const columns = columnStatistics(definition.columns, raw, new Map())
      const { sizeBytes } = await store.adopt(path, location)
      return { location, partitionDay: task.day, recordCount, fileSizeBytes: sizeBytes, columns }
    } catch (error) {
      await rm(path, { force: true })
      throw error
    }
  }

  async function countCameras(
    connection: DuckDBConnection,
    location: string,
    rows: DayRows,
  ): Promise<number> {
    const path = await store.localPath(location)
    const [row] = await query(
      connection,
      `SELECT count(DISTINCT kvfv_id) FROM (${computedRows({ ...rows, revised: 'none' }, path)})`,
    )
    return Number(row?.[0] ?? 0)
  }

  async function localPaths(locations: readonly string[]): Promise<string[]> {
    return Promise.all(locations.map((location) => store.localPath(location)))
  }

  /** The day's events, de-duplicated, as the table `detections`. Gives how many rows were read. */
  async function fillDetections(
    connection: DuckDBConnection,
    task: ExactDayTask,
    files: readonly string[],
  ): Promise<number> {
    if (files.length === 0) return 0
    const paths = await localPaths(files)
    const hasLimits = task.speedLimits.length > 0
    if (hasLimits) await fillLimits(connection, task)
    await connection.run(createRepeated(paths, task.cameras))
    await connection.run(
      createDetections(paths, task.cameras, {
        day: task.day,
        latenessUsMax: task.latenessUsMax,
        hasLimits,
      }),
    )
    const [row] = await query(
      connection,
      'SELECT count(*), coalesce(min(w), 0), coalesce(max(w), 0), count(repeated_id) FROM detections',
    )
    const [count, least, greatest, repeated] = (row ?? []).map(Number)
    if ((least ?? 0) < 0 || (greatest ?? 0) >= windowsPerDay) {
      throw new PotokError(
        'DataCorrupt',
        `data files of events say they hold ${formatDay(task.day)}, and hold events of other days`,
        { context: { firstFile: files[0], files: files.length } },
      )
    }
    await connection.run(createRanked)
    if (repeated !== 0) await connection.run(deleteDuplicates)
    return count ?? 0
  }
}

type CopyAnswer = {
  readonly count: string
  readonly column_statistics: readonly {
    readonly key: string
    readonly value: readonly { readonly key: string; readonly value: string }[]
  }[]
}

async function query(connection: DuckDBConnection, sql: string): Promise<unknown[][]> {
  const reader = await connection.runAndReadAll(sql)
  return reader.getRowsJS()
}

async function fillLimits(connection: DuckDBConnection, task: ExactDayTask): Promise<void> {
  await connection.run(
    'CREATE OR REPLACE TEMP TABLE limit_entries (kvfv_id VARCHAR, from_us BIGINT, limit_milli BIGINT)',
  )
  const appender = await connection.createAppender('limit_entries')
  try {
    for (const { kvfvId, validFromUs, limitMilli } of task.speedLimits) {
      appender.appendVarchar(kvfvId)
      appender.appendBigInt(BigInt(validFromUs ?? Number.MIN_SAFE_INTEGER))
      if (limitMilli === null) appender.appendNull()
      else appender.appendBigInt(BigInt(limitMilli))
      appender.endRow()
    }
  } finally {
    appender.closeSync()
  }
  await connection.run(createLimits)
}

/** A temporary table of names: whatever characters they have. */
async function fillNames(
  connection: DuckDBConnection,
  table: 'wanted' | 'revised',
  names: readonly string[],
): Promise<void> {
  await connection.run(`CREATE OR REPLACE TEMP TABLE ${table} (kvfv_id VARCHAR)`)
  const appender = await connection.createAppender(table)
  try {
    for (const name of new Set(names)) {
      appender.appendVarchar(name)
      appender.endRow()
    }
  } finally {
    appender.closeSync()
  }
}

function throwIfAborted(signal: AbortSignal | null): void {
  if (signal?.aborted === true) throw new PotokError('ShuttingDown', 'the exact run was stopped')
}
