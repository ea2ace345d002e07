/** Seconds and status of every request by route, and figures of the day cubes. */
import type { NextFunction, Request, Response } from 'express'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { ReadModel } from '../read-model/read-model.ts'
import type { ResponseCache } from '../response-cache.ts'

export function createRequestMetrics(registry: Registry) {
  const seconds = new Histogram({
    name: 'potok_api_request_seconds',
    help: 'Time to answer a request, by route and status',
    labelNames: ['route', 'status'],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2, 10],
    registers: [registry],
  })
  return (route: string) => (_request: Request, response: Response, next: NextFunction) => {
    const startedMs = performance.now()
    response.once('finish', () => {
      seconds.observe(
        { route, status: String(response.statusCode) },
        (performance.now() - startedMs) / 1_000,
      )
    })
    next()
  }
}

export function registerModelMetrics(
  registry: Registry,
  model: ReadModel,
  responses: ResponseCache,
): void {
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value())
      },
    })
  gauge('potok_api_cache_bytes', 'Day cubes in memory, bytes', () => model.cacheStats().bytes)
  gauge(
    'potok_api_cache_entries',
    'Day cubes and single camera days in memory',
    () => model.cacheStats().entries,
  )
  gauge('potok_api_cameras', 'Cameras with data', () => model.cameras.cameras.size)
  gauge(
    'potok_api_dirty_days',
    'Sealed days for which newer late events wait',
    () => model.state.dirty.size,
  )
  gauge(
    'potok_api_refresh_age_seconds',
    'Seconds since the averages were last in step with the tables',
    () => {
      const ageMs = model.health().details['refresh_age_ms']
      return typeof ageMs === 'number' ? ageMs / 1_000 : Number.NaN
    },
  )
  const counter = (name: string, help: string, value: () => number) =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(value())
      },
    })
  counter('potok_api_cache_hits_total', 'Answers from memory alone', () => model.cacheStats().hits)
  counter('potok_api_cache_reads_total', 'Reads of data files', () => model.cacheStats().loads)
  counter(
    'potok_api_cache_evictions_total',
    'Cubes let go for want of room',
    () => model.cacheStats().evictions,
  )
  gauge('potok_api_response_cache_bytes', 'Memory of rendered answers', () => responses.stats.bytes)
  counter(
    'potok_api_response_cache_hits_total',
    'Answers of avg-speed that were there rendered',
    () => responses.stats.hits,
  )
  counter(
    'potok_api_response_cache_misses_total',
    'Answers of avg-speed rendered anew',
    () => responses.stats.misses,
  )
}
