/**
 * What every ParquetWriter and ParquetReader promises: rows come back exactly, one sorted file a day,
 * statistics that are true, field ids and logical types that other engines find. Judged by the reader under
 * test and by hyparquet, which shares no code with it.
 */
import { readFileSync } from 'node:fs'
import { zstdDecompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { parquetMetadata, parquetReadObjects, type FileMetaData } from 'hyparquet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type {
  Column,
  ColumnBatch,
  ColumnStats,
  TableDefinition,
  WritableBatch,
} from '../../kernel/columns.ts'
import type { ObjectStore, ParquetReader, ParquetWriter, WrittenFile } from '../../kernel/ports.ts'
import { rollup5mTable } from '../../kernel/tables.ts'
import { dayOfUs, usPerDay } from '../../kernel/time.ts'

export type ParquetContractSetup = {
  readonly writer: ParquetWriter
  readonly reader: ParquetReader
  readonly store: ObjectStore
  /** Location prefix, ending in `/`, under which files may be written. */
  readonly prefix: string
  close(): Promise<void>
}

/** Every type, required and not; field ids out of order, names that want quoting. */
export const everyTypeTable: TableDefinition = {
  name: 'every_type',
  doc: 'For tests.',
  columns: [
    { id: 7, name: 'camera', type: 'string', required: true, doc: '' },
    { id: 3, name: 'at', type: 'timestamptz', required: true, doc: '' },
    { id: 21, name: 'id', type: 'uuid', required: false, doc: '' },
    { id: 4, name: 'say "what"', type: 'string', required: false, doc: '' },
    { id: 5, name: 'when', type: 'timestamptz', required: false, doc: '' },
    { id: 6, name: 'flag', type: 'boolean', required: false, doc: '' },
    { id: 8, name: 'small', type: 'int', required: false, doc: '' },
    { id: 9, name: 'large', type: 'long', required: false, doc: '' },
    { id: 10, name: 'real', type: 'double', required: false, doc: '' },
    { id: 11, name: 'day', type: 'date', required: false, doc: '' },
    {
      id: 12,
      name: 'bins',
      type: 'map<int,long>',
      required: false,
      doc: '',
      mapIds: { key: 13, value: 14 },
    },
  ],
  partitionByDayOf: 'at',
  sortBy: ['camera', 'at'],
  rowGroupRows: 2048,
}

type Row = {
  camera: string
  at: number
  id: string | null
  text: string | null
  when: number | null
  flag: boolean | null
  small: number | null
  large: bigint | null
  real: number | null
  day: number | null
  bins: [number, bigint][] | null
}

const anyText = fc.oneof(
  fc.constantFrom(
    '',
    '\u0000',
    'А123БВ68',
    'exactly12byt',
    'thirteenbytes',
    '🚗🚙',
    '\uFEFFbom',
    'a\'b"c',
  ),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
  fc.string({ minLength: 250, maxLength: 300 }),
)
const anyMicros = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: 946_684_800_000_000, max: 4_102_444_800_000_000 }),
  fc.constantFrom(0, -1, 1, 4_294_967_295, 4_294_967_296, -4_294_967_297, 8_999_999_999_999_999),
)
const dayZero = 20_183
const anyRow: fc.Arbitrary<Row> = fc.record({
  camera: fc.oneof(fc.constantFrom('KV1', 'KV2', 'камера-0001', 'KV10000000001'), anyText),
  at: fc.oneof(
    fc.integer({ min: dayZero * usPerDay, max: (dayZero + 3) * usPerDay }),
    fc.constantFrom(
      dayZero * usPerDay - 1,
      (dayZero + 1) * usPerDay - 1,
      (dayZero + 1) * usPerDay,
      -1,
    ),
  ),
  id: fc.option(
    fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => Buffer.from(b).toString('hex')),
  ),
  text: fc.option(anyText),
  when: fc.option(anyMicros),
  flag: fc.option(fc.boolean()),
  small: fc.option(fc.integer()),
  large: fc.option(
    fc.oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.constantFrom(2n ** 63n - 1n, -(2n ** 63n)),
    ),
  ),
  real: fc.option(
    fc.oneof(fc.double(), fc.constantFrom(-0, 0, Number.NaN, 0.1 + 0.2, 5e-324, Infinity)),
  ),
  day: fc.option(fc.integer({ min: -700_000, max: 2_900_000 })),
  bins: fc.option(
    fc.uniqueArray(fc.tuple(fc.integer(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })), {
      maxLength: 5,
      selector: ([key]) => key,
    }),
  ),
})

