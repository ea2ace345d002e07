/**
 * Keeps fetched records of the wanted partitions in memory, a little ahead of whoever takes them: one request under
 * way per broker, so that the network works while the sink decodes.
 *
 * - Memory is bounded: a partition is asked for while less than two answers of it wait, and none while
 *   `bufferedBytesMax` are there. Partitions that waited longest are asked for first, since a broker fills an answer
 *   in the order of the request.
 * - A request waits at the broker only where the last answers left nothing and somebody waits here. One that waits
 *   holds up nobody: partitions with more to give are never in it.
 * - Leaders are asked for anew after every failure that a new leader could mend. What doesn't mend is `failure`: a
 *   position outside of the log and damaged records of a partition until it is sought anew; a topic that was replaced,
 *   a refused login and a broker that is away for `failingMsMax` for all.
 */
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import type { LogRange, Logger } from '../../kernel/ports.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import type { KafkaCluster, KafkaTopic } from './kafka-cluster.ts'
import { brokerError, isRefusal, kafkaFailure } from './kafka-failure.ts'
import { type FetchAnswer, type FetchedPartition, fetchApi } from './kafka-fetch.ts'
import { type FetchedRecords, offsetAfter, openFetched, readBlock } from './kafka-record-batch.ts'
import { outsideOfLog } from './outside-of-log.ts'
import { sleep } from './sleep.ts'

export type KafkaFetcherOptions = {
  /** Its own: fetches wait at the broker, and it answers the requests of a connection in their order. */
  readonly cluster: KafkaCluster
  readonly topic: string
  readonly topicId: string
  readonly requestTimeoutMs: number
  readonly ranges: () => Promise<readonly LogRange[]>
  readonly logger: Logger
  readonly limits?: Partial<FetcherLimits>
}

export type FetcherLimits = {
  readonly partitionBytesMax: number
  readonly requestBytesMax: number
  readonly bufferedBytesMax: number
  readonly failingMsMax: number
}

export type KafkaFetcher = {
  /** Partitions to read now; those without a position are asked for once they are sought. */
  want(logPartitions: readonly number[]): void
  seek(logPartition: number, offset: number): void
  /** Blocks of what is here, of about `bytesMax` in all, from those first that waited longest. */
  take(bytesMax: number): RecordBlock[]
  /** Asks for more. `waiting`: since and until when somebody waits for records; null: nobody does. */
  pump(waiting: Waiting | null): void
  /** Whether every wanted partition was asked for at or after `sinceMs`, and answered or failed. */
  wasAsked(sinceMs: number): boolean
  failure(): PotokError | null
  close(): Promise<void>
}

type Waiting = { readonly sinceMs: number; readonly untilMs: number }

type Partition = {
  readonly index: number
  position: number | null
  /** From which the next request reads. */
  fetchOffset: number
  /** Rises with every seek: answers to requests before it are nobody's. */
  turn: number
  readonly fetched: { readonly records: FetchedRecords; readonly sizeBytes: number }[]
  /** More is there than was fetched, as far as known. */
  isBehind: boolean
  isAsked: boolean
  /** The last attempt failed: not before the leaders are known anew. */
  needsLeader: boolean
  askedMs: number
  takenMs: number
  failingSinceMs: number | null
  failure: PotokError | null
}

const mib = 1_024 * 1_024
const defaultLimits: FetcherLimits = {
  partitionBytesMax: 2 * mib,
  requestBytesMax: 16 * mib,
  bufferedBytesMax: 48 * mib,
  failingMsMax: 30_000,
}
const fetchedMax = 2
const brokerWaitMsMax = 1_000
const retryMsMin = 50
const retryMsMax = 1_000
/** Brokers learn of a topic one after the other; only then is "unknown" the truth. */
const unknownTopicMsMax = 5_000

