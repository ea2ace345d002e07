/**
 * Reading from a real Kafka what others wrote: transactions of Java and kafkajs, every compression, and what happens
 * to the log meanwhile (restarts, retention, a topic made anew), judged by what was written and by Java's consumer.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventLog, LogReader } from '../../kernel/ports.ts'
import { blockOffset, type RecordBlock } from '../../kernel/record-block.ts'
import {
  cameraRecord,
  foreignClient,
  newTopic,
  openKafkaLog,
  withKafkaLog,
} from '../../testkit/kafka-log.ts'
import { textsOf } from '../../testkit/records.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'

const never = new AbortController().signal
const mixedTransactions = join(import.meta.dirname, 'java-kafka', 'MixedTransactions.java')
const producerPerformance = 'org.apache.kafka.tools.ProducerPerformance'

let kafka: Kafka

beforeAll(async () => {
  kafka = await startKafka()
})
afterAll(() => kafka?.stop())

type OpenOptions = Parameters<typeof openKafkaLog>[2]

function withLog(
  topic: string,
  use: (log: EventLog) => Promise<void>,
  more: OpenOptions = {},
): Promise<void> {
  return withKafkaLog(kafka.brokers, topic, use, more)
}

async function openAtStart(log: EventLog, group = 'test'): Promise<LogReader> {
  const reader = await log.openReader({ group })
  await seekToStart(log, reader)
  return reader
}

async function seekToStart(log: EventLog, reader: LogReader): Promise<void> {
  for (const { logPartition, startOffset } of await log.ranges()) {
    if (reader.assignment().includes(logPartition)) await reader.seek(logPartition, startOffset)
  }
}

/** Reads until every partition was read to its end; blocks as they came. */
async function readToEnd(log: EventLog, reader: LogReader, maxBytes = 1e6): Promise<RecordBlock[]> {
  const left = new Map<number, number>()
  for (const { logPartition, startOffset, endOffset } of await log.ranges()) {
    if (endOffset > startOffset) left.set(logPartition, endOffset)
  }
  const blocks: RecordBlock[] = []
  for (let polls = 0; left.size > 0; polls++) {
    if (polls > 1_000) throw new Error(`not read to the end: ${JSON.stringify([...left])}`)
    for (const block of await reader.poll({ maxWaitMs: 200, maxBytes, signal: never })) {
      blocks.push(block)
      if (block.nextOffset >= (left.get(block.logPartition) ?? Number.POSITIVE_INFINITY)) {
        left.delete(block.logPartition)
      }
    }
  }
  return blocks
}

/** No offset twice, each block where the one before ended. */
function expectConsecutive(blocks: readonly RecordBlock[]): void {
  const ends = new Map<number, number>()
  for (const block of blocks) {
    const end = ends.get(block.logPartition)
    if (end !== undefined) expect(block.baseOffset).toBeGreaterThanOrEqual(end)
    let before = block.baseOffset - 1
    for (let i = 0; i < block.count; i++) {
      expect(blockOffset(block, i)).toBeGreaterThan(before)
      before = blockOffset(block, i)
    }
    expect(block.nextOffset).toBeGreaterThan(before)
    ends.set(block.logPartition, block.nextOffset)
  }
}

describe('what other producers write', () => {
  it('of aborted transactions of Java’s producer never appears, whatever the compression; positions reach the end', async () => {
    await withLog(newTopic(), async (log) => {
      const { topic } = await log.identity()
      for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
        await kafka.tool(mixedTransactions, [kafka.brokers, topic, '3', '9', codec])
      }
      const reader = await openAtStart(log)
      const blocks = await readToEnd(log, reader, 5_000)
      expectConsecutive(blocks)
      const texts = blocks.flatMap(textsOf)
      expect(texts.filter((text) => !text.startsWith('kept-'))).toEqual([])
      // Six of nine transactions of twenty, five times over.
      expect(texts).toHaveLength(5 * 6 * 20)
      expect(new Set(texts).size).toBe(6 * 20)
    })
  })

  it('in transactions of kafkajs, open ones in between, appears once it is committed', async () => {
    await withLog(newTopic(), async (log) => {
      const { topic } = await log.identity()
      const client = foreignClient(kafka.brokers)
      const producers = ['a', 'b'].map((name) =>
        client.producer({ transactionalId: `${topic}-${name}`, maxInFlightRequests: 1 }),
      )
      for (const producer of producers) await producer.connect()
      const [a, b] = await Promise.all(producers.map((producer) => producer.transaction()))
      const send = (to: typeof a, value: string): Promise<unknown> =>
        to?.send({ topic, messages: [{ partition: 0, value }] }) ?? Promise.resolve()
      await send(a, 'a1')
      await send(b, 'gone')
      await log.append([{ ...cameraRecord('KV1', 'plain', 3), logPartition: 0 }])
      await send(a, 'a2')
      const reader = await openAtStart(log)
      expect(await reader.poll({ maxWaitMs: 0, maxBytes: 1e6, signal: never })).toEqual([])
      await b?.abort()
      await a?.commit()
      const blocks = await readToEnd(log, reader)
      expectConsecutive(blocks)
      expect(blocks.flatMap(textsOf)).toEqual(['a1', 'plain', 'a2'])
      expect((await log.ranges())[0]?.endOffset).toBe(6)
      await Promise.all(producers.map((producer) => producer.disconnect()))
    })
  })

  it('in large batches of every compression is all there, and equal under each', async () => {
    await withLog(newTopic(), async (log) => {
      const { topic } = await log.identity()
      const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
      for (const codec of codecs) {
        await kafka.tool(producerPerformance, [
          ...argsOf(`--topic ${topic} --num-records 20000 --record-size 180 --throughput -1`),
          ...argsOf(`--bootstrap-server ${kafka.brokers} --producer-props`),
          ...argsOf(`compression.type=${codec} batch.size=200000 linger.ms=20`),
        ])
      }
      const blocks = await readToEnd(log, await openAtStart(log), 4e6)
      expectConsecutive(blocks)
      const counts = new Map<string, number>()
      for (const text of blocks.flatMap(textsOf)) counts.set(text, (counts.get(text) ?? 0) + 1)
      expect([...counts.keys()].every((text) => text.length === 180)).toBe(true)
      expect([...counts.values()].reduce((a, b) => a + b)).toBe(codecs.length * 20_000)
      // Its random payloads come from one seed: each run wrote the same.
      expect([...counts.values()].every((count) => count % codecs.length === 0)).toBe(true)
    })
  })
})

