/**
 * What every `EventLog` promises. Run over each adapter:
 * `eventLogContract('lmdb', async () => ({ log, dispose }))`, log with 3 partitions, empty.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EventLog, LogReader } from '../../kernel/ports.ts'
import { blockOffset, type RecordBlock } from '../../kernel/record-block.ts'
import { blockBuffers } from '../../kernel/record-block-codec.ts'
import { testRecord, textsOf } from '../records.ts'

export type EventLogUnderTest = { readonly log: EventLog; readonly dispose: () => Promise<void> }

const never = new AbortController().signal

/** Reads until nothing new is there: partition → (offset, text). */
export async function readAll(
  reader: LogReader,
  maxBytes = 1_000_000,
): Promise<Map<number, [number, string][]>> {
  const seen = new Map<number, [number, string][]>()
  for (;;) {
    const blocks = await reader.poll({ maxWaitMs: 0, maxBytes, signal: never })
    if (blocks.length === 0) return seen
    for (const block of blocks) {
      const list = seen.get(block.logPartition) ?? []
      textsOf(block).forEach((text, i) => list.push([blockOffset(block, i), text]))
      seen.set(block.logPartition, list)
    }
  }
}

export async function openAtStart(log: EventLog, group = 'test'): Promise<LogReader> {
  const reader = await log.openReader({ group })
  for (const range of await log.ranges()) await reader.seek(range.logPartition, range.startOffset)
  return reader
}

