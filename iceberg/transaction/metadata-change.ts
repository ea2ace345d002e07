/** What an operation that writes no files asks of the catalog, and how it becomes a commit. */
import type { LoadedTable, TableCommit } from '../catalog.ts'
import type { TableRequirement, TableUpdate } from '../spec/table-updates.ts'

export type MetadataChange = {
  readonly requirements: readonly TableRequirement[]
  readonly updates: readonly TableUpdate[]
}

/** Something to commit, with or without a new snapshot. A staged snapshot is one. */
export type PlannedCommit = {
  readonly commit: TableCommit
  /** null where the commit makes no snapshot. */
  readonly snapshotId: bigint | null
  /** Files of this attempt alone: deletable only after a definite loss. */
  readonly written: readonly string[]
}

/** null where the change changes nothing: then there is nothing to commit. */
export function stagedChange(table: LoadedTable, change: MetadataChange): PlannedCommit | null {
  if (change.updates.length === 0) return null
  return {
    commit: { identifier: table.identifier, ...change },
    snapshotId: null,
    written: [],
  }
}
