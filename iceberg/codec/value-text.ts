/**
 * Values as people and JSON write them (spec, Appendix D, "JSON single-value serialization"), both ways: dates
 * and times in ISO 8601, decimals with their point, uuids with dashes, bytes in hexadecimal.
 *
 * Different from the spec where people read it: the fields of a struct go by name, not by id.
 */
import { PotokError } from '../../kernel/errors.ts'
import { parseRfc3339Text } from '../../kernel/rfc3339.ts'
import { parseDay, usPerDay } from '../../kernel/time.ts'
import type { IcebergType } from '../spec/table-metadata.ts'
import type { CellValue } from '../table-reader.ts'
import { wireInteger } from './lossless-json.ts'
import { decimalPrecisionScale } from './manifest-avro.ts'
import type { SingleValue } from './single-value.ts'

/** For `stringifyJson`. Numbers that JSON doesn't know (NaN, infinities) are strings. */
export function valueToJson(type: IcebergType, value: CellValue): unknown {
  if (value === null) return null
  if (typeof type === 'string') return primitiveToJson(type, value as SingleValue)
  const cells = value as readonly CellValue[]
  switch (type.type) {
    case 'struct':
      return Object.fromEntries(
        type.fields.map((field, i) => [field.name, valueToJson(field.type, cells[i] ?? null)]),
      )
    case 'list':
      return cells.map((cell) => valueToJson(type.element, cell))
    case 'map': {
      const entries = cells as readonly (readonly CellValue[])[]
      return {
        keys: entries.map(([key]) => valueToJson(type.key, key ?? null)),
        values: entries.map(([, each]) => valueToJson(type.value, each ?? null)),
      }
    }
  }
}

function primitiveToJson(type: string, value: SingleValue): unknown {
  switch (type) {
    case 'boolean':
    case 'string':
      return value
    case 'int':
    case 'long':
      return wireInteger(BigInt(value as number | bigint))
    case 'float':
    case 'double':
      return Number.isFinite(value) ? value : String(value)
    case 'date':
      return formatDate(Number(value))
    case 'time':
      return formatTime(Number(value))
    case 'timestamp':
      return formatTimestamp(BigInt(value as number | bigint))
    case 'timestamptz':
      return `${formatTimestamp(BigInt(value as number | bigint))}+00:00`
  }
  const decimal = decimalPrecisionScale(type)
  if (decimal !== null) return formatDecimal(BigInt(value as number | bigint), decimal.scale)
  const hex = Buffer.from(value as Uint8Array).toString('hex')
  return type === 'uuid' ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') : hex
}

/** An unscaled decimal with its point. */
export function formatDecimal(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const sign = unscaled < 0n ? '-' : ''
  if (scale === 0) return `${sign}${digits}`
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** Days that no calendar of JavaScript's reaches are told as such. */
const daysMax = 100_000_000

function formatDate(days: number): string {
  if (Math.abs(days) > daysMax) return `${days} days since 1970`
  // Years beyond 9999 have a sign and six digits, as ISO 8601 wants it.
  return new Date(days * 86_400_000).toISOString().replace(/T.*/, '')
}

function formatTime(micros: number): string {
  const [clock] = new Date(Math.floor(micros / 1_000_000) * 1_000)
    .toISOString()
    .slice(11)
    .split('.')
  return `${clock}.${String(micros % 1_000_000).padStart(6, '0')}`
}

function formatTimestamp(micros: bigint): string {
  const day = 86_400_000_000n
  const ofDay = ((micros % day) + day) % day
  return `${formatDate(Number((micros - ofDay) / day))}T${formatTime(Number(ofDay))}`
}

/** The value that a text means for a column of the type: InvalidInput where it means none. */
export function parseValue(type: IcebergType, text: string): SingleValue {
  const value = typeof type === 'string' ? parsePrimitive(type, text) : null
  if (value !== null) return value
  const name = typeof type === 'string' ? type : type.type
  throw new PotokError('InvalidInput', `${JSON.stringify(text)} is no ${name}${hintOf(type)}`)
}

function hintOf(type: IcebergType): string {
  if (type === 'timestamptz') return ': write 2025-04-05T10:00:00Z'
  if (type === 'timestamp') return ': write 2025-04-05T10:00:00'
  if (type === 'date') return ': write 2025-04-05'
  return ''
}

function parsePrimitive(type: string, text: string): SingleValue | null {
  switch (type) {
    case 'string':
      return text
    case 'boolean':
      return /^(true|false)$/i.test(text) ? text.toLowerCase() === 'true' : null
    case 'int':
    case 'long':
      return /^[+-]?\d{1,40}$/.test(text) ? BigInt(text.replace('+', '')) : parseNumber(text)
    case 'float':
    case 'double':
      return /^[+-]?Infinity$/.test(text) ? Number(text) : parseNumber(text)
    case 'date':
      return parseDay(text)
    case 'time':
      return parseTime(text)
    case 'timestamp':
      return parseTimestamp(text, 'Z')
    case 'timestamptz':
      return parseTimestamp(text, '')
    case 'uuid':
      return /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text)
        ? Buffer.from(text.replaceAll('-', ''), 'hex')
        : null
  }
  const decimal = decimalPrecisionScale(type)
  if (decimal !== null) return parseDecimal(text, decimal.scale)
  return /^([0-9a-f]{2})*$/i.test(text) ? Buffer.from(text, 'hex') : null
}

function parseNumber(text: string): number | null {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : null
}

function parseTime(text: string): number | null {
  const match = /^(\d{2}:\d{2})(:\d{2}(\.\d+)?)?$/.exec(text)
  if (match === null) return null
  const micros = parseRfc3339Text(`1970-01-01T${match[1]}${match[2] ?? ':00'}Z`)
  return micros >= 0 && micros < usPerDay ? micros : null
}

/** A day alone is its first instant (in UTC, where the type has a zone). */
function parseTimestamp(text: string, zone: string): number | null {
  const day = parseDay(text)
  if (day !== null) return day * usPerDay
  const micros = parseRfc3339Text(`${text}${zone}`)
  return Number.isFinite(micros) ? micros : null
}

/** Unscaled. More digits than the scale has are refused, unless they are zeros. */
function parseDecimal(text: string, scale: number): bigint | null {
  const match = /^([+-]?)(\d{0,40})(?:\.(\d{0,40}))?$/.exec(text)
  const whole = match?.[2] ?? ''
  const fraction = (match?.[3] ?? '').replace(/0+$/, '')
  if (match === null || whole + (match[3] ?? '') === '' || fraction.length > scale) return null
  const unscaled = BigInt(`${whole}${fraction.padEnd(scale, '0')}` || '0')
  return match[1] === '-' ? -unscaled : unscaled
}
