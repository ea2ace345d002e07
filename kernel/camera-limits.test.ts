import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCameraLimits } from './camera-limits.ts'
import type { SpeedLimit } from './exact-engine.ts'

const entry = (validFromUs: number | null, limitMilli: number | null): SpeedLimit => ({
  kvfvId: 'KV1',
  validFromUs,
  limitMilli,
})

test('a limit holds from its instant until the next one', () => {
  const limits = createCameraLimits([entry(200, 40_000), entry(null, 60_000), entry(100, null)])
  expect([-5, 99, 100, 199, 200, 300].map((us) => limits.limitAt('KV1', us))).toEqual([
    60_000,
    60_000,
    null,
    null,
    40_000,
    40_000,
  ])
})

test('a camera without entries, or before its first, has no known limit', () => {
  const limits = createCameraLimits([entry(100, 60_000)])
  expect(limits.limitAt('KV1', 99)).toBeNull()
  expect(limits.limitAt('KV2', 100)).toBeNull()
})

test('of two entries of one instant the higher counts, in whatever order they come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(null, 0, 10), fc.option(fc.integer({ min: 1, max: 9 })))),
      fc.integer({ min: -5, max: 15 }),
      (pairs, us) => {
        const entries = pairs.map(([from, limit]) => entry(from, limit))
        const started = entries.filter(({ validFromUs: from }) => from === null || from <= us)
        const newest = Math.max(...started.map(({ validFromUs }) => validFromUs ?? -Infinity))
        const current = started
          .filter(({ validFromUs }) => (validFromUs ?? -Infinity) === newest)
          .map(({ limitMilli }) => limitMilli ?? -1)
        const expected = current.length === 0 ? -1 : Math.max(...current)
        for (const order of [entries, [...entries].reverse()]) {
          expect(createCameraLimits(order).limitAt('KV1', us) ?? -1).toBe(expected)
        }
      },
    ),
  )
})
