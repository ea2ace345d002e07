/**
 * Data and delete files that were never written: what is in them is known here alone. Enough to test operations
 * on a table by what a reader would see, without Parquet. The table has `id` and `part` and is partitioned by
 * `part`; a scan reads manifests from the store, as a stranger would.
 */
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { assignDeletes, deleteFilePathId } from '../iceberg/scan/assign-deletes.ts'
import { createManifestCache } from '../iceberg/scan/manifest-cache.ts'
import type { DataFile } from '../iceberg/spec/data-file.ts'
import { fileMetrics } from '../iceberg/spec/file-metrics.ts'
import { metricsModes } from '../iceberg/spec/metrics-modes.ts'
import { checkedRow } from '../iceberg/spec/rows.ts'
import type { Schema } from '../iceberg/spec/table-metadata.ts'
import { liveFiles } from '../iceberg/transaction/live-entries.ts'
import type { PlannedCommit } from '../iceberg/transaction/metadata-change.ts'
import { createStagedTable, type StagedTable } from './staged-table.ts'

const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [
    { id: 1, name: 'id', required: true, type: 'long' },
    { id: 2, name: 'part', required: true, type: 'int' },
  ],
}

export type ImaginedTable = StagedTable & {
  dataFile(part: number, ids: readonly bigint[]): DataFile
  positionDeletes(part: number, rows: readonly (readonly [DataFile, number])[]): DataFile
  equalityDeletes(part: number, ids: readonly bigint[]): DataFile
  /** Ids of the rows in a data file. */
  idsIn(file: DataFile): readonly bigint[]
  /** Applies what an operation planned; null is nothing. */
  commit(planned: PlannedCommit | null): void
  live(snapshotId: bigint | null): Promise<DataFile[]>
  /** Ids of the rows that a reader sees, sorted. */
  scan(snapshotId: bigint | null): Promise<bigint[]>
  head(branch?: string): bigint | null
}

export function createImaginedTable(properties: Record<string, string> = {}): ImaginedTable {
  const table = createStagedTable({
    store: createMemoryObjectStore(),
    schema,
    spec: {
      specId: 0,
      fields: [{ sourceId: 2, fieldId: 1000, name: 'part', transform: 'identity' }],
    },
    properties,
  })
  const rowsIn = new Map<string, readonly bigint[]>()
  const positionsIn = new Map<string, readonly (readonly [string, number])[]>()
  let count = 0
  const file = (content: DataFile['content'], part: number, recordCount: number): DataFile => ({
    content,
    filePath: `${table.location}/data/part=${part}/${content}-${String(count++).padStart(6, '0')}.parquet`,
    fileFormat: 'PARQUET',
    specId: 0,
    partition: [part],
    recordCount,
    fileSizeBytes: 1_000,
  })

  return Object.assign(table, {
    dataFile(part: number, ids: readonly bigint[]) {
      const rows = ids.map((id) => checkedRow(schema, { id, part }))
      const modes = metricsModes({}, schema, { orderId: 0, fields: [] })
      const { nanValueCounts: _none, ...metrics } = fileMetrics(schema, modes, rows)
      const made = { ...file('data', part, ids.length), ...metrics }
      rowsIn.set(made.filePath, ids)
      return made
    },
    positionDeletes(part: number, rows: readonly (readonly [DataFile, number])[]) {
      const paths = rows.map(([of]) => of.filePath).toSorted()
      const bound = (path: string | undefined) =>
        new Map([[deleteFilePathId, Buffer.from(path ?? '')]])
      const made: DataFile = {
        ...file('position-deletes', part, rows.length),
        lowerBounds: bound(paths[0]),
        upperBounds: bound(paths.at(-1)),
      }
      positionsIn.set(
        made.filePath,
        rows.map(([of, position]) => [of.filePath, position] as const),
      )
      return made
    },
    equalityDeletes(part: number, ids: readonly bigint[]) {
      const made = { ...file('equality-deletes', part, ids.length), equalityIds: [1] }
      rowsIn.set(made.filePath, ids)
      return made
    },
    idsIn: (of: DataFile) => rowsIn.get(of.filePath) ?? [],
    commit(planned: PlannedCommit | null) {
      if (planned === null) return
      table.now += 1_000
      table.apply({ ...planned, snapshotId: planned.snapshotId ?? 0n })
    },
    async live(snapshotId: bigint | null) {
      const cache = createManifestCache(table.io.store, 1e6)
      const files: DataFile[] = []
      for await (const { dataFile } of liveFiles(
        cache,
        table.loaded().metadata,
        snapshotId,
        'data',
      )) {
        files.push(dataFile)
      }
      return files
    },
    async scan(snapshotId: bigint | null) {
      const cache = createManifestCache(table.io.store, 1e6)
      const { metadata } = table.loaded()
      const deletes = await Array.fromAsync(liveFiles(cache, metadata, snapshotId, 'deletes'))
      const files = await Array.fromAsync(liveFiles(cache, metadata, snapshotId, 'data'))
      const ids: bigint[] = []
      for (const task of assignDeletes(metadata, files, deletes)) {
        const path = task.data.dataFile.filePath
        const positions = task.positionDeletes.flatMap(({ dataFile }) =>
          (positionsIn.get(dataFile.filePath) ?? []).flatMap(([of, at]) =>
            of === path ? [at] : [],
          ),
        )
        const keys = task.equalityDeletes.flatMap(
          ({ dataFile }) => rowsIn.get(dataFile.filePath) ?? [],
        )
        for (const [position, id] of (rowsIn.get(path) ?? []).entries()) {
          if (!positions.includes(position) && !keys.includes(id)) ids.push(id)
        }
      }
      return ids.toSorted((a, b) => (a < b ? -1 : 1))
    },
    head: (branch = 'main') => table.loaded().metadata.refs[branch]?.snapshotId ?? null,
  })
}
