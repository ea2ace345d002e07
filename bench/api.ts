/**
 * `avg-speed` of one camera and day at a set rate: how long answers take, and what the server's CPU costs.
 * The real router and read model over tables in memory; the load comes from a worker thread on the same
 * machine. `node bench/api.ts [requests a second] [seconds] [cameras]`.
 */
// @ts-expect-error it brings no types
import autocannon from 'autocannon'
import { formatDay, usPerDay } from '../kernel/time.ts'
import { firstDayUs, startDashboardServer } from '../testkit/dashboard-server.ts'

const [rate = 1_000, seconds = 15, cameraCount = 200] = process.argv.slice(2).map(Number)
const server = await startDashboardServer({ cameraCount, pollMs: 250 })
const dayNumber = firstDayUs / usPerDay
const query = (day: number) =>
  `avg-speed?from=${formatDay(dayNumber + day)}&to=${formatDay(dayNumber + day + 1)}`
const paths = Array.from(
  { length: cameraCount },
  (_, i) => `/kvfv/KV1${String(i).padStart(4, '0')}/${query(2)}`,
)

async function measure(name: string, requests: readonly { path: string }[]): Promise<void> {
  const cpuBefore = process.cpuUsage()
  const threadBefore = performance.eventLoopUtilization()
  const result = await autocannon({
    url: server.url,
    connections: 20,
    overallRate: rate,
    duration: seconds,
    workers: 1,
    requests: [...requests],
  })
  const { user, system } = process.cpuUsage(cpuBefore)
  const { utilization } = performance.eventLoopUtilization(threadBefore)
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
      `server thread ${(utilization * 100).toFixed(0)} % busy`,
      `CPU with load ${((user + system) / 1e6 / result.duration).toFixed(2)} cores`,
      `errors ${result.errors + result.non2xx}`,
    ].join(', '),
  )
}

const day = paths.map((path) => ({ path }))
await measure('warm-up', day)
await measure('5m of a day, all cameras in turn', day)
await measure(
  '1h of a day',
  day.map(({ path }) => ({ path: `${path}&interval=1h` })),
)
await server.close()
