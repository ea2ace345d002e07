/** A few connections of one DuckDB, lent out one user at a time; whoever comes later waits in order. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { PotokError } from '../../kernel/errors.ts'
import type { DuckDb } from './instance.ts'

export interface ConnectionPool {
  use<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T>
  /** Waits for what is under way; nothing new begins. */
  close(): Promise<void>
}

export function createConnectionPool(duckdb: DuckDb, connectionsMax: number): ConnectionPool {
  const idle: DuckDBConnection[] = []
  const waiting: (() => void)[] = []
  const busy = new Set<Promise<unknown>>()
  let lent = 0
  let closed = false

  async function use<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    if (lent >= connectionsMax) await new Promise<void>((resolve) => waiting.push(resolve))
    else lent++
    try {
      if (closed)
        throw new PotokError('ShuttingDown', 'Parquet files are no longer written or read')
      const connection = idle.pop() ?? (await duckdb.connect())
      try {
        return await work(connection)
      } finally {
        idle.push(connection)
      }
    } finally {
      // A place is handed on, not given back, where somebody waits: the count never overshoots.
      const next = waiting.shift()
      if (next === undefined) lent--
      else next()
    }
  }

  return {
    use(work) {
      const run = use(work)
      const forget = () => {
        busy.delete(run)
      }
      busy.add(run)
      run.then(forget, forget)
      return run
    },
    async close() {
      closed = true
      await Promise.allSettled(busy)
      for (const connection of idle.splice(0)) connection.closeSync()
    },
  }
}
