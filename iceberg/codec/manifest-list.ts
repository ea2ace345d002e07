/**
 * Manifest lists as bytes: reads and writes format v1 and v2 (Iceberg spec, "Manifest Lists").
 * In v1 the counts are optional; a count that isn't there is −1 here, "unknown", so that nothing takes it for 0.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { FieldSummary, ManifestFile } from '../spec/data-file.ts'
import { decodeAvroContainer, encodeAvroContainer } from './avro-container.ts'
import { readerTypeOf } from './avro-types.ts'
import { manifestListSchemaText } from './manifest-avro.ts'

export const unknownCount = -1

type WireSummary = {
  contains_null: boolean
  contains_nan?: boolean | null
  lower_bound?: Uint8Array | null
  upper_bound?: Uint8Array | null
}

type WireManifestFile = {
  manifest_path: string
  manifest_length: number
  partition_spec_id: number
  content?: number
  sequence_number?: number
  min_sequence_number?: number
  added_snapshot_id?: bigint | null
  added_files_count?: number | null
  existing_files_count?: number | null
  deleted_files_count?: number | null
  added_rows_count?: number | null
  existing_rows_count?: number | null
  deleted_rows_count?: number | null
  partitions?: WireSummary[] | null
  key_metadata?: Uint8Array | null
}

export async function encodeManifestList(options: {
  readonly formatVersion: number
  readonly snapshotId: bigint
  readonly parentSnapshotId: bigint | null
  readonly sequenceNumber: number
  readonly manifests: readonly ManifestFile[]
}): Promise<Buffer> {
  const schemaText = manifestListSchemaText(options.formatVersion)
  return encodeAvroContainer({
    schemaText,
    type: readerTypeOf(schemaText),
    metadata: {
      'snapshot-id': String(options.snapshotId),
      'parent-snapshot-id': String(options.parentSnapshotId),
      ...(options.formatVersion === 1 ? {} : { 'sequence-number': String(options.sequenceNumber) }),
      'format-version': String(options.formatVersion),
    },
    records: options.manifests.map(toWire),
  })
}

export async function decodeManifestList(
  bytes: Uint8Array,
  location: string,
): Promise<ManifestFile[]> {
  const container = await decodeAvroContainer(bytes, location)
  return (container.records as WireManifestFile[]).map((record) => fromWire(record, location))
}

function toWire(manifest: ManifestFile): WireManifestFile {
  return {
    manifest_path: manifest.manifestPath,
    manifest_length: manifest.manifestLength,
    partition_spec_id: manifest.partitionSpecId,
    content: manifest.content === 'data' ? 0 : 1,
    sequence_number: manifest.sequenceNumber,
    min_sequence_number: manifest.minSequenceNumber,
    added_snapshot_id: manifest.addedSnapshotId,
    added_files_count: manifest.addedFilesCount,
    existing_files_count: manifest.existingFilesCount,
    deleted_files_count: manifest.deletedFilesCount,
    added_rows_count: manifest.addedRowsCount,
    existing_rows_count: manifest.existingRowsCount,
    deleted_rows_count: manifest.deletedRowsCount,
    partitions:
      manifest.partitions?.map((summary) => ({
        contains_null: summary.containsNull,
        contains_nan: summary.containsNan ?? null,
        lower_bound: bufferOrNull(summary.lowerBound),
        upper_bound: bufferOrNull(summary.upperBound),
      })) ?? null,
    key_metadata: bufferOrNull(manifest.keyMetadata),
  }
}

function fromWire(record: WireManifestFile, location: string): ManifestFile {
  if (record.added_snapshot_id === null || record.added_snapshot_id === undefined) {
    throw new PotokError(
      'DataCorrupt',
      `${location}: a manifest without the snapshot that added it`,
    )
  }
  return {
    manifestPath: record.manifest_path,
    manifestLength: record.manifest_length,
    partitionSpecId: record.partition_spec_id,
    content: record.content === 1 ? 'deletes' : 'data',
    sequenceNumber: record.sequence_number ?? 0,
    minSequenceNumber: record.min_sequence_number ?? 0,
    addedSnapshotId: record.added_snapshot_id,
    addedFilesCount: record.added_files_count ?? unknownCount,
    existingFilesCount: record.existing_files_count ?? unknownCount,
    deletedFilesCount: record.deleted_files_count ?? unknownCount,
    addedRowsCount: record.added_rows_count ?? unknownCount,
    existingRowsCount: record.existing_rows_count ?? unknownCount,
    deletedRowsCount: record.deleted_rows_count ?? unknownCount,
    ...(record.partitions ? { partitions: record.partitions.map(summaryFromWire) } : {}),
    ...(record.key_metadata ? { keyMetadata: record.key_metadata } : {}),
  }
}

function summaryFromWire(summary: WireSummary): FieldSummary {
  return {
    containsNull: summary.contains_null,
    ...(typeof summary.contains_nan === 'boolean' ? { containsNan: summary.contains_nan } : {}),
    ...(summary.lower_bound ? { lowerBound: summary.lower_bound } : {}),
    ...(summary.upper_bound ? { upperBound: summary.upper_bound } : {}),
  }
}

function bufferOrNull(bytes: Uint8Array | undefined): Buffer | null {
  if (bytes === undefined) return null
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
