/**
 * `avg-speed` of one camera and day at a set rate: how long answers take, and what a request costs the server's
 * thread. The real router and read model over tables in memory; the load comes from a worker thread on the
 * same machine. A sealed day; a day that gets new sums of every camera each 1.5 s; hours of a day.
 * `node bench/api.ts [requests a second] [seconds] [cameras]`.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { formatDay, usPer5Minutes, usPerDay } from '../kernel/time.ts'
import { firstDayUs, rowOf, startDashboardServer } from '../testkit/dashboard-server.ts'
import { coldSeconds, runPacedLoad } from './lib-paced-load.ts'

const [rate = 1_000, seconds = 15, cameraCount = 1_000] = process.argv.slice(2).map(Number)
const server = await startDashboardServer({ cameraCount, pollMs: 250 })
const dayNumber = firstDayUs / usPerDay
const query = (day: number) =>
  `avg-speed?from=${formatDay(dayNumber + day)}&to=${formatDay(dayNumber + day + 1)}`
const cameras = Array.from({ length: cameraCount }, (_, i) => `KV1${String(i).padStart(4, '0')}`)
/** A fixed shuffle: 7,919 is prime, so every camera comes once before any comes again. */
const requests = (day: number) =>
  cameras.map((_, i) => `/kvfv/${cameras[(i * 7_919) % cameraCount] as string}/${query(day)}`)

async function measure(name: string, paths: readonly string[]): Promise<void> {
  const threadBefore = process.threadCpuUsage()
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const result = await runPacedLoad({ url: server.url, paths, ratePerSecond: rate, seconds })
  const thread = process.threadCpuUsage(threadBefore)
  delays.disable()
  const { latenciesMs, bytes, errors } = result
  const quantile = (q: number) =>
    (latenciesMs[Math.floor(q * (latenciesMs.length - 1))] as number).toFixed(1)
  console.log(
    [
      name.padEnd(34),
      `p50 ${quantile(0.5)} ms`,
      `p99 ${quantile(0.99)} ms`,
      `p99.9 ${quantile(0.999)} ms`,
      `max ${quantile(1)} ms`,
      `${(bytes / 1e6 / (seconds + coldSeconds)).toFixed(1)} MB/s`,
      `server thread ${((thread.user + thread.system) / (rate * (seconds + coldSeconds))).toFixed(0)} µs of CPU a request`,
      `its loop held up to ${(delays.max / 1e6).toFixed(0)} ms`,
      `errors ${errors}`,
    ].join(', '),
  )
}

await measure('warm-up', requests(2))
await measure('5m of a sealed day', requests(2))
await measure('5m of the live day, quiet', requests(3))
let window = 0
const commits = setInterval(() => {
  const startUs = firstDayUs + 3 * usPerDay + (190 + (window++ % 10)) * usPer5Minutes
  server.tables.appendRollup(cameras.map((camera) => rowOf(camera, startUs)))
}, 1_500)
await measure('5m of the live day, 1 commit/1.5 s', requests(3))
clearInterval(commits)
await measure(
  '1h of a sealed day',
  requests(2).map((path) => `${path}&interval=1h`),
)
await server.close()
