/**
 * Each sealed window equals a recomputation: sums over the de-duplicated events of the snapshot that the row
 * names, by SQL written apart from the exact job's. Cameras that have newer late data are compared with the
 * files of their own snapshot, as far as that is still known: where somebody's compaction has put late rows
 * into one file with earlier ones, it isn't.
 */
import type { LoadedTable } from '../../iceberg/catalog.ts'
import type { LiveFile } from '../../iceberg/scan/plan-files.ts'
import type { ObjectStore, ParquetReader } from '../../kernel/ports.ts'
import { exactSequenceOfDay, readExactness } from '../../kernel/exactness.ts'
import {
  formatDay,
  formatUs,
  startOfDayUs,
  usPer5Minutes,
  usPerDay,
  usPerHour,
} from '../../kernel/time.ts'
import { type Check, type CheckReport, createCheck } from './report.ts'
import { sqlText } from '../../adapters/duckdb/instance.ts'
import { fileList, type SqlRunner } from './sql.ts'

export type SealedInput = {
  readonly events: LoadedTable
  readonly eventFiles: readonly LiveFile[]
  readonly rollups: readonly {
    readonly name: 'rollup_5m' | 'rollup_1h' | 'rollup_1d'
    readonly table: LoadedTable
    readonly files: readonly LiveFile[]
  }[]
}

const windowUs = { rollup_5m: usPer5Minutes, rollup_1h: usPerHour, rollup_1d: usPerDay } as const

export async function checkSealed(
  io: { sql: SqlRunner; reader: ParquetReader; store: ObjectStore },
  input: SealedInput,
): Promise<CheckReport> {
  const check = createCheck(
    'sealed-windows',
    'each sealed window equals the sums over the de-duplicated events of the snapshot it names',
  )
  const fine = input.rollups.find(({ name }) => name === 'rollup_5m')
  if (fine === undefined) throw new RangeError('rollup_5m is not among the tables')
  const exactness = readExactness(fine.table.metadata.properties)
  const sealedUntilUs = exactness.sealedUntilUs
  if (sealedUntilUs === null) return check.report()
  const sequenceOf = new Map(
    input.events.metadata.snapshots.map((s) => [s.snapshotId, s.sequenceNumber]),
  )
  // Who expired the snapshot of a file may have rewritten it.
  const appended = new Set(
    input.events.metadata.snapshots
      .filter(({ summary }) => summary.operation === 'append')
      .map(({ snapshotId }) => snapshotId),
  )
  const days = new Set<number>()
  for (const file of [...input.eventFiles, ...input.rollups.flatMap(({ files }) => files)]) {
    const day = dayOfFile(file)
    if (startOfDayUs(day) < sealedUntilUs) days.add(day)
  }
  for (const day of [...days].sort((a, b) => a - b)) {
    check.count('days')
    const events = input.eventFiles.filter((file) => dayOfFile(file) === day)
    const newer = events.filter((file) => file.sequenceNumber > exactSequenceOfDay(exactness, day))
    const camerasOf = (files: readonly LiveFile[]): Promise<string[]> =>
      io.reader.distinct(
        files.map(({ dataFile }) => dataFile.filePath),
        'kvfv_id',
      )
    const dirty = await camerasOf(newer)
    const mixed = await camerasOf(newer.filter((file) => !appended.has(file.snapshotId)))
    for (const rollup of input.rollups) {
      const query = await comparison(io.store, {
        day,
        table: rollup.name,
        sealedUntilUs,
        rollupFiles: rollup.files.filter((file) => dayOfFile(file) === day),
        eventFiles: events,
        dirty,
        mixed,
        sequenceOf,
      })
      await io.sql.rows(`CREATE OR REPLACE TEMP TABLE compared AS ${query}`)
      for (const row of await io.sql.rows(
        'SELECT verdict, count(*) AS n FROM compared GROUP BY verdict',
      )) {
        const revising = row['verdict'] === 'revising'
        check.count(
          revising ? 'windows_revising_not_compared' : `windows_${rollup.name}`,
          Number(row['n']),
        )
      }
      report(
        check,
        rollup.name,
        day,
        await io.sql.rows(
          `SELECT * FROM compared WHERE verdict NOT IN ('equal', 'revising') ORDER BY kvfv_id, w`,
        ),
      )
    }
  }
  return check.report()
}