export function batchOfRows(rows: readonly Row[]): ColumnBatch {
  const marks = (key: keyof Row) => Uint8Array.from(rows, (row) => (row[key] === null ? 1 : 0))
  const ends = new Uint32Array(rows.length)
  const entries: [number, bigint][] = []
  rows.forEach((row, i) => {
    entries.push(...(row.bins ?? []))
    ends[i] = entries.length
  })
  const hex = rows.map(({ id }) => id ?? 'ee'.repeat(16)).join('')
  return {
    rowCount: rows.length,
    columns: {
      camera: { type: 'string', values: rows.map(({ camera }) => camera) },
      at: { type: 'timestamptz', values: Float64Array.from(rows, ({ at }) => at) },
      id: { type: 'uuid', values: new Uint8Array(Buffer.from(hex, 'hex')), nulls: marks('id') },
      'say "what"': { type: 'string', values: rows.map(({ text }) => text) },
      when: {
        type: 'timestamptz',
        values: Float64Array.from(rows, ({ when }) => when ?? 7),
        nulls: marks('when'),
      },
      flag: {
        type: 'boolean',
        values: Uint8Array.from(rows, ({ flag }) => (flag === true ? 1 : 0)),
        nulls: marks('flag'),
      },
      small: {
        type: 'int',
        values: Int32Array.from(rows, ({ small }) => small ?? 7),
        nulls: marks('small'),
      },
      large: {
        type: 'long',
        values: BigInt64Array.from(rows, ({ large }) => large ?? 7n),
        nulls: marks('large'),
      },
      real: {
        type: 'double',
        values: Float64Array.from(rows, ({ real }) => real ?? 7),
        nulls: marks('real'),
      },
      day: {
        type: 'date',
        values: Int32Array.from(rows, ({ day }) => day ?? 7),
        nulls: marks('day'),
      },
      bins: {
        type: 'map<int,long>',
        ends,
        keys: Int32Array.from(entries, ([key]) => key),
        values: BigInt64Array.from(entries, ([, value]) => value),
        nulls: marks('bins'),
      },
    },
  }
}

export function rowsOfBatch(batch: ColumnBatch): Row[] {
  const cell = (name: string, i: number) => cellOf(batch.columns[name] as Column, i)
  return Array.from(
    { length: batch.rowCount },
    (_, i) =>
      ({
        camera: cell('camera', i),
        at: cell('at', i),
        id: cell('id', i),
        text: cell('say "what"', i),
        when: cell('when', i),
        flag: cell('flag', i),
        small: cell('small', i),
        large: cell('large', i),
        real: cell('real', i),
        day: cell('day', i),
        bins: cell('bins', i),
      }) as Row,
  )
}

/** The same with its texts as bytes. */
function withUtf8(batch: ColumnBatch): WritableBatch {
  const columns = Object.entries(batch.columns).map(([name, column]) => {
    if (column.type !== 'string') return [name, column]
    const texts = column.values.map((text) => Buffer.from(text ?? '', 'utf8'))
    let end = 0
    const ends = Uint32Array.from(texts, ({ length }) => (end += length))
    const nulls = Uint8Array.from(column.values, (text) => (text === null ? 1 : 0))
    return [name, { type: 'utf8', bytes: Buffer.concat(texts), ends, nulls }]
  })
  return {
    rowCount: batch.rowCount,
    columns: Object.fromEntries(columns) as ColumnBatch['columns'],
  }
}

function cellOf(column: Column, i: number): unknown {
  if (column.type === 'string') return column.values[i]
  if (column.nulls?.[i] === 1) return null
  if (column.type === 'boolean') return column.values[i] === 1
  if (column.type === 'uuid') {
    return Buffer.from(column.values.subarray(i * 16, i * 16 + 16)).toString('hex')
  }
  if (column.type !== 'map<int,long>') return column.values[i]
  const start = i === 0 ? 0 : (column.ends[i - 1] as number)
  return Array.from({ length: (column.ends[i] as number) - start }, (_, k) => [
    column.keys[start + k],
    column.values[start + k],
  ])
}

