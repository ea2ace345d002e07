import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { openDuckDb, sqlPaths, sqlText } from './instance.ts'

const folder = mkdtempSync(join(tmpdir(), 'potok-duckdb-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('reads the file that a path names, whatever stands for a pattern in it', async () => {
  const duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 1,
    tempDirectory: join(folder, 'spill'),
  })
  const connection = await duckdb.connect()
  for (const name of ["a[1] 'b'", 'a1', 'what? *']) {
    mkdirSync(join(folder, name))
    const path = join(folder, name, 'x.parquet')
    await connection.run(
      `COPY (SELECT ${sqlText(name)} AS name) TO ${sqlText(path)} (FORMAT parquet)`,
    )
    const read = await connection.runAndReadAll(
      `SELECT name FROM read_parquet(${sqlPaths([path])})`,
    )
    expect(read.getRowObjectsJS()).toEqual([{ name }])
  }
  connection.closeSync()
  duckdb.close()
})