function dayOfFile(file: LiveFile): number {
  const value = file.dataFile.partition[0]
  if (typeof value !== 'number')
    throw new RangeError('a file of a day-partitioned table has no day')
  return value
}

type Comparison = {
  day: number
  table: keyof typeof windowUs
  sealedUntilUs: number
  rollupFiles: readonly LiveFile[]
  eventFiles: readonly LiveFile[]
  dirty: readonly string[]
  /** Dirty ones whose late rows can't be told from the earlier ones any more. */
  mixed: readonly string[]
  sequenceOf: ReadonlyMap<bigint, number>
}

const compared = [
  'event_count',
  'speed_sum_milli',
  'speed_sum_sq_milli',
  'pace_sum',
  'standing_count',
  'speed_min_milli',
  'speed_max_milli',
  'duplicate_count',
  'median_milli',
  'p85_milli',
] as const

async function comparison(store: ObjectStore, c: Comparison): Promise<string> {
  const rollupPaths = await Promise.all(
    c.rollupFiles.map((f) => store.localPath(f.dataFile.filePath)),
  )
  const length = windowUs[c.table]
  const stored =
    rollupPaths.length === 0
      ? `SELECT NULL::VARCHAR AS kvfv_id, 0::BIGINT AS w, false AS is_exact, NULL::BIGINT AS source, ${compared.map((name) => `0::BIGINT AS ${name}`).join(', ')} WHERE false`
      : `SELECT kvfv_id, epoch_us(window_start) AS w, is_exact, source_snapshot_id AS source, ${compared.join(', ')}
         FROM ${fileList(rollupPaths)} WHERE epoch_us(window_start) + ${length} <= ${c.sealedUntilUs}`
  const eventPaths = await Promise.all(
    c.eventFiles.map((f) => store.localPath(f.dataFile.filePath)),
  )
  // One scan, and the files' sequence numbers beside it: a query with a branch for each file of a day that
  // was not compacted yet takes minutes and gigabytes to plan.
  const eventRows =
    eventPaths.length === 0
      ? `SELECT 0 AS seq, NULL::VARCHAR AS kvfv_id, NULL::UUID AS event_id, 0 AS log_epoch, 0::BIGINT AS log_offset, 0::BIGINT AS t, 0::BIGINT AS v WHERE false`
      : `SELECT f.seq, kvfv_id, event_id, log_epoch, log_offset, epoch_us(event_time) AS t,
           CAST(round(vehicle_speed * 1000) AS BIGINT) AS v
         FROM ${fileList(eventPaths, 'filename = true')} e JOIN (
           SELECT unnest([${eventPaths.map(sqlText).join(', ')}]) AS path,
             unnest([${c.eventFiles.map((f) => f.sequenceNumber).join(', ')}]) AS seq
         ) f ON f.path = e.filename`
  const sequences = [...c.sequenceOf].map(([id, seq]) => `(${id}, ${seq})`)
  return `
    WITH stored AS (${stored}),
    dirty AS (SELECT unnest([${c.dirty.map(sqlText).join(', ')}]::VARCHAR[]) AS kvfv_id),
    known AS (SELECT * FROM (VALUES ${['(NULL::BIGINT, NULL::BIGINT)', ...sequences].join(', ')}) AS t(source, seq)),
    -- Up to which sequence a camera's events count: all for a clean camera, its snapshot's for a dirty one.
    upto AS (
      SELECT d.kvfv_id, max(k.seq) AS seq
      FROM dirty d LEFT JOIN stored s USING (kvfv_id) LEFT JOIN known k USING (source)
      GROUP BY d.kvfv_id
    ),
    counted AS (
      SELECT e.* FROM (${eventRows}) e LEFT JOIN upto u USING (kvfv_id)
      WHERE u.kvfv_id IS NULL OR e.seq <= u.seq
    ),
    ranked AS (
      SELECT *, row_number() OVER (PARTITION BY kvfv_id, event_id ORDER BY log_epoch, log_offset) AS copy FROM counted
    ),
    firsts AS (SELECT kvfv_id, t // ${length} * ${length} AS w, v FROM ranked WHERE copy = 1),
    copies AS (SELECT kvfv_id, t // ${length} * ${length} AS w, count(*) AS n FROM ranked WHERE copy > 1 GROUP BY ALL),
    fresh AS (
      SELECT kvfv_id, w, count(*) AS event_count, sum(v)::BIGINT AS speed_sum_milli,
        sum(v::HUGEINT * v)::BIGINT AS speed_sum_sq_milli,
        coalesce(sum((3600000000000 + v // 2) // v) FILTER (v >= 1000), 0)::BIGINT AS pace_sum,
        count(*) FILTER (v < 1000) AS standing_count, min(v) AS speed_min_milli, max(v) AS speed_max_milli,
        list_sort(list(v))[(count(*) + 1) // 2] AS median_milli,
        list_sort(list(v))[(count(*) * 85 + 99) // 100] AS p85_milli
      FROM firsts WHERE w + ${length} <= ${c.sealedUntilUs} GROUP BY ALL
    ),
    expected AS (SELECT fresh.*, coalesce(copies.n, 0)::BIGINT AS duplicate_count FROM fresh LEFT JOIN copies USING (kvfv_id, w)),
    unknown AS (
      SELECT kvfv_id FROM upto WHERE seq IS NULL
      UNION SELECT unnest([${c.mixed.map(sqlText).join(', ')}]::VARCHAR[])
    )
    SELECT coalesce(s.kvfv_id, e.kvfv_id) AS kvfv_id, coalesce(s.w, e.w) AS w,
      CASE WHEN coalesce(s.kvfv_id, e.kvfv_id) IN (SELECT kvfv_id FROM unknown) THEN 'revising'
        WHEN s.kvfv_id IS NULL THEN 'missing'
        WHEN NOT s.is_exact THEN 'provisional'
        WHEN e.kvfv_id IS NULL THEN 'invented'
        WHEN count(*) OVER (PARTITION BY s.kvfv_id, s.w) > 1 THEN 'twice'
        WHEN ${compared.map((name) => `s.${name} IS DISTINCT FROM e.${name}`).join(' OR ')} THEN 'differs'
        ELSE 'equal' END AS verdict,
      ${compared.map((name) => `s.${name} AS stored_${name}, e.${name} AS expected_${name}`).join(', ')}
    FROM stored s FULL JOIN expected e ON s.kvfv_id = e.kvfv_id AND s.w = e.w`
}

const sentences: Readonly<Record<string, string>> = {
  missing: 'has events but no row',
  provisional: 'has a provisional row although it is sealed',
  invented: 'has a row but no events',
  twice: 'has more than one row',
}

function report(
  check: Check,
  table: string,
  day: number,
  rows: readonly Record<string, unknown>[],
): void {
  for (const row of rows) {
    const verdict = String(row['verdict'])
    const where = `${table}, camera ${String(row['kvfv_id'])}, window ${formatUs(Number(row['w']))}`
    const different = compared.filter((name) => row[`stored_${name}`] !== row[`expected_${name}`])
    check.find(
      verdict === 'differs'
        ? `${where}: ${different.map((name) => `${name} is ${String(row[`stored_${name}`])}, the events give ${String(row[`expected_${name}`])}`).join('; ')}`
        : `${where} ${sentences[verdict] ?? verdict}`,
      {
        table,
        kvfv_id: String(row['kvfv_id']),
        day: formatDay(day),
        window: formatUs(Number(row['w'])),
      },
    )
  }
}
