import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Exactness,
  exactnessOverridesMax,
  exactnessProperties,
  exactSequenceOfDay,
  readExactness,
} from '../../kernel/exactness.ts'
import type { RecomputeRequest } from '../../kernel/recompute.ts'
import { startOfDayUs, usPerDay, usPerHour, usPerMinute } from '../../kernel/time.ts'
import {
  boundOverrides,
  checkRequest,
  type DayFacts,
  type EventFile,
  explainNothing,
  nextChunk,
  type PlanInput,
  planDays,
  planSealedUntil,
  type RecomputePlan,
  settlePlan,
} from './plan-recompute.ts'

const day = 20_000
const everything: RecomputeRequest = {
  fromDay: null,
  toDay: null,
  cameras: null,
  force: false,
  trigger: 'cli',
}

function file(sequence: number, over: Partial<EventFile> = {}): EventFile {
  return {
    location: `s${sequence}.parquet`,
    sequence,
    records: 10,
    eventTimeUsMin: null,
    ...over,
  }
}

function facts(number: number, sequences: readonly number[], over: Partial<DayFacts> = {}) {
  const files = sequences.map((sequence) =>
    file(sequence, { location: `${number - day}/${sequence}` }),
  )
  return { day: number, files, hasRollups: true, isUnproven: false, ...over }
}

function sealed(untilUs: number | null, sequence = 10, overrides: [number, number][] = []) {
  return { sealedUntilUs: untilUs, sequence, overrides: new Map(overrides) } satisfies Exactness
}

/** Day 0 and 1 are over, day 2 is today at 10:02. */
function input(over: Partial<PlanInput> = {}): PlanInput {
  return {
    request: everything,
    nowUs: startOfDayUs(day + 2) + 10 * usPerHour + 2 * usPerMinute,
    latenessUsMax: 3 * usPerHour,
    exactness: sealed(null, 0),
    pinnedSequence: 20,
    days: [facts(day, [5]), facts(day + 1, [6]), facts(day + 2, [7])],
    doneDays: new Set(),
    ...over,
  }
}

function plan(
  given: PlanInput,
  cameras: Readonly<Record<number, readonly string[]>> = {},
): RecomputePlan {
  return settlePlan(
    given.request,
    planDays(given),
    new Map(Object.entries(cameras).map(([d, names]) => [Number(d) + day, names])),
  )
}

function daysOf(given: RecomputePlan) {
  return given.days.map(({ day: d, reason, cameras, revised }) => [
    d - day,
    reason,
    cameras,
    revised,
  ])
}

const allExact = { exactness: sealed(startOfDayUs(day + 2)) }

const until = (over: Partial<PlanInput>) => {
  const us = planSealedUntil(input(over))
  return us === null ? null : (us - startOfDayUs(day)) / usPerHour
}

describe('how far to seal', () => {
  it('is by default the last midnight that is over for the allowed lateness', () => {
    expect(until({})).toBe(48)
    expect(until({ nowUs: startOfDayUs(day + 2) + 3 * usPerHour })).toBe(48)
    expect(until({ nowUs: startOfDayUs(day + 2) + 3 * usPerHour - 1 })).toBe(24)
  })
  it('is never past the last day that has data', () => {
    expect(until({ nowUs: startOfDayUs(day + 400) })).toBe(72)
    expect(until({ days: [], nowUs: startOfDayUs(day + 400) })).toBeNull()
    expect(until({ days: [facts(day, [5]), facts(day + 2, [7])] })).toBe(24)
  })
  it('does not count a day that has rollups alone', () => {
    expect(until({ days: [facts(day, [5]), facts(day + 1, [])] })).toBe(24)
  })
  it('is with a range the end of the range, as far as windows are over', () => {
    const request = { ...everything, fromDay: day + 2, toDay: day + 3 }
    expect(until({ request })).toBe(58)
    expect(until({ request: { ...everything, fromDay: day } })).toBe(58)
    expect(until({ request: { ...everything, toDay: day + 1 } })).toBe(24)
  })
  it('never falls, and stays where only some cameras are asked for', () => {
    const exactness = sealed(startOfDayUs(day + 2) + usPerHour)
    expect(until({ exactness })).toBe(49)
    expect(until({ exactness, request: { ...everything, toDay: day + 1 } })).toBe(49)
    const request = { ...everything, cameras: ['A'], fromDay: day, toDay: day + 3 }
    expect(until({ exactness, request })).toBe(49)
    expect(until({ request })).toBeNull()
  })
})

