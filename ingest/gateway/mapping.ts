/**
 * The mapping in the settings: how messages with other field names, time formats or units become potok's
 * canonical form. Applied before the decoder, which then judges the canonical form; numbers are converted as
 * decimals, not as doubles.
 *
 * A field under its canonical name is understood too, so that one gateway serves a mixed fleet; both names
 * in one message are an error. Without a mapping nothing here runs and the camera's own bytes are kept.
 */
import { DateTime, IANAZone } from 'luxon'
import { z } from 'zod'
import { scaleDecimal } from '../../kernel/decode-detection-decimal.ts'
import { joinMembers, type JsonMember } from '../../kernel/decode-detection-members.ts'
import { parseJsonObject } from '../../kernel/decode-detection-plain.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { RejectReason } from '../../kernel/record-block.ts'
import { parseRfc3339Text, timestampWithoutZone } from '../../kernel/rfc3339.ts'
import { formatUs, usPerMinute } from '../../kernel/time.ts'

const fieldName = z.string().min(1)

export const mappingSchema = z.strictObject({
  fields: z
    .strictObject({
      kvfv_id: fieldName,
      timestamp: fieldName,
      vehicle_speed: fieldName,
      plate_number: fieldName,
      event_id: fieldName,
    })
    .partial()
    .default({})
    .describe('What the message calls each of potok’s fields, where it differs'),
  timestampFormat: z
    .enum(['rfc3339', 'epoch_s', 'epoch_ms', 'epoch_us'])
    .default('rfc3339')
    .describe('Unit of time stamps that are numbers (fractions allowed)'),
  assumedZone: z
    .string()
    .refine((zone) => IANAZone.isValidZone(zone), 'not an IANA time zone such as Europe/Moscow')
    .optional()
    .describe('IANA zone of time stamps without zone; an hour that comes twice is its first'),
  speedUnit: z.enum(['km/h', 'mph', 'm/s']).default('km/h').describe('Unit of the speed'),
  dropFields: z
    .array(fieldName)
    .default([])
    .describe('Further fields not to be kept, by their names in the message'),
})

export type MappingSettings = z.infer<typeof mappingSchema>

export type MappedItem =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly reason: RejectReason; readonly detail: string }

export type Mapping = {
  /** Canonical JSON of an item. What isn't a JSON object comes back as it is, for the decoder to refuse. */
  apply(item: Uint8Array): MappedItem
  /** A detail that names a canonical field, with the message's name for it added. */
  explain(detail: string): string
}

/** null where it changes nothing. InvalidInput where the settings are wrong. */
export function createMapping(given: unknown): Mapping | null {
  const parsed = mappingSchema.safeParse(given ?? {})
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const where = issue?.path.join('.') ?? ''
    throw new PotokError('InvalidInput', `mapping ${where}: ${issue?.message ?? 'invalid'}`)
  }
  const settings = parsed.data
  const canonicalOf = new Map<string, string>()
  for (const [canonical, name] of Object.entries(settings.fields)) {
    if (name === undefined || name === canonical) continue
    if (canonicalOf.has(name)) {
      throw new PotokError('InvalidInput', `mapping fields: ${name} is named twice`)
    }
    canonicalOf.set(name, canonical)
  }
  const dropped = new Set(settings.dropFields)
  const timestampOf = createTimestampConverter(settings)
  const isIdentity =
    canonicalOf.size === 0 &&
    dropped.size === 0 &&
    settings.timestampFormat === 'rfc3339' &&
    settings.assumedZone === undefined &&
    settings.speedUnit === 'km/h'
  if (isIdentity) return null

  return {
    apply(item) {
      const object = parseJsonObject(item)
      if (!object.ok) return { ok: true, bytes: item }
      const members = new Map<string, JsonMember>()
      for (const { key, text } of object.members.values()) {
        if (dropped.has(key)) continue
        const canonical = canonicalOf.get(key) ?? key
        if (members.has(canonical)) {
          const names = `${settings.fields[canonical as 'kvfv_id']} and ${canonical}`
          return { ok: false, reason: 'invalid_field', detail: `${names} are the same field` }
        }
        members.set(canonical, { key: canonical, text })
      }
      const timestamp = members.get('timestamp')
      if (timestamp !== undefined) {
        const converted = timestampOf(timestamp.text)
        if (converted === null) {
          const detail = `timestamp ${timestamp.text.slice(0, 40)} is no instant in ${settings.timestampFormat}`
          return { ok: false, reason: 'invalid_timestamp', detail }
        }
        members.set('timestamp', { key: 'timestamp', text: converted })
      }
      const speed = members.get('vehicle_speed')
      if (speed !== undefined) {
        const text = kmhText(speed.text, settings.speedUnit)
        members.set('vehicle_speed', { key: 'vehicle_speed', text })
      }
      return { ok: true, bytes: Buffer.from(joinMembers(members.values())) }
    },
    explain(detail) {
      const canonical = /^[a-z_]+/.exec(detail)?.[0] ?? ''
      const name = settings.fields[canonical as 'kvfv_id']
      return name === undefined || name === canonical
        ? detail
        : `${detail} (by the mapping it is the field ${name})`
    },
  }
}

