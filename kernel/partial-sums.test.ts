import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { provisionalBatch } from './partial-sums-columns.ts'
import { forEachBin } from './partial-sums-histogram.ts'
import {
  addDetection,
  createSums,
  isLate,
  mergeSums,
  type PartialSums,
  paceSumOf,
  paceUsPerKm,
  spaceMeanSpeedKmh,
  speedSumSqOf,
  timeMeanSpeedKmh,
} from './partial-sums.ts'
import { rollup5mTable } from './tables.ts'

type Spot = { speedMilli: number; late: boolean; limitMilli: number | null }

const anySpot: fc.Arbitrary<Spot> = fc.record({
  speedMilli: fc.oneof(
    fc.integer({ min: 0, max: 400_000 }),
    fc.constantFrom(0, 1, 999, 1_000, 1_001, 1_999, 2_000, 400_000),
  ),
  late: fc.boolean(),
  limitMilli: fc.option(fc.constantFrom(60_000, 90_000)),
})

function sumsOf(spots: readonly Spot[]): PartialSums {
  const sums = createSums()
  for (const { speedMilli, late, limitMilli } of spots) {
    addDetection(sums, speedMilli, late, limitMilli)
  }
  return sums
}

/** What sums say, whatever way they came about. */
function told(sums: PartialSums) {
  const bins: [number, number][] = []
  forEachBin(sums.histogram, (bin, count) => bins.push([bin, count]))
  return {
    n: sums.eventCount,
    sum: sums.speedSumMilli,
    sq: speedSumSqOf(sums),
    pace: paceSumOf(sums),
    standing: sums.standingCount,
    range: [sums.speedMinMilli, sums.speedMaxMilli],
    violations: sums.violationCount,
    late: sums.lateCount,
    bins,
  }
}

const total = (values: readonly bigint[]) => values.reduce((a, b) => a + b, 0n)

/** The definitions of DESIGN §3 in bigint. */
function reference(spots: readonly Spot[]): ReturnType<typeof told> {
  const speeds = spots.map(({ speedMilli }) => BigInt(speedMilli))
  const moving = speeds.filter((v) => v >= 1_000n)
  const known = spots.filter(({ limitMilli }) => limitMilli !== null)
  const bins = new Map<number, number>()
  for (const v of speeds) bins.set(Number(v / 1_000n), (bins.get(Number(v / 1_000n)) ?? 0) + 1)
  const all = spots.map(({ speedMilli }) => speedMilli)
  return {
    n: spots.length,
    sum: Number(total(speeds)),
    sq: total(speeds.map((v) => v * v)),
    pace: total(moving.map((v) => (3_600_000_000_000n + v / 2n) / v)),
    standing: speeds.length - moving.length,
    range: [Math.min(...all), Math.max(...all)],
    violations:
      known.length === 0
        ? null
        : known.filter(({ speedMilli, limitMilli }) => speedMilli > (limitMilli as number)).length,
    late: spots.filter(({ late }) => late).length,
    bins: [...bins].sort(([a], [b]) => a - b),
  }
}

describe('partial sums', () => {
  test('equal their definition in bigint, in any order', () => {
    fc.assert(
      fc.property(fc.array(anySpot, { maxLength: 60 }), (spots) => {
        expect(told(sumsOf(spots))).toEqual(reference(spots))
        expect(told(sumsOf([...spots].reverse()))).toEqual(reference(spots))
      }),
    )
  })

  test('of parts, merged in any grouping, equal the sums of the whole', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anySpot, { maxLength: 10 }), { maxLength: 6 }), (parts) => {
        const merged = createSums()
        for (const part of parts) mergeSums(merged, sumsOf(part))
        const backwards = createSums()
        for (const part of [...parts].reverse()) mergeSums(backwards, sumsOf(part))
        expect(told(merged)).toEqual(told(sumsOf(parts.flat())))
        expect(told(backwards)).toEqual(told(merged))
      }),
    )
  })

  test('stay exact beyond the safe integers of a double', () => {
    const sums = createSums()
    const fast = { speedMilli: 400_000, late: false, limitMilli: null }
    mergeSums(sums, sumsOf(Array.from({ length: 1_000 }, () => fast)))
    for (let doublings = 0; doublings < 10; doublings++) mergeSums(sums, structuredClone(sums))
    expect(speedSumSqOf(sums)).toBe(400_000n ** 2n * 1_024_000n)
    expect(sums.speedSumSqHigh).toBeGreaterThan(0n)

    const slow = sumsOf(Array.from({ length: 1_000 }, () => ({ ...fast, speedMilli: 1_001 })))
    for (let doublings = 0; doublings < 12; doublings++) mergeSums(slow, structuredClone(slow))
    expect(paceSumOf(slow)).toBe(((3_600_000_000_000n + 500n) / 1_001n) * 4_096_000n)
    expect(slow.paceSumHigh).toBeGreaterThan(0n)
  })

  test('the pace of every possible speed is the one of the integer formula', () => {
    for (let v = 1_000; v <= 400_000; v++) {
      const [high, low] = [3_600_000_000_000 + Math.floor(v / 2), paceUsPerKm(v)]
      // ⌊a/v⌋ = q exactly where q·v ≤ a < (q+1)·v; all products are safe integers.
      if (!(low * v <= high && high < (low + 1) * v)) expect.unreachable(`pace of ${v}`)
    }
  })

  test('late is only what came more than the allowed lateness after its event time', () => {
    expect(isLate(0, 10, 10)).toBe(false)
    expect(isLate(0, 11, 10)).toBe(true)
    expect(isLate(100, 0, 10)).toBe(false)
  })
})

