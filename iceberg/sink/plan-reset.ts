/**
 * What a reset of log positions does, decided from what is there: pure.
 *
 * A sink that has halted waits for somebody who says what was meant. The reset says it: where reading goes on
 * in each log partition whose position can't stand. It raises `log_epoch` for all partitions of both sinks,
 * so that an offset of before is never taken for one of after, and writes down where each epoch ends and
 * begins as `log_gap` rows, so that the audit closes per epoch and a row lost at either edge is seen.
 *
 * Invariant: the rollup stream never reads what the writer leaves out, or its sums would hold records that
 * `events` will never have.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { LogRange } from '../../kernel/ports.ts'
import type { LogView, SinkView } from './inspect-sink.ts'
import { isSameLog } from './positions.ts'
import type { LogPosition } from './sink-processor.ts'

/** Where the log begins now, where it ends now, or an offset per log partition. */
export type ResetTarget = 'start' | 'end' | ReadonlyMap<number, number>

/** A row of `rejected_events`. No offsets: it marks where an epoch ends or begins. */
export type LogGap = {
  readonly logEpoch: number
  readonly logPartition: number
  readonly logOffset: number
  readonly recordCount: number
  readonly detail: string
}

export type PartitionReset = {
  readonly logPartition: number
  /** What makes its position impossible; null: it keeps its place. */
  readonly problem: string | null
  /** Next offsets before and after; null: none was stored. */
  readonly writer: { readonly from: number | null; readonly to: number }
  readonly rollups: { readonly from: number | null; readonly to: number }
  /** Offsets known to be left out by the writer, and offsets that it will read though it has read them before. */
  readonly skipped: number
  readonly repeated: number
  /** True: what the former log held behind the position was never read, and nobody knows how much. */
  readonly isRestUnknown: boolean
  /**
   * Records that only one of the sinks had read, or will. Averages of their windows differ from the events
   * until an exact run has computed them.
   */
  readonly missingInRollups: number
  readonly onlyInRollups: number
}

export type ResetPlan = {
  readonly logEpoch: number
  readonly partitions: readonly PartitionReset[]
  /** New positions, complete. */
  readonly writer: ReadonlyMap<number, LogPosition>
  readonly rollups: ReadonlyMap<number, LogPosition>
  readonly gaps: readonly LogGap[]
}

export type ResetInput = {
  readonly log: LogView
  readonly writer: SinkView
  readonly rollups: SinkView
  /** Greatest epoch of any row, where positions don't say. */
  readonly logEpochMax: number
  readonly target: ResetTarget
  /** Also partitions whose position is fine. */
  readonly force: boolean
}

/** InvalidInput where nothing is to be reset, or the target makes no sense. */
export function planReset(input: ResetInput): ResetPlan {
  const { log, writer, rollups, force, target } = input
  if (writer.isFresh && rollups.isFresh) {
    throw new PotokError('InvalidInput', 'nothing to reset: no table holds anything yet')
  }
  if (writer.halt === null && rollups.halt === null && !force) {
    throw new PotokError(
      'InvalidInput',
      'nothing to reset: tables and log agree, and the sinks can go on. --force moves positions all the same',
    )
  }
  const epochs = [...writer.positions.values(), ...rollups.positions.values()]
  const logEpoch = Math.max(input.logEpochMax, 0, ...epochs.map((p) => p.logEpoch)) + 1
  const ranges = new Map(log.ranges.map((range) => [range.logPartition, range]))
  checkTarget(target, ranges)
  const all = new Set([...ranges.keys(), ...writer.heldTo.keys(), ...rollups.heldTo.keys()])
  const partitions: PartitionReset[] = []
  const newWriter = new Map<number, LogPosition>()
  const newRollups = new Map<number, LogPosition>()
  const gaps: LogGap[] = []
  const place = (old: LogPosition | undefined, nextOffset: number): LogPosition => ({
    ...log.identity,
    logEpoch,
    nextOffset,
    eventTimeUsMax: old?.eventTimeUsMax ?? null,
  })
  for (const logPartition of [...all].sort((a, b) => a - b)) {
    // A partition that the log doesn't have: it may get it one day, from 0 on.
    const range = ranges.get(logPartition) ?? { logPartition, startOffset: 0, endOffset: 0 }
    const chosen = (view: SinkView): { problem: string | null; to: number } => {
      const problem = problemOf(view, log, range)
      const isMoved = problem !== null || force
      return { problem, to: isMoved ? targetIn(target, range, view) : heldTo(view, logPartition) }
    }
    const forWriter = chosen(writer)
    const forRollups = chosen(rollups)
    const { isSame, held } = standing(writer, log, logPartition)
    const skipped = Math.max(0, forWriter.to - (isSame ? held : range.startOffset))
    const rollupsTo = skipped > 0 ? Math.max(forRollups.to, forWriter.to) : forRollups.to
    const old = writer.positions.get(logPartition)
    newWriter.set(logPartition, place(old, forWriter.to))
    newRollups.set(logPartition, place(rollups.positions.get(logPartition), rollupsTo))
    gaps.push(...gapsOf({ logPartition, held, isSame, skipped, to: forWriter.to, range }))
    partitions.push({
      logPartition,
      problem: forWriter.problem ?? forRollups.problem,
      writer: { from: old?.nextOffset ?? null, to: forWriter.to },
      rollups: {
        from: rollups.positions.get(logPartition)?.nextOffset ?? null,
        to: rollupsTo,
      },
      skipped,
      repeated: isSame ? Math.max(0, Math.min(held, range.endOffset) - forWriter.to) : 0,
      isRestUnknown: !isSame && old !== undefined,
      ...apart({
        isSame,
        held,
        streamHeld: heldTo(rollups, logPartition),
        to: forWriter.to,
        rollupsTo,
      }),
    })
  }
  return { logEpoch, partitions, writer: newWriter, rollups: newRollups, gaps }

  function gapsOf(at: {
    logPartition: number
    held: number
    isSame: boolean
    skipped: number
    to: number
    range: LogRange
  }): LogGap[] {
    const { logPartition, held, isSame, skipped, to, range } = at
    const oldEpoch = writer.positions.get(logPartition)?.logEpoch ?? logEpoch - 1
    const closing = { logEpoch: oldEpoch, logPartition, logOffset: held }
    const isKnown = writer.heldTo.has(logPartition) || skipped > 0
    const opening = { logEpoch, logPartition }
    if (isSame) {
      const what =
        skipped > 0
          ? `offsets ${held} to ${to - 1} were never read`
          : `nothing behind offset ${held} is left out`
      return [
        ...(isKnown
          ? [{ ...closing, recordCount: skipped, detail: `reset on purpose: ${what}` }]
          : []),
        {
          ...opening,
          logOffset: to,
          recordCount: 0,
          detail: `reset on purpose: epoch ${logEpoch} begins here`,
        },
      ]
    }
    const skips = skipped > 0 ? `; offsets ${range.startOffset} to ${to - 1} were skipped` : ''
    const replaced = `reset on purpose: the log was replaced, what the former one held from offset ${held} on was never read`
    return [
      ...(writer.heldTo.has(logPartition)
        ? [{ ...closing, recordCount: 0, detail: replaced }]
        : []),
      {
        ...opening,
        logOffset: to - skipped,
        recordCount: skipped,
        detail: `reset on purpose: epoch ${logEpoch} begins here, in another log${skips}`,
      },
    ]
  }
}