describe('the first run', () => {
  it('takes all cameras of every day that is over, oldest first', () => {
    const given = input()
    const made = plan(given)
    expect(daysOf(made)).toEqual([
      [0, 'due', null, []],
      [1, 'due', null, []],
    ])
    expect(nextChunk(given, made, 31)).toMatchObject({
      isLast: true,
      sealedUntilUs: startOfDayUs(day + 2),
      exactness: { sequence: 20, overrides: new Map() },
    })
  })
  it('of one day seals what lies before it too: what is sealed is a prefix of time', () => {
    const given = input({ request: { ...everything, fromDay: day + 1, toDay: day + 2 } })
    expect(daysOf(plan(given)).map(([d]) => d)).toEqual([0, 1])
  })
  it('clears provisional rows of a day whose events are gone', () => {
    const given = input({ days: [facts(day, []), facts(day + 1, [6])] })
    expect(daysOf(plan(given)).map(([d]) => d)).toEqual([0, 1])
  })
})

describe('dirty days', () => {
  it('are those with a live file above their number; dirty cameras are those in such files', () => {
    const given = input({ ...allExact, days: [facts(day, [5, 11]), facts(day + 1, [10])] })
    expect(planDays(given).candidates.map((c) => [c.day - day, c.newFiles])).toEqual([
      [0, ['0/11']],
    ])
    expect(daysOf(plan(given, { 0: ['B', 'C'] }))).toEqual([[0, 'dirty', ['B', 'C'], ['B', 'C']]])
  })
  it('go by the number of the day where it is ahead', () => {
    const exactness = sealed(startOfDayUs(day + 2), 10, [[day, 12]])
    const given = input({ exactness, days: [facts(day, [12]), facts(day + 1, [12])] })
    expect(daysOf(plan(given, { 1: ['A'] }))).toEqual([[1, 'dirty', ['A'], ['A']]])
  })
  it('are dirty as a whole where a removal can not be ruled out', () => {
    const given = input({ ...allExact, days: [facts(day, [5], { isUnproven: true })] })
    expect(daysOf(plan(given))).toEqual([[0, 'dirty', null, null]])
  })
  it('stay dirty outside of the range that was asked for, and the common number with them', () => {
    const given = input({
      ...allExact,
      request: { ...everything, fromDay: day, toDay: day + 1 },
      days: [facts(day, [11]), facts(day + 1, [12])],
    })
    const made = plan(given, { 0: ['A'] })
    expect(made.leftDirty).toEqual([day + 1])
    expect(nextChunk(given, made, 31).exactness).toEqual(
      sealed(startOfDayUs(day + 2), 10, [[day, 20]]),
    )
  })
  it('are left to the next run where this one has done them', () => {
    const given = input({ ...allExact, days: [facts(day, [11])], doneDays: new Set([day]) })
    expect(plan(given).days).toEqual([])
    expect(plan(given).leftDirty).toEqual([day])
  })
})

describe('a run limited to cameras', () => {
  const days = [facts(day, [11])]
  it('takes the dirty ones among them, and the day stays dirty for the others', () => {
    const request = { ...everything, cameras: ['A', 'X'] }
    const given = input({ ...allExact, request, days })
    const made = plan(given, { 0: ['A', 'B'] })
    expect(daysOf(made)).toEqual([[0, 'dirty', ['A'], ['A']]])
    expect(nextChunk(given, made, 31).exactness).toEqual(allExact.exactness)
  })
  it('moves the number of a day only where it does all that is dirty', () => {
    const given = input({ ...allExact, request: { ...everything, cameras: ['A', 'B'] }, days })
    const made = plan(given, { 0: ['A'] })
    expect(made.leftDirty).toEqual([])
    expect(nextChunk(given, made, 31).exactness.sequence).toBe(20)
  })
  it('does nothing where none of them is dirty', () => {
    const given = input({ ...allExact, request: { ...everything, cameras: ['X'] }, days })
    const made = plan(given, { 0: ['A'] })
    expect([made.days, made.leftDirty]).toEqual([[], [day]])
    expect(explainNothing(given, made)).toContain('1 dirty days')
  })
  it('leaves a day that may have lost rows to a run over all', () => {
    const given = input({
      ...allExact,
      request: { ...everything, cameras: ['A'] },
      days: [facts(day, [5], { isUnproven: true })],
    })
    const made = plan(given)
    expect([daysOf(made), made.leftDirty]).toEqual([[[0, 'dirty', ['A'], ['A']]], [day]])
  })
})

