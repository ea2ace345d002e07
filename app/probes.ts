/** Health and metrics of a process that serves no API: what a supervisor and Prometheus ask. */
import express, { type Router } from 'express'
import type { Registry } from 'prom-client'
import type { ServiceHealth } from '../kernel/ports.ts'

export function createProbesRouter(
  registry: Registry,
  health: () => Readonly<Record<string, ServiceHealth>>,
): Router {
  const router = express.Router()
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' })
  })
  router.get('/readyz', (_request, response) => {
    const states = Object.entries(health())
    const ill = states.filter(([, { ok }]) => !ok)
    if (ill.length === 0) {
      response.json({ status: 'ready', services: states.map(([name]) => name) })
      return
    }
    const reasons = ill.map(([name, { reason }]) => `${name}: ${reason ?? 'not ok'}`)
    response
      .status(503)
      .type('application/problem+json')
      .send({ type: 'about:blank', title: 'Not ready', status: 503, detail: reasons.join('; ') })
  })
  router.get('/metrics', async (_request, response) => {
    response.type(registry.contentType).send(await registry.metrics())
  })
  return router
}
