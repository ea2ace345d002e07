/**
 * `rollup_5m`, `events` and `cameras` in memory, behind the ports that the API reads them through: catalog,
 * scanner of live files, Parquet reader. For tests of the read model, the routes and the dashboard: rows are
 * made of speeds, with the kernel's sums. Counts reads, so that tests can say what was read and what not.
 */
import type { Catalog, LoadedTable, TableIdentifier } from '../iceberg/catalog.ts'
import { encodePosition, positionKey } from '../iceberg/sink/positions.ts'
import { partitionSpecOf, schemaOf, sortOrderOf } from '../iceberg/spec/from-definition.ts'
import type { Snapshot, SnapshotOperation, TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { ColumnBatch } from '../kernel/columns.ts'
import { PotokError } from '../kernel/errors.ts'
import { addDetection, createSums, paceSumOf } from '../kernel/partial-sums.ts'
import type { ParquetReader } from '../kernel/ports.ts'
import {
  allTables,
  eventsTable,
  namespaceName,
  rollup5mTable,
  summaryOffsetsKey,
} from '../kernel/tables.ts'
import { dayOfUs } from '../kernel/time.ts'

export type FakeRollupRow = {
  readonly camera: string
  readonly startUs: number
  readonly speedsKmh: readonly number[]
  /** Exact with this revision; left out: provisional. */
  readonly revision?: number
  readonly sourceSnapshotId?: bigint
  readonly computedAtUs?: number
}

type FakeFile = {
  readonly path: string
  readonly day: number
  readonly sequenceNumber: number
  readonly snapshotId: bigint
  readonly timeUsMin: number
  readonly rows: readonly FakeRollupRow[]
  readonly cameras: readonly string[]
}

type FakeTable = { metadata: TableMetadata; files: FakeFile[] }

type ScannedFile = {
  readonly path: string
  readonly day: number
  readonly sequenceNumber: number
  readonly timeUsMin: number
}

export class FakeTables {
  nowMs = Date.UTC(2025, 3, 6, 12)
  /** Set to make every read fail. */
  readError: Error | null = null
  /** Resolves before each read of rows gives its result. */
  beforeRead: () => Promise<void> = () => Promise.resolve()
  readonly reads: { readonly paths: readonly string[]; readonly camera: string | null }[] = []
  readonly distinctReads: (readonly string[])[] = []
  readonly tables = new Map<string, FakeTable>()
  #version = 0
  #nextId = 1_000n

  constructor() {
    for (const definition of allTables) {
      this.tables.set(definition.name, {
        files: [],
        metadata: {
          formatVersion: 2,
          tableUuid: definition.name,
          location: `file:///warehouse/traffic/${definition.name}`,
          lastSequenceNumber: 0,
          lastUpdatedMs: this.nowMs,
          lastColumnId: 100,
          schemas: [schemaOf(definition)],
          currentSchemaId: 0,
          partitionSpecs: [partitionSpecOf(definition)],
          defaultSpecId: 0,
          lastPartitionId: 1_000,
          sortOrders: [sortOrderOf(definition)],
          defaultSortOrderId: 1,
          properties: {},
          currentSnapshotId: null,
          snapshots: [],
          snapshotLog: [],
          metadataLog: [],
          refs: {},
          statistics: [],
          partitionStatistics: [],
        },
      })
    }
  }

  /** One commit of provisional or exact rows; a file per day. */
  appendRollup(rows: readonly FakeRollupRow[]): void {
    this.#commit(rollup5mTable.name, 'append', this.#rollupFiles(rows), () => true)
  }

  /** An exact run: the days' files go, these rows come. */
  replaceRollupDays(
    days: readonly number[],
    rows: readonly FakeRollupRow[],
    properties: Readonly<Record<string, string>> = {},
  ): void {
    this.setProperties(rollup5mTable.name, properties)
    const files = this.#rollupFiles(rows)
    this.#commit(rollup5mTable.name, 'overwrite', files, ({ day }) => !days.includes(day))
  }

  /** A commit of the writer: which cameras have events in it, from which instant on. Gives its sequence number. */
  appendEvents(fromUs: number, cameras: readonly string[]): number {
    const file = {
      path: this.#path(eventsTable.name),
      day: dayOfUs(fromUs),
      timeUsMin: fromUs,
      rows: [],
      cameras,
    }
    this.#commit(eventsTable.name, 'append', [file], () => true)
    return this.#table(eventsTable.name).metadata.lastSequenceNumber
  }

  setProperties(table: string, properties: Readonly<Record<string, string>>): void {
    const { metadata } = this.#table(table)
    this.#set(table, { ...metadata, properties: { ...metadata.properties, ...properties } })
  }

  /** Positions of both sinks: offset and greatest event time per log partition. */
  setPositions(positions: readonly { nextOffset: number; eventTimeUsMax: number | null }[]): void {
    const properties = Object.fromEntries(
      positions.map((position, logPartition) => [
        positionKey(logPartition),
        encodePosition({
          clusterId: 'fake',
          topic: 'events',
          topicId: 'fake',
          logEpoch: 0,
          ...position,
        }),
      ]),
    )
    this.setProperties(rollup5mTable.name, properties)
    this.setProperties(eventsTable.name, properties)
  }

  readonly catalog: Pick<Catalog, 'loadTable' | 'version'> & Catalog = {
    features: { assertProperty: true },
    loadTable: async (identifier: TableIdentifier): Promise<LoadedTable> => ({
      identifier: { namespace: [namespaceName], name: identifier.name },
      metadataLocation: `${identifier.name}-${this.#version}`,
      metadata: this.#table(identifier.name).metadata,
    }),
    version: async (_tables: readonly TableIdentifier[]) => String(this.#version),
  } as Catalog

  readonly scanner = {
    all: async (metadata: TableMetadata): Promise<ScannedFile[]> =>
      this.#table(metadata.tableUuid).files,
    addedBy: async (metadata: TableMetadata, ids: ReadonlySet<bigint>): Promise<ScannedFile[]> =>
      this.#table(metadata.tableUuid).files.filter(({ snapshotId }) => ids.has(snapshotId)),
  }

  readonly reader: ParquetReader = {
    read: async (_definition, locations, _columns, filter) => {
      this.reads.push({ paths: locations, camera: filter?.camera ?? null })
      if (this.readError !== null) throw this.readError
      const rows = this.#filesAt(locations).flatMap((file) => file.rows)
      await this.beforeRead()
      return rollupBatch(
        filter === undefined ? rows : rows.filter(({ camera }) => camera === filter.camera),
      )
    },
    distinct: async (locations) => {
      this.distinctReads.push(locations)
      return [...new Set(this.#filesAt(locations).flatMap(({ cameras }) => cameras))]
    },
    close: async () => {},
  }

  #filesAt(locations: readonly string[]): FakeFile[] {
    const byPath = new Map(
      [...this.tables.values()].flatMap(({ files }) => files).map((file) => [file.path, file]),
    )
    return locations.map((location) => {
      const file = byPath.get(location)
      if (file === undefined) throw new PotokError('NotFound', `no file ${location}`)
      return file
    })
  }

  #rollupFiles(rows: readonly FakeRollupRow[]) {
    return [...Map.groupBy(rows, ({ startUs }) => dayOfUs(startUs))].map(([day, dayRows]) => ({
      path: this.#path(rollup5mTable.name),
      day,
      timeUsMin: dayRows.reduce((least, { startUs }) => Math.min(least, startUs), Infinity),
      rows: dayRows,
      cameras: [...new Set(dayRows.map(({ camera }) => camera))],
    }))
  }

  #commit(
    table: string,
    operation: SnapshotOperation,
    added: readonly Omit<FakeFile, 'sequenceNumber' | 'snapshotId'>[],
    isKept: (file: FakeFile) => boolean,
  ): void {
    const { metadata, files } = this.#table(table)
    const snapshotId = this.#nextId++
    const sequenceNumber = metadata.lastSequenceNumber + 1
    const snapshot: Snapshot = {
      snapshotId,
      ...(metadata.currentSnapshotId === null
        ? {}
        : { parentSnapshotId: metadata.currentSnapshotId }),
      sequenceNumber,
      timestampMs: this.nowMs,
      manifestList: '',
      summary: { operation, ...(operation === 'append' ? { [summaryOffsetsKey]: '{}' } : {}) },
    }
    this.#table(table).files = [
      ...files.filter(isKept),
      ...added.map((file) => ({ ...file, snapshotId, sequenceNumber })),
    ]
    this.#set(table, {
      ...metadata,
      currentSnapshotId: snapshotId,
      lastSequenceNumber: sequenceNumber,
      lastUpdatedMs: this.nowMs,
      snapshots: [...metadata.snapshots, snapshot],
      refs: { main: { snapshotId, type: 'branch' } },
    })
  }

  #path(table: string): string {
    return `file:///warehouse/${table}/${this.#nextId++}.parquet`
  }

  #table(name: string): FakeTable {
    const table = this.tables.get(name)
    if (table === undefined) throw new PotokError('NotFound', `no table ${name}`)
    return table
  }

  #set(name: string, metadata: TableMetadata): void {
    this.#table(name).metadata = metadata
    this.#version++
  }
}

