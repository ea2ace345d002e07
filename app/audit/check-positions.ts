/**
 * Exactly once, proven from the tables alone: per epoch and log partition the rows of `events` and the rows
 * and ranges of `rejected_events` cover every offset from the first to the stored position once. An epoch that
 * a reset ended has no position any more: there the reset's own row says where it ends, and another one where
 * the next epoch begins (both may be without offsets), so that a row lost at either edge is seen. And each
 * table that a sink writes agrees with its own history: the newest snapshot that names offsets ends where the
 * stored positions are.
 */
import type { LoadedTable } from '../../iceberg/catalog.ts'
import {
  isSamePosition,
  lineageOf,
  newestSnapshotOffsets,
  readPositions,
} from '../../iceberg/sink/positions.ts'
import type { LogPosition } from '../../iceberg/sink/sink-processor.ts'
import { type CheckReport, createCheck } from './report.ts'
import { fileList, type SqlRunner } from './sql.ts'

export async function checkPositions(
  sql: SqlRunner,
  events: { table: LoadedTable; paths: readonly string[] },
  rejected: { table: LoadedTable; paths: readonly string[] },
  rollup: LoadedTable,
): Promise<CheckReport> {
  const check = createCheck(
    'log-positions',
    'every record of the log is in events or rejected_events once: no gap, no repetition; positions agree with the history of each table',
  )
  const positions = readPositions(events.table.metadata.properties)
  comparePositions(check, events.table, rejected.table)
  for (const table of [events.table, rejected.table, rollup]) compareWithHistory(check, table)
  const parts = [
    events.paths.length === 0
      ? ''
      : `SELECT log_epoch, log_partition, log_offset, 1::BIGINT AS covered, false AS is_gap FROM ${fileList(events.paths)}`,
    rejected.paths.length === 0
      ? ''
      : `SELECT log_epoch, log_partition, log_offset, record_count, reason = 'log_gap' FROM ${fileList(rejected.paths)}`,
  ].filter((part) => part !== '')
  const rows = parts.length === 0 ? [] : await coverage(sql, parts.join(' UNION ALL '))
  const seen = new Set<number>()
  for (const row of rows) {
    const logPartition = Number(row['log_partition'])
    check.count('partitions')
    check.count('records', Number(row['covered']))
    check.count('rows', Number(row['held']))
    const where = `log partition ${logPartition} (epoch ${String(row['log_epoch'])})`
    for (const [kind, count, example] of [
      ['gap', Number(row['gaps']), row['gap_at']],
      ['repetition', Number(row['repeats']), row['repeat_at']],
    ] as const) {
      if (count === 0) continue
      check.find(`${where}: ${count} ${kind}(s), the first at offset ${String(example)}`, {
        log_partition: logPartition,
        first: String(example),
        count,
      })
    }
    const position = positions.get(logPartition)
    if (position === undefined) {
      check.find(`${where} has rows but the table has no position for it`, {
        log_partition: logPartition,
      })
      continue
    }
    const epoch = Number(row['log_epoch'])
    const context = { log_partition: logPartition, log_epoch: epoch }
    const first = Number(row['first'])
    if (epoch === 0 ? first !== 0 : numberOf(row['first_gap']) !== first) {
      const wanted = epoch === 0 ? 'offset 0' : 'the row of the reset that began it'
      check.find(`${where} begins at offset ${first} instead of ${wanted}`, context)
    }
    if (position.logEpoch !== epoch) {
      check.count('former_epochs')
      if (numberOf(row['last_gap']) !== Number(row['next'])) {
        check.find(
          `${where}: rows end before offset ${String(row['next'])}, without the row of the reset that ended it`,
          context,
        )
      }
      continue
    }
    seen.add(logPartition)
    if (Number(row['next']) !== position.nextOffset) {
      check.find(
        `${where}: rows end before offset ${String(row['next'])}, the stored position is ${position.nextOffset}`,
        { log_partition: logPartition },
      )
    }
  }
  for (const [logPartition, position] of positions) {
    if (!seen.has(logPartition) && position.nextOffset > 0) {
      check.find(
        `log partition ${logPartition}: the stored position is ${position.nextOffset}, but no row is there`,
        { log_partition: logPartition },
      )
    }
  }
  return check.report()
}

/** Nothing is not 0. */
function numberOf(value: unknown): number {
  return value === null || value === undefined ? Number.NaN : Number(value)
}

async function coverage(sql: SqlRunner, union: string): Promise<Record<string, unknown>[]> {
  return await sql.rows(`
    WITH held AS (${union}),
    ordered AS (
      SELECT *, lag(log_offset + covered) OVER (PARTITION BY log_epoch, log_partition ORDER BY log_offset, covered) AS expected
      FROM held
    )
    SELECT log_epoch, log_partition, count(*) AS held, sum(covered)::BIGINT AS covered,
      min(log_offset) AS first, max(log_offset + covered) AS next,
      min(log_offset) FILTER (is_gap) AS first_gap,
      max(log_offset + covered) FILTER (is_gap) AS last_gap,
      count(*) FILTER (log_offset > expected) AS gaps,
      min(expected) FILTER (log_offset > expected) AS gap_at,
      count(*) FILTER (log_offset < expected) AS repeats,
      min(log_offset) FILTER (log_offset < expected) AS repeat_at
    FROM ordered GROUP BY ALL ORDER BY ALL`)
}

/** Both tables carry the same positions. */
function comparePositions(
  check: ReturnType<typeof createCheck>,
  events: LoadedTable,
  rejected: LoadedTable,
): void {
  const ours = readPositions(events.metadata.properties)
  const theirs = readPositions(rejected.metadata.properties)
  for (const logPartition of new Set([...ours.keys(), ...theirs.keys()])) {
    const a = ours.get(logPartition)
    const b = theirs.get(logPartition)
    if (isSamePosition(a, b)) continue
    const at = (one: LogPosition | undefined) =>
      `offset ${one?.nextOffset} (epoch ${one?.logEpoch})`
    check.find(
      `log partition ${logPartition}: events is at ${at(a)}, rejected_events at ${at(b)}`,
      { log_partition: logPartition },
    )
  }
}

/** The newest snapshot that names offsets ends where the stored positions are. */
function compareWithHistory(check: ReturnType<typeof createCheck>, table: LoadedTable): void {
  const carrier = newestSnapshotOffsets(lineageOf(table.metadata))
  if (carrier === null) return
  const { snapshotId, ranges } = carrier
  const positions = readPositions(table.metadata.properties)
  for (const logPartition of new Set([...positions.keys(), ...ranges.keys()])) {
    const stored = positions.get(logPartition)?.nextOffset ?? 0
    const end = ranges.get(logPartition)?.endOffset ?? 0
    if (end === stored) continue
    check.find(
      `${table.identifier.name}: snapshot ${snapshotId} ends log partition ${logPartition} at ${end}, the property says ${stored}`,
      { table: table.identifier.name, log_partition: logPartition },
    )
  }
  check.count('snapshots')
}
