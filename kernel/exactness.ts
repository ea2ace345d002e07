/**
 * How exact `rollup_5m` is: one prefix of time that is sealed, and up to which sequence number of `events`
 * each sealed day is exact (DESIGN §5). Read from and written to the table's properties; pure.
 */
import { PotokError } from './errors.ts'
import { tableProperties } from './tables.ts'
import { dayOfUs, formatDay, parseDay } from './time.ts'

export type Exactness = {
  /** Every window that starts before it holds exact rows only; null: none is sealed. */
  readonly sealedUntilUs: number | null
  /** Sealed days are exact up to this data sequence number of events … */
  readonly sequence: number
  /** … except these days, which are ahead. */
  readonly overrides: ReadonlyMap<number, number>
}

/** In the summary of each snapshot that an exact run makes: the id of the run. */
export const summaryExactRunKey = 'potok.exact.run_id'

/** Above this many overrides all are merged to their minimum's promise: days become dirty, never wrong. */
export const exactnessOverridesMax = 400

export function readExactness(properties: Readonly<Record<string, string>>): Exactness {
  const sealed = properties[tableProperties.sealedUntil]
  const sequence = properties[tableProperties.exactSequence]
  const overrides = new Map<number, number>()
  const text = properties[tableProperties.exactSequenceOverrides]
  if (text !== undefined) {
    for (const [name, value] of Object.entries(JSON.parse(text) as Record<string, unknown>)) {
      const day = parseDay(name)
      if (day === null) throw corrupt(tableProperties.exactSequenceOverrides, text)
      overrides.set(day, integer(tableProperties.exactSequenceOverrides, String(value)))
    }
  }
  return {
    sealedUntilUs: sealed === undefined ? null : integer(tableProperties.sealedUntil, sealed),
    sequence: sequence === undefined ? 0 : integer(tableProperties.exactSequence, sequence),
    overrides,
  }
}

export function exactnessProperties(exactness: Exactness): Record<string, string> {
  assertBounded(exactness)
  const result: Record<string, string> = {
    [tableProperties.exactSequence]: String(exactness.sequence),
    [tableProperties.exactSequenceOverrides]: JSON.stringify(
      Object.fromEntries(
        [...exactness.overrides].sort(([a], [b]) => a - b).map(([d, s]) => [formatDay(d), s]),
      ),
    ),
  }
  if (exactness.sealedUntilUs !== null) {
    result[tableProperties.sealedUntil] = String(exactness.sealedUntilUs)
  }
  return result
}

export function exactSequenceOfDay(exactness: Exactness, day: number): number {
  return Math.max(exactness.sequence, exactness.overrides.get(day) ?? 0)
}

/** Does any window of this day hold exact rows? Only such a day can be dirty. */
export function isDaySealedInPart(exactness: Exactness, day: number): boolean {
  return exactness.sealedUntilUs !== null && dayOfUs(exactness.sealedUntilUs - 1) >= day
}

function assertBounded(exactness: Exactness): void {
  if (exactness.overrides.size > exactnessOverridesMax) {
    throw new RangeError(`more than ${exactnessOverridesMax} overrides: merge them first`)
  }
}

function integer(key: string, text: string): number {
  const value = Number(text)
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value)) throw corrupt(key, text)
  return value
}

function corrupt(key: string, text: string): PotokError {
  return new PotokError(
    'DataCorrupt',
    `the table property ${key} is no integer: ${text.slice(0, 80)}`,
  )
}
