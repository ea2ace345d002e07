/**
 * Two ways to write the same events as Parquet (docs/adr/0002), each in a process of its own: DuckDB's COPY
 * (what potok does), and apache-arrow with parquet-wasm. Then reading, and rollup rows.
 * `npm run bench -- parquet [--rows N]`
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { createDuckDbParquetReader } from '../adapters/duckdb/duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from '../adapters/duckdb/duckdb-parquet-writer.ts'
import { openDuckDb } from '../adapters/duckdb/instance.ts'
import { createLocalObjectStore } from '../adapters/object-store/local-object-store.ts'
import { eventsTable } from '../kernel/tables.ts'
import { writeByArrow } from './lib-arrow-parquet.ts'
import { eventBatch } from './lib-event-batch.ts'
import { machine, usageOf } from './lib-machine.ts'

const rounds = 5
const { values: flags } = parseArgs({
  options: { rows: { type: 'string', default: '300000' }, way: { type: 'string' } },
})
const rows = Number(flags.rows)

if (flags.way === undefined) {
  console.log(`${machine()}; ${rows} rows of events, best of ${rounds} rounds`)
  for (const way of ['duckdb', 'arrow']) {
    const script = process.argv[1] as string
    const text = execFileSync(process.execPath, [script, '--way', way, '--rows', String(rows)])
    process.stdout.write(text)
  }
} else {
  await measure(flags.way)
}

async function measure(way: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'potok-bench-'))
  const batch = eventBatch(rows)
  const { rssPeakMib: rssBeforeMib } = usageOf(process.pid)
  const store = createLocalObjectStore({ root: `file://${folder}` })
  const duckdb = await openDuckDb({
    memoryLimitBytes: 512 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'spill'),
  })
  const writer = createDuckDbParquetWriter({ store, duckdb })
  let path = ''
  const write = async (round: number): Promise<void> => {
    path = join(folder, `${round}.parquet`)
    if (way === 'arrow') writeByArrow(eventsTable, batch, path)
    else await writer.write(eventsTable, batch, () => `file://${path}`)
  }
  const written = await bestOf(write)
  report(`${way}: write`, written, [
    `${(statSync(path).size / rows).toFixed(1)} bytes a row`,
    `main thread held ${written.blockedMsMax.toFixed(0)} ms at a time`,
    `peak RSS ${usageOf(process.pid).rssPeakMib - rssBeforeMib} MiB above the batch's own ${rssBeforeMib} MiB`,
  ])
  if (way === 'duckdb') {
    const reader = createDuckDbParquetReader({ store, duckdb })
    const names = eventsTable.columns.map(({ name }) => name)
    const all = await bestOf(async () => {
      await reader.read(eventsTable, [`file://${path}`], names)
    })
    report('duckdb: read all columns', all, [])
    const camera = await bestOf(async () => {
      await reader.read(eventsTable, [`file://${path}`], names, { camera: 'KV10500' })
    })
    console.log(`duckdb: read one camera: ${camera.ms.toFixed(1)} ms`)
    await reader.close()
  }
  await writer.close()
  duckdb.close()
  rmSync(folder, { recursive: true })
}

type Measured = { ms: number; cpuSeconds: number; blockedMsMax: number }

async function bestOf(run: (round: number) => Promise<void>): Promise<Measured> {
  let best: Measured = { ms: Number.POSITIVE_INFINITY, cpuSeconds: 0, blockedMsMax: 0 }
  for (let round = 0; round < rounds; round++) {
    let lastMs = performance.now()
    let blockedMsMax = 0
    const beat = (): void => {
      blockedMsMax = Math.max(blockedMsMax, performance.now() - lastMs - 1)
      lastMs = performance.now()
    }
    const heart = setInterval(beat, 1)
    const cpu = process.cpuUsage()
    const start = performance.now()
    await run(round)
    const ms = performance.now() - start
    const { user, system } = process.cpuUsage(cpu)
    await new Promise((resolve) => setTimeout(resolve, 5))
    clearInterval(heart)
    if (ms < best.ms) best = { ms, cpuSeconds: (user + system) / 1e6, blockedMsMax }
  }
  return best
}

function report(name: string, { ms, cpuSeconds }: Measured, more: readonly string[]): void {
  const figures = [
    `${Math.round(rows / ms)} k rows/s`,
    `${((cpuSeconds / rows) * 1e6).toFixed(2)} CPU s per M rows`,
    ...more,
  ]
  console.log(`${name}: ${figures.join(', ')}`)
}
