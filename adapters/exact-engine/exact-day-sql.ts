/**
 * The SQL of the exact engine on DuckDB, text only. All sums are of integers (order-free, the same bits on
 * every run and engine); percentiles are nearest rank, the ⌈p·n⌉-th smallest: DuckDB's `quantile_disc` with
 * DECIMAL fractions computes exactly that, in integers.
 *
 * Values from outside (paths, names of cameras) come in through `sqlText` or as rows of a temporary table,
 * never spliced raw.
 *
 * De-duplication is two-phase, because duplicates are few: first the ids that occur more than once, by
 * the 16-byte id alone; then only the rows of those are ranked. Measured on 10 M events with 1 % duplicates
 * it takes a third of the CPU time of one aggregate over (kvfv_id, event_id).
 */
import type { TableDefinition } from '../../kernel/columns.ts'
import type { RollupName } from '../../kernel/exact-engine.ts'
import {
  startOfDayUs,
  usPer5Minutes,
  usPerDay,
  usPerHour,
  windowsPerDay,
} from '../../kernel/time.ts'
import { fieldIdsOption, sqlTypes } from '../duckdb/column-types.ts'
import { sqlName, sqlParquet, sqlText } from '../duckdb/instance.ts'

export const windowLengthUs: Readonly<Record<RollupName, number>> = {
  rollup_5m: usPer5Minutes,
  rollup_1h: usPerHour,
  rollup_1d: usPerDay,
}

/** Below this a vehicle stands: its pace is left out. 0.001 km/h. */
const standingMilli = 1_000
/** µs per hour times 1,000: the pace in µs per km of a speed in 0.001 km/h is this over the speed. */
const paceNumerator = 3_600_000_000_000

/** Up to so many cameras are read by one equality each, which prunes row groups; `IN` lists don't. */
export const camerasByEqualityMax = 48
/**
 * Every equality opens all files again, about 0.2 ms each: a day of many small files (not compacted yet) and
 * 40 cameras took 45 times as long as one scan, and the text alone was megabytes.
 */
const openingsMax = 2_000

/**
 * Rows of events, only the named columns. Many cameras: the temporary table `wanted` filters a full scan;
 * few: each is a scan of its own that skips all row groups without it.
 */
export function eventsOf(
  paths: readonly string[],
  cameras: readonly string[] | null,
  columns: string,
): string {
  const files = sqlParquet(paths)
  if (cameras === null) return `SELECT ${columns} FROM ${files}`
  const openings = cameras.length * paths.length
  if (cameras.length > camerasByEqualityMax || openings > openingsMax) {
    return `SELECT ${columns} FROM ${files} SEMI JOIN wanted USING (kvfv_id)`
  }
  return cameras
    .map((camera) => `SELECT ${columns} FROM ${files} WHERE kvfv_id = ${sqlText(camera)}`)
    .join('\nUNION ALL\n')
}

/** Ids that occur more than once; two cameras never share one, but the ranking asks for the camera too. */
export function createRepeated(
  paths: readonly string[],
  cameras: readonly string[] | null,
): string {
  return `CREATE OR REPLACE TEMP TABLE repeated AS
    SELECT event_id FROM (${eventsOf(paths, cameras, 'event_id')})
    GROUP BY event_id HAVING count(*) > 1`
}

/**
 * All events of the day in narrow columns: `w` number of the 5-minute window, `v` 0.001 km/h, `late`,
 * `over` (above the limit; null without one). Rows of repeated ids keep id and log position.
 */
export function createDetections(
  paths: readonly string[],
  cameras: readonly string[] | null,
  options: { day: number; latenessUsMax: number; hasLimits: boolean },
): string {
  const columns =
    'kvfv_id, event_id, epoch_us(event_time) AS t, epoch_us(received_at) AS r, ' +
    'CAST(round(vehicle_speed * 1000) AS INTEGER) AS v, log_epoch, log_partition, log_offset'
  const start = startOfDayUs(options.day)
  return `CREATE OR REPLACE TEMP TABLE detections AS
    SELECT e.kvfv_id, e.v,
      -- Events of another day, which no file of this one may hold, are told by −1 and 288.
      CAST(CASE WHEN e.t < ${start} THEN -1
        ELSE least((e.t - ${start}) // ${usPer5Minutes}, ${windowsPerDay}) END AS SMALLINT) AS w,
      e.r - e.t > ${options.latenessUsMax} AS late,
      ${options.hasLimits ? 'e.v > l.limit_milli' : 'CAST(NULL AS BOOLEAN)'} AS over,
      d.event_id AS repeated_id,
      CASE WHEN d.event_id IS NOT NULL THEN e.log_epoch END AS log_epoch,
      CASE WHEN d.event_id IS NOT NULL THEN e.log_partition END AS log_partition,
      CASE WHEN d.event_id IS NOT NULL THEN e.log_offset END AS log_offset
    FROM (${eventsOf(paths, cameras, columns)}) e
    LEFT JOIN repeated d ON d.event_id = e.event_id
    ${
      options.hasLimits
        ? 'LEFT JOIN limits l ON l.kvfv_id = e.kvfv_id AND e.t >= l.from_us AND e.t < l.until_us'
        : ''
    }`
}

