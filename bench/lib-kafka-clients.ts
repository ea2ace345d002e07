/** What the comparisons of Kafka clients share: the same events for all, and a process of its own for each. */
import { spawn } from 'node:child_process'

export type BenchEvent = { readonly camera: string; readonly value: string }

/** Event number `i`: about 180 bytes, plates all distinct, a thousand cameras. */
export function benchEvent(i: number): BenchEvent {
  const camera = `KV${10_000 + ((i * 7_919) % 1_000)}`
  const value = JSON.stringify({
    kvfv_id: camera,
    timestamp: new Date(1_743_848_100_000 + i * 11).toISOString(),
    vehicle_speed: ((i * 2_654_435_761) % 150_000) / 1_000,
    plate_number: `А${((i * 48_271) % 1_000_003).toString(36)}БВ68`,
    event_id: `0197e6b0-7c1f-7d3a-${(i * 40_503) % 9_973}-${i.toString(16).padStart(12, '0')}`,
    lane: i % 4,
  })
  return { camera, value }
}

/** Runs `script --one NAME …` and gives what it printed as JSON. */
export async function runInProcess<T>(
  script: string,
  one: { name: string; topic: string; brokers: string; count: number },
): Promise<T> {
  const { name, topic, brokers, count } = one
  const args = ['--one', name, '--topic', topic, '--brokers', brokers, '--count', String(count)]
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => {
    child.on('exit', resolve)
  })
  if (code !== 0) throw new Error(`${name} ended with ${code}`)
  return JSON.parse(text) as T
}
