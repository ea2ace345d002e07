import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { createIntakeClient } from './intake-client.ts'

type Reply = (lines: string[], response: ServerResponse, request: IncomingMessage) => void

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

const accept: Reply = (lines, response) => {
  response.writeHead(202, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ accepted: lines.length, rejected: [] }))
}

/** A gateway that gives the replies in turn, then accepts; remembers what it accepted. */
async function gateway(...replies: Reply[]) {
  const accepted: string[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
      const lines = text.toString().split('\n')
      const reply = replies.shift() ?? accept
      if (reply === accept) accepted.push(...lines)
      reply(lines, response, request)
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, accepted }
}

const refuse =
  (status: number, headers: Record<string, string> = {}, body = '{}'): Reply =>
  (_lines, response) => {
    response.writeHead(status, headers)
    response.end(body)
  }

describe('intake client', () => {
  it('delivers everything in batches, each camera’s events in order', async () => {
    const { baseUrl, accepted } = await gateway()
    const client = createIntakeClient({ baseUrl, concurrency: 3, batchEventsMax: 10, gzip: true })
    for (let n = 0; n < 500; n++) {
      await client.add(`camera ${n % 7}`, JSON.stringify({ c: n % 7, n }))
    }
    const counts = await client.finish()
    expect(counts).toMatchObject({ accepted: 500, rejected: 0, retries: 0 })
    const seen = accepted.map((line) => JSON.parse(line) as { c: number; n: number })
    for (let c = 0; c < 7; c++) {
      const own = seen.filter((event) => event.c === c).map((event) => event.n)
      expect(own).toEqual(own.toSorted((a, b) => a - b))
      expect(own.length).toBeGreaterThan(70)
    }
  })

  it('sends again what was refused for now, lost or left unknown', async () => {
    const { baseUrl, accepted } = await gateway(
      refuse(503, { 'retry-after': '0' }),
      refuse(429, { 'retry-after': '0' }),
      refuse(500),
      (_lines, response) => response.destroy(),
    )
    const reasons: string[] = []
    const client = createIntakeClient({
      baseUrl,
      random: () => -0.99,
      onRetry: (reason) => reasons.push(reason),
    })
    await client.add('a', '1')
    expect(await client.finish()).toMatchObject({ accepted: 1, retries: 4, requests: 5 })
    expect(accepted).toEqual(['1'])
    expect(reasons.slice(0, 3).map((reason) => reason.slice(0, 8))).toEqual([
      'HTTP 503',
      'HTTP 429',
      'HTTP 500',
    ])
  })

  it('counts what was rejected, also where nothing of a batch was accepted', async () => {
    const { baseUrl } = await gateway(
      refuse(
        202,
        {},
        '{"accepted":1,"rejected":[{"index":1,"reason":"clock_ahead","detail":"x"}]}',
      ),
      refuse(400, {}, '{"rejected":[{"index":0,"reason":"invalid_json","detail":"y"}]}'),
    )
    const client = createIntakeClient({ baseUrl, concurrency: 1, batchEventsMax: 2 })
    for (const line of ['good', 'bad', 'worse']) await client.add('a', line)
    expect(await client.finish()).toMatchObject({
      accepted: 1,
      rejected: 2,
      rejectedByReason: { clock_ahead: 1, invalid_json: 1 },
      rejectedSamples: [
        { line: 'bad', reason: 'clock_ahead' },
        { line: 'worse', reason: 'invalid_json' },
      ],
    })
  })

  it('halves a batch that is too large', async () => {
    const { baseUrl, accepted } = await gateway(refuse(413))
    const client = createIntakeClient({ baseUrl, concurrency: 1 })
    for (const line of ['1', '2', '3']) await client.add('a', line)
    expect(await client.finish()).toMatchObject({ accepted: 3, requests: 3 })
    expect(accepted).toEqual(['1', '2', '3'])
  })

  it('stops at a definite refusal, when it gives up, and when it is told to', async () => {
    const refusing = await gateway(refuse(404))
    const client = createIntakeClient({ baseUrl: refusing.baseUrl })
    await client.add('a', '1')
    await expect(client.finish()).rejects.toMatchObject({ kind: 'InvalidInput' })
    expect(() => client.add('a', '2')).toThrow(/404/)

    const busy = await gateway(refuse(503, { 'retry-after': '60' }))
    const impatient = createIntakeClient({ baseUrl: busy.baseUrl, giveUpAfterMs: 1_000 })
    await impatient.add('a', '1')
    await expect(impatient.finish()).rejects.toMatchObject({ kind: 'Unavailable' })

    const abort = new AbortController()
    const waiting = await gateway(refuse(503, { 'retry-after': '60' }))
    const stopped = createIntakeClient({
      baseUrl: waiting.baseUrl,
      signal: abort.signal,
      onRetry: () => abort.abort(),
    })
    await stopped.add('a', '1')
    await expect(stopped.finish()).rejects.toMatchObject({ name: 'AbortError' })
    expect(() => createIntakeClient({ baseUrl: 'nowhere' })).toThrow(/no URL/)
  })
})
