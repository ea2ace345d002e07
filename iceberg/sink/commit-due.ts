/** When a sink commits what it has collected: a decision, without clock. */
import type { SinkFill } from './sink-processor.ts'

export type CommitLimits = {
  readonly commitRowsMax: number
  readonly commitBytesMax: number
  /** A commit is begun at the latest this long after its oldest record was received. */
  readonly commitAgeMsMax: number
}

export type CommitMoment = {
  /** When the first block of the batch came. */
  readonly firstMs: number
  readonly nowMs: number
  /** The log is read to its end. */
  readonly isCaughtUp: boolean
  /** How long the last commit took. */
  readonly lastCommitMs: number
}

/** A commit may take this long before the promise of age needs an earlier beginning. */
const commitMsExpected = 1_000
/** A commit of more files than these may become larger, up to so many times the limits of rows, bytes and age. */
const filesUsual = 32
const stretchMax = 3
/** Of its age less, where somebody waits to see the newest events. */
const ageStretchMax = 2
/** Behind, rows say when: age only sees to it that those of a slow log are committed, too. */
const catchUpStretch = 2

/**
 * Rows and bytes at once. Age: since we have it, or, where the log is read to its end, since it was received.
 * In catch-up everything is old; committing for that reason would make tiny commits.
 */
export function isCommitDue(limits: CommitLimits, fill: SinkFill, moment: CommitMoment): boolean {
  const { firstMs, nowMs, isCaughtUp, lastCommitMs } = moment
  if (fill.full === true) return true
  const stretch = stretchOf(fill)
  if (fill.rows >= limits.commitRowsMax * stretch) return true
  if (fill.bytes >= limits.commitBytesMax * stretch) return true
  if (!isCaughtUp) return nowMs - firstMs >= limits.commitAgeMsMax * catchUpStretch * stretch
  const slowMs = Math.max(0, lastCommitMs - commitMsExpected)
  const ageMsMax = limits.commitAgeMsMax * Math.min(stretch, ageStretchMax)
  const ageMs = Math.max(limits.commitAgeMsMax / 4, ageMsMax - slowMs)
  const receivedMs = fill.oldestReceivedAtUs === null ? nowMs : fill.oldestReceivedAtUs / 1_000
  return nowMs - Math.min(firstMs, receivedMs) >= ageMs
}

/**
 * Late events make a file a day whatever a commit holds: a few thousand rows have nearly as many days as a
 * million. So a commit of many files waits for more rows: that keeps files, and the time they take, per million
 * rows down.
 */
function stretchOf({ files }: SinkFill): number {
  return Math.min(stretchMax, Math.max(1, (files ?? 1) / filesUsual))
}
