/**
 * Whether metadata that others wrote hangs together, before it becomes a table or view of ours. What potok
 * writes itself is checked update by update. Wording as the reference implementation's.
 */
import { illegalArgument, validationFailed } from './refusals.ts'
import { mainBranch } from './schema.ts'
import type { TableMetadata } from './table-metadata.ts'
import type { ViewMetadata } from './view-metadata.ts'

export function checkTableMetadata(metadata: TableMetadata): void {
  const { schemas, partitionSpecs, sortOrders, snapshots, currentSnapshotId, refs } = metadata
  if (!schemas.some((one) => one.schemaId === metadata.currentSchemaId)) {
    throw illegalArgument(
      `Cannot find schema with current-schema-id=${metadata.currentSchemaId} from schemas`,
    )
  }
  if (!partitionSpecs.some((one) => one.specId === metadata.defaultSpecId)) {
    throw illegalArgument(
      `Cannot find partition spec with default-spec-id=${metadata.defaultSpecId}`,
    )
  }
  if (!sortOrders.some((one) => one.orderId === metadata.defaultSortOrderId)) {
    throw illegalArgument(
      `Cannot find sort order with default-sort-order-id=${metadata.defaultSortOrderId}`,
    )
  }
  const ids = new Set(snapshots.map((snapshot) => snapshot.snapshotId))
  if (currentSnapshotId !== null && !ids.has(currentSnapshotId)) {
    throw illegalArgument('Invalid table metadata: Cannot find current version')
  }
  for (const [name, ref] of Object.entries(refs)) {
    if (!ids.has(ref.snapshotId)) {
      throw illegalArgument(
        `Snapshot for reference ${name} does not exist in the existing snapshots list`,
      )
    }
  }
  const main = refs[mainBranch]
  if (main !== undefined && main.snapshotId !== currentSnapshotId) {
    throw illegalArgument(
      `Current snapshot ID does not match main branch (${currentSnapshotId} != ${main.snapshotId})`,
    )
  }
  const ahead = snapshots.find((one) => one.sequenceNumber > metadata.lastSequenceNumber)
  if (metadata.formatVersion > 1 && ahead !== undefined) {
    throw validationFailed(
      `Invalid snapshot with sequence number ${ahead.sequenceNumber} greater than last sequence number ${metadata.lastSequenceNumber}`,
    )
  }
}

export function checkViewMetadata(view: ViewMetadata): void {
  const current = view.versions.find((version) => version.versionId === view.currentVersionId)
  if (current === undefined) {
    const ids = view.versions.map((version) => version.versionId).join(', ')
    throw illegalArgument(
      `Cannot find current version ${view.currentVersionId} in view versions: [${ids}]`,
    )
  }
  if (!view.schemas.some((schema) => schema.schemaId === current.schemaId)) {
    const ids = view.schemas.map((schema) => schema.schemaId).join(', ')
    throw illegalArgument(
      `Cannot find current schema with id ${current.schemaId} in schemas: [${ids}]`,
    )
  }
}
