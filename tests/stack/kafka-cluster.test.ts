/** Appending to a Kafka of three nodes that lose a leader, and then more than they can do without. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isPotokError } from '../../kernel/errors.ts'
import type { EventLog } from '../../kernel/ports.ts'
import {
  cameraRecord,
  foreignClient,
  newTopic,
  openKafkaLog,
  readTopic,
} from '../../testkit/kafka-log.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'

let kafka: Kafka
let log: EventLog
const topic = newTopic()

beforeAll(async () => {
  kafka = await startKafka({ nodes: 3 })
  log = await openKafkaLog(kafka.brokers, topic, { partitionCount: 6, deliveryTimeoutMs: 4_000 })
})
afterAll(async () => {
  await log?.close()
  await kafka?.stop()
})

it('goes on when leaders die, stops acknowledging without two copies, and loses and doubles nothing', async () => {
  const admin = foreignClient(kafka.brokers).admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  await admin.disconnect()
  expect(topics[0]?.partitions.map(({ replicas }) => replicas.length)).toEqual(Array(6).fill(3))

  const acknowledged: string[] = []
  let unknown = 0
  const stop = new AbortController()
  const send = async (sender: number): Promise<void> => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const texts = Array.from({ length: 12 }, (_, n) => `${sender}:${i}:${n}`)
      try {
        await log.append(texts.map((text, n) => cameraRecord(`cam ${n}`, text, 6)))
        acknowledged.push(...texts)
      } catch (error) {
        if (!isPotokError(error, 'Unavailable')) throw error
        unknown++
      }
    }
  }
  const more = async (): Promise<void> => {
    const before = acknowledged.length
    await expect.poll(() => acknowledged.length, { timeout: 120_000 }).toBeGreaterThan(before + 24)
  }
  const senders = [send(0), send(1)]
  await more()
  await kafka.kill(0)
  await more()
  await kafka.kill(1)
  // One copy of three is left: nothing is acknowledged any more.
  const failures = unknown
  await expect.poll(() => unknown, { timeout: 60_000 }).toBeGreaterThan(failures + 2)
  const before = acknowledged.length
  await expect.poll(() => unknown, { timeout: 60_000 }).toBeGreaterThan(failures + 4)
  expect(acknowledged.length).toBe(before)
  await Promise.all([kafka.restart(0), kafka.restart(1)])
  await more()
  stop.abort()
  await Promise.all(senders)

  const seen = (await readTopic(kafka.brokers, topic)).map(({ value }) => value)
  const kept = new Set(seen)
  expect(acknowledged.filter((text) => !kept.has(text))).toEqual([])
  expect(seen.length - kept.size).toBe(0)
})
