/**
 * Brokers for tests of the producer: leaders, producer ids and the sequence check of real ones (KIP-98: the last
 * five batches of a producer in a partition are known again, a gap is refused), and faults as a test says.
 */
import { Reader, readRecordsBatch } from '@platformatic/kafka'
import type { KafkaCluster, KafkaTopic } from '../adapters/event-log/kafka-cluster.ts'
import { brokerError } from '../adapters/event-log/kafka-failure.ts'
import { PotokError } from '../kernel/errors.ts'

/** What becomes of one batch, or of the request where it names the network. */
export type ProduceFault =
  | { readonly answer: number; readonly isKept?: boolean }
  | { readonly network: 'requestLost' | 'answerLost' | 'silent' }

type Kept = { readonly text: string; readonly producerId: bigint }
type ProducerState = { last: { sequence: number; count: number }[] }

export function createScriptedKafka(partitionCount: number, brokerCount = 1) {
  const logs: Kept[][] = Array.from({ length: partitionCount }, () => [])
  const states = new Map<string, ProducerState>()
  const leaders = Array.from({ length: partitionCount }, (_, i) => i % brokerCount)
  /** Asked for each batch; null: nothing goes wrong. */
  let faultOf: (partition: number) => ProduceFault | null = () => null
  let nextProducerId = 1n
  let requests = 0

  const topic = (): KafkaTopic => ({
    clusterId: 'scripted',
    name: 'topic',
    topicId: '00000000-0000-0000-0000-000000000001',
    partitions: leaders.map((leader, index) => ({ index, leader, leaderEpoch: 0, replicas: 1 })),
  })

  function keep(partition: number, bytes: Buffer): number {
    const batch = readRecordsBatch(Reader.from(bytes))
    const key = `${partition}/${batch.producerId}`
    const state = states.get(key) ?? { last: [] }
    const sequence = batch.firstSequence
    if (state.last.some((one) => one.sequence === sequence)) return brokerError.none
    const newest = state.last.at(-1)
    const expected = newest === undefined ? 0 : newest.sequence + newest.count
    if (sequence !== expected) return brokerError.outOfOrderSequenceNumber
    state.last = [...state.last.slice(-4), { sequence, count: batch.records.length }]
    states.set(key, state)
    for (const { value } of batch.records) {
      logs[partition]?.push({ text: String(value), producerId: batch.producerId })
    }
    return brokerError.none
  }

  function answerTo(broker: number, index: number, bytes: Buffer): number {
    if (leaders[index] !== broker) return brokerError.notLeaderOrFollower
    const fault = faultOf(index)
    if (fault === null) return keep(index, bytes)
    if ('network' in fault) {
      if (fault.network === 'answerLost') keep(index, bytes)
      throw new NetworkFault(fault.network === 'silent')
    }
    if (fault.isKept === true) keep(index, bytes)
    return fault.answer
  }

  const cluster: KafkaCluster = {
    async request(broker, api, args, timeoutMs = 1_000) {
      await Promise.resolve()
      if (api.key !== 0) {
        return { producerId: nextProducerId++, producerEpoch: 0, errorCode: 0 } as never
      }
      requests++
      const batches = args[1] as readonly { index: number; bytes: Buffer }[]
      try {
        const partitionResponses = batches.map(({ index, bytes }) => ({
          index,
          errorCode: answerTo(broker as number, index, bytes),
          errorMessage: null,
        }))
        return { responses: [{ name: 'topic', partitionResponses }] } as never
      } catch (error) {
        if (error instanceof NetworkFault && error.isSilent) await sleep(timeoutMs)
        throw new PotokError('Unavailable', 'the connection broke', { cause: error })
      }
    },
    describeTopic: async () => topic(),
    brokerCount: () => brokerCount,
    close: async () => undefined,
  }

  return {
    cluster,
    topic,
    leaders,
    requests: () => requests,
    script(fault: (partition: number) => ProduceFault | null) {
      faultOf = fault
    },
    /** What is in the partition. */
    texts: (partition: number) => (logs[partition] ?? []).map(({ text }) => text),
    producerIds: (partition: number) => (logs[partition] ?? []).map(({ producerId }) => producerId),
    /** As after retention or a long silence: the broker remembers no producer. */
    forgetProducers: () => states.clear(),
  }
}

class NetworkFault extends Error {
  readonly isSilent: boolean
  constructor(isSilent: boolean) {
    super('network')
    this.isSilent = isSilent
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
