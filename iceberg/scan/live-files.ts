/** Live files of a snapshot: entries with the sequence numbers that the manifest list gives them. */
import type { DataFile, ManifestEntry, ManifestFile } from '../spec/data-file.ts'

export type LiveFile = {
  readonly dataFile: DataFile
  /** Data sequence number. */
  readonly sequenceNumber: number
  /** null only for a file that an old foreign writer rewrote without it. */
  readonly fileSequenceNumber: number | null
  /** The snapshot that added it. */
  readonly snapshotId: bigint
  readonly manifestPath: string
}

/** Sequence numbers of an added entry that are null are the manifest's (spec, "Sequence Number Inheritance"). */
export function withInheritance(entry: ManifestEntry, manifest: ManifestFile): ManifestEntry {
  if (entry.sequenceNumber !== null && entry.fileSequenceNumber !== null) return entry
  const inherits = entry.status === 'added' || manifest.sequenceNumber === 0
  if (!inherits) return entry
  return {
    ...entry,
    sequenceNumber: entry.sequenceNumber ?? manifest.sequenceNumber,
    fileSequenceNumber: entry.fileSequenceNumber ?? manifest.sequenceNumber,
  }
}

export function liveFileOf(entry: ManifestEntry, manifest: ManifestFile): LiveFile {
  const resolved = withInheritance(entry, manifest)
  return {
    dataFile: entry.dataFile,
    sequenceNumber: resolved.sequenceNumber ?? manifest.sequenceNumber,
    fileSequenceNumber: resolved.fileSequenceNumber,
    snapshotId: entry.snapshotId,
    manifestPath: manifest.manifestPath,
  }
}
