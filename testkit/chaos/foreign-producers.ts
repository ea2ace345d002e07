/**
 * Producers of the topic that know nothing of potok: kafkajs, without our headers. Two write in transactions,
 * which they commit, abort, or leave open when they die; one writes plainly and repeats what it is unsure of.
 *
 * A transaction whose commit was not asked for is never committed: the cluster aborts it at its time-out, or
 * when a producer with the same id begins. Where the answer to a commit is lost, nobody knows.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { foreignClient } from '../kafka-log.ts'
import type { Random } from '../random.ts'
import { eventOf, type Ledger } from './sent-events.ts'

export type ForeignProducers = {
  /** The next transaction is left open, as by a producer that dies. */
  abandonNext(): void
  /** Transactions, by how they ended. */
  outcomes(): Readonly<Record<string, number>>
  /** Nothing new; then one record without a detection at the end of each partition. */
  finish(): Promise<void>
}

export type ForeignOptions = {
  readonly seed: number
  readonly baseMs: number
  readonly ledger: Ledger
  readonly random: Random
  readonly brokers: string
  readonly topic: string
  readonly partitions: number
}

const transactionalIds = ['foreign-1', 'foreign-2']
const transactionMsMax = 12_000
const pauseMsMax = 1_500
const records = 25
const finishMsMax = 90_000

export function startForeignProducers(options: ForeignOptions): ForeignProducers {
  const { ledger, random, topic } = options
  const client = foreignClient(options.brokers)
  const outcomes: Record<string, number> = {}
  const finishing = new AbortController()
  let abandoning = 0

  const newProducer = (transactionalId: string | null): kafkajs.Producer =>
    client.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      retry: { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000 },
      ...(transactionalId === null
        ? {}
        : {
            transactionalId,
            idempotent: true,
            maxInFlightRequests: 1,
            transactionTimeout: transactionMsMax,
          }),
    })

  const messages = (serials: readonly number[]): kafkajs.Message[] =>
    serials.map((serial) => {
      const { kvfvId, text } = eventOf(options.seed, options.baseMs, serial)
      return { key: kvfvId, value: text }
    })

  /** A producer until it fails or dies, then another one. */
  async function live(
    transactionalId: string | null,
    turn: (producer: kafkajs.Producer) => Promise<boolean>,
  ): Promise<void> {
    while (!finishing.signal.aborted) {
      const producer = newProducer(transactionalId)
      try {
        await producer.connect()
        while (!finishing.signal.aborted && (await turn(producer))) {
          await sleep(random.below(pauseMsMax))
        }
      } catch {
        await sleep(500 + random.below(1_000))
      }
      await producer.disconnect().catch(() => undefined)
    }
  }

  async function transact(producer: kafkajs.Producer): Promise<boolean> {
    const transaction = await producer.transaction()
    const serials = ledger.take(1 + random.below(2 * records))
    const count = (how: string): void => {
      outcomes[how] = (outcomes[how] ?? 0) + 1
    }
    ledger.sending(serials)
    try {
      for (const part of [serials.slice(0, records), serials.slice(records)]) {
        if (part.length > 0) await transaction.send({ topic, messages: messages(part), acks: -1 })
      }
    } catch (error) {
      ledger.never(serials)
      count('failed')
      throw error
    }
    if (abandoning > 0) {
      abandoning--
      ledger.never(serials)
      count('left open')
      return false
    }
    if (random.chance(0.35)) {
      ledger.never(serials)
      count('aborted')
      await transaction.abort()
      return true
    }
    try {
      await transaction.commit()
    } catch (error) {
      count('unknown')
      throw error
    }
    ledger.kept(serials)
    count('committed')
    return true
  }

  async function writePlainly(producer: kafkajs.Producer): Promise<boolean> {
    const serials = ledger.take(1 + random.below(records))
    ledger.sending(serials, true)
    await producer.send({ topic, messages: messages(serials), acks: -1 })
    ledger.kept(serials)
    return true
  }

  const marks = (): kafkajs.Message[] =>
    Array.from({ length: options.partitions }, (_, partition) => ({
      partition,
      value: JSON.stringify({ end_of: partition }),
    }))

  /**
   * A record at the end of each partition: whoever reads sees one there, and the writer one that makes no sense.
   * By a producer with the id of each other one, which ends what those left open.
   */
  async function mark(): Promise<void> {
    for (const transactionalId of transactionalIds) {
      const producer = newProducer(transactionalId)
      try {
        await producer.connect()
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: marks(), acks: -1 })
        await transaction.abort()
      } finally {
        await producer.disconnect().catch(() => undefined)
      }
    }
    const producer = newProducer(null)
    try {
      await producer.connect()
      await producer.send({ topic, messages: marks(), acks: -1 })
    } finally {
      await producer.disconnect().catch(() => undefined)
    }
  }

  const running = [...transactionalIds.map((id) => live(id, transact)), live(null, writePlainly)]
  return {
    abandonNext: () => {
      abandoning++
    },
    outcomes: () => outcomes,
    async finish() {
      finishing.abort()
      await Promise.all(running)
      await insist(mark)
    },
  }
}

async function insist(action: () => Promise<void>): Promise<void> {
  const end = Date.now() + finishMsMax
  for (;;) {
    try {
      await action()
      return
    } catch (error) {
      if (Date.now() > end) throw error
      await sleep(500)
    }
  }
}
