/**
 * The tables of potok, namespace `traffic`. Field ids are for ever: add, never renumber.
 * `docs/reference/tables.md` is generated from this page.
 */
import type { ColumnDefinition, ColumnType, TableDefinition } from './columns.ts'

export const namespaceName = 'traffic'

function column(
  id: number,
  name: string,
  type: ColumnType,
  doc: string,
  options: { nullable?: boolean } = {},
): ColumnDefinition {
  return { id, name, type, required: options.nullable !== true, doc }
}
const nullable = { nullable: true }

export const eventsTable: TableDefinition = {
  name: 'events',
  doc: 'One row per record of the log that is a detection, nothing dropped; duplicates share event_id.',
  columns: [
    column(
      1,
      'event_id',
      'uuid',
      "Same detection, same id: 128 bits of a hash of camera, instant and the camera's own id, or of all fields",
    ),
    column(2, 'kvfv_id', 'string', 'Camera (complex)'),
    column(3, 'event_time', 'timestamptz', "Instant of the detection, by the camera's clock, µs"),
    column(4, 'vehicle_speed', 'double', 'Spot speed, km/h, kept to 0.001'),
    column(5, 'plate_number', 'string', 'Plate or its pseudonym, by the plate policy', nullable),
    column(6, 'attributes', 'string', 'JSON object of every further field', nullable),
    column(7, 'received_at', 'timestamptz', 'When potok received it, µs'),
    column(8, 'log_epoch', 'int', 'Raised when the log is replaced or reset on purpose'),
    column(9, 'log_partition', 'int', 'Partition of the event log'),
    column(10, 'log_offset', 'long', 'Offset in that partition'),
  ],
  partitionByDayOf: 'event_time',
  sortBy: ['kvfv_id', 'event_time'],
  rowGroupRows: 16_384,
}

export const rejectedEventsTable: TableDefinition = {
  name: 'rejected_events',
  doc: 'What could not be a detection, with the reason; and ranges of the log without records.',
  columns: [
    column(1, 'received_at', 'timestamptz', 'When potok received it, µs'),
    column(
      2,
      'reason',
      'string',
      'One of the documented reasons, or log_gap for a range without records or never read',
    ),
    column(3, 'detail', 'string', 'What is wrong, in words'),
    column(4, 'source', 'string', 'http, mqtt, replay, log'),
    column(5, 'kvfv_id', 'string', 'Camera, where it could be read', nullable),
    column(6, 'payload', 'string', 'The item as received, under the plate policy', nullable),
    column(7, 'log_epoch', 'int', 'Raised when the log is replaced or reset on purpose'),
    column(8, 'log_partition', 'int', 'Partition of the event log'),
    column(9, 'log_offset', 'long', 'Offset in that partition (of a range: its first)'),
    column(
      10,
      'record_count',
      'long',
      'Offsets covered: 1 for a record, more for a range; 0: a reset, where an epoch ends or begins',
    ),
  ],
  partitionByDayOf: 'received_at',
  sortBy: ['received_at'],
  rowGroupRows: 16_384,
}

/** Partial sums: several rows of one key add up. Shared by all three rollup tables. */
const sums: readonly ColumnDefinition[] = [
  column(3, 'event_count', 'long', 'Events in the window; exact rows: after de-duplication'),
  column(4, 'speed_sum_milli', 'long', 'Σv in 0.001 km/h'),
  column(5, 'speed_sum_sq_milli', 'long', 'Σv² in (0.001 km/h)²'),
  column(
    6,
    'pace_sum',
    'long',
    'Σ1/v in µs per km, each ⌊(3.6·10¹² + ⌊v/2⌋)/v⌋ with v in 0.001 km/h; without standing vehicles',
  ),
  column(7, 'standing_count', 'long', 'Events below 1 km/h: not in pace_sum'),
  column(8, 'speed_min_milli', 'long', 'Least speed, 0.001 km/h'),
  column(9, 'speed_max_milli', 'long', 'Greatest speed, 0.001 km/h'),
  column(
    10,
    'violation_count',
    'long',
    "Events above the camera's speed limit at that time; null where none is known",
    nullable,
  ),
  column(
    11,
    'late_count',
    'long',
    'Events received more than the allowed lateness after their event time',
  ),
  {
    ...column(12, 'speed_histogram', 'map<int,long>', 'Events by speed: key k holds [k, k+1) km/h'),
    mapIds: { key: 13, value: 14 },
  },
  column(
    15,
    'median_milli',
    'long',
    'Median speed, nearest rank, 0.001 km/h; exact rows only',
    nullable,
  ),
  column(
    16,
    'p85_milli',
    'long',
    'V85: 85th percentile, nearest rank, 0.001 km/h; exact rows only',
    nullable,
  ),
  column(17, 'duplicate_count', 'long', 'Rows left out as duplicates; exact rows only', nullable),
  column(
    18,
    'is_exact',
    'boolean',
    'True: the whole of the window as of source_snapshot_id. False: one partial sum among others',
  ),
  column(
    19,
    'source_snapshot_id',
    'long',
    'Snapshot of events that an exact row was computed from',
    nullable,
  ),
  column(
    20,
    'revision',
    'int',
    "1 at the first exact result of this camera's day, one more at each recomputation",
    nullable,
  ),
  column(21, 'computed_at', 'timestamptz', 'When this row was computed, µs'),
]

