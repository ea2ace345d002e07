import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PotokError } from '../kernel/errors.ts'
import { tableProperties } from '../kernel/tables.ts'
import { formatUs, usPerDay, usPerHour } from '../kernel/time.ts'
import {
  startDashboardServer,
  type DashboardServer,
  firstDayUs,
} from '../testkit/dashboard-server.ts'
import { operations } from './contract/operations.ts'
import * as schemas from './contract/schemas.ts'

let server: DashboardServer

const start = async () => {
  server = await startDashboardServer({ cameraCount: 3, pollMs: 60_000 })
}
const stop = () => server.close()

async function get(path: string, headers: Record<string, string> = {}) {
  // Left alone, fetch adds no-cache to a conditional request, which asks for a whole answer.
  const init = { headers: { 'cache-control': 'max-age=0', ...headers } }
  const response = await fetch(server.url + path, init)
  const type = response.headers.get('content-type') ?? ''
  const text = await response.text()
  return {
    response,
    status: response.status,
    type,
    body: /json/.test(type) ? JSON.parse(text) : text,
  }
}

async function send(method: string, path: string, body?: unknown, type = 'application/json') {
  const response = await fetch(server.url + path, {
    method,
    headers: { 'content-type': type },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { response, status: response.status, body: text === '' ? null : JSON.parse(text) }
}

const day = '2025-04-03'
const next = '2025-04-04'

describe('GET /kvfv/{id}/avg-speed', () => {
  const path = '/kvfv/KV10000/avg-speed'
  beforeAll(start)
  afterAll(stop)

  it('gives windows of 5 minutes with status, revision and source, by the contract', async () => {
    const { status, body } = await get(`${path}?from=${day}T10:02:00Z&to=${day}T10:15:00Z`)
    expect(status).toBe(200)
    expect(schemas.avgSpeedAnswer.parse(body)).toEqual(body)
    expect(body).toMatchObject({
      kvfv_id: 'KV10000',
      interval: '5m',
      from: `${day}T10:00:00Z`,
      to: `${day}T10:15:00Z`,
      tz: 'UTC',
      unit: 'km/h',
    })
    expect(body.windows.map((w: { start: string }) => w.start)).toEqual([
      `${day}T10:00:00Z`,
      `${day}T10:05:00Z`,
      `${day}T10:10:00Z`,
    ])
    expect(body.windows[0]).toMatchObject({
      status: 'exact',
      revision: 1,
      source_snapshot_id: '77',
    })
    const events = body.windows.reduce(
      (n: number, w: { event_count: number }) => n + w.event_count,
      0,
    )
    expect(body.total.event_count).toBe(events)
  })

  it('adds 5-minute windows up to hours and to local days of 23 to 25 hours', async () => {
    const hours = await get(`${path}?from=${day}&to=${next}&interval=1h`)
    expect(hours.body.windows).toHaveLength(23)
    const days = await get(`${path}?from=${day}&to=2025-04-05&interval=1d&tz=Asia/Yekaterinburg`)
    expect(days.body).toMatchObject({ interval: '24h', from: '2025-04-02T19:00:00Z' })
    expect(days.body.windows.map((w: { start: string }) => w.start)).toEqual([
      '2025-04-02T19:00:00Z',
      '2025-04-03T19:00:00Z',
    ])
    const whole = await get(`${path}?from=${day}&to=${next}`)
    const day24 = await get(`${path}?from=${day}&to=${next}&interval=24h`)
    expect(day24.body.windows[0].event_count).toBe(whole.body.total.event_count)
    expect(day24.body.total).toEqual(whole.body.total)
    expect(hours.body.total).toEqual(whole.body.total)
  })

  it('understands a plus that arrived as a space', async () => {
    const { body } = await get(`${path}?from=${day}T13:00:00+03:00&to=${day}T13:05:00%2B03:00`)
    expect(body).toMatchObject({ from: `${day}T10:00:00Z`, to: `${day}T10:05:00Z` })
    expect(body.windows).toHaveLength(1)
  })

  it('answers a month of 5 minutes at once', async () => {
    const { status, body } = await get(`${path}?from=2025-03-06&to=2025-04-06`)
    expect(status).toBe(200)
    expect(body.windows).toHaveLength(3 * 270)
  })

  it('a known camera without events in the range has no windows and no average of 0', async () => {
    const { status, body } = await get(`${path}?from=2020-01-01&to=2020-01-02`)
    expect(status).toBe(200)
    expect(body.windows).toEqual([])
    expect(body.total).toEqual({ event_count: 0, avg_speed: null, space_mean_speed: null })
    expect((await get(`/kvfv/KV99999/avg-speed?from=${day}&to=${next}`)).status).toBe(200)
  })

  it('404 for a camera that is not registered and never sent anything', async () => {
    const { status, type, body } = await get(`/kvfv/nobody/avg-speed?from=${day}&to=${next}`)
    expect(status).toBe(404)
    expect(type).toContain('application/problem+json')
    expect(body.detail).toContain('nobody')
  })

  it.each([
    ['from', `to=${next}`, 'is missing'],
    ['to', `from=${day}`, 'is missing'],
    ['from', `from=yesterday&to=${next}`, 'RFC 3339'],
    ['from', `from=2025-02-30&to=${next}`, 'RFC 3339'],
    ['from', `from=${day}T10:00:00&to=${next}`, 'no zone'],
    ['from', `from=${day}&from=${day}&to=${next}`, 'is wrong'],
    ['to', `from=${next}&to=${day}`, 'after from'],
    ['interval', `from=${day}&to=${next}&interval=2h`, 'expected 5m, 1h or 24h'],
    ['tz', `from=${day}&to=${next}&tz=Mars/Olympus`, 'IANA'],
    ['bogus', `from=${day}&to=${next}&bogus=1`, 'unknown'],
    ['to', `from=2025-01-01&to=2025-03-01`, 'at most 32 days'],
    ['to', `from=2020-01-01&to=2025-03-01&interval=1h`, 'at most 367 days'],
    ['to', `from=2000-01-01&to=2025-03-01&interval=24h`, 'at most 1100 days'],
    ['from', `from=0001-01-01&to=2025-03-01&interval=24h`, '1970'],
  ])('400 names the parameter %s in ?%s', async (name, query, words) => {
    const { status, body } = await get(`${path}?${query}`)
    expect(status).toBe(400)
    expect(body).toMatchObject({ status: 400, parameter: name })
    expect(body.detail).toContain(`parameter ${name}`)
    expect(body.detail).toContain(words)
  })
})

describe('cameras', () => {
  beforeAll(start)
  afterAll(stop)

  it('are listed whether registered or only seen, page by page', async () => {
    const { body } = await get('/kvfv')
    expect(schemas.cameraListAnswer.parse(body)).toEqual(body)
    expect(body.total).toBe(5)
    expect(body.cameras.map((c: { kvfv_id: string }) => c.kvfv_id)).toEqual([
      'KV10000',
      'KV10001',
      'KV10002',
      'KV10003',
      'KV99999',
    ])
    expect(body.cameras[0]).toMatchObject({
      registered: true,
      freshness_seconds: 0,
      status: 'open',
    })
    expect(body.cameras[2]).toMatchObject({ registered: false })
    expect(body.cameras[4]).toMatchObject({ last_window: null, last_avg_speed: null })
    const page = await get('/kvfv?limit=1&offset=1')
    expect(page.body.cameras.map((c: { kvfv_id: string }) => c.kvfv_id)).toEqual(['KV10001'])
    expect((await get('/kvfv?search=МОСТ')).body.total).toBe(1)
    expect((await get('/kvfv?limit=0')).body).toMatchObject({ status: 400, parameter: 'limit' })
  })

  it('are registered by PUT, period by period', async () => {
    const created = await send('PUT', '/v1/cameras/N1', { name: 'New', speed_limit: 60, lanes: 2 })
    expect(created.status).toBe(201)
    expect(schemas.cameraAnswer.parse(created.body)).toEqual(created.body)
    const later = { name: 'New', speed_limit: 50, valid_from: '2025-04-01' }
    expect((await send('PUT', '/v1/cameras/N1', later)).status).toBe(200)
    const { body } = await get('/v1/cameras/N1')
    expect(body.facts).toMatchObject({ speed_limit: 50, valid_from: '2025-04-01T00:00:00Z' })
    expect(body.history).toHaveLength(2)
    expect((await get('/v1/cameras/nobody')).status).toBe(404)
    expect((await get('/v1/cameras/KV10002')).body).toMatchObject({
      registered: false,
      facts: null,
    })
  })

  it('are imported together', async () => {
    const rows = [{ kvfv_id: 'M1' }, { kvfv_id: 'M2', lanes: 3 }, { kvfv_id: 'KV10000' }]
    const { status, body } = await send('POST', '/v1/cameras', { cameras: rows })
    expect([status, body]).toEqual([200, { added: 2, changed: 1 }])
    const bad = await send('POST', '/v1/cameras', { cameras: [{ kvfv_id: 'M3', lanes: -3 }] })
    expect(bad.body).toMatchObject({ status: 400, parameter: 'cameras.0.lanes' })
    expect((await get('/v1/cameras/M3')).status).toBe(404)
  })

  it.each([
    [{ speed_limit: -1 }, 'speed_limit'],
    [{ colour: 'red' }, 'colour'],
    [{ latitude: 91, longitude: 0 }, 'latitude'],
    [{ latitude: 50 }, 'latitude'],
    [{ time_zone: 'Mars/Olympus' }, 'time_zone'],
    [{ valid_from: 'soon' }, 'valid_from'],
  ])('400 for %j names %s', async (facts, name) => {
    const { status, body } = await send('PUT', '/v1/cameras/N1', facts)
    expect(status).toBe(400)
    expect(body.parameter).toBe(name)
  })
})

describe('exactness', () => {
  beforeEach(start)
  afterEach(stop)

  it('lists days with status, counts and revision', async () => {
    server.tables.appendEvents(firstDayUs + usPerHour, ['KV10001'])
    await server.refresh()
    const { body } = await get('/v1/days')
    expect(schemas.dayListAnswer.parse(body)).toEqual(body)
    expect(body.days.map((d: { day: string; status: string }) => [d.day, d.status])).toEqual([
      ['2025-04-06', 'open'],
      ['2025-04-05', 'exact'],
      ['2025-04-04', 'exact'],
      ['2025-04-03', 'revising'],
    ])
    expect(body.days[3]).toMatchObject({
      dirty_cameras: 1,
      cameras: 3,
      sealed: true,
      revision_max: 1,
    })
    const speeds = await get(`/kvfv/KV10001/avg-speed?from=${day}&to=${next}&interval=24h`)
    expect(speeds.body.windows).toMatchObject([{ status: 'revising' }])
    expect((await get(`/v1/days?from=${next}&to=2025-04-05`)).body.days).toHaveLength(1)
    expect((await get('/v1/days?from=tomorrow')).body).toMatchObject({
      status: 400,
      parameter: 'from',
    })
  })

  it('takes requests for exact runs and shows them', async () => {
    const asked = await send('POST', '/v1/recompute', {
      from: '2025-04-05',
      to: '2025-04-06',
      cameras: ['KV12345'],
    })
    expect(asked.status).toBe(202)
    expect(schemas.runAnswer.parse(asked.body)).toEqual(asked.body)
    expect(asked.body).toMatchObject({ run_id: 'run-1', status: 'queued' })
    expect(asked.response.headers.get('location')).toBe('/v1/recompute/run-1')
    expect(server.queue.runs[0]?.request).toEqual({
      fromDay: 20_183,
      toDay: 20_184,
      cameras: ['KV12345'],
      force: false,
      trigger: 'http',
    })
    server.queue.update('run-1', { status: 'failed', message: 'no disk' })
    expect((await get('/v1/recompute/run-1')).body).toMatchObject({
      status: 'failed',
      error: 'no disk',
    })
    expect((await get('/v1/recompute')).body.runs).toHaveLength(1)
    expect((await get('/v1/recompute/run-9')).status).toBe(404)
    expect((await send('POST', '/v1/recompute')).status).toBe(202)
    expect(server.queue.runs[0]?.request).toMatchObject({
      fromDay: null,
      toDay: null,
      cameras: null,
    })
  })

  it('says done only when its answers show it', async () => {
    await send('POST', '/v1/recompute', {})
    const row = { camera: 'KV10000', startUs: firstDayUs, speedsKmh: [50], revision: 2 }
    server.tables.replaceRollupDays([firstDayUs / usPerDay], [row])
    server.queue.update('run-1', { status: 'done' })
    expect((await get('/v1/recompute/run-1')).body.status).toBe('done')
    const { body } = await get(`/kvfv/KV10000/avg-speed?from=${day}&to=${next}`)
    expect(body.windows).toMatchObject([{ revision: 2, event_count: 1 }])
  })

  it.each([
    [{ from: '2025-04-06', to: '2025-04-05' }, 'to'],
    [{ from: '2025-4-6' }, 'from'],
    [{ cameras: [] }, 'cameras'],
    [{ day: '2025-04-06' }, 'day'],
    [{ force: 'yes' }, 'force'],
  ])('400 for %j names %s', async (body, name) => {
    expect((await send('POST', '/v1/recompute', body)).body).toMatchObject({
      status: 400,
      parameter: name,
    })
    expect(server.queue.runs).toHaveLength(0)
  })

  it('refuses a body that it can’t read rather than recompute everything', async () => {
    const form = await send(
      'POST',
      '/v1/recompute',
      'from=2025-04-05',
      'application/x-www-form-urlencoded',
    )
    expect(form.status).toBe(415)
    expect((await send('POST', '/v1/recompute', '{"from":')).status).toBe(400)
    expect((await send('POST', '/v1/recompute', '[]')).status).toBe(400)
    expect((await send('POST', '/v1/recompute', { cameras: ['x'.repeat(5_000_000)] })).status).toBe(
      413,
    )
    expect(server.queue.runs).toHaveLength(0)
  })

  it('passes on that the queue is full', async () => {
    server.queue.refusal = new PotokError('Overloaded', 'the queue of runs is full')
    const { status, response, body } = await send('POST', '/v1/recompute', {})
    expect(status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/\d+/)
    expect(body.detail).toContain('full')
  })
})

describe('operation', () => {
  beforeEach(start)
  afterEach(stop)

  it('says 304 until the windows of this camera and range change, whatever else is committed', async () => {
    const ask = async (path: string, etag = '"other"') =>
      get(path, { 'if-none-match': `"a", ${etag}` })
    const sealed = `/kvfv/KV10000/avg-speed?from=${day}&to=${next}`
    const live = sealed.replace(day, '2025-04-06').replace(next, '2025-04-07')
    const first = { sealed: await ask(sealed), live: await ask(live) }
    const etag = {
      sealed: first.sealed.response.headers.get('etag') as string,
      live: first.live.response.headers.get('etag') as string,
    }
    expect((await ask(sealed, etag.sealed)).status).toBe(304)
    expect((await ask(live, etag.live)).status).toBe(304)
    server.tables.nowMs += 1_500
    const startUs = firstDayUs + 3 * usPerDay + 12 * usPerHour
    server.tables.appendRollup([{ camera: 'KV10000', startUs, speedsKmh: [10] }])
    await server.refresh()
    expect((await ask(sealed, etag.sealed)).status).toBe(304)
    const changed = await ask(live, etag.live)
    expect(changed.status).toBe(200)
    expect(changed.body.total.event_count).toBe(first.live.body.total.event_count + 1)
    // What didn't change says of itself that it includes the newest commit.
    const again = await ask(sealed)
    expect(again.body).toEqual({ ...first.sealed.body, as_of: changed.body.as_of })
    expect(again.body.as_of > first.sealed.body.as_of).toBe(true)
  })

  it('shows positions, lag, last commit, seal, dirty days and services', async () => {
    const { body } = await get('/v1/status')
    expect(schemas.statusAnswer.parse(body)).toEqual(body)
    expect(body.sinks.map((s: { table: string; lag: number }) => [s.table, s.lag])).toEqual([
      ['events', 67],
      ['rollup_5m', 67],
    ])
    expect(body).toMatchObject({
      sealed_until: '2025-04-06T09:00:00Z',
      dirty_days: [],
      ready: true,
      services: { writer: { ok: true }, api: { ok: true } },
    })
    expect(body.sinks[0].partitions[0].watermark).toBe(
      formatUs(server.tables.nowMs * 1_000 - 3 * usPerHour),
    )
  })

  it('is ready only while every service is, and names those that are not', async () => {
    expect((await get('/readyz')).status).toBe(200)
    server.health['writer'] = { ok: false, reason: 'the disk is full', details: {} }
    const { status, body } = await get('/readyz')
    expect(status).toBe(503)
    expect(body).toMatchObject({ services: { writer: 'the disk is full' } })
    expect((await get('/healthz')).body).toEqual({ status: 'ok' })
  })

  it('counts its requests for Prometheus', async () => {
    await get(`/kvfv/KV10000/avg-speed?from=${day}&to=${next}`)
    const { body, type } = await get('/metrics')
    expect(type).toContain('text/plain')
    expect(body).toContain(
      'potok_api_request_seconds_count{route="/kvfv/{id}/avg-speed",status="200"} 1',
    )
    expect(body).toContain('potok_api_cameras 3')
  })

  it('publishes its contract, every route of which it serves', async () => {
    const { body } = await get('/openapi.json')
    const documented = Object.entries(body.paths as Record<string, object>).flatMap(
      ([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`),
    )
    expect(documented.sort()).toEqual(
      operations.map(({ method, path }) => `${method} ${path}`).sort(),
    )
    for (const { method, path, servedBy } of operations) {
      if (servedBy !== undefined || method !== 'get') continue
      const { type, status } = await get(path.replace(/\{\w+\}/, 'x'))
      expect([path, status === 404 && !type.includes('problem')]).toEqual([path, false])
    }
  })

  it('405 names the methods that a path has', async () => {
    const { status, response } = await send('DELETE', '/v1/cameras/KV10000')
    expect(status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, PUT, HEAD')
  })

  it('serves the dashboard and its parts with an ETag and without anything from elsewhere', async () => {
    const page = await get('/')
    expect(page.status).toBe(200)
    expect(page.response.headers.get('content-security-policy')).toContain("script-src 'self'")
    expect(page.body).not.toMatch(/https?:\/\/|<style|onclick=|<script>/)
    for (const part of [
      '/assets/main.js',
      '/assets/styles.css',
      '/vendor/uplot.js',
      '/vendor/uplot.css',
    ]) {
      const { status, response } = await get(part)
      expect([part, status]).toEqual([part, 200])
      expect(
        (await get(part, { 'if-none-match': response.headers.get('etag') as string })).status,
      ).toBe(304)
    }
    expect((await get('/assets/../../ports.ts')).status).toBe(404)
    expect((await get('/assets/%2e%2e/dashboard-router.ts')).status).not.toBe(200)
  })

  it('a fault of its own is a 500 that tells nothing of the inside', async () => {
    server.tables.readError = new Error('secret path')
    server.tables.setProperties('rollup_5m', { [tableProperties.sealedUntil]: '0' })
    server.tables.appendRollup([
      { camera: 'KV10000', startUs: firstDayUs - usPerDay, speedsKmh: [1] },
    ])
    await server.refresh().catch(() => {})
    expect((await get(`/kvfv/KV10000/avg-speed?from=${day}&to=${next}`)).status).toBe(500)
    expect(
      JSON.stringify((await get(`/kvfv/KV10000/avg-speed?from=${day}&to=${next}`)).body),
    ).not.toContain('secret')
  })
})
