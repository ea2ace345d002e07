/** What potok's own reader says, in the form in which the outside judges say it. */
import type { SingleValue } from '../../iceberg/codec/single-value.ts'
import type { ScanFilter } from '../../iceberg/scan/scan-filter.ts'
import type { SnapshotSelector } from '../../iceberg/scan/select-snapshot.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { rowsOfBatch, type TableReader } from '../../iceberg/table-reader.ts'
import { type CanonicalRow, canonicalRows, sortedRows } from './canonical-rows.ts'
import type { FilterCase } from './filter-cases.ts'
import type { FilterAnswer } from './judge-filters.ts'

export async function rowsByPotok(
  reader: TableReader,
  metadata: TableMetadata,
  request: {
    readonly columns?: readonly string[]
    readonly filter?: ScanFilter
    readonly snapshot?: SnapshotSelector
  } = {},
): Promise<CanonicalRow[]> {
  const scan = await reader.open(metadata, request)
  const rows: CanonicalRow[] = []
  for await (const batch of scan.batches()) {
    rows.push(...canonicalRows(scan.schema, rowsOfBatch(scan.schema, batch)))
  }
  return sortedRows(rows)
}

export async function filterByPotok(
  reader: TableReader,
  metadata: TableMetadata,
  keys: readonly string[],
  filters: readonly FilterCase[],
): Promise<FilterAnswer[]> {
  const answers: FilterAnswer[] = []
  for (const filter of filters) {
    answers.push(
      await rowsByPotok(reader, metadata, { columns: keys, filter: [predicate(filter)] }),
    )
  }
  return answers
}

function predicate({ path, type, op, value }: FilterCase): ScanFilter[number] {
  const column = path.join('.')
  if (op === 'is-null') return { column, op: 'is null' }
  if (op === 'not-null') return { column, op: 'is not null' }
  return { column, op, value: singleValue(type, value as string | boolean) }
}

function singleValue(type: string, value: string | boolean): SingleValue {
  if (typeof value === 'boolean') return value
  if (type === 'string') return value
  if (type === 'int' || type === 'date') return Number(value)
  if (type === 'float') return Buffer.from(value, 'hex').readFloatBE()
  if (type === 'double') return Buffer.from(value, 'hex').readDoubleBE()
  if (type === 'uuid' || type === 'binary' || type.startsWith('fixed'))
    return new Uint8Array(Buffer.from(value, 'hex'))
  return BigInt(value.replace('.', ''))
}
