/**
 * Appends records to the partitions of a topic: idempotent, acks=all, compressed with zstd.
 *
 * Each broker has at most one request under way, with at most one batch for each partition that it leads; what
 * arrives meanwhile goes into the next one. So batches grow with the load and the order of a partition is kept
 * without renumbering sequences (several requests under way would have to be resent in order, KIP-98).
 *
 * Invariants
 * - An append resolves when all of its records are acknowledged by all replicas in sync.
 * - At most `pendingBytesMax` wait or are under way; what comes on top is Overloaded, and nothing of it was kept.
 * - Every append settles within `deliveryTimeoutMs` and a little. What was sent and not acknowledged by then has an
 *   unknown outcome; the partition goes on under a new producer id, so that a late copy can't be taken for, or
 *   stand in the way of, what follows.
 * - A batch is only sent again under its own sequence, or, where it is known not to be kept, under a new id.
 *
 * Queues are in kafka-produce-queue.ts, requests in kafka-produce-request.ts, what answers mean in
 * kafka-produce-outcome.ts.
 */
import assert from 'node:assert/strict'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { Logger, LogRecord } from '../../kernel/ports.ts'
import type { KafkaCluster, KafkaTopic } from './kafka-cluster.ts'
import { batchHeadBytes, createRecordEncoder, recordSizeBytesMax } from './kafka-encode-batch.ts'
import { isRefusal, kafkaFailure } from './kafka-failure.ts'
import { produceOutcome } from './kafka-produce-outcome.ts'
import {
  type Batch,
  createPartitionQueue,
  enqueue,
  failWaiting,
  hasWork,
  type PartitionQueue,
  type PendingAppend,
  type ProducerSession,
  putBack,
  settleSlices,
  takeSlices,
} from './kafka-produce-queue.ts'
import { compressRecords, requestSession, sendBatches } from './kafka-produce-request.ts'
import { sleep } from './sleep.ts'

export type KafkaProducerOptions = {
  readonly cluster: KafkaCluster
  readonly topic: KafkaTopic
  /** `max.message.bytes` of the topic. */
  readonly batchBytesMax: number
  readonly pendingBytesMax: number
  readonly deliveryTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly logger: Logger
}

export type KafkaProducer = {
  append(records: readonly LogRecord[]): Promise<void>
  /** Refuses what comes from now on; resolves when everything has settled. */
  close(): Promise<void>
}

/** Compressed five to one: batches of up to this many times the topic's limit are tried. */
const rawPerBatchMax = 4
/** Larger ones are no faster, and take their memory in this process and in every reader. */
const rawBytesMax = 4 * 1_024 * 1_024
const backoffMsMin = 50
const backoffMsMax = 1_000
const requestTimeoutMsMin = 500
const warnIntervalMs = 5_000
const sequenceEnd = 2 ** 31

