/** State of the pipeline, health, metrics, and the contract itself. */
import type { Request, Response } from 'express'
import { formatDay, formatUs } from '../../kernel/time.ts'
import type { LogRange, ServiceHealth } from '../../kernel/ports.ts'
import { PotokError } from '../../kernel/errors.ts'
import { openApiDocument } from '../contract/openapi.ts'
import type { StatusAnswer } from '../contract/schemas.ts'
import { newestWatermarkUs, type ModelState, type SinkState } from '../read-model/read-model.ts'
import { type ApiContext, type Handlers, sendJson, sendProblem } from './context.ts'
import { formatMsOrNull, formatUsOrNull } from './exactness.ts'

export function operationHandlers(context: ApiContext): Handlers {
  const { model, cameras, ports, config } = context
  const openApi = JSON.stringify(openApiDocument(config.version))

  async function getStatus(_request: Request, response: Response): Promise<void> {
    const [ranges, register] = await Promise.all([logRanges(), cameras.register()])
    const { state } = model
    const nowMs = ports.clock.nowMs()
    const services = ports.health()
    const runs = ports.recompute?.list() ?? []
    const { bytes, entries } = model.cacheStats()
    const answer: StatusAnswer = {
      as_of: formatUs(state.asOfMs * 1_000),
      now: formatUs(nowMs * 1_000),
      ready: Object.values(services).every(({ ok }) => ok),
      services: Object.fromEntries(
        Object.entries(services).map(([name, h]) => [name, wireHealth(h)]),
      ),
      sinks: state.sinks.map((sink) => wireSink(sink, state, ranges, nowMs)),
      watermark: formatUsOrNull(newestWatermarkUs(state)),
      sealed_until: formatUsOrNull(state.exactness.sealedUntilUs),
      dirty_days: [...state.dirty]
        .sort(([a], [b]) => b - a)
        .map(([day, dirty]) => ({ day: formatDay(day), cameras: dirty.cameras?.size ?? null })),
      cameras: { with_data: model.cameras.cameras.size, registered: register.size },
      recompute: {
        available: ports.recompute !== null,
        running: runs.filter(({ status }) => status === 'running').length,
        queued: runs.filter(({ status }) => status === 'queued').length,
      },
      cache: { bytes, bytes_max: config.cubeCacheBytesMax, entries },
    }
    response.set('Cache-Control', 'no-store')
    sendJson(response, 200, answer)
  }

  /** A status must come also while the log is unwell: then lag is unknown, and health says why. */
  async function logRanges(): Promise<readonly LogRange[] | null> {
    try {
      return (await ports.logRanges?.()) ?? null
    } catch (error) {
      ports.logger.warn({ error }, 'the ends of the log could not be read')
      return null
    }
  }

  function getReadiness(_request: Request, response: Response): void {
    response.set('Cache-Control', 'no-store')
    const services = Object.entries(ports.health())
    const failing = services.filter(([, { ok }]) => !ok)
    if (failing.length === 0) {
      sendJson(response, 200, { status: 'ready', services: services.map(([name]) => name) })
      return
    }
    const reasons = Object.fromEntries(
      failing.map(([name, { reason }]) => [name, reason ?? 'not ok']),
    )
    const text = Object.entries(reasons).map(([name, reason]) => `${name}: ${reason}`)
    sendProblem(response, new PotokError('Unavailable', text.join('; ')), {
      title: 'Not ready',
      members: { services: reasons },
    })
  }

  async function getMetrics(_request: Request, response: Response): Promise<void> {
    const text = await ports.registry.metrics()
    response.status(200).set('Content-Type', ports.registry.contentType).send(text)
  }

  function getOpenApi(_request: Request, response: Response): void {
    response.set('Cache-Control', 'no-cache').status(200).type('application/json').send(openApi)
  }

  return { getStatus, getHealth, getReadiness, getMetrics, getOpenApi }
}

function wireHealth(health: ServiceHealth): StatusAnswer['services'][string] {
  return { ok: health.ok, reason: health.reason ?? null, details: { ...health.details } }
}

function wireSink(
  sink: SinkState,
  state: ModelState,
  ranges: readonly LogRange[] | null,
  nowMs: number,
): StatusAnswer['sinks'][number] {
  const ends = ranges === null ? null : new Map(ranges.map((r) => [r.logPartition, r.endOffset]))
  const logPartitions = new Set([...sink.positions.keys(), ...(ends?.keys() ?? [])])
  const partitions = [...logPartitions]
    .sort((a, b) => a - b)
    .map((logPartition) => {
      const position = sink.positions.get(logPartition)
      const nextOffset = position?.nextOffset ?? 0
      const end = ends?.get(logPartition) ?? null
      return {
        log_partition: logPartition,
        log_epoch: position?.logEpoch ?? 0,
        position: nextOffset,
        log_end: end,
        lag: end === null ? null : Math.max(0, end - nextOffset),
        watermark: formatUsOrNull(state.watermarksUs.get(logPartition) ?? null),
      }
    })
  const { lastCommitMs } = sink
  return {
    table: sink.table,
    snapshot_id: sink.snapshotId?.toString() ?? null,
    last_commit_at: formatMsOrNull(lastCommitMs),
    last_commit_age_seconds:
      lastCommitMs === null ? null : Math.max(0, Math.round((nowMs - lastCommitMs) / 1_000)),
    lag: ends === null ? null : partitions.reduce((sum, { lag }) => sum + (lag ?? 0), 0),
    partitions,
  }
}

function getHealth(_request: Request, response: Response): void {
  response.set('Cache-Control', 'no-store')
  sendJson(response, 200, { status: 'ok' })
}
