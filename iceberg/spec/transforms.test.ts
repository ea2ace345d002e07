import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareSingleValues, type SingleValue } from '../codec/single-value.ts'
import { applyTransform, hashOf, isMonotone, parseTransform, resultTypeOf } from './transforms.ts'

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

const us = (text: string) => Date.parse(text) * 1_000

describe('the hash of bucket', () => {
  // Iceberg spec, Appendix B.
  test.each<[string, SingleValue, number]>([
    ['int', 34, 2017239379],
    ['long', 34n, 2017239379],
    ['decimal(9,2)', 1420n, -500754589],
    ['date', 17_486, -653330422],
    ['time', 81_068_000_000, -662762989],
    ['timestamp', us('2017-11-16T22:31:08Z'), -2047944441],
    ['timestamp', us('2017-11-16T22:31:08Z') + 1, -1207196810],
    ['timestamptz', us('2017-11-16T14:31:08-08:00'), -2047944441],
    ['timestamptz', us('2017-11-16T14:31:08-08:00') + 1, -1207196810],
    ['timestamp_ns', BigInt(us('2017-11-16T22:31:08Z')) * 1000n + 1n, -2047944441],
    ['timestamptz_ns', (BigInt(us('2017-11-16T22:31:08Z')) + 1n) * 1000n, -1207196810],
    ['string', 'iceberg', 1210000089],
    ['uuid', hex('f79c3e09677c4bbda479 3f349cb785e7'.replace(' ', '')), 1488055340],
    ['fixed[4]', hex('00010203'), -188683207],
    ['binary', hex('00010203'), -188683207],
  ])('of %s %s is %i, as the spec publishes it', (type, value, hash) => {
    expect(hashOf(type, value)).toBe(hash)
  })

  test('gives buckets in [0, n), also for negative hashes', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 1000 }), (text, buckets) => {
        const transform = parseTransform(`bucket[${buckets}]`)
        const bucket = applyTransform(transform, 'string', text) as number
        expect(bucket).toBeGreaterThanOrEqual(0)
        expect(bucket).toBeLessThan(buckets)
      }),
    )
  })
})

describe('truncate', () => {
  // Iceberg spec, "Truncate Transform Details".
  test.each<[string, string, SingleValue, SingleValue]>([
    ['truncate[10]', 'int', 1, 0],
    ['truncate[10]', 'int', -1, -10],
    ['truncate[10]', 'long', 1n, 0n],
    ['truncate[10]', 'long', -1n, -10n],
    ['truncate[50]', 'decimal(9,2)', 1065n, 1050n],
    ['truncate[3]', 'string', 'iceberg', 'ice'],
    ['truncate[3]', 'string', '🚗🚗🚗🚗', '🚗🚗🚗'],
    ['truncate[3]', 'binary', hex('0102030405'), hex('010203')],
  ])('%s of %s %s is %s', (transform, type, value, expected) => {
    expect(applyTransform(parseTransform(transform), type, value)).toEqual(expected)
  })
})

describe('transforms of time', () => {
  test.each<[string, string, SingleValue, number]>([
    ['year', 'date', 17_501, 47],
    ['month', 'date', 17_501, 575],
    ['day', 'date', 17_501, 17_501],
    ['year', 'timestamptz', us('2017-12-01T10:30:55Z'), 47],
    ['month', 'timestamptz', us('2017-12-01T10:30:55Z'), 575],
    ['day', 'timestamptz', us('2017-12-01T10:30:55Z'), 17_501],
    ['hour', 'timestamptz', us('2017-12-01T10:30:55Z'), 420_034],
    ['hour', 'timestamp_ns', BigInt(us('2017-12-01T10:30:55Z')) * 1000n, 420_034],
    ['day', 'timestamptz', BigInt(us('2017-12-01T10:30:55Z')), 17_501],
    ['day', 'timestamptz', us('2017-12-01T23:59:59.999Z') + 999, 17_501],
    ['year', 'timestamptz', -1, -1],
    ['month', 'timestamptz', -1, -1],
    ['day', 'timestamptz', -1, -1],
    ['hour', 'timestamptz', -1, -1],
    ['day', 'timestamptz', us('1969-12-31T00:00:00Z'), -1],
    ['day', 'timestamptz', us('1969-12-30T23:59:59Z'), -2],
  ])('%s of %s %s is %i', (transform, type, value, expected) => {
    expect(applyTransform(parseTransform(transform), type, value)).toBe(expected)
  })

  test('a day begins exactly at midnight, anywhere in nine millennia', () => {
    fc.assert(
      fc.property(fc.integer({ min: -700_000, max: 2_500_000 }), (day) => {
        const at = (value: number) =>
          applyTransform(
            parseTransform('day'),
            'timestamptz',
            BigInt(day) * 86_400_000_000n + BigInt(value),
          )
        expect(at(0)).toBe(day)
        expect(at(-1)).toBe(day - 1)
      }),
    )
  })
})

test('null stays null in every transform', () => {
  for (const text of ['identity', 'bucket[4]', 'truncate[4]', 'day', 'void']) {
    expect(applyTransform(parseTransform(text), 'date', null)).toBeNull()
  }
  expect(applyTransform(parseTransform('void'), 'date', 1)).toBeNull()
})

test('monotone transforms keep the order of what they transform', () => {
  const transforms = ['identity', 'truncate[7]', 'year', 'month', 'day', 'hour'].map(parseTransform)
  const instants = fc.bigInt({ min: -(10n ** 16n), max: 10n ** 16n })
  fc.assert(
    fc.property(instants, instants, (a, b) => {
      for (const transform of transforms) {
        expect(isMonotone(transform)).toBe(true)
        const [left, right] = [a, b].map(
          (value) => applyTransform(transform, 'timestamptz', value) as SingleValue,
        ) as [SingleValue, SingleValue]
        expect(
          Math.sign(compareSingleValues(left, right)) * Math.sign(compareSingleValues(a, b)),
        ).not.toBe(-1)
      }
    }),
  )
})

test('a transform of a later format can be named but not applied', () => {
  for (const text of ['zorder', 'bucket[0]', 'bucket[-1]', 'truncate[]']) {
    expect(parseTransform(text)).toEqual({ name: 'unknown' })
  }
  expect(() => applyTransform(parseTransform('zorder'), 'int', 1)).toThrow(/later format/)
  expect(resultTypeOf(parseTransform('day'), 'timestamptz')).toBe('date')
  expect(resultTypeOf(parseTransform('hour'), 'timestamptz')).toBe('int')
  expect(() => applyTransform(parseTransform('hour'), 'date', 1)).toThrow(/does not apply/)
})
