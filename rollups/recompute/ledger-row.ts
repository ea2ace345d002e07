/** The row that an exact run leaves in `recompute_runs`: one for each of its commits. */
import type { Column, ColumnBatch } from '../../kernel/columns.ts'
import { formatDay } from '../../kernel/time.ts'
import type { PlannedDay, Reason } from './plan-recompute.ts'

export type LedgerRow = {
  readonly runId: string
  readonly trigger: string
  readonly days: readonly PlannedDay[]
  readonly requestedAtUs: number
  readonly startedAtUs: number
  readonly finishedAtUs: number
  readonly engine: string
  readonly sourceSnapshotId: bigint | null
  readonly cameraDays: number
  readonly eventsRead: number
  readonly rowsWritten: number
  readonly sealedUntilUs: number | null
}

const reasonOrder: readonly Reason[] = ['forced', 'due', 'dirty']

/** What it was for above all; a run that does several things is called by the first of them. */
export function reasonOf(days: readonly PlannedDay[]): Reason {
  return reasonOrder.find((reason) => days.some((day) => day.reason === reason)) ?? 'due'
}

export function ledgerBatch(row: LedgerRow): ColumnBatch {
  const days = row.days.map(({ day, cameras }) => ({ day: formatDay(day), cameras }))
  return {
    rowCount: 1,
    columns: {
      run_id: text(row.runId),
      trigger: text(row.trigger),
      reason: text(reasonOf(row.days)),
      requested_at: instant(row.requestedAtUs),
      started_at: instant(row.startedAtUs),
      finished_at: instant(row.finishedAtUs),
      engine: text(row.engine),
      source_snapshot_id: long(row.sourceSnapshotId),
      days: text(JSON.stringify(days)),
      camera_days: long(BigInt(row.cameraDays)),
      events_read: long(BigInt(row.eventsRead)),
      rows_written: long(BigInt(row.rowsWritten)),
      sealed_until: instant(row.sealedUntilUs),
      seconds: {
        type: 'double',
        values: Float64Array.of((row.finishedAtUs - row.startedAtUs) / 1e6),
      },
    },
  }
}

function text(value: string): Column {
  return { type: 'string', values: [value] }
}

function long(value: bigint | null): Column {
  return {
    type: 'long',
    values: BigInt64Array.of(value ?? 0n),
    nulls: Uint8Array.of(value === null ? 1 : 0),
  }
}

function instant(us: number | null): Column {
  return {
    type: 'timestamptz',
    values: Float64Array.of(us ?? 0),
    nulls: Uint8Array.of(us === null ? 1 : 0),
  }
}
