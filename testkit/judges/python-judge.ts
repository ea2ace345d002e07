/**
 * PyIceberg and DuckDB as judges, in one Python process for a whole suite (its start takes seconds). Questions
 * are answered one after another. Rows come in the form of `canonical-rows.ts`.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pythonPath } from '../python-venv.ts'
import type { CanonicalRow } from './canonical-rows.ts'
import { type FilterCase, filterSql } from './filter-cases.ts'
import type { FilterAnswer } from './judge-filters.ts'

/** In the catalog, or by its metadata file alone. */
export type JudgedTable =
  | { readonly namespace: readonly string[]; readonly name: string }
  | { readonly metadata: string }

export type PythonJudge = {
  connect(
    uri: string,
    options?: { readonly properties?: object; readonly duckdbSql?: readonly string[] },
  ): Promise<void>
  pyiceberg(
    table: JudgedTable,
    columns: readonly string[],
    snapshotId?: bigint,
  ): Promise<CanonicalRow[]>
  duckdb(table: JudgedTable, columns: readonly string[], at?: string): Promise<CanonicalRow[]>
  filterByPyIceberg(
    table: JudgedTable,
    columns: readonly string[],
    filters: readonly FilterCase[],
  ): Promise<FilterAnswer[]>
  filterByDuckDb(
    table: JudgedTable,
    columns: readonly string[],
    filters: readonly FilterCase[],
  ): Promise<FilterAnswer[]>
  /** Runs Python that may use `catalog` (PyIceberg's), `duck`, `pa`; gives what it leaves in `result`. */
  python<T>(code: string): Promise<T>
  stop(): Promise<void>
}

const script = join(import.meta.dirname, 'judge.py')
const logCharactersMax = 16_384

export async function startPythonJudge(): Promise<PythonJudge> {
  const python = pythonPath()
  const child = spawn(python, [script], {
    stdio: 'pipe',
    // No settings of the user's own: they could name other catalogs.
    env: { ...process.env, PYICEBERG_HOME: import.meta.dirname, PYTHONUTF8: '1' },
  })
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-logCharactersMax)
  })
  const lines = createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY })
  const waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = []
  lines.on('line', (line) => waiting.shift()?.resolve(line))
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
  })
  child.once('close', (code) => {
    for (const each of waiting.splice(0))
      each.reject(new Error(`the Python judge ended with ${code}:\n${log}`))
  })
  const nextLine = (): Promise<string> =>
    new Promise((resolve, reject) => {
      if (child.exitCode !== null) reject(new Error(`the Python judge has ended:\n${log}`))
      else waiting.push({ resolve, reject })
    })

  async function ask<T>(question: Record<string, unknown>): Promise<T> {
    const answer = nextLine()
    child.stdin.write(`${JSON.stringify(question)}\n`)
    const { ok, error } = JSON.parse(await answer) as { ok?: T; error?: string }
    if (error !== undefined) throw new Error(`the Python judge: ${error}`)
    return ok as T
  }

  await nextLine()
  return {
    connect: (uri, options = {}) => ask({ ask: 'connect', uri, ...options }),
    pyiceberg: (table, columns, snapshotId) =>
      ask({
        ask: 'pyiceberg',
        table,
        columns,
        ...(snapshotId === undefined ? {} : { snapshotId: String(snapshotId) }),
      }),
    duckdb: (table, columns, at = '') => ask({ ask: 'duckdb', table, columns, at }),
    filterByPyIceberg: (table, columns, filters) =>
      ask({ ask: 'pyiceberg', table, columns, filters }),
    filterByDuckDb: (table, columns, filters) =>
      ask({
        ask: 'duckdb',
        table,
        columns,
        filters: filters.map((filter) => filterSql('duckdb', filter)),
      }),
    python: (code) => ask({ ask: 'python', code }),
    async stop() {
      child.stdin.end()
      await gone
    },
  }
}
