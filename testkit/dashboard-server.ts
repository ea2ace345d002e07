/**
 * The real API and dashboard over tables in memory: some cameras, four days, of which two are sealed and one
 * has late events; an exact job that does what a test tells it to. For tests in a browser and for the bench.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { Registry } from 'prom-client'
import { type CameraFacts, mergeFacts, registerOf } from '../api/cameras/camera-facts.ts'
import type { CameraStore } from '../api/cameras/camera-store.ts'
import { createApiRouter } from '../api/create-api-router.ts'
import { createReadModel } from '../api/read-model/read-model.ts'
import { createResponseCache } from '../api/response-cache.ts'
import { PotokError } from '../kernel/errors.ts'
import type { Logger, ServiceHealth } from '../kernel/ports.ts'
import type { RecomputeQueue, RecomputeRequest, RecomputeRun } from '../kernel/recompute.ts'
import { tableProperties } from '../kernel/tables.ts'
import { dayOfUs, usPer5Minutes, usPerDay, usPerHour } from '../kernel/time.ts'
import { type FakeRollupRow, FakeTables } from './fake-tables.ts'

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }

export function createMemoryCameraStore(): CameraStore {
  let rows: CameraFacts[] = []
  return {
    register: async () => registerOf(rows),
    async importCameras(added) {
      const before = registerOf(rows)
      rows = mergeFacts(rows, added)
      const changed = [...new Set(added.map(({ kvfvId }) => kvfvId))].filter((id) => before.has(id))
      return { added: registerOf(rows).size - before.size, changed: changed.length }
    },
  }
}

/** Keeps requests; a test moves their runs on. */
export class FakeRecomputeQueue implements RecomputeQueue {
  readonly runs: RecomputeRun[] = []
  refusal: PotokError | null = null

  request(request: RecomputeRequest): RecomputeRun {
    if (this.refusal !== null) throw this.refusal
    const run: RecomputeRun = {
      runId: `run-${this.runs.length + 1}`,
      status: 'queued',
      request,
      requestedAtMs: 0,
      startedAtMs: null,
      finishedAtMs: null,
      days: [],
      daysDone: 0,
      cameraDays: 0,
      eventsRead: 0,
      rowsWritten: 0,
      seconds: null,
      sealedUntilUs: null,
      message: null,
    }
    this.runs.unshift(run)
    return run
  }

  update(runId: string, change: Partial<RecomputeRun>): void {
    const index = this.runs.findIndex((run) => run.runId === runId)
    this.runs[index] = { ...(this.runs[index] as RecomputeRun), ...change }
  }

  get(runId: string): RecomputeRun | null {
    return this.runs.find((run) => run.runId === runId) ?? null
  }

  list(): readonly RecomputeRun[] {
    return this.runs
  }

  plan(): Promise<RecomputeRun> {
    return Promise.reject(new PotokError('Unsupported', 'this queue plans nothing'))
  }
}

export const firstDayUs = Date.UTC(2025, 3, 3) * 1_000
export const lateCamera = 'KV10003'

/** Rush hours by sine, a few vehicles a window; deterministic. */
export function rowOf(
  camera: string,
  startUs: number,
  exact?: { revision: number },
): FakeRollupRow {
  const index = Number(camera.slice(-3))
  const hour = (startUs % usPerDay) / usPerHour
  const rush = Math.exp(-((hour - 8) ** 2) / 3) + Math.exp(-((hour - 17.5) ** 2) / 4)
  const wave = Math.sin(startUs / usPer5Minutes + index)
  const mean = 78 - 38 * rush + 4 * wave + (index % 7)
  const count = Math.max(1, Math.round(2 + 8 * rush + 2 * wave))
  const speedsKmh = Array.from({ length: count }, (_, i) => mean + ((i * 7 + index) % 13) - 6)
  return { camera, startUs, speedsKmh, ...(exact === undefined ? {} : exact) }
}

export type DashboardServer = {
  readonly url: string
  readonly tables: FakeTables
  readonly queue: FakeRecomputeQueue
  readonly cameras: CameraStore
  readonly health: Record<string, ServiceHealth>
  readonly refresh: () => Promise<void>
  close(): Promise<void>
}

