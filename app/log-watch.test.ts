import { describe, expect, it } from 'vitest'
import { PotokError } from '../kernel/errors.ts'
import type { LogRange, LogRecord } from '../kernel/ports.ts'
import { createMemoryEventLog } from '../testkit/memory-event-log.ts'
import { watchLog } from './log-watch.ts'

const record: LogRecord = {
  logPartition: 0,
  kind: 0,
  receivedAtUs: 0,
  key: null,
  eventId: null,
  value: new Uint8Array(1),
}

function world() {
  const time = { ms: 0 }
  const log = createMemoryEventLog({ partitionCount: 1 })
  const asked: { answer: () => Promise<LogRange[]> } = { answer: async () => [] }
  const watch = watchLog({ ...log, ranges: () => asked.answer() }, { nowMs: () => time.ms })
  /** Asks twice: the first look is on its way when it answers. */
  const healthAfter = async (ms: number) => {
    time.ms += ms
    watch.health()
    await new Promise((resolve) => setImmediate(resolve))
    return watch.health()
  }
  return { log, asked, watch, healthAfter }
}

describe('who appends is ready', () => {
  it('while the log takes appends', async () => {
    const { watch, healthAfter } = world()
    await watch.log.append([record])
    expect(await healthAfter(0)).toMatchObject({ ok: true })
  })

  it('not after an append that failed, until one succeeds or it is worth another try', async () => {
    const { log, watch, healthAfter } = world()
    log.faults.push('lose', 'refuse')
    await expect(watch.log.append([record])).rejects.toThrow('no answer')
    expect((await healthAfter(0)).reason).toBe(
      'the log does not take appends: no answer from the event log',
    )
    await expect(watch.log.append([record])).rejects.toThrow('full')
    expect((await healthAfter(0)).reason).toContain('full')
    await watch.log.append([record])
    expect(await healthAfter(0)).toMatchObject({ ok: true, details: { appendsFailed: 2 } })
    log.faults.push('lose')
    await expect(watch.log.append([record])).rejects.toThrow('no answer')
    expect((await healthAfter(10_000)).ok).toBe(true)
  })

  it('not while the log does not answer, though nobody appends', async () => {
    const { asked, healthAfter } = world()
    asked.answer = async () => {
      throw new PotokError('Unavailable', 'connection refused')
    }
    expect((await healthAfter(5_000)).reason).toBe('the log does not answer: connection refused')
    asked.answer = () => new Promise(() => {})
    await healthAfter(5_000)
    expect((await healthAfter(15_000)).reason).toContain('not answered for 15 s')
  })
})