describe('what happens to the log', () => {
  it('a broker that is killed and started again stops a reader for a while, and nothing is read twice or left out', async () => {
    await withLog(newTopic(), async (log) => {
      const reader = await openAtStart(log)
      const blocks: RecordBlock[] = []
      const read = async (): Promise<void> => {
        blocks.push(...(await reader.poll({ maxWaitMs: 200, maxBytes: 1e6, signal: never })))
      }
      for (let i = 0; i < 30; i++) {
        await append(log, `before-${i}`, i % 3)
        if (i % 10 === 5) await read()
      }
      await kafka.kill()
      await read()
      await kafka.restart()
      await append(log, 'after', 0)
      while (blocks.reduce((sum, { count }) => sum + count, 0) < 31) await read()
      expectConsecutive(blocks)
      expect(blocks.flatMap(textsOf).sort()).toEqual(
        ['after', ...Array.from({ length: 30 }, (_, i) => `before-${i}`)].sort(),
      )
    })
  })

  it('retention that overtakes a position is told with the range that is left, and a seek goes on', async () => {
    await withLog(newTopic(), async (log) => {
      const { topic } = await log.identity()
      for (let i = 0; i < 5; i++) await append(log, `r${i}`, 0)
      const reader = await openAtStart(log)
      const admin = foreignClient(kafka.brokers).admin()
      await admin.connect()
      await admin.fetchTopicMetadata({ topics: [topic] })
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })
      await admin.disconnect()
      await expect(readToEnd(log, reader)).rejects.toMatchObject({
        kind: 'InvalidInput',
        context: { logPartition: 0, offset: 0, startOffset: 3, endOffset: 5 },
      })
      const refusal = async (): Promise<unknown> =>
        reader.seek(0, 2).catch((error: unknown) => error)
      // Seeks of one assignment share what they asked the broker a moment ago.
      await expect.poll(refusal, { timeout: 20_000 }).toMatchObject({ kind: 'InvalidInput' })
      await reader.seek(0, 3)
      expect((await readToEnd(log, reader)).flatMap(textsOf)).toEqual(['r3', 'r4'])
    })
  })

  it('a topic that is deleted and made again under its name is never read in place of the old one', async () => {
    await withLog(newTopic(), async (log) => {
      const { topic } = await log.identity()
      await append(log, 'old', 0)
      const reader = await openAtStart(log)
      await readToEnd(log, reader)
      const admin = foreignClient(kafka.brokers).admin()
      await admin.connect()
      await admin.deleteTopics({ topics: [topic] })
      await expect.poll(() => log.identity().catch(() => null), { timeout: 20_000 }).toBe(null)
      await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] })
      await admin.disconnect()
      await expect.poll(() => log.identity().catch(() => null), { timeout: 20_000 }).not.toBe(null)
      await Promise.all(['new-1', 'new-2'].map((text) => append(log, text, 0)))
      const read = async (): Promise<void> => {
        for (;;) {
          const blocks = await reader.poll({ maxWaitMs: 200, maxBytes: 1e6, signal: never })
          expect(blocks).toEqual([])
        }
      }
      await expect(read()).rejects.toMatchObject({
        kind: 'NotFound',
        message: expect.stringContaining('made again'),
      })
    })
  })
})

