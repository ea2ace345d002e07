/**
 * Answers shared through a real Redis: the contract, and two API processes with one Redis, which is then paused,
 * killed, full and back. Whatever it does, every question gets its answer.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createRedisAnswerStore } from '../../adapters/cache/redis-answer-store.ts'
import { answerStoreContract } from '../../testkit/contracts/answer-store.ts'
import { silentLogger } from '../../testkit/dashboard-server.ts'
import { startPotok, startRole, temporaryFolder } from '../../testkit/potok-process.ts'
import { type Redis, startRedis } from '../../testkit/servers/redis.ts'

const valueBytesMax = 100_000
const waitMs = { timeout: 120_000, interval: 200 }

answerStoreContract('Redis', async () => {
  const redis = await startRedis()
  return {
    connect: () =>
      createRedisAnswerStore({
        url: redis.url,
        logger: silentLogger,
        valueBytesMax,
        // The contract is no race: this machine may be busy.
        timeoutMs: 10_000,
      }),
    valueBytesMax,
    close: () => redis.stop(),
  }
})

test('a Redis that is full and may let nothing go keeps nothing, and says so', async () => {
  const redis = await startRedis(['--maxmemory', '1', '--maxmemory-policy', 'noeviction'])
  const { url } = redis
  const store = createRedisAnswerStore({ url, logger: silentLogger, timeoutMs: 10_000 })
  await store.start()
  await vi.waitFor(() => expect(store.stats.isConnected).toBe(true), waitMs)
  store.set('a', new Uint8Array(10))
  await vi.waitFor(() => expect(store.stats.failures).toBe(1), waitMs)
  expect(store.health().details['problem']).toMatch(/OOM/)
  expect(await store.get('a')).toBeNull()
  expect(store.stats.isConnected).toBe(true)
  await store.stop(0)
  await redis.stop()
})

test('a Redis that wants another password is never used', async () => {
  const redis = await startRedis(['--requirepass', 'secret'])
  const ask = async (url: string) => {
    const store = createRedisAnswerStore({ url, logger: silentLogger, retryMs: 10 })
    await store.start()
    return store
  }
  const right = await ask(redis.url.replace('//', '//:secret@'))
  const wrong = await ask(redis.url.replace('//', '//:other@'))
  await vi.waitFor(() => expect(right.stats.isConnected).toBe(true), waitMs)
  await vi.waitFor(() => expect(wrong.stats.failures).toBeGreaterThan(1), waitMs)
  expect(wrong.stats.isConnected).toBe(false)
  expect(wrong.health().details['problem']).toMatch(/WRONGPASS|invalid/i)
  await Promise.all([right.stop(0), wrong.stop(0), redis.stop()])
})

describe('two API processes with one Redis', () => {
  const folder = temporaryFolder('redis')
  const days = ['2025-04-01', '2025-04-02', '2025-04-03', '2025-04-04', '2025-04-05', '2025-04-06']
  let redis: Redis
  let first: Awaited<ReturnType<typeof startPotok>>
  let second: Awaited<ReturnType<typeof startRole>>

  beforeAll(async () => {
    redis = await startRedis()
    first = await startPotok(folder.path, ['--redis-url', redis.url])
    const events = days.map((day) => ({
      kvfv_id: 'KV1',
      timestamp: `${day}T10:15:30Z`,
      vehicle_speed: 50,
    }))
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify(events)
    await fetch(`${first.url}/v1/events`, { method: 'POST', headers, body })
    await vi.waitFor(async () => {
      const known = (await (await fetch(`${first.url}/v1/days`)).json()) as { days: unknown[] }
      expect(known.days).toHaveLength(days.length)
    }, waitMs)
    second = await startRole('api', folder.path, [
      '--redis-url',
      redis.url,
      '--recompute-schedule',
      'off',
    ])
  })
  afterAll(async () => {
    await Promise.all([first.kill('SIGKILL'), second.kill('SIGKILL')])
    await redis.stop()
    folder.remove()
  })

  async function ask(url: string, day: string): Promise<{ windows: unknown[] }> {
    const response = await fetch(
      `${url}/kvfv/KV1/avg-speed?from=${day}T00:00:00Z&to=${day}T12:00:00Z&interval=5m`,
    )
    expect(response.status).toBe(200)
    return (await response.json()) as { windows: unknown[] }
  }

  async function figure(url: string, name: string): Promise<number> {
    const text = await (await fetch(`${url}/metrics`)).text()
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
  }

  const isUp = (value: number) =>
    vi.waitFor(
      async () => expect(await figure(second.url, 'potok_api_shared_cache_up')).toBe(value),
      waitMs,
    )

  test('what one has made the other one gives without reading a file', async () => {
    await isUp(1)
    const made = await ask(first.url, days[0] as string)
    expect(made.windows).toHaveLength(1)
    // The first process keeps it without making its client wait: it may come a moment later.
    await vi.waitFor(async () => {
      const found = await ask(second.url, days[0] as string)
      expect(found.windows).toEqual(made.windows)
      expect(await figure(second.url, 'potok_api_shared_cache_hits_total')).toBe(1)
    }, waitMs)
  })

  test('a Redis that hangs, is killed and comes back fails no answer and turns nothing red', async () => {
    await redis.pause()
    expect((await ask(second.url, days[1] as string)).windows).toHaveLength(1)
    await isUp(0)
    expect((await ask(second.url, days[2] as string)).windows).toHaveLength(1)
    expect((await fetch(`${second.url}/readyz`)).status).toBe(200)
    await redis.resume()
    await isUp(1)
    await redis.kill()
    expect((await ask(second.url, days[3] as string)).windows).toHaveLength(1)
    await isUp(0)
    const { services } = (await (await fetch(`${second.url}/v1/status`)).json()) as {
      services: Record<string, { ok: boolean; details: Record<string, unknown> }>
    }
    expect(services['shared_cache']).toMatchObject({ ok: true, details: { connected: 0 } })
    await redis.restart()
    await isUp(1)
  })
})
