/**
 * What the embedded log takes and gives, with events as the gateway appends them.
 *
 *   node bench/log.ts [--seconds N] [--directory DIR]
 *
 * Prints events/s and CPU of this process (all threads) for: paced batches, as fast as it goes, single-event
 * requests, and reading everything back. The figures in docs/performance.md come from here.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createLmdbEventLog, type LmdbEventLog } from '../adapters/event-log/lmdb-event-log.ts'
import type { LogRecord } from '../kernel/ports.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    directory: { type: 'string', default: tmpdir() },
  },
})
const seconds = Number(values.seconds)
const directory = mkdtempSync(join(values.directory, 'potok-bench-log-'))
const partitionCount = 8
const encoder = new TextEncoder()

/** 64 camera-ish values of about 190 bytes; made once, so that the log alone is measured. */
const lines = Array.from({ length: 64 }, (_, i) =>
  encoder.encode(
    JSON.stringify({
      kvfv_id: `KV${10_000 + i}`,
      timestamp: `2025-04-05T10:15:${String(i % 60).padStart(2, '0')}.123Z`,
      vehicle_speed: 60 + i / 10,
      plate_number: `А${100 + i}БВ68`,
      event_id: `0197e6b0-7c1f-7d3a-9d51-${String(i).padStart(12, '0')}`,
      lane: i % 4,
      vehicle_class: 'car',
    }),
  ),
)

function request(count: number, n: number): LogRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    logPartition: (n + i) % partitionCount,
    kind: 0,
    receivedAtUs: Date.now() * 1_000,
    key: null,
    eventId: null,
    value: lines[(n + i) % lines.length] as Uint8Array,
  }))
}

type Outcome = { events: number; seconds: number; cores: number; p50Ms: number; p99Ms: number }

/** `perSecond` requests of `count` events each; infinite: `inFlight` at a time as fast as it goes. */
async function append(
  log: LmdbEventLog,
  count: number,
  perSecond: number,
  inFlight: number,
): Promise<Outcome> {
  const latencies: number[] = []
  const cpu = process.cpuUsage()
  const begunAt = performance.now()
  let sent = 0
  const one = async (): Promise<void> => {
    while (performance.now() - begunAt < seconds * 1_000) {
      const n = sent++
      const due = begunAt + (n / perSecond) * 1_000
      const waitMs = due - performance.now()
      if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs))
      const at = performance.now()
      await log.append(request(count, n))
      latencies.push(performance.now() - at)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, one))
  return outcome(latencies.length * count, begunAt, cpu, latencies)
}

function outcome(
  events: number,
  begunAt: number,
  cpu: NodeJS.CpuUsage,
  latencies: number[],
): Outcome {
  const tookMs = performance.now() - begunAt
  const used = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0
  return {
    events,
    seconds: tookMs / 1_000,
    cores: (used.user + used.system) / 1_000 / tookMs,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  }
}

function print(name: string, { events, seconds, cores, p50Ms, p99Ms }: Outcome): void {
  console.log(
    `${name.padEnd(46)} ${Math.round(events / seconds).toLocaleString('en')} events/s, ` +
      `${cores.toFixed(2)} cores, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`,
  )
}

async function readBack(log: LmdbEventLog): Promise<Outcome> {
  const reader = await log.openReader({ group: 'bench' })
  for (const { logPartition } of await log.ranges()) await reader.seek(logPartition, 0)
  const signal = new AbortController().signal
  const cpu = process.cpuUsage()
  const begunAt = performance.now()
  const latencies: number[] = []
  let events = 0
  for (;;) {
    const at = performance.now()
    const blocks = await reader.poll({ maxWaitMs: 0, maxBytes: 8 * 1024 * 1024, signal })
    if (blocks.length === 0) break
    latencies.push(performance.now() - at)
    for (const block of blocks) events += block.count
  }
  return outcome(events, begunAt, cpu, latencies)
}

const log = createLmdbEventLog({
  directory,
  partitionCount,
  sizeBytesMax: 20e9,
  retentionMs: 86_400_000,
  clock: { nowMs: () => Date.now() },
  ids: { uuid: () => crypto.randomUUID(), snapshotId: () => 1n },
  logger: { debug() {}, info() {}, warn() {}, error() {} },
})
try {
  print('100,000/s in requests of 500', await append(log, 500, 200, 32))
  print('100,000/s in requests of 1,000', await append(log, 1_000, 100, 32))
  print('requests of 1,000, 16 at a time', await append(log, 1_000, Number.POSITIVE_INFINITY, 16))
  print('single events, 10,000/s', await append(log, 1, 10_000, 256))
  print('single events, 256 at a time', await append(log, 1, Number.POSITIVE_INFINITY, 256))
  print('reading all of it', await readBack(log))
  const memory = process.memoryUsage()
  console.log(`memory ${Math.round(memory.rss / 2 ** 20)} MiB (file pages included)`)
} finally {
  await log.close()
  rmSync(directory, { recursive: true })
}
