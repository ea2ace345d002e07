import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { primitiveValues, rowsOf } from '../../testkit/iceberg-rows.ts'
import { decodeSingleValue } from '../codec/single-value.ts'
import { fileMetrics } from './file-metrics.ts'
import { metricsModes } from './metrics-modes.ts'
import { checkedRow, type Row } from './rows.ts'
import type { Schema, SortOrder } from './table-metadata.ts'

const unsorted: SortOrder = { orderId: 0, fields: [] }
const types = Object.keys(primitiveValues)
const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [
    ...types.map((type, i) => ({ id: i + 1, name: `c${i + 1}`, required: false, type })),
    {
      id: 100,
      name: 's',
      required: false,
      type: {
        type: 'struct',
        fields: [{ id: 101, name: 'x', required: false, type: 'string' }],
      },
    },
    {
      id: 102,
      name: 'l',
      required: false,
      type: { type: 'list', elementId: 103, elementRequired: false, element: 'int' },
    },
  ],
}

function metricsOf(rows: readonly Row[], properties: Record<string, string> = {}) {
  return fileMetrics(
    schema,
    metricsModes(properties, schema, unsorted),
    rows.map((row) => checkedRow(schema, row)),
  )
}

/** By hand: text in the order of its UTF-8 bytes. */
function compare(a: unknown, b: unknown): number {
  const bytes = (value: unknown) =>
    typeof value === 'string' ? Buffer.from(value) : Buffer.from(value as Uint8Array)
  if (typeof a === 'string' || a instanceof Uint8Array) return Buffer.compare(bytes(a), bytes(b))
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0
}

test.each(['truncate(1)', 'truncate(16)', 'full'])(
  'counts are exact and bounds hold every value (%s)',
  (mode) => {
    fc.assert(
      fc.property(rowsOf(schema, 12), (rows) => {
        const metrics = metricsOf(rows, { 'write.metadata.metrics.default': mode })
        for (const [i, type] of types.entries()) {
          const id = i + 1
          const values = rows.map((row) => row[`c${id}`] ?? null)
          const known = values.filter((value) => value !== null && !Number.isNaN(value))
          expect(metrics.valueCounts.get(id)).toBe(rows.length)
          expect(metrics.nullValueCounts.get(id)).toBe(values.filter((v) => v === null).length)
          expect(metrics.nanValueCounts.get(id)).toBe(
            type === 'float' || type === 'double'
              ? values.filter((value) => Number.isNaN(value)).length
              : undefined,
          )
          const lowerBytes = metrics.lowerBounds.get(id)
          const upperBytes = metrics.upperBounds.get(id)
          expect(lowerBytes === undefined).toBe(known.length === 0)
          const lower = lowerBytes && decodeSingleValue(type, lowerBytes)
          const upper = upperBytes && decodeSingleValue(type, upperBytes)
          for (const value of known) {
            const narrow = type === 'float' ? Math.fround(value as number) : value
            expect(compare(lower, narrow)).toBeLessThanOrEqual(0)
            if (upper !== undefined) expect(compare(upper, narrow)).toBeGreaterThanOrEqual(0)
          }
          const isCut = mode !== 'full' && (type === 'string' || type === 'binary')
          if (known.length === 0 || isCut) continue
          expect(known.some((value) => compare(lower, value) === 0)).toBe(true)
          expect(known.some((value) => compare(upper, value) === 0)).toBe(true)
        }
        expect(metrics.valueCounts.get(101)).toBe(rows.length)
        expect(metrics.valueCounts.has(103)).toBe(false)
        expect(metrics.lowerBounds.has(103)).toBe(false)
      }),
      { numRuns: 60 },
    )
  },
)