describe('a group', () => {
  const sessionTimeoutMs = 6_000

  it('gives each partition to one of three, moves few when one comes or goes, and shares new partitions out', async () => {
    await withLog(
      newTopic(),
      async (log) => {
        const { topic } = await log.identity()
        const [a, b] = [await openAtStart(log, 'g'), await openAtStart(log, 'g')] as const
        await expect.poll(() => sizes(a, b), { timeout: 30_000 }).toEqual([3, 3])
        const before = [...a.assignment()]
        const c = await openAtStart(log, 'g')
        await expect.poll(() => sizes(a, b, c), { timeout: 30_000 }).toEqual([2, 2, 2])
        expectDisjoint(a, b, c)
        expect(a.assignment().every((logPartition) => before.includes(logPartition))).toBe(true)
        await c.close()
        await expect.poll(() => sizes(a, b), { timeout: 30_000 }).toEqual([3, 3])
        expectDisjoint(a, b)
        const admin = foreignClient(kafka.brokers).admin()
        await admin.connect()
        await admin.createPartitions({ topicPartitions: [{ topic, count: 8 }] })
        await admin.disconnect()
        await expect.poll(() => sizes(a, b), { timeout: 60_000 }).toEqual([4, 4])
        expectDisjoint(a, b)
        await a.acknowledge(new Map(a.assignment().map((logPartition) => [logPartition, 0])))
        const described = await kafka.tool(
          'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
          argsOf(`--bootstrap-server ${kafka.brokers} --describe --group potok.g.${topic}`),
        )
        // One line a partition, with who reads it.
        const members = described.split('\n').filter((line) => line.includes('potok-tests'))
        expect(members).toHaveLength(8)
      },
      { partitionCount: 6, sessionTimeoutMs },
    )
  })

  it('gives the partitions of a killed and of a stopped process to others; the stopped one holds none when it wakes up', async () => {
    await withLog(
      newTopic(),
      async (log) => {
        const { topic } = await log.identity()
        const own = await openAtStart(log, 'g')
        const children = [1, 2].map(() =>
          startReader([kafka.brokers, topic, 'g', String(sessionTimeoutMs)]),
        )
        const [stopped, killed] = children as [ReaderProcess, ReaderProcess]
        try {
          const all = (): number[] => [
            own.assignment().length,
            ...children.map((child) => child.assignments.at(-1)?.length ?? -1),
          ]
          await expect.poll(all, { timeout: 60_000 }).toEqual([2, 2, 2])
          killed.child.kill('SIGKILL')
          stopped.child.kill('SIGSTOP')
          await expect.poll(() => own.assignment().length, { timeout: 60_000 }).toBe(6)
          const seen = stopped.assignments.length
          stopped.child.kill('SIGCONT')
          await expect
            .poll(() => stopped.assignments.length, { timeout: 30_000 })
            .toBeGreaterThan(seen)
          expect(stopped.assignments[seen]).toEqual([])
          await expect.poll(() => own.assignment().length, { timeout: 60_000 }).toBe(3)
        } finally {
          for (const { child } of children) child.kill('SIGKILL')
        }
      },
      { partitionCount: 6, sessionTimeoutMs },
    )
  })

  it('of another program is refused with its name, and taken once that program has gone', async () => {
    await withLog(newTopic(), async (log) => {
      const { topic } = await log.identity()
      const consumer = foreignClient(kafka.brokers).consumer({ groupId: `potok.g.${topic}` })
      await consumer.connect()
      await consumer.subscribe({ topic })
      const joined = new Promise<void>((resolve) => {
        consumer.on('consumer.group_join', () => resolve())
      })
      await consumer.run({ eachMessage: async () => undefined })
      await joined
      const reader = await log.openReader({ group: 'g' })
      expect(reader.assignment()).toEqual([])
      await expect(reader.poll({ maxWaitMs: 0, maxBytes: 1, signal: never })).rejects.toMatchObject(
        {
          message: expect.stringContaining(`consumer group potok.g.${topic}`),
        },
      )
      await reader.close()
      await consumer.disconnect()
      const again = await log.openReader({ group: 'g' })
      expect(again.assignment()).toEqual([0, 1, 2])
    })
  })
})

type ReaderProcess = { readonly child: ChildProcess; readonly assignments: number[][] }

function startReader(args: readonly string[]): ReaderProcess {
  const script = join(import.meta.dirname, '../../testkit/kafka-reader-process.ts')
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const assignments: number[][] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    assignments.push(JSON.parse(line) as number[])
  })
  return { child, assignments }
}

function argsOf(text: string): string[] {
  return text.split(' ')
}

function sizes(...readers: readonly LogReader[]): number[] {
  return readers.map((reader) => reader.assignment().length)
}

function expectDisjoint(...readers: readonly LogReader[]): void {
  const all = readers.flatMap((reader) => reader.assignment())
  expect(new Set(all).size).toBe(all.length)
}

function append(log: EventLog, text: string, logPartition: number): Promise<void> {
  return log.append([{ ...cameraRecord('KV1', text, 3), logPartition }])
}
