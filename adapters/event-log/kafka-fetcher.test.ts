import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PotokError } from '../../kernel/errors.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import { silent } from '../../testkit/kafka-log.ts'
import { createRandom } from '../../testkit/random.ts'
import { textsOf } from '../../testkit/records.ts'
import type { KafkaCluster, KafkaTopic } from './kafka-cluster.ts'
import { createRecordEncoder, encodeBatch } from './kafka-encode-batch.ts'
import type { FetchAnswer, FetchRequest } from './kafka-fetch.ts'
import { createKafkaFetcher, type FetcherLimits, type KafkaFetcher } from './kafka-fetcher.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const topicId = '00000000-0000-0000-0000-000000000001'
const encode = createRecordEncoder()

function batchOf(baseOffset: number, text: string): Buffer {
  const record = { logPartition: 0, kind: 0, receivedAtUs: 0, key: null, eventId: null }
  const records = [{ ...record, value: Buffer.from(text) }]
  const { bytes } = encode([{ records, from: 0, to: 1 }])
  const times = { baseTimestampMs: 0, maxTimestampMs: 0 }
  const producer = { producerId: -1n, producerEpoch: -1, baseSequence: -1 }
  const batch = encodeBatch({ count: 1, ...times, ...producer }, bytes, 'none')
  batch.writeBigInt64BE(BigInt(baseOffset), 0)
  return batch
}

/** Two brokers, partitions with a record `p:o` at each offset, and answers as a test says. */
function createWorld(partitionCount: number, limits: Partial<FetcherLimits> = {}) {
  const ends = Array.from({ length: partitionCount }, () => 0)
  const leaders = Array.from({ length: partitionCount }, (_, i) => i % 2)
  const asked: FetchRequest[] = []
  const world = {
    topicId: topicId as string | null,
    /** Error of a partition in an answer; 0: none. */
    errorOf: (_index: number): number => 0,
    /** Thrown instead of an answer. */
    fault: (): Error | null => null,
    answerMs: 5,
  }

  function answer(broker: number, request: FetchRequest): FetchAnswer {
    let left = request.bytesMax
    return {
      errorCode: 0,
      partitions: request.partitions.map(({ index, offset }) => {
        const none = { index, lastStableOffset: -1, aborted: [], records: Buffer.alloc(0) }
        const errorCode = leaders[index] === broker ? world.errorOf(index) : 6
        if (errorCode !== 0) return { ...none, errorCode }
        const batches: Buffer[] = []
        let sizeBytes = 0
        for (let next = offset; next < (ends[index] as number); next++) {
          const batch = batchOf(next, `${index}:${next}`)
          const isFirst = batches.length === 0 && left === request.bytesMax
          const room = Math.min(left, request.partitionBytesMax - sizeBytes)
          if (!isFirst && batch.length > room) break
          batches.push(batch)
          sizeBytes += batch.length
          left -= batch.length
        }
        const lastStableOffset = ends[index] as number
        return { ...none, errorCode: 0, lastStableOffset, records: Buffer.concat(batches) }
      }),
    }
  }

  const cluster: KafkaCluster = {
    request: (async (broker: number, _api: unknown, [request]: [FetchRequest]) => {
      asked.push(request)
      const isNothingThere = request.partitions.every(
        ({ index, offset }) => offset >= (ends[index] as number),
      )
      await new Promise((resolve) => {
        setTimeout(resolve, isNothingThere ? Math.max(1, request.maxWaitMs) : world.answerMs)
      })
      const fault = world.fault()
      if (fault !== null) throw fault
      return answer(broker, request)
    }) as unknown as KafkaCluster['request'],
    describeTopic: async (name): Promise<KafkaTopic | null> =>
      world.topicId === null
        ? null
        : {
            clusterId: 'c',
            name,
            topicId: world.topicId,
            partitions: leaders.map((leader, index) => ({
              index,
              leader,
              leaderEpoch: 0,
              replicas: 2,
            })),
          },
    brokerCount: () => 2,
    close: async () => undefined,
  }
  const fetcher = createKafkaFetcher({
    cluster,
    topic: 'topic',
    topicId,
    requestTimeoutMs: 1_000,
    ranges: async () =>
      ends.map((endOffset, logPartition) => ({ logPartition, startOffset: 2, endOffset })),
    logger: silent,
    limits,
    onNews: () => undefined,
  })
  fetcher.want(ends.map((_, index) => index))
  return { fetcher, world, ends, leaders, asked }
}

