import { once } from 'node:events'
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerOptions,
} from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { createGzip, gzipSync } from 'node:zlib'
import express from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { PotokError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/ports.ts'
import { createStubEventLog, type StubEventLog } from '../../testkit/stub-event-log.ts'
import { createIntakeRouter } from './http.ts'
import { intakeServerOptions } from './intake-limits.ts'
import { createIntake, type Intake, type IntakeMeasurement, type IntakeOptions } from './intake.ts'

const good =
  '{"kvfv_id":"KV1","timestamp":"2025-04-05T10:15:30Z","vehicle_speed":85.2,"plate_number":"А123БВ68"}'
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const ndjson = { 'content-type': 'application/x-ndjson' }
const json = { 'content-type': 'application/json' }

type Answer = { status: number; headers: IncomingMessage['headers']; body: any; text: string }

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function setUp(options: Partial<IntakeOptions> = {}, serverOptions: ServerOptions = {}) {
  const log: StubEventLog = createStubEventLog()
  const measured: IntakeMeasurement[] = []
  const intake: Intake = createIntake({
    log,
    clock: { nowMs: () => Date.UTC(2025, 3, 5, 10, 20) },
    logger: silent,
    onMetrics: (measurement) => measured.push(measurement),
    ...options,
  })
  const server = createServer(
    { ...intakeServerOptions, ...serverOptions },
    express().use(createIntakeRouter(intake)),
  )
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  /** `pieces` are sent one after another, each after the one before has left. */
  async function post(
    headers: Record<string, string>,
    pieces: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
    method = 'POST',
  ): Promise<Answer> {
    const request = httpRequest({ port, host: '127.0.0.1', path: '/v1/events', method, headers })
    const answered = once(request, 'response') as Promise<[IncomingMessage]>
    let isAnswered = false
    answered.then(
      () => (isAnswered = true),
      () => (isAnswered = true),
    )
    request.on('error', () => {})
    for await (const piece of pieces) {
      if (isAnswered) break
      await new Promise((resolve) => {
        request.write(piece, resolve)
      })
    }
    request.end()
    const [response] = await answered
    const parts: Buffer[] = []
    for await (const part of response) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString('utf8')
    const { statusCode = 0 } = response
    return { status: statusCode, headers: response.headers, body: JSON.parse(text), text }
  }
  return { intake, log, measured, port, post }
}

describe('POST /v1/events answers 202', () => {
  it('to NDJSON, one event and an array', async () => {
    const { post, log } = await setUp()
    for (const [headers, body, accepted] of [
      [ndjson, `${good}\n${good}\n`, 2],
      [{ 'content-type': 'application/jsonl; charset="UTF-8"' }, good, 1],
      [json, good, 1],
      [json, `[${good},${good},${good}]`, 3],
      [{}, `[${good}]`, 1],
    ] as const) {
      const answer = await post(headers, [body])
      expect([answer.status, answer.body]).toEqual([202, { accepted, rejected: [] }])
      expect(answer.headers['content-type']).toBe('application/json')
      expect(log.appends.at(-1)).toHaveLength(accepted)
    }
  })

  it('when one of a thousand is bad, and names it', async () => {
    const { post, log } = await setUp()
    const lines = Array.from({ length: 1_000 }, () => good)
    lines[3] = good.replace('85.2', '912.0')
    const answer = await post(ndjson, [lines.join('\n')])
    expect([answer.status, answer.body]).toEqual([
      202,
      {
        accepted: 999,
        rejected: [
          {
            index: 3,
            reason: 'speed_out_of_range',
            detail: 'vehicle_speed 912.0 is above 400 km/h',
          },
        ],
      },
    ])
    expect(log.appends[0]).toHaveLength(1_000)
  })

  it('to gzip, in one piece, byte by byte and in several members', async () => {
    const { post } = await setUp()
    const headers = { ...ndjson, 'content-encoding': 'gzip' }
    const packed = gzipSync(`${good}\n${good}`)
    expect(await post(headers, [packed])).toMatchObject({ status: 202, body: { accepted: 2 } })
    const bytes = Array.from(packed, (byte) => Uint8Array.of(byte))
    expect(await post(headers, bytes)).toMatchObject({ status: 202, body: { accepted: 2 } })
    const members = Buffer.concat([gzipSync(`${good}\n`), gzipSync(good)])
    expect(await post(headers, [members])).toMatchObject({ status: 202, body: { accepted: 2 } })
  })

  it('to a body cut anywhere, in the middle of a letter too', async () => {
    const { post, log } = await setUp()
    const bytes = Array.from(Buffer.from(good), (byte) => Uint8Array.of(byte))
    expect(await post(json, bytes)).toMatchObject({ status: 202, body: { accepted: 1 } })
    expect(Buffer.from(log.appends[0]?.[0]?.value ?? []).toString()).toBe(good)
  })

  it('to 15 MB of events, and leaves the bytes uncounted afterwards', async () => {
    const { post, intake } = await setUp()
    const count = 150_000
    const answer = await post(ndjson, [`${good}\n`.repeat(count)])
    expect(answer).toMatchObject({ status: 202, body: { accepted: count } })
    expect(intake.budget.usedBytes).toBe(0)
  })

  it('only after the log has the events', async () => {
    const { post, log } = await setUp()
    const order: string[] = []
    log.behave(async () => {
      await new Promise((next) => setTimeout(next, 20))
      order.push('durable')
    })
    const answer = await post(json, [good])
    order.push(`answered ${answer.status}`)
    expect(order).toEqual(['durable', 'answered 202'])
  })
})

describe('POST /v1/events answers 400', () => {
  it('with the same member `rejected` when nothing could be accepted, and keeps the items', async () => {
    const { post, log } = await setUp()
    const answer = await post(ndjson, ['{"kvfv_id":"K"}\nnonsense\n'])
    expect(answer.status).toBe(400)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.body).toMatchObject({
      type: 'urn:potok:problem:invalid-input',
      status: 400,
      accepted: 0,
      rejected: [
        { index: 0, reason: 'missing_field', detail: 'timestamp is missing' },
        { index: 1, reason: 'invalid_json' },
      ],
    })
    expect(log.appends[0]).toHaveLength(2)
  })

  it.each([
    ['an empty body', json, ''],
    ['an empty array', json, '[]'],
    ['blank lines', ndjson, '\n \n'],
    ['half a document', json, `[${good}`],
    ['two documents', json, `${good} ${good}`],
    ['bad UTF-8 in a document', json, Buffer.from(good, 'latin1')],
    ['no gzip', { ...json, 'content-encoding': 'gzip' }, good],
    ['truncated gzip', { ...json, 'content-encoding': 'gzip' }, gzipSync(good).subarray(0, 40)],
    [
      'gzip without its checksum',
      { ...json, 'content-encoding': 'gzip' },
      gzipSync(good).subarray(0, -4),
    ],
    ['UTF-16', json, Buffer.from(`\uFEFF${good}`, 'utf16le')],
  ] as const)('to %s, and keeps nothing', async (_name, headers, body) => {
    const { post, log, intake } = await setUp()
    const answer = await post(headers, [body])
    expect(answer.status).toBe(400)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.body.detail).not.toBe('')
    expect(answer.text).not.toContain('123БВ')
    expect(log.appends).toEqual([])
    expect(intake.budget.usedBytes).toBe(0)
  })
})