describe('force', () => {
  it('takes clean sealed days of the range, all cameras or those asked for', () => {
    const request = { ...everything, force: true, fromDay: day + 1, toDay: day + 2 }
    expect(daysOf(plan(input({ ...allExact, request })))).toEqual([[1, 'forced', null, null]])
    const some = input({ ...allExact, request: { ...request, cameras: ['Z'] } })
    expect(daysOf(plan(some))).toEqual([[1, 'forced', ['Z'], ['Z']]])
  })
  it('of some cameras leaves a day dirty where others are', () => {
    const request = { ...everything, force: true, cameras: ['Z'], fromDay: day, toDay: day + 1 }
    const given = input({ ...allExact, request, days: [facts(day, [11])] })
    expect(plan(given, { 0: ['A', 'Z'] }).leftDirty).toEqual([day])
    expect(plan(given, { 0: ['Z'] }).leftDirty).toEqual([])
  })
})

describe('a day sealed in part', () => {
  const present = startOfDayUs(day + 1) + 6 * usPerHour
  const morning = file(11, { location: 'm', eventTimeUsMin: present - 1 })
  const noon = file(12, { location: 'n', eventTimeUsMin: present })
  const partly = facts(day + 1, [], { files: [file(6), morning, noon] })

  it('is dirty by events of sealed windows only', () => {
    const nowUs = present + usPerHour
    const given = input({ exactness: sealed(present), nowUs, days: [partly] })
    const { candidates } = planDays(given)
    expect(candidates.map((c) => [c.newFiles, c.beforeUs])).toEqual([[['m'], present]])
    expect(daysOf(plan(given, { 1: ['A'] }))).toEqual([[1, 'dirty', ['A'], ['A']]])
    expect(plan(given, { 1: [] })).toMatchObject({ days: [], leftDirty: [] })
  })
  it('is computed for all cameras when the seal goes on; only dirty ones get a revision more', () => {
    const given = input({ exactness: sealed(present), days: [partly] })
    const made = plan(given, { 1: ['A'] })
    expect(made.sealedUntilUs).toBe(startOfDayUs(day + 2))
    expect(daysOf(made)).toEqual([[1, 'due', null, ['A']]])
  })
})

describe('chunks', () => {
  it('keep what is sealed a prefix: up to the first day still to come', () => {
    const days = Array.from({ length: 5 }, (_, i) => facts(day - 10 + 2 * i, [5]))
    const given = input({ days })
    const made = plan(given)
    const first = nextChunk(given, made, 2)
    expect(first.days.map((d) => d.day - day)).toEqual([-10, -8])
    expect(first).toMatchObject({ isLast: false, sealedUntilUs: startOfDayUs(day - 6) })
    expect(first.exactness).toMatchObject({ sequence: 20, overrides: new Map() })
  })
  it('remember dirty days one by one until all are done', () => {
    const days = [0, 1].map((d) => facts(day + d, [11]))
    const given = input({ ...allExact, days })
    const made = plan(given, { 0: ['A'], 1: ['A'] })
    const first = nextChunk(given, made, 1)
    expect(first.exactness).toEqual(sealed(startOfDayUs(day + 2), 10, [[day, 20]]))
  })
  it('forget the days least ahead where there are too many, which makes them dirty, not wrong', () => {
    const many = new Map(Array.from({ length: exactnessOverridesMax + 5 }, (_, i) => [i, 100 + i]))
    const bounded = boundOverrides(many)
    expect(bounded.size).toBe(exactnessOverridesMax)
    expect([bounded.has(4), bounded.has(5)]).toEqual([false, true])
  })
})

