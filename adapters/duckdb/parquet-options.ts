/** What a table's properties say of its Parquet files (`write.parquet.*`), as options of DuckDB's COPY. */
import { PotokError } from '../../kernel/errors.ts'

const codecProperty = 'write.parquet.compression-codec'
const levelProperty = 'write.parquet.compression-level'
const rowGroupProperty = 'write.parquet.row-group-size-bytes'
const rowGroupBytesDefault = 128 * 1024 * 1024
/** Also a limit: DuckDB looks at the bytes only after each vector of rows. */
const rowGroupRows = 122_880
const zstdLevelDefault = 3

const codecs: Readonly<Record<string, string>> = {
  zstd: 'zstd',
  gzip: 'gzip',
  snappy: 'snappy',
  lz4: 'lz4_raw',
  lz4_raw: 'lz4_raw',
  brotli: 'brotli',
  uncompressed: 'uncompressed',
}

export function parquetOptions(properties: Readonly<Record<string, string>>): string {
  const codec = codecs[(properties[codecProperty] ?? 'zstd').toLowerCase()]
  if (codec === undefined) throw bad(codecProperty, properties)
  const level = wholeNumber(properties, levelProperty, zstdLevelDefault)
  const rowGroupBytes = wholeNumber(properties, rowGroupProperty, rowGroupBytesDefault)
  return [
    `COMPRESSION ${codec}`,
    // DuckDB takes a level for zstd only.
    ...(codec === 'zstd' ? [`COMPRESSION_LEVEL ${Math.min(level, 22)}`] : []),
    `ROW_GROUP_SIZE ${rowGroupRows}`,
    `ROW_GROUP_SIZE_BYTES ${rowGroupBytes}`,
  ].join(', ')
}

function wholeNumber(
  properties: Readonly<Record<string, string>>,
  key: string,
  fallback: number,
): number {
  const text = properties[key]
  if (text === undefined || text === 'null') return fallback
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw bad(key, properties)
  return value
}

function bad(key: string, properties: Readonly<Record<string, string>>): PotokError {
  return new PotokError(
    'InvalidInput',
    `the table property ${key} is not valid: ${String(properties[key])}`,
  )
}
