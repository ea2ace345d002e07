/**
 * The port `TableReader`: rows of any Iceberg table, whoever wrote it. Implemented by
 * `adapters/duckdb/duckdb-table-reader.ts`.
 *
 * Rows are those of the snapshot with its deletes applied, and exactly those that pass the filter. They come in
 * batches, in no promised order; memory is bounded by a batch and by what the engine may take. What a reader
 * doesn't understand (files other than Parquet, format v3) is refused by name before the first row.
 */
import type { SingleValue } from './codec/single-value.ts'
import type { ScanFilter } from './scan/scan-filter.ts'
import type { SnapshotSelector } from './scan/select-snapshot.ts'
import type { Schema, TableMetadata } from './spec/table-metadata.ts'

/**
 * Primitives as in `codec/single-value.ts`; longs, decimals (unscaled) and timestamps outside the safe integers
 * as bigint. A list is its elements, a struct its fields in the order of the schema, a map its entries as
 * [key, value].
 */
export type RowValue = SingleValue | null | readonly RowValue[]

/** Rows as columns, in the order of the scan's schema. */
export type RowBatch = {
  readonly rowCount: number
  readonly columns: readonly (readonly RowValue[])[]
}

export type ReadRequest = {
  /** Else the head of main. */
  readonly snapshot?: SnapshotSelector
  /** Names of the top level; else all of them. */
  readonly columns?: readonly string[]
  readonly filter?: ScanFilter
}

export type TableScan = {
  readonly snapshotId: bigint | null
  /** The columns that were asked for, as the snapshot's schema has them. */
  readonly schema: Schema
  /** Reads when it is iterated, once. Ending early frees what it holds. */
  batches(): AsyncIterable<RowBatch>
}

export interface TableReader {
  /** Plans: NotFound for an unknown snapshot, InvalidInput for an unknown column, Unsupported as above. */
  open(metadata: TableMetadata, request?: ReadRequest): Promise<TableScan>
}