export function rollupBatch(rows: readonly FakeRollupRow[]): ColumnBatch {
  const sums = rows.map(({ speedsKmh }) => {
    const sum = createSums()
    for (const speed of speedsKmh) addDetection(sum, Math.round(speed * 1_000), false, null)
    return sum
  })
  const isProvisional = Uint8Array.from(rows, ({ revision }) => (revision === undefined ? 1 : 0))
  return {
    rowCount: rows.length,
    columns: {
      kvfv_id: { type: 'string', values: rows.map(({ camera }) => camera) },
      window_start: {
        type: 'timestamptz',
        values: Float64Array.from(rows, ({ startUs }) => startUs),
      },
      event_count: longs(sums.map(({ eventCount }) => eventCount)),
      speed_sum_milli: longs(sums.map(({ speedSumMilli }) => speedSumMilli)),
      pace_sum: longs(sums.map(paceSumOf)),
      standing_count: longs(sums.map(({ standingCount }) => standingCount)),
      speed_min_milli: longs(sums.map(({ speedMinMilli }) => speedMinMilli)),
      speed_max_milli: longs(sums.map(({ speedMaxMilli }) => speedMaxMilli)),
      is_exact: { type: 'boolean', values: isProvisional.map((flag) => 1 - flag) },
      source_snapshot_id: {
        ...longs(rows.map(({ sourceSnapshotId }) => sourceSnapshotId ?? 77n)),
        nulls: isProvisional,
      },
      revision: {
        type: 'int',
        values: Int32Array.from(rows, ({ revision }) => revision ?? 0),
        nulls: isProvisional,
      },
      computed_at: {
        type: 'timestamptz',
        values: Float64Array.from(rows, ({ startUs, computedAtUs }) => computedAtUs ?? startUs),
      },
    },
  }
}

function longs(values: readonly (number | bigint)[]) {
  return { type: 'long' as const, values: BigInt64Array.from(values, BigInt) }
}
