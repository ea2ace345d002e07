/**
 * Counts by speed bin (key k holds [k, k+1) km/h), for the hot path of the rollup stream: one array over
 * the bins in use, grown in whole blocks. A window with few events costs a few dozen bytes, one with many
 * at most 401 counts; adding is an array access. Counts are safe integers.
 */
const blockBins = 8

export type SpeedHistogram = {
  /** Bin of `counts[0]`: a multiple of the block. */
  baseBin: number
  counts: Float64Array
}

const noCounts = new Float64Array(0)

export function createHistogram(): SpeedHistogram {
  return { baseBin: 0, counts: noCounts }
}

/** Bins that have events, by rising bin. */
export function forEachBin(
  histogram: SpeedHistogram,
  visit: (bin: number, count: number) => void,
): void {
  const { baseBin, counts } = histogram
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] as number
    if (count !== 0) visit(baseBin + i, count)
  }
}

export function addToHistogram(histogram: SpeedHistogram, bin: number, count: number): void {
  const index = bin - histogram.baseBin
  if (index < 0 || index >= histogram.counts.length) grow(histogram, bin)
  const at = bin - histogram.baseBin
  histogram.counts[at] = (histogram.counts[at] as number) + count
}

function grow(histogram: SpeedHistogram, bin: number): void {
  const { baseBin, counts } = histogram
  const blockStart = Math.floor(bin / blockBins) * blockBins
  const first = counts.length === 0 ? blockStart : Math.min(baseBin, blockStart)
  const end = Math.max(counts.length === 0 ? 0 : baseBin + counts.length, blockStart + blockBins)
  const grown = new Float64Array(end - first)
  if (counts.length > 0) grown.set(counts, baseBin - first)
  histogram.baseBin = first
  histogram.counts = grown
}
