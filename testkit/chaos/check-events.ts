/**
 * The oracle of the fault run for `events` and `rejected_events`: compares what a judge read with what was sent,
 * and with what the log holds by another reader. Pure: findings are sentences.
 *
 *   no-loss       every acknowledged event is there
 *   no-invention  nothing is there that was never sent, was sent less often, or was in an aborted transaction
 *   no-twice      each position of the log is there once
 *   no-gap        rows and ranges cover each partition from its start to its end
 *   as-sent       rows hold what was sent, and an event has one id, which no other event has
 *   as-logged     what the log holds at a position is what the table holds there
 */
import type { EventRow, RejectedRow } from './judges.ts'
import { eventOf, fates, type Ledger } from './sent-events.ts'

export type EventsEvidence = {
  readonly seed: number
  readonly baseMs: number
  readonly ledger: Ledger
  readonly events: readonly EventRow[]
  readonly rejected: readonly RejectedRow[]
  /** End of each partition of the log. */
  readonly logEnds: ReadonlyMap<number, number>
  /** Serial of each record of the log, by partition and offset; -1 where it holds no event. */
  readonly logged: ReadonlyMap<number, ReadonlyMap<number, number>>
}

export type EventsVerdict = {
  readonly findings: readonly string[]
  readonly lost: number
  /** Positions that are there more than once. */
  readonly duplicates: number
  /** Events that were sent more than once and are there more than once: rows with one event_id. */
  readonly repeatedRows: number
  readonly distinct: number
}

const listedMax = 20

export function createFindings(): {
  readonly add: (promise: string, what: string) => void
  readonly list: string[]
} {
  const list: string[] = []
  const counts = new Map<string, number>()
  return {
    list,
    add(promise, what) {
      const count = (counts.get(promise) ?? 0) + 1
      counts.set(promise, count)
      if (count <= listedMax) list.push(`${promise}: ${what}`)
      else if (count === listedMax + 1) list.push(`${promise}: … and more`)
    },
  }
}

export function checkEvents(evidence: EventsEvidence): EventsVerdict {
  const findings = createFindings()
  const copies = checkRows(evidence, findings.add)
  let lost = 0
  for (let serial = 0; serial < evidence.ledger.size; serial++) {
    if (evidence.ledger.fate(serial) !== fates.kept || copies.has(serial)) continue
    lost++
    findings.add('no-loss', `event ${serial} was acknowledged and is not there`)
  }
  const duplicates = checkPositions(evidence, findings.add)
  checkLogged(evidence, findings.add)
  const rows = evidence.events.length
  return {
    findings: findings.list,
    lost,
    duplicates,
    repeatedRows: rows - copies.size,
    distinct: copies.size,
  }
}

type Add = (promise: string, what: string) => void

/** Rows by serial. */
function checkRows(
  { ledger, events, seed, baseMs }: EventsEvidence,
  add: Add,
): Map<number, number> {
  const copies = new Map<number, number>()
  const idOf = new Map<number, string>()
  const serialOf = new Map<string, number>()
  for (const row of events) {
    const { serial } = row
    const fate = ledger.fate(serial)
    if (fate === fates.unsent) {
      add('no-invention', `a row of event ${serial}, which was never sent: ${place(row)}`)
      continue
    }
    if (fate === fates.never) {
      add('no-invention', `event ${serial} of an aborted transaction is there: ${place(row)}`)
    }
    copies.set(serial, (copies.get(serial) ?? 0) + 1)
    const sent = eventOf(seed, baseMs, serial)
    for (const name of ['kvfvId', 'eventTimeUs', 'speedMilli', 'plate'] as const) {
      if (sent[name] !== row[name]) {
        add('as-sent', `event ${serial} has ${name} ${row[name]}, sent was ${sent[name]}`)
      }
    }
    const knownId = idOf.get(serial) ?? row.eventId
    const knownSerial = serialOf.get(row.eventId) ?? serial
    idOf.set(serial, knownId)
    serialOf.set(row.eventId, knownSerial)
    if (knownId !== row.eventId) add('as-sent', `event ${serial} has two ids`)
    if (knownSerial !== serial) add('as-sent', `events ${serial} and ${knownSerial} share an id`)
  }
  for (const [serial, count] of copies) {
    if (count > ledger.timesSent(serial)) {
      add(
        'no-invention',
        `event ${serial} is there ${count} times, sent ${ledger.timesSent(serial)}`,
      )
    }
  }
  return copies
}

/** Positions that are there more than once. */
function checkPositions({ events, rejected, logEnds }: EventsEvidence, add: Add): number {
  const byPartition = new Map<string, { offset: number; count: number }[]>()
  const take = (row: EventRow | RejectedRow, count: number): void => {
    const key = `${row.logEpoch}/${row.logPartition}`
    const ranges = byPartition.get(key) ?? []
    ranges.push({ offset: row.logOffset, count })
    byPartition.set(key, ranges)
  }
  for (const row of events) take(row, 1)
  for (const row of rejected) take(row, row.recordCount)
  let duplicates = 0
  for (const [key, ranges] of byPartition) {
    ranges.sort((a, b) => a.offset - b.offset)
    let next = 0
    for (const { offset, count } of ranges) {
      if (offset < next) {
        duplicates += Math.min(next - offset, count)
        add('no-twice', `partition ${key}: offset ${offset} is there again`)
      }
      if (offset > next)
        add('no-gap', `partition ${key}: offsets ${next} to ${offset - 1} are missing`)
      next = Math.max(next, offset + count)
    }
    const [epoch, partition] = key.split('/').map(Number)
    const end = logEnds.get(partition ?? -1)
    if (epoch !== [...byPartition.keys()].map((one) => Number(one.split('/')[0])).at(0)) {
      add('no-invention', `there is an epoch ${epoch}, and nobody raised it`)
    }
    if (next !== end) add('no-gap', `partition ${key} ends at ${next}, the log at ${end}`)
  }
  for (const [partition, end] of logEnds) {
    if (end > 0 && ![...byPartition.keys()].some((key) => key.endsWith(`/${partition}`))) {
      add('no-gap', `nothing of partition ${partition} is there, which has ${end} offsets`)
    }
  }
  return duplicates
}

function checkLogged({ ledger, events, rejected, logged }: EventsEvidence, add: Add): void {
  let known = 0
  for (const row of events) {
    const serial = logged.get(row.logPartition)?.get(row.logOffset)
    if (serial === row.serial) known++
    else add('as-logged', `${place(row)} holds event ${row.serial}, the log ${serial ?? 'nothing'}`)
  }
  for (const { reason, logPartition, logOffset, recordCount } of rejected) {
    if (reason === 'log_gap') {
      for (let at = logOffset; at < logOffset + recordCount; at++) {
        const serial = logged.get(logPartition)?.get(at)
        if (serial === undefined) continue
        const shown = `event ${serial} (fate ${ledger.fate(serial)})`
        add('as-logged', `a gap covers offset ${at} of ${logPartition}, where the log has ${shown}`)
      }
    } else if (logged.get(logPartition)?.get(logOffset) !== -1) {
      add('as-logged', `offset ${logOffset} of ${logPartition} was rejected (${reason})`)
    } else known++
  }
  const all = [...logged.values()].reduce((sum, records) => sum + records.size, 0)
  if (known !== all) add('as-logged', `${all} records in the log, ${known} of them in the tables`)
}

function place({ logEpoch, logPartition, logOffset }: EventRow): string {
  return `offset ${logOffset} of partition ${logPartition}, epoch ${logEpoch}`
}
