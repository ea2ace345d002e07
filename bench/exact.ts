/**
 * One day of 10 M events and 1,000 cameras made exact: potok's whole run (pin, plan, compute, commit) against
 * the same aggregation as a plain DuckDB query on the same files, each in a process of its own.
 *
 *   node bench/exact.ts [--events 10000000] [--cameras 1000] [--files 1] [--memory-mib 2048] [--rounds 2] [--dir DIR]
 *
 * Prints one JSON line per measurement: wall and CPU seconds, peak resident memory. The input is made once
 * per DIR. Then what late data costs: 1 % of the cameras dirty on that day.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { fieldIdsOption } from '../adapters/duckdb/column-types.ts'
import { openDuckDb, sqlText } from '../adapters/duckdb/instance.ts'
import { eventsTable } from '../kernel/tables.ts'
import { startOfDayUs, usPerDay, usPerHour } from '../kernel/time.ts'
import { runRecompute } from '../rollups/recompute/run-recompute.ts'
import { createExactWorld } from '../testkit/exact-world.ts'

const day = 20_183
const dayText = '2025-04-05'
const mib = 1024 * 1024

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '10000000' },
    cameras: { type: 'string', default: '1000' },
    files: { type: 'string', default: '1' },
    'memory-mib': { type: 'string', default: '2048' },
    rounds: { type: 'string', default: '2' },
    dir: { type: 'string', default: join(tmpdir(), 'potok-bench-exact') },
    role: { type: 'string', default: 'all' },
  },
})
const events = Number(values.events)
const cameras = Number(values.cameras)
const fileCount = Number(values.files)
const memoryLimitBytes = Number(values['memory-mib']) * mib
const input = join(values.dir, `${events}-${cameras}-${fileCount}`)

function eventFiles(): string[] {
  return readdirSync(input)
    .filter((name) => name.endsWith('.parquet'))
    .sort()
    .map((name) => join(input, name))
}

/** Normally distributed speeds, 1 % of the detections sent twice, files cut by time of arrival. */
async function makeInput(): Promise<void> {
  if (existsSync(input)) return
  const making = `${input}.making`
  rmSync(making, { recursive: true, force: true })
  mkdirSync(making, { recursive: true })
  const duckdb = await openDuckDb({
    memoryLimitBytes: 4096 * mib,
    threads: 2,
    tempDirectory: join(values.dir, 'spill'),
  })
  const connection = await duckdb.connect()
  const originals = Math.floor(events * 0.99)
  await connection.run('SELECT setseed(0.5)')
  await connection.run(`CREATE TEMP TABLE detections AS SELECT i,
      'KV' || lpad((i % ${cameras})::VARCHAR, 5, '0') AS kvfv_id,
      CAST(TIMESTAMP '${dayText}' + to_microseconds(CAST(random() * ${usPerDay - 1} AS BIGINT)) AS TIMESTAMPTZ) AS event_time,
      round(least(200, greatest(0, 60 + 15 * sqrt(-2 * ln(random() + 1e-12)) * cos(2 * pi() * random()))), 1) AS vehicle_speed,
      gen_random_uuid() AS event_id FROM range(${originals}) t(i)`)
  for (let part = 0; part < fileCount; part++) {
    await connection.run(`COPY (
      SELECT event_id, kvfv_id, event_time, vehicle_speed,
        'A' || (hash(i) % 1000) || 'BC' || (hash(i) % 97) AS plate_number, NULL::VARCHAR AS attributes,
        event_time + to_microseconds(CAST(hash(i) % 60000000 AS BIGINT)) AS received_at,
        0::INTEGER AS log_epoch, CAST(i % ${cameras} % 8 AS INTEGER) AS log_partition, log_offset
      FROM (SELECT *, i AS log_offset FROM detections
            UNION ALL SELECT *, ${originals} + i AS log_offset FROM detections WHERE i < ${events - originals})
      WHERE CAST(epoch_us(event_time) // ${usPerDay / 86_400} % 86400 * ${fileCount} // 86400 AS INTEGER) = ${part}
      ORDER BY kvfv_id, event_time
    ) TO ${sqlText(join(making, `${String(part).padStart(5, '0')}.parquet`))} (
      FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, ROW_GROUP_SIZE 16384,
      FIELD_IDS ${fieldIdsOption(eventsTable.columns)})`)
  }
  connection.closeSync()
  duckdb.close()
  spawnSync('mv', [making, input])
}

