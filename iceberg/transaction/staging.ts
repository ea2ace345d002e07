/** What is carried through the making of one snapshot. */
import type { Clock, IdSource, ObjectStore } from '../../kernel/ports.ts'
import type { ManifestCache } from '../scan/manifest-cache.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'

export type TransactionIo = {
  readonly store: ObjectStore
  readonly ids: IdSource
  readonly clock: Clock
  readonly manifests: ManifestCache
}

/** A snapshot in the making: its files are named, written, and not yet referred to by any table. */
export type Staging = {
  readonly io: TransactionIo
  readonly metadata: TableMetadata
  readonly snapshotId: bigint
  readonly sequenceNumber: number
  /** A fresh location for the next manifest. */
  nextManifestLocation(): string
  /** Locations written so far. */
  readonly written: string[]
}
