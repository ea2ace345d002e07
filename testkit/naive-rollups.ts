/**
 * The exact rows of a day by the plainest code there is: maps, bigint and sorted arrays. The judge of the
 * engines, so it shares nothing with them but the definitions in DESIGN §3.
 */
export type NaiveEvent = {
  readonly eventId: string
  readonly kvfvId: string
  readonly eventTimeUs: number
  readonly speedMilli: number
  readonly receivedAtUs: number
  readonly logEpoch: number
  readonly logPartition: number
  readonly logOffset: number
}

export type NaiveRow = {
  readonly kvfvId: string
  readonly windowStartUs: number
  readonly eventCount: bigint
  readonly speedSum: bigint
  readonly speedSumSq: bigint
  readonly paceSum: bigint
  readonly standingCount: bigint
  readonly speedMin: bigint
  readonly speedMax: bigint
  readonly violationCount: bigint | null
  readonly lateCount: bigint
  readonly histogram: Readonly<Record<number, bigint>>
  readonly median: bigint
  readonly p85: bigint
  readonly duplicateCount: bigint
}

export function naiveRollup(
  events: readonly NaiveEvent[],
  options: {
    windowUs: number
    latenessUsMax: number
    /** The limit at an instant, 0.001 km/h. */
    limitOf?: (kvfvId: string, atUs: number) => number | null
  },
): NaiveRow[] {
  const byIdentity = Map.groupBy(events, (e) => `${e.eventId} ${e.kvfvId}`)
  const groups = new Map<string, { first: NaiveEvent; duplicates: number }[]>()
  for (const same of byIdentity.values()) {
    const [first] = [...same].sort(
      (a, b) =>
        a.logEpoch - b.logEpoch || a.logOffset - b.logOffset || a.logPartition - b.logPartition,
    )
    if (first === undefined) continue
    const start = Math.floor(first.eventTimeUs / options.windowUs) * options.windowUs
    const key = JSON.stringify([first.kvfvId, start])
    const group = groups.get(key) ?? []
    group.push({ first, duplicates: same.length - 1 })
    groups.set(key, group)
  }
  return [...groups]
    .map(([key, group]) => {
      const [kvfvId, windowStartUs] = JSON.parse(key) as [string, number]
      return naiveRow(kvfvId, windowStartUs, group, options)
    })
    .sort((a, b) =>
      a.kvfvId === b.kvfvId ? a.windowStartUs - b.windowStartUs : a.kvfvId < b.kvfvId ? -1 : 1,
    )
}

function naiveRow(
  kvfvId: string,
  windowStartUs: number,
  group: readonly { first: NaiveEvent; duplicates: number }[],
  options: Parameters<typeof naiveRollup>[1],
): NaiveRow {
  const speeds = group.map(({ first }) => BigInt(first.speedMilli))
  const sorted = [...speeds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const histogram: Record<number, bigint> = {}
  let paceSum = 0n
  for (const v of speeds) {
    const bin = Number(v / 1000n)
    histogram[bin] = (histogram[bin] ?? 0n) + 1n
    if (v >= 1000n) paceSum += (3_600_000_000_000n + v / 2n) / v
  }
  let violations: bigint | null = null
  for (const { first } of group) {
    const limit = options.limitOf?.(first.kvfvId, first.eventTimeUs) ?? null
    if (limit !== null) violations = (violations ?? 0n) + (first.speedMilli > limit ? 1n : 0n)
  }
  const isLate = (e: NaiveEvent) => e.receivedAtUs - e.eventTimeUs > options.latenessUsMax
  return {
    kvfvId,
    windowStartUs,
    eventCount: BigInt(group.length),
    speedSum: speeds.reduce((sum, v) => sum + v, 0n),
    speedSumSq: speeds.reduce((sum, v) => sum + v * v, 0n),
    paceSum,
    standingCount: BigInt(speeds.filter((v) => v < 1000n).length),
    speedMin: sorted[0] as bigint,
    speedMax: sorted.at(-1) as bigint,
    violationCount: violations,
    lateCount: BigInt(group.filter(({ first }) => isLate(first)).length),
    histogram,
    // Nearest rank: the ⌈p·n⌉-th smallest, in integers.
    median: sorted[Math.ceil((group.length * 50) / 100) - 1] as bigint,
    p85: sorted[Math.ceil((group.length * 85) / 100) - 1] as bigint,
    duplicateCount: BigInt(group.reduce((sum, { duplicates }) => sum + duplicates, 0)),
  }
}