/** What somebody who knows DuckDB would write. */
async function plainQuery(): Promise<object> {
  const duckdb = await openDuckDb({
    memoryLimitBytes,
    threads: 2,
    tempDirectory: join(values.dir, 'spill'),
  })
  const connection = await duckdb.connect()
  const out = join(values.dir, 'plain')
  mkdirSync(out, { recursive: true })
  const files = eventFiles().map(sqlText).join(', ')
  const startedMs = performance.now()
  // Any of the duplicates counts, not the first of the log: cheaper than what potok promises.
  await connection.run(`CREATE TEMP TABLE detections AS
    SELECT kvfv_id, count(*) - 1 AS duplicates, any_value(epoch_us(event_time)) AS t,
      any_value(CAST(round(vehicle_speed * 1000) AS BIGINT)) AS v,
      any_value(epoch_us(received_at) - epoch_us(event_time) > 10800000000) AS late
    FROM read_parquet([${files}]) GROUP BY kvfv_id, event_id`)
  for (const [name, us] of [
    ['5m', usPerHour / 12],
    ['1h', usPerHour],
    ['1d', usPerDay],
  ] as const) {
    await connection.run(`COPY (
      SELECT kvfv_id, make_timestamp(t // ${us} * ${us})::TIMESTAMPTZ AS window_start,
        count(*) AS event_count, sum(v)::BIGINT AS speed_sum_milli, sum(v * v)::BIGINT AS speed_sum_sq_milli,
        sum(CASE WHEN v < 1000 THEN 0 ELSE (3600000000000 + v // 2) // v END)::BIGINT AS pace_sum,
        count_if(v < 1000) AS standing_count, min(v) AS speed_min_milli, max(v) AS speed_max_milli,
        count_if(late) AS late_count, histogram((v // 1000)::INTEGER)::MAP(INTEGER, BIGINT) AS speed_histogram,
        quantile_disc(v, 0.5) AS median_milli, quantile_disc(v, 0.85) AS p85_milli,
        sum(duplicates)::BIGINT AS duplicate_count
      FROM detections GROUP BY ALL ORDER BY kvfv_id, window_start
    ) TO ${sqlText(join(out, `${name}.parquet`))} (FORMAT parquet, COMPRESSION zstd)`)
  }
  const seconds = (performance.now() - startedMs) / 1_000
  connection.closeSync()
  duckdb.close()
  return { seconds }
}

async function potokRun(): Promise<object> {
  const world = await createExactWorld({
    nowUs: startOfDayUs(day + 1) + 4 * usPerHour,
    memoryLimitBytes,
    threads: 2,
  })
  const folder = join(fileURLToPath(world.locationOfWarehouse()), 'input')
  mkdirSync(folder)
  await world.addEventFiles(eventFiles().map((path) => adopt(path, folder)))
  const run = async (request: { cameras?: string[]; force?: boolean }) => {
    const startedMs = performance.now()
    const cpuBefore = process.cpuUsage()
    const outcome = await runRecompute(world.ports, world.config, {
      runId: world.ports.ids.uuid(),
      request: {
        fromDay: null,
        toDay: null,
        cameras: request.cameras ?? null,
        force: request.force ?? false,
        trigger: 'cli',
      },
      requestedAtMs: 0,
      startedAtMs: 0,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    })
    const cpu = process.cpuUsage(cpuBefore)
    return {
      seconds: (performance.now() - startedMs) / 1_000,
      cpu: (cpu.user + cpu.system) / 1e6,
      status: outcome.status,
      events: outcome.eventsRead,
      rows: outcome.rowsWritten,
      cameras: outcome.cameraDays,
    }
  }
  const whole = await run({})
  const peakMib = Math.round(process.resourceUsage().maxRSS / 1024)
  const step = Math.max(1, Math.floor(cameras / Math.max(1, Math.floor(cameras / 100))))
  const few: string[] = []
  for (let i = 0; i < cameras; i += step) few.push(`KV${String(i).padStart(5, '0')}`)
  const percent = await run({ cameras: few, force: true })
  await world.close()
  return { ...whole, peakMib, onePercent: percent }
}

/** A hard link: nothing of the input is moved or changed. */
function adopt(path: string, folder: string) {
  const target = join(folder, path.slice(input.length + 1))
  linkSync(path, target)
  return {
    location: pathToFileURL(target).href,
    partitionDay: day,
    recordCount: events / fileCount,
    fileSizeBytes: statSync(target).size,
    columns: [],
  }
}

async function measure(role: 'plain' | 'potok'): Promise<void> {
  const result = role === 'plain' ? await plainQuery() : await potokRun()
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  const cpu = (userCPUTime + systemCPUTime) / 1e6
  console.log(
    JSON.stringify({ role, cpu, peakMib: Math.round(maxRSS / 1024), ...result }, (_key, value) =>
      typeof value === 'number' ? Math.round(value * 100) / 100 : (value as unknown),
    ),
  )
}

if (values.role === 'plain' || values.role === 'potok') {
  await measure(values.role)
} else {
  await makeInput()
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const role of ['plain', 'potok']) {
      spawnSync(process.execPath, [...process.argv.slice(1), '--role', role], { stdio: 'inherit' })
    }
  }
}
