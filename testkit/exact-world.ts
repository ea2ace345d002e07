/**
 * A small installation for tests of the exact job: real Parquet files, manifests and DuckDB in a temporary
 * folder, a catalog in memory that can lose answers, and hand-moved clock, writer and rollup stream.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type DuckDb, openDuckDb } from '../adapters/duckdb/instance.ts'
import { createDuckDbParquetReader } from '../adapters/duckdb/duckdb-parquet-reader.ts'
import { createDuckDbParquetWriter } from '../adapters/duckdb/duckdb-parquet-writer.ts'
import { createDuckDbExactEngine } from '../adapters/exact-engine/duckdb-exact-engine.ts'
import { createLocalObjectStore } from '../adapters/object-store/local-object-store.ts'
import { createManifestCache, planScan } from '../iceberg/scan/plan-files.ts'
import { encodePosition, positionKey, readPositions } from '../iceberg/sink/positions.ts'
import {
  dataFileOf,
  partitionSpecOf,
  schemaOf,
  sortOrderOf,
} from '../iceberg/spec/from-definition.ts'
import { stageSnapshot } from '../iceberg/transaction/stage-snapshot.ts'
import type { TableDefinition } from '../kernel/columns.ts'
import { PotokError } from '../kernel/errors.ts'
import { type Exactness, readExactness } from '../kernel/exactness.ts'
import type { ObjectStore, WrittenFile } from '../kernel/ports.ts'
import {
  allTables,
  eventsTable,
  recomputeRunsTable,
  rollup1dTable,
  rollup1hTable,
  rollup5mTable,
} from '../kernel/tables.ts'
import { formatDay, usPer5Minutes, usPerDay, usPerHour } from '../kernel/time.ts'
import {
  type RecomputePorts,
  recomputeConfigDefaults,
  tableIdentifier,
} from '../rollups/recompute/recompute-ports.ts'
import { createFaultyCatalog } from './faulty-catalog.ts'
import { createMemoryCatalog } from './memory-catalog.ts'
import { type NaiveEvent, naiveRollup } from './naive-rollups.ts'
import { createRandom, createSeededIds } from './random.ts'

export const latenessUsMax = 3 * usPerHour

export type RollupRow = {
  readonly kvfvId: string
  readonly windowStartUs: number
  readonly eventCount: number
  readonly speedSum: number
  readonly duplicateCount: number | null
  readonly isExact: boolean
  readonly revision: number | null
  readonly sourceSnapshotId: bigint | null
}

export type ExactWorld = Awaited<ReturnType<typeof createExactWorld>>

export async function createExactWorld(options: {
  nowUs: number
  memoryLimitBytes?: number
  threads?: number
}) {
  const root = await mkdtemp(join(tmpdir(), 'potok-exact-world-'))
  const warehouse = pathToFileURL(root).href
  const store = createLocalObjectStore({ root })
  const duckdb: DuckDb = await openDuckDb({
    memoryLimitBytes: options.memoryLimitBytes ?? 256 * 1024 * 1024,
    threads: options.threads ?? 2,
    tempDirectory: join(root, 'spill'),
  })
  const ids = createSeededIds(createRandom(7))
  const clock = { now: options.nowUs, nowMs: () => clock.now / 1_000 }
  const catalog = createFaultyCatalog(
    createMemoryCatalog({
      warehouse,
      nowMs: () => clock.nowMs(),
      uuid: () => ids.uuid(),
    }),
  )
  for (const definition of allTables) {
    await catalog.createTable({
      identifier: tableIdentifier(definition.name),
      schema: schemaOf(definition),
      partitionSpec: partitionSpecOf(definition),
      sortOrder: sortOrderOf(definition),
    })
  }
  const manifests = createManifestCache(store, 16 * 1024 * 1024)
  const parquetWriter = createDuckDbParquetWriter({ store, duckdb })
  const parquetReader = createDuckDbParquetReader({ store, duckdb })
  const engine = createDuckDbExactEngine({ store, duckdb })
  const io = { store: store as ObjectStore, ids, clock, manifests }
  const everything: NaiveEvent[] = []
  /** Acknowledged, not yet in events; and in events, not yet taken by the stream. */
  let logged: NaiveEvent[] = []
  let streamAt = 0
  let deleted: string[] = []

  const ports: RecomputePorts = {
    catalog,
    store: {
      ...store,
      read: store.read.bind(store),
      delete: async (locations) => {
        deleted.push(...locations)
        await store.delete(locations)
      },
    },
    manifests,
    clock,
    ids,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    engine,
    parquetReader,
    parquetWriter,
    logEnds: async () => ({ identity: null, ends: new Map([[0, logged.length]]) }),
    sleep: async (ms, signal) => {
      if (signal.aborted) throw new PotokError('ShuttingDown', 'stopped')
      clock.now += ms * 1_000
      await new Promise((resolve) => setImmediate(resolve))
    },
  }

  async function commitFiles(
    definition: TableDefinition,
    files: readonly WrittenFile[],
    nextOffset: number,
    operation: 'append' | 'overwrite' = 'append',
    remove: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const table = await catalog.loadTable(tableIdentifier(definition.name))
    const target = {
      specId: table.metadata.defaultSpecId,
      sortOrderId: table.metadata.defaultSortOrderId,
    }
    const position = {
      clusterId: 'c',
      topic: 't',
      topicId: 'i',
      logEpoch: 0,
      nextOffset,
      eventTimeUsMax: null,
    }
    const staged = await stageSnapshot(io, table, {
      operation,
      add: files.map((file) => dataFileOf(definition, file, target)),
      remove,
      setProperties: { [positionKey(0)]: encodePosition(position) },
    })
    await catalog.commit([staged.commit])
  }

  function locationOf(definition: TableDefinition, day: number | null): string {
    const folder = day === null ? '' : `${formatDay(day)}/`
    return `${warehouse}/traffic/${definition.name}/data/${folder}${ids.uuid()}.parquet`
  }

  /** Acknowledges events: they are in the log. */
  function log(events: readonly NaiveEvent[]): void {
    for (const e of events) {
      const inLog = { ...e, logOffset: logged.length, logPartition: 0, logEpoch: 0 }
      logged.push(inLog)
      everything.push(inLog)
    }
  }

  async function eventsPosition(): Promise<number> {
    const table = await catalog.loadTable(tableIdentifier('events'))
    return readPositions(table.metadata.properties).get(0)?.nextOffset ?? 0
  }

  /** One commit of the writer, with all that is in the log. */
  async function write(): Promise<void> {
    const rows = logged.slice(await eventsPosition())
    const files = rows.length === 0 ? [] : await writeEvents(rows)
    await commitFiles(eventsTable, files, logged.length)
  }

  async function writeEvents(rows: readonly NaiveEvent[]): Promise<WrittenFile[]> {
    const uuids = new Uint8Array(rows.length * 16)
    rows.forEach((e, i) => uuids.set(Buffer.from(e.eventId.replaceAll('-', ''), 'hex'), i * 16))
    const nothing = rows.map(() => null)
    return parquetWriter.write(
      eventsTable,
      {
        rowCount: rows.length,
        columns: {
          event_id: { type: 'uuid', values: uuids },
          kvfv_id: { type: 'string', values: rows.map((e) => e.kvfvId) },
          event_time: {
            type: 'timestamptz',
            values: Float64Array.from(rows, (e) => e.eventTimeUs),
          },
          vehicle_speed: {
            type: 'double',
            values: Float64Array.from(rows, (e) => e.speedMilli / 1000),
          },
          plate_number: { type: 'string', values: nothing },
          attributes: { type: 'string', values: nothing },
          received_at: {
            type: 'timestamptz',
            values: Float64Array.from(rows, (e) => e.receivedAtUs),
          },
          log_epoch: { type: 'int', values: Int32Array.from(rows, (e) => e.logEpoch) },
          log_partition: { type: 'int', values: Int32Array.from(rows, (e) => e.logPartition) },
          log_offset: {
            type: 'long',
            values: BigInt64Array.from(rows, (e) => BigInt(e.logOffset)),
          },
        },
      },
      (day) => locationOf(eventsTable, day),
    )
  }

  /** One commit of the rollup stream, with all that is in the log; nothing goes into sealed windows. */
  async function stream(): Promise<void> {
    const { sealedUntilUs } = await exactness()
    const rows = logged
      .slice(streamAt)
      .filter((e) => {
        const window = Math.floor(e.eventTimeUs / usPer5Minutes) * usPer5Minutes
        return sealedUntilUs === null || window >= sealedUntilUs
      })
      // Partial sums know nothing of duplicates.
      .map((e, i) => ({ ...e, eventId: `${i}` }))
    const sums = naiveRollup(rows, { windowUs: usPer5Minutes, latenessUsMax })
    const files = sums.length === 0 ? [] : await writeProvisional(sums)
    streamAt = logged.length
    await commitFiles(rollup5mTable, files, streamAt)
  }

  async function writeProvisional(
    sums: readonly ReturnType<typeof naiveRollup>[number][],
  ): Promise<WrittenFile[]> {
    const n = sums.length
    const longs = (of: (row: (typeof sums)[number]) => bigint) => ({
      type: 'long' as const,
      values: BigInt64Array.from(sums, of),
    })
    const nullLongs = {
      type: 'long' as const,
      values: new BigInt64Array(n),
      nulls: new Uint8Array(n).fill(1),
    }
    const keys = sums.flatMap((row) => Object.keys(row.histogram).map(Number))
    const counts = sums.flatMap((row) => Object.values(row.histogram))
    let end = 0
    return parquetWriter.write(
      rollup5mTable,
      {
        rowCount: n,
        columns: {
          kvfv_id: { type: 'string', values: sums.map((row) => row.kvfvId) },
          window_start: {
            type: 'timestamptz',
            values: Float64Array.from(sums, (row) => row.windowStartUs),
          },
          event_count: longs((row) => row.eventCount),
          speed_sum_milli: longs((row) => row.speedSum),
          speed_sum_sq_milli: longs((row) => row.speedSumSq),
          pace_sum: longs((row) => row.paceSum),
          standing_count: longs((row) => row.standingCount),
          speed_min_milli: longs((row) => row.speedMin),
          speed_max_milli: longs((row) => row.speedMax),
          violation_count: nullLongs,
          late_count: longs((row) => row.lateCount),
          speed_histogram: {
            type: 'map<int,long>',
            ends: Uint32Array.from(sums, (row) => (end += Object.keys(row.histogram).length)),
            keys: Int32Array.from(keys),
            values: BigInt64Array.from(counts),
          },
          median_milli: nullLongs,
          p85_milli: nullLongs,
          duplicate_count: nullLongs,
          is_exact: { type: 'boolean', values: new Uint8Array(n) },
          source_snapshot_id: nullLongs,
          revision: { type: 'int', values: new Int32Array(n), nulls: new Uint8Array(n).fill(1) },
          computed_at: { type: 'timestamptz', values: new Float64Array(n).fill(clock.now) },
        },
      },
      (day) => locationOf(rollup5mTable, day),
    )
  }

  async function liveFiles(name: string): Promise<string[]> {
    const table = await catalog.loadTable(tableIdentifier(name))
    const { files } = await planScan({ store, manifests }, table.metadata)
    return files.map(({ dataFile }) => dataFile.filePath)
  }

  async function rows(definition: TableDefinition): Promise<RollupRow[]> {
    const batch = await parquetReader.read(definition, await liveFiles(definition.name), [
      'kvfv_id',
      'window_start',
      'event_count',
      'speed_sum_milli',
      'duplicate_count',
      'is_exact',
      'revision',
      'source_snapshot_id',
    ])
    const c = batch.columns as Record<
      string,
      { values: ArrayLike<unknown>; nulls?: Uint8Array } | undefined
    >
    const value = (name: string, i: number) =>
      c[name]?.nulls?.[i] === 1 ? null : (c[name]?.values[i] ?? null)
    const count = (name: string, i: number) => {
      const found = value(name, i)
      return found === null ? null : Number(found)
    }
    return Array.from({ length: batch.rowCount }, (_, i) => ({
      kvfvId: value('kvfv_id', i) as string,
      windowStartUs: value('window_start', i) as number,
      eventCount: count('event_count', i) as number,
      speedSum: count('speed_sum_milli', i) as number,
      duplicateCount: count('duplicate_count', i),
      isExact: value('is_exact', i) === 1,
      revision: count('revision', i),
      sourceSnapshotId: value('source_snapshot_id', i) as bigint | null,
    })).sort(
      (a, b) =>
        (a.kvfvId < b.kvfvId ? -1 : a.kvfvId > b.kvfvId ? 1 : 0) ||
        a.windowStartUs - b.windowStartUs,
    )
  }

  async function exactness(): Promise<Exactness> {
    const table = await catalog.loadTable(tableIdentifier('rollup_5m'))
    return readExactness(table.metadata.properties)
  }

  async function ledger(): Promise<{ reason: string; days: unknown; trigger: string }[]> {
    const batch = await parquetReader.read(recomputeRunsTable, await liveFiles('recompute_runs'), [
      'reason',
      'days',
      'trigger',
      'started_at',
    ])
    const text = (name: string, i: number) =>
      (batch.columns[name] as { values: readonly string[] }).values[i] as string
    const startedAt = batch.columns['started_at'] as { values: Float64Array }
    const order = Array.from({ length: batch.rowCount }, (_, i) => i).sort(
      (a, b) => (startedAt.values[a] as number) - (startedAt.values[b] as number),
    )
    return order.map((i) => ({
      reason: text('reason', i),
      days: JSON.parse(text('days', i)) as unknown,
      trigger: text('trigger', i),
    }))
  }

  return {
    ports,
    catalog,
    clock,
    io,
    config: { ...recomputeConfigDefaults, latenessUsMax, waitMsMax: 5_000 },
    log,
    write,
    stream,
    rows,
    exactness,
    ledger,
    liveFiles,
    writeEvents,
    locationOfWarehouse: () => warehouse,
    /** Data files of events from elsewhere, as if the writer had committed them. */
    async addEventFiles(files: readonly WrittenFile[]): Promise<void> {
      await commitFiles(eventsTable, files, 0)
    },
    /** Everything acknowledged so far. */
    everything,
    deletedFiles: () => deleted,
    /** Copy-on-write removal of events, as an engine does it: each file without those rows. */
    async removeEvents(matches: (e: NaiveEvent) => boolean): Promise<void> {
      const kept = logged.filter((e) => !matches(e))
      const before = new Set(await liveFiles('events'))
      const files = await writeEvents(kept)
      await commitFiles(eventsTable, files, await eventsPosition(), 'overwrite', before)
      everything.splice(0, everything.length, ...kept)
    },
    /** What the rows of the table must be where everything is exact. */
    truth(
      definition: TableDefinition,
    ): Omit<RollupRow, 'revision' | 'sourceSnapshotId' | 'isExact'>[] {
      const lengths = new Map([
        [rollup5mTable, usPer5Minutes],
        [rollup1hTable, usPerHour],
        [rollup1dTable, usPerDay],
      ])
      const windowUs = lengths.get(definition) as number
      return naiveRollup(everything, { windowUs, latenessUsMax }).map((row) => ({
        kvfvId: row.kvfvId,
        windowStartUs: row.windowStartUs,
        eventCount: Number(row.eventCount),
        speedSum: Number(row.speedSum),
        duplicateCount: Number(row.duplicateCount),
      }))
    },
    async close(): Promise<void> {
      await engine.close()
      await parquetWriter.close()
      await parquetReader.close()
      duckdb.close()
      await rm(root, { recursive: true, force: true })
    },
    resetDeleted() {
      deleted = []
    },
  }
}
