/**
 * How a sink stands, judged from outside: by its tables and the log alone, so beside any number of processes
 * and on any machine. Pure; `potok status` brings the facts.
 */
import type { LoadedTable } from '../iceberg/catalog.ts'
import type { LogView, SinkView } from '../iceberg/sink/inspect-sink.ts'
import { lineageOf } from '../iceberg/sink/positions.ts'
import { formatUs } from '../kernel/time.ts'
import { summaryCommitIdKey, summaryOffsetsKey } from '../kernel/tables.ts'

export type PartitionReport = {
  readonly logPartition: number
  readonly logEpoch: number
  readonly position: number
  readonly logStart: number
  readonly logEnd: number
  readonly lag: number
  /** Age of the oldest record that isn't committed; null: there is none, or it can't be read. */
  readonly ageSeconds: number | null
}

export type SinkReport = {
  /** The case for which the sink halts, or would if it ran. */
  readonly halted: string | null
  /** Records of the log that it has not committed; null: the log can't be asked. */
  readonly lag: number | null
  readonly lagAgeSeconds: number | null
  readonly lastCommit: string | null
  readonly lastCommitAgeSeconds: number | null
  readonly partitions: readonly PartitionReport[]
}

export type Problem = { readonly part: string; readonly reason: string }

export type SinkFacts = {
  readonly name: string
  readonly view: SinkView
  readonly table: LoadedTable
  readonly log: LogView | null
  /** received_at of the first record behind the position, by log partition, as far as known. */
  readonly waiting: ReadonlyMap<number, number>
  readonly nowMs: number
  readonly lagAgeMsMax: number
}

export function judgeSink(facts: SinkFacts): { report: SinkReport; problems: Problem[] } {
  const { view, log, nowMs } = facts
  const partitions = (log?.ranges ?? []).map((range): PartitionReport => {
    const { logPartition, startOffset, endOffset } = range
    const stored = view.positions.get(logPartition)
    const position = stored?.nextOffset ?? (view.isFresh ? startOffset : 0)
    const receivedAtUs = facts.waiting.get(logPartition)
    return {
      logPartition,
      logEpoch: stored?.logEpoch ?? 0,
      position,
      logStart: startOffset,
      logEnd: endOffset,
      lag: Math.max(0, endOffset - position),
      ageSeconds: receivedAtUs === undefined ? null : secondsSince(receivedAtUs / 1_000, nowMs),
    }
  })
  const ages = partitions.flatMap(({ ageSeconds }) => ageSeconds ?? [])
  const lastCommitMs = lastCommitMsOf(facts.table)
  const report: SinkReport = {
    halted: view.halt?.case ?? null,
    lag: log === null ? null : partitions.reduce((sum, { lag }) => sum + lag, 0),
    lagAgeSeconds: ages.length === 0 ? null : Math.max(...ages),
    lastCommit: lastCommitMs === null ? null : formatUs(lastCommitMs * 1_000),
    lastCommitAgeSeconds: lastCommitMs === null ? null : secondsSince(lastCommitMs, nowMs),
    partitions,
  }
  return { report, problems: problemsOf(facts, report) }
}

function problemsOf({ name, view, lagAgeMsMax }: SinkFacts, report: SinkReport): Problem[] {
  if (view.halt !== null) return [{ part: name, reason: view.halt.message }]
  const { lag, lagAgeSeconds, lastCommitAgeSeconds } = report
  const isCommitOld = (lastCommitAgeSeconds ?? 0) * 1_000 > lagAgeMsMax
  if (lag !== null && lag > 0 && lagAgeSeconds === null && isCommitOld) {
    return [
      {
        part: name,
        reason: `behind: ${lag} offsets of the log can't be read and nothing was committed for ${lastCommitAgeSeconds} s: a transaction that a producer left open holds records back, or the sink does not run`,
      },
    ]
  }
  if (lagAgeSeconds === null || lagAgeSeconds * 1_000 <= lagAgeMsMax) return []
  const last =
    lastCommitAgeSeconds === null
      ? 'nothing was ever committed'
      : `the last commit was ${lastCommitAgeSeconds} s ago`
  // Who commits all the time and is behind has too much to do; who doesn't commit has a reason of its own.
  const isStill = lastCommitAgeSeconds === null || lastCommitAgeSeconds * 1_000 > lagAgeMsMax
  const advice = isStill
    ? 'it does not run, or it fails: /readyz of its process says why'
    : 'it is catching up'
  return [
    {
      part: name,
      reason: `behind: the oldest record not yet committed was received ${lagAgeSeconds} s ago, ${lag} records to go; ${last}: ${advice}`,
    },
  ]
}

/** By the sink, not by maintenance. */
function lastCommitMsOf({ metadata }: LoadedTable): number | null {
  const own = lineageOf(metadata).snapshots.find(
    ({ summary }) =>
      summary[summaryOffsetsKey] !== undefined &&
      summary[summaryCommitIdKey] !== undefined &&
      summary.operation === 'append',
  )
  return own?.timestampMs ?? null
}

function secondsSince(atMs: number, nowMs: number): number {
  return Math.max(0, Math.round((nowMs - atMs) / 1_000))
}