/** JSON text of the canonical time stamp; the text as given where the decoder is to judge; null: no instant. */
function createTimestampConverter(settings: MappingSettings): (text: string) => string | null {
  const { timestampFormat, assumedZone } = settings
  const scale = { rfc3339: -1, epoch_s: 6, epoch_ms: 3, epoch_us: 0 }[timestampFormat]
  const offsetAt = assumedZone === undefined ? null : createOffsetLookup(assumedZone)
  return (text) => {
    const number = /^"?(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)"?$/.exec(text)?.[1]
    if (number !== undefined) {
      if (scale < 0) return text
      const { negative, floor } = scaleDecimal(number, scale)
      return floor > instantUsMax ? null : JSON.stringify(formatUs(negative ? -floor : floor))
    }
    if (offsetAt === null || !text.startsWith('"')) return text
    const value = JSON.parse(text) as string
    if (parseRfc3339Text(value) !== timestampWithoutZone) return text
    const localUs = parseRfc3339Text(`${value}Z`)
    if (Number.isNaN(localUs) || localUs > instantUsMax || localUs < 0) return text
    return JSON.stringify(formatUs(localUs - offsetAt(localUs) * usPerMinute))
  }
}

/** Safe integers only: later is `clock_ahead` anyway, but not representable. */
const instantUsMax = Number.MAX_SAFE_INTEGER
const offsetsMax = 10_000

/** Offset in minutes at a local time, looked up once a minute of local time. */
function createOffsetLookup(zone: string): (localUs: number) => number {
  const offsets = new Map<number, number>()
  return (localUs) => {
    const minute = Math.floor(localUs / usPerMinute)
    const known = offsets.get(minute)
    if (known !== undefined) return known
    if (offsets.size >= offsetsMax) offsets.clear()
    const local = new Date(minute * 60_000)
    const instant = DateTime.fromObject(
      {
        year: local.getUTCFullYear(),
        month: local.getUTCMonth() + 1,
        day: local.getUTCDate(),
        hour: local.getUTCHours(),
        minute: local.getUTCMinutes(),
      },
      { zone },
    )
    // Of an hour that comes twice the first instant is meant; an hour that is left out is moved forward.
    const earliest = instant.getPossibleOffsets()[0] ?? instant
    const offset = minute - Math.floor(earliest.toMillis() / 60_000)
    offsets.set(minute, offset)
    return offset
  }
}

/** 1 mile = 1.609344 km exactly, 1 m/s = 3.6 km/h: in 10⁻⁶ of 0.001 km/h. */
const milliKmhPer = { mph: 1_609_344_000n, 'm/s': 3_600_000_000n } as const
const speedScale = 9

/** The speed in km/h to 0.001, half up; the text as given where it is no number, for the decoder to refuse. */
function kmhText(text: string, unit: MappingSettings['speedUnit']): string {
  if (unit === 'km/h' || !/^[\d-]/.test(text)) return text
  const { negative, floor } = scaleDecimal(text, speedScale)
  if (negative || !Number.isFinite(floor)) return text
  const divisor = 10n ** BigInt(speedScale + 6)
  const milli = (2n * BigInt(floor) * milliKmhPer[unit] + divisor) / (2n * divisor)
  return `${milli / 1_000n}.${String(milli % 1_000n).padStart(3, '0')}`
}