export function createKafkaProducer(options: KafkaProducerOptions): KafkaProducer {
  const { cluster, logger, pendingBytesMax, deliveryTimeoutMs } = options
  const { name } = options.topic
  const queues = options.topic.partitions.map(({ index }) =>
    createPartitionQueue(index, Math.min(rawBytesMax, rawPerBatchMax * options.batchBytesMax)),
  )
  const encode = createRecordEncoder()
  const senders = new Map<number, Promise<void>>()
  let batchBytesMax = options.batchBytesMax
  let topicId = options.topic.topicId
  let session: ProducerSession | null = null
  let sessionRequest: Promise<ProducerSession> | null = null
  let refreshing: Promise<void> | null = null
  let pendingBytes = 0
  let warnedAtMs = Number.NEGATIVE_INFINITY
  let closing: Promise<void> | null = null
  applyLayout(options.topic)

  function applyLayout(topic: KafkaTopic): void {
    if (topic.topicId !== topicId) {
      logger.warn(
        { topic: name },
        'the topic was deleted and made again; appends go to the new one',
      )
      topicId = topic.topicId
      for (const queue of queues) if (queue.batch?.isMaybeKept !== true) queue.session = null
    }
    for (const queue of queues) queue.leader = topic.partitions[queue.index]?.leader ?? -1
  }

  function refreshLayout(): Promise<void> {
    refreshing ??= cluster
      .describeTopic(name)
      .then((topic) => {
        if (topic !== null) applyLayout(topic)
        else for (const queue of queues) queue.leader = -1
      })
      .catch((error: unknown) => warn(error, 'Kafka can’t be asked who leads the partitions'))
      .finally(() => {
        refreshing = null
      })
    return refreshing
  }

  function warn(error: unknown, message: string): void {
    const nowMs = performance.now()
    if (nowMs - warnedAtMs < warnIntervalMs) return
    warnedAtMs = nowMs
    logger.warn({ topic: name, error: describeError(error), pendingBytes }, message)
  }

  async function ensureSession(): Promise<ProducerSession> {
    if (session !== null) return session
    sessionRequest ??= requestSession(cluster).finally(() => {
      sessionRequest = null
    })
    session = await sessionRequest
    return session
  }

  /** Its next batch has a new producer id; other partitions keep theirs. */
  function dropSession(queue: PartitionQueue): void {
    if (session === queue.session) session = null
    queue.session = null
  }

  function wake(broker: number): void {
    if (senders.has(broker)) return
    const sender = sendLater(broker).catch((error: unknown) => {
      // A bug: nobody may wait for what no longer moves.
      logger.error({ error: describeError(error) }, 'a sender to Kafka broke off')
      for (const queue of queuesOf(broker)) failAll(queue, kafkaFailure(error, 'can’t append'))
      senders.delete(broker)
    })
    senders.set(broker, sender)
  }

  /** Known as a sender before it begins; and appends of one turn go together. */
  async function sendLater(broker: number): Promise<void> {
    await Promise.resolve()
    await sendAll(broker)
  }

  function queuesOf(broker: number): PartitionQueue[] {
    return queues.filter((queue) => queue.leader === broker && !queue.isUnderWay && hasWork(queue))
  }

  async function sendAll(broker: number): Promise<void> {
    for (;;) {
      // Others may have become leaders of what this one has had under way.
      for (const queue of queues) if (hasWork(queue) && queue.leader !== broker) wake(queue.leader)
      const nowMs = performance.now()
      for (const queue of queuesOf(broker)) expire(queue, nowMs)
      const waiting = queuesOf(broker)
      if (waiting.length === 0) break
      const due = waiting.filter((queue) => queue.notBeforeMs <= nowMs)
      if (due.length === 0) {
        await sleep(Math.min(...waiting.map((queue) => queue.notBeforeMs)) - nowMs)
      } else if (broker < 0) {
        for (const queue of due) retryLater(queue, withoutLeader(queue))
        void refreshLayout()
      } else {
        for (const queue of due) queue.isUnderWay = true
        try {
          await sendTurn(broker, due)
        } finally {
          for (const queue of due) queue.isUnderWay = false
        }
      }
    }
    // In the same turn as the last look: what comes later must start a new sender.
    senders.delete(broker)
  }

  async function sendTurn(broker: number, due: readonly PartitionQueue[]): Promise<void> {
    try {
      for (const queue of due) {
        if (queue.session !== null) continue
        queue.session = await ensureSession()
        queue.nextSequence = 0
      }
      await Promise.all(due.map((queue) => prepareBatch(queue)))
    } catch (error) {
      onRequestFailed(due, error, false)
      return
    }
    const ready = due.filter((queue) => queue.batch !== null)
    if (ready.length === 0) return
    const deadlineMs = Math.min(...ready.map((queue) => (queue.batch as Batch).deadlineMs))
    const timeoutMs = Math.min(
      options.requestTimeoutMs,
      Math.max(requestTimeoutMsMin, Math.ceil(deadlineMs - performance.now())),
    )
    try {
      const answers = await sendBatches(cluster, broker, name, ready, timeoutMs)
      for (const queue of ready) onAnswer(queue, answers.get(queue.index))
    } catch (error) {
      onRequestFailed(ready, error, true)
      void refreshLayout()
    }
  }

  async function prepareBatch(queue: PartitionQueue): Promise<void> {
    while (queue.batch === null) {
      const slices = takeSlices(queue)
      if (slices.length === 0) return
      const encoded = encode(slices)
      const compressed = await compressRecords(encoded.bytes).catch((error: unknown) => {
        putBack(queue, slices)
        throw error
      })
      const isTooLarge = compressed.body.length + batchHeadBytes > batchBytesMax
      if (isTooLarge && encoded.count > 1) {
        queue.rawBytesTarget = Math.ceil(encoded.bytes.length / 2)
        putBack(queue, slices)
        continue
      }
      queue.batch = {
        slices,
        count: encoded.count,
        baseTimestampMs: encoded.baseTimestampMs,
        maxTimestampMs: encoded.maxTimestampMs,
        ...compressed,
        deadlineMs: (slices[0] as (typeof slices)[0]).append.deadlineMs,
        isMaybeKept: false,
      }
    }
  }

  function onAnswer(
    queue: PartitionQueue,
    answer: { readonly errorCode: number; readonly errorMessage: string | null } | undefined,
  ): void {
    const batch = queue.batch as Batch
    const outcome =
      answer === undefined
        ? ({ what: 'unknown', reason: 'the broker’s answer doesn’t name the partition' } as const)
        : produceOutcome(answer.errorCode, answer.errorMessage)
    switch (outcome.what) {
      case 'kept':
        queue.batch = null
        queue.failures = 0
        queue.lastError = null
        queue.nextSequence = (queue.nextSequence + batch.count) % sequenceEnd
        settleSlices(batch.slices, null)
        return
      case 'again': {
        batch.isMaybeKept ||= outcome.isMaybeKept
        retryLater(queue, failed(queue, `error ${answer?.errorCode} of the broker`))
        if (outcome.findLeader) void refreshLayout()
        return
      }
      case 'newProducer':
        dropSession(queue)
        if (batch.isMaybeKept) failBatch(queue, unknownOutcome(queue, 'its producer id was lost'))
        else retryLater(queue, failed(queue, 'the broker has lost its producer id'))
        return
      case 'tooLarge':
        splitBatch(queue)
        return
      case 'refused':
        failAll(queue, failed(queue, outcome.reason))
        return
      case 'unknown':
        batch.isMaybeKept = true
        failBatch(queue, unknownOutcome(queue, outcome.reason))
    }
  }

  /** The topic's limit was lowered since we read it; the batch was not kept, its sequence is free. */
  function splitBatch(queue: PartitionQueue): void {
    const { slices, count, body, isMaybeKept } = queue.batch as Batch
    const sizeBytes = body.length + batchHeadBytes
    batchBytesMax = Math.min(batchBytesMax, sizeBytes - 1)
    if (count === 1 || isMaybeKept) {
      // Other records of the append may be kept. Sent again it is refused before anything is.
      failBatch(
        queue,
        failed(queue, `a batch of ${sizeBytes} bytes is above its max.message.bytes`),
      )
      return
    }
    queue.rawBytesTarget = Math.max(1, Math.ceil(batchBytesMax / 2))
    putBack(queue, slices)
    queue.batch = null
  }

  /** Nothing is known of what was sent. Where nobody will let us in, waiting helps nobody. */
  function onRequestFailed(due: readonly PartitionQueue[], error: unknown, wasSent: boolean): void {
    const failure = kafkaFailure(error, `can't append to topic ${name}`)
    for (const queue of due) {
      if (queue.batch !== null) queue.batch.isMaybeKept ||= wasSent
      retryLater(queue, failure)
      if (isRefusal(error)) failAll(queue, failure)
    }
  }

  function retryLater(queue: PartitionQueue, error: PotokError): void {
    const backoffMs = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(queue.failures, 10))
    queue.failures++
    queue.lastError = error
    queue.notBeforeMs = performance.now() + backoffMs
    // A leader that moved is nothing to worry about: the second time it is.
    if (queue.failures > 1) warn(error, 'appending to Kafka failed again; trying on')
  }

  function failBatch(queue: PartitionQueue, error: PotokError): void {
    const batch = queue.batch as Batch
    queue.batch = null
    if (batch.isMaybeKept) dropSession(queue)
    settleSlices(batch.slices, error)
  }

  function failAll(queue: PartitionQueue, error: PotokError): void {
    if (queue.batch !== null) failBatch(queue, error)
    failWaiting(
      queue,
      () => true,
      () => error,
    )
  }

  function expire(queue: PartitionQueue, nowMs: number): void {
    const { batch } = queue
    if (batch !== null && batch.deadlineMs <= nowMs) {
      failBatch(queue, unknownOutcome(queue, `not confirmed within ${deliveryTimeoutMs} ms`))
    }
    failWaiting(
      queue,
      (append) => append.deadlineMs <= nowMs,
      () => unknownOutcome(queue, `not sent within ${deliveryTimeoutMs} ms`),
    )
  }

  const where = (queue: PartitionQueue): string => `partition ${queue.index} of topic ${name}`

  function failed(queue: PartitionQueue, why: string): PotokError {
    return new PotokError('Unavailable', `Kafka: can't append to ${where(queue)}: ${why}`)
  }

  function withoutLeader(queue: PartitionQueue): PotokError {
    return failed(queue, 'it has no leader, or has gone')
  }

  function unknownOutcome(queue: PartitionQueue, why: string): PotokError {
    return new PotokError(
      'Unavailable',
      `Kafka: ${where(queue)} may have the records or not: ${why}`,
      queue.lastError === null ? {} : { cause: queue.lastError },
    )
  }

  function assertFits(records: readonly LogRecord[]): number {
    let sizeBytes = 0
    for (const record of records) {
      assert(queues[record.logPartition] !== undefined, `no log partition ${record.logPartition}`)
      const recordBytes = recordSizeBytesMax(record)
      // Not compressed, so that the answer never depends on the bytes of a record.
      if (recordBytes + batchHeadBytes > batchBytesMax) throw tooLarge(recordBytes, batchBytesMax)
      sizeBytes += recordBytes
    }
    if (sizeBytes > pendingBytesMax) {
      throw new PotokError('TooLarge', `an append of ${sizeBytes} bytes is more than the log takes`)
    }
    if (pendingBytes + sizeBytes > pendingBytesMax) {
      throw new PotokError('Overloaded', 'Kafka is too slow: too much waits to be sent to it', {
        context: { pendingBytes, pendingBytesMax },
      })
    }
    return sizeBytes
  }

  return {
    append(records) {
      return new Promise<void>((resolve, reject) => {
        if (closing !== null) throw new PotokError('ShuttingDown', 'the event log is closed')
        if (records.length === 0) return resolve()
        const sizeBytes = assertFits(records)
        pendingBytes += sizeBytes
        const append: PendingAppend = {
          left: records.length,
          error: null,
          deadlineMs: performance.now() + deliveryTimeoutMs,
          settle(error) {
            pendingBytes -= sizeBytes
            if (error === null) resolve()
            else reject(error)
          },
        }
        for (const queue of enqueue(queues, append, records)) wake(queue.leader)
      })
    },
    async close() {
      closing ??= (async () => {
        while (senders.size > 0) await Promise.all(senders.values())
      })()
      await closing
    },
  }
}

function tooLarge(sizeBytes: number, sizeBytesMax: number): PotokError {
  return new PotokError(
    'TooLarge',
    `a record of ${sizeBytes} bytes is more than the topic takes: ${sizeBytesMax} (its max.message.bytes)`,
    { context: { sizeBytes, sizeBytesMax } },
  )
}
