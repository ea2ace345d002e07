import { createServer, type IncomingMessage, type ServerResponse, type Server } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

async function startServer(name: string): Promise<{ port: number; asked: () => number }> {
  let asked = 0
  const server: Server = createServer((_: IncomingMessage, response: ServerResponse) => {
    asked++
    response.end(name)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  stops.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { port: (server.address() as { port: number }).port, asked: () => asked }
}

async function startProxy(ports: readonly number[]): Promise<FaultProxy> {
  const proxy = await startFaultProxy(() => ports)
  stops.push(() => proxy.stop())
  return proxy
}

/** The answer, or what went wrong. Each on a connection of its own. */
async function ask(proxy: FaultProxy, timeoutMs = 5_000): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${proxy.port}`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(timeoutMs),
    })
    return await response.text()
  } catch (error) {
    return error instanceof Error && error.name === 'TimeoutError' ? 'silence' : 'cut'
  }
}

test('connections go to the targets in turn, and past one that is away', async () => {
  const [a, b] = [await startServer('a'), await startServer('b')]
  const both = await startProxy([a.port, b.port])
  expect([await ask(both), await ask(both), await ask(both)].sort()).toEqual(
    expect.arrayContaining(['a', 'b']),
  )
  const gone = await startFaultProxy(() => [])
  await gone.stop()
  const one = await startProxy([gone.port, b.port])
  expect([await ask(one), await ask(one)]).toEqual(['b', 'b'])
  const none = await startProxy([])
  expect(await ask(none)).toBe('cut')
})

test('a dropped answer leaves the request done; refused and blackholed ones never reach the server', async () => {
  const server = await startServer('a')
  const proxy = await startProxy([server.port])
  proxy.set({ kind: 'drop' })
  expect(await ask(proxy)).toBe('cut')
  expect([server.asked(), proxy.dropped()]).toEqual([1, 1])
  proxy.set({ kind: 'refuse' })
  expect(await ask(proxy)).toBe('cut')
  proxy.set({ kind: 'blackhole' })
  expect(await ask(proxy, 50)).toBe('silence')
  expect(server.asked()).toBe(1)
  proxy.set({ kind: 'delay', ms: 20 })
  expect(await ask(proxy)).toBe('a')
})

test('a half-open connection stays so when others pass again, until it is cut', async () => {
  const server = await startServer('a')
  const proxy = await startProxy([server.port])
  proxy.set({ kind: 'blackhole' })
  let isOver = false
  const stuck = ask(proxy).finally(() => {
    isOver = true
  })
  await expect.poll(async () => await ask(proxy, 20)).toBe('silence')
  proxy.set({ kind: 'pass' })
  expect(await ask(proxy)).toBe('a')
  expect(isOver).toBe(false)
  proxy.cut()
  expect(await stuck).toBe('cut')
})
