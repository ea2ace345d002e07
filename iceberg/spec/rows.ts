/**
 * Rows of any Iceberg schema as plain values: a record by present column names, structs likewise, lists as
 * arrays, maps as `Map`, primitives as in `codec/single-value.ts`. A column that a row doesn't name is null.
 *
 * `checkedRow` refuses by name what the schema can't hold (another type, out of range, a required value that is
 * missing, a column that isn't there), so that nothing is rounded, cut or dropped on its way into a file.
 */
import { PotokError } from '../../kernel/errors.ts'
import { decimalPrecisionScale } from '../codec/manifest-avro.ts'
import type { SingleValue } from '../codec/single-value.ts'
import type { IcebergType, NestedField, StructType } from './table-metadata.ts'

export type Row = { readonly [column: string]: RowValue | undefined }
export type RowValue =
  | SingleValue
  | null
  | readonly RowValue[]
  | ReadonlyMap<RowValue, RowValue>
  | Row

/** The row with every column of the schema, its values in the one form that the writer takes. */
export function checkedRow(schema: StructType, row: Row): Row {
  return checkedStruct(schema, row, '')
}

function checkedStruct(struct: StructType, row: Row, path: string): Row {
  const result: Record<string, RowValue> = {}
  let found = 0
  for (const field of struct.fields) {
    const at = path === '' ? field.name : `${path}.${field.name}`
    const given = Object.hasOwn(row, field.name)
    if (given) found++
    const value = given ? (row[field.name] ?? null) : null
    result[field.name] = checkedOptional(field, value, at)
  }
  if (found < Object.keys(row).length) {
    const names = new Set(struct.fields.map(({ name }) => name))
    const stranger = Object.keys(row).find((name) => !names.has(name)) ?? ''
    throw invalid(path === '' ? stranger : `${path}.${stranger}`, 'is no column of the table')
  }
  return result
}

function checkedOptional(
  field: Pick<NestedField, 'type' | 'required'>,
  value: RowValue,
  path: string,
): RowValue {
  if (value !== null) return checkedValue(field.type, value, path)
  if (field.required) throw invalid(path, 'is required and has no value')
  return null
}

function checkedValue(type: IcebergType, value: RowValue, path: string): RowValue {
  if (typeof type === 'string') return checkedPrimitive(type, value, path)
  switch (type.type) {
    case 'struct':
      if (typeof value !== 'object' || value === null || !isRow(value))
        throw wrong(path, 'a struct')
      return checkedStruct(type, value, path)
    case 'list': {
      if (!Array.isArray(value)) throw wrong(path, 'a list')
      const element = { type: type.element, required: type.elementRequired }
      return (value as readonly RowValue[]).map((each) =>
        checkedOptional(element, each, `${path}.element`),
      )
    }
    case 'map': {
      if (!(value instanceof Map)) throw wrong(path, 'a map')
      const ofValue = { type: type.value, required: type.valueRequired }
      const result = new Map<RowValue, RowValue>()
      for (const [key, each] of value as ReadonlyMap<RowValue, RowValue>) {
        result.set(
          checkedOptional({ type: type.key, required: true }, key, `${path}.key`),
          checkedOptional(ofValue, each, `${path}.value`),
        )
      }
      return result
    }
  }
}

function isRow(value: RowValue & object): value is Row {
  return !Array.isArray(value) && !(value instanceof Map) && !(value instanceof Uint8Array)
}

/** Whether −0 is in a value, at any depth. */
export function holdsNegativeZero(value: RowValue | undefined): boolean {
  if (typeof value !== 'object' || value === null) return Object.is(value, -0)
  if (value instanceof Uint8Array) return false
  if (value instanceof Map) return [...value].flat().some(holdsNegativeZero)
  return Object.values(value as Row | readonly RowValue[]).some(holdsNegativeZero)
}

const intRange = [-(2n ** 31n), 2n ** 31n - 1n] as const
const longRange = [-(2n ** 63n), 2n ** 63n - 1n] as const
const timeRange = [0n, 86_400_000_000n - 1n] as const

function checkedPrimitive(type: string, value: RowValue, path: string): SingleValue {
  switch (type) {
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong(path, 'a boolean')
      return value
    case 'int':
    case 'date':
      return Number(integerOf(value, intRange, path, type))
    case 'long':
      return integerOf(value, longRange, path, type)
    case 'time':
      return Number(integerOf(value, timeRange, path, type))
    case 'timestamp':
    case 'timestamptz': {
      const micros = integerOf(value, longRange, path, type)
      return Number.isSafeInteger(Number(micros)) ? Number(micros) : micros
    }
    case 'float':
    case 'double':
      if (typeof value !== 'number') throw wrong(path, 'a number')
      return type === 'float' ? Math.fround(value) : value
    case 'string':
      // A lone surrogate has no UTF-8: what was written would not be what was given.
      if (typeof value !== 'string' || !value.isWellFormed()) throw wrong(path, 'well-formed text')
      return value
    case 'uuid':
      if (!(value instanceof Uint8Array) || value.length !== 16) throw wrong(path, '16 bytes')
      return value
    case 'binary':
      if (!(value instanceof Uint8Array)) throw wrong(path, 'bytes')
      return value
  }
  const decimal = decimalPrecisionScale(type)
  if (decimal !== null) {
    const limit = 10n ** BigInt(decimal.precision) - 1n
    return integerOf(value, [-limit, limit], path, `the unscaled value of a ${type}`)
  }
  const fixed = /^fixed\[(\d+)\]$/.exec(type)
  if (fixed !== null && value instanceof Uint8Array && value.length === Number(fixed[1])) {
    return value
  }
  throw wrong(path, type)
}

function integerOf(
  value: RowValue,
  [least, greatest]: readonly [bigint, bigint],
  path: string,
  what: string,
): bigint {
  const isWhole = typeof value === 'bigint' || Number.isSafeInteger(value)
  const whole = isWhole ? BigInt(value as number | bigint) : null
  if (whole === null || whole < least || whole > greatest) throw wrong(path, what)
  return whole
}

function wrong(path: string, what: string): PotokError {
  return invalid(path, `is not ${what}`)
}

function invalid(path: string, why: string): PotokError {
  return new PotokError('InvalidInput', `${path} ${why}`, { context: { column: path } })
}
