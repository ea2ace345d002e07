/**
 * The views for people who query by SQL: finished averages, exact where an exact row is there, else the sum
 * of the provisional ones. `docs/reference/tables.md` describes them.
 */
import type { ColumnType } from './columns.ts'

export type ViewColumn = { readonly id: number; readonly name: string; readonly type: ColumnType }

export type ViewDefinition = {
  readonly name: string
  readonly columns: readonly ViewColumn[]
  /** SQL by dialect; unqualified names are tables of the same namespace. */
  readonly sql: Readonly<Record<'trino' | 'spark' | 'duckdb', string>>
}

const viewColumns: readonly ViewColumn[] = (
  [
    ['kvfv_id', 'string'],
    ['window_start', 'timestamptz'],
    ['event_count', 'long'],
    ['avg_speed', 'double'],
    ['space_mean_speed', 'double'],
    ['min_speed', 'double'],
    ['max_speed', 'double'],
    ['is_exact', 'boolean'],
    ['revision', 'int'],
    ['source_snapshot_id', 'long'],
    ['computed_at', 'timestamptz'],
  ] as const
).map(([name, type], index) => ({ id: index + 1, name, type }))

/** Averages formed once, from sums; 3.6·10⁹ µs of an hour turn Σ(µs/km) into km/h (formulas.md). */
const averages = `sum(event_count) AS event_count,
  round(CAST(sum(speed_sum_milli) AS DOUBLE) / sum(event_count) / 1000, 3) AS avg_speed,
  round(3600000000 * CAST(sum(event_count) - sum(standing_count) AS DOUBLE) / nullif(sum(pace_sum), 0), 3) AS space_mean_speed,
  CAST(min(speed_min_milli) AS DOUBLE) / 1000 AS min_speed,
  CAST(max(speed_max_milli) AS DOUBLE) / 1000 AS max_speed,
  min(is_exact_int) = 1 AS is_exact,
  max(revision) AS revision,
  max(source_snapshot_id) AS source_snapshot_id,
  max(computed_at) AS computed_at`

const sumColumnNames = [
  'kvfv_id',
  'event_count',
  'speed_sum_milli',
  'pace_sum',
  'standing_count',
  'speed_min_milli',
  'speed_max_milli',
  'revision',
  'source_snapshot_id',
  'computed_at',
]

function sumColumnsOf(prefix: string): string {
  return [
    ...sumColumnNames.map((name) => `${prefix}${name}`),
    `CASE WHEN ${prefix}is_exact THEN 1 ELSE 0 END AS is_exact_int`,
  ].join(', ')
}
const sumColumns = sumColumnsOf('')

function averagesOf(source: string): string {
  return `SELECT kvfv_id, window_start, ${averages}
FROM (${source}) AS sums
GROUP BY kvfv_id, window_start`
}

const fiveMinutes = averagesOf(`SELECT window_start, ${sumColumns} FROM rollup_5m`)

/** Exact rows of the coarse table, and 5-minute sums where it has none for that camera and window. */
function coarse(table: string, unit: string, truncate: (unit: string) => string): string {
  return averagesOf(`SELECT window_start, ${sumColumns} FROM ${table}
  UNION ALL
  SELECT ${truncate(unit)} AS window_start, ${sumColumnsOf('fine.')}
  FROM rollup_5m AS fine
  LEFT JOIN ${table} AS done ON done.kvfv_id = fine.kvfv_id AND done.window_start = ${truncate(unit)}
  WHERE done.kvfv_id IS NULL`)
}

/** In UTC whatever the session's time zone is. */
const truncateTo = {
  trino: (unit: string) => `date_trunc('${unit}', fine.window_start AT TIME ZONE 'UTC')`,
  spark: (unit: string) =>
    `timestamp_micros(unix_micros(fine.window_start) - pmod(unix_micros(fine.window_start), ${unit === 'hour' ? 3_600_000_000 : 86_400_000_000}))`,
  duckdb: (unit: string) =>
    `time_bucket(INTERVAL '1 ${unit}', fine.window_start, TIMESTAMPTZ '2000-01-01 00:00:00+00')`,
} as const

function coarseView(name: string, table: string, unit: string): ViewDefinition {
  return {
    name,
    columns: viewColumns,
    sql: {
      trino: coarse(table, unit, truncateTo.trino),
      spark: coarse(table, unit, truncateTo.spark),
      duckdb: coarse(table, unit, truncateTo.duckdb),
    },
  }
}

export const allViews: readonly ViewDefinition[] = [
  {
    name: 'avg_speed_5m',
    columns: viewColumns,
    sql: { trino: fiveMinutes, spark: fiveMinutes, duckdb: fiveMinutes },
  },
  coarseView('avg_speed_1h', 'rollup_1h', 'hour'),
  coarseView('avg_speed_1d', 'rollup_1d', 'day'),
]
