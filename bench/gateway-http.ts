/**
 * The gateway as its clients meet it: a real `potok gateway` over the embedded log and over Kafka, against a bare
 * handler that only parses and answers, each a process of its own. Single events and NDJSON of 1,000 over
 * keep-alive connections, sent by autocannon as fast as answers come: requests/s, events/s and latency. What an
 * answer of potok's means is that the log has the events durably; the bare handler's means nothing.
 * `npm run bench -- gateway-http [--seconds 10]`
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import autocannon from 'autocannon'
import { startRole, temporaryFolder } from '../testkit/potok-process.ts'
import { startKafka } from '../testkit/servers/kafka.ts'
import { machine, usageOf } from './lib-machine.ts'

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    bare: { type: 'boolean', default: false },
  },
})
const seconds = Number(flags.seconds)
const bodies = 64
const partitions = '8'
const kafkaJavaArgs = ['-Xms512m', '-Xmx1g']
const shapes = [
  { name: 'single events', eventsPerBody: 1, connections: 64, type: 'application/json' },
  { name: 'NDJSON of 1,000', eventsPerBody: 1_000, connections: 8, type: 'application/x-ndjson' },
] as const

type Target = { readonly name: string; readonly url: string; readonly pid: number }

function bodyOf(at: number, eventsPerBody: number): string {
  const lines = Array.from({ length: eventsPerBody }, (_, i) => {
    const n = at * eventsPerBody + i
    return JSON.stringify({
      kvfv_id: `KV${10_000 + ((n * 7_919) % 1_000)}`,
      timestamp: new Date(Date.now() - (n % 60) * 997).toISOString(),
      vehicle_speed: Math.round(600 + 300 * Math.sin(n)) / 10,
      plate_number: `А${n.toString(36)}77`,
      lane: (n % 4) + 1,
      direction: 'N',
      note: 'x'.repeat(55),
    })
  })
  return lines.join('\n')
}

async function load(target: Target): Promise<void> {
  for (const { name, eventsPerBody, connections, type } of shapes) {
    const requests = Array.from({ length: bodies }, (_, at) => ({
      method: 'POST' as const,
      path: '/v1/events',
      headers: { 'content-type': type },
      body: bodyOf(at, eventsPerBody),
    }))
    const run = (duration: number) =>
      autocannon({ url: target.url, connections, duration, requests })
    // Compilers and connections first.
    await run(2)
    const before = usageOf(target.pid).cpuSeconds
    const result = await run(seconds)
    const cpuSeconds = usageOf(target.pid).cpuSeconds - before
    const answered = result['2xx']
    console.log(
      JSON.stringify({
        target: target.name,
        requests: name,
        connections,
        requestsPerSecond: Math.round(answered / result.duration),
        eventsPerSecond: Math.round((answered * eventsPerBody) / result.duration),
        p50Ms: result.latency.p50,
        p99Ms: result.latency.p99,
        cpuSecondsPerMillionEvents:
          Math.round((cpuSeconds / (answered * eventsPerBody)) * 1e8) / 100,
        refused: result.non2xx,
        errors: result.errors,
        bodyBytes: requests[0]?.body.length,
      }),
    )
  }
}

/** Parses every event, answers, and that is all. */
function serveBare(): void {
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      let accepted = 0
      for (const line of Buffer.concat(chunks).toString('utf8').split('\n')) {
        if (line !== '' && typeof JSON.parse(line) === 'object') accepted++
      }
      response.writeHead(202, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ accepted, rejected: [] }))
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
}

async function withBare(): Promise<void> {
  const child: ChildProcess = fork(import.meta.filename, ['--bare'], { execArgv: [] })
  const [port] = (await once(child, 'message')) as [number]
  const url = `http://127.0.0.1:${port}`
  await load({ name: 'bare handler', url, pid: child.pid as number })
  child.kill('SIGTERM')
  await once(child, 'exit')
}

async function withGateway(name: string, args: readonly string[]): Promise<void> {
  const folder = temporaryFolder('bench-gateway')
  try {
    const role = await startRole('gateway', join(folder.path, 'data'), [
      '--log-partitions',
      partitions,
      ...args,
    ])
    await load({ name, url: role.url, pid: role.pid })
    await role.kill('SIGTERM')
  } finally {
    folder.remove()
  }
}

if (flags.bare) {
  serveBare()
} else {
  console.log(`${machine()}; ${seconds} s each; autocannon shares the cores`)
  await withBare()
  await withGateway('gateway, embedded log', [])
  const kafka = await startKafka({ javaArgs: kafkaJavaArgs })
  try {
    await withGateway('gateway, Kafka', ['--kafka-brokers', kafka.brokers])
  } finally {
    await kafka.stop()
  }
}
