/**
 * Reads fields out of parsed JSON of unknown shape: each function gives a value of the wanted type or throws
 * InvalidInput that names the field. Wire names stay as the specification writes them.
 */
import { PotokError } from '../../kernel/errors.ts'

export type WireObject = Readonly<Record<string, unknown>>

export function invalidWire(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}

export function wireObject(value: unknown, what: string): WireObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidWire(`Cannot parse ${what}: not a JSON object`)
  }
  return value as WireObject
}

export function objectField(object: WireObject, key: string): WireObject {
  return wireObject(required(object, key), key)
}

export function stringField(object: WireObject, key: string): string {
  const value = required(object, key)
  if (typeof value !== 'string') throw invalidWire(`Cannot parse to a string value: ${key}`)
  return value
}

export function integerField(object: WireObject, key: string): number {
  const value = required(object, key)
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw invalidWire(`Cannot parse to an integer value: ${key}`)
  }
  return value
}

export function bigintField(object: WireObject, key: string): bigint {
  return toBigint(required(object, key), key)
}

export function booleanField(object: WireObject, key: string): boolean {
  const value = required(object, key)
  if (typeof value !== 'boolean') throw invalidWire(`Cannot parse to a boolean value: ${key}`)
  return value
}

export function arrayField(object: WireObject, key: string): readonly unknown[] {
  const value = required(object, key)
  if (!Array.isArray(value)) throw invalidWire(`Cannot parse to an array: ${key}`)
  return value
}

export function stringsField(object: WireObject, key: string): string[] {
  return arrayField(object, key).map((value) => {
    if (typeof value !== 'string') throw invalidWire(`Cannot parse to strings: ${key}`)
    return value
  })
}

export function integersField(object: WireObject, key: string): number[] {
  return arrayField(object, key).map((value) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw invalidWire(`Cannot parse to integers: ${key}`)
    }
    return value
  })
}

export function stringMapField(object: WireObject, key: string): Record<string, string> {
  // Not by assignment, which a key `__proto__` would escape.
  return Object.fromEntries(
    Object.entries(objectField(object, key)).map(([name, value]) => {
      if (typeof value !== 'string') throw invalidWire(`Cannot parse to a string value: ${name}`)
      return [name, value]
    }),
  )
}

/** The field by `read`, or undefined where it is absent or null. */
export function optional<T>(
  object: WireObject,
  key: string,
  read: (object: WireObject, key: string) => T,
): T | undefined {
  return object[key] === undefined || object[key] === null ? undefined : read(object, key)
}

/** Early releases of the specification had another name for the field; it is still sent. */
export function keyOf(object: WireObject, name: string, former: string): string {
  return object[name] === undefined && object[former] !== undefined ? former : name
}

/** `{ [name]: value }`, or nothing where it is undefined: optional fields stay absent. */
export function present<K extends string, T>(name: K, value: T | undefined): { [key in K]?: T } {
  return value === undefined ? {} : ({ [name]: value } as { [key in K]?: T })
}

export function toBigint(value: unknown, what: string): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  throw invalidWire(`Cannot parse to a long value: ${what}`)
}

/** What of the object isn't in `known`: kept, so that it survives being read and written. */
export function unknownFields(
  object: WireObject,
  known: ReadonlySet<string>,
): Record<string, unknown> | undefined {
  let result: Record<string, unknown> | undefined
  for (const [key, value] of Object.entries(object)) {
    if (known.has(key)) continue
    result ??= {}
    result[key] = value
  }
  return result
}

function required(object: WireObject, key: string): unknown {
  const value = object[key]
  if (value === undefined || value === null) throw invalidWire(`Cannot parse missing field: ${key}`)
  return value
}