function rollupTable(name: string, length: string): TableDefinition {
  return {
    name,
    doc: `Sums per camera and ${length}; averages are formed from them at the edge.`,
    columns: [
      column(1, 'kvfv_id', 'string', 'Camera (complex)'),
      column(2, 'window_start', 'timestamptz', `Start of the ${length} window, inclusive, µs`),
      ...sums,
    ],
    partitionByDayOf: 'window_start',
    sortBy: ['kvfv_id', 'window_start'],
    rowGroupRows: 16_384,
  }
}
export const rollup5mTable = rollupTable('rollup_5m', '5-minute')
export const rollup1hTable = rollupTable('rollup_1h', '1-hour')
export const rollup1dTable = rollupTable('rollup_1d', '1-day')

export const camerasTable: TableDefinition = {
  name: 'cameras',
  doc: 'Registered cameras; one row per camera and validity of its facts.',
  columns: [
    column(1, 'kvfv_id', 'string', 'Camera (complex)'),
    column(2, 'name', 'string', 'Name for people', nullable),
    column(3, 'road', 'string', 'Road', nullable),
    column(4, 'latitude', 'double', 'WGS 84, degrees north', nullable),
    column(5, 'longitude', 'double', 'WGS 84, degrees east', nullable),
    column(6, 'speed_limit', 'double', 'km/h', nullable),
    column(7, 'valid_from', 'timestamptz', 'From when this row holds, µs', nullable),
    column(8, 'time_zone', 'string', 'IANA name', nullable),
    column(9, 'lanes', 'int', 'Number of lanes', nullable),
  ],
  partitionByDayOf: null,
  sortBy: ['kvfv_id'],
  rowGroupRows: 16_384,
}

export const recomputeRunsTable: TableDefinition = {
  name: 'recompute_runs',
  doc: 'The ledger: one row per exact run that did something.',
  columns: [
    column(1, 'run_id', 'string', 'Id of the run'),
    column(2, 'trigger', 'string', 'schedule, http, cli, demo'),
    column(3, 'reason', 'string', 'Why: due, dirty, forced'),
    column(4, 'requested_at', 'timestamptz', 'When it was asked for, µs'),
    column(5, 'started_at', 'timestamptz', 'When it began, µs'),
    column(6, 'finished_at', 'timestamptz', 'When its commit was prepared, µs'),
    column(7, 'engine', 'string', 'duckdb, trino'),
    column(8, 'source_snapshot_id', 'long', 'Snapshot of events that was read', nullable),
    column(9, 'days', 'string', 'JSON array of {day, cameras: null for all or a list}'),
    column(10, 'camera_days', 'long', 'Cameras recomputed, summed over days'),
    column(11, 'events_read', 'long', 'Rows of events read'),
    column(12, 'rows_written', 'long', 'Rows written to the three rollup tables'),
    column(13, 'sealed_until', 'timestamptz', 'sealed_until after the run', nullable),
    column(14, 'seconds', 'double', 'Wall time'),
  ],
  partitionByDayOf: null,
  sortBy: ['started_at'],
  rowGroupRows: 16_384,
}

export const allTables: readonly TableDefinition[] = [
  eventsTable,
  rejectedEventsTable,
  rollup5mTable,
  rollup1hTable,
  rollup1dTable,
  camerasTable,
  recomputeRunsTable,
]

/** Table properties that are potok's own. */
export const tableProperties = {
  /** + log partition: JSON of `LogPosition`. On every table that a sink writes. */
  positionPrefix: 'potok.log.position.',
  /** On rollup_5m: every window that starts before this instant (epoch µs, decimal) holds exact rows only. */
  sealedUntil: 'potok.sealed_until',
  /** On rollup_5m: sequence number of events up to which sealed days are exact. */
  exactSequence: 'potok.exact_sequence',
  /** On rollup_5m: JSON of {day: sequence} for the days that are ahead of it. */
  exactSequenceOverrides: 'potok.exact_sequence_overrides',
} as const

/** In the summary of each snapshot that a sink makes: JSON of {partition: [start, end)}. */
export const summaryOffsetsKey = 'potok.log.offsets'
/** In the summary of each snapshot that a sink or run makes: its commit id, by which a lost answer is cleared up. */
export const summaryCommitIdKey = 'potok.commit_id'
