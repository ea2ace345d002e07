import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { afterEach, expect, it } from 'vitest'

const script = new URL('../examples/camera-client/camera-client.mjs', import.meta.url).pathname
const cleanUps: (() => void)[] = []
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp()
})

type Event = { event_id: string; n: number }

/** A gateway that keeps what it gets, then answers as told; after the last reply it accepts. */
async function gateway(replies: ((response: ServerResponse) => void)[]) {
  const received: Event[][] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      received.push(body.split('\n').map((line) => JSON.parse(line) as Event))
      const reply = replies.shift()
      if (reply !== undefined) return reply(response)
      response.writeHead(202).end('{"accepted":1,"rejected":[]}')
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  cleanUps.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function start(url: string, spool: string, input: string, endInput: boolean) {
  const child = spawn(execPath, [script, '--url', url, '--spool', spool], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { CAMERA_CLIENT_PAUSE_MS_MIN: '10' },
  })
  child.stdin.write(input)
  if (endInput) child.stdin.end()
  return { child, ended: new Promise<number | null>((resolve) => child.on('close', resolve)) }
}

it('the camera client delivers all that it was given, with the same ids when it sends again', async () => {
  const spool = mkdtempSync(join(tmpdir(), 'potok-spool-'))
  cleanUps.push(() => rmSync(spool, { recursive: true }))
  const flaky = await gateway([
    (response) => response.writeHead(503, { 'retry-after': '0' }).end('{}'),
    (response) => response.destroy(),
    (response) => response.writeHead(500).end(),
  ])
  const input = Array.from({ length: 1_200 }, (_, n) => `{"n":${n}}\n`).join('')
  const client = start(flaky.url, spool, input, true)
  expect(await client.ended).toBe(0)
  const [first, ...again] = flaky.received.slice(0, 4)
  for (const batch of again) expect(batch).toEqual(first)
  const delivered = flaky.received.slice(3).flat()
  expect(delivered.map(({ n }) => n)).toEqual(Array.from({ length: 1_200 }, (_, n) => n))
  expect(new Set(delivered.map((event) => event.event_id)).size).toBe(1_200)
  expect(readdirSync(spool)).toEqual([])
})

it('the camera client killed in an outage goes on from its disk', async () => {
  const spool = mkdtempSync(join(tmpdir(), 'potok-spool-'))
  cleanUps.push(() => rmSync(spool, { recursive: true }))
  let asked: (() => void) | undefined
  const down = await gateway(
    Array.from({ length: 1_000 }, () => (response: ServerResponse) => {
      response.writeHead(503, { 'retry-after': '1' }).end('{}')
      asked?.()
    }),
  )
  const input = Array.from({ length: 700 }, (_, n) => `{"n":${n}}\n`).join('')
  const firstAsk = new Promise<void>((resolve) => {
    asked = resolve
  })
  const killed = start(down.url, spool, input, false)
  await firstAsk
  killed.child.kill('SIGKILL')
  await killed.ended
  const up = await gateway([])
  expect(await start(up.url, spool, '', true).ended).toBe(0)
  const delivered = up.received.flat()
  expect(delivered.slice(0, 500)).toEqual(down.received[0])
  expect(delivered.map(({ n }) => n)).toEqual(Array.from({ length: 700 }, (_, n) => n))
})
