/**
 * The writer alone: a filled embedded log into `events` and `rejected_events`, with the catalog in process
 * and DuckDB's Parquet. Each phase is a process of its own, so that CPU and peak memory are the writer's.
 * `npm run bench -- writer --events 10000000 --cameras 1000`; `--decode` adds decoding to columns alone.
 */
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { createDuckDbParquetWriter } from '../adapters/duckdb/duckdb-parquet-writer.ts'
import { openDuckDb } from '../adapters/duckdb/instance.ts'
import { createLmdbEventLog } from '../adapters/event-log/lmdb-event-log.ts'
import { createLocalObjectStore } from '../adapters/object-store/local-object-store.ts'
import { createLocalRootObject } from '../adapters/object-store/local-root-object.ts'
import { randomIds } from '../adapters/system/random-ids.ts'
import { systemClock } from '../adapters/system/system-clock.ts'
import { createCatalogService } from '../catalog/catalog-service.ts'
import { createManifestCache } from '../iceberg/scan/plan-files.ts'
import { partitionSpecOf, schemaOf, sortOrderOf } from '../iceberg/spec/from-definition.ts'
import { createEventsProcessor } from '../ingest/writer/events-processor.ts'
import { createWriter, defaultWriterConfig } from '../ingest/writer/writer.ts'
import { createDetectionDecoder } from '../kernel/decode-detection.ts'
import { createEventIdHasher } from '../kernel/event-id.ts'
import { logPartitionOf } from '../kernel/partitioner.ts'
import type { EventLog, Logger, LogRecord } from '../kernel/ports.ts'
import { eventsTable, namespaceName, rejectedEventsTable } from '../kernel/tables.ts'
import { machine, usageOf } from './lib-machine.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '10000000' },
    cameras: { type: 'string', default: '1000' },
    partitions: { type: 'string', default: '8' },
    commitRows: { type: 'string', default: String(defaultWriterConfig.commitRowsMax) },
    /** Share of events that come up to five days late, in per cent. */
    late: { type: 'string', default: '1' },
    decode: { type: 'boolean', default: false },
    phase: { type: 'string' },
    folder: { type: 'string' },
  },
})
const events = Number(values.events)
const cameras = Number(values.cameras)
const partitions = Number(values.partitions)
const late = Number(values.late) / 100
const valueBytes = 180
const warnings: Logger = {
  debug() {},
  info() {},
  warn: (fields, message) => console.error(message, fields),
  error: (fields, message) => console.error(message, fields),
}

function openLog(folder: string): EventLog {
  return createLmdbEventLog({
    directory: join(folder, 'log'),
    partitionCount: partitions,
    sizeBytesMax: 64 * 1024 ** 3,
    retentionMs: 7 * 86_400_000,
    clock: systemClock,
    ids: randomIds,
    logger: warnings,
  })
}

async function fill(folder: string): Promise<void> {
  const log = openLog(folder)
  const encoder = new TextEncoder()
  const startMs = Date.now() - 20 * 3_600_000
  const perAppend = 20_000
  for (let from = 0; from < events; from += perAppend) {
    const records: LogRecord[] = []
    for (let i = from; i < Math.min(events, from + perAppend); i++) {
      const id = `KV${10_000 + ((i * 7_919) % cameras)}`
      const speed = (20 + ((i * 31) % 90_000) / 1_000).toFixed(3)
      const onTimeMs = startMs + (i / events) * 20 * 3_600_000
      const isLate = (i * 2_654_435_761) % 10_000 < late * 10_000
      const timeMs = onTimeMs - (isLate ? (i * 40_503) % 432_000_000 : (i * 7) % 5_000)
      const head = `{"kvfv_id":"${id}","timestamp":"${new Date(timeMs).toISOString()}","vehicle_speed":${speed},"plate_number":"А${i.toString(36)}77","lane":${(i % 4) + 1},"direction":"N","note":"`
      records.push({
        logPartition: logPartitionOf(encoder.encode(id), partitions),
        kind: 0,
        receivedAtUs: Math.round(onTimeMs * 1_000),
        key: null,
        eventId: null,
        value: encoder.encode(`${head.padEnd(valueBytes - 3, 'x')}"}`),
      })
    }
    await log.append(records)
  }
  await log.close()
}

