/**
 * Reader of the embedded log for one sink: all partitions, positions in memory, no lock on anybody.
 *
 * `poll` waits on the appends of its own log object and besides looks every `lookMs` whether another thread
 * or process has appended: one small read, no busy loop. Blocks of small requests are merged up to the
 * budget, since a sink pays per block; the order of partitions rotates and each has its share of the budget,
 * so none starves.
 */
import assert from 'node:assert/strict'
import { PotokError } from '../../kernel/errors.ts'
import type { LogReader } from '../../kernel/ports.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import { decodeBlock, mergeBlocks } from '../../kernel/record-block-codec.ts'
import {
  getBlock,
  getBlockAround,
  type LogState,
  type LogStore,
  rangeOf,
  readState,
} from './lmdb-log-store.ts'
import { outsideOfLog } from './outside-of-log.ts'

const lookMs = 25

export type ReaderOptions = {
  readonly store: LogStore
  /** Calls back at every commit of this log object; returns how to unsubscribe. */
  readonly onCommit: (wake: () => void) => () => void
  readonly acknowledge: (positions: ReadonlyMap<number, number>) => Promise<void>
  readonly isClosed: () => boolean
}

export function createLogReader(options: ReaderOptions): LogReader {
  const { store } = options
  const partitions = Array.from({ length: store.partitionCount }, (_, i) => i)
  const positions = new Map<number, number>()
  let turn = 0
  let closed = false

  function readOnce(maxBytes: number): RecordBlock[] {
    const state = readState(store)
    const waiting = partitions
      .map((_, i) => (i + turn) % partitions.length)
      .filter((logPartition) => hasNew(state, logPartition))
    turn = (turn + 1) % partitions.length
    const blocks: RecordBlock[] = []
    let left = maxBytes
    waiting.forEach((logPartition, i) => {
      if (left <= 0) return
      const share = Math.ceil(left / (waiting.length - i))
      const stored = readPartition(logPartition, share, rangeOf(state, logPartition).endOffset)
      const position = positions.get(logPartition) as number
      const block = mergeBlocks(stored, position)
      positions.set(logPartition, block.nextOffset)
      left -= block.values.buffer.byteLength
      blocks.push(block)
    })
    return blocks
  }

  function hasNew(state: LogState, logPartition: number): boolean {
    const position = positions.get(logPartition)
    assert(position !== undefined, `log partition ${logPartition} was polled before seek`)
    const range = rangeOf(state, logPartition)
    if (position < range.startOffset || position > range.endOffset) {
      throw outsideOfLog(logPartition, position, range)
    }
    return position < range.endOffset
  }

  function readPartition(
    logPartition: number,
    maxBytes: number,
    endOffset: number,
  ): [RecordBlock, ...RecordBlock[]] {
    const position = positions.get(logPartition) as number
    const first = readBlock(logPartition, position)
    const stored: [RecordBlock, ...RecordBlock[]] = [first]
    let sizeBytes = first.values.buffer.byteLength
    let next = first.nextOffset
    while (next < endOffset) {
      const block = readBlock(logPartition, next)
      sizeBytes += block.values.buffer.byteLength
      // One block read in vain at the end of a poll: cheaper than keeping it or a second index.
      if (sizeBytes > maxBytes) break
      stored.push(block)
      next = block.nextOffset
    }
    return stored
  }

  function readBlock(logPartition: number, offset: number): RecordBlock {
    const bytes =
      getBlock(store, logPartition, offset) ?? getBlockAround(store, logPartition, offset)
    const where = `event log, partition ${logPartition}, offset ${offset}`
    if (bytes === undefined) throw new PotokError('DataCorrupt', `${where}: no block holds it`)
    const block = decodeBlock(bytes, where)
    const fits =
      block.logPartition === logPartition && block.baseOffset <= offset && block.nextOffset > offset
    if (!fits) {
      throw new PotokError('DataCorrupt', `${where}: the block there holds other offsets`, {
        context: { baseOffset: block.baseOffset, nextOffset: block.nextOffset },
      })
    }
    return block
  }

  function assertOpen(): void {
    if (closed || options.isClosed()) {
      throw new PotokError('ShuttingDown', 'the event log is closed')
    }
  }

  return {
    assignment: () => partitions,
    async seek(logPartition, offset) {
      assertOpen()
      assert(partitions[logPartition] !== undefined, `no log partition ${logPartition}`)
      const range = rangeOf(readState(store), logPartition)
      if (!(offset >= range.startOffset && offset <= range.endOffset)) {
        throw outsideOfLog(logPartition, offset, range)
      }
      positions.set(logPartition, offset)
    },
    async poll({ maxWaitMs, maxBytes, signal }) {
      const deadline = performance.now() + maxWaitMs
      while (!signal.aborted) {
        assertOpen()
        const blocks = readOnce(maxBytes)
        const leftMs = deadline - performance.now()
        if (blocks.length > 0 || leftMs <= 0) return blocks
        await waitForCommit(Math.min(lookMs, leftMs), signal, options.onCommit)
      }
      return []
    },
    async acknowledge(acknowledged) {
      assertOpen()
      await options.acknowledge(acknowledged)
    },
    async close() {
      closed = true
    },
  }
}

function waitForCommit(
  waitMs: number,
  signal: AbortSignal,
  onCommit: (wake: () => void) => () => void,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      unsubscribe()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, waitMs)
    const unsubscribe = onCommit(done)
    signal.addEventListener('abort', done)
  })
}
