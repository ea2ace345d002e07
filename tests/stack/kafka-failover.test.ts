/**
 * Reading from three brokers while two of them are killed one after the other: leaders and the group's coordinator move, and
 * what was acknowledged is read once, in order.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isPotokError } from '../../kernel/errors.ts'
import { blockOffset } from '../../kernel/record-block.ts'
import { cameraRecord, newTopic, openKafkaLog } from '../../testkit/kafka-log.ts'
import { textsOf } from '../../testkit/records.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'

const never = new AbortController().signal

let kafka: Kafka

beforeAll(async () => {
  kafka = await startKafka({ nodes: 3 })
})
afterAll(() => kafka?.stop())

it('goes on from new leaders and a new coordinator as brokers are killed and come back', async () => {
  const log = await openKafkaLog(kafka.brokers, newTopic(), {
    partitionCount: 6,
    deliveryTimeoutMs: 60_000,
    openTimeoutMs: 60_000,
    sessionTimeoutMs: 10_000,
  })
  try {
    const reader = await log.openReader({ group: 'g' })
    await expect.poll(() => reader.assignment().length, { timeout: 60_000 }).toBe(6)
    for (const { logPartition } of await log.ranges()) await reader.seek(logPartition, 0)
    const seen = new Map<number, string[]>()
    const ends = new Map<number, number>()
    const acknowledged: string[] = []
    const stop = new AbortController()

    const write = async (): Promise<void> => {
      for (let i = 0; !stop.signal.aborted; i++) {
        const text = `${i % 6}:${Math.floor(i / 6)}`
        await log.append([{ ...cameraRecord('KV1', text, 6), logPartition: i % 6 }])
        acknowledged.push(text)
      }
    }
    const count = (): number => [...seen.values()].reduce((sum, list) => sum + list.length, 0)
    const read = async (): Promise<void> => {
      while (!stop.signal.aborted || count() < acknowledged.length) {
        for (const block of await reader.poll({ maxWaitMs: 250, maxBytes: 1e6, signal: never })) {
          const { logPartition } = block
          expect(block.baseOffset).toBeGreaterThanOrEqual(ends.get(logPartition) ?? 0)
          ends.set(logPartition, block.nextOffset)
          expect(blockOffset(block, 0)).toBe(block.baseOffset)
          seen.set(logPartition, [...(seen.get(logPartition) ?? []), ...textsOf(block)])
        }
      }
    }
    const kill = async (): Promise<void> => {
      for (const node of [0, 1]) {
        await kafka.kill(node)
        const before = count()
        // Two of three are enough to write and to read.
        await expect.poll(count, { timeout: 90_000 }).toBeGreaterThan(before + 60)
        await kafka.restart(node)
        await inSync(node)
      }
    }
    const inSync = async (node: number): Promise<void> => {
      const describe = (): Promise<string> =>
        kafka.tool('org.apache.kafka.tools.TopicCommand', [
          '--bootstrap-server',
          kafka.brokers.split(',')[(node + 1) % 3] as string,
          '--describe',
          '--under-replicated-partitions',
        ])
      await expect.poll(describe, { timeout: 90_000, interval: 2_000 }).toBe('')
    }
    const writing = write()
    const reading = read()
    try {
      await kill()
    } finally {
      stop.abort()
    }
    await writing
    await reading
    for (const [logPartition, texts] of seen) {
      expect(texts).toEqual(acknowledged.filter((text) => text.startsWith(`${logPartition}:`)))
    }
    await expect
      .poll(
        () =>
          reader.acknowledge(ends).then(
            () => 'taken',
            (error: unknown) => (isPotokError(error) ? error.kind : error),
          ),
        { timeout: 60_000 },
      )
      .toBe('taken')
  } finally {
    await log.close()
  }
})
