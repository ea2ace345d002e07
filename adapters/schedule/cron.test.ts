import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createCronSchedule } from './cron.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2025, 3, 5, 23, 59, 30) })
})
afterEach(() => {
  vi.useRealTimers()
})

describe('the cron schedule', () => {
  it('calls at each time of the expression until it is stopped', async () => {
    let calls = 0
    const timer = createCronSchedule().at('*/5 * * * *', 'UTC', () => calls++)
    await vi.advanceTimersByTimeAsync(31_000)
    expect(calls).toBe(1)
    await vi.advanceTimersByTimeAsync(10 * 60_000)
    expect(calls).toBe(3)
    timer.stop()
    await vi.advanceTimersByTimeAsync(10 * 60_000)
    expect(calls).toBe(3)
  })

  it('goes by the clock of the time zone', async () => {
    let calls = 0
    const timer = createCronSchedule().at('0 3 * * *', 'Europe/Moscow', () => calls++)
    await vi.advanceTimersByTimeAsync(31_000)
    expect(calls).toBe(1)
    timer.stop()
  })

  it('refuses what is no expression or no time zone', () => {
    const schedule = createCronSchedule()
    expect(() => schedule.at('61 * * * *', 'UTC', () => {})).toThrow('"61 * * * *" is no cron')
    expect(() => schedule.at('whenever', 'UTC', () => {})).toThrow('is no cron expression')
    expect(() => schedule.at('0 * * * *', 'Mars/Olympus', () => {})).toThrow('no IANA time zone')
  })
})
