/**
 * Counts by speed bin (key k holds [k, k+1) km/h), for the hot path of the rollup stream. The first events
 * of a window are only listed: most windows of a batch see no more, and an array of counts for each would
 * cost more than all the rest of the stream. Then one array over the bins in use, grown in whole blocks; at
 * most 401 counts. Counts are safe integers.
 */
const blockBins = 8
const listedMax = 16

export type SpeedHistogram = {
  /** Bins of the first events, as they came; empty once they are counted. */
  listed: number[]
  /** Bin of `counts[0]`: a multiple of the block. */
  baseBin: number
  /** Empty while bins are listed. */
  counts: Float64Array
}

const noBins: number[] = []
const noCounts = new Float64Array(0)

export function createHistogram(): SpeedHistogram {
  return { listed: [], baseBin: 0, counts: noCounts }
}

/** Bins that have events, by rising bin. */
export function forEachBin(
  histogram: SpeedHistogram,
  visit: (bin: number, count: number) => void,
): void {
  const { listed, baseBin, counts } = histogram
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] as number
    if (count !== 0) visit(baseBin + i, count)
  }
  if (listed.length === 0) return
  const bins = insertionSorted(listed)
  for (let i = 0; i < bins.length; ) {
    const start = i
    while (i < bins.length && bins[i] === bins[start]) i++
    visit(bins[start] as number, i - start)
  }
}

export function addToHistogram(histogram: SpeedHistogram, bin: number, count: number): void {
  if (histogram.counts.length === 0) {
    if (count === 1 && histogram.listed.length < listedMax) {
      histogram.listed.push(bin)
      return
    }
    countListed(histogram, bin)
  }
  const index = bin - histogram.baseBin
  if (index < 0 || index >= histogram.counts.length) grow(histogram, bin, bin)
  const at = bin - histogram.baseBin
  histogram.counts[at] = (histogram.counts[at] as number) + count
}

/** From the list to counts, with room for `bin` at once. */
function countListed(histogram: SpeedHistogram, bin: number): void {
  const { listed } = histogram
  histogram.listed = noBins
  grow(histogram, Math.min(bin, ...listed), Math.max(bin, ...listed))
  for (const each of listed) addToHistogram(histogram, each, 1)
}

/** Room for the bins from `least` to `greatest`. */
function grow(histogram: SpeedHistogram, least: number, greatest: number): void {
  const { baseBin, counts } = histogram
  const leastStart = Math.floor(least / blockBins) * blockBins
  const greatestEnd = (Math.floor(greatest / blockBins) + 1) * blockBins
  const isFirst = counts.length === 0
  const first = isFirst ? leastStart : Math.min(baseBin, leastStart)
  const end = isFirst ? greatestEnd : Math.max(baseBin + counts.length, greatestEnd)
  const grown = new Float64Array(end - first)
  if (!isFirst) grown.set(counts, baseBin - first)
  histogram.baseBin = first
  histogram.counts = grown
}

/** A few numbers: faster than `sort` with a comparison. */
function insertionSorted(numbers: readonly number[]): number[] {
  const sorted = numbers.slice()
  for (let i = 1; i < sorted.length; i++) {
    const value = sorted[i] as number
    let at = i
    for (; at > 0 && (sorted[at - 1] as number) > value; at--) sorted[at] = sorted[at - 1] as number
    sorted[at] = value
  }
  return sorted
}
