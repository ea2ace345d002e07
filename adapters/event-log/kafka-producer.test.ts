import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { isPotokError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/ports.ts'
import { createRandom } from '../../testkit/random.ts'
import { testRecord } from '../../testkit/records.ts'
import { createScriptedKafka, type ProduceFault } from '../../testkit/scripted-kafka.ts'
import { createKafkaProducer } from './kafka-producer.ts'

const logger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => {
    throw new Error(`${message}: ${JSON.stringify(fields)}`)
  },
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

function world(partitionCount = 1, brokerCount = 1, pendingBytesMax = 1_000_000) {
  const kafka = createScriptedKafka(partitionCount, brokerCount)
  const producer = createKafkaProducer({
    cluster: kafka.cluster,
    topic: kafka.topic(),
    batchBytesMax: 1_000_000,
    pendingBytesMax,
    deliveryTimeoutMs: 5_000,
    requestTimeoutMs: 2_000,
    logger,
  })
  return { kafka, producer }
}

/** Outcome of an append, with time passing as it needs. */
async function outcomeOf(append: Promise<void>, msMax = 20_000): Promise<string> {
  const outcomes: string[] = []
  append.then(
    () => outcomes.push('kept'),
    (error: unknown) => outcomes.push(isPotokError(error) ? error.kind : String(error)),
  )
  for (let ms = 0; outcomes.length === 0 && ms < msMax; ms += 20) {
    await vi.advanceTimersByTimeAsync(20)
  }
  return outcomes[0] ?? 'hangs'
}

/** The faults one after the other, then none. */
function sequence(...faults: readonly ProduceFault[]): () => ProduceFault | null {
  const left = [...faults]
  return () => left.shift() ?? null
}

describe('an append to Kafka', () => {
  it('shares a request with all that wait while one is under way', async () => {
    const { kafka, producer } = world(2)
    const appends = ['a', 'b', 'c', 'd', 'e'].map((text, i) =>
      producer.append([testRecord(i % 2, text), testRecord(1, `${text}'`)]),
    )
    expect(await outcomeOf(Promise.all(appends).then(() => undefined))).toBe('kept')
    expect(kafka.texts(0)).toEqual(['a', 'c', 'e'])
    expect(kafka.texts(1)).toEqual(["a'", 'b', "b'", "c'", 'd', "d'", "e'"])
    expect(kafka.requests()).toBeLessThanOrEqual(2)
  })

  it('whose answer got lost, or never came, is sent again under its sequence and kept once', async () => {
    for (const network of ['answerLost', 'requestLost', 'silent'] as const) {
      const { kafka, producer } = world()
      kafka.script(sequence({ network }, { network }))
      expect(await outcomeOf(producer.append([testRecord(0, 'a')])), network).toBe('kept')
      expect(await outcomeOf(producer.append([testRecord(0, 'b')]))).toBe('kept')
      expect(kafka.texts(0)).toEqual(['a', 'b'])
      expect(new Set(kafka.producerIds(0)).size).toBe(1)
    }
  })

  it('kept by too few replicas is sent again, and kept once', async () => {
    const { kafka, producer } = world()
    kafka.script(sequence({ answer: 19 }, { answer: 20, isKept: true }, { answer: 7 }))
    expect(await outcomeOf(producer.append([testRecord(0, 'a')]))).toBe('kept')
    expect(kafka.texts(0)).toEqual(['a'])
  })

  it('follows its partition to another leader', async () => {
    const { kafka, producer } = world(2, 2)
    expect(await outcomeOf(producer.append([testRecord(0, 'a'), testRecord(1, 'b')]))).toBe('kept')
    kafka.leaders.splice(0, 1, 1)
    expect(await outcomeOf(producer.append([testRecord(0, 'c'), testRecord(1, 'd')]))).toBe('kept')
    kafka.leaders.splice(0, 2, -1, -1)
    const waiting = producer.append([testRecord(0, 'e'), testRecord(1, 'f')])
    await vi.advanceTimersByTimeAsync(1_500)
    kafka.leaders.splice(0, 2, 1, 0)
    expect(await outcomeOf(waiting)).toBe('kept')
    expect([kafka.texts(0), kafka.texts(1)]).toEqual([
      ['a', 'c', 'e'],
      ['b', 'd', 'f'],
    ])
  })

  it('goes on under a new producer id where the broker has forgotten the old one', async () => {
    const { kafka, producer } = world(2)
    expect(await outcomeOf(producer.append([testRecord(0, 'a'), testRecord(1, 'b')]))).toBe('kept')
    kafka.forgetProducers()
    expect(await outcomeOf(producer.append([testRecord(0, 'c')]))).toBe('kept')
    expect(kafka.texts(0)).toEqual(['a', 'c'])
    expect(new Set(kafka.producerIds(0)).size).toBe(2)
  })

  it('that may be kept isn’t sent under a new producer id: its outcome is unknown', async () => {
    const { kafka, producer } = world()
    kafka.script(sequence({ network: 'answerLost' }, { answer: 45 }))
    expect(await outcomeOf(producer.append([testRecord(0, 'a')]))).toBe('Unavailable')
    expect(await outcomeOf(producer.append([testRecord(0, 'b')]))).toBe('kept')
    expect(kafka.texts(0)).toEqual(['a', 'b'])
  })

  it('ends in time where nothing answers, and those after it work again', async () => {
    const { kafka, producer } = world(2)
    kafka.script(() => ({ network: 'silent' }))
    const began = performance.now()
    const first = outcomeOf(producer.append([testRecord(0, 'a')]))
    const second = outcomeOf(producer.append([testRecord(0, 'b'), testRecord(1, 'c')]))
    expect([await first, await second]).toEqual(['Unavailable', 'Unavailable'])
    expect(performance.now() - began).toBeLessThanOrEqual(5_000 + 600)
    kafka.script(() => null)
    expect(await outcomeOf(producer.append([testRecord(0, 'd'), testRecord(1, 'e')]))).toBe('kept')
    expect([kafka.texts(0), kafka.texts(1)]).toEqual([['d'], ['e']])
  })

  it('that is refused tells why at once, and fails no other partition', async () => {
    const { kafka, producer } = world(2)
    kafka.script((partition) => (partition === 0 ? { answer: 29 } : null))
    const began = performance.now()
    const refused = producer.append([testRecord(0, 'a')])
    const other = producer.append([testRecord(1, 'b')])
    await expect(Promise.all([refused, vi.advanceTimersByTimeAsync(50)])).rejects.toThrow(
      /partition 0 of topic topic: this user may not write/,
    )
    expect(await outcomeOf(other)).toBe('kept')
    expect(performance.now() - began).toBeLessThan(1_000)
  })

  it('on top of all that may wait is refused, and nothing of it is kept', async () => {
    const { kafka, producer } = world(1, 1, 1_000)
    const first = producer.append(Array.from({ length: 5 }, () => testRecord(0, 'a')))
    const second = producer.append(Array.from({ length: 5 }, () => testRecord(0, 'b')))
    expect(await Promise.all([outcomeOf(first), outcomeOf(second)])).toEqual(['kept', 'Overloaded'])
    expect(kafka.texts(0)).not.toContain('b')
    expect(await outcomeOf(producer.append([testRecord(0, 'c')]))).toBe('kept')
  })

  it('under way is waited for by close, and refused after it', async () => {
    const { kafka, producer } = world()
    const appended = producer.append([testRecord(0, 'a')])
    await producer.close()
    await appended
    expect(kafka.texts(0)).toEqual(['a'])
    expect(await outcomeOf(producer.append([testRecord(0, 'b')]))).toBe('ShuttingDown')
  })
})

describe('under any faults', () => {
  it('what is acknowledged is kept once and in order, and nothing is kept twice', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = createRandom(seed)
      const { kafka, producer } = world(3, 2)
      kafka.script(() => (random.chance(0.35) ? anyFault(random) : null))
      const acknowledged: string[] = []
      const send = async (sender: number): Promise<void> => {
        for (let i = 0; i < 12; i++) {
          const texts = Array.from({ length: 1 + random.below(5) }, (_, n) => `${sender}:${i}:${n}`)
          const append = producer.append(texts.map((text) => testRecord(random.below(3), text)))
          try {
            await append
            acknowledged.push(...texts)
          } catch (error) {
            expect(error).toMatchObject({ kind: 'Unavailable' })
          }
          if (random.chance(0.1)) kafka.leaders.splice(random.below(3), 1, random.below(2))
        }
      }
      const senders = Promise.all([0, 1, 2].map(send)).then(() => undefined)
      expect(await outcomeOf(senders, 1_000_000), `seed ${seed}`).toBe('kept')
      const logs = [0, 1, 2].map(kafka.texts)
      const all = logs.flat()
      expect(new Set(all).size, `seed ${seed}: twice`).toBe(all.length)
      expect(
        acknowledged.filter((text) => !all.includes(text)),
        `seed ${seed}: lost`,
      ).toEqual([])
      for (const log of logs) expectOrdered(log, seed)
    }
  })
})

function anyFault(random: ReturnType<typeof createRandom>): ProduceFault {
  return random.pick<ProduceFault>([
    { network: 'answerLost' },
    { network: 'requestLost' },
    { network: 'silent' },
    { answer: 6 },
    { answer: 7, isKept: true },
    { answer: 19 },
    { answer: 20, isKept: true },
    { answer: 45 },
    { answer: -1 },
  ])
}

/** Appends of one sender follow each other. */
function expectOrdered(log: readonly string[], seed: number): void {
  const last = new Map<string, number>()
  for (const text of log) {
    const [sender, i] = text.split(':')
    expect(Number(i), `seed ${seed}: order`).toBeGreaterThanOrEqual(last.get(sender as string) ?? 0)
    last.set(sender as string, Number(i))
  }
}
