/**
 * Takes DuckDB's result chunks apart into typed columns: the counterpart of `append-batch.ts`, with the same
 * reliance on the C API's layout. Everything is copied out of a chunk before the next one is fetched: the
 * chunk owns the memory that its vectors show.
 */
import assert from 'node:assert/strict'
import type { DuckDBMaterializedResult } from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import type { Column, ColumnBatch, ColumnType } from '../../kernel/columns.ts'

const stringBytes = 16
const inlineBytesMax = 12

/** The result's columns in order must have the types given. */
export async function readBatch(
  result: DuckDBMaterializedResult,
  columns: readonly { readonly name: string; readonly type: ColumnType }[],
): Promise<ColumnBatch> {
  const rowCount = result.rowCount
  const builders = columns.map(({ type }) => createBuilder(type, rowCount))
  let rows = 0
  while (rows < rowCount) {
    const fetched = await result.fetchChunk()
    assert(fetched !== null && fetched.rowCount > 0, 'a materialised result has the rows it counts')
    const count = fetched.rowCount
    for (let c = 0; c < builders.length; c++) {
      const vector = duckdb.data_chunk_get_vector(fetched.chunk, c)
      ;(builders[c] as Builder).take(vector, rows, count)
    }
    rows += count
  }
  return {
    rowCount,
    columns: Object.fromEntries(
      columns.map(({ name }, c) => [name, (builders[c] as Builder).column()]),
    ),
  }
}

/** Columns of no rows. */
export function emptyBatch(
  columns: readonly { readonly name: string; readonly type: ColumnType }[],
): ColumnBatch {
  return {
    rowCount: 0,
    columns: Object.fromEntries(
      columns.map(({ name, type }) => [name, createBuilder(type, 0).column()]),
    ),
  }
}

type Builder = {
  /** Copies `count` rows of the vector to rows `at` and on. */
  take(vector: duckdb.Vector, at: number, count: number): void
  column(): Column
}

function createBuilder(type: ColumnType, rowCount: number): Builder {
  if (type === 'string') return createStringBuilder(rowCount)
  if (type === 'map<int,long>') return createMapBuilder(rowCount)
  return createFixedBuilder(type, rowCount)
}

function createFixedBuilder(
  type: Exclude<ColumnType, 'string' | 'map<int,long>'>,
  rowCount: number,
): Builder {
  const nulls = createNulls(rowCount)
  const column = fixedColumn(type, rowCount)
  const { values } = column
  const width = type === 'uuid' ? 16 : values.BYTES_PER_ELEMENT
  const target = new Uint8Array(values.buffer)
  return {
    take(vector, at, count) {
      const bytes = duckdb.vector_get_data(vector, count * width)
      if (type === 'timestamptz') copyMicros(bytes, values as Float64Array, at, count)
      else if (type === 'uuid') copyUuids(bytes, target, at, count)
      else target.set(bytes, at * width)
      nulls.take(vector, at, count)
    },
    column() {
      const marks = nulls.marks()
      return marks === null ? column : { ...column, nulls: marks }
    },
  }
}

type FixedColumn = Exclude<Column, { type: 'string' | 'map<int,long>' }>

function fixedColumn(type: FixedColumn['type'], rowCount: number): FixedColumn {
  switch (type) {
    case 'boolean':
      return { type, values: new Uint8Array(rowCount) }
    case 'int':
    case 'date':
      return { type, values: new Int32Array(rowCount) }
    case 'long':
      return { type, values: new BigInt64Array(rowCount) }
    case 'double':
    case 'timestamptz':
      return { type, values: new Float64Array(rowCount) }
    case 'uuid':
      return { type, values: new Uint8Array(rowCount * 16) }
    default:
      throw new TypeError(`not of fixed width: ${String(type satisfies never)}`)
  }
}

function copyMicros(bytes: Uint8Array, values: Float64Array, at: number, count: number): void {
  const low = new Uint32Array(bytes.buffer, bytes.byteOffset, count * 2)
  const high = new Int32Array(bytes.buffer, bytes.byteOffset, count * 2)
  for (let i = 0; i < count; i++) {
    values[at + i] = (high[2 * i + 1] as number) * 4294967296 + (low[2 * i] as number)
  }
}

function copyUuids(bytes: Uint8Array, target: Uint8Array, at: number, count: number): void {
  for (let row = 0; row < count; row++) {
    const source = row * 16 + 15
    const to = (at + row) * 16
    for (let b = 0; b < 16; b++) target[to + b] = bytes[source - b] as number
    target[to] = (target[to] as number) ^ 0x80
  }
}

/** Marks of nulls, made when the first null is seen. */
function createNulls(rowCount: number): {
  take(vector: duckdb.Vector, at: number, count: number): void
  marks(): Uint8Array | null
} {
  let marks: Uint8Array | null = null
  return {
    take(vector, at, count) {
      const validity = validityOf(vector, count)
      if (validity === null) return
      for (let i = 0; i < count; i++) {
        if (isValid(validity, i)) continue
        marks ??= new Uint8Array(rowCount)
        marks[at + i] = 1
      }
    },
    marks: () => marks,
  }
}