export function createKafkaFetcher(
  options: KafkaFetcherOptions & { readonly onNews: () => void },
): KafkaFetcher {
  const { cluster, topic, topicId, logger, onNews } = options
  const limits = { ...defaultLimits, ...options.limits }
  const partitions = new Map<number, Partition>()
  const busyBrokers = new Set<number>()
  let wanted: readonly number[] = []
  let described: KafkaTopic | null = null
  let describing: Promise<void> | null = null
  let retryMs = retryMsMin
  let failingSinceMs: number | null = null
  let unknownSinceMs: number | null = null
  let failure: PotokError | null = null
  let bufferedBytes = 0
  let expectedBytes = 0
  let waiting: Waiting | null = null
  let closed = false

  function partitionOf(index: number): Partition {
    let partition = partitions.get(index)
    if (partition === undefined) {
      partition = {
        index,
        position: null,
        fetchOffset: 0,
        turn: 0,
        fetched: [],
        isBehind: true,
        isAsked: false,
        needsLeader: false,
        askedMs: Number.NEGATIVE_INFINITY,
        takenMs: Number.NEGATIVE_INFINITY,
        failingSinceMs: null,
        failure: null,
      }
      partitions.set(index, partition)
    }
    return partition
  }

  function active(): Partition[] {
    return wanted
      .map(partitionOf)
      .filter(({ position, failure: failed }) => position !== null && failed === null)
      .sort((a, b) => a.takenMs - b.takenMs || a.index - b.index)
  }

  function drop(partition: Partition): void {
    for (const { sizeBytes } of partition.fetched) bufferedBytes -= sizeBytes
    partition.fetched.length = 0
    partition.turn++
  }

  function pump(): void {
    if (closed || failure !== null) return
    const topicNow = described
    if (topicNow === null) return describe(0)
    const byLeader = Map.groupBy(active(), ({ index }) => topicNow.partitions[index]?.leader ?? -1)
    let isLeaderless = false
    for (const [leader, all] of byLeader) {
      if (leader < 0) {
        isLeaderless = true
        for (const partition of all) failed(partition, null)
      } else if (!busyBrokers.has(leader)) ask(leader, all)
    }
    if (isLeaderless) describe(retryMs)
  }

  function ask(leader: number, all: readonly Partition[]): void {
    const open = all.filter(
      ({ fetched, isAsked, needsLeader }) =>
        fetched.length < fetchedMax && !isAsked && !needsLeader,
    )
    const room = limits.bufferedBytesMax - bufferedBytes - expectedBytes
    if (open.length === 0 || room <= 0) return
    const nowMs = performance.now()
    const isAnyBehind = open.some(({ isBehind }) => isBehind)
    // With something here nobody waits, and what waits at the broker would hold up the rest.
    const isAnyHere = all.some(({ fetched }) => fetched.length > 0)
    if (!isAnyBehind && (waiting === null || isAnyHere)) return
    const leftMs = Math.max(0, Math.ceil((waiting?.untilMs ?? nowMs) - nowMs))
    const sinceMs = waiting?.sinceMs ?? nowMs
    if (!isAnyBehind && leftMs === 0 && open.every(({ askedMs }) => askedMs >= sinceMs)) return
    const maxWaitMs = isAnyBehind ? 0 : leftMs
    const bytesMax = Math.min(limits.requestBytesMax, room)
    const turns = new Map(open.map(({ index, turn }) => [index, turn]))
    for (const partition of open) partition.isAsked = true
    busyBrokers.add(leader)
    expectedBytes += bytesMax
    const request = {
      topicId,
      maxWaitMs: Math.min(maxWaitMs, brokerWaitMsMax),
      bytesMax,
      partitionBytesMax: limits.partitionBytesMax,
      partitions: open.map(({ index, fetchOffset }) => ({
        index,
        leaderEpoch: described?.partitions[index]?.leaderEpoch ?? -1,
        offset: fetchOffset,
      })),
    }
    cluster
      .request(leader, fetchApi, [request], request.maxWaitMs + options.requestTimeoutMs)
      .then(
        (answer) => keep(answer, turns),
        (error: unknown) => {
          failAll(open, error)
        },
      )
      .finally(() => {
        busyBrokers.delete(leader)
        expectedBytes -= bytesMax
        for (const partition of open) {
          partition.isAsked = false
          partition.askedMs = nowMs
        }
        onNews()
        pump()
      })
  }

  function keep(answer: FetchAnswer, turns: ReadonlyMap<number, number>): void {
    if (answer.errorCode !== brokerError.none) {
      const errorCode = answer.errorCode
      for (const index of turns.keys()) judge(partitionOf(index), errorCode)
      return
    }
    const isEmpty = answer.partitions.every(({ records }) => records.length === 0)
    for (const got of answer.partitions) {
      const partition = partitionOf(got.index)
      if (closed || turns.get(got.index) !== partition.turn) continue
      if (got.errorCode !== brokerError.none) judge(partition, got.errorCode)
      else store(partition, got, isEmpty)
    }
  }

  function store(partition: Partition, got: FetchedPartition, isEmpty: boolean): void {
    partition.failingSinceMs = null
    failingSinceMs = null
    unknownSinceMs = null
    retryMs = retryMsMin
    const { records, index } = got
    let next: number | null
    try {
      next = offsetAfter(index, records)
    } catch (error) {
      if (!isPotokError(error)) throw error
      partition.failure = error
      return
    }
    if (next !== null && next > partition.fetchOffset) {
      const opened = openFetched(index, records, got.aborted)
      partition.fetched.push({ records: opened, sizeBytes: records.length })
      bufferedBytes += records.length
      partition.fetchOffset = next
    }
    // An answer without anything: asking again at once would bring the same.
    partition.isBehind = !isEmpty && got.lastStableOffset > partition.fetchOffset
  }

  function judge(partition: Partition, errorCode: number): void {
    if (errorCode === brokerError.offsetOutOfRange) {
      const { turn } = partition
      outOfRange(partition).catch((error: unknown) => {
        if (turn !== partition.turn) return
        failed(partition, error)
        describe(retryMs)
      })
      return
    }
    if (errorCode === brokerError.topicAuthorizationFailed) {
      const why = `this user may not read topic ${topic} (ACL)`
      failure ??= new PotokError('Unavailable', `Kafka: ${why}`, { context: { isRefusal: true } })
      return
    }
    failed(partition, codeFailure(partition, errorCode))
    const isUnknown =
      errorCode === brokerError.unknownTopicId ||
      errorCode === brokerError.inconsistentTopicId ||
      errorCode === brokerError.unknownTopicOrPartition
    if (isUnknown) unknownSinceMs ??= performance.now()
    describe(retryMs)
  }

  async function outOfRange(partition: Partition): Promise<void> {
    const { turn, fetchOffset, index } = partition
    const range = (await options.ranges()).find(({ logPartition }) => logPartition === index)
    if (turn !== partition.turn) return
    if (
      range === undefined ||
      (fetchOffset >= range.startOffset && fetchOffset <= range.endOffset)
    ) {
      // A new leader may be a little behind what the old one had told.
      failed(partition, codeFailure(partition, brokerError.offsetOutOfRange))
      return describe(retryMs)
    }
    partition.failure = outsideOfLog(index, fetchOffset, range)
    onNews()
  }

  function codeFailure({ index, fetchOffset }: Partition, errorCode: number): PotokError {
    return new PotokError(
      'Unavailable',
      `Kafka: can't read partition ${index} of topic ${topic} (error ${errorCode})`,
      { context: { logPartition: index, offset: fetchOffset, errorCode } },
    )
  }

  function failAll(asked: readonly Partition[], error: unknown): void {
    if (closed) return
    const found = kafkaFailure(error, `can't read topic ${topic}`)
    if (isRefusal(error)) failure ??= found
    for (const partition of asked) failed(partition, found)
    describe(retryMs)
  }

  /** Tried again; what lasts becomes a failure. */
  function failed(partition: Partition, error: unknown): void {
    const nowMs = performance.now()
    partition.isBehind = true
    partition.needsLeader = true
    partition.askedMs = nowMs
    partition.failingSinceMs ??= nowMs
    if (nowMs - partition.failingSinceMs < limits.failingMsMax) return
    failure ??= new PotokError(
      'Unavailable',
      `Kafka: partition ${partition.index} of topic ${topic} can't be read for ${Math.round(limits.failingMsMax / 1_000)} s`,
      { context: { logPartition: partition.index }, cause: error ?? undefined },
    )
  }

  function describe(afterMs: number): void {
    if (closed || describing !== null) return
    let isKnown = false
    describing = (async () => {
      if (afterMs > 0) {
        await sleep(afterMs)
        retryMs = Math.min(retryMsMax, retryMs * 2)
      }
      if (closed) return
      try {
        isKnown = checkTopic(await cluster.describeTopic(topic))
        failingSinceMs = null
      } catch (error) {
        failedToDescribe(error)
      }
    })().finally(() => {
      describing = null
      if (isKnown) for (const partition of partitions.values()) partition.needsLeader = false
      else if (failure === null) describe(retryMs)
      onNews()
      pump()
    })
  }

  /** Whether it is ours. */
  function checkTopic(found: KafkaTopic | null): boolean {
    if (found !== null && found.topicId === topicId) {
      described = found
      return true
    }
    if (found !== null) {
      failure ??= replaced(`topic ${topic} was deleted and made again`)
      return false
    }
    unknownSinceMs ??= performance.now()
    if (performance.now() - unknownSinceMs > unknownTopicMsMax) {
      failure ??= replaced(`topic ${topic} has gone`)
    }
    return false
  }

  function replaced(why: string): PotokError {
    return new PotokError('NotFound', `Kafka: ${why}`, { context: { topic, topicId } })
  }

  function failedToDescribe(error: unknown): void {
    if (closed) return
    const nowMs = performance.now()
    if (failingSinceMs === null) {
      failingSinceMs = nowMs
      logger.warn({ topic, error: describeError(error) }, 'Kafka does not answer: tried again')
    }
    const lasts = nowMs - failingSinceMs >= limits.failingMsMax
    if (isRefusal(error) || lasts) failure ??= kafkaFailure(error, `can't ask for topic ${topic}`)
    for (const partition of active()) partition.askedMs = nowMs
  }

  return {
    want(logPartitions) {
      for (const index of wanted) {
        if (!logPartitions.includes(index)) {
          const partition = partitionOf(index)
          drop(partition)
          // Where it comes back unseen it goes on where it was: the table takes each record once.
          partition.fetchOffset = partition.position ?? 0
          partition.isBehind = true
        }
      }
      wanted = logPartitions
    },
    seek(index, offset) {
      const partition = partitionOf(index)
      drop(partition)
      partition.position = offset
      partition.fetchOffset = offset
      partition.isBehind = true
      partition.failingSinceMs = null
      partition.failure = null
    },
    take(bytesMax) {
      const blocks: RecordBlock[] = []
      const filled = active().filter(({ fetched }) => fetched.length > 0)
      let left = bytesMax
      filled.forEach((partition, i) => {
        if (left <= 0 && blocks.length > 0) return
        const block = takeBlock(partition, Math.ceil(left / (filled.length - i)))
        if (block === null) return
        left -= block.values.length
        blocks.push(block)
      })
      return blocks
    },
    pump(now) {
      waiting = now
      pump()
    },
    wasAsked: (sinceMs) => active().every(({ askedMs }) => askedMs >= sinceMs),
    failure() {
      if (failure !== null) return failure
      for (const index of wanted) {
        const own = partitions.get(index)?.failure ?? null
        if (own !== null) return own
      }
      return null
    },
    async close() {
      closed = true
      await cluster.close()
    },
  }

  function takeBlock(partition: Partition, bytesMax: number): RecordBlock | null {
    const first = partition.fetched[0]
    if (first === undefined || partition.position === null) return null
    partition.takenMs = performance.now()
    try {
      const block = readBlock(first.records, partition.position, bytesMax)
      if (block === null) {
        partition.fetched.shift()
        bufferedBytes -= first.sizeBytes
        return takeBlock(partition, bytesMax)
      }
      partition.position = block.nextOffset
      return block
    } catch (error) {
      if (!isPotokError(error)) throw error
      partition.failure = error
      return null
    }
  }
}
