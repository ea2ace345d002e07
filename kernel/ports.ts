/**
 * The ports: what potok needs of the world outside. Adapters implement them, `app/` wires them, one
 * contract suite per port (`testkit/contracts/`) runs over every adapter.
 * A location is an absolute URI: `file:///…` or `s3://…`.
 */
import type { ColumnBatch, ColumnStats, TableDefinition, WritableBatch } from './columns.ts'
import type { RecordBlock } from './record-block.ts'

/** Wall clock, a port so that what plans and decides can be run from a seed. */
export interface Clock {
  nowMs(): number
}

/** Randomness, a port likewise. */
export interface IdSource {
  uuid(): string
  /** A positive random 63-bit integer. */
  snapshotId(): bigint
}

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Every role: `createX(ports, config)` does no I/O; `start` does. */
export interface Service {
  start(): Promise<void>
  /** Finishes or gives up what is under way; after it nothing is acknowledged, written or deleted. */
  stop(deadlineMs: number): Promise<void>
  health(): ServiceHealth
}

export type ServiceHealth = {
  readonly ok: boolean
  /** Where `ok` is false: what is wrong and what to do, in one sentence. */
  readonly reason?: string
  /** Figures for `status`, `/readyz` and metrics: numbers, strings, small records. */
  readonly details: Readonly<Record<string, unknown>>
}

/**
 * Rendered answers that processes share. A key names everything that its bytes were made from, so that it never
 * stands for two answers, and nothing is ever taken back. A store may forget at any time.
 *
 * It never throws and never keeps a request waiting for long: a store that is away, slow or full gives `null`
 * and drops what it was to keep. Its health says so, and stays ok: answers are then made, as without it.
 */
export interface AnswerStore extends Service {
  get(key: string): Promise<Uint8Array | null>
  /** Without waiting; values above its limit are not kept. */
  set(key: string, bytes: Uint8Array): void
  readonly stats: { readonly isConnected: boolean; readonly failures: number }
}

/**
 * Files of the warehouse: immutable once written, except for deletion.
 * Definite failures: NotFound, AlreadyExists, InvalidInput. All others leave the outcome of a write unknown.
 */
export interface ObjectStore {
  /** Whole object, or `length` bytes from `byteOffset`. NotFound where it doesn't exist. */
  read(
    location: string,
    range?: { byteOffset: number; lengthBytes: number },
  ): Promise<Uint8Array<ArrayBuffer>>
  /** Writes a new object, whole or not at all, durable when resolved. AlreadyExists where it exists. */
  write(location: string, bytes: Uint8Array): Promise<void>
  stat(location: string): Promise<ObjectStat | null>
  /** Everything whose location starts with the prefix, in no promised order. */
  list(prefix: string): AsyncIterable<ObjectStat>
  /** Deletes; an object that isn't there is no error. */
  delete(locations: readonly string[]): Promise<void>
  /**
   * Makes a file that an engine (DuckDB) wrote on the local disk an object: durable when resolved, the
   * local file is gone. For a local store a rename and fsync, for S3 an upload.
   */
  adopt(localPath: string, location: string): Promise<ObjectStat>
  /** A path on the local disk where an engine can read the object; S3 stages it in a bounded cache. */
  localPath(location: string): Promise<string>
  /** A fresh path on the local disk where an engine may write what `adopt` then takes. */
  stagingPath(location: string): Promise<string>
}

export type ObjectStat = {
  readonly location: string
  readonly sizeBytes: number
  readonly modifiedMs: number
}

/**
 * The one object of a warehouse that changes: by compare-and-swap only.
 * `version` is opaque (a generation, an ETag).
 */
export interface RootObject {
  /** The current content, or null where there never was one. DataCorrupt where it has gone or is torn. */
  read(): Promise<{ bytes: Uint8Array; version: string } | null>
  /** Cheap look whether it changed since; equal versions mean equal content. */
  version(): Promise<string | null>
  /**
   * Replaces content of `expected` (null: none yet). `lost` is definite: somebody else's is there.
   * Throws CommitStateUnknown where the write may or may not have landed.
   */
  swap(
    expected: string | null,
    bytes: Uint8Array,
  ): Promise<{ won: true; version: string } | { won: false }>
}

/** Which log this is. A position is worth nothing without it. */
export type LogIdentity = {
  readonly clusterId: string
  readonly topic: string
  readonly topicId: string
}

