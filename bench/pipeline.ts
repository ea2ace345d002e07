/**
 * The whole embedded pipeline: HTTP NDJSON in → durable log → `events` and `rollup_5m` committed, in one
 * process, against a bare HTTP server that takes the same bodies, parses each line with JSON.parse and
 * appends the body to a file with fsync: what intake alone costs with the plainest code.
 * `npm run bench -- pipeline --events 10000000`
 */
import { fork } from 'node:child_process'
import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs'
import { Agent, createServer, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { getJson, startPotok, temporaryFolder } from '../testkit/potok-process.ts'
import { machine, usageOf } from './lib-machine.ts'

const lineBytes = 180
const perBody = 2_000
const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '10000000' },
    cameras: { type: 'string', default: '1000' },
    connections: { type: 'string', default: '4' },
    bare: { type: 'boolean', default: false },
  },
})
const events = Math.ceil(Number(values.events) / perBody) * perBody
const cameras = Number(values.cameras)

/** Events of a day until now in the order of time, each line exactly 180 bytes, plates all distinct. */
function writeInput(path: string): void {
  const fd = openSync(path, 'w')
  const startMs = Date.now() - 20 * 3_600_000
  const stepMs = (20 * 3_600_000) / events
  let lines: string[] = []
  for (let i = 0; i < events; i++) {
    const camera = (i * 7_919) % cameras
    const speed = 20 + ((i * 31) % 90_000) / 1000
    const time = new Date(startMs + i * stepMs).toISOString()
    const head = `{"kvfv_id":"KV${10_000 + camera}","timestamp":"${time}","vehicle_speed":${speed.toFixed(3)},"plate_number":"A${i.toString(36)}","lane":${(i % 4) + 1},"direction":"N","note":"`
    lines.push(`${head.padEnd(lineBytes - 3, 'x')}"}\n`)
    if (lines.length === 10_000 || i === events - 1) {
      writeSync(fd, lines.join(''))
      lines = []
    }
  }
  closeSync(fd)
}

async function send(path: string, url: string): Promise<number> {
  const fd = openSync(path, 'r')
  const agent = new Agent({ keepAlive: true, maxSockets: Number(values.connections) })
  const target = new URL('/v1/events', url)
  let next = 0
  let retried = 0
  const started = performance.now()
  const one = async (): Promise<void> => {
    for (;;) {
      const at = next
      next += perBody
      if (at >= events) return
      const body = Buffer.allocUnsafe(perBody * lineBytes)
      readSync(fd, body, 0, body.length, at * lineBytes)
      for (;;) {
        const status = await new Promise<number>((resolve, reject) => {
          const req = request(
            target,
            {
              method: 'POST',
              agent,
              headers: { 'content-type': 'application/x-ndjson', 'content-length': body.length },
            },
            (res) => {
              res.resume()
              res.on('end', () => resolve(res.statusCode ?? 0))
            },
          )
          req.on('error', reject)
          req.end(body)
        })
        if (status === 202) break
        if (status !== 503) throw new Error(`answered ${status}`)
        retried++
        await sleep(200)
      }
    }
  }
  await Promise.all(Array.from({ length: Number(values.connections) }, one))
  agent.destroy()
  closeSync(fd)
  if (retried > 0) console.log(`(${retried} bodies were sent again after 503)`)
  return (performance.now() - started) / 1000
}

async function potok(path: string, data: string): Promise<void> {
  const running = await startPotok(data, ['--recompute-schedule', 'off'])
  const before = usageOf(running.pid)
  let anonymousMib = 0
  const sampling = setInterval(() => {
    anonymousMib = Math.max(anonymousMib, usageOf(running.pid).anonymousMib)
  }, 250)
  const started = performance.now()
  const accepted = await send(path, running.url)
  for (;;) {
    const { lag } = await lagOf(running.url)
    if (lag === 0) break
    await sleep(200)
  }
  const committed = (performance.now() - started) / 1000
  const after = usageOf(running.pid)
  clearInterval(sampling)
  console.log(
    `potok: accepted ${Math.round(events / accepted)} events/s (${accepted.toFixed(1)} s); committed to events and rollup_5m ${Math.round(events / committed)} events/s (${committed.toFixed(1)} s); ${((1e6 * (after.cpuSeconds - before.cpuSeconds)) / events).toFixed(2)} CPU s per million; peak ${anonymousMib} MiB of its own, ${after.rssPeakMib} MiB with mapped pages of the log`,
  )
  await running.kill('SIGTERM')
}

async function lagOf(url: string): Promise<{ lag: number }> {
  const status = await getJson<{ sinks: { lag: number | null }[] }>(`${url}/v1/status`)
  return { lag: status.sinks.reduce((sum, sink) => sum + (sink.lag ?? Number.NaN), 0) }
}

async function bare(path: string, data: string): Promise<void> {
  const child = fork(import.meta.filename, ['--bare'], {
    env: { ...process.env, BARE_FILE: join(data, 'bare') },
  })
  const port = await new Promise<number>((resolve) =>
    child.once('message', (p) => resolve(Number(p))),
  )
  const before = usageOf(child.pid as number)
  const seconds = await send(path, `http://127.0.0.1:${port}`)
  const after = usageOf(child.pid as number)
  console.log(
    `bare server (JSON.parse, append, fsync; no tables): ${Math.round(events / seconds)} events/s; ${((1e6 * (after.cpuSeconds - before.cpuSeconds)) / events).toFixed(2)} CPU s per million; peak ${after.rssPeakMib} MiB`,
  )
  child.kill()
}

function serveBare(): void {
  const fd = openSync(process.env['BARE_FILE'] as string, 'w')
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const body = Buffer.concat(chunks)
      let count = 0
      for (const line of body.toString('utf8').split('\n'))
        if (line !== '') count += JSON.parse(line) === null ? 0 : 1
      writeSync(fd, body)
      fdatasyncSync(fd)
      res.writeHead(202).end(String(count))
    })
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    if (typeof address === 'object' && address !== null) process.send?.(address.port)
  })
}

if (values.bare) serveBare()
else {
  const folder = temporaryFolder('bench')
  try {
    const input = join(folder.path, 'input.ndjson')
    writeInput(input)
    console.log(
      `${machine()}\n${events} events of ${lineBytes} B, ${cameras} cameras, bodies of ${perBody}, ${values.connections} connections`,
    )
    await bare(input, folder.path)
    await potok(input, join(folder.path, 'data'))
  } finally {
    folder.remove()
  }
}
