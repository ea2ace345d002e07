import { describe, expect, test } from 'vitest'
import { type CommitMoment, isCommitDue } from './commit-due.ts'
import type { SinkFill } from './sink-processor.ts'

const limits = { commitRowsMax: 1_000, commitBytesMax: 1_000_000, commitAgeMsMax: 4_000 }
const nowMs = 1_000_000

function isDue(fill: Partial<SinkFill>, moment: Partial<CommitMoment> = {}): boolean {
  return isCommitDue(
    limits,
    { rows: 1, bytes: 1, oldestReceivedAtUs: nowMs * 1_000, ...fill },
    { firstMs: nowMs, nowMs, isCaughtUp: true, lastCommitMs: 500, ...moment },
  )
}

describe('a batch is due', () => {
  test('when it has the rows or bytes of a commit, or is full', () => {
    expect(isDue({ rows: 999 })).toBe(false)
    expect(isDue({ rows: 1_000 })).toBe(true)
    expect(isDue({ bytes: 1_000_000 })).toBe(true)
    expect(isDue({ full: true })).toBe(true)
  })

  test('when its oldest record was received long enough ago, if the log is read to its end', () => {
    const oldestReceivedAtUs = (nowMs - 4_000) * 1_000
    expect(isDue({ oldestReceivedAtUs })).toBe(true)
    expect(isDue({ oldestReceivedAtUs }, { isCaughtUp: false })).toBe(false)
    expect(isDue({ oldestReceivedAtUs: oldestReceivedAtUs + 1_000 })).toBe(false)
    // Earlier, where commits are slow: the promise is about when it is seen.
    expect(isDue({ oldestReceivedAtUs: oldestReceivedAtUs + 1_000 }, { lastCommitMs: 2_000 })).toBe(
      true,
    )
  })

  test('when it was begun long ago, wherever the log ends', () => {
    expect(isDue({}, { firstMs: nowMs - 4_000 })).toBe(true)
    expect(isDue({}, { firstMs: nowMs - 7_999, isCaughtUp: false, lastCommitMs: 9_000 })).toBe(
      false,
    )
    expect(isDue({}, { firstMs: nowMs - 8_000, isCaughtUp: false })).toBe(true)
  })

  test('later where it makes many files, within bounds', () => {
    expect(isDue({ rows: 1_000, files: 32 })).toBe(true)
    expect(isDue({ rows: 1_999, files: 64 })).toBe(false)
    expect(isDue({ rows: 2_000, files: 64 })).toBe(true)
    expect(isDue({ rows: 3_000, files: 100_000 })).toBe(true)
    expect(isDue({ files: 300 }, { firstMs: nowMs - 7_999 })).toBe(false)
    expect(isDue({ files: 300 }, { firstMs: nowMs - 8_000 })).toBe(true)
  })
})
