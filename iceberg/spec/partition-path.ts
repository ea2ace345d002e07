/**
 * The folder of a partition under `data/`, laid out as the Java client does: `name=value/name=value`, values as
 * people read them, URL-encoded. Nothing is ever read back from it: manifests hold the values.
 */
import type { PartitionValue } from './data-file.ts'
import type { IcebergType, PartitionSpec } from './table-metadata.ts'
import { decimalPrecisionScale } from '../codec/manifest-avro.ts'
import { parseTransform } from './transforms.ts'

/** File systems take names of up to 255 bytes. What is cut off is only seen less. */
const segmentLengthMax = 200
const dayMs = 86_400_000

/** Empty for a table without partitions. */
export function partitionPath(
  spec: PartitionSpec,
  types: readonly IcebergType[],
  partition: readonly PartitionValue[],
): string {
  return spec.fields
    .map((field, i) => {
      const value = humanValue(field.transform, types[i] as IcebergType, partition[i] ?? null)
      // Never within an escape, which would be no escape any more.
      return `${escaped(field.name)}=${escaped(value)}`
        .slice(0, segmentLengthMax)
        .replace(/%[0-9A-F]?$/, '')
    })
    .join('/')
}

function humanValue(transform: string, type: IcebergType, value: PartitionValue): string {
  if (value === null) return 'null'
  if (value instanceof Uint8Array) {
    return type === 'uuid' ? uuidText(value) : Buffer.from(value).toString('base64')
  }
  const { name } = parseTransform(transform)
  if (name === 'year') return String(1970 + Number(value)).padStart(4, '0')
  if (name === 'month') return monthText(Number(value))
  if (name === 'hour') {
    const day = Math.floor(Number(value) / 24)
    return `${dayText(day)}-${pad2(Number(value) - day * 24)}`
  }
  if (type === 'date') return dayText(Number(value))
  if (type === 'time') return timeText(BigInt(value))
  if (type === 'timestamp') return timestampText(BigInt(value))
  if (type === 'timestamptz') return `${timestampText(BigInt(value))}+00:00`
  const decimal = typeof type === 'string' ? decimalPrecisionScale(type) : null
  if (decimal !== null) return decimalText(BigInt(value), decimal.scale)
  return String(value)
}

function monthText(months: number): string {
  const year = Math.floor(months / 12)
  return `${String(1970 + year).padStart(4, '0')}-${pad2(months - year * 12 + 1)}`
}

function dayText(days: number): string {
  const date = new Date(days * dayMs)
  // Beyond what a Date holds: the number is as good a name.
  if (Number.isNaN(date.getTime())) return String(days)
  return `${String(date.getUTCFullYear()).padStart(4, '0')}-${pad2(date.getUTCMonth() + 1)}-${pad2(date.getUTCDate())}`
}

function timestampText(micros: bigint): string {
  const dayUs = 86_400_000_000n
  const rest = ((micros % dayUs) + dayUs) % dayUs
  return `${dayText(Number((micros - rest) / dayUs))}T${timeText(rest)}`
}

function timeText(micros: bigint): string {
  const seconds = Number(micros / 1_000_000n)
  const fraction = String(micros % 1_000_000n).padStart(6, '0')
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return `${clock.map(pad2).join(':')}${fraction === '000000' ? '' : `.${fraction}`}`
}

function decimalText(unscaled: bigint, scale: number): string {
  if (scale === 0) return String(unscaled)
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const sign = unscaled < 0n ? '-' : ''
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

function uuidText(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function pad2(value: number): string {
  return String(value).padStart(2, '0')
}

/** As Java's URLEncoder, and `*` too, which some readers take for a pattern. */
function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()~*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')
}
