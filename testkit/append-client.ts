/**
 * An engine that appends to a table of any catalog, as far as the catalog can see: snapshots with real manifest
 * lists, whose manifests are names only, for no catalog reads them. What would be in them is kept here, so that
 * judges can say which data files live under a snapshot.
 */
import type { LoadedTable, TableCommit } from '../iceberg/catalog.ts'
import { decodeManifestList, encodeManifestList } from '../iceberg/codec/manifest-list.ts'
import type { ManifestFile } from '../iceberg/spec/data-file.ts'
import type { Snapshot, TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { TableRequirement, TableUpdate } from '../iceberg/spec/table-updates.ts'
import type { IdSource, ObjectStore } from '../kernel/ports.ts'

/**
 * How manifests that are there already are merged: not at all, into one of their own (as potok does), or
 * together with what is added (as the Java client does).
 */
export type Merging = 'none' | 'apart' | 'together'

export type AppendClient = {
  /** Without any requirement; the caller adds what it asserts. */
  stage(
    table: LoadedTable,
    options?: { files?: number; merging?: Merging; branch?: string },
  ): Promise<StagedAppend>
  /** Data files under the snapshot, as often as they are there. */
  filesOf(snapshot: Snapshot): Promise<string[]>
}
export type StagedAppend = {
  readonly commit: TableCommit
  readonly snapshot: Snapshot
  /** Data files that it adds. */
  readonly files: readonly string[]
}

const rowsPerFile = 10
const bytesPerFile = 1_000

export function createAppendClient(
  store: Pick<ObjectStore, 'read' | 'write'>,
  ids: IdSource,
): AppendClient {
  /** Live data files by manifest. */
  const contents = new Map<string, readonly string[]>()

  async function listOf(snapshot: Snapshot): Promise<ManifestFile[]> {
    return decodeManifestList(await store.read(snapshot.manifestList), snapshot.manifestList)
  }

  function manifest(
    metadata: TableMetadata,
    snapshotId: bigint,
    added: readonly string[],
    merged: readonly ManifestFile[],
  ): ManifestFile {
    const kept = merged.flatMap(({ manifestPath }) => contents.get(manifestPath) ?? [])
    const manifestPath = `${metadata.location}/metadata/${ids.uuid()}-m0.avro`
    contents.set(manifestPath, [...added, ...kept])
    const isV1 = metadata.formatVersion === 1
    const sequenceNumber = isV1 ? 0 : metadata.lastSequenceNumber + 1
    const oldest = Math.min(sequenceNumber, ...merged.map((one) => one.minSequenceNumber))
    return {
      manifestPath,
      manifestLength: 4_000,
      partitionSpecId: metadata.defaultSpecId,
      content: 'data',
      sequenceNumber,
      minSequenceNumber: oldest,
      addedSnapshotId: snapshotId,
      addedFilesCount: added.length,
      existingFilesCount: kept.length,
      deletedFilesCount: 0,
      addedRowsCount: added.length * rowsPerFile,
      existingRowsCount: kept.length * rowsPerFile,
      deletedRowsCount: 0,
      partitions: [],
    }
  }

  return {
    async stage(table, { files: count = 1, merging = 'none', branch = 'main' } = {}) {
      const { metadata, identifier } = table
      const parentId = metadata.refs[branch]?.snapshotId
      const parent = metadata.snapshots.find(({ snapshotId }) => snapshotId === parentId)
      const before = parent === undefined ? [] : await listOf(parent)
      const snapshotId = ids.snapshotId()
      const files = Array.from({ length: count }, () => `${metadata.location}/data/${ids.uuid()}`)
      const merged = merging === 'none' ? [] : before.slice(0, 3)
      const made =
        merging === 'together'
          ? [manifest(metadata, snapshotId, files, merged)]
          : [
              manifest(metadata, snapshotId, files, []),
              ...(merged.length === 0 ? [] : [manifest(metadata, snapshotId, [], merged)]),
            ]
      const manifests = [...made, ...before.filter((one) => !merged.includes(one))]
      const sequenceNumber = metadata.formatVersion === 1 ? 0 : metadata.lastSequenceNumber + 1
      const manifestList = `${metadata.location}/metadata/snap-${snapshotId}-1-${ids.uuid()}.avro`
      const bytes = await encodeManifestList({
        snapshotId,
        parentSnapshotId: parentId ?? null,
        sequenceNumber,
        manifests,
        formatVersion: metadata.formatVersion,
      })
      await store.write(manifestList, bytes)
      const snapshot: Snapshot = {
        snapshotId,
        ...(parentId === undefined ? {} : { parentSnapshotId: parentId }),
        sequenceNumber,
        timestampMs: Math.max(metadata.lastUpdatedMs, parent?.timestampMs ?? 0),
        manifestList,
        summary: summaryOf(count, made.length, manifests.length, parent),
        schemaId: metadata.currentSchemaId,
      }
      const updates: TableUpdate[] = [
        { action: 'add-snapshot', snapshot },
        { action: 'set-snapshot-ref', refName: branch, type: 'branch', snapshotId },
      ]
      return { commit: { identifier, requirements: [], updates }, snapshot, files }
    },

    async filesOf(snapshot) {
      const manifests = await listOf(snapshot)
      return manifests.flatMap(({ manifestPath }) => {
        const files = contents.get(manifestPath)
        if (files === undefined) throw new RangeError(`nobody wrote ${manifestPath}`)
        return files
      })
    },
  }
}

export function withRequirements(
  commit: TableCommit,
  ...requirements: TableRequirement[]
): TableCommit {
  return { ...commit, requirements: [...commit.requirements, ...requirements] }
}

function summaryOf(
  files: number,
  manifestsMade: number,
  manifests: number,
  parent: Snapshot | undefined,
): Snapshot['summary'] {
  const total = (key: string): number => Number(parent?.summary[key] ?? 0)
  return {
    operation: 'append',
    'added-data-files': String(files),
    'added-records': String(files * rowsPerFile),
    'added-files-size': String(files * bytesPerFile),
    'manifests-created': String(manifestsMade),
    'manifests-kept': String(manifests - manifestsMade),
    'total-data-files': String(total('total-data-files') + files),
    'total-records': String(total('total-records') + files * rowsPerFile),
    'total-files-size': String(total('total-files-size') + files * bytesPerFile),
    'total-delete-files': '0',
    'total-position-deletes': '0',
    'total-equality-deletes': '0',
  }
}
