/**
 * Takes a batch apart by the day of its partition column, one day at a time: a filter per day over the whole
 * batch would read all rows as often as there are days (late data has hundreds).
 */
import assert from 'node:assert/strict'
import type { Column, ColumnBatch, TableDefinition } from '../../kernel/columns.ts'
import { dayOfUs } from '../../kernel/time.ts'

export type DayBatch = { readonly day: number | null; readonly batch: ColumnBatch }

/** Oldest day first; one batch without a day where the table has no partitions. */
export function* splitByDay(definition: TableDefinition, batch: ColumnBatch): Generator<DayBatch> {
  if (batch.rowCount === 0) return
  if (definition.partitionByDayOf === null) {
    yield { day: null, batch }
    return
  }
  const column = batch.columns[definition.partitionByDayOf]
  assert(column?.type === 'timestamptz', 'a day partition is made from a timestamptz')
  const days = daysOf(column.values, batch.rowCount)
  if (days.size === 1) {
    for (const day of days.keys()) yield { day, batch }
    return
  }
  const rowsOfDay = new Map<number, Uint32Array>()
  for (const [day, rowCount] of days) rowsOfDay.set(day, new Uint32Array(rowCount))
  let lastDay = Number.NaN
  let lastRows = new Uint32Array(0)
  let at = 0
  const ends = new Map<number, number>()
  for (let row = 0; row < batch.rowCount; row++) {
    const day = dayOfUs(column.values[row] as number)
    if (day !== lastDay) {
      ends.set(lastDay, at)
      lastDay = day
      lastRows = rowsOfDay.get(day) as Uint32Array<ArrayBuffer>
      at = ends.get(day) ?? 0
    }
    lastRows[at++] = row
  }
  for (const [day, rows] of [...rowsOfDay].sort(([a], [b]) => a - b)) {
    yield { day, batch: rowsOf(batch, rows) }
  }
}

/** Rows of each day. */
function daysOf(times: Float64Array, rowCount: number): Map<number, number> {
  const days = new Map<number, number>()
  let lastDay = Number.NaN
  let count = 0
  for (let row = 0; row < rowCount; row++) {
    const day = dayOfUs(times[row] as number)
    if (day !== lastDay) {
      if (count > 0) days.set(lastDay, (days.get(lastDay) ?? 0) + count)
      lastDay = day
      count = 0
    }
    count++
  }
  return days.set(lastDay, (days.get(lastDay) ?? 0) + count)
}

function rowsOf(batch: ColumnBatch, rows: Uint32Array): ColumnBatch {
  const columns = Object.entries(batch.columns).map(([name, column]) => [
    name,
    columnRows(column, rows),
  ])
  return { rowCount: rows.length, columns: Object.fromEntries(columns) }
}

function columnRows(column: Column, rows: Uint32Array): Column {
  if (column.type === 'string') {
    const values: (string | null)[] = []
    for (const row of rows) values.push(column.values[row] as string | null)
    return { type: 'string', values }
  }
  const { nulls } = column
  const marks =
    nulls === undefined ? {} : { nulls: gather(nulls, new Uint8Array(rows.length), rows) }
  switch (column.type) {
    case 'map<int,long>':
      return { ...mapRows(column, rows), ...marks }
    case 'uuid': {
      const values = new Uint8Array(rows.length * 16)
      const from = column.values
      for (let i = 0; i < rows.length; i++) {
        const source = (rows[i] as number) * 16
        const target = i * 16
        for (let b = 0; b < 16; b++) values[target + b] = from[source + b] as number
      }
      return { type: 'uuid', values, ...marks }
    }
    case 'boolean': {
      const values = gather(column.values, new Uint8Array(rows.length), rows)
      return { type: column.type, values, ...marks }
    }
    case 'int':
    case 'date': {
      const values = gather(column.values, new Int32Array(rows.length), rows)
      return { type: column.type, values, ...marks }
    }
    case 'long': {
      const values = new BigInt64Array(rows.length)
      gatherPairs(column.values, values, rows)
      return { type: column.type, values, ...marks }
    }
    case 'double':
    case 'timestamptz': {
      const values = gather(column.values, new Float64Array(rows.length), rows)
      return { type: column.type, values, ...marks }
    }
    default:
      throw new TypeError(`no such column: ${String(column satisfies never)}`)
  }
}

/** A loop, because a callback a value costs several times as much. */
function gather<T extends Uint8Array | Int32Array | Float64Array>(
  from: T,
  to: T,
  rows: Uint32Array,
): T {
  for (let i = 0; i < rows.length; i++) to[i] = from[rows[i] as number] as number
  return to
}

/** As halves: each bigint would be an object. */
function gatherPairs(from: BigInt64Array, to: BigInt64Array, rows: Uint32Array): void {
  const source = new Int32Array(from.buffer, from.byteOffset, from.length * 2)
  const target = new Int32Array(to.buffer, to.byteOffset, to.length * 2)
  for (let i = 0; i < rows.length; i++) {
    const at = (rows[i] as number) * 2
    target[i * 2] = source[at] as number
    target[i * 2 + 1] = source[at + 1] as number
  }
}

type MapColumn = Extract<Column, { type: 'map<int,long>' }>

function mapRows(column: MapColumn, rows: Uint32Array): MapColumn {
  const startOf = (row: number) => (row === 0 ? 0 : (column.ends[row - 1] as number))
  const endOf = (row: number) => column.ends[row] as number
  const size = rows.reduce((sum, row) => sum + endOf(row) - startOf(row), 0)
  const ends = new Uint32Array(rows.length)
  const keys = new Int32Array(size)
  const values = new BigInt64Array(size)
  let at = 0
  for (const [i, row] of rows.entries()) {
    keys.set(column.keys.subarray(startOf(row), endOf(row)), at)
    values.set(column.values.subarray(startOf(row), endOf(row)), at)
    at += endOf(row) - startOf(row)
    ends[i] = at
  }
  return { type: column.type, ends, keys, values }
}
