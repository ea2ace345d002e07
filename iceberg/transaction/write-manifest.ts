/** Writes one manifest of a snapshot that is being staged, and says of it what the manifest list must. */
import { encodeManifest } from '../codec/manifest.ts'
import { compareSingleValues, encodeSingleValue, type SingleValue } from '../codec/single-value.ts'
import type { FieldSummary, ManifestEntry, ManifestFile } from '../spec/data-file.ts'
import { currentSchema, partitionSpecById, partitionTypes } from '../spec/schema.ts'
import type { IcebergType } from '../spec/table-metadata.ts'
import type { Staging } from './staging.ts'

export async function writeManifest(
  staging: Staging,
  specId: number,
  content: ManifestFile['content'],
  entries: readonly ManifestEntry[],
): Promise<ManifestFile> {
  const { metadata, io } = staging
  const spec = partitionSpecById(metadata, specId)
  const types = partitionTypes(metadata.schemas, spec)
  const bytes = await encodeManifest({
    formatVersion: metadata.formatVersion,
    schema: currentSchema(metadata),
    spec,
    partitionTypes: types,
    content,
    entries,
  })
  const manifestPath = staging.nextManifestLocation()
  staging.written.push(manifestPath)
  await io.store.write(manifestPath, bytes)
  const manifest: ManifestFile = {
    manifestPath,
    manifestLength: bytes.length,
    partitionSpecId: specId,
    content,
    sequenceNumber: staging.sequenceNumber,
    addedSnapshotId: staging.snapshotId,
    ...countEntries(entries, staging.sequenceNumber),
    partitions: summarize(entries, types),
  }
  io.manifests.keepManifest(manifest, entries)
  return manifest
}

export type EntryCounts = Pick<
  ManifestFile,
  | 'minSequenceNumber'
  | 'addedFilesCount'
  | 'existingFilesCount'
  | 'deletedFilesCount'
  | 'addedRowsCount'
  | 'existingRowsCount'
  | 'deletedRowsCount'
>

/** `sequenceNumber` is what entries without one inherit. */
export function countEntries(
  entries: readonly ManifestEntry[],
  sequenceNumber: number,
): EntryCounts {
  const files = { added: 0, existing: 0, deleted: 0 }
  const rows = { added: 0, existing: 0, deleted: 0 }
  let minSequenceNumber = Number.POSITIVE_INFINITY
  for (const entry of entries) {
    files[entry.status]++
    rows[entry.status] += entry.dataFile.recordCount
    if (entry.status !== 'deleted') {
      minSequenceNumber = Math.min(minSequenceNumber, entry.sequenceNumber ?? sequenceNumber)
    }
  }
  return {
    minSequenceNumber: Number.isFinite(minSequenceNumber) ? minSequenceNumber : sequenceNumber,
    addedFilesCount: files.added,
    existingFilesCount: files.existing,
    deletedFilesCount: files.deleted,
    addedRowsCount: rows.added,
    existingRowsCount: rows.existing,
    deletedRowsCount: rows.deleted,
  }
}

function summarize(
  entries: readonly ManifestEntry[],
  types: readonly IcebergType[],
): FieldSummary[] {
  return types.map((type, at) => {
    const isFloat = type === 'float' || type === 'double'
    let containsNull = false
    let containsNan = false
    let lower: SingleValue | null = null
    let upper: SingleValue | null = null
    for (const { dataFile } of entries) {
      const value = dataFile.partition[at] ?? null
      if (value === null) containsNull = true
      else if (isFloat && Number.isNaN(value)) containsNan = true
      else {
        if (lower === null || compareSingleValues(value, lower) < 0) lower = value
        if (upper === null || compareSingleValues(value, upper) > 0) upper = value
      }
    }
    return {
      containsNull,
      ...(isFloat ? { containsNan } : {}),
      ...(lower === null ? {} : { lowerBound: encodeSingleValue(type, lower) }),
      ...(upper === null ? {} : { upperBound: encodeSingleValue(type, upper) }),
    }
  })
}
