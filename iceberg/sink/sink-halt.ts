/**
 * Reasons for which a sink halts instead of trying again: going on would lose records or count them twice, and
 * only a person can say what was meant. It looks again now and then whether somebody has. The list of cases is closed; each message names the
 * choices. Nothing is ever reset silently (DESIGN §4 point 7).
 */
import { PotokError } from '../../kernel/errors.ts'
import type { LogIdentity, LogRange } from '../../kernel/ports.ts'
import type { LogPosition } from './sink-processor.ts'

export type SinkHaltCase =
  | 'positions_missing'
  | 'rolled_back'
  | 'tables_disagree'
  | 'log_replaced'
  | 'below_log_start'
  | 'above_log_end'

const resetChoice =
  'say where to go on (potok ingest reset --to start: where the log begins now, --to end: skip what it holds), which raises log_epoch and records the gap in rejected_events'

export class SinkHalt extends PotokError {
  readonly case: SinkHaltCase

  constructor(haltCase: SinkHaltCase, message: string, context: Readonly<Record<string, unknown>>) {
    super('DataCorrupt', message, { context: { case: haltCase, ...context } })
    this.name = 'SinkHalt'
    this.case = haltCase
  }
}

export function positionsMissing(table: string): SinkHalt {
  return new SinkHalt(
    'positions_missing',
    `Table ${table} has snapshots but no log positions (potok.log.position.*): reading the log from its start could count everything twice. Choices: put the properties back (an older metadata file has them), let potok write to an empty table, or ${resetChoice}.`,
    { table },
  )
}

export function rolledBack(table: string, detail: string): SinkHalt {
  return new SinkHalt(
    'rolled_back',
    `Table ${table} was rolled back: ${detail}. Going on would lose the records in between. Choices: roll main forward to the snapshot that the positions belong to, or ${resetChoice}.`,
    { table },
  )
}

export function tablesDisagree(first: string, other: string, detail: string): SinkHalt {
  return new SinkHalt(
    'tables_disagree',
    `Tables ${first} and ${other} are written in one commit but their log positions differ: ${detail}. One of them was rolled back, replaced or restored alone. Choices: bring both to the same commit (potok.commit_id in the snapshot summaries), or ${resetChoice}.`,
    { first, other },
  )
}

export function logReplaced(
  table: string,
  logPartition: number,
  position: LogPosition,
  identity: LogIdentity,
): SinkHalt {
  return new SinkHalt(
    'log_replaced',
    `Table ${table} stands at offset ${position.nextOffset} of log partition ${logPartition} of ${logName(position)}, but the log here is ${logName(identity)}: offsets of one mean nothing in the other. Choices: connect the log that the table was written from, or ${resetChoice}.`,
    { table, logPartition },
  )
}

function logName(log: LogIdentity): string {
  return `${log.topic} (topic id ${log.topicId}, cluster ${log.clusterId})`
}

export function outsideLog(
  table: string,
  range: LogRange,
  wantedOffset: number,
): SinkHalt | undefined {
  const where = `log partition ${range.logPartition}`
  const context = { table, wantedOffset, ...range }
  if (wantedOffset < range.startOffset) {
    return new SinkHalt(
      'below_log_start',
      `Table ${table} wants offset ${wantedOffset} of ${where}, but the log begins at ${range.startOffset}: retention removed ${range.startOffset - wantedOffset} offsets that were never read. Choices: restore the log, or ${resetChoice}.`,
      context,
    )
  }
  if (wantedOffset > range.endOffset) {
    return new SinkHalt(
      'above_log_end',
      `Table ${table} wants offset ${wantedOffset} of ${where}, but the log ends at ${range.endOffset}: the log was truncated or replaced, and new records would take offsets that the table already has. Choices: restore the log, or ${resetChoice}.`,
      context,
    )
  }
  return undefined
}