describe('POST /v1/events answers 413', () => {
  it('to a declared length above the limit, before the body comes', async () => {
    const { port, measured } = await setUp()
    const socket = connect(port, '127.0.0.1')
    socket.write(
      'POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n',
    )
    const [piece] = (await once(socket, 'data')) as [Buffer]
    expect(piece.toString()).toMatch(/^HTTP\/1.1 413 /)
    expect(measured).toMatchObject([{ outcome: 'refused' }])
    socket.destroy()
  })

  it('to a stream that passes the limit', async () => {
    const { post, log, intake } = await setUp()
    const piece = Buffer.alloc(1_024 * 1_024, 0x20)
    const answer = await post(
      json,
      Array.from({ length: 40 }, () => piece),
    )
    expect(answer.status).toBe(413)
    expect(log.appends).toEqual([])
    expect(intake.budget.usedBytes).toBe(0)
  })

  it('to a zip bomb, which costs no memory', async () => {
    const { post, intake } = await setUp()
    // 256 MiB of spaces.
    const gzip = createGzip({ level: 9 })
    const packed: Buffer[] = []
    gzip.on('data', (piece: Buffer) => packed.push(piece))
    const mib = Buffer.alloc(1_024 * 1_024, 0x20)
    for (let i = 0; i < 256; i++) {
      if (!gzip.write(mib)) await once(gzip, 'drain')
    }
    gzip.end()
    await once(gzip, 'end')
    const bomb = Buffer.concat(packed)
    expect(bomb.length).toBeLessThan(1_024 * 1_024)

    const headers = { ...ndjson, 'content-encoding': 'gzip' }
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const sampling = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }, 2)
    const answers = await Promise.all([1, 2, 3, 4].map(() => post(headers, [bomb])))
    clearInterval(sampling)
    expect(answers.map(({ status }) => status)).toEqual([413, 413, 413, 413])
    // 16 MiB each, and half of it again while a buffer is being enlarged; 1 GiB would have come out.
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(4 * 28 * 1_024 * 1_024)
    expect(intake.budget.usedBytes).toBe(0)
  })
})

