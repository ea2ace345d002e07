/**
 * Detections into a Kafka topic, as a foreign producer sends them: JSON of 180 B, plates all distinct, the
 * camera as key. In a process of its own, so that what it costs is nobody else's: either a given number as
 * fast as may be, or so many a second, with the instant at which each was acknowledged.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Producer, stringSerializers } from '@platformatic/kafka'

export type KafkaLoad = {
  readonly brokers: string
  readonly topic: string
  readonly events: number
  readonly cameras: number
  /** 5 % of the events within the last 10 days, 0.5 % within the last 300; else all within a minute. */
  readonly withLate: boolean
  /** Event times go from here evenly over `spanMs`. Absent: events happen when they are sent. */
  readonly span: { readonly startMs: number; readonly endMs: number } | null
  /** null: as fast as may be. */
  readonly ratePerSecond: number | null
}

/** After so many events were acknowledged, at which time of the clock. */
export type Acknowledged = { readonly count: number; readonly atMs: number }

export const eventBytes = 180
const dayMs = 86_400_000
const fillBatch = 20_000
const pacedBatchMs = 50

export async function runKafkaLoad(
  load: KafkaLoad,
  onAcknowledged: (at: Acknowledged) => void = () => {},
): Promise<void> {
  const child = fork(import.meta.filename, [JSON.stringify(load)], { execArgv: [] })
  child.on('message', (at) => onAcknowledged(at as Acknowledged))
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`the producer ended with ${String(code)}`)
}

/** The event with this number. Deterministic, so that both sinks of a comparison read the same. */
export function eventText(index: number, nowMs: number, load: KafkaLoad): string {
  const sample = (Math.imul(index, 2_654_435_761) >>> 0) % 1_000
  let timeMs = nowMs - (sample % 60) * 997
  if (load.withLate && sample < 55) {
    const days = sample < 5 ? 300 : 10
    timeMs = nowMs - (((index * 40_503) % 9_973) / 9_973) * days * dayMs
  }
  const speed = (20 + ((index * 31) % 90_000) / 1_000).toFixed(3)
  const head = `{"kvfv_id":"${cameraOf(index, load)}","timestamp":"${new Date(timeMs).toISOString()}","vehicle_speed":${speed},"plate_number":"А${index.toString(36)}77","lane":${(index % 4) + 1},"direction":"N","note":"`
  // The plate's first letter is two bytes.
  return `${head.padEnd(eventBytes - 3, 'x')}"}`
}

function cameraOf(index: number, load: KafkaLoad): string {
  return `KV${10_000 + ((index * 7_919) % load.cameras)}`
}

async function produce(load: KafkaLoad, tell: (at: Acknowledged) => void): Promise<void> {
  const producer = new Producer({
    clientId: 'bench-load',
    bootstrapBrokers: load.brokers.split(','),
    serializers: stringSerializers,
    compression: 'lz4',
    idempotent: true,
    acks: -1,
  })
  const { events, topic, ratePerSecond, span } = load
  const startedMs = Date.now()
  for (let from = 0; from < events; ) {
    const dueMs = Date.now() - startedMs
    const due =
      ratePerSecond === null
        ? from + fillBatch
        : Math.max(from + 1, Math.floor((dueMs * ratePerSecond) / 1_000))
    // A batch of a partition has a limit of bytes, also after a pause.
    const to = Math.min(events, due, from + fillBatch)
    const messages = []
    for (let i = from; i < to; i++) {
      const nowMs =
        span === null ? Date.now() : span.startMs + (i / events) * (span.endMs - span.startMs)
      messages.push({ topic, key: cameraOf(i, load), value: eventText(i, nowMs, load) })
    }
    await producer.send({ messages })
    from = to
    tell({ count: from, atMs: Date.now() })
    if (ratePerSecond !== null) await sleep(pacedBatchMs)
  }
  await producer.close()
}

const [given] = process.argv.slice(2)
if (process.argv[1] === import.meta.filename && given !== undefined) {
  await produce(JSON.parse(given) as KafkaLoad, (at) => process.send?.(at))
  process.disconnect()
}
