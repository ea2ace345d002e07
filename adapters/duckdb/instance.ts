/**
 * One embedded DuckDB for a process: in memory, with a memory limit and a place to spill to, no extension
 * fetched from anywhere, UTC. Writer, reader and exact engine share one instance, so that one limit holds
 * for all of them; each takes connections of its own.
 */
import { mkdir } from 'node:fs/promises'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { PotokError } from '../../kernel/errors.ts'

export type DuckDbConfig = {
  /** For all of DuckDB's buffers; what is above goes to `tempDirectory`. */
  readonly memoryLimitBytes: number
  readonly threads: number
  /** Made if need be. Nothing in it outlives the process. */
  readonly tempDirectory: string
}

export interface DuckDb {
  /** A new connection: temporary tables and settings are its own. The caller closes it (`closeSync`). */
  connect(): Promise<DuckDBConnection>
  close(): void
}

export async function openDuckDb(config: DuckDbConfig): Promise<DuckDb> {
  await mkdir(config.tempDirectory, { recursive: true })
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${Math.floor(config.memoryLimitBytes / 1024)}KiB`,
    threads: String(config.threads),
    temp_directory: config.tempDirectory,
    // An extension that isn't there is an error, never a download.
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    // Order is promised where a query says ORDER BY, and nowhere else: COPY and scans then need less memory.
    preserve_insertion_order: 'false',
  })
  // Text of timestamps, and casts between date and timestamptz, must not depend on the machine.
  const first = await instance.connect()
  await first.run("SET GLOBAL TimeZone = 'UTC'")
  first.closeSync()
  let open = true
  return {
    async connect() {
      if (!open) throw new PotokError('ShuttingDown', 'DuckDB is closed')
      return instance.connect()
    },
    close() {
      if (!open) return
      open = false
      instance.closeSync()
    },
  }
}

/**
 * What DuckDB says, as one of our kinds. `doing` completes "DuckDB failed to …". DuckDB throws plain
 * `Error`s; anything of a class of its own (PotokError, AssertionError, TypeError) isn't DuckDB's and stays.
 */
export function duckDbError(error: unknown, doing: string): Error {
  if (error instanceof Error && error.constructor !== Error) return error
  const text = error instanceof Error ? error.message : String(error)
  return new PotokError(kindOf(text), `DuckDB failed to ${doing}: ${text.split('\n', 1)[0]}`, {
    cause: error,
  })
}

function kindOf(text: string): 'Overloaded' | 'NotFound' | 'DataCorrupt' | 'Unavailable' {
  if (/out of memory/i.test(text)) return 'Overloaded'
  if (/no files found|no such file|does not exist/i.test(text)) return 'NotFound'
  if (
    /no magic bytes|not a parquet|too small to be|corrupt|decompress|deserialize|thrift/i.test(text)
  ) {
    return 'DataCorrupt'
  }
  return 'Unavailable'
}

/** A string as an SQL literal. */
export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/**
 * Files to read, for `read_parquet`. `*`, `?` and `[` in a path are a pattern to DuckDB: each in brackets
 * stands for itself. (Not for COPY … TO, which takes a path as it stands.)
 */
export function sqlPaths(paths: readonly string[]): string {
  return `[${paths.map((path) => sqlText(path.replaceAll(/[*?[]/g, '[$&]'))).join(', ')}]`
}

/**
 * Parquet files as a table with the columns that are in them, and no others: of folders called `a=1` DuckDB
 * would make columns. Statistics of row groups say nothing of NaN (Parquet's rule), which DuckDB has to be told:
 * else `v != 0` loses the NaNs of a row group whose other values are all 0.
 */
export function sqlParquet(paths: readonly string[], ...options: readonly string[]): string {
  const all = [sqlPaths(paths), 'hive_partitioning = false', 'can_have_nan = true', ...options]
  return `read_parquet(${all.join(', ')})`
}

/** A name as an SQL identifier. */
export function sqlName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
