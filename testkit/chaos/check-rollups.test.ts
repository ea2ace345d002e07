/** The oracle of rollups names what is wrong, and nothing where all is right. */
import { expect, test } from 'vitest'
import { naiveRollup } from '../naive-rollups.ts'
import { checkRollups, type RollupsEvidence } from './check-rollups.ts'
import type { EventRow, RollupRow } from './judges.ts'
import { eventOf } from './sent-events.ts'

const seed = 9
const baseMs = Date.UTC(2026, 10, 25, 12)
const sealedUntilUs = Date.UTC(2026, 10, 25, 11, 30) * 1_000
const latenessUsMax = 1_800_000_000

/** 400 events, the first ten of them twice. */
const events: EventRow[] = Array.from({ length: 410 }, (_, logOffset) => {
  const serial = logOffset % 400
  const { kvfvId, eventTimeUs, speedMilli, plate } = eventOf(seed, baseMs, serial)
  return {
    serial,
    kvfvId,
    eventTimeUs,
    speedMilli,
    plate,
    logOffset,
    eventId: `id-${serial}`,
    receivedAtUs: baseMs * 1_000,
    logEpoch: 0,
    logPartition: 0,
  }
})

function rowsOf(windowUs: number, isExact: boolean): RollupRow[] {
  const naive = naiveRollup(
    events.map((event, at) => ({ ...event, eventId: isExact ? event.eventId : `${at}` })),
    { windowUs, latenessUsMax },
  )
  return naive.map((row) => ({
    kvfvId: row.kvfvId,
    windowStartUs: row.windowStartUs,
    isExact,
    eventCount: Number(row.eventCount),
    speedSum: row.speedSum,
    speedSumSq: row.speedSumSq,
    paceSum: row.paceSum,
    standingCount: Number(row.standingCount),
    speedMin: Number(row.speedMin),
    speedMax: Number(row.speedMax),
    lateCount: Number(row.lateCount),
    histogram: JSON.stringify(
      Object.fromEntries(Object.entries(row.histogram).map(([bin, n]) => [bin, Number(n)])),
    ),
    median: isExact ? Number(row.median) : null,
    p85: isExact ? Number(row.p85) : null,
    duplicateCount: isExact ? Number(row.duplicateCount) : null,
  }))
}

function evidence(change: (rows: RollupRow[]) => void = () => undefined): RollupsEvidence {
  const rows = [
    ...rowsOf(300_000_000, true).filter((row) => row.windowStartUs < sealedUntilUs),
    ...rowsOf(300_000_000, false).filter((row) => row.windowStartUs >= sealedUntilUs),
  ]
  change(rows)
  const hours = rowsOf(3_600_000_000, true).filter(
    (row) => row.windowStartUs + 3_600_000_000 <= sealedUntilUs,
  )
  const rollups = { rollup_5m: rows, rollup_1h: hours }
  return { seed, baseMs, latenessUsMax, sealedUntilUs, events, rollups, isExactDue: true }
}

const find = (change: (rows: RollupRow[]) => void): string =>
  checkRollups(evidence(change)).findings.join('\n')

test('exact and provisional windows are as recomputed, and partial sums add up', () => {
  const verdict = checkRollups(evidence())
  expect(verdict.findings).toEqual([])
  expect(verdict.exactWindows).toBeGreaterThan(50)
  expect(verdict.provisionalWindows).toBeGreaterThan(50)
})

test('a wrong sum, a missing row, a row too many and one on the wrong side of the seal are named', () => {
  const first = (rows: RollupRow[]): RollupRow => rows[0] as RollupRow
  const last = (rows: RollupRow[]): RollupRow => rows.at(-1) as RollupRow
  expect(find((rows) => rows.splice(0, 1, { ...first(rows), speedSum: 1n }))).toContain('should be')
  expect(find((rows) => rows.shift())).toContain('is missing')
  expect(find((rows) => rows.push(first(rows)))).toContain('is there twice')
  expect(find((rows) => rows.push(last(rows)))).toContain('provisional: rollup_5m')
  const lateExact = (rows: RollupRow[]) =>
    rows.push({ ...first(rows), windowStartUs: last(rows).windowStartUs + 300_000_000 })
  expect(find(lateExact)).toContain('has an exact row')
  expect(find((rows) => rows.push({ ...first(rows), isExact: false }))).toContain('partial sum')
})
