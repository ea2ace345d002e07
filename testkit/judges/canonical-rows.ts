/**
 * Rows in one form, whoever read them, so that engines can be compared bit by bit:
 * - null, boolean as in JSON; strings as they are;
 * - whole numbers, dates (days), times and timestamps (µs) as decimal digits; decimals as text with their scale;
 * - float and double as the hexadecimal digits of their bits (−0 is not 0), any NaN as `NaN`;
 * - uuid, fixed and binary as hexadecimal digits;
 * - a list as an array, a map as an array of [key, value] in the order of the keys, a struct as an object.
 * `judge.py` makes the same of what PyIceberg and DuckDB give.
 */
import { decimalPrecisionScale } from '../../iceberg/codec/manifest-avro.ts'
import type { SingleValue } from '../../iceberg/codec/single-value.ts'
import type { Row, RowValue } from '../../iceberg/spec/rows.ts'
import type { IcebergType, NestedField, StructType } from '../../iceberg/spec/table-metadata.ts'
import type { TrinoResult } from '../servers/trino.ts'

export type CanonicalValue =
  | null
  | boolean
  | string
  | readonly CanonicalValue[]
  | { readonly [name: string]: CanonicalValue }
export type CanonicalRow = readonly CanonicalValue[]

/** In an order of their own: engines give rows in any. */
export function sortedRows(rows: readonly CanonicalRow[]): CanonicalRow[] {
  return rows
    .map((row) => ({ row, text: JSON.stringify(row) }))
    .toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
    .map(({ row }) => row)
}

/** The columns of the result in the order of the types. */
export function rowsOfTrino(result: TrinoResult, types: readonly IcebergType[]): CanonicalRow[] {
  return result.rows.map((row) => row.map((value, i) => ofTrino(types[i] as IcebergType, value)))
}

function ofTrino(type: IcebergType, value: unknown): CanonicalValue {
  if (value === null || value === undefined) return null
  if (typeof type === 'string') return primitiveOfTrino(type, value)
  switch (type.type) {
    case 'struct':
      return structOf(type, (field, i) => ofTrino(field.type, (value as unknown[])[i]))
    case 'list':
      return (value as unknown[]).map((each) => ofTrino(type.element, each))
    case 'map':
      return sortedPairs(
        Object.entries(value).map(([key, each]) => [
          primitiveOfTrino(type.key as string, key),
          ofTrino(type.value, each),
        ]),
      )
  }
}

function structOf(
  type: StructType,
  valueOf: (field: NestedField, index: number) => CanonicalValue,
): CanonicalValue {
  return Object.fromEntries(type.fields.map((field, i) => [field.name, valueOf(field, i)]))
}

function sortedPairs(pairs: readonly CanonicalValue[]): CanonicalValue {
  return sortedRows(pairs as CanonicalRow[])
}

/** Keys of maps come as text, whatever they are. */
function primitiveOfTrino(type: string, value: unknown): CanonicalValue {
  const text = String(value)
  if (type === 'boolean') return text === 'true'
  if (type === 'int' || type === 'long') return text
  if (type === 'float') return floatBits(Number(value))
  if (type === 'double') return doubleBits(Number(value))
  if (type === 'date') return String(daysOf(text))
  if (type === 'time') return String(timeMicros(text))
  if (type === 'timestamp' || type === 'timestamptz') {
    const [date, time] = text.split(' ') as [string, string]
    return String(BigInt(daysOf(date)) * 86_400_000_000n + timeMicros(time))
  }
  if (type === 'uuid') return text.replaceAll('-', '')
  if (type === 'binary' || type.startsWith('fixed'))
    return Buffer.from(text, 'base64').toString('hex')
  // string, decimal
  return text
}

/** Rows as potok's writer takes them and its reader gives them. */
export function canonicalRows(struct: StructType, rows: readonly Row[]): CanonicalRow[] {
  return rows.map((row) => struct.fields.map(({ name, type }) => ofPotok(type, row[name])))
}

function ofPotok(type: IcebergType, value: RowValue | undefined): CanonicalValue {
  if (value === null || value === undefined) return null
  if (typeof type === 'string') return primitiveOfPotok(type, value as SingleValue)
  switch (type.type) {
    case 'struct':
      return structOf(type, ({ name, type: of }) => ofPotok(of, (value as Row)[name]))
    case 'list':
      return (value as RowValue[]).map((each) => ofPotok(type.element, each))
    case 'map':
      return sortedPairs(
        Array.from(value as ReadonlyMap<RowValue, RowValue>, ([key, each]) => [
          ofPotok(type.key, key),
          ofPotok(type.value, each),
        ]),
      )
  }
}

function primitiveOfPotok(type: string, value: SingleValue): CanonicalValue {
  if (typeof value === 'boolean') return value
  if (type === 'float') return floatBits(value as number)
  if (type === 'double') return doubleBits(value as number)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  const decimal = decimalPrecisionScale(type)
  return decimal === null ? String(value) : decimalText(value as bigint, decimal.scale)
}

/** Of an unscaled value. */
export function decimalText(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  return `${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`
}

export function doubleBits(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}

export function floatBits(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  const bytes = Buffer.alloc(4)
  bytes.writeFloatBE(value)
  return bytes.toString('hex')
}

function daysOf(date: string): number {
  return Date.parse(`${date}T00:00:00Z`) / 86_400_000
}

function timeMicros(time: string): bigint {
  const [hours, minutes, seconds, fraction = ''] = time.split(/[:.]/)
  const whole = Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)
  return BigInt(whole) * 1_000_000n + BigInt(fraction.padEnd(6, '0'))
}