/** What the gateway appends. */
export type LogRecord = {
  readonly logPartition: number
  /** 0 detection (JSON), 1 rejected item (JSON of RejectedPayload); see record-block.ts. */
  readonly kind: number
  readonly receivedAtUs: number
  /** UTF-8 of kvfv_id, from which `logPartition` was computed; null where a rejected item has none. Kafka only. */
  readonly key: Uint8Array | null
  /** 16 bytes where the gateway computed it (plate policy other than keep), else null. */
  readonly eventId: Uint8Array | null
  readonly value: Uint8Array
}

/**
 * The durable, partitioned, ordered log.
 * Offsets of a partition begin at 0 and rise; gaps may occur (Kafka), repetition never.
 */
export interface EventLog {
  identity(): Promise<LogIdentity>
  readonly partitionCount: number
  /**
   * Resolved only when all of them are durable (fsync, acks=all). Overloaded where the log is full or too slow,
   * TooLarge where it never takes such a record: nothing was kept. Any other error: unknown, all of them, none
   * or (a log without transactions over partitions) some were kept; the caller answers 503 and the sender
   * resends all. The order of records of one partition is kept, over appends too.
   */
  append(records: readonly LogRecord[]): Promise<void>
  /** Per partition: first offset kept, and the offset that the next record gets. */
  ranges(): Promise<readonly LogRange[]>
  /**
   * received_at (epoch µs) of the first record at or after the offset, without being a reader of any group;
   * null where none can be read. For `potok status`, which judges how long a record waits.
   */
  receivedAt?(logPartition: number, offset: number): Promise<number | null>
  /** Opens a reader for one sink. */
  openReader(options: { group: string }): Promise<LogReader>
  close(): Promise<void>
}

export type LogRange = {
  readonly logPartition: number
  readonly startOffset: number
  readonly endOffset: number
}

/** Reads for one sink. Positions are the caller's: it seeks after every (re)assignment. */
export interface LogReader {
  /**
   * Partitions that this reader has now; embedded: all of them, of a group none at first and others at any
   * time. Only partitions that were sought are handed out. One that was taken away and has come back is read
   * on from where it was: whoever is late by that is fenced off by the table.
   */
  assignment(): readonly number[]
  /** Next offset to read. InvalidInput below the start or above the end of the log: never a silent reset. */
  seek(logPartition: number, offset: number): Promise<void>
  /**
   * Blocks from the assigned partitions, oldest first in each and fair among them; empty after `maxWaitMs`
   * without new records. At most about `maxBytes` in all. A block's buffers are the caller's to transfer.
   */
  poll(options: {
    maxWaitMs: number
    maxBytes: number
    signal: AbortSignal
  }): Promise<RecordBlock[]>
  /** Tells the log what the sink has committed, for retention and lag displays only, never for truth. */
  acknowledge(positions: ReadonlyMap<number, number>): Promise<void>
  close(): Promise<void>
}

/** Writes rows as Parquet. One implementation for all tables, so that types and statistics agree. */
export interface ParquetWriter {
  /**
   * Sorts by the definition's sort order, splits by its day partition (one file per day; one file where it
   * has none), writes one file after another (never one open file per day) and returns what was written, in
   * that order. Where it fails, nothing is under way any more.
   * `locationOf` names each file. Files are durable when resolved.
   */
  write(
    definition: TableDefinition,
    batch: WritableBatch,
    locationOf: (partitionDay: number | null) => string,
  ): Promise<WrittenFile[]>
  close(): Promise<void>
}

export type WrittenFile = {
  readonly location: string
  /** UTC day number, null for an unpartitioned table. */
  readonly partitionDay: number | null
  readonly recordCount: number
  readonly fileSizeBytes: number
  readonly columns: readonly ColumnStats[]
}

/** Reads columns of Parquet files that belong to one table. */
export interface ParquetReader {
  /** Rows of all files, only the named columns, in no promised order. `camera` keeps one `kvfv_id`. */
  read(
    definition: TableDefinition,
    locations: readonly string[],
    columns: readonly string[],
    filter?: { camera: string },
  ): Promise<ColumnBatch>
  /** Distinct values of one string column: how dirty cameras are found. */
  distinct(locations: readonly string[], column: string): Promise<string[]>
  close(): Promise<void>
}
