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
import type { Row, RowValue } from './spec/rows.ts'
import type { IcebergType, Schema, StructType, TableMetadata } from './spec/table-metadata.ts'

/**
 * Primitives as in `codec/single-value.ts`; longs, decimals (unscaled) and timestamps outside the safe integers
 * as bigint. A list is its elements, a struct its fields in the order of the schema, a map its entries as
 * [key, value].
 */
export type CellValue = SingleValue | null | readonly CellValue[]

/** Rows as columns, in the order of the scan's schema. */
export type RowBatch = {
  readonly rowCount: number
  readonly columns: readonly (readonly CellValue[])[]
}

export type ReadRequest = {
  /** Else the head of main. */
  readonly snapshot?: SnapshotSelector
  /** Names of the top level; else all of them. */
  readonly columns?: readonly string[]
  readonly filter?: ScanFilter
  /** Rows of these data files only, by path. */
  readonly files?: ReadonlySet<string>
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

/** The rows of a batch as `spec/rows.ts` has them: what a writer takes. */
export function rowsOfBatch(schema: StructType, batch: RowBatch): Row[] {
  return Array.from({ length: batch.rowCount }, (_, at) =>
    rowOf(
      schema,
      batch.columns.map((values) => values[at] ?? null),
    ),
  )
}

function rowOf(struct: StructType, cells: readonly CellValue[]): Row {
  return Object.fromEntries(
    struct.fields.map(({ name, type }, i) => [name, rowValueOf(type, cells[i] ?? null)]),
  )
}

function rowValueOf(type: IcebergType, cell: CellValue): RowValue {
  if (cell === null || typeof type === 'string') return cell
  const cells = cell as readonly CellValue[]
  switch (type.type) {
    case 'struct':
      return rowOf(type, cells)
    case 'list':
      return cells.map((each) => rowValueOf(type.element, each))
    case 'map':
      return new Map(
        (cells as readonly (readonly CellValue[])[]).map(([key, value]) => [
          rowValueOf(type.key, key ?? null),
          rowValueOf(type.value, value ?? null),
        ]),
      )
  }
}
