/**
 * The event log in memory, for tests: the same contract as the real ones (testkit/contracts/event-log.ts),
 * plus faults on demand. Nothing survives the object.
 */
import assert from 'node:assert/strict'
import { PotokError } from '../kernel/errors.ts'
import type { EventLog, LogIdentity, LogRecord } from '../kernel/ports.ts'
import type { RecordBlock } from '../kernel/record-block.ts'
import { buildBlock, mergeBlocks } from '../kernel/record-block-codec.ts'

/**
 * Faults of the next appends, taken one per append: `refuse` keeps nothing and says Overloaded;
 * `lose` keeps nothing and says Unavailable; `unknown` keeps the records and says Unavailable all the same.
 */
export type AppendFault = 'refuse' | 'lose' | 'unknown'

export type MemoryEventLog = EventLog & {
  readonly faults: AppendFault[]
  /** Fails the next polls of all readers, one each. */
  readonly pollFaults: PotokError[]
  /** What each group has acknowledged. */
  readonly acknowledged: ReadonlyMap<string, ReadonlyMap<number, number>>
  /** As retention does: offsets below are gone. Must be the base offset of a block or the end. */
  removeBefore(logPartition: number, offset: number): void
  /** As transactions of Kafka do: offsets without records. */
  skipOffsets(logPartition: number, count: number): void
  /** As a topic that was deleted and made again: empty, from 0, another id. */
  recreate(): void
}

type Partition = { startOffset: number; endOffset: number; blocks: RecordBlock[] }

export function createMemoryEventLog(options: {
  partitionCount: number
  identity?: LogIdentity
}): MemoryEventLog {
  const { partitionCount } = options
  let identity = options.identity ?? {
    clusterId: 'memory',
    topic: 'events',
    topicId: 'memory-topic-1',
  }
  const fresh = (): Partition[] =>
    Array.from({ length: partitionCount }, () => ({ startOffset: 0, endOffset: 0, blocks: [] }))
  let partitions = fresh()
  let recreated = 1
  let closed = false
  const faults: AppendFault[] = []
  const pollFaults: PotokError[] = []
  const acknowledged = new Map<string, Map<number, number>>()
  const wakeups = new Set<() => void>()

  function partitionAt(logPartition: number): Partition {
    const partition = partitions[logPartition]
    assert(partition !== undefined, `no log partition ${logPartition}`)
    return partition
  }

  function keep(records: readonly LogRecord[]): void {
    const byPartition = Map.groupBy(records, (record) => record.logPartition)
    for (const [logPartition, own] of byPartition) {
      const partition = partitionAt(logPartition)
      partition.blocks.push(buildBlock(own, partition.endOffset))
      partition.endOffset += own.length
    }
    for (const wake of wakeups) wake()
  }

  function assertOpen(): void {
    if (closed) throw new PotokError('ShuttingDown', 'the event log is closed')
  }

  function readPartition(logPartition: number, position: number, maxBytes: number): RecordBlock {
    const { blocks } = partitionAt(logPartition)
    const taken: RecordBlock[] = []
    let sizeBytes = 0
    for (const block of blocks) {
      if (block.nextOffset <= position) continue
      sizeBytes += block.values.buffer.byteLength
      if (taken.length > 0 && sizeBytes > maxBytes) break
      // A copy: the caller may transfer it.
      taken.push(structuredClone(block))
    }
    return mergeBlocks(taken, position)
  }

  return {
    faults,
    pollFaults,
    acknowledged,
    partitionCount,
    identity: async () => identity,
    async append(records) {
      assertOpen()
      for (const { logPartition } of records) partitionAt(logPartition)
      const fault = faults.shift()
      if (fault === 'refuse') throw new PotokError('Overloaded', 'the event log is full')
      if (fault !== 'lose') keep(records)
      if (fault !== undefined) throw new PotokError('Unavailable', 'no answer from the event log')
    },
    async ranges() {
      return partitions.map(({ startOffset, endOffset }, logPartition) => ({
        logPartition,
        startOffset,
        endOffset,
      }))
    },
    async openReader({ group }) {
      assertOpen()
      const positions = new Map<number, number>()
      const all = partitions.map((_, i) => i)
      let turn = 0
      let readerClosed = false
      const assertReadable = (): void => {
        if (closed || readerClosed) throw new PotokError('ShuttingDown', 'the event log is closed')
      }
      const readOnce = (maxBytes: number): RecordBlock[] => {
        const blocks: RecordBlock[] = []
        const waiting = all
          .map((_, i) => (i + turn) % all.length)
          .filter((logPartition) => {
            const position = positions.get(logPartition)
            assert(position !== undefined, `log partition ${logPartition} was polled before seek`)
            assertWithin(logPartition, position, partitionAt(logPartition))
            const last = partitionAt(logPartition).blocks.at(-1)
            return last !== undefined && last.nextOffset > position
          })
        turn = (turn + 1) % all.length
        let left = maxBytes
        waiting.forEach((logPartition, i) => {
          if (left <= 0) return
          const share = Math.ceil(left / (waiting.length - i))
          const block = readPartition(logPartition, positions.get(logPartition) as number, share)
          positions.set(logPartition, block.nextOffset)
          left -= block.values.buffer.byteLength
          blocks.push(block)
        })
        return blocks
      }
      return {
        assignment: () => all,
        async seek(logPartition, offset) {
          assertReadable()
          assertWithin(logPartition, offset, partitionAt(logPartition))
          positions.set(logPartition, offset)
        },
        async poll({ maxWaitMs, maxBytes, signal }) {
          const deadline = performance.now() + maxWaitMs
          while (!signal.aborted) {
            assertReadable()
            const fault = pollFaults.shift()
            if (fault !== undefined) throw fault
            const blocks = readOnce(maxBytes)
            const leftMs = deadline - performance.now()
            if (blocks.length > 0 || leftMs <= 0) return blocks
            await waitForAppend(wakeups, leftMs, signal)
          }
          return []
        },
        async acknowledge(now) {
          assertReadable()
          const before = acknowledged.get(group) ?? new Map<number, number>()
          acknowledged.set(group, new Map([...before, ...now]))
        },
        async close() {
          readerClosed = true
        },
      }
    },
    removeBefore(logPartition, offset) {
      const partition = partitionAt(logPartition)
      partition.blocks = partition.blocks.filter((block) => block.baseOffset >= offset)
      partition.startOffset = offset
    },
    skipOffsets(logPartition, count) {
      partitionAt(logPartition).endOffset += count
    },
    recreate() {
      partitions = fresh()
      identity = { ...identity, topicId: `memory-topic-${++recreated}` }
    },
    async close() {
      closed = true
      for (const wake of wakeups) wake()
    },
  }
}

function assertWithin(
  logPartition: number,
  offset: number,
  range: { startOffset: number; endOffset: number },
): void {
  if (offset >= range.startOffset && offset <= range.endOffset) return
  const { startOffset, endOffset } = range
  throw new PotokError(
    'InvalidInput',
    `offset ${offset} of log partition ${logPartition} is outside of the log, which holds ` +
      `${startOffset} to ${endOffset}`,
    { context: { logPartition, offset, startOffset, endOffset } },
  )
}

function waitForAppend(
  wakeups: Set<() => void>,
  waitMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      wakeups.delete(done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, waitMs)
    wakeups.add(done)
    signal.addEventListener('abort', done)
  })
}
