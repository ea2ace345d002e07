/**
 * What a detection is, said the plain way: fatal UTF-8, JSON.parse, one check after another. It is the
 * reference that `scan-detection.ts` is tested against, its fallback for everything unusual, and the only
 * place that words a rejection. Details name fields and limits; they never quote a plate.
 */
import type { RejectReason } from './record-block.ts'
import type { Detection, DetectionRules, Rejection } from './detection.ts'
import { scaleDecimal } from './decode-detection-decimal.ts'
import {
  joinMembers,
  nestingDepthMax,
  splitMembers,
  type JsonMember,
} from './decode-detection-members.ts'
import { parseRfc3339Text, timestampWithoutZone } from './rfc3339.ts'
import { formatUs } from './time.ts'

export const kvfvIdLengthMax = 128
export const cameraEventIdLengthMax = 256
export const knownFields: ReadonlySet<string> = new Set([
  'kvfv_id',
  'timestamp',
  'vehicle_speed',
  'plate_number',
  'event_id',
])

export type PlainResult =
  | { readonly ok: true; readonly detection: Detection }
  | { readonly ok: false; readonly rejection: Rejection }

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function decodeDetectionPlainly(
  bytes: Uint8Array,
  receivedAtUs: number,
  rules: DetectionRules,
): PlainResult {
  const parsed = parseJsonObject(bytes)
  if (!parsed.ok) return reject(parsed.reason, parsed.detail, null)
  const { members, depth, value } = parsed

  const kvfvId = value['kvfv_id']
  const known = typeof kvfvId === 'string' && idFault(kvfvId) === null ? kvfvId : null
  const no = (reason: RejectReason, detail: string) => reject(reason, detail, known)
  const missing = (name: string) => no('missing_field', `${name} is missing`)

  if (kvfvId === undefined || kvfvId === null) return missing('kvfv_id')
  if (typeof kvfvId !== 'string') {
    const hint = typeof kvfvId === 'number' ? ', for instance "kvfv_id":"12345"' : ''
    return no('invalid_field', `kvfv_id must be a string, not ${typeName(kvfvId)}${hint}`)
  }
  const fault = idFault(kvfvId)
  if (fault !== null) return no('invalid_field', fault)

  const timestamp = value['timestamp']
  if (timestamp === undefined || timestamp === null) return missing('timestamp')
  if (typeof timestamp !== 'string') {
    return no(
      'invalid_timestamp',
      typeof timestamp === 'number'
        ? 'timestamp is a number: send RFC 3339 text such as "2025-04-05T10:15:30Z", or set the mapping\'s timestampFormat (epoch_s, epoch_ms, epoch_us)'
        : `timestamp must be RFC 3339 text, not ${typeName(timestamp)}`,
    )
  }
  const eventTimeUs = parseRfc3339Text(timestamp)
  if (eventTimeUs === timestampWithoutZone) {
    return no(
      'timestamp_without_zone',
      `timestamp ${quote(timestamp)} has no zone: send it with Z or an offset, as in ${quote(`${timestamp.slice(0, 19)}+03:00`)}, or set the mapping's assumedZone`,
    )
  }
  if (Number.isNaN(eventTimeUs)) {
    return no(
      'invalid_timestamp',
      `timestamp ${quote(timestamp)} is not an RFC 3339 instant such as "2025-04-05T10:15:30.123Z"`,
    )
  }

  const speed = value['vehicle_speed']
  if (speed === undefined || speed === null) return missing('vehicle_speed')
  if (typeof speed !== 'number') {
    return no('invalid_field', `vehicle_speed must be a number in km/h, not ${typeName(speed)}`)
  }
  const speedText = (members.get('vehicle_speed') as JsonMember).text
  const speedMilli = speedMilliOf(speedText, rules.speedKmhMax)
  if (typeof speedMilli === 'string') {
    return no('speed_out_of_range', `vehicle_speed ${speedText.slice(0, 32)} is ${speedMilli} km/h`)
  }

  const plate = value['plate_number']
  if (plate !== undefined && plate !== null) {
    if (typeof plate !== 'string') {
      return no('invalid_field', `plate_number must be a string or null, not ${typeName(plate)}`)
    }
    if (!plate.isWellFormed()) {
      return no('invalid_field', 'plate_number holds half a surrogate pair')
    }
  }
  const cameraEventId = cameraEventIdOf(value['event_id'], members.get('event_id'))
  if (!cameraEventId.ok) return no('invalid_field', cameraEventId.fault)
  if (depth > nestingDepthMax) {
    return no('invalid_field', `nested more than ${nestingDepthMax} levels deep`)
  }
  if (eventTimeUs > receivedAtUs + rules.clockAheadUsMax) {
    const minutes = Math.round(rules.clockAheadUsMax / 60_000_000)
    return no(
      'clock_ahead',
      `timestamp ${quote(timestamp)} is more than ${minutes} min ahead of ${formatUs(receivedAtUs)}, when it was received: check the camera's clock`,
    )
  }
  if (eventTimeUs < rules.eventTimeUsMin) {
    return no(
      'too_old',
      `timestamp ${quote(timestamp)} is before ${formatUs(rules.eventTimeUsMin)}: check the camera's clock`,
    )
  }

  for (const name of knownFields) members.delete(name)
  return {
    ok: true,
    detection: {
      kvfvId,
      eventTimeUs,
      speedMilli,
      plateNumber: typeof plate === 'string' && plate !== '' ? plate : null,
      attributes: members.size === 0 ? null : joinMembers(members.values()),
      cameraEventId: cameraEventId.id,
    },
  }
}

