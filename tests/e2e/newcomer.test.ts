/** What the README promises to somebody who tries potok for the first time. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  eventually,
  getJson,
  postEvents,
  type RunningPotok,
  recompute,
  runPotok,
  startPotok,
  temporaryFolder,
} from '../../testkit/potok-process.ts'

type Answer = { windows: Record<string, unknown>[] }

describe('a newcomer', () => {
  const folder = temporaryFolder('newcomer')
  const data = join(folder.path, 'data')
  let potok: RunningPotok
  beforeAll(async () => {
    potok = await startPotok(data, ['--recompute-schedule', 'off'])
  })
  afterAll(async () => {
    await potok?.kill('SIGTERM')
    folder.remove()
  })
  const average = (id: string, day: string) =>
    getJson<Answer>(
      `${potok.url}/kvfv/${id}/avg-speed?from=${day}T10:00:00Z&to=${day}T11:00:00Z&interval=5m`,
    )

  it('posts one detection and sees its average, open, within seconds', async () => {
    const sent = await fetch(`${potok.url}/v1/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"kvfv_id":"KV12345","timestamp":"2025-04-05T10:15:30Z","vehicle_speed":85.2,"plate_number":"А123БВ68"}',
    })
    expect(sent.status).toBe(202)
    expect(await sent.json()).toEqual({ accepted: 1, rejected: [] })
    const windows = await eventually(
      'the average of KV12345',
      async () => {
        const response = await fetch(
          `${potok.url}/kvfv/KV12345/avg-speed?from=2025-04-05T10:00:00Z&to=2025-04-05T11:00:00Z&interval=5m`,
        )
        if (response.status === 404) return null
        const { windows } = (await response.json()) as Answer
        return windows.length === 0 ? null : windows
      },
      15_000,
    )
    expect(windows).toMatchObject([
      {
        start: '2025-04-05T10:15:00Z',
        end: '2025-04-05T10:20:00Z',
        event_count: 1,
        avg_speed: 85.2,
        space_mean_speed: 85.2,
        min_speed: 85.2,
        max_speed: 85.2,
        status: 'open',
        revision: null,
      },
    ])
  })

  it('makes it exact by ./potok recompute beside the running potok, and again finds nothing to do', async () => {
    const first = await runPotok(['recompute', '--day', '2025-04-05', '--data', data, '--json'])
    expect(JSON.parse(first.stdout)).toMatchObject({
      status: 'done',
      days: [{ day: '2025-04-05' }],
    })
    const window = await eventually('the exact window', async () => {
      const { windows } = await average('KV12345', '2025-04-05')
      return windows[0]?.['status'] === 'exact' ? windows[0] : null
    })
    expect(window).toMatchObject({ revision: 1, event_count: 1, avg_speed: 85.2 })
    expect(String(window['source_snapshot_id'])).toMatch(/^\d+$/)
    const again = await runPotok(['recompute', '--data', data, '--json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ status: 'nothing_to_do' })
  })

  it('sees a late duplicate revise the window, and the count stay right', async () => {
    const event = {
      kvfv_id: 'KV12345',
      timestamp: '2025-04-05T10:15:30Z',
      vehicle_speed: 85.2,
      plate_number: 'А123БВ68',
    }
    expect((await postEvents(potok.url, [event])).status).toBe(202)
    await eventually('revising', async () => {
      const { windows } = await average('KV12345', '2025-04-05')
      return windows[0]?.['status'] === 'revising' ? true : null
    })
    expect(await recompute(potok.url, {})).toMatchObject({ status: 'done' })
    const window = await eventually('exact again', async () => {
      const { windows } = await average('KV12345', '2025-04-05')
      return windows[0]?.['status'] === 'exact' ? windows[0] : null
    })
    expect(window).toMatchObject({ revision: 2, event_count: 1, avg_speed: 85.2 })
  })

  it('is told by name what is wrong with an item, and the others are kept', async () => {
    const response = await postEvents(potok.url, [
      { kvfv_id: 'KV2', timestamp: '2025-04-05T10:00:00+03:00', vehicle_speed: 50 },
      { kvfv_id: 'KV2', timestamp: '2025-04-05T10:00:00', vehicle_speed: 50 },
      { kvfv_id: 'KV2', timestamp: '2025-04-05T10:00:00Z', vehicle_speed: 912 },
    ])
    expect(response.status).toBe(202)
    expect(await response.json()).toMatchObject({
      accepted: 1,
      rejected: [
        { index: 1, reason: 'timestamp_without_zone' },
        { index: 2, reason: 'speed_out_of_range' },
      ],
    })
  })

  it('gets problem+json that names the parameter, the camera or the limit', async () => {
    const get = async (path: string) => {
      const response = await fetch(`${potok.url}${path}`)
      return {
        status: response.status,
        type: response.headers.get('content-type') ?? '',
        text: await response.text(),
      }
    }
    const query = 'from=2025-04-05T10:00:00Z&to=2025-04-05T11:00:00Z'
    expect(await get(`/kvfv/NOBODY/avg-speed?${query}&interval=5m`)).toMatchObject({ status: 404 })
    const bad = await get(`/kvfv/KV12345/avg-speed?${query}&interval=7m`)
    expect(bad.status).toBe(400)
    expect(bad.type).toContain('application/problem+json')
    expect(bad.text).toContain('interval')
    const unknown = await get('/v2/nothing')
    expect(unknown).toMatchObject({ status: 404 })
    expect(unknown.type).toContain('application/problem+json')
    const wide = await get(
      '/kvfv/KV12345/avg-speed?from=2000-01-01T00:00:00Z&to=2025-01-01T00:00:00Z&interval=5m',
    )
    expect(wide.status).toBe(400)
    expect(wide.text).toMatch(/limit|at most/)
  })

  it('cannot start a second potok on the same data, and is told which one runs', async () => {
    const second = await runPotok(['up', '--data', data, '--port', '0', '--catalog-port', '0'])
    expect(second.code).toBe(1)
    expect(second.stderr).toContain(`process ${potok.pid}`)
  })

  it('is told which port is busy', async () => {
    const other = temporaryFolder('busy')
    const { port } = new URL(potok.url)
    const second = await runPotok([
      'up',
      '--data',
      other.path,
      '--port',
      port,
      '--catalog-port',
      '0',
    ])
    other.remove()
    expect(second.code).toBe(1)
    expect(second.stderr).toContain(`${port}: the port is in use`)
  })

  it('reads status, metrics and readiness', async () => {
    const status = await runPotok(['status', '--data', data, '--json'])
    expect(JSON.parse(status.stdout)).toMatchObject({ running: { pid: potok.pid } })
    expect(await getJson(`${potok.url}/readyz`)).toMatchObject({ status: 'ready' })
    expect(await (await fetch(`${potok.url}/metrics`)).text()).toContain(
      'potok_service_ok{service="writer"} 1',
    )
    expect(await getJson(`${potok.url}/openapi.json`)).toMatchObject({
      openapi: expect.stringMatching(/^3/),
    })
  })

  it('loses nothing by stopping: recompute on stopped data brings the tables up to the log', async () => {
    expect(
      (
        await postEvents(potok.url, [
          { kvfv_id: 'KV77', timestamp: '2025-04-06T10:00:00Z', vehicle_speed: 61 },
        ])
      ).status,
    ).toBe(202)
    await potok.kill('SIGKILL')
    const run = await runPotok(['recompute', '--day', '2025-04-06', '--data', data, '--json'])
    expect(JSON.parse(run.stdout)).toMatchObject({ status: 'done' })
    potok = await startPotok(data, ['--recompute-schedule', 'off'])
    const { windows } = await average('KV77', '2025-04-06')
    expect(windows).toMatchObject([{ status: 'exact', revision: 1, avg_speed: 61 }])
    const verify = await runPotok(['verify', '--data', data])
    expect(verify.stdout).toContain('No findings.')
    expect(verify.code).toBe(0)
  })

  it('every command has --help, and wrong use exits with 2', async () => {
    for (const command of [
      'up',
      'demo',
      'replay',
      'simulate',
      'recompute',
      'verify',
      'status',
      'config',
    ]) {
      const help = await runPotok([command, '--help'])
      expect(help.code, command).toBe(0)
      expect(help.stdout).toContain('--data')
    }
    expect((await runPotok(['recompute', '--day', 'yesterday'])).code).toBe(2)
    expect((await runPotok(['frobnicate'])).code).toBe(2)
  })
})

it('npm run demo ends with an audit that finds nothing', { timeout: 300_000 }, async () => {
  const demo = await runPotok(['demo', '--exit', '--port', '0', '--catalog-port', '0'])
  expect(demo.stdout).toContain('nothing was lost')
  expect(demo.stdout).toContain('nothing was counted twice')
  expect(demo.stdout).toContain('revision 2')
  expect(demo.code).toBe(0)
})