const spots = (...speeds: number[]) =>
  sumsOf(speeds.map((speedMilli) => ({ speedMilli, late: false, limitMilli: null })))

describe('averages at the edge', () => {
  test('time-mean speed is Σv/n, space-mean speed the harmonic mean', () => {
    // 40 and 60 km/h over the same kilometre: 50 by time, 48 by space (Wardrop).
    expect(timeMeanSpeedKmh(spots(40_000, 60_000))).toBe(50)
    expect(spaceMeanSpeedKmh(spots(40_000, 60_000))).toBe(48)
  })

  test('standing vehicles count in the time-mean speed only', () => {
    expect(timeMeanSpeedKmh(spots(0, 50_000))).toBe(25)
    expect(spaceMeanSpeedKmh(spots(0, 50_000))).toBe(50)
    expect(spaceMeanSpeedKmh(spots(0, 999))).toBeNull()
  })

  test('no events, no average', () => {
    expect(timeMeanSpeedKmh(createSums())).toBeNull()
    expect(spaceMeanSpeedKmh(createSums())).toBeNull()
  })

  test('are rounded half up to 0.001 km/h, once', () => {
    expect(timeMeanSpeedKmh(spots(1, 2))).toBe(0.002)
    expect(timeMeanSpeedKmh(spots(10_000, 10_001, 10_000))).toBe(10)
    expect(timeMeanSpeedKmh(spots(10_000, 10_001, 10_001))).toBe(10.001)
  })

  test('are within a rounding of the real means', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1_000, max: 400_000 }), { minLength: 1, maxLength: 50 }),
        (speeds) => {
          const sums = spots(...speeds)
          const n = speeds.length
          const mean = speeds.reduce((a, v) => a + v, 0) / n / 1_000
          const harmonic = n / speeds.reduce((a, v) => a + 1_000 / v, 0)
          expect(Math.abs((timeMeanSpeedKmh(sums) as number) - mean)).toBeLessThan(0.000_501)
          // The paces are rounded to 1 µs per km: at 400 km/h that is 0.00003 km/h at most.
          expect(Math.abs((spaceMeanSpeedKmh(sums) as number) - harmonic)).toBeLessThan(0.000_54)
        },
      ),
    )
  })
})

test('a provisional batch has every column of the table, in its type, and nothing exact', () => {
  const rows = [
    {
      kvfvId: 'KV1',
      windowStartUs: 300_000_000,
      sums: sumsOf([{ speedMilli: 61_500, late: true, limitMilli: 60_000 }]),
    },
    {
      kvfvId: 'KV2',
      windowStartUs: 0,
      sums: sumsOf([{ speedMilli: 0, late: false, limitMilli: null }]),
    },
  ]
  const batch = provisionalBatch(rows, 7)
  expect(
    Object.fromEntries(Object.entries(batch.columns).map(([name, { type }]) => [name, type])),
  ).toEqual(Object.fromEntries(rollup5mTable.columns.map(({ name, type }) => [name, type])))
  for (const { name, required } of rollup5mTable.columns) {
    const column = batch.columns[name]
    if (required && column !== undefined && 'nulls' in column) expect.unreachable(name)
  }
  expect(batch.columns['is_exact']?.values).toEqual(new Uint8Array(2))
  expect(batch.columns['violation_count']).toMatchObject({
    values: new BigInt64Array([1n, 0n]),
    nulls: new Uint8Array([0, 1]),
  })
  expect(batch.columns['speed_histogram']).toEqual({
    type: 'map<int,long>',
    ends: new Uint32Array([1, 2]),
    keys: new Int32Array([61, 0]),
    values: new BigInt64Array([1n, 1n]),
  })
})
