/**
 * Statistics of a written file, from what `COPY … (RETURN_STATS)` answers: texts, by quoted column path.
 * Bounds are exact or absent, never too narrow: DuckDB leaves them out for texts longer than 256 bytes, and
 * here they are left out inside maps (as other Iceberg writers do) and where a text isn't understood.
 */
import type { BoundValue, ColumnDefinition, ColumnStats, ColumnType } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import { parseDay } from '../../kernel/time.ts'
import { sqlName } from './instance.ts'

/** Statistics of one Parquet column, as DuckDB names them. */
export type RawStatistics = ReadonlyMap<string, string>

export function columnStatistics(
  columns: readonly ColumnDefinition[],
  raw: ReadonlyMap<string, RawStatistics>,
  nanCounts: ReadonlyMap<string, number>,
): ColumnStats[] {
  const result: ColumnStats[] = []
  for (const column of columns) {
    if (column.mapIds !== undefined) {
      result.push(leaf(column.mapIds.key, raw, `${sqlName(column.name)}."key"`))
      result.push(leaf(column.mapIds.value, raw, `${sqlName(column.name)}."value"`))
      continue
    }
    const stats = statisticsOf(raw, sqlName(column.name))
    result.push({
      ...leaf(column.id, raw, sqlName(column.name)),
      ...(column.type === 'double' ? { nanCount: nanCounts.get(column.name) ?? 0 } : {}),
      lower: bound(column.type, stats.get('min'), 'lower'),
      upper: bound(column.type, stats.get('max'), 'upper'),
    })
  }
  return result
}

/** Names of the double columns that hold NaN: how many, DuckDB doesn't say. */
export function columnsWithNan(
  columns: readonly ColumnDefinition[],
  raw: ReadonlyMap<string, RawStatistics>,
): string[] {
  return columns
    .filter(
      ({ type, name }) => type === 'double' && raw.get(sqlName(name))?.get('has_nan') === 'true',
    )
    .map(({ name }) => name)
}

function leaf(fieldId: number, raw: ReadonlyMap<string, RawStatistics>, path: string): ColumnStats {
  const stats = statisticsOf(raw, path)
  return {
    fieldId,
    sizeBytes: count(stats, 'column_size_bytes', path),
    valueCount: count(stats, 'num_values', path),
    nullCount: count(stats, 'null_count', path),
    lower: null,
    upper: null,
  }
}

function statisticsOf(raw: ReadonlyMap<string, RawStatistics>, path: string): RawStatistics {
  const stats = raw.get(path)
  if (stats === undefined) {
    throw new PotokError('Unsupported', `DuckDB gave no statistics of the column ${path}`)
  }
  return stats
}

function count(stats: RawStatistics, key: string, path: string): number {
  const value = Number(stats.get(key))
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new PotokError('Unsupported', `DuckDB gave no ${key} of the column ${path}`)
  }
  return value
}

function bound(
  type: ColumnType,
  text: string | undefined,
  side: 'lower' | 'upper',
): BoundValue | null {
  if (text === undefined) return null
  switch (type) {
    case 'boolean':
      return text === '1' || text === 'true'
    case 'int':
      return Number(text)
    case 'long':
      return BigInt(text)
    case 'double':
      return doubleBound(Number(text), side)
    case 'date':
      return parseDay(text)
    case 'timestamptz':
      return microsOfText(text)
    case 'string':
      return text
    case 'uuid':
      return new Uint8Array(Buffer.from(text.replaceAll('-', ''), 'hex'))
    case 'map<int,long>':
      return null
    default:
      throw new TypeError(`no such type: ${String(type satisfies never)}`)
  }
}

/** Iceberg orders −0 before +0, DuckDB holds them equal: widen. */
function doubleBound(value: number, side: 'lower' | 'upper'): number | null {
  if (Number.isNaN(value)) return null
  if (value === 0) return side === 'lower' ? -0 : 0
  return value
}

/** `2025-04-05 10:15:30.123456+00`; null for years before 1 and after 9999. */
function microsOfText(text: string): number | null {
  const match = /^(\d{4}-\d\d-\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\+00$/.exec(text)
  if (match === null) return null
  const ms = Date.parse(`${match[1]}T${match[2]}:${match[3]}:${match[4]}Z`)
  return Number.isNaN(ms) ? null : ms * 1000 + Number((match[5] ?? '').padEnd(6, '0'))
}
