/**
 * Statistics of a written file, from what `COPY … (RETURN_STATS)` answers: texts, by quoted column path.
 * Bounds are exact or absent, never too narrow: DuckDB leaves them out for texts longer than 256 bytes, and
 * here they are left out inside maps (as other Iceberg writers do) and where a text isn't understood.
 */
import duckdb from '@duckdb/node-bindings'
import type { BoundValue, ColumnDefinition, ColumnStats, ColumnType } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import { parseDay } from '../../kernel/time.ts'
import { sqlName } from './instance.ts'
import { readStrings } from './read-batch.ts'

/** Statistics of one Parquet column, as DuckDB names them. */
type RawStatistics = ReadonlyMap<string, string>

/** COPY's answer for one file: rows, and statistics by quoted column path. */
export type CopyAnswer = {
  readonly recordCount: number
  readonly statistics: ReadonlyMap<string, RawStatistics>
}

/**
 * Reads the answer of COPY with RETURN_STATS for one file: `filename, count, file_size_bytes,
 * footer_size_bytes, column_statistics MAP(VARCHAR, MAP(VARCHAR, VARCHAR)), partition_keys`. Not through the
 * package's own conversion, which drops a byte order mark that a bound begins with.
 */
export function readCopyAnswer(chunk: duckdb.DataChunk): CopyAnswer {
  const counts = duckdb.vector_get_data(duckdb.data_chunk_get_vector(chunk, 1), 8)
  const recordCount = Number(new BigUint64Array(counts.buffer, counts.byteOffset, 1)[0])
  const columns = mapEntries(duckdb.data_chunk_get_vector(chunk, 4))
  const paths = texts(columns.keys, columns.count)
  const pairs = mapEntries(columns.values)
  const keys = texts(pairs.keys, pairs.count)
  const values = texts(pairs.values, pairs.count)
  const lists = duckdb.vector_get_data(columns.values, columns.count * 16)
  const ranges = new BigUint64Array(lists.buffer, lists.byteOffset, columns.count * 2)
  const statistics = new Map<string, RawStatistics>()
  for (const [i, path] of paths.entries()) {
    const start = Number(ranges[i * 2])
    const end = start + Number(ranges[i * 2 + 1])
    const ofColumn = new Map<string, string>()
    for (let k = start; k < end; k++) ofColumn.set(keys[k] ?? '', values[k] ?? '')
    statistics.set(path ?? '', ofColumn)
  }
  return { recordCount, statistics }
}

function mapEntries(vector: duckdb.Vector) {
  const entries = duckdb.list_vector_get_child(vector)
  return {
    count: duckdb.list_vector_get_size(vector),
    keys: duckdb.struct_vector_get_child(entries, 0),
    values: duckdb.struct_vector_get_child(entries, 1),
  }
}

function texts(vector: duckdb.Vector, count: number): (string | null)[] {
  const result: (string | null)[] = Array.from({ length: count })
  readStrings(vector, result, 0, count)
  return result
}

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
