/** The judge is judged: each promise is broken once, and the oracle names it. */
import { expect, test } from 'vitest'
import { checkEvents, type EventsEvidence } from './check-events.ts'
import type { EventRow, RejectedRow } from './judges.ts'
import { createLedger, eventOf } from './sent-events.ts'

const seed = 5
const baseMs = Date.UTC(2026, 10, 25, 12)

function rowOf(serial: number, logPartition: number, logOffset: number): EventRow {
  const { kvfvId, eventTimeUs, speedMilli, plate } = eventOf(seed, baseMs, serial)
  return {
    serial,
    kvfvId,
    eventTimeUs,
    speedMilli,
    plate,
    eventId: `id-${serial}`,
    receivedAtUs: baseMs * 1_000,
    logEpoch: 0,
    logPartition,
    logOffset,
  }
}

/** Events 0 to 2 kept (1 sent twice), 3 unknown and not there, 4 aborted (offset 2 of partition 1), 5 unsent. */
function world(): { evidence: EventsEvidence; events: EventRow[]; rejected: RejectedRow[] } {
  const ledger = createLedger()
  ledger.take(5)
  ledger.sending([0, 1, 2, 3, 4])
  ledger.sending([1])
  ledger.kept([0, 1, 2])
  ledger.never([4])
  const events = [rowOf(0, 0, 0), rowOf(1, 0, 1), rowOf(2, 1, 0), rowOf(1, 1, 1)]
  const gap = { reason: 'log_gap', logEpoch: 0 }
  const junk = { reason: 'missing_field', logEpoch: 0, recordCount: 1 }
  const rejected: RejectedRow[] = [
    { ...gap, logPartition: 1, logOffset: 2, recordCount: 2 },
    { ...junk, logPartition: 1, logOffset: 4 },
  ]
  const logged = new Map([
    [
      0,
      new Map([
        [0, 0],
        [1, 1],
      ]),
    ],
    [
      1,
      new Map([
        [0, 2],
        [1, 1],
        [4, -1],
      ]),
    ],
  ])
  const logEnds = new Map([
    [0, 2],
    [1, 5],
  ])
  return {
    evidence: { seed, baseMs, ledger, events, rejected, logEnds, logged },
    events,
    rejected,
  }
}

function brokenBy(
  change: (events: EventRow[], rejected: RejectedRow[], ledger: EventsEvidence['ledger']) => void,
): string {
  const { evidence, events, rejected } = world()
  change(events, rejected, evidence.ledger)
  return checkEvents(evidence).findings.join('\n')
}

test('what was sent, aborted, sent again and never known is in order where it is as it should be', () => {
  expect(checkEvents(world().evidence)).toEqual({
    findings: [],
    lost: 0,
    duplicates: 0,
    repeatedRows: 1,
    distinct: 3,
  })
})

test('a row that is gone is a loss and a gap', () => {
  const findings = brokenBy((events) => events.splice(0, 1))
  expect(findings).toContain('no-loss: event 0')
  expect(findings).toContain('no-gap: partition 0/0: offsets 0 to 0')
  expect(findings).toContain('as-logged: 5 records in the log, 4 of them in the tables')
})

test('a row that is there twice, in its file or in a range, is named', () => {
  expect(brokenBy((events) => events.push(rowOf(1, 0, 1)))).toContain('no-twice: partition 0/0')
  const wide = (_: EventRow[], rejected: RejectedRow[]): void => {
    rejected[0] = { ...(rejected[0] as RejectedRow), logOffset: 1, recordCount: 3 }
  }
  expect(brokenBy(wide)).toContain('as-logged: a gap covers offset 1 of 1')
})

test('an aborted, an unsent and a too often repeated event are inventions', () => {
  expect(brokenBy((events) => events.push(rowOf(4, 0, 2)))).toContain('aborted transaction')
  expect(brokenBy((events) => events.push(rowOf(5, 0, 2)))).toContain('never sent')
  expect(brokenBy((events) => events.push(rowOf(0, 0, 2)))).toContain('there 2 times, sent 1')
})

test('a changed value, a second id and a shared id are seen, and so is a table that ends early', () => {
  const change = (at: number, by: Partial<EventRow>) => (events: EventRow[]) => {
    events[at] = { ...(events[at] as EventRow), ...by }
  }
  expect(brokenBy(change(0, { speedMilli: 1 }))).toContain('event 0 has speedMilli 1')
  expect(brokenBy(change(3, { eventId: 'other' }))).toContain('event 1 has two ids')
  expect(brokenBy(change(0, { eventId: 'id-2' }))).toContain('share an id')
  expect(brokenBy((_, rejected) => rejected.pop())).toContain('ends at 4, the log at 5')
  expect(brokenBy(change(2, { logEpoch: 1 }))).toContain('epoch 1')
})