describe('POST /v1/events answers 415', () => {
  it.each([
    [{ 'content-type': 'application/x-www-form-urlencoded' }, 'application/x-ndjson'],
    [{ 'content-type': 'text/plain' }, 'application/json'],
    [{ 'content-type': 'application/json; charset=utf-16' }, 'UTF-8'],
    [{ ...json, 'content-encoding': 'zstd' }, 'gzip'],
    [{ ...json, 'content-encoding': 'gzip, gzip' }, 'gzip'],
  ])('to %j, and says what to send', async (headers, hint) => {
    const { post, log, measured } = await setUp()
    const answer = await post(headers, [good])
    expect(answer.status).toBe(415)
    expect(answer.body.detail).toContain(hint)
    expect(log.appends).toEqual([])
    expect(measured).toMatchObject([{ outcome: 'refused' }])
  })
})

describe('POST /v1/events answers 503 with Retry-After', () => {
  it('when the log is full, fails or does not confirm in time', async () => {
    const { post, log } = await setUp({ limits: { appendTimeoutMs: 5, retryAfterSeconds: 3 } })
    for (const behaviour of [
      async () => {
        throw new PotokError('Overloaded', 'the log is full')
      },
      async () => {
        throw new Error('EIO')
      },
      () => new Promise<void>(() => {}),
    ]) {
      log.behave(behaviour)
      const answer = await post(json, [good])
      expect([answer.status, answer.headers['retry-after']]).toEqual([503, '3'])
      expect(answer.body.retryable).toBe(true)
      expect(answer.text).not.toContain('EIO')
    }
  })

  it('when too many bytes are in flight, before any side effect', async () => {
    const { post, log, intake } = await setUp({ limits: { inFlightBytesMax: 200_000 } })
    const { promise, resolve } = Promise.withResolvers<void>()
    log.behave(() => promise)
    const body = `${good}\n`.repeat(1_000)
    const first = post(ndjson, [body])
    while (intake.budget.usedBytes < 100_000) await new Promise((next) => setTimeout(next, 2))
    const second = await post(ndjson, [body])
    expect([second.status, second.headers['retry-after']]).toEqual([503, '2'])
    resolve()
    expect((await first).status).toBe(202)
    expect(log.appends).toHaveLength(1)
    expect(intake.budget.usedBytes).toBe(0)
  })

  it('when it is shutting down', async () => {
    const { post, intake } = await setUp()
    await intake.close()
    expect((await post(json, [good])).status).toBe(503)
  })
})

describe('POST /v1/events', () => {
  it('keeps nothing of a connection that is lost before the end of the body', async () => {
    const { port, log, intake, measured } = await setUp()
    const socket = connect(port, '127.0.0.1')
    socket.write(
      `POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 500\r\n\r\n${good}\n`,
    )
    while (intake.budget.usedBytes === 0) await new Promise((next) => setTimeout(next, 2))
    socket.destroy()
    while (measured.length === 0) await new Promise((next) => setTimeout(next, 2))
    expect(log.appends).toEqual([])
    expect(intake.budget.usedBytes).toBe(0)
  })

  it('ends a body that comes a byte at a time, and gives its bytes back', async () => {
    const times = { headersTimeout: 200, requestTimeout: 200, connectionsCheckingInterval: 20 }
    const { port, log, intake } = await setUp({}, times)
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(
      'POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n',
    )
    const dripping = setInterval(() => socket.write('{'), 10)
    const parts: Buffer[] = []
    socket.on('data', (part: Buffer) => parts.push(part))
    await once(socket, 'close')
    clearInterval(dripping)
    expect(Buffer.concat(parts).toString()).toMatch(/^HTTP\/1.1 408 /)
    while (intake.budget.usedBytes > 0) await new Promise((next) => setTimeout(next, 2))
    expect(log.appends).toEqual([])
  })

  it('is the only method', async () => {
    const { post } = await setUp()
    const answer = await post({}, [], 'PUT')
    expect([answer.status, answer.headers.allow]).toEqual([405, 'POST'])
  })
})
