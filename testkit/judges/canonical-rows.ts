/**
 * Rows in one form, whoever read them, so that engines can be compared bit by bit:
 * - null, boolean as in JSON; strings as they are;
 * - whole numbers, dates (days), times and timestamps (µs) as decimal digits; decimals as text with their scale;
 * - float and double as the hexadecimal digits of their bits (−0 is not 0), any NaN as `NaN`;
 * - uuid, fixed and binary as hexadecimal digits;
 * - a list as an array, a map as an array of [key, value] in the order of the keys, a struct as an object.
 * `judge.py` makes the same of what PyIceberg and DuckDB give.
 */
import type { IcebergType, StructType } from '../../iceberg/spec/table-metadata.ts'
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
      return structOf(type, (i) => ofTrino(fieldType(type, i), (value as unknown[])[i]))
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

export function structOf(
  type: StructType,
  valueAt: (index: number) => CanonicalValue,
): CanonicalValue {
  return Object.fromEntries(type.fields.map((field, i) => [field.name, valueAt(i)]))
}

function fieldType(type: StructType, index: number): IcebergType {
  return (type.fields[index] as StructType['fields'][number]).type
}

export function sortedPairs(pairs: readonly CanonicalValue[]): CanonicalValue {
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
