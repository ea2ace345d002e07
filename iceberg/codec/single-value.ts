/**
 * Iceberg's binary single-value serialisation (spec, Appendix D), as lower and upper bounds use it, and the
 * order in which bounds are compared.
 *
 * In memory: boolean, number (int, float, double, date in days), bigint (long, decimal unscaled), string,
 * Uint8Array (uuid, fixed, binary); time and timestamps are microseconds (…_ns: nanoseconds) as number where
 * that is exact, else bigint. number and bigint compare exactly in JavaScript, so both may be mixed.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { IcebergType } from '../spec/table-metadata.ts'

export type SingleValue = boolean | number | bigint | string | Uint8Array

const utf8 = new TextEncoder()
/** Fatal: where a foreign writer cut a string within a character, a replacement character would move the bound. */
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encodeSingleValue(type: IcebergType, value: SingleValue): Uint8Array {
  switch (kindOf(type)) {
    case 'boolean':
      return Uint8Array.of(value === true ? 1 : 0)
    case 'int': {
      const bytes = Buffer.alloc(4)
      bytes.writeInt32LE(Number(value))
      return bytes
    }
    case 'long': {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64LE(BigInt(value as number | bigint))
      return bytes
    }
    case 'float': {
      const bytes = Buffer.alloc(4)
      bytes.writeFloatLE(value as number)
      return bytes
    }
    case 'double': {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(value as number)
      return bytes
    }
    case 'string':
      return utf8.encode(value as string)
    case 'bytes':
      return value as Uint8Array
    case 'decimal':
      return encodeUnscaled(BigInt(value as number | bigint))
    case null:
      throw unsupported(type)
  }
}

/**
 * The value, or null where the bytes don't fit the type: a bound that can't be read prunes nothing. Ints and
 * floats that were promoted since are read at the width in which they were written.
 */
export function decodeSingleValue(type: IcebergType, bytes: Uint8Array): SingleValue | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (kindOf(type)) {
    case 'boolean':
      return bytes.length === 1 ? bytes[0] !== 0 : null
    case 'int':
      return bytes.length === 4 ? view.getInt32(0, true) : null
    case 'long': {
      if (type === 'long') {
        if (bytes.length === 4) return BigInt(view.getInt32(0, true))
        return bytes.length === 8 ? view.getBigInt64(0, true) : null
      }
      if (bytes.length !== 8) return null
      const value = view.getBigInt64(0, true)
      const narrow = Number(value)
      return Number.isSafeInteger(narrow) ? narrow : value
    }
    case 'float':
      return bytes.length === 4 ? view.getFloat32(0, true) : null
    case 'double':
      if (bytes.length === 4) return view.getFloat32(0, true)
      return bytes.length === 8 ? view.getFloat64(0, true) : null
    case 'string':
      try {
        return utf8Decoder.decode(bytes)
      } catch {
        return null
      }
    case 'bytes':
      return bytes
    case 'decimal':
      return bytes.length === 0 ? null : decodeUnscaled(bytes)
    case null:
      return null
  }
}

/** Whether the value can be compared with values of the type. NaN can't. */
export function isOfType(type: IcebergType, value: SingleValue): boolean {
  const kind = kindOf(type)
  if (kind === null) return false
  if (kind === 'boolean' || kind === 'string') return typeof value === kind
  if (kind === 'bytes') return value instanceof Uint8Array
  return typeof value === 'bigint' || (typeof value === 'number' && !Number.isNaN(value))
}

/**
 * Less than 0, 0, more than 0. Strings by code point, as the spec's UTF-8 order has it (JavaScript's own
 * order differs above U+FFFF), bytes unsigned. Both values are of one type.
 */
export function compareSingleValues(a: SingleValue, b: SingleValue): number {
  if (typeof a === 'string' && typeof b === 'string') return compareByCodePoint(a, b)
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b)
  return a < b ? -1 : a > b ? 1 : 0
}

function compareByCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i)
    const right = b.charCodeAt(i)
    if (left !== right) return codeUnitRank(left) - codeUnitRank(right)
  }
  return a.length - b.length
}

/** Surrogates stand for code points above all others of the basic plane: they go behind U+E000–U+FFFF. */
function codeUnitRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}

/** At most `codePoints` of the text: never greater than it. */
export function truncateLower(text: string, codePoints: number): string {
  const end = indexOfCodePoint(text, codePoints)
  return text.slice(0, end)
}

/**
 * At most `codePoints`, never less than the text: where something was cut off, the last code point that can
 * be raised is. null where none can: then there is no upper bound.
 */
export function truncateUpper(text: string, codePoints: number): string | null {
  const end = indexOfCodePoint(text, codePoints)
  if (end === text.length) return text
  const points = Array.from(text.slice(0, end), (char) => char.codePointAt(0) as number)
  for (let i = points.length - 1; i >= 0; i--) {
    const raised = nextCodePoint(points[i] as number)
    if (raised === null) continue
    return String.fromCodePoint(...points.slice(0, i), raised)
  }
  return null
}

function nextCodePoint(point: number): number | null {
  if (point >= 0x10ffff) return null
  // Surrogates are no characters.
  return point >= 0xd7ff && point < 0xe000 ? 0xe000 : point + 1
}

function indexOfCodePoint(text: string, codePoints: number): number {
  let at = 0
  for (let i = 0; i < codePoints && at < text.length; i++) {
    at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1
  }
  return at
}

/** Two's complement, big-endian, the fewest bytes. */
export function encodeUnscaled(value: bigint): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (;;) {
    const byte = Number(BigInt.asUintN(8, rest))
    bytes.unshift(byte)
    rest >>= 8n
    const isNegative = byte >= 0x80
    if ((rest === 0n && !isNegative) || (rest === -1n && isNegative)) return Uint8Array.from(bytes)
  }
}

export function decodeUnscaled(bytes: Uint8Array): bigint {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return BigInt.asIntN(bytes.length * 8, value)
}

type Kind = 'boolean' | 'int' | 'long' | 'float' | 'double' | 'string' | 'bytes' | 'decimal'

/** How the type is laid out; null for nested types, which have no single value. */
function kindOf(type: IcebergType): Kind | null {
  if (typeof type !== 'string') return null
  switch (type) {
    case 'boolean':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
    case 'string':
      return type
    case 'date':
      return 'int'
    case 'time':
    case 'timestamp':
    case 'timestamptz':
    case 'timestamp_ns':
    case 'timestamptz_ns':
      return 'long'
    case 'uuid':
    case 'binary':
      return 'bytes'
    default:
      if (type.startsWith('decimal(')) return 'decimal'
      return type.startsWith('fixed[') ? 'bytes' : null
  }
}

function unsupported(type: IcebergType): PotokError {
  return new PotokError('Unsupported', `no single value has the type ${JSON.stringify(type)}`)
}
