/**
 * The port `ExactEngine`: turns one UTC day of `events` into the exact rows of the three rollup tables.
 * Adapters: DuckDB; the same columns and the same bits from every engine, for all of it is integer
 * arithmetic and nearest-rank statistics.
 *
 * The engine knows nothing of snapshots' lineage, of sealing or of commits: which files, which cameras and
 * up to which instant is decided by `rollups/recompute/`, and what it has written is committed there.
 */
import type { WrittenFile } from './ports.ts'

export const rollupNames = ['rollup_5m', 'rollup_1h', 'rollup_1d'] as const
export type RollupName = (typeof rollupNames)[number]
export type PerRollup<T> = Readonly<Record<RollupName, T>>

/** The limit of a camera from this instant until that of its next entry. */
export type SpeedLimit = {
  readonly kvfvId: string
  /** Epoch µs; null: since ever. */
  readonly validFromUs: number | null
  /** 0.001 km/h; null: from then on none is known. */
  readonly limitMilli: number | null
}

export type ExactSource =
  /** Data files of `events` that hold this day, and nothing else. */
  | { readonly kind: 'events'; readonly files: readonly string[] }
  /**
   * What an earlier call wrote for the same day, cameras and snapshot: its exact rows are taken again, only
   * what is around them and the revisions are new. For a commit that lost to somebody else's.
   */
  | { readonly kind: 'computed'; readonly files: PerRollup<string | null> }

export type ExactDayTask = {
  readonly day: number
  readonly source: ExactSource
  /** null: all. Rows of other cameras are kept as they are. */
  readonly cameras: readonly string[] | null
  /** Windows that end at or before it become exact; 5-minute rows that start at or after it are kept. */
  readonly sealedUntilUs: number
  /** Live data files of the day in each rollup table: all of them are replaced by what is written. */
  readonly existing: PerRollup<readonly string[]>
  /** Whose revision goes up by one where the day has an exact row of them already; null: everybody's. */
  readonly revised: readonly string[] | null
  readonly sourceSnapshotId: bigint
  readonly computedAtUs: number
  readonly latenessUsMax: number
  readonly speedLimits: readonly SpeedLimit[]
  /** Names the file to write. */
  readonly locationOf: (table: RollupName) => string
}

export type ExactDayResult = {
  /** null: the table has no row of this day. Durable when resolved. */
  readonly files: PerRollup<WrittenFile | null>
  /** Rows of events that were read (0 where the source was computed before). */
  readonly eventsRead: number
  /** Cameras with exact rows that this call made. */
  readonly cameras: number
}

export interface ExactEngine {
  /** Written to the ledger: `duckdb`, `trino`. */
  readonly name: string
  /** One day at a time: a second call waits. A failure leaves no file of its own behind. */
  computeDay(task: ExactDayTask, signal: AbortSignal): Promise<ExactDayResult>
  /** Cameras with events in these files, before that instant where one is given; sorted. */
  camerasIn(files: readonly string[], beforeUs: number | null): Promise<string[]>
  close(): Promise<void>
}
