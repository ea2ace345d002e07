import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SinkView } from './inspect-sink.ts'
import { planReset, type ResetInput, type ResetTarget } from './plan-reset.ts'
import { logReplaced, outsideLog } from './sink-halt.ts'
import type { LogPosition } from './sink-processor.ts'

const here = { clusterId: 'c', topic: 't', topicId: 'new' }
const elsewhere = { ...here, topicId: 'old' }

type Offsets = Record<number, number>

function view(
  offsets: Offsets,
  ranges: Record<number, [number, number]>,
  isOther: boolean,
): SinkView {
  const positions = new Map(
    Object.entries(offsets).map(([p, nextOffset]): [number, LogPosition] => [
      Number(p),
      { ...(isOther ? elsewhere : here), logEpoch: 2, nextOffset, eventTimeUsMax: 5 },
    ]),
  )
  const halts = Object.entries(offsets).flatMap(([p, offset]) => {
    const [startOffset, endOffset] = ranges[Number(p)] ?? [0, 0]
    const position = positions.get(Number(p)) as LogPosition
    if (isOther) return [logReplaced('t', Number(p), position, here)]
    return outsideLog('t', { logPartition: Number(p), startOffset, endOffset }, offset) ?? []
  })
  return {
    halt: halts[0] ?? null,
    positions,
    heldTo: new Map([...positions].map(([p, { nextOffset }]) => [p, nextOffset])),
    isFresh: positions.size === 0,
  }
}

function input(
  ranges: Record<number, [number, number]>,
  writer: Offsets,
  rollups: Offsets,
  more: Partial<ResetInput> & { isOther?: boolean } = {},
): ResetInput {
  const { isOther = false, ...rest } = more
  return {
    log: {
      identity: here,
      ranges: Object.entries(ranges).map(([p, [startOffset, endOffset]]) => ({
        logPartition: Number(p),
        startOffset,
        endOffset,
      })),
    },
    writer: view(writer, ranges, isOther),
    rollups: view(rollups, ranges, isOther),
    logEpochMax: 0,
    target: 'start',
    force: false,
    ...rest,
  }
}

const ends = (positions: ReadonlyMap<number, LogPosition>): Offsets =>
  Object.fromEntries([...positions].map(([p, { nextOffset }]) => [p, nextOffset]))

describe('a reset', () => {
  test('is refused where nothing is wrong, or nothing is there', () => {
    expect(() => planReset(input({ 0: [0, 9] }, { 0: 5 }, { 0: 4 }))).toThrow('--force')
    expect(() => planReset(input({ 0: [0, 9] }, {}, {}, { force: true }))).toThrow('holds anything')
  })

  test('moves only what can not stand, and raises the epoch of all', () => {
    const plan = planReset(input({ 0: [10, 30], 1: [0, 9] }, { 0: 4, 1: 5 }, { 0: 12, 1: 5 }))
    expect([ends(plan.writer), ends(plan.rollups)]).toEqual([
      { 0: 10, 1: 5 },
      { 0: 12, 1: 5 },
    ])
    expect([...plan.writer.values()].map(({ logEpoch }) => logEpoch)).toEqual([3, 3])
    expect(plan.gaps.map((g) => [g.logEpoch, g.logPartition, g.logOffset, g.recordCount])).toEqual([
      [2, 0, 4, 6],
      [3, 0, 10, 0],
      [2, 1, 5, 0],
      [3, 1, 5, 0],
    ])
    // The stream had read what events will never have.
    expect(plan.partitions[0]).toMatchObject({ problem: 'below_log_start', onlyInRollups: 6 })
  })

  test('of a replaced log begins a new epoch in it; how much of the former one is missing nobody knows', () => {
    const plan = planReset(
      input({ 0: [3, 30] }, { 0: 100, 7: 50 }, { 0: 90, 7: 50 }, { isOther: true, target: 'end' }),
    )
    expect([ends(plan.writer), ends(plan.rollups)]).toEqual([
      { 0: 30, 7: 0 },
      { 0: 30, 7: 0 },
    ])
    expect(plan.writer.get(0)).toMatchObject({ ...here, logEpoch: 3, eventTimeUsMax: 5 })
    expect(plan.gaps.map((g) => [g.logEpoch, g.logPartition, g.logOffset, g.recordCount])).toEqual([
      [2, 0, 100, 0],
      [3, 0, 3, 27],
      [2, 7, 50, 0],
      [3, 7, 0, 0],
    ])
    expect(plan.partitions[0]).toMatchObject({ isRestUnknown: true, missingInRollups: 10 })
  })

  test('to offsets needs one for each partition that can not stand, inside of the log', () => {
    const to = (target: ResetTarget) =>
      planReset(input({ 0: [10, 30] }, { 0: 4 }, { 0: 4 }, { target }))
    expect(ends(to(new Map([[0, 20]])).writer)).toEqual({ 0: 20 })
    expect(() => to(new Map())).toThrow('names no offset for log partition 0')
    expect(() => to(new Map([[0, 31]]))).toThrow('holds 10 to 30')
    expect(() => to(new Map([[1, 0]]))).toThrow('no partition 1')
  })

  test('says what would be read again where a log lost its end', () => {
    const plan = planReset(input({ 0: [2, 30] }, { 0: 40 }, { 0: 40 }))
    expect(plan.partitions[0]).toMatchObject({ problem: 'above_log_end', repeated: 28, skipped: 0 })
  })

  test('leaves nothing to the stream that the writer leaves out, and lets both go on inside of the log', () => {
    const offset = fc.nat({ max: 40 })
    fc.assert(
      fc.property(
        offset,
        offset,
        offset,
        offset,
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom<ResetTarget>('start', 'end'),
        (a, b, writer, rollups, isOther, force, target) => {
          const range: [number, number] = [Math.min(a, b), Math.max(a, b)]
          const given = input(
            { 0: range },
            { 0: writer },
            { 0: rollups },
            { isOther, force, target },
          )
          if (given.writer.halt === null && given.rollups.halt === null && !force) return
          const plan = planReset(given)
          const to = { writer: ends(plan.writer)[0] ?? -1, rollups: ends(plan.rollups)[0] ?? -1 }
          for (const next of Object.values(to)) {
            expect(next).toBeGreaterThanOrEqual(range[0])
            expect(next).toBeLessThanOrEqual(range[1])
          }
          const skipped = plan.gaps.reduce((sum, { recordCount }) => sum + recordCount, 0)
          if (skipped > 0) expect(to.rollups).toBeGreaterThanOrEqual(to.writer)
          expect(skipped).toBe(Math.max(0, to.writer - (isOther ? range[0] : writer)))
        },
      ),
    )
  })
})
