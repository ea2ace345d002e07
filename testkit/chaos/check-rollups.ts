/**
 * The oracle of the fault run for the rollups: computes them anew, by the plainest code there is, from what was
 * sent (values) and what the judge saw in `events` (which copies, when received, where in the log). Pure.
 *
 *   exact        windows before `sealed_until` hold one exact row each: sums over distinct events
 *   provisional  windows after it hold partial sums only, which add up to all rows of `events`
 */
import { type NaiveEvent, type NaiveRow, naiveRollup } from '../naive-rollups.ts'
import { createFindings } from './check-events.ts'
import type { EventRow, RollupName, RollupRow } from './judges.ts'
import { eventOf } from './sent-events.ts'

export type RollupsEvidence = {
  readonly seed: number
  readonly baseMs: number
  readonly latenessUsMax: number
  readonly sealedUntilUs: number | null
  readonly events: readonly EventRow[]
  readonly rollups: Readonly<Partial<Record<RollupName, readonly RollupRow[]>>>
  /** False while events may wait for the next exact run: then only provisional windows are compared. */
  readonly isExactDue: boolean
}

export type RollupsVerdict = {
  readonly findings: readonly string[]
  readonly exactWindows: number
  readonly provisionalWindows: number
}

const windowUs: Readonly<Record<RollupName, number>> = {
  rollup_5m: 300_000_000,
  rollup_1h: 3_600_000_000,
  rollup_1d: 86_400_000_000,
}

export function checkRollups(evidence: RollupsEvidence): RollupsVerdict {
  const findings = createFindings()
  const sealed = evidence.sealedUntilUs ?? -Infinity
  let exactWindows = 0
  let provisionalWindows = 0
  for (const [name, rows] of Object.entries(evidence.rollups) as [RollupName, RollupRow[]][]) {
    const length = windowUs[name]
    const isSealed = (startUs: number): boolean => startUs + length <= sealed
    const exact = rows.filter(({ isExact }) => isExact)
    for (const { kvfvId, windowStartUs } of exact) {
      if (windowStartUs >= sealed) {
        findings.add('exact', `${name} has an exact row of ${kvfvId} at ${at(windowStartUs)}`)
      }
    }
    if (evidence.isExactDue) {
      const wanted = recomputed(evidence, length, true).filter((w) => isSealed(w.windowStartUs))
      const found = exact.filter((row) => isSealed(row.windowStartUs)).map(shownExact)
      exactWindows += wanted.length
      compare(`exact: ${name}`, wanted.map(naiveExact), found, findings.add)
    }
    if (name !== 'rollup_5m') {
      if (exact.length !== rows.length) findings.add('exact', `${name} has provisional rows`)
      continue
    }
    const partial = rows.filter(({ isExact }) => !isExact)
    for (const { kvfvId, windowStartUs } of partial) {
      if (windowStartUs < sealed) {
        findings.add('exact', `${name} has a partial sum of ${kvfvId} at ${at(windowStartUs)}`)
      }
    }
    const wanted = recomputed(evidence, length, false).filter((w) => w.windowStartUs >= sealed)
    provisionalWindows += wanted.length
    const found = addedUp(partial.filter((row) => row.windowStartUs >= sealed))
    compare(`provisional: ${name}`, wanted.map(naiveSums), found, findings.add)
  }
  return { findings: findings.list, exactWindows, provisionalWindows }
}

function recomputed(evidence: RollupsEvidence, length: number, isExact: boolean): NaiveRow[] {
  const events = evidence.events.map((row, index): NaiveEvent => {
    const sent = eventOf(evidence.seed, evidence.baseMs, row.serial)
    return {
      // To the stream every record counts.
      eventId: isExact ? String(row.serial) : `${row.serial} ${index}`,
      kvfvId: sent.kvfvId,
      eventTimeUs: sent.eventTimeUs,
      speedMilli: sent.speedMilli,
      receivedAtUs: row.receivedAtUs,
      logEpoch: row.logEpoch,
      logPartition: row.logPartition,
      logOffset: row.logOffset,
    }
  })
  return naiveRollup(events, { windowUs: length, latenessUsMax: evidence.latenessUsMax })
}