async function waitFor(fetcher: KafkaFetcher, ms: number): Promise<void> {
  const sinceMs = performance.now()
  fetcher.pump({ sinceMs, untilMs: sinceMs + ms })
  await vi.advanceTimersByTimeAsync(ms)
  fetcher.pump(null)
}

async function readAll(fetcher: KafkaFetcher, count: number): Promise<string[]> {
  const texts: string[] = []
  for (let polls = 0; texts.length < count; polls++) {
    if (polls > 500) throw new Error(`only ${texts.length} of ${count}`)
    await waitFor(fetcher, 100)
    texts.push(...fetcher.take(1e6).flatMap(textsOf))
  }
  return texts
}

describe('the fetcher of Kafka', () => {
  it('reads on from a new leader, and after brokers that were away, without loss or repetition', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = createRandom(seed)
      const { fetcher, world, ends, leaders } = createWorld(4)
      let isQuiet = false
      world.fault = () => (!isQuiet && random.chance(0.2) ? new Error('connection reset') : null)
      world.errorOf = () => (!isQuiet && random.chance(0.2) ? random.pick([3, 5, 6, 9, 74, 75]) : 0)
      for (let i = 0; i < 4; i++) fetcher.seek(i, 0)
      const blocks: RecordBlock[] = []
      for (let turn = 0; turn < 60; turn++) {
        isQuiet = turn > 40
        const index = random.below(4)
        if (turn < 40) ends[index] = (ends[index] as number) + random.below(5)
        if (random.chance(0.1)) leaders[index] = random.pick(isQuiet ? [0, 1] : [0, 1, -1])
        if (isQuiet) leaders.forEach((leader, i) => (leaders[i] = Math.max(0, leader)))
        await waitFor(fetcher, random.pick([0, 10, 250, 1_500]))
        blocks.push(...fetcher.take(random.pick([1, 100, 1e6])))
        expect(fetcher.failure()).toBeNull()
      }
      while (blocks.reduce((sum, { count }) => sum + count, 0) < ends.reduce((a, b) => a + b)) {
        await waitFor(fetcher, 1_000)
        const more = fetcher.take(1e6)
        expect({ seed, more: more.length }).not.toEqual({ seed, more: 0 })
        blocks.push(...more)
      }
      ends.forEach((end, index) => {
        const own = blocks.filter(({ logPartition }) => logPartition === index).flatMap(textsOf)
        expect(own).toEqual(Array.from({ length: end }, (_, offset) => `${index}:${offset}`))
      })
    }
  })

  it('is at most two answers of a partition and its budget ahead, and asks for nothing where nobody waits', async () => {
    const budget = { partitionBytesMax: 300, requestBytesMax: 1_000, bufferedBytesMax: 1_200 }
    const { fetcher, ends, asked } = createWorld(4, budget)
    ends.fill(1_000)
    for (let i = 0; i < 4; i++) fetcher.seek(i, 0)
    await waitFor(fetcher, 5_000)
    const sum = fetcher.take(1e9).reduce((bytes, { values }) => bytes + values.length, 0)
    expect(sum).toBeLessThanOrEqual(1_200)
    expect(asked.length).toBeLessThan(20)
    const { fetcher: idle, asked: ofIdle } = createWorld(2)
    idle.seek(0, 0)
    idle.seek(1, 0)
    await waitFor(idle, 1_000)
    const before = ofIdle.length
    await vi.advanceTimersByTimeAsync(60_000)
    expect(ofIdle.length - before).toBeLessThanOrEqual(2)
    // Of one that waits, not many requests: they wait at the broker.
    expect(before).toBeLessThanOrEqual(8)
  })

  it('keeps its pace in other partitions while one has no leader', async () => {
    const { fetcher, ends, leaders } = createWorld(2)
    leaders[0] = -1
    fetcher.seek(0, 0)
    fetcher.seek(1, 0)
    let read = 0
    for (let i = 1; i <= 50; i++) {
      ends[1] = i
      await waitFor(fetcher, 40)
      read += fetcher.take(1e6).reduce((sum, { count }) => sum + count, 0)
      // Never behind by more than what came during one attempt.
      expect(read).toBeGreaterThanOrEqual(i - 2)
    }
  })

  it('tells a position outside of the log with the range, for that partition until it is sought anew', async () => {
    const { fetcher, world, ends } = createWorld(2)
    ends.fill(4)
    world.errorOf = (index) => (index === 0 ? 1 : 0)
    fetcher.seek(0, 1)
    fetcher.seek(1, 2)
    await waitFor(fetcher, 200)
    expect(fetcher.failure()).toMatchObject({
      kind: 'InvalidInput',
      context: { logPartition: 0, offset: 1, startOffset: 2, endOffset: 4 },
    })
    world.errorOf = () => 0
    fetcher.seek(0, 2)
    expect(fetcher.failure()).toBeNull()
    expect((await readAll(fetcher, 4)).sort()).toEqual(['0:2', '0:3', '1:2', '1:3'])
  })

  it('takes an offset that a new leader doesn’t have yet for a matter of time', async () => {
    const { fetcher, world, ends } = createWorld(1)
    ends[0] = 5
    let refusals = 3
    world.errorOf = () => (refusals-- > 0 ? 1 : 0)
    fetcher.seek(0, 3)
    expect(await readAll(fetcher, 2)).toEqual(['0:3', '0:4'])
  })

  it('never reads a topic of another id, and says whether it has gone or was made again', async () => {
    const again = createWorld(1)
    again.ends[0] = 5
    again.fetcher.seek(0, 0)
    await waitFor(again.fetcher, 100)
    again.world.errorOf = () => 100
    again.world.topicId = '00000000-0000-0000-0000-000000000002'
    again.fetcher.seek(0, 0)
    await waitFor(again.fetcher, 1_000)
    expect(again.fetcher.failure()).toMatchObject({
      kind: 'NotFound',
      message: expect.stringContaining('made again'),
    })
    const gone = createWorld(1)
    gone.world.topicId = null
    gone.fetcher.seek(0, 0)
    await waitFor(gone.fetcher, 2_000)
    expect(gone.fetcher.failure()).toBeNull()
    await waitFor(gone.fetcher, 10_000)
    expect(gone.fetcher.failure()).toMatchObject({
      kind: 'NotFound',
      message: expect.stringContaining('has gone'),
    })
  })

  it('drops what was asked for before a seek', async () => {
    const { fetcher, ends, world } = createWorld(1)
    ends[0] = 10
    world.answerMs = 50
    fetcher.seek(0, 0)
    await waitFor(fetcher, 20)
    fetcher.seek(0, 7)
    expect(await readAll(fetcher, 3)).toEqual(['0:7', '0:8', '0:9'])
  })

  it('reports a partition that can’t be read for long, and a refused login at once', async () => {
    const stuck = createWorld(1, { failingMsMax: 10_000 })
    stuck.world.errorOf = () => 5
    stuck.ends[0] = 1
    stuck.fetcher.seek(0, 0)
    await waitFor(stuck.fetcher, 5_000)
    expect(stuck.fetcher.failure()).toBeNull()
    await waitFor(stuck.fetcher, 8_000)
    expect(stuck.fetcher.failure()).toMatchObject({ kind: 'Unavailable' })
    const refused = createWorld(1)
    refused.ends[0] = 1
    refused.world.fault = () =>
      Object.assign(new Error('no'), {
        code: 'PLT_KFK_AUTHENTICATION',
        apiId: 'SASL_AUTHENTICATION_FAILED',
      })
    refused.fetcher.seek(0, 0)
    await waitFor(refused.fetcher, 100)
    expect(refused.fetcher.failure()).toBeInstanceOf(PotokError)
    const { length } = refused.asked
    await vi.advanceTimersByTimeAsync(60_000)
    expect(refused.asked.length).toBe(length)
  })

  it('asks a partition that somebody else reads no more, and goes on where it was when it comes back', async () => {
    const { fetcher, ends, asked } = createWorld(2)
    ends.fill(3)
    fetcher.seek(0, 0)
    fetcher.seek(1, 0)
    await readAll(fetcher, 6)
    ends.fill(5)
    fetcher.want([1])
    asked.length = 0
    expect(await readAll(fetcher, 2)).toEqual(['1:3', '1:4'])
    expect(asked.flatMap(({ partitions }) => partitions).some(({ index }) => index === 0)).toBe(
      false,
    )
    fetcher.want([0, 1])
    expect(await readAll(fetcher, 2)).toEqual(['0:3', '0:4'])
  })
})