function apart(at: {
  isSame: boolean
  held: number
  streamHeld: number
  to: number
  rollupsTo: number
}): Pick<PartitionReset, 'missingInRollups' | 'onlyInRollups'> {
  const { isSame, held, streamHeld, to, rollupsTo } = at
  // In the same log both go on: what only one has is what the other leaves out.
  const streamEnd = isSame ? Math.min(held, rollupsTo) : held
  const writerEnd = isSame ? Math.min(streamHeld, to) : streamHeld
  return {
    missingInRollups: Math.max(0, streamEnd - streamHeld),
    onlyInRollups: Math.max(0, writerEnd - held),
  }
}

function heldTo(view: SinkView, logPartition: number): number {
  return view.heldTo.get(logPartition) ?? view.positions.get(logPartition)?.nextOffset ?? 0
}

/** Is what the sink holds of this partition from the log that is here? Where it doesn't know: yes. */
function standing(
  view: SinkView,
  log: LogView,
  logPartition: number,
): { isSame: boolean; held: number } {
  const position = view.positions.get(logPartition)
  const anywhere = view.positions.values().next().value
  const known = position ?? anywhere
  return {
    isSame: known === undefined || isSameLog(known, log.identity),
    held: heldTo(view, logPartition),
  }
}

function problemOf(view: SinkView, log: LogView, range: LogRange): string | null {
  const { isSame, held } = standing(view, log, range.logPartition)
  if (!isSame) return 'log_replaced'
  if (held < range.startOffset) return 'below_log_start'
  if (held > range.endOffset) return 'above_log_end'
  // The tables contradict themselves: no position of theirs can be trusted.
  const haltCase = view.halt?.case
  return haltCase === 'positions_missing' ||
    haltCase === 'rolled_back' ||
    haltCase === 'tables_disagree'
    ? haltCase
    : null
}

function targetIn(target: ResetTarget, range: LogRange, view: SinkView): number {
  if (target === 'start') return range.startOffset
  if (target === 'end') return range.endOffset
  const offset = target.get(range.logPartition)
  if (offset !== undefined) return offset
  if (range.endOffset === 0) return 0
  throw new PotokError(
    'InvalidInput',
    `--to names no offset for log partition ${range.logPartition}, whose position (${heldTo(view, range.logPartition)}) can't stand: the log holds ${range.startOffset} to ${range.endOffset}`,
  )
}

function checkTarget(target: ResetTarget, ranges: ReadonlyMap<number, LogRange>): void {
  if (target === 'start' || target === 'end') return
  for (const [logPartition, offset] of target) {
    const range = ranges.get(logPartition)
    if (range === undefined) {
      throw new PotokError('InvalidInput', `--to: the log has no partition ${logPartition}`)
    }
    if (offset < range.startOffset || offset > range.endOffset) {
      throw new PotokError(
        'InvalidInput',
        `--to: offset ${offset} is outside of log partition ${logPartition}, which holds ${range.startOffset} to ${range.endOffset}`,
      )
    }
  }
}