export function eventLogContract(name: string, create: () => Promise<EventLogUnderTest>): void {
  describe(`event log contract: ${name}`, () => {
    let log: EventLog
    let dispose: () => Promise<void>
    beforeEach(async () => {
      const made = await create()
      log = made.log
      dispose = made.dispose
    })
    afterEach(() => dispose())

    it('gives each partition offsets from 0 without gap, in the order of the appends', async () => {
      await log.append([testRecord(0, 'a'), testRecord(2, 'b'), testRecord(0, 'c')])
      await Promise.all([log.append([testRecord(0, 'd')]), log.append([testRecord(0, 'e')])])
      const seen = await readAll(await openAtStart(log))
      expect(seen.get(0)).toEqual([
        [0, 'a'],
        [1, 'c'],
        [2, 'd'],
        [3, 'e'],
      ])
      expect(seen.get(2)).toEqual([[0, 'b']])
      expect((await log.ranges()).map((range) => range.endOffset)).toEqual([4, 0, 1])
    })

    it('keeps kind, receive time and event id of each record', async () => {
      const eventId = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
      await log.append([
        { ...testRecord(1, 'x', 1), receivedAtUs: 1_712_312_130_123_456 },
        { ...testRecord(1, ''), eventId },
      ])
      const reader = await openAtStart(log)
      const [block] = await reader.poll({ maxWaitMs: 0, maxBytes: 1e6, signal: never })
      expect([...(block?.kinds ?? [])]).toEqual([1, 0])
      expect(block?.receivedAtUs[0]).toBe(1_712_312_130_123_456)
      expect([...(block?.eventIds ?? [])]).toEqual([...(Array(16).fill(0) as number[]), ...eventId])
      expect(textsOf(block as RecordBlock)).toEqual(['x', ''])
    })

    it('keeps its identity, and another log has another', async () => {
      const identity = await log.identity()
      expect(identity).toEqual(await log.identity())
      expect(identity.clusterId.length).toBeGreaterThan(0)
      expect(identity.topicId.length).toBeGreaterThan(0)
    })

    it('merges the blocks of many small appends into one', async () => {
      for (let i = 0; i < 20; i++) await log.append([testRecord(0, `r${i}`)])
      const reader = await openAtStart(log)
      const blocks = await reader.poll({ maxWaitMs: 0, maxBytes: 1e6, signal: never })
      expect(blocks.map((block) => block.count)).toEqual([20])
      expect(textsOf(blocks[0] as RecordBlock)).toEqual(
        Array.from({ length: 20 }, (_, i) => `r${i}`),
      )
    })

    it('keeps about to the byte budget, always moves on, and starves no partition', async () => {
      const text = 'v'.repeat(1_000)
      for (let i = 0; i < 10; i++) {
        await log.append([testRecord(0, text), testRecord(1, text), testRecord(2, text)])
      }
      const reader = await openAtStart(log)
      const first = await reader.poll({ maxWaitMs: 0, maxBytes: 6_500, signal: never })
      expect(first.map((block) => block.logPartition).sort((a, b) => a - b)).toEqual([0, 1, 2])
      const bytes = first.reduce((sum, block) => sum + block.values.length, 0)
      expect(bytes).toBeLessThanOrEqual(6_500)
      const seenFirst = new Set<number>()
      for (let i = 0; i < 6; i++) {
        const blocks = await reader.poll({ maxWaitMs: 0, maxBytes: 1, signal: never })
        for (const block of blocks) seenFirst.add(block.logPartition)
      }
      expect(seenFirst.size).toBe(3)
      const rest = await readAll(reader)
      for (const list of rest.values()) expect(list.at(-1)?.[0]).toBe(9)
    })

    it('begins at any offset, also in the middle of a block', async () => {
      await log.append(['a', 'b', 'c', 'd'].map((text) => testRecord(0, text)))
      const reader = await openAtStart(log)
      await reader.seek(0, 2)
      expect((await readAll(reader)).get(0)).toEqual([
        [2, 'c'],
        [3, 'd'],
      ])
      await reader.seek(0, 4)
      expect((await readAll(reader)).size).toBe(0)
    })

    it('refuses a position below its start or above its end and names both numbers', async () => {
      await log.append([testRecord(0, 'a')])
      const reader = await log.openReader({ group: 'test' })
      await expect(reader.seek(0, 2)).rejects.toMatchObject({
        kind: 'InvalidInput',
        context: { offset: 2, startOffset: 0, endOffset: 1 },
      })
      await expect(reader.seek(0, -1)).rejects.toMatchObject({ kind: 'InvalidInput' })
      await expect(reader.seek(0, Number.NaN)).rejects.toMatchObject({ kind: 'InvalidInput' })
    })

    it('waits for records and wakes up when they come', async () => {
      const reader = await openAtStart(log)
      const polled = reader.poll({ maxWaitMs: 10_000, maxBytes: 1e6, signal: never })
      await log.append([testRecord(1, 'late')])
      expect(textsOf((await polled)[0] as RecordBlock)).toEqual(['late'])
      const begun = performance.now()
      expect(await reader.poll({ maxWaitMs: 30, maxBytes: 1e6, signal: never })).toEqual([])
      expect(performance.now() - begun).toBeGreaterThanOrEqual(25)
    })

    it('stops waiting when told so', async () => {
      const reader = await openAtStart(log)
      const abort = new AbortController()
      const polled = reader.poll({ maxWaitMs: 10_000, maxBytes: 1e6, signal: abort.signal })
      abort.abort()
      expect(await polled).toEqual([])
    })

    it('hands out buffers that may be transferred and read again', async () => {
      await log.append([testRecord(0, 'a'), testRecord(0, 'b')])
      const reader = await openAtStart(log)
      const [block] = await reader.poll({ maxWaitMs: 0, maxBytes: 1e6, signal: never })
      const transfer = blockBuffers(block as RecordBlock)
      const moved = structuredClone(block as RecordBlock, { transfer })
      expect(textsOf(moved)).toEqual(['a', 'b'])
      expect((block as RecordBlock).values.length).toBe(0)
      await reader.seek(0, 0)
      expect((await readAll(reader)).get(0)).toHaveLength(2)
    })

    it('serves readers independently of each other', async () => {
      await log.append([testRecord(0, 'a')])
      const one = await openAtStart(log, 'one')
      const two = await openAtStart(log, 'two')
      await readAll(one)
      await one.acknowledge(new Map([[0, 1]]))
      await one.close()
      expect((await readAll(two)).get(0)).toEqual([[0, 'a']])
    })

    it('refuses everything once closed', async () => {
      const reader = await openAtStart(log)
      await log.close()
      await expect(log.append([testRecord(0, 'a')])).rejects.toMatchObject({ kind: 'ShuttingDown' })
      await expect(reader.poll({ maxWaitMs: 0, maxBytes: 1, signal: never })).rejects.toMatchObject(
        { kind: 'ShuttingDown' },
      )
    })
  })
}