export type ParsedObject =
  | {
      readonly ok: true
      /** As JSON.parse gives it. */
      readonly value: Readonly<Record<string, unknown>>
      readonly members: Map<string, JsonMember>
      readonly depth: number
    }
  | { readonly ok: false; readonly reason: RejectReason; readonly detail: string }

export function parseJsonObject(bytes: Uint8Array): ParsedObject {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return { ok: false, reason: 'invalid_json', detail: 'not valid UTF-8' }
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { ok: false, reason: 'invalid_json', detail: describeJsonError(error) }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const detail = `an event must be a JSON object, not ${typeName(value)}`
    return { ok: false, reason: 'not_an_object', detail }
  }
  return { ok: true, value: value as Record<string, unknown>, ...splitMembers(text) }
}

/**
 * Speed in 0.001 km/h, half up on the decimal value as written; or on which side of the range it is. The
 * range holds for the value as written: 400.0001 is above 400.
 */
function speedMilliOf(text: string, speedKmhMax: number): number | string {
  const { negative, floor, inexact, half } = scaleDecimal(text, 3)
  if (negative) return 'below 0'
  const max = speedKmhMax * 1_000
  if (floor > max || (floor === max && inexact)) return `above ${speedKmhMax}`
  return half ? floor + 1 : floor
}

function cameraEventIdOf(
  value: unknown,
  member: JsonMember | undefined,
): { ok: true; id: string | null } | { ok: false; fault: string } {
  if (value === undefined || value === null || value === '' || member === undefined) {
    return { ok: true, id: null }
  }
  // An integer's text, because a double would give two long ids the same value.
  const id = typeof value === 'number' && /^-?\d+$/.test(member.text) ? member.text : value
  if (typeof id !== 'string') {
    return { ok: false, fault: `event_id must be a string or an integer, not ${typeName(value)}` }
  }
  if (!id.isWellFormed()) return { ok: false, fault: 'event_id holds half a surrogate pair' }
  if (isLongerThan(id, cameraEventIdLengthMax)) {
    return { ok: false, fault: `event_id is longer than ${cameraEventIdLengthMax} characters` }
  }
  return { ok: true, id }
}

function idFault(kvfvId: string): string | null {
  if (kvfvId === '') return 'kvfv_id is empty'
  if (!kvfvId.isWellFormed()) return 'kvfv_id holds half a surrogate pair'
  return isLongerThan(kvfvId, kvfvIdLengthMax)
    ? `kvfv_id is longer than ${kvfvIdLengthMax} characters`
    : null
}

/** Characters are code points, not UTF-16 units. */
function isLongerThan(text: string, max: number): boolean {
  if (text.length <= max) return false
  if (text.length > 2 * max) return true
  let characters = 0
  for (let i = 0; i < text.length; i += (text.codePointAt(i) as number) > 0xffff ? 2 : 1) {
    characters++
  }
  return characters > max
}

function reject(reason: RejectReason, detail: string, kvfvId: string | null): PlainResult {
  return { ok: false, rejection: { reason, detail, kvfvId } }
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Of a time stamp only: bounded, so that a detail stays a line. */
function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

/** V8 quotes the text around the fault, which may be a plate: keep the words, drop the quotation. */
function describeJsonError(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  const position = /at position (\d+)/.exec(message)
  const where = position === null ? '' : ` at character ${position[1]}`
  const words = message
    .replace(/\s+(?:in|after) JSON at position .*$/s, '')
    .replace(/, (\.\.\.)?".*$/s, '')
  if (words === '' || words.includes('"') || words.length > 80) return `not valid JSON${where}`
  return `not valid JSON: ${words}${where}`
}