const why = (over: Partial<PlanInput>) => explainNothing(input(over), plan(input(over)))

describe('requests', () => {
  it('with an empty range or an empty list are refused', () => {
    expect(() => checkRequest({ ...everything, fromDay: 3, toDay: 3 })).toThrow(
      'the range is empty',
    )
    expect(() => checkRequest({ ...everything, cameras: [] })).toThrow('leave it out')
    expect(() => checkRequest({ ...everything, fromDay: 3, toDay: 4 })).not.toThrow()
  })
  it('that lead to nothing are told why', () => {
    expect(why({ days: [] })).toBe('events holds no detections yet')
    expect(why({ days: [facts(day + 2, [7])] })).toContain('all averages are provisional')
    expect(why({ request: { ...everything, cameras: ['A'] } })).toContain('nothing is sealed yet')
    expect(why(allExact)).toContain('nothing new has arrived')
    expect(
      why({ ...allExact, request: { ...everything, cameras: ['A'], fromDay: day + 2 } }),
    ).toContain("doesn't reach beyond that")
  })
})

describe('whatever is asked for', () => {
  const aRequest = fc.record({
    fromDay: fc.option(fc.integer({ min: day - 2, max: day + 1 })),
    toDay: fc.option(fc.integer({ min: day + 2, max: day + 5 })),
    cameras: fc.option(fc.subarray(['A', 'B', 'C'], { minLength: 1 })),
    force: fc.boolean(),
  })
  const aDay = fc.record({
    sequences: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 4 }),
    dirty: fc.subarray(['A', 'B', 'C', 'D']),
    isUnproven: fc.boolean(),
  })
  it('the seal never falls, and no number moves past work that was not done', () => {
    fc.assert(
      fc.property(
        aRequest,
        fc.array(aDay, { minLength: 1, maxLength: 5 }),
        fc.option(fc.integer({ min: 0, max: 60 })),
        fc.integer({ min: 1, max: 3 }),
        (asked, drawn, sealedHours, daysMax) => {
          const request: RecomputeRequest = { ...everything, ...asked }
          const before = sealedHours === null ? null : startOfDayUs(day) + sealedHours * usPerHour
          const exactness = sealed(before, 10)
          const days = drawn.map((d, i) =>
            facts(day + i, d.sequences, {
              isUnproven: d.isUnproven && before !== null && startOfDayUs(day + i) < before,
            }),
          )
          const given = input({ request, exactness, days })
          const dirtyOf = new Map(drawn.map((d, i) => [day + i, d.dirty]))
          const made = settlePlan(request, planDays(given), dirtyOf)
          const chunk = nextChunk(given, made, daysMax)
          const after = chunk.exactness
          expect(after).toEqual(readExactness(exactnessProperties(after)))
          expect(chunk.sealedUntilUs ?? 0).toBeGreaterThanOrEqual(before ?? 0)
          if (request.cameras !== null) expect(chunk.sealedUntilUs).toBe(before)
          const computed = new Map(chunk.days.map((d) => [d.day, d.cameras]))
          for (const [i, { day: number, files, isUnproven }] of days.entries()) {
            const start = startOfDayUs(number)
            const isNewlySealed =
              chunk.sealedUntilUs !== null &&
              start < chunk.sealedUntilUs &&
              Math.min(start + usPerDay, chunk.sealedUntilUs) > (before ?? 0)
            if (isNewlySealed) expect(computed.get(number)).toBeNull()
            const wasSealed = before !== null && start < before
            if (!wasSealed || exactSequenceOfDay(after, number) < 20) continue
            // The number moved: everything dirty of the day was computed.
            if (isUnproven) expect(computed.get(number)).toBeNull()
            if (!files.some(({ sequence }) => sequence > 10)) continue
            const cameras = computed.get(number)
            for (const camera of drawn[i]?.dirty ?? []) {
              expect(cameras === null || cameras?.includes(camera)).toBe(true)
            }
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})
