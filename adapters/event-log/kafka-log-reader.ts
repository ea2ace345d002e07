/**
 * `LogReader` over a topic of Kafka: the group says which partitions (kafka-group.ts), the caller from where, the
 * fetcher brings them (kafka-fetcher.ts). Positions are nowhere but in memory here: a reader that is opened again
 * knows none, and never takes one from the group.
 *
 * Records of transactions count from their commit (read_committed): what an open one hides is not there yet, what an
 * aborted one wrote is a gap.
 */
import assert from 'node:assert/strict'
import { PotokError } from '../../kernel/errors.ts'
import type { LogRange, LogReader, Logger } from '../../kernel/ports.ts'
import { createKafkaCluster, type KafkaCluster } from './kafka-cluster.ts'
import type { KafkaConnection } from './kafka-connection.ts'
import { createKafkaFetcher, type FetcherLimits } from './kafka-fetcher.ts'
import { createKafkaGroup } from './kafka-group.ts'
import { outsideOfLog } from './outside-of-log.ts'

export type KafkaLogReaderOptions = {
  readonly connection: KafkaConnection
  /** For what waits for nothing: ranges, acknowledgements. */
  readonly cluster: KafkaCluster
  readonly topic: string
  /** As on the wire. Records of another topic by the same name are never read. */
  readonly topicId: string
  readonly group: string
  readonly sessionTimeoutMs: number
  readonly ranges: () => Promise<readonly LogRange[]>
  readonly logger: Logger
  readonly limits?: Partial<FetcherLimits>
}

/** How long opening waits for a share of the partitions; without one the reader begins without any. */
const joinWaitMs = 10_000
/** A poll hears of every partition once, however short its wait, where the brokers answer by then. */
const answerWaitMs = 2_000
/** Seeks of one assignment come together. */
const rangesAgeMsMax = 1_000

export async function openKafkaLogReader(options: KafkaLogReaderOptions): Promise<LogReader> {
  const { connection, topic, logger } = options
  const { requestTimeoutMs } = connection
  let wake: () => void = () => undefined
  let ranges: { readonly list: Promise<readonly LogRange[]>; readonly atMs: number } | null = null
  let isPolling = false
  let closing: Promise<void> | null = null
  const fetcher = createKafkaFetcher({
    ...options,
    cluster: createKafkaCluster(connection),
    requestTimeoutMs,
    onNews: () => wake(),
  })
  const group = createKafkaGroup({
    // Its connections give up on no request that may wait for the others of the group.
    cluster: createKafkaCluster({
      ...connection,
      requestTimeoutMs: 2 * options.sessionTimeoutMs + requestTimeoutMs,
    }),
    sharedCluster: options.cluster,
    groupId: `potok.${options.group}.${topic}`,
    topic,
    sessionTimeoutMs: options.sessionTimeoutMs,
    requestTimeoutMs,
    logger,
    onChange: () => wake(),
  })
  await group.ready(joinWaitMs)

  function assertOpen(): void {
    if (closing !== null) throw new PotokError('ShuttingDown', 'the event log is closed')
  }

  function throwFailure(): void {
    const failure = fetcher.failure() ?? group.failure()
    if (failure !== null) throw failure
  }

  async function rangeOf(logPartition: number, ageMsMax: number): Promise<LogRange | undefined> {
    const nowMs = performance.now()
    if (ranges === null || nowMs - ranges.atMs > ageMsMax) {
      const list = options.ranges()
      ranges = { list, atMs: nowMs }
      list.catch(() => {
        ranges = null
      })
    }
    return (await ranges.list).find((range) => range.logPartition === logPartition)
  }

  async function poll(
    maxWaitMs: number,
    maxBytes: number,
    signal: AbortSignal,
  ): ReturnType<LogReader['poll']> {
    const begunMs = performance.now()
    const untilMs = begunMs + maxWaitMs
    const answeredUntilMs = begunMs + Math.max(maxWaitMs, answerWaitMs)
    const assignment = group.assignment()
    for (;;) {
      assertOpen()
      throwFailure()
      if (signal.aborted || group.assignment() !== assignment) return []
      fetcher.want(assignment)
      const blocks = fetcher.take(maxBytes)
      throwFailureOf(blocks.length)
      const nowMs = performance.now()
      const isOver = nowMs >= untilMs && (fetcher.wasAsked(begunMs) || nowMs >= answeredUntilMs)
      if (blocks.length > 0 || isOver) return blocks
      const slept = new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          resolve()
        }
        const timer = setTimeout(
          done,
          Math.max(1, (nowMs < untilMs ? untilMs : answeredUntilMs) - nowMs),
        )
        signal.addEventListener('abort', done)
        wake = done
      })
      fetcher.pump({ sinceMs: begunMs, untilMs })
      await slept
    }
  }

  /** What was decoded before a damaged batch is handed out first. */
  function throwFailureOf(blocks: number): void {
    if (blocks === 0) throwFailure()
  }

  return {
    assignment: () => group.assignment(),
    async seek(logPartition, offset) {
      assertOpen()
      let range = await rangeOf(logPartition, rangesAgeMsMax)
      const isInside = (): boolean =>
        range !== undefined && offset >= range.startOffset && offset <= range.endOffset
      if (!isInside()) range = await rangeOf(logPartition, 0)
      if (range === undefined) {
        throw new PotokError('InvalidInput', `topic ${topic} has no partition ${logPartition}`, {
          context: { logPartition, offset },
        })
      }
      if (!isInside()) throw outsideOfLog(logPartition, offset, range)
      assertOpen()
      fetcher.seek(logPartition, offset)
    },
    async poll({ maxWaitMs, maxBytes, signal }) {
      assert(!isPolling, 'one poll at a time')
      isPolling = true
      try {
        return await poll(maxWaitMs, maxBytes, signal)
      } finally {
        isPolling = false
        wake = () => undefined
        // Reads ahead, and asks for nothing that would wait.
        fetcher.pump(null)
      }
    },
    async acknowledge(positions) {
      assertOpen()
      await group.commitGroupOffsets(positions)
    },
    async close() {
      closing ??= (async () => {
        wake()
        await Promise.all([fetcher.close(), group.close()])
      })()
      await closing
    },
  }
}