/** Places of the rows of repeated ids: the first by log position counts, the others are duplicates. */
export const createRanked = `CREATE OR REPLACE TEMP TABLE ranked AS
  SELECT rowid AS row_id, kvfv_id, w,
    row_number() OVER (
      PARTITION BY kvfv_id, repeated_id ORDER BY log_epoch, log_offset, log_partition, rowid
    ) AS place,
    count(*) OVER (PARTITION BY kvfv_id, repeated_id) - 1 AS duplicates
  FROM detections WHERE repeated_id IS NOT NULL`

export const deleteDuplicates = `DELETE FROM detections
  WHERE rowid IN (SELECT row_id FROM ranked WHERE place > 1)`

/** Limits by validity. Of two entries of one instant the higher counts, so that the result is one. */
export const createLimits = `CREATE OR REPLACE TEMP TABLE limits AS
  SELECT kvfv_id, from_us, limit_milli,
    lead(from_us, 1, ${Number.MAX_SAFE_INTEGER}) OVER (PARTITION BY kvfv_id ORDER BY from_us) AS until_us
  FROM (SELECT kvfv_id, from_us, max(limit_milli) AS limit_milli FROM limit_entries GROUP BY ALL)`

/** Greatest revision that each camera has in the day's exact rows. */
export function createPrior(existing5m: readonly string[]): string {
  const source =
    existing5m.length === 0
      ? `SELECT CAST(NULL AS VARCHAR) AS kvfv_id, CAST(NULL AS INTEGER) AS revision WHERE false`
      : `SELECT kvfv_id, revision FROM ${sqlParquet(existing5m)} WHERE is_exact`
  return `CREATE OR REPLACE TEMP TABLE prior AS
    SELECT kvfv_id, max(revision) AS revision FROM (${source}) GROUP BY kvfv_id`
}

export type DayRows = {
  readonly table: RollupName
  readonly day: number
  /** Not after the end of the day. */
  readonly sealedUntilUs: number
  /** Rows of cameras in `wanted` only; false: of all. */
  readonly isLimited: boolean
  /** Revision goes up for: everybody, nobody, those in the table `revised`. */
  readonly revised: 'all' | 'none' | 'listed'
  readonly sourceSnapshotId: bigint
  readonly computedAtUs: number
}

function timestamp(us: string | number): string {
  return `CAST(make_timestamp(CAST(${us} AS BIGINT)) AS TIMESTAMPTZ)`
}

function revision(rows: DayRows): string {
  const step =
    rows.revised === 'listed'
      ? 'CASE WHEN u.kvfv_id IS NULL THEN 0 ELSE 1 END'
      : rows.revised === 'all'
        ? '1'
        : '0'
  return `CAST(coalesce(p.revision + ${step}, 1) AS INTEGER) AS revision`
}

function revisionJoins(rows: DayRows, kvfvId: string): string {
  return `LEFT JOIN prior p ON p.kvfv_id = ${kvfvId}
    ${rows.revised === 'listed' ? `LEFT JOIN revised u ON u.kvfv_id = ${kvfvId}` : ''}`
}

