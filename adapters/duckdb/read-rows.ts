/**
 * Takes a chunk of a DuckDB result apart into JavaScript values of any Iceberg type, nested ones too, with the
 * same reliance on the C API's layout as `read-batch.ts`. Everything is copied out of the chunk.
 */
import duckdb from '@duckdb/node-bindings'
import { decimalPrecisionScale } from '../../iceberg/codec/manifest-avro.ts'
import type { IcebergType } from '../../iceberg/spec/table-metadata.ts'
import type { CellValue } from '../../iceberg/table-reader.ts'
import { isValid, readStrings, validityOf, vectorData } from './read-batch.ts'

/** The first `count` values of a vector that holds a column of the type as `column-expression.ts` makes it. */
export function readVector(type: IcebergType, vector: duckdb.Vector, count: number): CellValue[] {
  if (count === 0) return []
  if (type === 'string') {
    const texts: (string | null)[] = Array.from({ length: count })
    readStrings(vector, texts, 0, count)
    return texts
  }
  const valueAt = accessor(type, vector, count)
  const validity = validityOf(vector, count)
  return Array.from({ length: count }, (_, row) =>
    validity !== null && !isValid(validity, row) ? null : valueAt(row),
  )
}

function accessor(
  type: IcebergType,
  vector: duckdb.Vector,
  count: number,
): (row: number) => CellValue {
  if (typeof type !== 'string') return nestedAccessor(type, vector, count)
  const view = (width: number) => {
    const bytes = vectorData(vector, count * width)
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  switch (type) {
    case 'boolean': {
      const bytes = vectorData(vector, count)
      return (row) => bytes[row] !== 0
    }
    case 'int':
    case 'date': {
      const data = view(4)
      return (row) => data.getInt32(row * 4, true)
    }
    case 'long': {
      const data = view(8)
      return (row) => data.getBigInt64(row * 8, true)
    }
    case 'float': {
      const data = view(4)
      return (row) => data.getFloat32(row * 4, true)
    }
    case 'double': {
      const data = view(8)
      return (row) => data.getFloat64(row * 8, true)
    }
    case 'time':
    case 'timestamp':
    case 'timestamptz': {
      const data = view(8)
      return (row) => {
        const value = data.getBigInt64(row * 8, true)
        const narrow = Number(value)
        return Number.isSafeInteger(narrow) ? narrow : value
      }
    }
    case 'uuid': {
      const data = view(16)
      return (row) => uuidAt(data, row)
    }
  }
  const decimal = decimalPrecisionScale(type)
  return decimal === null ? bytesAccessor(vector, count) : decimalAccessor(decimal.precision, view)
}

/** The upper half first, its sign bit flipped. */
function uuidAt(data: DataView, row: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const result = new DataView(bytes.buffer)
  result.setBigUint64(0, data.getBigUint64(row * 16 + 8, true) ^ (1n << 63n))
  result.setBigUint64(8, data.getBigUint64(row * 16, true))
  return bytes
}

/** DuckDB keeps decimals in the narrowest integer that holds the precision. */
function decimalAccessor(
  precision: number,
  view: (width: number) => DataView,
): (row: number) => CellValue {
  if (precision <= 4) {
    const data = view(2)
    return (row) => BigInt(data.getInt16(row * 2, true))
  }
  if (precision <= 9) {
    const data = view(4)
    return (row) => BigInt(data.getInt32(row * 4, true))
  }
  if (precision <= 18) {
    const data = view(8)
    return (row) => data.getBigInt64(row * 8, true)
  }
  const data = view(16)
  return (row) => (data.getBigInt64(row * 16 + 8, true) << 64n) | data.getBigUint64(row * 16, true)
}

/** Up to 12 bytes stand in the slot itself, longer ones behind a pointer. */
function bytesAccessor(vector: duckdb.Vector, count: number): (row: number) => CellValue {
  const slot = 16
  const inlineMax = 12
  const data = vectorData(vector, count * slot)
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return (row) => {
    const length = view.getUint32(row * slot, true)
    // A copy: `slice` of a Buffer would be a view of the chunk.
    if (length <= inlineMax) {
      return Uint8Array.from(data.subarray(row * slot + 4, row * slot + 4 + length))
    }
    const pointer = data.byteOffset + row * slot + 8
    const bytes = duckdb.get_data_from_pointer(data.buffer as ArrayBuffer, pointer, length)
    return Uint8Array.from(bytes)
  }
}

function nestedAccessor(
  type: Exclude<IcebergType, string>,
  vector: duckdb.Vector,
  count: number,
): (row: number) => CellValue {
  if (type.type === 'struct') {
    const fields = type.fields.map((field, i) =>
      readVector(field.type, duckdb.struct_vector_get_child(vector, i), count),
    )
    return (row) => fields.map((values) => values[row] as CellValue)
  }
  const size = duckdb.list_vector_get_size(vector)
  const child = duckdb.list_vector_get_child(vector)
  const bytes = vectorData(vector, count * 16)
  const spans = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const start = (row: number) => Number(spans.getBigUint64(row * 16, true))
  const end = (row: number) => start(row) + Number(spans.getBigUint64(row * 16 + 8, true))
  if (type.type === 'list') {
    const elements = readVector(type.element, child, size)
    return (row) => elements.slice(start(row), end(row))
  }
  const keys = readVector(type.key, duckdb.struct_vector_get_child(child, 0), size)
  const values = readVector(type.value, duckdb.struct_vector_get_child(child, 1), size)
  return (row) => {
    const entries: CellValue[] = []
    for (let i = start(row); i < end(row); i++) {
      entries.push([keys[i] as CellValue, values[i] as CellValue])
    }
    return entries
  }
}