export async function startDashboardServer(options: {
  cameraCount: number
  pollMs?: number
}): Promise<DashboardServer> {
  const tables = new FakeTables()
  const nowUs = firstDayUs + 3 * usPerDay + 16.4 * usPerHour
  tables.nowMs = nowUs / 1_000
  fill(tables, options.cameraCount, nowUs)
  const queue = new FakeRecomputeQueue()
  const cameras = createMemoryCameraStore()
  await cameras.importCameras(registered)
  const health: Record<string, ServiceHealth> = { writer: { ok: true, details: {} } }
  const clock = { nowMs: () => tables.nowMs }
  const model = createReadModel(
    {
      catalog: tables.catalog,
      scanner: tables.scanner,
      parquetReader: tables.reader,
      clock,
      logger: silentLogger,
    },
    {
      cubeCacheBytesMax: 256 * 1024 * 1024,
      allowedLatenessUs: 3 * usPerHour,
      pollMs: options.pollMs ?? 100,
      logPartitionCount: null,
    },
  )
  const router = createApiRouter({
    ports: {
      clock,
      logger: silentLogger,
      registry: new Registry(),
      recompute: queue,
      logRanges: async () => [{ logPartition: 0, startOffset: 0, endOffset: 1_234_567 }],
      health: () => ({ ...health, api: model.health() }),
    },
    config: { version: 'test', cubeCacheBytesMax: 256 * 1024 * 1024 },
    model,
    cameras,
    responses: createResponseCache(64 * 1024 * 1024),
    shared: null,
  })
  const app = express()
  app.disable('x-powered-by')
  app.use(router)
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await model.start()
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tables,
    queue,
    cameras,
    health,
    refresh: () => model.refresh(),
    async close() {
      await model.stop(1_000)
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const noFacts = {
  latitude: null,
  longitude: null,
  speedLimit: null,
  validFromUs: null,
  timeZone: null,
  lanes: null,
}
const registered: readonly CameraFacts[] = [
  { ...noFacts, kvfvId: 'KV10000', name: 'Северный мост', road: 'М-7, 12 км' },
  { ...noFacts, kvfvId: 'KV10001', name: 'Ring road, east', road: 'A-107' },
  { ...noFacts, kvfvId: 'KV10003', name: 'Harbour tunnel', road: 'E 95' },
  { ...noFacts, kvfvId: 'KV99999', name: 'Not yet connected', road: 'A-130' },
]

function fill(tables: FakeTables, cameraCount: number, nowUs: number): void {
  const cameras = Array.from({ length: cameraCount }, (_, i) => `KV1${String(i).padStart(4, '0')}`)
  const sealedUntilUs = firstDayUs + 3 * usPerDay + 9 * usPerHour
  const exact: FakeRollupRow[] = []
  const provisional: FakeRollupRow[] = []
  for (const [index, camera] of cameras.entries()) {
    // One camera of ten fell silent some hours ago, another one a day ago.
    const endUs = nowUs - (index % 10 === 4 ? 5 * usPerHour : index % 10 === 7 ? usPerDay : 0)
    for (let startUs = firstDayUs; startUs < endUs; startUs += usPer5Minutes) {
      const hour = (startUs % usPerDay) / usPerHour
      if (hour >= 2 && hour < 3.5) continue
      if (startUs < sealedUntilUs) exact.push(rowOf(camera, startUs, { revision: 1 }))
      else provisional.push(rowOf(camera, startUs))
    }
  }
  const sequence = tables.appendEvents(firstDayUs, cameras)
  const days = [0, 1, 2, 3].map((day) => dayOfUs(firstDayUs) + day)
  tables.replaceRollupDays(days, exact, {
    [tableProperties.sealedUntil]: String(sealedUntilUs),
    [tableProperties.exactSequence]: String(sequence),
  })
  tables.appendRollup(provisional)
  tables.setPositions([{ nextOffset: 1_234_500, eventTimeUsMax: nowUs }])
}