describe('bounds', () => {
  const at = (type: string) => types.indexOf(type) + 1
  test('are cut by code point and by byte, upper ones rounded up or left out', () => {
    const text = at('string')
    const bytes = at('binary')
    const metrics = metricsOf(
      [
        { [`c${text}`]: 'ab\u{1F600}d', [`c${bytes}`]: Uint8Array.of(1, 255, 255, 4) },
        { [`c${text}`]: '\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}' },
      ],
      { 'write.metadata.metrics.default': 'truncate(3)' },
    )
    expect(Buffer.from(metrics.lowerBounds.get(text) ?? []).toString()).toBe('ab\u{1F600}')
    expect(metrics.upperBounds.has(text)).toBe(false)
    expect([...(metrics.lowerBounds.get(bytes) ?? [])]).toEqual([1, 255, 255])
    expect([...(metrics.upperBounds.get(bytes) ?? [])]).toEqual([2])
  })

  test('of zeros hold both, of NaN alone are none', () => {
    const id = at('double')
    const zero = metricsOf([{ [`c${id}`]: 0 }])
    expect(decodeSingleValue('double', zero.lowerBounds.get(id) ?? new Uint8Array())).toBe(-0)
    expect(decodeSingleValue('double', zero.upperBounds.get(id) ?? new Uint8Array())).toBe(0)
    const nan = metricsOf([{ [`c${id}`]: Number.NaN }])
    expect(nan.lowerBounds.has(id) || nan.upperBounds.has(id)).toBe(false)
    expect(nan.nanValueCounts.get(id)).toBe(1)
  })

  test('of timestamps are exact to the microsecond', () => {
    const id = at('timestamptz')
    const metrics = metricsOf([{ [`c${id}`]: 1_743_848_130_123_457 }])
    expect(Buffer.from(metrics.upperBounds.get(id) ?? []).readBigInt64LE()).toBe(
      1_743_848_130_123_457n,
    )
  })
})

describe('metrics modes', () => {
  const kinds = (properties: Record<string, string>, of = schema, order = unsorted) =>
    Object.fromEntries(
      [...metricsModes(properties, of, order)].map(([id, mode]) => [id, mode.kind]),
    )

  test('none, counts, and a mode of a column by its full name', () => {
    const properties = {
      'write.metadata.metrics.default': 'none',
      'write.metadata.metrics.column.s.x': 'counts',
      'write.metadata.metrics.column.l.element': 'full',
      'write.metadata.metrics.column.gone': 'full',
    }
    expect(kinds(properties)).toMatchObject({ 1: 'none', 101: 'counts', 103: 'full' })
    const metrics = metricsOf([{ s: { x: 'a' } }], properties)
    expect([...metrics.valueCounts]).toEqual([[101, 1]])
    expect(metrics.lowerBounds.size).toBe(0)
  })

  test('a wide table tells of its first columns only, shallow ones first, unless a default is set', () => {
    const few = { 'write.metadata.metrics.max-inferred-column-defaults': '16' }
    const modes = kinds(few)
    // Columns of the row itself before those inside a struct.
    expect(modes).toMatchObject({ 1: 'truncate', 15: 'truncate', 101: 'truncate', 103: 'none' })
    expect(kinds({ ...few, 'write.metadata.metrics.default': 'counts' })).toMatchObject({
      1: 'counts',
      103: 'counts',
    })
  })

  test('columns of the sort order have bounds whatever the default, unless named', () => {
    const order: SortOrder = {
      orderId: 1,
      fields: [1, 2].map((sourceId) => ({
        sourceId,
        transform: sourceId === 1 ? 'identity' : 'bucket[4]',
        direction: 'asc',
        nullOrder: 'nulls-first',
      })),
    }
    const none = { 'write.metadata.metrics.default': 'none' }
    expect(kinds(none, schema, order)).toMatchObject({ 1: 'truncate', 2: 'none' })
    const named = { ...none, 'write.metadata.metrics.column.c1': 'counts' }
    expect(kinds(named, schema, order)).toMatchObject({ 1: 'counts' })
  })

  test.each(['truncate(0)', 'all', 'truncate'])(
    '%s is an error that names the property',
    (text) => {
      expect(() => kinds({ 'write.metadata.metrics.column.c1': text })).toThrow(
        `write.metadata.metrics.column.c1 is not valid: ${text}`,
      )
    },
  )
})
