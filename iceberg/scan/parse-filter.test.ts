import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { StructType } from '../spec/table-metadata.ts'
import { parseFilter } from './parse-filter.ts'

const schema: StructType = {
  type: 'struct',
  fields: [
    ['n', 'long'],
    ['speed', 'double'],
    ['name', 'string'],
    ['day', 'date'],
    ['at', 'timestamptz'],
    ['wall', 'timestamp'],
    ['clock', 'time'],
    ['price', 'decimal(9,2)'],
    ['id', 'uuid'],
    ['raw', 'binary'],
    ['ok', 'boolean'],
    ['имя с "кавычкой"', 'string'],
    ['not', 'int'],
    ['a.b', 'int'],
    ['s', { type: 'struct', fields: [{ id: 99, name: 'x', required: false, type: 'int' }] }],
  ].map(([name, type], i) => ({ id: i + 1, name, required: false, type })) as StructType['fields'],
}
const parse = (text: string) => parseFilter(schema, text)[0]

describe('a filter', () => {
  test.each<[string, unknown]>([
    ['n = 5', { column: 'n', op: '=', value: 5n }],
    ['n<>-5', { column: 'n', op: '!=', value: -5n }],
    ['n >= 9223372036854775807', { column: 'n', op: '>=', value: 2n ** 63n - 1n }],
    ['speed < 1e2', { column: 'speed', op: '<', value: 100 }],
    ["name = 'it''s'", { column: 'name', op: '=', value: "it's" }],
    ["day > '2025-04-05'", { column: 'day', op: '>', value: 20_183 }],
    ["at = '1970-01-01T01:00:00.000001+01:00'", { column: 'at', op: '=', value: 1 }],
    ["at = '1970-01-02'", { column: 'at', op: '=', value: 86_400_000_000 }],
    ["wall = '1969-12-31T23:59:59.5'", { column: 'wall', op: '=', value: -500_000 }],
    ["clock = '00:00:01.5'", { column: 'clock', op: '=', value: 1_500_000 }],
    ['price = -0.50', { column: 'price', op: '=', value: -50n }],
    ["raw = '00ff'", { column: 'raw', op: '=', value: Buffer.from([0, 255]) }],
    ['ok = TRUE', { column: 'ok', op: '=', value: true }],
    ['n in (1, 2)', { column: 'n', op: 'in', values: [1n, 2n] }],
    ['n NOT IN (1)', { column: 'n', op: 'not in', values: [1n] }],
    ['name is null', { column: 'name', op: 'is null' }],
    ['speed is not nan', { column: 'speed', op: 'is not nan' }],
    ["name like 'KV%'", { column: 'name', op: 'starts with', value: 'KV' }],
    [
      String.raw`name not like '50\%\\%'`,
      { column: 'name', op: 'not starts with', value: '50%\\' },
    ],
    ["name like 'whole'", { column: 'name', op: '=', value: 'whole' }],
    [`"имя с ""кавычкой""" = 'x'`, { column: 'имя с "кавычкой"', op: '=', value: 'x' }],
    ['"not" = 1', { column: 'not', op: '=', value: 1n }],
    ['a.b = 1', { column: 'a.b', op: '=', value: 1n }],
    ['s.x = 1', { column: 's.x', op: '=', value: 1n }],
  ])('%s', (text, expected) => {
    expect(parse(text)).toEqual(expected)
  })

  test('joins by and before or, and negates what follows', () => {
    const is = (value: bigint) => ({ column: 'n', op: '=', value })
    expect(parse('n = 1 or n = 2 and not n = 3')).toEqual({
      op: 'or',
      of: [is(1n), { op: 'and', of: [is(2n), { op: 'not', of: is(3n) }] }],
    })
    expect(parse('(n = 1 or n = 2) AND (n = 3)')).toEqual({
      op: 'and',
      of: [{ op: 'or', of: [is(1n), is(2n)] }, is(3n)],
    })
  })

  test.each<[string, RegExp]>([
    ['', /ends too early/],
    ['n =', /ends too early/],
    ['n = 1 n = 2', /from here: n = 2/],
    ['n = 1; drop table x', /from here: ; drop/],
    ['nope = 1', /no column nope/],
    ['name = 1', /from here: 1/],
    ["n = 'x'", /"x" is no long/],
    ["price = '0.001'", /no decimal/],
    ["at = '2025-04-05T10:00:00'", /write 2025-04-05T10:00:00Z/],
    ["day = '2025-02-30'", /no date/],
    ["name like '%x'", /prefixes only/],
    ['n in ()', /from here: \)/],
    ['n not = 1', /from here: = 1/],
    ["name = 'open", /from here: 'open/],
    ['('.repeat(200), /from here/],
  ])('%s is refused with the place', (text, message) => {
    expect(() => parse(text)).toThrow(message)
  })

  test('of any text is a filter or an InvalidInput or Unsupported, and never hangs', () => {
    const parts = fc.constantFrom(
      'n',
      '=',
      '1',
      "'x'",
      'and',
      'or',
      'not',
      '(',
      ')',
      ',',
      'in',
      'is',
      'null',
      'like',
      '"',
      "'",
      ' ',
      '.',
      'e5',
      '\\',
      '%',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(parts).map((all) => all.join(' ')),
          fc.string(),
        ),
        (text) => {
          try {
            expect(parseFilter(schema, text)).toHaveLength(1)
          } catch (error) {
            expect(error).toMatchObject({
              kind: expect.stringMatching(/InvalidInput|Unsupported/) as string,
            })
          }
        },
      ),
    )
  })
})
