/**
 * What the API needs of the world, and its settings. Wired by `app/`; every port has an in-memory fake in
 * the tests beside the sources.
 */
import type { Registry } from 'prom-client'
import type { Catalog } from '../iceberg/catalog.ts'
import type { ManifestCache } from '../iceberg/scan/manifest-cache.ts'
import type { TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type {
  AnswerStore,
  Clock,
  IdSource,
  Logger,
  LogRange,
  ObjectStore,
  ParquetReader,
  ParquetWriter,
  ServiceHealth,
} from '../kernel/ports.ts'
import type { RecomputeQueue } from '../kernel/recompute.ts'

/** A data file that is live in a snapshot. */
export type LiveFile = {
  readonly path: string
  /** UTC day of its partition, null for an unpartitioned table. */
  readonly day: number | null
  /** Data sequence number. */
  readonly sequenceNumber: number
  /** No row of it is before this instant, by the bounds of the partition's column; null: not known. */
  readonly timeUsMin: number | null
}

/** Finds data files through manifests; `iceberg/scan` behind it, fakes in tests. */
export interface LiveFileScanner {
  /** All live data files of the current snapshot. Unsupported where it has delete files: the API reads none. */
  all(metadata: TableMetadata): Promise<readonly LiveFile[]>
  /** Files that these snapshots, appends all of them, have added; they are ancestors of the current one or it. */
  addedBy(metadata: TableMetadata, snapshotIds: ReadonlySet<bigint>): Promise<readonly LiveFile[]>
}

export type ApiPorts = {
  readonly catalog: Catalog
  readonly store: ObjectStore
  /** Shared with whatever else in this process scans tables: what one has read or written, all know. */
  readonly manifests: ManifestCache
  readonly parquetReader: ParquetReader
  readonly parquetWriter: ParquetWriter
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly registry: Registry
  /** Answers shared with other processes; null: each makes its own. */
  readonly answers: AnswerStore | null
  /** The exact job, where it runs in this process; null: `POST /v1/recompute` says that it doesn't. */
  readonly recompute: RecomputeQueue | null
  /** Ends of the event log, for lag; null where this process has no log. */
  readonly logRanges: (() => Promise<readonly LogRange[]>) | null
  /** Every service that this process started, by name, the API's read model included. */
  readonly health: () => Readonly<Record<string, ServiceHealth>>
}

export type ApiConfig = {
  /** Shown in `/openapi.json`. */
  readonly version: string
  /** Memory for day cubes and single camera days; the least recently used go first. */
  readonly cubeCacheBytesMax: number
  /** Memory for rendered answers; the least recently used go first. A day of a camera takes some 70 kB. */
  readonly responseCacheBytesMax: number
  /** How far the watermark is behind the greatest event time. */
  readonly allowedLatenessUs: number
  /** How often the catalog is asked whether anything changed. */
  readonly pollMs: number
  /** Log partitions; null: as many as rollup_5m has positions for. */
  readonly logPartitionCount: number | null
}

export const defaultApiConfig: ApiConfig = {
  version: '0.0.0',
  cubeCacheBytesMax: 256 * 1024 * 1024,
  responseCacheBytesMax: 96 * 1024 * 1024,
  allowedLatenessUs: 3 * 3_600 * 1_000_000,
  pollMs: 250,
  logPartitionCount: null,
}
