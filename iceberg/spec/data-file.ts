/** Data files, manifest entries and manifests (Iceberg spec, "Manifests", "Manifest Lists"). */
export type FileContent = 'data' | 'position-deletes' | 'equality-deletes'

/** Partition values in the order of the spec's fields; a day is an int of days, a date likewise. */
export type PartitionValue = boolean | number | bigint | string | Uint8Array | null

export type DataFile = {
  readonly content: FileContent
  readonly filePath: string
  readonly fileFormat: string
  readonly specId: number
  readonly partition: readonly PartitionValue[]
  readonly recordCount: number
  readonly fileSizeBytes: number
  readonly columnSizes?: ReadonlyMap<number, number>
  readonly valueCounts?: ReadonlyMap<number, number>
  readonly nullValueCounts?: ReadonlyMap<number, number>
  readonly nanValueCounts?: ReadonlyMap<number, number>
  /** Single-value serialisation of the spec, by field id. */
  readonly lowerBounds?: ReadonlyMap<number, Uint8Array>
  readonly upperBounds?: ReadonlyMap<number, Uint8Array>
  readonly keyMetadata?: Uint8Array
  readonly splitOffsets?: readonly number[]
  readonly equalityIds?: readonly number[]
  readonly sortOrderId?: number
  /** Of a position delete file: the one data file whose rows it deletes. */
  readonly referencedDataFile?: string
}

export type ManifestEntry = {
  readonly status: 'existing' | 'added' | 'deleted'
  readonly snapshotId: bigint
  /** Data sequence number; null in a manifest that is still to be committed (inherited). */
  readonly sequenceNumber: number | null
  readonly fileSequenceNumber: number | null
  readonly dataFile: DataFile
}

export type FieldSummary = {
  readonly containsNull: boolean
  readonly containsNan?: boolean
  readonly lowerBound?: Uint8Array
  readonly upperBound?: Uint8Array
}

export type ManifestFile = {
  readonly manifestPath: string
  readonly manifestLength: number
  readonly partitionSpecId: number
  readonly content: 'data' | 'deletes'
  readonly sequenceNumber: number
  readonly minSequenceNumber: number
  readonly addedSnapshotId: bigint
  readonly addedFilesCount: number
  readonly existingFilesCount: number
  readonly deletedFilesCount: number
  readonly addedRowsCount: number
  readonly existingRowsCount: number
  readonly deletedRowsCount: number
  readonly partitions?: readonly FieldSummary[]
  readonly keyMetadata?: Uint8Array
}
