import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeParquet } from '../../testkit/contracts/parquet.ts'
import { createLocalObjectStore } from '../object-store/local-object-store.ts'
import { createDuckDbParquetReader } from './duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from './duckdb-parquet-writer.ts'
import { openDuckDb } from './instance.ts'

describeParquet('DuckDB', async () => {
  // Signs that mean something in an SQL text, a glob or a URI.
  const folder = await mkdtemp(join(tmpdir(), "potok it's [a] *test* "))
  const store = createLocalObjectStore()
  const duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'spill'),
  })
  const writer = createDuckDbParquetWriter({ store, duckdb })
  const reader = createDuckDbParquetReader({ store, duckdb })
  return {
    writer,
    reader,
    store,
    prefix: `file://${encodeURI(folder)}/`,
    async close() {
      await writer.close()
      await reader.close()
      duckdb.close()
      await rm(folder, { recursive: true })
    },
  }
})
