/**
 * What a manifest tells of a data file's columns, computed from the rows that go into it (Iceberg spec,
 * "Manifests": value, null and NaN counts, bounds). From the rows and not from the Parquet footer: bounds of
 * times are then exact to the microsecond and those of long texts aren't missing.
 *
 * Never too narrow: strings are cut by code point and bytes by byte, upper bounds rounded up or left out; NaN is
 * in no bound; a zero bound holds both zeros (the spec orders −0 before +0, engines hold them equal).
 * Fields inside lists and maps have no metrics, as with the Java client.
 */
import {
  compareSingleValues,
  encodeSingleValue,
  type SingleValue,
  truncateLower,
  truncateUpper,
} from '../codec/single-value.ts'
import type { DataFile } from './data-file.ts'
import type { MetricsMode } from './metrics-modes.ts'
import type { Row, RowValue } from './rows.ts'
import type { NestedField, StructType } from './table-metadata.ts'

export type FileMetrics = Required<
  Pick<
    DataFile,
    'valueCounts' | 'nullValueCounts' | 'nanValueCounts' | 'lowerBounds' | 'upperBounds'
  >
>

type Leaf = { readonly field: NestedField; readonly type: string; readonly path: readonly string[] }

/** Of rows that `checkedRow` gave. */
export function fileMetrics(
  schema: StructType,
  modes: ReadonlyMap<number, MetricsMode>,
  rows: readonly Row[],
): FileMetrics {
  const valueCounts = new Map<number, number>()
  const nullValueCounts = new Map<number, number>()
  const nanValueCounts = new Map<number, number>()
  const lowerBounds = new Map<number, Uint8Array>()
  const upperBounds = new Map<number, Uint8Array>()
  for (const leaf of leavesOf(schema, [])) {
    const { id } = leaf.field
    const mode = modes.get(id) ?? { kind: 'none' }
    if (mode.kind === 'none') continue
    const seen = look(leaf, rows)
    valueCounts.set(id, rows.length)
    nullValueCounts.set(id, seen.nulls)
    if (leaf.type === 'float' || leaf.type === 'double') nanValueCounts.set(id, seen.nans)
    if (mode.kind === 'counts' || seen.least === null || seen.greatest === null) continue
    const length = mode.kind === 'truncate' ? mode.length : Number.POSITIVE_INFINITY
    const lower = lowerBound(seen.least, length, leaf.type)
    const upper = upperBound(seen.greatest, length, leaf.type)
    lowerBounds.set(id, encodeSingleValue(leaf.type, lower))
    if (upper !== null) upperBounds.set(id, encodeSingleValue(leaf.type, upper))
  }
  return { valueCounts, nullValueCounts, nanValueCounts, lowerBounds, upperBounds }
}

function leavesOf(struct: StructType, prefix: readonly string[]): Leaf[] {
  return struct.fields.flatMap((field): Leaf[] => {
    const path = [...prefix, field.name]
    if (typeof field.type === 'string') return [{ field, type: field.type, path }]
    return field.type.type === 'struct' ? leavesOf(field.type, path) : []
  })
}

type Seen = { nulls: number; nans: number; least: SingleValue | null; greatest: SingleValue | null }

function look({ path }: Leaf, rows: readonly Row[]): Seen {
  const seen: Seen = { nulls: 0, nans: 0, least: null, greatest: null }
  for (const row of rows) {
    let value: RowValue = row
    for (const name of path) value = value === null ? null : ((value as Row)[name] ?? null)
    if (value === null) {
      seen.nulls++
    } else if (Number.isNaN(value)) {
      seen.nans++
    } else {
      const single = value as SingleValue
      if (seen.least === null || compareSingleValues(single, seen.least) < 0) seen.least = single
      if (seen.greatest === null || compareSingleValues(single, seen.greatest) > 0) {
        seen.greatest = single
      }
    }
  }
  return seen
}

function lowerBound(value: SingleValue, length: number, type: string): SingleValue {
  if (typeof value === 'string') return truncateLower(value, length)
  if (type === 'binary') return (value as Uint8Array).subarray(0, length)
  return isFloating(type) && value === 0 ? -0 : value
}

function upperBound(value: SingleValue, length: number, type: string): SingleValue | null {
  if (typeof value === 'string') return truncateUpper(value, length)
  if (type === 'binary') return truncateBytesUpper(value as Uint8Array, length)
  return isFloating(type) && value === 0 ? 0 : value
}

function isFloating(type: string): boolean {
  return type === 'float' || type === 'double'
}

/** null where all bytes that stay are 0xff: nothing of that length is greater. */
function truncateBytesUpper(bytes: Uint8Array, length: number): Uint8Array | null {
  if (bytes.length <= length) return bytes
  for (let end = length; end > 0; end--) {
    const last = bytes[end - 1] as number
    if (last === 0xff) continue
    const cut = bytes.slice(0, end)
    cut[end - 1] = last + 1
    return cut
  }
  return null
}
