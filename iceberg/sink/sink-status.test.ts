import { describe, expect, test } from 'vitest'
import { PotokError } from '../../kernel/errors.ts'
import type { RecordBlock } from '../../kernel/record-block.ts'
import type { Batch } from './commit-batch.ts'
import { defaultLogSinkConfig } from './log-sink.ts'
import { logReplaced } from './sink-halt.ts'
import type { LogPosition } from './sink-processor.ts'
import { createSinkStatus } from './sink-status.ts'

const identity = { clusterId: 'c', topic: 't', topicId: 'i' }
const at = (nextOffset: number): LogPosition => ({
  ...identity,
  logEpoch: 0,
  nextOffset,
  eventTimeUsMax: null,
})

function world() {
  const time = { ms: 1_700_000_000_000 }
  const clock = { nowMs: () => time.ms }
  const status = createSinkStatus(clock, defaultLogSinkConfig)
  const ports = {
    status,
    pass: (seconds: number) => {
      time.ms += seconds * 1_000
    },
    health: () => status.health(['traffic.events']),
    begin: (
      positions: Record<number, number>,
      assignment = Object.keys(positions).map(Number),
    ): void => {
      status.beginning()
      const given = Object.entries(positions).map(([p, offset]) => [Number(p), at(offset)] as const)
      status.begun(new Map(given), assignment)
    },
    /** Takes in records received so many seconds ago. */
    read: (logPartition: number, nextOffset: number, ageSeconds = 0): void => {
      const receivedAtUs = Float64Array.of(time.ms * 1_000 - ageSeconds * 1e6)
      status.read({ logPartition, nextOffset, count: 1, receivedAtUs } as unknown as RecordBlock)
      status.collected(1, time.ms)
    },
    look: (logPartition: number, endOffset: number): void => {
      status.lag([{ logPartition, startOffset: 0, endOffset }], time.ms)
    },
    commit: (ends: Record<number, number>): void => {
      status.committing()
      const given = Object.entries(ends).map(([p, offset]) => [Number(p), at(offset)] as const)
      status.committed({ staged: [], ends: new Map(given) } as unknown as Batch)
    },
  }
  return ports
}

const away = new PotokError('Unavailable', 'connection refused')

describe('a sink is red', () => {
  test('until it has begun, with how long it tries and why it fails', () => {
    const { status, health, pass } = world()
    pass(10)
    status.failed(away)
    expect(health()).toMatchObject({ ok: false })
    expect(health().reason).toContain('for 10 s; last error: connection refused')
  })

  test('after a few failures in a row, and then until something succeeds', () => {
    const { status, begin, health, read, look, commit } = world()
    begin({ 0: 0 })
    for (let i = 0; i < 5; i++) {
      read(0, 5)
      status.failed(away)
      begin({ 0: 0 })
      look(0, 5)
    }
    expect(health().reason).toMatch(/failed 5 times in a row.*connection refused/)
    read(0, 5)
    commit({ 0: 5 })
    expect(health()).toMatchObject({ ok: true })
  })

  test('within a minute of the first record when each attempt takes long to fail', () => {
    const { status, begin, health, read, pass } = world()
    begin({ 0: 0 })
    read(0, 5)
    pass(40)
    status.failed(away)
    begin({ 0: 0 })
    read(0, 5)
    pass(10)
    expect(health().reason).toMatch(/failed 1 times in a row, for 50 s/)
  })

  test('when a commit hangs', () => {
    const { status, begin, health, read, pass } = world()
    begin({ 0: 0 })
    read(0, 5)
    status.committing()
    pass(50)
    expect(health().reason).toContain('nothing committed for 50 s although records wait')
  })

  test('when the log does not answer', () => {
    const { status, begin, health, pass } = world()
    begin({ 0: 0 })
    status.collected(0, null)
    pass(50)
    expect(health().reason).toContain('the log has not answered for 50 s')
  })

  test('while it catches up, with the age of the oldest record that is not committed', () => {
    const { begin, health, read, look, commit } = world()
    begin({ 0: 0 })
    read(0, 100, 1_800)
    look(0, 5_000)
    expect(health().reason).toMatch(/behind: the oldest .* received 1800 s ago.*5000 records to go/)
    expect(health().details).toMatchObject({
      lagAgeSeconds: 1_800,
      partitions: { 0: { position: 0, end: 5_000, lag: 5_000, ageSeconds: 1_800 } },
    })
    // In between it is no better: what follows is hardly younger.
    commit({ 0: 100 })
    expect(health().ok).toBe(false)
    read(0, 5_000, 3)
    look(0, 5_000)
    expect(health().ok).toBe(true)
  })

  test('when the log holds back what is below its end, though others commit meanwhile', () => {
    const { status, begin, health, read, look, commit, pass } = world()
    begin({ 0: 7, 1: 0 })
    for (let i = 1; i <= 7; i++) {
      look(0, 9)
      look(1, i)
      read(1, i)
      commit({ 0: 7, 1: i })
      pass(10)
      status.collected(0, null)
    }
    expect(health().reason).toMatch(/partition 0 hands out nothing from offset 7 on.*ends at 9/)
    read(0, 9)
    expect(health().ok).toBe(true)
  })

  test('while it is halted, with the case, and green when it has begun again', () => {
    const { status, begin, health } = world()
    begin({ 0: 7 })
    const other = { ...identity, topicId: 'j' }
    status.halted(logReplaced('traffic.events', 0, at(7), other))
    status.failed(away)
    expect(health()).toMatchObject({ ok: false, details: { haltCase: 'log_replaced' } })
    expect(health().reason).toContain('Choices:')
    begin({ 0: 0 })
    expect(health().details['haltCase']).toBeUndefined()
  })
})

describe('a sink is green', () => {
  test('that owns no log partition', () => {
    const { status, begin, health, look, pass } = world()
    begin({ 0: 7 }, [])
    for (let i = 0; i < 10; i++) {
      pass(30)
      status.collected(0, null)
      look(0, 1_000)
      status.idle()
    }
    expect(health()).toMatchObject({ ok: true, details: { lagRecords: 0, partitions: {} } })
  })

  test('that waits for records', () => {
    const { status, begin, health, look, pass } = world()
    begin({ 0: 7 })
    for (let i = 0; i < 10; i++) {
      pass(30)
      status.collected(0, null)
      look(0, 7)
      status.idle()
    }
    expect(health()).toMatchObject({ ok: true })
  })

  test('whose collected records were committed by another writer', () => {
    const { begin, health, read, look, pass } = world()
    begin({ 0: 7 })
    read(0, 9, 50)
    pass(20)
    begin({ 0: 9 })
    look(0, 9)
    expect(health()).toMatchObject({ ok: true })
  })
})
