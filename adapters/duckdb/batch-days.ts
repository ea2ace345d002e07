/**
 * The days of a batch. Its rows go into one table of DuckDB whatever their day, and each day's are taken from
 * there by a range of instants: taking the columns apart here would copy every value once more.
 */
import assert from 'node:assert/strict'
import type { TableDefinition, WritableBatch } from '../../kernel/columns.ts'
import { dayOfUs, usPerDay } from '../../kernel/time.ts'
import { sqlName } from './instance.ts'

export type BatchDay = {
  /** null where the table has no partitions. */
  readonly day: number | null
  readonly rowCount: number
  /** Which rows are of that day; null: all. */
  readonly where: string | null
}

/** Oldest first. */
export function daysOfBatch(definition: TableDefinition, batch: WritableBatch): BatchDay[] {
  if (batch.rowCount === 0) return []
  const name = definition.partitionByDayOf
  const { rowCount } = batch
  if (name === null) return [{ day: null, rowCount, where: null }]
  const column = batch.columns[name]
  assert(column?.type === 'timestamptz', 'a day partition is made from a timestamptz')
  const days = rowsOfDays(column.values, rowCount)
  return [...days]
    .sort(([a], [b]) => a - b)
    .map(([day, rows]) => ({
      day,
      rowCount: rows,
      where: days.size === 1 ? null : whereOf(name, day),
    }))
}

function whereOf(name: string, day: number): string {
  const instant = (us: number) => `make_timestamptz(${us})`
  const column = sqlName(name)
  const [start, end] = [day * usPerDay, (day + 1) * usPerDay]
  return `${column} >= ${instant(start)} AND ${column} < ${instant(end)}`
}

function rowsOfDays(times: Float64Array, rowCount: number): Map<number, number> {
  const days = new Map<number, number>()
  let lastDay = Number.NaN
  let rows = 0
  for (let row = 0; row < rowCount; row++) {
    const day = dayOfUs(times[row] as number)
    if (day !== lastDay) {
      if (rows > 0) days.set(lastDay, (days.get(lastDay) ?? 0) + rows)
      lastDay = day
      rows = 0
    }
    rows++
  }
  return days.set(lastDay, (days.get(lastDay) ?? 0) + rows)
}
