/**
 * `avg-speed` of one camera and day at a set rate: how long answers take, and what a request costs the server's
 * thread. The real router and read model over tables in memory; the load comes from a worker thread on the
 * same machine. A sealed day; a day that gets new sums of every camera each 1.5 s; hours of a day.
 * `node bench/api.ts [requests a second] [seconds] [cameras]`.
 */
// @ts-expect-error it brings no types
import autocannon from 'autocannon'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { formatDay, usPer5Minutes, usPerDay } from '../kernel/time.ts'
import { firstDayUs, rowOf, startDashboardServer } from '../testkit/dashboard-server.ts'

const [rate = 1_000, seconds = 15, cameraCount = 1_000] = process.argv.slice(2).map(Number)
const server = await startDashboardServer({ cameraCount, pollMs: 250 })
const dayNumber = firstDayUs / usPerDay
const query = (day: number) =>
  `avg-speed?from=${formatDay(dayNumber + day)}&to=${formatDay(dayNumber + day + 1)}`
const cameras = Array.from({ length: cameraCount }, (_, i) => `KV1${String(i).padStart(4, '0')}`)
/** A fixed shuffle: 7,919 is prime, so every camera comes once before any comes again. */
const requests = (day: number) =>
  cameras.map((_, i) => ({
    path: `/kvfv/${cameras[(i * 7_919) % cameraCount] as string}/${query(day)}`,
  }))

async function measure(name: string, requests: readonly { path: string }[]): Promise<void> {
  const cpuBefore = process.cpuUsage()
  const threadBefore = process.threadCpuUsage()
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const result = await autocannon({
    url: server.url,
    connections: 20,
    overallRate: rate,
    duration: seconds,
    workers: 1,
    requests: [...requests],
  })
  const { user, system } = process.cpuUsage(cpuBefore)
  const thread = process.threadCpuUsage(threadBefore)
  delays.disable()
  const { p50, p99, p99_9, max } = result.latency
  console.log(
    [
      name.padEnd(34),
      `${(result.requests.total / result.duration).toFixed(0)} req/s`,
      `p50 ${p50} ms`,
      `p99 ${p99} ms`,
      `p99.9 ${p99_9} ms`,
      `max ${max} ms`,
      `${(result.throughput.average / 1e6).toFixed(1)} MB/s`,
      `server thread ${((thread.user + thread.system) / result.requests.total).toFixed(0)} µs of CPU a request`,
      `loop held up to ${(delays.max / 1e6).toFixed(0)} ms (p99 ${(delays.percentile(99) / 1e6).toFixed(1)})`,
      `CPU with load ${((user + system) / 1e6 / result.duration).toFixed(2)} cores`,
      `errors ${result.errors + result.non2xx}`,
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
  requests(2).map(({ path }) => ({ path: `${path}&interval=1h` })),
)
await server.close()
