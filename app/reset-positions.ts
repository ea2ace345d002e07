/**
 * Positions of both sinks reset on purpose (iceberg/sink/plan-reset.ts says what that means), in one commit of
 * all three tables: new positions, and the rows that say what was left out. It asserts the snapshots that it
 * was decided on; sinks that still run lose by the raised epoch what they have in hand, and read again.
 */
import type { Catalog, LoadedTable, TableCommit } from '../iceberg/catalog.ts'
import { isDefiniteFailure } from '../iceberg/catalog.ts'
import { decodeSingleValue } from '../iceberg/codec/single-value.ts'
import type { ManifestCache } from '../iceberg/scan/manifest-cache.ts'
import { planScan } from '../iceberg/scan/plan-files.ts'
import { inspectSink, type LogView } from '../iceberg/sink/inspect-sink.ts'
import { planReset, type ResetPlan, type ResetTarget } from '../iceberg/sink/plan-reset.ts'
import {
  emptyOffsetsAt,
  encodePosition,
  holdsCommit,
  positionKey,
} from '../iceberg/sink/positions.ts'
import type { SinkHalt } from '../iceberg/sink/sink-halt.ts'
import type { LogPosition } from '../iceberg/sink/sink-processor.ts'
import { writeDataFiles } from '../iceberg/sink/write-data-files.ts'
import type { DataFile } from '../iceberg/spec/data-file.ts'
import { stageSnapshot } from '../iceberg/transaction/stage-snapshot.ts'
import { rejectedBatch } from '../ingest/writer/event-columns.ts'
import { isPotokError, PotokError } from '../kernel/errors.ts'
import type { Clock, EventLog, IdSource, ObjectStore, ParquetWriter } from '../kernel/ports.ts'
import {
  eventsTable,
  namespaceName,
  rejectedEventsTable,
  rollup5mTable,
  summaryCommitIdKey,
} from '../kernel/tables.ts'

export type ResetPorts = {
  readonly catalog: Catalog
  readonly store: ObjectStore
  readonly manifests: ManifestCache
  readonly parquet: ParquetWriter
  readonly clock: Clock
  readonly ids: IdSource
  readonly log: EventLog
  readonly sleep: (ms: number) => Promise<void>
}

export type ResetRequest = {
  readonly target: ResetTarget
  readonly force: boolean
  readonly dryRun: boolean
}

export type ResetOutcome = {
  readonly plan: ResetPlan
  readonly halts: { readonly writer: SinkHalt | null; readonly rollups: SinkHalt | null }
}

/** Lost to sinks that commit meanwhile. */
const attemptsMax = 10
const looksMax = 20

export async function resetPositions(
  ports: ResetPorts,
  request: ResetRequest,
): Promise<ResetOutcome> {
  const log: LogView = { identity: await ports.log.identity(), ranges: await ports.log.ranges() }
  for (let attempt = 1; ; attempt++) {
    const tables = await loadTables(ports)
    const writer = inspectSink([tables.events, tables.rejected], log)
    const rollups = inspectSink([tables.rollup], log)
    // Tables are loaded one after another: a commit in between makes them differ for a moment.
    const isTransient = writer.halt?.case === 'tables_disagree' && attempt <= 5
    if (isTransient) {
      await ports.sleep(50 * attempt)
      continue
    }
    const logEpochMax = await greatestEpoch(ports, tables.events, writer.positions)
    const plan = planReset({ log, writer, rollups, logEpochMax, ...request })
    const outcome = { plan, halts: { writer: writer.halt, rollups: rollups.halt } }
    if (request.dryRun) return outcome
    const commitId = ports.ids.uuid()
    const commits = await stage(ports, tables, plan, commitId)
    try {
      await ports.catalog.commit(commits)
      return outcome
    } catch (error) {
      if (isPotokError(error, 'CommitConflict') && attempt < attemptsMax) continue
      if (isDefiniteFailure(error)) throw error
      if (await isFound(ports, commitId)) return outcome
      throw new PotokError(
        'CommitStateUnknown',
        'the catalog has not answered whether the reset is in: look with `potok status`, or run it again; where it is in, the second one is refused',
        { cause: error },
      )
    }
  }
}

type Tables = {
  readonly events: LoadedTable
  readonly rejected: LoadedTable
  readonly rollup: LoadedTable
}

async function loadTables({ catalog }: ResetPorts): Promise<Tables> {
  const load = ({ name }: { name: string }) =>
    catalog.loadTable({ namespace: [namespaceName], name })
  return {
    events: await load(eventsTable),
    rejected: await load(rejectedEventsTable),
    rollup: await load(rollup5mTable),
  }
}

async function stage(
  ports: ResetPorts,
  tables: Tables,
  plan: ResetPlan,
  commitId: string,
): Promise<TableCommit[]> {
  const receivedAtUs = ports.clock.nowMs() * 1_000
  const rows = plan.gaps.map((gap) => ({
    ...gap,
    receivedAtUs,
    reason: 'log_gap',
    source: 'log',
    kvfvId: null,
    payload: null,
  }))
  const gapFiles = await writeDataFiles(
    ports,
    rejectedEventsTable,
    rejectedBatch(rows),
    tables.rejected,
  )
  const stageOne = async (
    table: LoadedTable,
    positions: ReadonlyMap<number, LogPosition>,
    add: readonly DataFile[],
  ): Promise<TableCommit> => {
    const { commit } = await stageSnapshot(ports, table, {
      operation: 'append',
      add,
      remove: new Set<string>(),
      summary: { [summaryCommitIdKey]: commitId, ...emptyOffsetsAt(positions) },
      setProperties: Object.fromEntries(
        [...positions].map(([p, position]) => [positionKey(p), encodePosition(position)]),
      ),
    })
    return commit
  }
  return [
    await stageOne(tables.events, plan.writer, []),
    await stageOne(tables.rejected, plan.writer, gapFiles),
    await stageOne(tables.rollup, plan.rollups, []),
  ]
}

async function isFound(ports: ResetPorts, commitId: string): Promise<boolean> {
  for (let look = 1; ; look++) {
    try {
      const { events } = await loadTables(ports)
      if (holdsCommit(events.metadata, commitId)) return true
    } catch (error) {
      if (look === looksMax) throw error
    }
    if (look === looksMax) return false
    await ports.sleep(500)
  }
}

/** Where the table has lost its positions, its rows still know their epoch. */
async function greatestEpoch(
  ports: ResetPorts,
  events: LoadedTable,
  positions: ReadonlyMap<number, LogPosition>,
): Promise<number> {
  if (positions.size > 0) return 0
  const { files } = await planScan(ports, events.metadata)
  const fieldId = eventsTable.columns.find(({ name }) => name === 'log_epoch')?.id as number
  let greatest = 0
  for (const { dataFile } of files) {
    const bound = dataFile.upperBounds?.get(fieldId)
    if (bound !== undefined) greatest = Math.max(greatest, Number(decodeSingleValue('int', bound)))
  }
  return greatest
}
