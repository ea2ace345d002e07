/**
 * An event log for simulations: arrays in memory, read in blocks of random size on simulated time. Offsets
 * may have gaps, retention may cut the beginning, the end may be lost, and calls may fail through a hook.
 */
import { PotokError } from '../kernel/errors.ts'
import type { EventLog, LogIdentity, LogRange, LogReader, LogRecord } from '../kernel/ports.ts'
import { buildBlock } from '../kernel/record-block-codec.ts'
import type { RecordBlock } from '../kernel/record-block.ts'
import type { Random } from './random.ts'
import { createSimulatedGroup, type SimulatedGroup } from './simulated-group.ts'
import type { SimulatedTime } from './simulated-time.ts'

type Partition = {
  startOffset: number
  endOffset: number
  records: { readonly offset: number; readonly record: LogRecord }[]
}

export type SimulatedLog = EventLog & {
  readonly partitions: readonly Partition[]
  logIdentity: LogIdentity
  /** Offsets that no record will ever have, as Kafka's aborted transactions leave them. */
  skip(logPartition: number, offsets: number): void
  /** One more log partition, empty. */
  grow(): void
  retain(logPartition: number, startOffset: number): void
  truncate(logPartition: number, endOffset: number): void
  readonly acknowledged: Map<string, ReadonlyMap<number, number>>
  readonly group: SimulatedGroup
}

export function createSimulatedLog(options: {
  partitionCount: number
  time: SimulatedTime
  random: Random
  /** In front of each call of a reader; throws: the call failed. */
  beforeRead?: (call: 'open' | 'seek' | 'poll' | 'acknowledge') => Promise<void>
  /** Log partitions of the next reader; all where it isn't given. */
  assign?: () => readonly number[]
  /** Readers are members of one consumer group: `log.group`. */
  isGroup?: boolean
}): SimulatedLog {
  const { partitionCount, time, random } = options
  const beforeRead = options.beforeRead ?? (async () => {})
  const partitions: Partition[] = Array.from({ length: partitionCount }, () => ({
    startOffset: 0,
    endOffset: 0,
    records: [],
  }))
  const acknowledged = new Map<string, ReadonlyMap<number, number>>()
  const partition = (logPartition: number): Partition => {
    const found = partitions[logPartition]
    if (found === undefined) throw new RangeError(`no log partition ${logPartition}`)
    return found
  }

  const sharing = createSimulatedGroup({ time, random, partitionCount: () => partitions.length })

  function block(logPartition: number, position: number): RecordBlock | null {
    const { records, endOffset } = partition(logPartition)
    const from = records.findIndex(({ offset }) => offset >= position)
    const wanted = from < 0 ? [] : records.slice(from, from + 1 + random.below(6))
    const last = wanted.at(-1)
    if (last === undefined) {
      if (position >= endOffset) return null
      // Nothing but offsets without records up to the end.
      const empty = new Uint8Array(0)
      return {
        logPartition,
        baseOffset: position,
        nextOffset: endOffset,
        count: 0,
        offsets: null,
        receivedAtUs: new Float64Array(0),
        kinds: empty,
        eventIds: null,
        valueEnds: new Uint32Array(0),
        values: empty,
      }
    }
    const dense = buildBlock(
      wanted.map(({ record }) => record),
      position,
    )
    const isDense = wanted.every(({ offset }, i) => offset === position + i)
    return {
      ...dense,
      nextOffset: last.offset + 1,
      offsets: isDense ? null : Float64Array.from(wanted, ({ offset }) => offset),
    }
  }

  function openReader(group: string): LogReader {
    const member = options.isGroup === true ? sharing.join() : null
    const fixed = options.assign?.() ?? partitions.map((_, logPartition) => logPartition)
    const assignment = (): readonly number[] => member?.assignment() ?? [...fixed]
    /** Of those that were sought, also while they are taken away. */
    const positions = new Map<number, number>()
    let isOpen = true
    return {
      assignment,
      async seek(logPartition, offset) {
        await beforeRead('seek')
        const { startOffset, endOffset } = partition(logPartition)
        if (offset < startOffset || offset > endOffset) {
          throw new PotokError('InvalidInput', `offset ${offset} is outside of the log`)
        }
        positions.set(logPartition, offset)
      },
      async poll({ maxWaitMs, signal }) {
        await beforeRead('poll')
        if (!isOpen) throw new PotokError('ShuttingDown', 'the reader is closed')
        for (let look = 0; look < 2; look++) {
          member?.showUp()
          const blocks: RecordBlock[] = []
          for (const logPartition of assignment()) {
            const position = positions.get(logPartition)
            if (position === undefined) continue
            const next = random.chance(0.8) ? block(logPartition, position) : null
            if (next === null) continue
            positions.set(logPartition, next.nextOffset)
            blocks.push(next)
          }
          if (blocks.length > 0 || look === 1) return blocks
          await time.sleep(maxWaitMs, signal)
        }
        return []
      },
      async acknowledge(committed) {
        await beforeRead('acknowledge')
        acknowledged.set(group, new Map([...(acknowledged.get(group) ?? []), ...committed]))
      },
      async close() {
        isOpen = false
        member?.leave()
      },
    }
  }

  const log: SimulatedLog = {
    partitions,
    get partitionCount() {
      return partitions.length
    },
    acknowledged,
    group: sharing,
    logIdentity: { clusterId: 'simulated', topic: 'detections', topicId: 'topic-1' },
    identity: async () => log.logIdentity,
    async append(records) {
      for (const record of records) {
        const { endOffset, records: kept } = partition(record.logPartition)
        kept.push({ offset: endOffset, record })
        partition(record.logPartition).endOffset++
      }
    },
    async ranges(): Promise<LogRange[]> {
      return partitions.map(({ startOffset, endOffset }, logPartition) => ({
        logPartition,
        startOffset,
        endOffset,
      }))
    },
    async openReader({ group }) {
      await beforeRead('open')
      return openReader(group)
    },
    async close() {},
    skip(logPartition, offsets) {
      partition(logPartition).endOffset += offsets
    },
    grow() {
      partitions.push({ startOffset: 0, endOffset: 0, records: [] })
    },
    retain(logPartition, startOffset) {
      const cut = partition(logPartition)
      cut.startOffset = startOffset
      cut.records = cut.records.filter(({ offset }) => offset >= startOffset)
    },
    truncate(logPartition, endOffset) {
      const cut = partition(logPartition)
      cut.endOffset = endOffset
      cut.records = cut.records.filter(({ offset }) => offset < endOffset)
    },
  }
  return log
}
