/**
 * The gateway on one thread, the log mocked: judging alone (no HTTP), then requests of 1,000 events over
 * loopback against a bare handler that reads the body and answers. The client runs in a worker; figures are
 * events per CPU second of the server's thread. `node bench/gateway.ts`
 */
/* oxlint-disable unicorn/require-post-message-target-origin -- worker threads have no origin */
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import express from 'express'
import { createIntakeRouter } from '../ingest/gateway/http.ts'
import { createIntake, type IntakeOptions } from '../ingest/gateway/intake.ts'
import { createMapping } from '../ingest/gateway/mapping.ts'
import { createPlatePolicy } from '../kernel/plate-policy.ts'
import { createStubEventLog } from '../testkit/stub-event-log.ts'

const eventsPerBody = 1_000
const bodies = 64
const requestsPerRound = 400
const concurrency = 8

function bodyOf(at: number): string {
  const lines: string[] = []
  for (let i = 0; i < eventsPerBody; i++) {
    const n = at * eventsPerBody + i
    lines.push(
      JSON.stringify({
        kvfv_id: `KV${10_000 + (n % 1_000)}`,
        timestamp: new Date(Date.UTC(2025, 3, 5) + n * 80).toISOString(),
        vehicle_speed: Math.round(600 + 300 * Math.sin(n)) / 10,
        plate_number: `А${String(n % 1_000).padStart(3, '0')}ВС${n % 100}`,
        lane: (n % 4) + 1,
      }),
    )
  }
  return lines.join('\n')
}

function none(): void {}

function intakeOf(options: Partial<IntakeOptions> = {}) {
  const log = createStubEventLog()
  log.append = async () => undefined
  return createIntake({
    log,
    clock: { nowMs: () => Date.UTC(2025, 3, 6) },
    logger: { debug: none, info: none, warn: none, error: none },
    ...options,
  })
}

async function judging(): Promise<void> {
  const texts = Array.from({ length: bodies }, (_, i) => bodyOf(i))
  const lines = texts.map((text) => Buffer.from(text))
  const arrays = texts.map((text) => Buffer.from(`[${text.replaceAll('\n', ',')}]`))
  const secret = Buffer.alloc(32, 1)
  const cases: [string, Buffer[], 'json' | 'ndjson', Partial<IntakeOptions>][] = [
    ['NDJSON', lines, 'ndjson', {}],
    ['JSON array', arrays, 'json', {}],
    [
      'NDJSON, plates as HMAC',
      lines,
      'ndjson',
      { platePolicy: createPlatePolicy({ mode: 'hmac', secret }) },
    ],
    ['NDJSON, mapped (mph)', lines, 'ndjson', { mapping: createMapping({ speedUnit: 'mph' }) }],
  ]
  for (const [name, inputs, format, options] of cases) {
    const intake = intakeOf(options)
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 6; round++) {
      const before = process.cpuUsage()
      for (const body of inputs)
        await intake.accept(body, format, 'http', Date.UTC(2025, 3, 6) * 1_000)
      const { user, system } = process.cpuUsage(before)
      best = Math.min(best, (user + system) / 1e6)
    }
    console.log(`judging ${name.padEnd(26)} ${rate((bodies * eventsPerBody) / best)}`)
  }
}

async function overHttp(): Promise<void> {
  const bare = createServer((incoming, response) => {
    incoming.on('data', () => undefined).on('end', () => response.writeHead(202).end('{}'))
  })
  const app = express().disable('x-powered-by').use(createIntakeRouter(intakeOf()))
  for (const [name, server, isPacked] of [
    ['bare handler', bare, false],
    ['gateway', createServer(app), false],
    ['gateway, gzip', createServer(app), true],
  ] as const) {
    const { events, serverCpuSeconds, seconds } = await load(server, isPacked)
    console.log(
      `HTTP ${name.padEnd(29)} ${rate(events / serverCpuSeconds)} of the server's thread, ${rate(events / seconds)} wall`,
    )
  }
}

async function load(server: Server, isPacked: boolean) {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const worker = new Worker(new URL(import.meta.url), { workerData: { port, isPacked } })
  const step = () =>
    new Promise<number>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  await step()
  let best = { events: 0, serverCpuSeconds: Number.POSITIVE_INFINITY, seconds: 0 }
  for (let round = 0; round < 4; round++) {
    const cpu = process.threadCpuUsage()
    const done = step()
    worker.postMessage('round')
    const seconds = await done
    const { user, system } = process.threadCpuUsage(cpu)
    const serverCpuSeconds = (user + system) / 1e6
    const events = requestsPerRound * eventsPerBody
    if (serverCpuSeconds < best.serverCpuSeconds) best = { events, serverCpuSeconds, seconds }
  }
  await worker.terminate()
  server.closeAllConnections()
  server.close()
  return best
}

function client({ port, isPacked }: { port: number; isPacked: boolean }): void {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency })
  const payloads = Array.from({ length: bodies }, (_, i) => {
    const body = Buffer.from(bodyOf(i))
    return isPacked ? gzipSync(body) : body
  })
  const headers = {
    'content-type': 'application/x-ndjson',
    ...(isPacked ? { 'content-encoding': 'gzip' } : {}),
  }
  const send = (i: number) =>
    new Promise<void>((resolve, reject) => {
      const payload = payloads[i % bodies] as Buffer
      const outgoing = request(
        {
          port,
          host: '127.0.0.1',
          path: '/v1/events',
          method: 'POST',
          agent,
          headers: { ...headers, 'content-length': payload.length },
        },
        (response) => {
          if (response.statusCode !== 202) reject(new Error(`status ${response.statusCode}`))
          response.resume().on('end', resolve)
        },
      )
      outgoing.on('error', reject).end(payload)
    })
  parentPort?.on('message', () => {
    const started = performance.now()
    let next = 0
    const lane = async () => {
      while (next < requestsPerRound) await send(next++)
    }
    void Promise.all(Array.from({ length: concurrency }, lane)).then(() => {
      parentPort?.postMessage((performance.now() - started) / 1_000)
    })
  })
  parentPort?.postMessage(0)
}

function rate(perSecond: number): string {
  return `${String(Math.round(perSecond / 1_000)).padStart(5)} k events/s`
}

if (isMainThread) {
  await judging()
  await overHttp()
} else {
  client(workerData as { port: number; isPacked: boolean })
}
