/**
 * Requests at an even pace from a worker thread, whether answers come or not: a latency counts from when its
 * request was due, so a server that stalls can't hide what would have waited. (autocannon sends a second's
 * requests in one burst, which measures its own queue.)
 */
import { Agent, get } from 'node:http'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

export type PacedLoad = {
  readonly url: string
  readonly paths: readonly string[]
  readonly ratePerSecond: number
  readonly seconds: number
}

export type PacedResult = {
  /** Ascending. */
  readonly latenciesMs: Float64Array
  readonly bytes: number
  readonly errors: number
}

/** A thread that has just begun is slow itself: its first requests don't count. */
export const coldSeconds = 2

export function runPacedLoad(load: PacedLoad): Promise<PacedResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { pacedLoad: load } })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

async function run({ url, paths, ratePerSecond, seconds }: PacedLoad): Promise<PacedResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const uncounted = ratePerSecond * coldSeconds
  const count = ratePerSecond * seconds + uncounted
  const latenciesMs = new Float64Array(count)
  let bytes = 0
  let errors = 0
  let sent = 0
  let done = 0
  const startedMs = performance.now()
  await new Promise<void>((resolve) => {
    const finish = () => {
      if (++done === count) resolve()
    }
    const send = (index: number) => {
      const dueMs = startedMs + (index * 1_000) / ratePerSecond
      const request = get(url + (paths[index % paths.length] as string), { agent }, (response) => {
        if (response.statusCode !== 200) errors++
        response.on('data', (chunk: Buffer) => (bytes += chunk.length))
        response.once('end', () => {
          latenciesMs[index] = performance.now() - dueMs
          finish()
        })
      })
      request.once('error', () => {
        errors++
        latenciesMs[index] = Number.POSITIVE_INFINITY
        finish()
      })
    }
    const timer = setInterval(() => {
      const due = Math.min(count, ((performance.now() - startedMs) * ratePerSecond) / 1_000)
      while (sent < due) send(sent++)
      if (sent === count) clearInterval(timer)
    }, 1)
  })
  agent.destroy()
  return { latenciesMs: latenciesMs.slice(uncounted).sort(), bytes, errors }
}

const given = isMainThread ? undefined : (workerData as { pacedLoad?: PacedLoad }).pacedLoad
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
if (given !== undefined) parentPort?.postMessage(await run(given))
