import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compareSingleValues,
  decodeSingleValue,
  decodeUnscaled,
  encodeSingleValue,
  encodeUnscaled,
  isOfType,
  type SingleValue,
  truncateLower,
  truncateUpper,
} from './single-value.ts'

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const text = fc.string({ unit: 'binary', maxLength: 40 })

describe('single values', () => {
  // Little-endian two's complement and IEEE 754, UTF-8, big-endian for uuid and decimal: spec, Appendix D.
  test.each<[string, SingleValue, string]>([
    ['boolean', true, '01'],
    ['boolean', false, '00'],
    ['int', 34, '22000000'],
    ['int', -1, 'ffffffff'],
    ['long', 34n, '2200000000000000'],
    ['float', 1.5, '0000c03f'],
    ['double', 1.5, '000000000000f83f'],
    ['date', 17_501, '5d440000'],
    ['timestamptz', 1_512_124_255_000_000, 'c05513dd445f0500'],
    ['string', 'iceberg', '69636562657267'],
    [
      'uuid',
      Uint8Array.from(Buffer.from('f79c3e09677c4bbda4793f349cb785e7', 'hex')),
      'f79c3e09677c4bbda4793f349cb785e7',
    ],
    ['decimal(9,2)', 1420n, '058c'],
    ['decimal(9,2)', -1n, 'ff'],
    ['decimal(9,2)', 128n, '0080'],
  ])('%s %s is %s', (type, value, hex) => {
    expect(Buffer.from(encodeSingleValue(type, value)).toString('hex')).toBe(hex)
    expect(decodeSingleValue(type, Buffer.from(hex, 'hex'))).toEqual(
      value instanceof Uint8Array ? Buffer.from(value) : value,
    )
  })

  test('come back as they were', () => {
    const cases: [string, fc.Arbitrary<SingleValue>][] = [
      ['int', fc.integer()],
      ['long', int64],
      ['double', fc.double({ noNaN: true })],
      ['timestamptz', fc.maxSafeInteger()],
      ['string', text],
      ['decimal(38,2)', fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n })],
    ]
    for (const [type, values] of cases) {
      fc.assert(
        fc.property(values, (value) => {
          expect(decodeSingleValue(type, encodeSingleValue(type, value))).toEqual(value)
        }),
      )
    }
  })

  test('of columns promoted since are read at the width in which they were written', () => {
    expect(decodeSingleValue('long', encodeSingleValue('int', -7))).toBe(-7n)
    expect(decodeSingleValue('double', encodeSingleValue('float', 1.5))).toBe(1.5)
  })

  test('that do not fit their type are no values', () => {
    expect(decodeSingleValue('int', new Uint8Array(3))).toBeNull()
    expect(decodeSingleValue('long', new Uint8Array(7))).toBeNull()
    expect(decodeSingleValue('timestamptz', new Uint8Array(4))).toBeNull()
    expect(decodeSingleValue('decimal(9,2)', new Uint8Array(0))).toBeNull()
    expect(decodeSingleValue('variant', new Uint8Array(4))).toBeNull()
    // "А" cut after its first byte.
    expect(decodeSingleValue('string', Uint8Array.of(0xd0))).toBeNull()
  })

  test('beyond 2^53 microseconds stay exact', () => {
    const value = 2n ** 60n + 1n
    expect(decodeSingleValue('timestamptz', encodeSingleValue('timestamptz', value))).toBe(value)
  })

  test('of decimals take the fewest bytes', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 100n), max: 2n ** 100n }), (value) => {
        const bytes = encodeUnscaled(value)
        expect(decodeUnscaled(bytes)).toBe(value)
        if (bytes.length > 1) expect(decodeUnscaled(bytes.subarray(1))).not.toBe(value)
      }),
    )
  })
})

describe('order', () => {
  test('of strings is that of their UTF-8 bytes', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareSingleValues(a, b))).toBe(
          Buffer.compare(Buffer.from(a), Buffer.from(b)),
        )
      }),
    )
    // JavaScript's own order puts the car first.
    expect(compareSingleValues('🚗', '\uffee')).toBeGreaterThan(0)
  })

  test('mixes number and bigint exactly', () => {
    expect(compareSingleValues(2 ** 53, 2n ** 53n + 1n)).toBeLessThan(0)
    expect(compareSingleValues(5n, 5)).toBe(0)
  })

  test('is asked of values of one type only', () => {
    expect(isOfType('string', 'a')).toBe(true)
    expect(isOfType('long', 5)).toBe(true)
    expect(isOfType('long', '5')).toBe(false)
    expect(isOfType('double', Number.NaN)).toBe(false)
    expect(isOfType('uuid', 'f79c3e09')).toBe(false)
    expect(isOfType({ type: 'struct', fields: [] }, 1)).toBe(false)
  })
})

describe('truncated string bounds', () => {
  test('enclose the string and have at most so many code points', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 5 }), (value, length) => {
        const lower = truncateLower(value, length)
        expect(compareSingleValues(lower, value)).toBeLessThanOrEqual(0)
        expect(Array.from(lower).length).toBeLessThanOrEqual(length)
        const upper = truncateUpper(value, length)
        if (upper === null) return
        expect(compareSingleValues(upper, value)).toBeGreaterThanOrEqual(0)
        expect(Array.from(upper).length).toBeLessThanOrEqual(length)
      }),
    )
  })

  test.each([
    ['abc', 3, 'abc'],
    ['abcd', 3, 'abd'],
    ['ab\u{10ffff}d', 3, 'ac'],
    ['\ud7ffz', 1, '\ue000'],
    ['\uffffz', 1, '\u{10000}'],
    ['🚗🚗', 1, '🚘'],
  ])('the upper one of %j at %i is %j', (value, length, expected) => {
    expect(truncateUpper(value, length)).toBe(expected)
  })

  test('there is no upper one where nothing can be raised', () => {
    expect(truncateUpper('\u{10ffff}\u{10ffff}', 1)).toBeNull()
  })
})
