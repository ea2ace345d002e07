/** Facts of a camera as rows of the table `cameras`: one row per camera and period. Pure. */
import type { Column, ColumnBatch } from '../../kernel/columns.ts'
import { PotokError } from '../../kernel/errors.ts'
import { camerasTable } from '../../kernel/tables.ts'

export type CameraFacts = {
  readonly kvfvId: string
  readonly name: string | null
  readonly road: string | null
  readonly latitude: number | null
  readonly longitude: number | null
  /** km/h */
  readonly speedLimit: number | null
  /** From when it holds; null: always. */
  readonly validFromUs: number | null
  readonly timeZone: string | null
  readonly lanes: number | null
}

/** By camera; periods in order of `validFromUs`, null first. */
export type CameraRegister = ReadonlyMap<string, readonly CameraFacts[]>

export function registerOf(rows: readonly CameraFacts[]): CameraRegister {
  const register = new Map<string, CameraFacts[]>()
  for (const row of rows) {
    const periods = register.get(row.kvfvId)
    if (periods === undefined) register.set(row.kvfvId, [row])
    else periods.push(row)
  }
  for (const periods of register.values()) periods.sort((a, b) => periodOrder(a) - periodOrder(b))
  return register
}

/** New rows replace those of the same camera and `validFromUs`; of two new ones the later counts. */
export function mergeFacts(
  present: readonly CameraFacts[],
  added: readonly CameraFacts[],
): CameraFacts[] {
  const byKey = new Map<string, CameraFacts>()
  for (const row of [...present, ...added]) byKey.set(`${row.validFromUs} ${row.kvfvId}`, row)
  return [...byKey.values()].sort(
    (a, b) =>
      (a.kvfvId < b.kvfvId ? -1 : a.kvfvId > b.kvfvId ? 1 : 0) || periodOrder(a) - periodOrder(b),
  )
}

/** The facts that hold at an instant: the last period that has begun, else the first to come. */
export function factsAt(periods: readonly CameraFacts[], us: number): CameraFacts | null {
  return periods.findLast((period) => periodOrder(period) <= us) ?? periods[0] ?? null
}

function periodOrder(facts: CameraFacts): number {
  return facts.validFromUs ?? Number.MIN_SAFE_INTEGER
}

export const cameraColumns: readonly string[] = camerasTable.columns.map(({ name }) => name)

export function encodeFacts(rows: readonly CameraFacts[]): ColumnBatch {
  const doubles = (
    pick: (row: CameraFacts) => number | null,
  ): Pick<DoubleColumn, 'values' | 'nulls'> => ({
    values: Float64Array.from(rows, (row) => pick(row) ?? 0),
    nulls: nullsOf(rows, pick),
  })
  const strings = (pick: (row: CameraFacts) => string | null): Column => ({
    type: 'string',
    values: rows.map(pick),
  })
  return {
    rowCount: rows.length,
    columns: {
      kvfv_id: strings((row) => row.kvfvId),
      name: strings((row) => row.name),
      road: strings((row) => row.road),
      latitude: { type: 'double', ...doubles((row) => row.latitude) },
      longitude: { type: 'double', ...doubles((row) => row.longitude) },
      speed_limit: { type: 'double', ...doubles((row) => row.speedLimit) },
      valid_from: { type: 'timestamptz', ...doubles((row) => row.validFromUs) },
      time_zone: strings((row) => row.timeZone),
      lanes: {
        type: 'int',
        values: Int32Array.from(rows, (row) => row.lanes ?? 0),
        nulls: nullsOf(rows, (row) => row.lanes),
      },
    },
  }
}

type DoubleColumn = { readonly values: Float64Array; readonly nulls: Uint8Array }

function nullsOf(rows: readonly CameraFacts[], pick: (row: CameraFacts) => unknown): Uint8Array {
  return Uint8Array.from(rows, (row) => (pick(row) === null ? 1 : 0))
}

export function decodeFacts(batch: ColumnBatch): CameraFacts[] {
  const string = (name: string, i: number) => {
    const column = columnOf(batch, name)
    return column.type === 'string' ? (column.values[i] ?? null) : null
  }
  const number = (name: string, i: number) => {
    const column = columnOf(batch, name)
    if (column.type === 'string' || column.type === 'map<int,long>') return null
    return column.nulls?.[i] === 1 ? null : Number(column.values[i])
  }
  return Array.from({ length: batch.rowCount }, (_, i) => ({
    kvfvId: string('kvfv_id', i) as string,
    name: string('name', i),
    road: string('road', i),
    latitude: number('latitude', i),
    longitude: number('longitude', i),
    speedLimit: number('speed_limit', i),
    validFromUs: number('valid_from', i),
    timeZone: string('time_zone', i),
    lanes: number('lanes', i),
  }))
}

function columnOf(batch: ColumnBatch, name: string): Column {
  const column = batch.columns[name]
  if (column === undefined) throw new PotokError('DataCorrupt', `cameras: no column ${name}`)
  return column
}
