/**
 * Rows as columns, and what a table of potok looks like. Plain data: `iceberg/` turns a definition into an
 * Iceberg schema, spec and sort order; `adapters/` turn a batch into Parquet.
 */
export type ColumnType =
  | 'boolean'
  | 'int'
  | 'long'
  | 'double'
  | 'string'
  | 'timestamptz'
  | 'date'
  | 'uuid'
  | 'map<int,long>'

export type ColumnDefinition = {
  /** Iceberg field id: never reused, never changed. */
  readonly id: number
  readonly name: string
  readonly type: ColumnType
  readonly required: boolean
  /** Meaning and unit; becomes the column's doc in the Iceberg schema and the table reference. */
  readonly doc: string
  /** Field ids of key and value, for a map. */
  readonly mapIds?: { readonly key: number; readonly value: number }
}

export type TableDefinition = {
  readonly name: string
  readonly doc: string
  readonly columns: readonly ColumnDefinition[]
  /** Partition `day(column)`; the partition field has id 1000 and is called `<column>_day`. */
  readonly partitionByDayOf: string | null
  /** Ascending, nulls last. */
  readonly sortBy: readonly string[]
  /** Rows in a Parquet row group: small where one camera is read out of many. */
  readonly rowGroupRows: number
}

/** One column. `nulls[i] === 1` marks a null; the value beside it is ignored. */
export type Column =
  | { readonly type: 'boolean'; readonly values: Uint8Array; readonly nulls?: Uint8Array }
  | { readonly type: 'int' | 'date'; readonly values: Int32Array; readonly nulls?: Uint8Array }
  | { readonly type: 'long'; readonly values: BigInt64Array; readonly nulls?: Uint8Array }
  | { readonly type: 'double'; readonly values: Float64Array; readonly nulls?: Uint8Array }
  /** Epoch microseconds, safe integers. */
  | { readonly type: 'timestamptz'; readonly values: Float64Array; readonly nulls?: Uint8Array }
  | { readonly type: 'string'; readonly values: readonly (string | null)[] }
  /** 16 bytes a row. */
  | { readonly type: 'uuid'; readonly values: Uint8Array; readonly nulls?: Uint8Array }
  /** Entries of row i: `ends[i-1]` (0 for the first) up to `ends[i]`. */
  | {
      readonly type: 'map<int,long>'
      readonly ends: Uint32Array
      readonly keys: Int32Array
      readonly values: BigInt64Array
      readonly nulls?: Uint8Array
    }

export type ColumnBatch = {
  readonly rowCount: number
  readonly columns: Readonly<Record<string, Column>>
}

/**
 * Texts of a string column on their way into a file, well-formed UTF-8 one after another: that of row i is
 * `bytes` from `ends[i-1]` (0 for the first) up to `ends[i]`. No string per row, nothing for V8 to collect.
 */
export type Utf8Column = {
  readonly type: 'utf8'
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
  readonly nulls?: Uint8Array
}

/** What is to be written: a batch whose texts may be bytes. */
export type WritableBatch = {
  readonly rowCount: number
  readonly columns: Readonly<Record<string, Column | Utf8Column>>
}

/** A bound as a plain value; timestamptz as microseconds, uuid as 16 bytes. */
export type BoundValue = boolean | number | bigint | string | Uint8Array

export type ColumnStats = {
  readonly fieldId: number
  /** Compressed bytes in the file. */
  readonly sizeBytes: number
  /** Values including nulls. */
  readonly valueCount: number
  readonly nullCount: number
  readonly nanCount?: number
  /** Least and greatest non-null value, null where there is none. Never too narrow. */
  readonly lower: BoundValue | null
  readonly upper: BoundValue | null
}
