/**
 * Partition transforms (Iceberg spec, "Partition Transforms", Appendix B for the hash). Values are as in
 * `codec/single-value.ts`: dates are days, timestamps microseconds (…_ns nanoseconds).
 * Times before 1970 round towards minus infinity, as the spec has it.
 */
import { PotokError } from '../../kernel/errors.ts'
import { encodeUnscaled, type SingleValue } from '../codec/single-value.ts'
import type { IcebergType } from './table-metadata.ts'

export type Transform =
  | { readonly name: 'identity' | 'year' | 'month' | 'day' | 'hour' | 'void' | 'unknown' }
  | { readonly name: 'bucket'; readonly buckets: number }
  | { readonly name: 'truncate'; readonly width: number }

/** A transform of a later specification is `unknown`: it can be read past, not applied. */
export function parseTransform(text: string): Transform {
  switch (text) {
    case 'identity':
    case 'year':
    case 'month':
    case 'day':
    case 'hour':
    case 'void':
      return { name: text }
  }
  const match = /^(bucket|truncate)\[(\d+)\]$/.exec(text)
  const parameter = Number(match?.[2])
  if (match === null || !Number.isSafeInteger(parameter) || parameter < 1) {
    return { name: 'unknown' }
  }
  return match[1] === 'bucket'
    ? { name: 'bucket', buckets: parameter }
    : { name: 'truncate', width: parameter }
}

export function resultTypeOf(transform: Transform, source: IcebergType): IcebergType {
  switch (transform.name) {
    case 'identity':
    case 'truncate':
    case 'void':
      return source
    case 'day':
      // The spec's type is int; every writer gives the Avro field the logical type date.
      return 'date'
    case 'bucket':
    case 'year':
    case 'month':
    case 'hour':
      return 'int'
    case 'unknown':
      return 'string'
  }
}

export function applyTransform(
  transform: Transform,
  source: IcebergType,
  value: SingleValue | null,
): SingleValue | null {
  if (value === null) return null
  switch (transform.name) {
    case 'identity':
      return value
    case 'void':
      return null
    case 'bucket':
      return (hashOf(source, value) & 0x7fffffff) % transform.buckets
    case 'truncate':
      return truncate(source, value, transform.width)
    case 'year':
    case 'month':
    case 'day':
    case 'hour':
      return applyTime(transform.name, source, value)
    case 'unknown':
      throw new PotokError('Unsupported', 'a partition transform of a later format version')
  }
}

/** Whether a ≤ b gives f(a) ≤ f(b): then ranges can be carried over. */
export function isMonotone(transform: Transform): boolean {
  return transform.name !== 'bucket' && transform.name !== 'void' && transform.name !== 'unknown'
}

function truncate(source: IcebergType, value: SingleValue, width: number): SingleValue {
  if (typeof value === 'number') return value - floorMod(value, width)
  if (typeof value === 'bigint') {
    const divisor = BigInt(width)
    return value - (((value % divisor) + divisor) % divisor)
  }
  if (typeof value === 'string') return Array.from(value).slice(0, width).join('')
  if (value instanceof Uint8Array) return value.subarray(0, width)
  throw misapplied('truncate', source)
}

function applyTime(
  unit: 'year' | 'month' | 'day' | 'hour',
  source: IcebergType,
  value: SingleValue,
): number {
  let days: number
  let hours: number
  if (source === 'date') {
    days = Number(value)
    hours = days * 24
    if (unit === 'hour') throw misapplied(unit, source)
  } else {
    const perHour = unitsPerHour(source)
    if (perHour === null) throw misapplied(unit, source)
    hours = floorDiv(value as number | bigint, perHour)
    days = Math.floor(hours / 24)
  }
  if (unit === 'hour') return hours
  if (unit === 'day') return days
  const date = new Date(days * 86_400_000)
  const year = date.getUTCFullYear() - 1970
  return unit === 'year' ? year : year * 12 + date.getUTCMonth()
}

function unitsPerHour(source: IcebergType): number | null {
  switch (source) {
    case 'timestamp':
    case 'timestamptz':
      return 3_600_000_000
    case 'timestamp_ns':
    case 'timestamptz_ns':
      return 3_600_000_000_000
    default:
      return null
  }
}

function floorDiv(value: number | bigint, divisor: number): number {
  // Division of doubles may round up to the next integer near a boundary: take the remainder off first.
  if (typeof value === 'number') return (value - floorMod(value, divisor)) / divisor
  const d = BigInt(divisor)
  const remainder = ((value % d) + d) % d
  return Number((value - remainder) / d)
}

function floorMod(value: number, divisor: number): number {
  const remainder = value % divisor
  return remainder < 0 ? remainder + divisor : remainder
}

/** Murmur3 x86 32 bit with seed 0 over the spec's bytes for the type, as a signed int. */
export function hashOf(source: IcebergType, value: SingleValue): number {
  if (typeof value === 'string') return murmur3(Buffer.from(value))
  if (value instanceof Uint8Array) return murmur3(value)
  if (typeof source === 'string' && source.startsWith('decimal(')) {
    return murmur3(encodeUnscaled(BigInt(value)))
  }
  switch (source) {
    case 'int':
    case 'long':
    case 'date':
    case 'time':
    case 'timestamp':
    case 'timestamptz': {
      return murmur3(longBytes(BigInt(value)))
    }
    case 'timestamp_ns':
    case 'timestamptz_ns': {
      // Hashed as microseconds, so that both precisions fall into the same bucket.
      const nanos = BigInt(value)
      return murmur3(longBytes((nanos - (((nanos % 1000n) + 1000n) % 1000n)) / 1000n))
    }
    default:
      throw misapplied('bucket', source)
  }
}

function longBytes(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(value)
  return bytes
}

function murmur3(data: Uint8Array): number {
  const c1 = 0xcc9e2d51
  const c2 = 0x1b873593
  let h = 0
  const blocks = data.length >> 2
  for (let i = 0; i < blocks; i++) {
    const at = i * 4
    const k =
      (data[at] as number) |
      ((data[at + 1] as number) << 8) |
      ((data[at + 2] as number) << 16) |
      ((data[at + 3] as number) << 24)
    h ^= Math.imul(rotateLeft(Math.imul(k, c1), 15), c2)
    h = (Math.imul(rotateLeft(h, 13), 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let i = data.length & 3; i > 0; i--) {
    tail = (tail << 8) | (data[blocks * 4 + i - 1] as number)
  }
  if ((data.length & 3) !== 0) h ^= Math.imul(rotateLeft(Math.imul(tail, c1), 15), c2)
  h ^= data.length
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) | 0
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function misapplied(transform: string, source: IcebergType): PotokError {
  return new PotokError(
    'DataCorrupt',
    `transform ${transform} does not apply to ${JSON.stringify(source)}`,
  )
}
