/** Between partial sums and columns of the rollup tables. */
import type { ColumnBatch } from './columns.ts'
import { forEachBin } from './partial-sums-histogram.ts'
import { type PartialSums, paceSumOf, speedSumSqOf } from './partial-sums.ts'

export type PartialSumsRow = {
  readonly kvfvId: string
  readonly windowStartUs: number
  readonly sums: PartialSums
}

/** Provisional rows: nothing in them is exact, none of them names a snapshot. */
export function provisionalBatch(
  rows: readonly PartialSumsRow[],
  computedAtUs: number,
): ColumnBatch {
  const rowCount = rows.length
  const longs = (value: (sums: PartialSums) => number) =>
    ({ type: 'long', values: BigInt64Array.from(rows, ({ sums }) => BigInt(value(sums))) }) as const
  const histogram = histogramColumn(rows)
  const allNull = new Uint8Array(rowCount).fill(1)
  const noLongs = { type: 'long', values: new BigInt64Array(rowCount), nulls: allNull } as const
  return {
    rowCount,
    columns: {
      kvfv_id: { type: 'string', values: rows.map(({ kvfvId }) => kvfvId) },
      window_start: {
        type: 'timestamptz',
        values: Float64Array.from(rows, ({ windowStartUs }) => windowStartUs),
      },
      event_count: longs((sums) => sums.eventCount),
      speed_sum_milli: longs((sums) => sums.speedSumMilli),
      speed_sum_sq_milli: {
        type: 'long',
        values: BigInt64Array.from(rows, ({ sums }) => speedSumSqOf(sums)),
      },
      pace_sum: { type: 'long', values: BigInt64Array.from(rows, ({ sums }) => paceSumOf(sums)) },
      standing_count: longs((sums) => sums.standingCount),
      speed_min_milli: longs((sums) => sums.speedMinMilli),
      speed_max_milli: longs((sums) => sums.speedMaxMilli),
      violation_count: {
        ...longs((sums) => sums.violationCount ?? 0),
        nulls: Uint8Array.from(rows, ({ sums }) => (sums.violationCount === null ? 1 : 0)),
      },
      late_count: longs((sums) => sums.lateCount),
      speed_histogram: histogram,
      median_milli: noLongs,
      p85_milli: noLongs,
      duplicate_count: noLongs,
      is_exact: { type: 'boolean', values: new Uint8Array(rowCount) },
      source_snapshot_id: noLongs,
      revision: { type: 'int', values: new Int32Array(rowCount), nulls: allNull },
      computed_at: {
        type: 'timestamptz',
        values: new Float64Array(rowCount).fill(computedAtUs),
      },
    },
  }
}

function histogramColumn(rows: readonly PartialSumsRow[]) {
  const ends = new Uint32Array(rows.length)
  const keys: number[] = []
  const values: bigint[] = []
  for (const [i, { sums }] of rows.entries()) {
    forEachBin(sums.histogram, (bin, count) => {
      keys.push(bin)
      values.push(BigInt(count))
    })
    ends[i] = keys.length
  }
  return {
    type: 'map<int,long>',
    ends,
    keys: Int32Array.from(keys),
    values: BigInt64Array.from(values),
  } as const
}
