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
  const rowsOfDay = new Map<number, number[]>()
  let lastDay = Number.NaN
  let lastRows: number[] = []
  for (let row = 0; row < batch.rowCount; row++) {
    const day = dayOfUs(column.values[row] as number)
    if (day !== lastDay) {
      lastDay = day
      lastRows = rowsOfDay.get(day) ?? []
      rowsOfDay.set(day, lastRows)
    }
    lastRows.push(row)
  }
  if (rowsOfDay.size === 1) {
    yield { day: lastDay, batch }
    return
  }
  for (const [day, rows] of [...rowsOfDay].sort(([a], [b]) => a - b)) {
    yield { day, batch: rowsOf(batch, rows) }
  }
}

function rowsOf(batch: ColumnBatch, rows: readonly number[]): ColumnBatch {
  const columns = Object.entries(batch.columns).map(([name, column]) => [
    name,
    columnRows(column, rows),
  ])
  return { rowCount: rows.length, columns: Object.fromEntries(columns) }
}

function columnRows(column: Column, rows: readonly number[]): Column {
  if (column.type === 'string') {
    return { type: 'string', values: rows.map((row) => column.values[row] as string | null) }
  }
  const { nulls } = column
  const marks =
    nulls === undefined ? {} : { nulls: Uint8Array.from(rows, (row) => nulls[row] as number) }
  switch (column.type) {
    case 'map<int,long>':
      return { ...mapRows(column, rows), ...marks }
    case 'uuid': {
      const values = new Uint8Array(rows.length * 16)
      for (const [i, row] of rows.entries()) {
        values.set(column.values.subarray(row * 16, row * 16 + 16), i * 16)
      }
      return { type: 'uuid', values, ...marks }
    }
    case 'boolean': {
      const values = Uint8Array.from(rows, (row) => column.values[row] as number)
      return { type: column.type, values, ...marks }
    }
    case 'int':
    case 'date': {
      const values = Int32Array.from(rows, (row) => column.values[row] as number)
      return { type: column.type, values, ...marks }
    }
    case 'long': {
      const values = BigInt64Array.from(rows, (row) => column.values[row] as bigint)
      return { type: column.type, values, ...marks }
    }
    case 'double':
    case 'timestamptz': {
      const values = Float64Array.from(rows, (row) => column.values[row] as number)
      return { type: column.type, values, ...marks }
    }
    default:
      throw new TypeError(`no such column: ${String(column satisfies never)}`)
  }
}

type MapColumn = Extract<Column, { type: 'map<int,long>' }>

function mapRows(column: MapColumn, rows: readonly number[]): MapColumn {
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
