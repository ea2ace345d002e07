import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJson, parseWithReviver, stringifyJson } from './lossless-json.ts'

describe('lossless JSON', () => {
  it('keeps every 64-bit integer', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (id) => {
        const back = (parseJson(stringifyJson({ id })) as { id: number | bigint }).id
        expect(BigInt(back)).toBe(id)
        expect(typeof back === 'number').toBe(
          Number.isSafeInteger(Number(id)) && BigInt(Number(id)) === id,
        )
      }),
    )
  })

  it('reads everything else as JSON does', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify({ value, id: 9_007_199_254_740_993n.toString() })
        expect(JSON.parse(stringifyJson(parseJson(text)))).toEqual(JSON.parse(text))
      }),
    )
  })

  it('reads as the plain way does, whatever stands around long integers', () => {
    const scalar = fc.oneof(
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
      fc.constantFrom('12345678901234567890.5', '1234567890123456789e3', '1.5e-12345678901234567'),
      fc.string({ unit: 'grapheme' }).map((value) => JSON.stringify(value)),
      fc.constantFrom(
        '"1234567890123456789"',
        '"a\\\\"',
        '"\\"1234567890123456789"',
        '"\\ue0001"',
        '"\ue0001"',
      ),
      fc.constantFrom('null', 'true', '-0', '[]', '{}'),
    )
    fc.assert(
      fc.property(fc.array(scalar), fc.constantFrom('', ' ', '\n'), (scalars, space) => {
        const members = scalars.map(
          (text, i) => `${space}"1234567890123456${i}"${space}:${space}${text}`,
        )
        const text = `[${[...scalars, `{${members.join(',')}}`].join(`${space},${space}`)}${space}]`
        expect(parseJson(text)).toEqual(parseWithReviver(text))
      }),
      { numRuns: 500 },
    )
  })

  it('leaves long digits in strings and long fractions alone', () => {
    expect(parseJson('{"a":"9007199254740993","b":0.1234567890123456789,"c":1e300}')).toEqual({
      a: '9007199254740993',
      b: Number('0.1234567890123456789'),
      c: 1e300,
    })
  })
})