/** A text that tells rows apart, −0 from 0 and lone surrogates (written as U+FFFD) included. */
function keyOfRow(row: Row): string {
  return JSON.stringify(row, (_, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`
    if (typeof value === 'string') return value.toWellFormed()
    if (typeof value !== 'number') return value
    return Object.is(value, -0) ? '-0' : String(value)
  })
}

export function describeParquet(name: string, setUp: () => Promise<ParquetContractSetup>): void {
  describe(`${name} keeps the contract of Parquet files`, () => {
    let kit: ParquetContractSetup
    let fileCount = 0
    beforeAll(async () => {
      kit = await setUp()
    })
    afterAll(() => kit.close())

    const names = everyTypeTable.columns.map((column) => column.name)
    const write = (batch: WritableBatch, definition = everyTypeTable) =>
      kit.writer.write(definition, batch, (day) => `${kit.prefix}${day}-${fileCount++}.parquet`)
    const readAll = async (files: readonly WrittenFile[]) =>
      kit.reader.read(
        everyTypeTable,
        files.map(({ location }) => location),
        names,
      )
    const localFile = async (file: WrittenFile): Promise<ArrayBuffer> =>
      new Uint8Array(readFileSync(await kit.store.localPath(file.location))).buffer

    test('any rows come back exactly, one file a day, with true statistics', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(anyRow, { minLength: 1, maxLength: 40 }), async (rows) => {
          const batch = batchOfRows(rows)
          const files = await write(rows.length % 2 === 0 ? batch : withUtf8(batch))
          const back = rowsOfBatch(await readAll(files))
          expect(back.map(keyOfRow).sort()).toEqual(rows.map(keyOfRow).sort())
          expect(files.map(({ partitionDay }) => partitionDay)).toEqual(
            [...new Set(rows.map(({ at }) => dayOfUs(at)))].sort((a, b) => a - b),
          )
          for (const file of files) {
            const ofDay = rows.filter(({ at }) => dayOfUs(at) === file.partitionDay)
            expect(file.recordCount).toBe(ofDay.length)
            expectTrueStatistics(file, ofDay)
          }
        }),
        { numRuns: 25 },
      )
    })

    test('rows of many chunks and row groups come back sorted by camera and time', async () => {
      const rows = Array.from({ length: 10_000 }, (_, i) => manyTypedRow((i * 7919) % 10_000))
      const [file] = await write(batchOfRows(rows))
      const back = rowsOfBatch(await readAll([file as WrittenFile]))
      expect(back.map(keyOfRow).sort()).toEqual(rows.map(keyOfRow).sort())
      const buffer = await localFile(file as WrittenFile)
      const inFile = await parquetReadObjects({
        file: buffer,
        compressors: { ZSTD: (input, length) => unzstd(input, length) },
        columns: ['camera', 'at'],
      })
      const order = inFile.map(({ camera, at }) => `${camera} ${(at as Date).toISOString()}`)
      expect(order).toEqual([...order].sort())
      const groups = parquetMetadata(buffer).row_groups.map(({ num_rows }) => Number(num_rows))
      expect(Math.max(...groups)).toBeLessThanOrEqual(everyTypeTable.rowGroupRows)
    })

    test('zero and negative zero in one file stay apart', async () => {
      const reals = Array.from({ length: 100 }, (_, i) => (i % 3 === 0 ? -0 : 0))
      const rows = reals.map((real, i) => ({ ...manyTypedRow(1), camera: `K${i}`, real }))
      const back = rowsOfBatch(await readAll(await write(batchOfRows(rows))))
      expect(back.map(keyOfRow).sort()).toEqual(rows.map(keyOfRow).sort())
    })

    test('field ids and logical types are what Iceberg readers look for', async () => {
      const [file] = await write(batchOfRows([manyTypedRow(1)]))
      const metadata = parquetMetadata(await localFile(file as WrittenFile))
      expect(fieldIds(metadata)).toEqual({
        ...Object.fromEntries(everyTypeTable.columns.map(({ name, id }) => [name, id])),
        key: 13,
        value: 14,
      })
      const type = (name: string) => metadata.schema.find((element) => element.name === name)
      expect(type('id')).toMatchObject({
        type: 'FIXED_LEN_BYTE_ARRAY',
        type_length: 16,
        logical_type: { type: 'UUID' },
      })
      expect(type('at')).toMatchObject({
        type: 'INT64',
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
      })
      expect(type('say "what"')).toMatchObject({ type: 'BYTE_ARRAY', converted_type: 'UTF8' })
      expect(type('day')).toMatchObject({ type: 'INT32', converted_type: 'DATE' })
      expect(type('bins')).toMatchObject({ converted_type: 'MAP' })
    })

    test('one camera is read without the others, however its name is spelt', async () => {
      const cameras = ['KV1', "KV'1", 'KV1 ', 'камера', '%']
      const rows = cameras.map((camera, i) => ({ ...manyTypedRow(i), camera }))
      const definition: TableDefinition = {
        ...everyTypeTable,
        columns: everyTypeTable.columns.map((column) =>
          column.name === 'camera' ? { ...column, name: 'kvfv_id' } : column,
        ),
        sortBy: ['kvfv_id'],
      }
      const { camera: values, ...others } = batchOfRows(rows).columns
      const files = await write(
        { rowCount: rows.length, columns: { ...others, kvfv_id: values as Column } },
        definition,
      )
      const locations = files.map(({ location }) => location)
      for (const [i, camera] of cameras.entries()) {
        const found = await kit.reader.read(definition, locations, ['kvfv_id', 'small'], { camera })
        expect(found.rowCount).toBe(1)
        expect(found.columns['small']?.values[0]).toBe(i)
      }
      const distinct = await kit.reader.distinct(locations, 'kvfv_id')
      expect(distinct.sort()).toEqual([...cameras].sort())
    })

    test('a column is found by its field id under another name; one that a file lacks is null', async () => {
      const files = await write(batchOfRows([manyTypedRow(5)]))
      const evolved: TableDefinition = {
        ...everyTypeTable,
        columns: [
          { id: 8, name: 'renamed', type: 'int', required: false, doc: '' },
          { id: 99, name: 'small', type: 'long', required: false, doc: '' },
        ],
      }
      const batch = await kit.reader.read(
        evolved,
        files.map(({ location }) => location),
        ['small', 'renamed'],
      )
      expect(batch.columns['renamed']?.values[0]).toBe(5)
      expect((batch.columns['small'] as { nulls?: Uint8Array }).nulls?.[0]).toBe(1)
    })

    test('no rows make no file, and no files read as no rows', async () => {
      expect(await write(batchOfRows([]))).toEqual([])
      const empty = await kit.reader.read(rollup5mTable, [], ['kvfv_id', 'speed_histogram'])
      expect(empty.rowCount).toBe(0)
      expect(Object.keys(empty.columns)).toEqual(['kvfv_id', 'speed_histogram'])
    })

    test('a required column with a null is refused before anything is written', async () => {
      const batch = batchOfRows([manyTypedRow(1)])
      const broken = { ...batch, columns: { ...batch.columns, camera: nullText } }
      await expect(write(broken)).rejects.toMatchObject({ kind: 'InvalidInput' })
    })

    test('a file that is gone or is no Parquet is a named error', async () => {
      const location = `${kit.prefix}torn.parquet`
      await kit.store.write(location, new Uint8Array(100))
      await expect(kit.reader.read(everyTypeTable, [location], ['at'])).rejects.toMatchObject({
        kind: 'DataCorrupt',
      })
      await expect(
        kit.reader.read(everyTypeTable, [`${kit.prefix}gone.parquet`], ['at']),
      ).rejects.toMatchObject({ kind: 'NotFound' })
    })

    test('writes at the same time do not mix', async () => {
      const batches = [1, 2, 3, 4].map((k) =>
        Array.from({ length: 500 }, (_, i) => ({ ...manyTypedRow(i), camera: `KV${k}` })),
      )
      const written = await Promise.all(batches.map((rows) => write(batchOfRows(rows))))
      for (const [k, files] of written.entries()) {
        const back = rowsOfBatch(await readAll(files))
        expect(new Set(back.map(({ camera }) => camera))).toEqual(new Set([`KV${k + 1}`]))
        expect(back.length).toBe(500)
      }
    })
  })
}

const nullText: Column = { type: 'string', values: [null] }

function manyTypedRow(i: number): Row {
  return {
    camera: `KV${10_000 + (i % 97)}`,
    at: dayZero * usPerDay + i * 1_000_000,
    id: i % 5 === 0 ? null : i.toString(16).padStart(32, '0'),
    text: i % 7 === 0 ? null : `номер ${i}${'.'.repeat(i % 40)}`,
    when: i % 3 === 0 ? null : i,
    flag: i % 2 === 0,
    small: i,
    large: BigInt(i) ** 4n,
    real: i / 3,
    day: i,
    bins: i % 11 === 0 ? null : Array.from({ length: i % 4 }, (_, k) => [k, BigInt(i)]),
  }
}

function unzstd(input: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(zstdDecompressSync(input, { maxOutputLength: Math.max(length, 1) }))
}

function fieldIds(metadata: FileMetaData): Record<string, number> {
  return Object.fromEntries(
    metadata.schema.flatMap(({ name, field_id }) =>
      field_id === undefined ? [] : [[name, field_id]],
    ),
  )
}

// Iceberg's orders: UTF-8 bytes, unsigned bytes, numbers with −0 before +0.
const texts = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const bytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b)
const plain = (a: number | bigint, b: number | bigint) => (a < b ? -1 : a > b ? 1 : 0)
const doubles = (a: number, b: number) => plain(a, b) || plain(1 / a, 1 / b)
function expectTrueStatistics(file: WrittenFile, rows: readonly Row[]): void {
  const stats = new Map(file.columns.map((column) => [column.fieldId, column]))
  const check = (
    fieldId: number,
    values: readonly unknown[],
    compare: (a: never, b: never) => number,
  ) => {
    const column = stats.get(fieldId) as ColumnStats
    const present = values.filter((value) => value !== null && !Number.isNaN(value)) as never[]
    expect(column.valueCount).toBe(values.length)
    expect(column.nullCount).toBe(values.filter((value) => value === null).length)
    expect(column.sizeBytes).toBeGreaterThan(0)
    if (present.length === 0) {
      expect([column.lower, column.upper]).toEqual([null, null])
      return column
    }
    for (const value of present) {
      if (column.lower !== null)
        expect(compare(column.lower as never, value)).toBeLessThanOrEqual(0)
      if (column.upper !== null)
        expect(compare(column.upper as never, value)).toBeGreaterThanOrEqual(0)
    }
    return column
  }
  check(
    7,
    rows.map(({ camera }) => camera),
    texts,
  )
  check(
    4,
    rows.map(({ text }) => text),
    texts,
  )
  check(
    21,
    rows.map(({ id }) => (id === null ? null : Buffer.from(id, 'hex'))),
    bytes,
  )
  check(
    6,
    rows.map(({ flag }) => (flag === null ? null : Number(flag))),
    plain,
  )
  check(
    8,
    rows.map(({ small }) => small),
    plain,
  )
  check(
    9,
    rows.map(({ large }) => large),
    plain,
  )
  check(
    11,
    rows.map(({ day }) => day),
    plain,
  )
  check(
    5,
    rows.map(({ when }) => when),
    plain,
  )
  const real = check(
    10,
    rows.map(({ real }) => real),
    doubles,
  )
  expect(real.nanCount).toBe(rows.filter(({ real }) => Number.isNaN(real)).length)
  // What pruning lives on must be there, and tight.
  const at = check(
    3,
    rows.map((row) => row.at),
    plain,
  )
  expect(at.lower).toBe(Math.min(...rows.map((row) => row.at)))
  expect(at.upper).toBe(Math.max(...rows.map((row) => row.at)))
  expect(stats.has(12)).toBe(false)
  expect(stats.get(13)).toMatchObject({ lower: null, upper: null })
  expect(stats.get(14)).toMatchObject({ lower: null, upper: null })
  const total = file.columns.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  expect(total).toBeLessThan(file.fileSizeBytes)
}
