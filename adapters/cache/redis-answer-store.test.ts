/** How the adapter bears servers that are no help; tests/stack/redis.test.ts has it against a real Redis. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import type { AnswerStore, Logger } from '../../kernel/ports.ts'
import { createRedisAnswerStore } from './redis-answer-store.ts'

let server: Server
let store: AnswerStore
const sockets = new Set<Socket>()
const warnings: string[] = []
const logger: Logger = {
  debug() {},
  info() {},
  warn: (_context, message) => warnings.push(message),
  error() {},
}

afterEach(async () => {
  await store.stop(0)
  for (const socket of sockets) socket.destroy()
  server.close()
  await once(server, 'close')
  sockets.clear()
  warnings.length = 0
})

/** `answer` gives what the server says to each thing that it is told; null: nothing. */
async function startWith(
  answer: (told: string, count: number) => string | null,
  // Long where it must not pass on a busy machine.
  times: { timeoutMs?: number; connectMs?: number } = {},
): Promise<void> {
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let count = 0
    socket.on('data', (told: Buffer) => {
      const said = answer(told.toString(), ++count)
      if (said !== null) socket.write(said)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `redis://127.0.0.1:${port}`
  store = createRedisAnswerStore({
    url,
    logger,
    timeoutMs: 20,
    connectMs: 5_000,
    retryMs: 1,
    ...times,
  })
  await store.start()
}

/** Enough of Redis for a connection to come about: each command of the greeting is fine. */
function greeting(told: string): string {
  return '+OK\r\n'.repeat(told.match(/^\*\d+\r$/gm)?.length ?? 1)
}

const isGet = (told: string): boolean => /\r\nGET\r\n/.test(told)
const waitMs = { timeout: 10_000 }

test('a server that takes connections and says nothing is tried again and again, and nobody waits for it', async () => {
  await startWith(() => null, { connectMs: 20 })
  expect(await store.get('a')).toBeNull()
  await vi.waitFor(() => expect(sockets.size).toBeGreaterThan(2), waitMs)
  expect(store.stats.isConnected).toBe(false)
  expect(store.health()).toMatchObject({ ok: true, details: { connected: 0 } })
  expect(warnings).toHaveLength(1)
})

test('a server that falls silent costs a question its time, is let go, and is used again when it answers', async () => {
  let isSilent = true
  await startWith((told) => {
    if (!isGet(told)) return greeting(told)
    return isSilent ? null : '$2\r\nhi\r\n'
  })
  await vi.waitFor(() => expect(store.stats.isConnected).toBe(true), waitMs)
  expect(await store.get('a')).toBeNull()
  expect(store.stats.failures).toBe(1)
  isSilent = false
  await vi.waitFor(async () => {
    expect(Buffer.from((await store.get('a')) as Uint8Array).toString()).toBe('hi')
  }, waitMs)
})

test('an error as an answer is told of and breaks no connection', async () => {
  await startWith(
    (told) => (isGet(told) ? "-NOPERM no permissions to run 'get'\r\n" : greeting(told)),
    { timeoutMs: 5_000 },
  )
  await vi.waitFor(() => expect(store.stats.isConnected).toBe(true), waitMs)
  for (let i = 0; i < 3; i++) expect(await store.get('a')).toBeNull()
  expect(store.stats).toEqual({ isConnected: true, failures: 3 })
  expect(store.health().details['problem']).toMatch(/NOPERM/)
  expect(warnings).toHaveLength(1)
})

test('what is no Redis at all is let go', async () => {
  await startWith((told) => (isGet(told) ? 'HTTP/1.1 400 Bad Request\r\n\r\n' : greeting(told)))
  await vi.waitFor(() => expect(store.stats.isConnected).toBe(true), waitMs)
  expect(await store.get('a')).toBeNull()
  expect(store.stats.failures).toBeGreaterThan(0)
})

test('more questions at once than are allowed are not asked', async () => {
  await startWith((told) => (isGet(told) ? null : greeting(told)))
  await vi.waitFor(() => expect(store.stats.isConnected).toBe(true), waitMs)
  const asked = Array.from({ length: 1_000 }, (_, i) => store.get(String(i)))
  expect(new Set(await Promise.all(asked))).toEqual(new Set([null]))
})
