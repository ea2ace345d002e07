import { describe, expect, test } from 'vitest'
import type { LogRange } from '../../kernel/ports.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import { createBlockCheck } from './check-block.ts'

function logWith(startOffset: number) {
  const log = {
    asked: 0,
    async ranges(): Promise<LogRange[]> {
      log.asked++
      return [0, 1].map((logPartition) => ({ logPartition, startOffset, endOffset: 100 }))
    },
  }
  return log
}

const block = (logPartition: number, baseOffset: number, offsets: number[]): RecordBlock =>
  ({
    logPartition,
    baseOffset,
    nextOffset: (offsets.at(-1) ?? baseOffset) + 1,
    count: offsets.length,
    offsets: Float64Array.from(offsets),
  }) as unknown as RecordBlock

const ends = new Map([
  [0, 10],
  [1, 20],
])

describe('a block', () => {
  test('that goes on where reading ended asks the log nothing', async () => {
    const log = logWith(0)
    expect(await createBlockCheck(log).continues(block(0, 10, [10, 11]), ends)).toBe(true)
    expect(log.asked).toBe(0)
  })

  test('with a gap is legitimate while the log has the offset before it; the log is asked once a poll', async () => {
    const log = logWith(10)
    const check = createBlockCheck(log)
    expect(await check.continues(block(0, 10, [12]), ends)).toBe(true)
    expect(await check.continues(block(1, 20, [25]), ends)).toBe(true)
    expect(await check.continues(block(1, 26, []), ends)).toBe(true)
    expect(log.asked).toBe(1)
  })

  test('with a gap that retention made is not taken for one without records', async () => {
    expect(await createBlockCheck(logWith(12)).continues(block(0, 10, [12]), ends)).toBe(false)
  })

  test.each([
    ['of a partition that was not asked for', block(7, 0, [0])],
    ['that repeats offsets', block(0, 9, [9])],
  ])('%s is refused', async (_what, given) => {
    await expect(createBlockCheck(logWith(0)).continues(given, ends)).rejects.toMatchObject({
      kind: 'DataCorrupt',
    })
  })
})
