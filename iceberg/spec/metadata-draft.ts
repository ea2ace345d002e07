/** Table metadata in the making: what a commit's updates have made of it so far. */
import type { Snapshot, TableMetadata } from './table-metadata.ts'

export type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Collections are replaced, never changed in place: the base shares them. */
export type MetadataDraft = {
  metadata: Mutable<TableMetadata>
  snapshotsById: Map<bigint, Snapshot>
  addedSnapshotIds: Set<bigint>
  lastAddedSchemaId: number | null
  lastAddedSpecId: number | null
  lastAddedOrderId: number | null
  removedSnapshots: boolean
  /** When the change is: never before what the table had. */
  updatedMs: number
}