/** Key and content, each as text: what is compared. */
type Shown = readonly [key: string, content: string]

function sumsText(sums: {
  readonly eventCount: number | bigint
  readonly speedSum: bigint
  readonly speedSumSq: bigint
  readonly paceSum: bigint
  readonly standingCount: number | bigint
  readonly speedMin: number | bigint
  readonly speedMax: number | bigint
  readonly lateCount: number | bigint
  readonly histogram: Readonly<Record<string, number | bigint>>
}): string {
  const bins = Object.entries(sums.histogram)
    .map(([bin, count]) => [Number(bin), Number(count)] as const)
    .sort(([a], [b]) => a - b)
  return [
    `n=${sums.eventCount} sum=${sums.speedSum} squares=${sums.speedSumSq} pace=${sums.paceSum}`,
    `standing=${sums.standingCount} min=${sums.speedMin} max=${sums.speedMax} late=${sums.lateCount}`,
    `histogram=${bins.map(([bin, count]) => `${bin}:${count}`).join(',')}`,
  ].join(' ')
}

function keyOf(row: { readonly kvfvId: string; readonly windowStartUs: number }): string {
  return `${row.kvfvId} ${at(row.windowStartUs)}`
}

function naiveSums(row: NaiveRow): Shown {
  return [keyOf(row), sumsText(row)]
}

function naiveExact(row: NaiveRow): Shown {
  const more = `median=${row.median} p85=${row.p85} duplicates=${row.duplicateCount}`
  return [keyOf(row), `${sumsText(row)} ${more}`]
}

function shownExact(row: RollupRow): Shown {
  const histogram = JSON.parse(row.histogram) as Record<string, number>
  const more = `median=${row.median} p85=${row.p85} duplicates=${row.duplicateCount}`
  return [keyOf(row), `${sumsText({ ...row, histogram })} ${more}`]
}

function addedUp(rows: readonly RollupRow[]): Shown[] {
  return [...Map.groupBy(rows, keyOf)].map(([key, parts]): Shown => {
    const total = (of: (row: RollupRow) => number): number =>
      parts.reduce((sum, row) => sum + of(row), 0)
    const bigTotal = (of: (row: RollupRow) => bigint): bigint =>
      parts.reduce((sum, row) => sum + of(row), 0n)
    const histogram: Record<string, number> = {}
    for (const part of parts) {
      for (const [bin, count] of Object.entries(
        JSON.parse(part.histogram) as Record<string, number>,
      )) {
        histogram[bin] = (histogram[bin] ?? 0) + count
      }
    }
    const text = sumsText({
      eventCount: total((row) => row.eventCount),
      speedSum: bigTotal((row) => row.speedSum),
      speedSumSq: bigTotal((row) => row.speedSumSq),
      paceSum: bigTotal((row) => row.paceSum),
      standingCount: total((row) => row.standingCount),
      speedMin: Math.min(...parts.map((row) => row.speedMin)),
      speedMax: Math.max(...parts.map((row) => row.speedMax)),
      lateCount: total((row) => row.lateCount),
      histogram,
    })
    return [key, text]
  })
}

function compare(
  what: string,
  wanted: readonly Shown[],
  found: readonly Shown[],
  add: (promise: string, what: string) => void,
): void {
  const left = new Map(wanted)
  const seen = new Set<string>()
  for (const [key, content] of found) {
    const wish = left.get(key)
    if (seen.has(key)) add(what, `${key} is there twice`)
    else if (wish === undefined) add(what, `${key} is there: no event has it`)
    else if (wish !== content) add(what, `${key} is ${content}, should be ${wish}`)
    seen.add(key)
  }
  for (const [key] of wanted) if (!seen.has(key)) add(what, `${key} is missing`)
}

function at(us: number): string {
  return new Date(us / 1_000).toISOString()
}
