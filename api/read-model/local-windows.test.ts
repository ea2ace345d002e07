import * as fc from 'fast-check'
import { DateTime } from 'luxon'
import { describe, expect, it } from 'vitest'
import { formatUs } from '../../kernel/time.ts'
import { floorToInterval, type Interval, isTimeZone, windowBoundaries } from './local-windows.ts'

const us = (text: string) => Date.parse(text) * 1_000

function windows(from: string, to: string, interval: Interval, zone: string): string[] {
  const start = floorToInterval(us(from), interval, zone)
  return windowBoundaries(start, us(to), interval, zone).map(formatUs)
}

describe('windows in local time', () => {
  it('a day is 23 hours long when summer time begins and 25 when it ends', () => {
    expect(windows('2025-03-30T05:00:00Z', '2025-03-30T22:00:00Z', '24h', 'Europe/Berlin')).toEqual(
      ['2025-03-29T23:00:00Z', '2025-03-30T22:00:00Z'],
    )
    expect(windows('2025-10-26T05:00:00Z', '2025-10-26T23:00:00Z', '24h', 'Europe/Berlin')).toEqual(
      ['2025-10-25T22:00:00Z', '2025-10-26T23:00:00Z'],
    )
  })

  it('the hour that comes twice is two windows, the hour that is skipped none', () => {
    const autumn = windows('2025-10-25T22:00:00Z', '2025-10-26T23:00:00Z', '1h', 'Europe/Berlin')
    expect(autumn).toHaveLength(26)
    const spring = windows('2025-03-29T23:00:00Z', '2025-03-30T22:00:00Z', '1h', 'Europe/Berlin')
    expect(spring).toHaveLength(24)
  })

  it('a day whose midnight is skipped begins at one o’clock', () => {
    expect(
      windows('2018-11-04T12:00:00Z', '2018-11-05T02:00:00Z', '24h', 'America/Sao_Paulo'),
    ).toEqual(['2018-11-04T03:00:00Z', '2018-11-05T02:00:00Z'])
  })

  it('a day whose last hour comes twice is one window of 25 hours', () => {
    expect(
      windows('2018-02-17T12:00:00Z', '2018-02-18T03:00:00Z', '24h', 'America/Sao_Paulo'),
    ).toEqual(['2018-02-17T02:00:00Z', '2018-02-18T03:00:00Z'])
  })

  it('hours of a zone with half an hour of offset begin at its own full hours', () => {
    expect(windows('2025-04-05T10:10:00Z', '2025-04-05T11:00:00Z', '1h', 'Asia/Kolkata')).toEqual([
      '2025-04-05T09:30:00Z',
      '2025-04-05T10:30:00Z',
      '2025-04-05T11:30:00Z',
    ])
  })

  it('a shift by 30 minutes cuts the hour in two', () => {
    expect(
      windows('2025-04-05T14:00:00Z', '2025-04-05T16:30:00Z', '1h', 'Australia/Lord_Howe'),
    ).toEqual([
      '2025-04-05T14:00:00Z',
      '2025-04-05T15:00:00Z',
      '2025-04-05T15:30:00Z',
      '2025-04-05T16:30:00Z',
    ])
  })

  it('a date that was skipped is no window', () => {
    expect(windows('2011-12-29T12:00:00Z', '2011-12-31T10:00:00Z', '24h', 'Pacific/Apia')).toEqual([
      '2011-12-29T10:00:00Z',
      '2011-12-30T10:00:00Z',
      '2011-12-31T10:00:00Z',
    ])
  })

  it('only IANA names are time zones', () => {
    expect(isTimeZone('Europe/Moscow')).toBe(true)
    expect(isTimeZone('UTC')).toBe(true)
    expect(isTimeZone('Mars/Olympus')).toBe(false)
    expect(isTimeZone('')).toBe(false)
  })

  it('windows tile the range without gap, and days begin as luxon says', () => {
    const zones = [
      'UTC',
      'Europe/Moscow',
      'America/Los_Angeles',
      'Asia/Kathmandu',
      'America/Havana',
      'Africa/Casablanca',
      'Australia/Lord_Howe',
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: Date.UTC(2001, 0, 1) / 60_000, max: Date.UTC(2035, 0, 1) / 60_000 }),
        fc.integer({ min: 1, max: 4 * 24 * 60 }),
        fc.constantFrom<Interval>('5m', '1h', '24h'),
        (zone, fromMinutes, minutes, interval) => {
          const from = fromMinutes * 60_000_000
          const to = from + minutes * 60_000_000
          const start = floorToInterval(from, interval, zone)
          expect(start).toBeLessThanOrEqual(from)
          const boundaries = windowBoundaries(start, to, interval, zone)
          expect(boundaries.at(-1)).toBeGreaterThanOrEqual(to)
          expect(boundaries.at(-2)).toBeLessThan(to)
          for (const [i, boundary] of boundaries.entries()) {
            const before = boundaries[i - 1] ?? Number.NEGATIVE_INFINITY
            if (boundary % 300_000_000 !== 0 || boundary <= before) {
              throw new Error(`${formatUs(boundary)} is no boundary`)
            }
            if (interval !== '5m') expect(floorToInterval(boundary, interval, zone)).toBe(boundary)
            if (interval === '24h') {
              const local = DateTime.fromMillis(boundary / 1_000, { zone })
              expect(local.startOf('day').toMillis()).toBe(local.toMillis())
            }
          }
        },
      ),
      { numRuns: 40 },
    )
  })
})
