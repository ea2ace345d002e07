/**
 * A table without a catalog, for tests of the format: each change is staged, its requirements are checked, its
 * updates applied, as a catalog would.
 */
import type { LoadedTable } from '../iceberg/catalog.ts'
import { createManifestCache } from '../iceberg/scan/plan-files.ts'
import { applyUpdates } from '../iceberg/spec/apply-updates.ts'
import { checkRequirements } from '../iceberg/spec/check-requirements.ts'
import type { DataFile } from '../iceberg/spec/data-file.ts'
import {
  dataFileOf,
  partitionSpecOf,
  schemaOf,
  sortOrderOf,
} from '../iceberg/spec/from-definition.ts'
import { newTableMetadata } from '../iceberg/spec/new-table.ts'
import type { PartitionSpec, Schema, SortOrder } from '../iceberg/spec/table-metadata.ts'
import type { TableUpdate } from '../iceberg/spec/table-updates.ts'
import {
  type SnapshotChange,
  type StagedCommit,
  stageSnapshot,
  type TransactionIo,
} from '../iceberg/transaction/stage-snapshot.ts'
import type { TableDefinition } from '../kernel/columns.ts'
import type { ObjectStore } from '../kernel/ports.ts'
import { createRandom, createSeededIds } from './random.ts'

export type StagedTable = {
  readonly io: TransactionIo
  readonly location: string
  now: number
  loaded(): LoadedTable
  stage(change: Partial<SnapshotChange>): Promise<StagedCommit>
  apply(staged: StagedCommit): void
  change(change: Partial<SnapshotChange>): Promise<StagedCommit>
  update(updates: readonly TableUpdate[]): void
}

export function createStagedTable(options: {
  readonly store: ObjectStore
  readonly schema: Schema
  readonly spec?: PartitionSpec
  readonly sortOrder?: SortOrder
  readonly properties?: Readonly<Record<string, string>>
  readonly location?: string
  readonly seed?: number
}): StagedTable {
  const ids = createSeededIds(createRandom(options.seed ?? 1))
  const location = options.location ?? 'file:///warehouse/traffic/table'
  let metadata = newTableMetadata(
    {
      uuid: ids.uuid(),
      location,
      schema: options.schema,
      ...(options.spec === undefined ? {} : { partitionSpec: options.spec }),
      ...(options.sortOrder === undefined ? {} : { sortOrder: options.sortOrder }),
      ...(options.properties === undefined ? {} : { properties: options.properties }),
    },
    1_000,
  )
  const io: TransactionIo = {
    store: options.store,
    ids,
    clock: { nowMs: () => table.now },
    manifests: createManifestCache(options.store, 64 * 1024 * 1024),
  }
  const table: StagedTable = {
    io,
    location,
    now: 2_000,
    loaded: () => ({
      identifier: { namespace: ['traffic'], name: 'table' },
      metadataLocation: `${location}/metadata/none.json`,
      metadata,
    }),
    stage: (change) =>
      stageSnapshot(io, table.loaded(), {
        operation: 'append',
        add: [],
        remove: new Set(),
        ...change,
      }),
    apply({ commit }) {
      checkRequirements(commit.requirements, metadata)
      metadata = applyUpdates(metadata, commit.updates, table.now)
    },
    async change(change) {
      table.now += 1_000
      const staged = await table.stage(change)
      table.apply(staged)
      return staged
    },
    update(updates) {
      metadata = applyUpdates(metadata, updates, table.now)
    },
  }
  return table
}

export function stagedTableOf(
  definition: TableDefinition,
  options: {
    readonly store: ObjectStore
    readonly properties?: Readonly<Record<string, string>>
    readonly location?: string
  },
): StagedTable {
  return createStagedTable({
    ...options,
    schema: schemaOf(definition),
    spec: partitionSpecOf(definition),
    sortOrder: sortOrderOf(definition),
  })
}

/** A data file that was never written: enough for manifests. */
export function fakeDataFile(
  definition: TableDefinition,
  name: string,
  options: { readonly day?: number; readonly rows?: number; readonly sizeBytes?: number } = {},
): DataFile {
  return dataFileOf(
    definition,
    {
      location: `file:///warehouse/traffic/table/data/${name}.parquet`,
      partitionDay: definition.partitionByDayOf === null ? null : (options.day ?? 20_000),
      recordCount: options.rows ?? 10,
      fileSizeBytes: options.sizeBytes ?? 1_000,
      columns: [],
    },
    { specId: 0, sortOrderId: 1 },
  )
}
