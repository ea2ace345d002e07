/**
 * Table metadata as the Iceberg specification (format v1, v2) names it, in memory. The wire form is in
 * `metadata-json.ts`. Snapshot ids are 64-bit, hence bigint; sequence numbers and ids of schemas, specs,
 * orders and fields are safe integers.
 */
export type PrimitiveType = string // 'boolean' | 'int' | 'long' | … | 'decimal(p,s)' | 'fixed[n]'

export type IcebergType =
  | PrimitiveType
  | StructType
  | {
      readonly type: 'list'
      readonly elementId: number
      readonly element: IcebergType
      readonly elementRequired: boolean
    }
  | {
      readonly type: 'map'
      readonly keyId: number
      readonly key: IcebergType
      readonly valueId: number
      readonly value: IcebergType
      readonly valueRequired: boolean
    }

export type StructType = { readonly type: 'struct'; readonly fields: readonly NestedField[] }

export type NestedField = {
  readonly id: number
  readonly name: string
  readonly required: boolean
  readonly type: IcebergType
  readonly doc?: string
  readonly initialDefault?: unknown
  readonly writeDefault?: unknown
}

export type Schema = StructType & {
  readonly schemaId: number
  readonly identifierFieldIds?: readonly number[]
}

export type PartitionField = {
  readonly sourceId: number
  readonly fieldId: number
  readonly name: string
  /** `identity`, `bucket[16]`, `truncate[4]`, `year`, `month`, `day`, `hour`, `void`. */
  readonly transform: string
  /** What else the wire had (several sources, format v3): kept as it was. */
  readonly unknownFields?: Readonly<Record<string, unknown>>
}
export type PartitionSpec = { readonly specId: number; readonly fields: readonly PartitionField[] }

export type SortField = {
  readonly transform: string
  readonly sourceId: number
  readonly direction: 'asc' | 'desc'
  readonly nullOrder: 'nulls-first' | 'nulls-last'
  /** As of a partition field. */
  readonly unknownFields?: Readonly<Record<string, unknown>>
}
export type SortOrder = { readonly orderId: number; readonly fields: readonly SortField[] }

export type SnapshotOperation = 'append' | 'replace' | 'overwrite' | 'delete'

export type Snapshot = {
  readonly snapshotId: bigint
  readonly parentSnapshotId?: bigint
  readonly sequenceNumber: number
  readonly timestampMs: number
  readonly manifestList: string
  /** `operation` and everything else, as the wire has it. */
  readonly summary: Readonly<Record<string, string>> & { readonly operation: SnapshotOperation }
  readonly schemaId?: number
  /** What else the wire had (format v3): kept as it was. */
  readonly unknownFields?: Readonly<Record<string, unknown>>
}

export type SnapshotRef = {
  readonly snapshotId: bigint
  readonly type: 'branch' | 'tag'
  readonly minSnapshotsToKeep?: number
  readonly maxSnapshotAgeMs?: number
  readonly maxRefAgeMs?: number
}

export type TableMetadata = {
  readonly formatVersion: number
  readonly tableUuid: string
  readonly location: string
  readonly lastSequenceNumber: number
  readonly lastUpdatedMs: number
  readonly lastColumnId: number
  readonly schemas: readonly Schema[]
  readonly currentSchemaId: number
  readonly partitionSpecs: readonly PartitionSpec[]
  readonly defaultSpecId: number
  readonly lastPartitionId: number
  readonly sortOrders: readonly SortOrder[]
  readonly defaultSortOrderId: number
  readonly properties: Readonly<Record<string, string>>
  readonly currentSnapshotId: bigint | null
  readonly snapshots: readonly Snapshot[]
  readonly snapshotLog: readonly { readonly snapshotId: bigint; readonly timestampMs: number }[]
  readonly metadataLog: readonly { readonly metadataFile: string; readonly timestampMs: number }[]
  readonly refs: Readonly<Record<string, SnapshotRef>>
  /** Statistics files and whatever else the wire had: kept as it was. */
  readonly statistics: readonly Readonly<Record<string, unknown>>[]
  readonly partitionStatistics: readonly Readonly<Record<string, unknown>>[]
  readonly unknownFields?: Readonly<Record<string, unknown>>
}
