/** Seconds and status of every request by route, and figures of the day cubes. */
import type { NextFunction, Request, Response } from 'express'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { ReadModel } from '../read-model/read-model.ts'
import type { ResponseCache } from '../response-cache.ts'
import type { SharedAnswers } from '../shared-answers.ts'

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
  const { gauge, counter } = measures(registry)
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

/** Only where answers are shared: without a store there is nothing that could be away. */
export function registerSharedMetrics(registry: Registry, shared: SharedAnswers): void {
  const { gauge, counter } = measures(registry)
  gauge('potok_api_shared_cache_up', '1 while the store of shared answers is connected', () =>
    shared.stats.isConnected ? 1 : 0,
  )
  counter(
    'potok_api_shared_cache_hits_total',
    'Answers that another process or an earlier one had made',
    () => shared.stats.hits,
  )
  counter(
    'potok_api_shared_cache_misses_total',
    'Answers made because the store had none, or was away',
    () => shared.stats.misses,
  )
  counter(
    'potok_api_shared_cache_failures_total',
    'Requests to the store that failed or took too long',
    () => shared.stats.failures,
  )
}

/** Figures that are looked up when somebody asks for them. */
function measures(registry: Registry) {
  const registers = [registry]
  return {
    gauge: (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value())
        },
      }),
    counter: (name: string, help: string, value: () => number) =>
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset()
          this.inc(value())
        },
      }),
  }
}