/** The bit mask, a bit a row, or null where all rows are valid. */
export function validityOf(vector: duckdb.Vector, count: number): Uint8Array | null {
  const bytes = duckdb.vector_get_validity(vector, Math.ceil(count / 64) * 8) as Uint8Array | null
  return bytes ?? null
}

export function isValid(validity: Uint8Array, row: number): boolean {
  return ((validity[row >>> 3] as number) & (1 << (row & 7))) !== 0
}

function createStringBuilder(rowCount: number): Builder {
  const values: (string | null)[] = Array.from({ length: rowCount })
  return {
    take: (vector, at, count) => readStrings(vector, values, at, count),
    column: () => ({ type: 'string', values }),
  }
}

/** Copies `count` texts of the vector to `values[at]` and on. Byte order marks stay (TextDecoder drops them). */
export function readStrings(
  vector: duckdb.Vector,
  values: (string | null)[],
  at: number,
  count: number,
): void {
  const data = vectorData(vector, count * stringBytes)
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const words = new Uint32Array(data.buffer, data.byteOffset, count * 4)
  const validity = validityOf(vector, count)
  /** Row whose inline text `last` is: sorted columns repeat themselves. */
  let lastRow = -1
  let last = ''
  for (let row = 0; row < count; row++) {
    if (validity !== null && !isValid(validity, row)) {
      values[at + row] = null
      continue
    }
    const length = words[row * 4] as number
    if (length > inlineBytesMax) {
      const pointer = data.byteOffset + row * stringBytes + 8
      const text = duckdb.get_data_from_pointer(data.buffer as ArrayBuffer, pointer, length)
      values[at + row] = Buffer.from(text.buffer, text.byteOffset, length).toString('utf8')
      continue
    }
    if (lastRow === -1 || !sameSlot(words, row, lastRow)) {
      const start = row * stringBytes + 4
      last = bytes.toString('utf8', start, start + length)
      lastRow = row
    }
    values[at + row] = last
  }
}

function sameSlot(words: Uint32Array, a: number, b: number): boolean {
  return (
    words[a * 4] === words[b * 4] &&
    words[a * 4 + 1] === words[b * 4 + 1] &&
    words[a * 4 + 2] === words[b * 4 + 2] &&
    words[a * 4 + 3] === words[b * 4 + 3]
  )
}

function createMapBuilder(rowCount: number): Builder {
  const nulls = createNulls(rowCount)
  const ends = new Uint32Array(rowCount)
  let keys = new Int32Array(rowCount * 8)
  let values = new BigInt64Array(rowCount * 8)
  let used = 0
  return {
    take(vector, at, count) {
      nulls.take(vector, at, count)
      const validity = validityOf(vector, count)
      const lists = duckdb.vector_get_data(vector, count * 16)
      const words = new Uint32Array(lists.buffer, lists.byteOffset, count * 4)
      const size = duckdb.list_vector_get_size(vector)
      if (used + size > keys.length) {
        keys = grown(keys, Int32Array, used + size)
        values = grown(values, BigInt64Array, used + size)
      }
      const entries = duckdb.list_vector_get_child(vector)
      const keyBytes = vectorData(duckdb.struct_vector_get_child(entries, 0), size * 4)
      const valueBytes = vectorData(duckdb.struct_vector_get_child(entries, 1), size * 8)
      const chunkKeys = new Int32Array(keyBytes.buffer, keyBytes.byteOffset, size)
      const chunkValues = new BigInt64Array(valueBytes.buffer, valueBytes.byteOffset, size)
      for (let row = 0; row < count; row++) {
        const isNull = validity !== null && !isValid(validity, row)
        const start = words[row * 4] as number
        const length = isNull ? 0 : (words[row * 4 + 2] as number)
        assert(used + length <= keys.length, 'map entries of a chunk are not shared between rows')
        for (let i = 0; i < length; i++) {
          keys[used] = chunkKeys[start + i] as number
          values[used++] = chunkValues[start + i] as bigint
        }
        ends[at + row] = used
      }
    },
    column() {
      const marks = nulls.marks()
      return {
        type: 'map<int,long>',
        ends,
        keys: keys.slice(0, used),
        values: values.slice(0, used),
        ...(marks === null ? {} : { nulls: marks }),
      }
    },
  }
}

export function vectorData(vector: duckdb.Vector, byteCount: number): Uint8Array {
  return byteCount === 0 ? new Uint8Array(0) : duckdb.vector_get_data(vector, byteCount)
}

function grown<T extends Int32Array | BigInt64Array>(
  from: T,
  type: new (length: number) => T,
  lengthMin: number,
): T {
  const result = new type(Math.max(lengthMin, from.length * 2))
  ;(result.set as (values: T) => void)(from)
  return result
}
