/**
 * Time travel: which snapshot a reader means, and by which schema it is read, as the Java client decides. By
 * time the snapshot log counts (what main was then), not parentage: after a rollback the two differ.
 */
import { PotokError } from '../../kernel/errors.ts'
import { currentSchema, mainBranch, mainSnapshotId, snapshotById } from '../spec/schema.ts'
import type { Schema, Snapshot, TableMetadata } from '../spec/table-metadata.ts'

export type SnapshotSelector =
  | { readonly snapshotId: bigint }
  /** What main was at this time (epoch ms). */
  | { readonly asOfMs: number }
  /** A branch or a tag. */
  | { readonly ref: string }

export type SelectedSnapshot = {
  /** null: the table has no snapshot, hence no rows. */
  readonly snapshotId: bigint | null
  readonly schema: Schema
}

export function selectSnapshot(
  metadata: TableMetadata,
  selector: SnapshotSelector = { ref: mainBranch },
): SelectedSnapshot {
  if ('snapshotId' in selector) {
    const snapshot = snapshotById(metadata, selector.snapshotId)
    return { snapshotId: snapshot.snapshotId, schema: schemaOf(metadata, snapshot) }
  }
  if ('asOfMs' in selector) {
    const entry = metadata.snapshotLog.findLast((each) => each.timestampMs <= selector.asOfMs)
    if (entry === undefined) {
      throw notFound(
        metadata,
        `no snapshot is older than ${new Date(selector.asOfMs).toISOString()}`,
      )
    }
    const snapshot = snapshotById(metadata, entry.snapshotId)
    return { snapshotId: snapshot.snapshotId, schema: schemaOf(metadata, snapshot) }
  }
  const ref = metadata.refs[selector.ref]
  if (ref === undefined) {
    if (selector.ref !== mainBranch) throw notFound(metadata, `no branch or tag ${selector.ref}`)
    return { snapshotId: mainSnapshotId(metadata), schema: currentSchema(metadata) }
  }
  // A branch lives on with the table's schema; a tag is a look at the past.
  const schema =
    ref.type === 'branch'
      ? currentSchema(metadata)
      : schemaOf(metadata, snapshotById(metadata, ref.snapshotId))
  return { snapshotId: ref.snapshotId, schema }
}

/** Old snapshots don't say, and the schema may be gone since: then the current one reads them, too. */
function schemaOf(metadata: TableMetadata, snapshot: Snapshot): Schema {
  return (
    metadata.schemas.find((schema) => schema.schemaId === snapshot.schemaId) ??
    currentSchema(metadata)
  )
}

function notFound(metadata: TableMetadata, message: string): PotokError {
  return new PotokError('NotFound', message, { context: { location: metadata.location } })
}
