import { describe, expect, test } from 'vitest'
import type { ColumnStats } from '../../kernel/columns.ts'
import {
  allTables,
  camerasTable,
  eventsTable,
  recomputeRunsTable,
  rollup5mTable,
} from '../../kernel/tables.ts'
import { decodeSingleValue } from '../codec/single-value.ts'
import { dataFileOf, partitionSpecOf, schemaOf, sortOrderOf } from './from-definition.ts'
import { fieldById } from './schema.ts'

const ids = { specId: 0, sortOrderId: 1 }

function written(columns: readonly ColumnStats[], partitionDay: number | null = 20_000) {
  return { location: 'file:///a.parquet', partitionDay, recordCount: 3, fileSizeBytes: 99, columns }
}
function stats(
  fieldId: number,
  lower: ColumnStats['lower'],
  upper: ColumnStats['upper'],
  more: Partial<ColumnStats> = {},
): ColumnStats {
  return { fieldId, sizeBytes: 7, valueCount: 3, nullCount: 0, lower, upper, ...more }
}

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes as Uint8Array).toString()
}
function speedBound(map: ReadonlyMap<number, Uint8Array> | undefined): unknown {
  return decodeSingleValue('double', map?.get(4) as Uint8Array)
}

describe('a definition', () => {
  test('keeps ids, names, nullability and docs of its columns', () => {
    const schema = schemaOf(eventsTable)
    expect(schema.schemaId).toBe(0)
    expect(schema.fields.map((field) => [field.id, field.name, field.required])).toEqual(
      eventsTable.columns.map((column) => [column.id, column.name, column.required]),
    )
    expect(schema.fields[0]).toEqual({
      id: 1,
      name: 'event_id',
      required: true,
      type: 'uuid',
      doc: eventsTable.columns[0]?.doc,
    })
  })

  test('of a map has fields for key and value', () => {
    const schema = schemaOf(rollup5mTable)
    expect(fieldById(schema, 13)).toMatchObject({ name: 'key', type: 'int', required: true })
    expect(fieldById(schema, 14)).toMatchObject({ name: 'value', type: 'long', required: true })
    expect(fieldById(schema, 99)).toBeNull()
  })

  test('is partitioned by day as potok names it, or not at all', () => {
    expect(partitionSpecOf(eventsTable)).toEqual({
      specId: 0,
      fields: [{ sourceId: 3, fieldId: 1000, name: 'event_time_day', transform: 'day' }],
    })
    expect(partitionSpecOf(camerasTable)).toEqual({ specId: 0, fields: [] })
  })

  test('is sorted ascending, nulls last; without an order it has order 0', () => {
    expect(sortOrderOf(eventsTable)).toEqual({
      orderId: 1,
      fields: [2, 3].map((sourceId) => ({
        transform: 'identity',
        sourceId,
        direction: 'asc',
        nullOrder: 'nulls-last',
      })),
    })
    expect(sortOrderOf({ ...camerasTable, sortBy: [] })).toEqual({ orderId: 0, fields: [] })
  })

  test('gives no id twice, in any table', () => {
    for (const table of allTables) {
      const all = table.columns.flatMap(({ id, mapIds }) =>
        mapIds === undefined ? [id] : [id, mapIds.key, mapIds.value],
      )
      expect(new Set(all).size, table.name).toBe(all.length)
    }
  })
})

describe('a written file', () => {
  test('becomes a data file with its metrics by field id', () => {
    const file = dataFileOf(
      eventsTable,
      written([stats(4, 1.5, 99.5, { nanCount: 0 }), stats(5, null, null, { nullCount: 3 })]),
      ids,
    )
    expect(file).toMatchObject({
      content: 'data',
      filePath: 'file:///a.parquet',
      fileFormat: 'PARQUET',
      specId: 0,
      partition: [20_000],
      recordCount: 3,
      fileSizeBytes: 99,
      sortOrderId: 1,
    })
    expect(file.columnSizes).toEqual(
      new Map([
        [4, 7],
        [5, 7],
      ]),
    )
    expect(file.valueCounts).toEqual(
      new Map([
        [4, 3],
        [5, 3],
      ]),
    )
    expect(file.nullValueCounts).toEqual(
      new Map([
        [4, 0],
        [5, 3],
      ]),
    )
    expect(file.nanValueCounts).toEqual(new Map([[4, 0]]))
    expect([...(file.lowerBounds?.keys() ?? [])]).toEqual([4])
    expect(decodeSingleValue('double', file.upperBounds?.get(4) as Uint8Array)).toBe(99.5)
  })

  test('has exact microseconds, 64-bit integers and whole uuids as bounds', () => {
    const us = 1_743_848_130_123_457
    const uuid = Uint8Array.from({ length: 16 }, (_, i) => 240 + i)
    const file = dataFileOf(
      eventsTable,
      written([stats(1, uuid, uuid), stats(3, us, us), stats(10, 0n, 2n ** 62n)]),
      ids,
    )
    const upper = (type: string, id: number) =>
      decodeSingleValue(type, file.upperBounds?.get(id) as Uint8Array)
    expect(upper('uuid', 1)).toEqual(uuid)
    expect(upper('timestamptz', 3)).toBe(us)
    expect(upper('long', 10)).toBe(2n ** 62n)
  })

  test('has string bounds of at most 16 characters that enclose the column', () => {
    const file = dataFileOf(
      eventsTable,
      written([stats(2, 'КВ-0000000000000001', 'КВ-9999999999999999')]),
      ids,
    )
    expect(text(file.lowerBounds?.get(2))).toBe('КВ-0000000000000')
    expect(text(file.upperBounds?.get(2))).toBe('КВ-999999999999:')
    const endless = dataFileOf(eventsTable, written([stats(2, 'a', '\u{10ffff}'.repeat(17))]), ids)
    expect(endless.upperBounds?.has(2)).toBe(false)
    expect(endless.lowerBounds?.has(2)).toBe(true)
  })

  test('has no bounds for keys and values of a map, but their counts', () => {
    const file = dataFileOf(
      rollup5mTable,
      written([stats(13, 0, 200, { valueCount: 40 }), stats(14, 1n, 9n, { valueCount: 40 })]),
      ids,
    )
    expect(file.valueCounts).toEqual(
      new Map([
        [13, 40],
        [14, 40],
      ]),
    )
    expect(file.lowerBounds).toEqual(new Map())
  })

  test('bounds zero by −0 and +0, and NaN by nothing', () => {
    const zero = dataFileOf(eventsTable, written([stats(4, 0, -0)]), ids)
    expect(speedBound(zero.lowerBounds)).toBe(-0)
    expect(speedBound(zero.upperBounds)).toBe(0)
    const nan = dataFileOf(eventsTable, written([stats(4, Number.NaN, Number.NaN)]), ids)
    expect(nan.lowerBounds?.size).toBe(0)
  })

  test('without a day in a partitioned table is a fault of the program, and the other way round', () => {
    expect(() => dataFileOf(eventsTable, written([], null), ids)).toThrow(/has a day/)
    expect(() => dataFileOf(recomputeRunsTable, written([], 5), ids)).toThrow(/has a day/)
    expect(dataFileOf(recomputeRunsTable, written([], null), ids).partition).toEqual([])
  })
})
