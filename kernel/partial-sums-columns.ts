/** Between partial sums and columns of the rollup tables. */
import assert from 'node:assert/strict'
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
    ({ type: 'long', values: longValues(rowCount, (i) => value(sumsOf(rows, i))) }) as const
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
      speed_sum_sq_milli: wholeSums(rows, 'speedSumSq', 'speedSumSqHigh', speedSumSqOf),
      pace_sum: wholeSums(rows, 'paceSum', 'paceSumHigh', paceSumOf),
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

function sumsOf(rows: readonly PartialSumsRow[], row: number): PartialSums {
  return (rows[row] as PartialSumsRow).sums
}

/** Safe integers, written as halves (low one first): a bigint each would be an object each. */
function longValues(count: number, value: (i: number) => number): BigInt64Array<ArrayBuffer> {
  const values = new BigInt64Array(count)
  const words = new Uint32Array(values.buffer)
  for (let i = 0; i < count; i++) {
    const number = value(i)
    assert(Number.isSafeInteger(number), 'a partial sum is a safe integer')
    words[i * 2] = number
    words[i * 2 + 1] = Math.floor(number / 4_294_967_296)
  }
  return values
}

/** Sums that may have left the safe integers; hardly any has. */
function wholeSums(
  rows: readonly PartialSumsRow[],
  low: 'speedSumSq' | 'paceSum',
  high: 'speedSumSqHigh' | 'paceSumHigh',
  whole: (sums: PartialSums) => bigint,
) {
  const values = longValues(rows.length, (i) => sumsOf(rows, i)[low])
  for (const [i, { sums }] of rows.entries()) if (sums[high] !== 0n) values[i] = whole(sums)
  return { type: 'long', values } as const
}

function histogramColumn(rows: readonly PartialSumsRow[]) {
  const ends = new Uint32Array(rows.length)
  const keys: number[] = []
  const counts: number[] = []
  for (const [i, { sums }] of rows.entries()) {
    forEachBin(sums.histogram, (bin, count) => {
      keys.push(bin)
      counts.push(count)
    })
    ends[i] = keys.length
  }
  return {
    type: 'map<int,long>',
    ends,
    keys: Int32Array.from(keys),
    values: longValues(counts.length, (i) => counts[i] as number),
  } as const
}