/** Exact rows out of `detections`: only windows that are wholly sealed. */
export function aggregatedRows(rows: DayRows): string {
  const start = startOfDayUs(rows.day)
  const lengthUs = windowLengthUs[rows.table]
  const per = lengthUs / usPer5Minutes
  const sealedWindows = Math.floor((rows.sealedUntilUs - start) / lengthUs) * per
  const sums = `SELECT kvfv_id, CAST(w // ${per} AS INTEGER) AS bucket,
      count(*) AS event_count,
      CAST(sum(v) AS BIGINT) AS speed_sum_milli,
      CAST(sum(CAST(v AS BIGINT) * v) AS BIGINT) AS speed_sum_sq_milli,
      CAST(sum(CASE WHEN v < ${standingMilli} THEN 0
        ELSE (${paceNumerator} + v // 2) // v END) AS BIGINT) AS pace_sum,
      count_if(v < ${standingMilli}) AS standing_count,
      CAST(min(v) AS BIGINT) AS speed_min_milli,
      CAST(max(v) AS BIGINT) AS speed_max_milli,
      CAST(sum(CAST(over AS INTEGER)) AS BIGINT) AS violation_count,
      count_if(late) AS late_count,
      CAST(histogram(v // 1000) AS MAP(INTEGER, BIGINT)) AS speed_histogram,
      quantile_disc(v, [0.5, 0.85]) AS percentiles
    FROM detections WHERE w < ${sealedWindows} GROUP BY ALL`
  const repeats = `SELECT kvfv_id, CAST(w // ${per} AS INTEGER) AS bucket,
      sum(duplicates) AS duplicates
    FROM ranked WHERE place = 1 GROUP BY ALL`
  return `SELECT a.kvfv_id, ${timestamp(`${start} + CAST(a.bucket AS BIGINT) * ${lengthUs}`)} AS window_start,
      a.* EXCLUDE (kvfv_id, bucket, percentiles),
      CAST(a.percentiles[1] AS BIGINT) AS median_milli,
      CAST(a.percentiles[2] AS BIGINT) AS p85_milli,
      CAST(coalesce(r.duplicates, 0) AS BIGINT) AS duplicate_count,
      true AS is_exact,
      CAST(${rows.sourceSnapshotId} AS BIGINT) AS source_snapshot_id,
      ${revision(rows)},
      ${timestamp(rows.computedAtUs)} AS computed_at
    FROM (${sums}) a
    LEFT JOIN (${repeats}) r ON r.kvfv_id = a.kvfv_id AND r.bucket = a.bucket
    ${revisionJoins(rows, 'a.kvfv_id')}`
}

/** Exact rows out of what was written before; only their revision is formed anew. */
export function computedRows(rows: DayRows, path: string): string {
  return `SELECT c.* EXCLUDE (revision), ${revision(rows)}
    FROM ${sqlParquet([path])} c ${rows.isLimited ? 'SEMI JOIN wanted w ON w.kvfv_id = c.kvfv_id' : ''}
    ${revisionJoins(rows, 'c.kvfv_id')}
    WHERE c.is_exact AND c.window_start < ${timestamp(rows.sealedUntilUs)}`
}

/** Rows of the day's present files that stay; null where none can. */
export function keptRows(rows: DayRows, existing: readonly string[]): string | null {
  const endOfDay = startOfDayUs(rows.day + 1)
  const conditions: string[] = []
  if (rows.table === 'rollup_5m' && rows.sealedUntilUs < endOfDay) {
    conditions.push(`x.window_start >= ${timestamp(rows.sealedUntilUs)}`)
  }
  if (rows.isLimited) {
    conditions.push('(x.is_exact AND x.kvfv_id NOT IN (SELECT kvfv_id FROM wanted))')
  }
  if (existing.length === 0 || conditions.length === 0) return null
  return `SELECT * FROM ${sqlParquet(existing, 'union_by_name = true')} x
    WHERE ${conditions.join(' OR ')}`
}

/** Writes rows as one sorted data file of the table. */
export function copyRows(
  definition: TableDefinition,
  sources: readonly string[],
  path: string,
  compressionLevel: number,
): string {
  const columns = definition.columns
    .map(({ name, type }) => `CAST(${sqlName(name)} AS ${sqlTypes[type]}) AS ${sqlName(name)}`)
    .join(', ')
  const order = definition.sortBy.map((name) => `${sqlName(name)} ASC NULLS LAST`).join(', ')
  const rows = sources.map((sql) => `SELECT ${columns} FROM (${sql})`).join('\nUNION ALL\n')
  return `COPY (SELECT * FROM (${rows}) ORDER BY ${order}) TO ${sqlText(path)} (
    FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL ${compressionLevel},
    ROW_GROUP_SIZE ${definition.rowGroupRows},
    FIELD_IDS ${fieldIdsOption(definition.columns)}, RETURN_STATS)`
}
