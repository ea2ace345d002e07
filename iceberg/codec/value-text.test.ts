import { expect, test } from 'vitest'
import { stringifyJson } from './lossless-json.ts'
import { parseValue, valueToJson } from './value-text.ts'
import type { IcebergType } from '../spec/table-metadata.ts'

test.each<[IcebergType, Parameters<typeof valueToJson>[1], string]>([
  ['long', 2n ** 63n - 1n, '9223372036854775807'],
  ['double', Number.NaN, '"NaN"'],
  ['double', 1.5, '1.5'],
  ['decimal(9,2)', -5n, '"-0.05"'],
  ['decimal(38,0)', 10n ** 37n, `"1${'0'.repeat(37)}"`],
  ['date', -1, '"1969-12-31"'],
  ['date', 2_932_897, '"+010000-01-01"'],
  ['time', 1, '"00:00:00.000001"'],
  ['timestamp', -1, '"1969-12-31T23:59:59.999999"'],
  ['timestamptz', 1_743_848_130_123_457n, '"2025-04-05T10:15:30.123457+00:00"'],
  ['timestamp', 2n ** 63n - 1n, '"106751991 days since 1970T04:00:54.775807"'],
  ['uuid', new Uint8Array(16).fill(0xf7), '"f7f7f7f7-f7f7-f7f7-f7f7-f7f7f7f7f7f7"'],
  ['binary', Uint8Array.of(0, 255), '"00ff"'],
  [
    { type: 'struct', fields: [{ id: 1, name: 'x', required: false, type: 'int' }] },
    [null],
    '{"x":null}',
  ],
  [
    { type: 'list', elementId: 1, element: 'date', elementRequired: false },
    [0, null],
    '["1970-01-01",null]',
  ],
  [
    { type: 'map', keyId: 1, key: 'string', valueId: 2, value: 'long', valueRequired: false },
    [['k', 1n]],
    '{"keys":["k"],"values":[1]}',
  ],
])('a %s is written as the spec has it', (type, value, expected) => {
  expect(stringifyJson(valueToJson(type, value))).toBe(expected)
})

test.each<[string, string, string]>([
  ['uuid', 'f7f7f7f7-f7f7-f7f7-f7f7-f7f7f7f7f7f7', '"f7f7f7f7-f7f7-f7f7-f7f7-f7f7f7f7f7f7"'],
  ['decimal(9,2)', '+12.500', '"12.50"'],
  ['decimal(9,2)', '.5', '"0.50"'],
  ['time', '23:59', '"23:59:00.000000"'],
  ['double', '-Infinity', '"-Infinity"'],
])('the text of a %s is read: %s', (type, text, expected) => {
  expect(stringifyJson(valueToJson(type, parseValue(type, text)))).toBe(expected)
})

test.each([
  ['uuid', 'f7'],
  ['decimal(9,2)', '1.005'],
  ['decimal(9,2)', '.'],
  ['time', '24:00:00'],
  ['date', '2025-2-3'],
  ['int', 'x'],
  ['binary', 'abc'],
  ['timestamp', '2025-04-05T10:00:00Z'],
])('a %s is not %s', (type, text) => {
  expect(() => parseValue(type, text)).toThrow(/is no /)
})