async function write(folder: string): Promise<void> {
  const warehouse = join(folder, 'warehouse')
  const location = pathToFileURL(warehouse).href
  const store = createLocalObjectStore({ root: warehouse })
  const ports = { store, clock: systemClock, ids: randomIds, logger: warnings }
  const root = createLocalRootObject({ directory: join(warehouse, '.catalog') })
  const catalog = createCatalogService({ ...ports, root, warehouseLocation: location })
  await catalog.createNamespace([namespaceName])
  for (const definition of [eventsTable, rejectedEventsTable]) {
    await catalog.createTable({
      identifier: { namespace: [namespaceName], name: definition.name },
      schema: schemaOf(definition),
      partitionSpec: partitionSpecOf(definition),
      sortOrder: sortOrderOf(definition),
    })
  }
  const duckdb = await openDuckDb({
    memoryLimitBytes: 512 * 1024 ** 2,
    threads: 1,
    tempDirectory: join(folder, 'scratch'),
  })
  const log = openLog(folder)
  const writer = createWriter(
    {
      ...ports,
      log,
      catalog,
      manifests: createManifestCache(store, 64 * 1024 ** 2),
      parquet: createDuckDbParquetWriter({ store, duckdb }),
      hashEventId: createEventIdHasher(null),
    },
    { ...defaultWriterConfig, commitRowsMax: Number(values.commitRows) },
  )
  const before = usageOf(process.pid)
  const startedMs = performance.now()
  await writer.start()
  while (writer.status().rowsCommitted < events) {
    await sleep(20)
    const { ok, reason } = writer.health()
    if (!ok && writer.status().state === 'halted') throw new Error(reason)
  }
  const seconds = (performance.now() - startedMs) / 1_000
  const after = usageOf(process.pid)
  const status = writer.status()
  await writer.stop(10_000)
  duckdb.close()
  await log.close()
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds
  console.log(
    JSON.stringify({
      events,
      cameras,
      seconds: round(seconds),
      eventsPerSecond: Math.round(events / seconds),
      cpuSecondsPerMillion: round((cpuSeconds / events) * 1e6),
      rssPeakMib: after.rssPeakMib,
      commits: status.commits,
      files: status.filesCommitted,
      lastCommitMs: status.lastCommitMs,
      machine: machine(),
    }),
  )
}

/** Decoding to columns on one thread, without Parquet: the writer's share of the main thread. */
async function decode(folder: string): Promise<void> {
  const log = openLog(folder)
  const reader = await log.openReader({ group: 'bench-decode' })
  for (const { logPartition, startOffset } of await log.ranges()) {
    await reader.seek(logPartition, startOffset)
  }
  const processor = createEventsProcessor({
    parquet: { write: async () => [], close: async () => {} },
    ids: randomIds,
    clock: systemClock,
    decoder: createDetectionDecoder(undefined, { lazyTexts: true }),
    hashEventId: createEventIdHasher(null),
  })
  const state = { snapshotId: null, properties: {}, positions: new Map(), tables: [] }
  processor.begin(state)
  const { signal } = new AbortController()
  let count = 0
  let addMs = 0
  let readMs = 0
  while (count < events) {
    const pollMs = performance.now()
    const blocks = await reader.poll({ maxWaitMs: 100, maxBytes: 4 * 1024 ** 2, signal })
    const startMs = performance.now()
    readMs += startMs - pollMs
    for (const block of blocks) {
      count += block.count
      if (processor.add(block).rows >= defaultWriterConfig.commitRowsMax)
        processor.take().committed()
    }
    addMs += performance.now() - startMs
  }
  await log.close()
  console.log(
    JSON.stringify({
      decodedPerSecond: Math.round((count / addMs) * 1_000),
      readPerSecond: Math.round((count / readMs) * 1_000),
    }),
  )
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

async function runPhase(phase: string, folder: string): Promise<void> {
  const flags = Object.entries(values).flatMap(([name, value]) =>
    typeof value === 'string' && name !== 'phase' && name !== 'folder' ? [`--${name}`, value] : [],
  )
  const child = fork(import.meta.filename, [...flags, '--phase', phase, '--folder', folder], {
    stdio: 'inherit',
  })
  const code = await new Promise((resolve) => child.once('exit', resolve))
  if (code !== 0) throw new Error(`phase ${phase} ended with ${String(code)}`)
}

if (values.phase === undefined) {
  const folder = mkdtempSync(join(tmpdir(), 'potok-bench-writer-'))
  try {
    await runPhase('fill', folder)
    if (values.decode) await runPhase('decode', folder)
    await runPhase('write', folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
} else {
  const phases: Record<string, (folder: string) => Promise<void>> = { fill, write, decode }
  const phase = phases[values.phase]
  if (phase === undefined || values.folder === undefined) throw new Error('no such phase')
  await phase(values.folder)
}
