/**
 * Words of time. Event times are epoch microseconds in a `number` (`…Us`): safe integers until the year
 * 2255, which intake enforces, and several times faster than bigint in the hot path. Clock times are
 * epoch milliseconds (`…Ms`). A `day` is the number of UTC days since 1970-01-01, as in Iceberg's
 * `day` transform. Windows are tumbling, `[start, end)`, aligned to the epoch.
 */
export const usPerMs = 1_000
export const usPerSecond = 1_000_000
export const usPerMinute = 60 * usPerSecond
export const usPer5Minutes = 5 * usPerMinute
export const usPerHour = 60 * usPerMinute
export const usPerDay = 24 * usPerHour
export const windowsPerDay = 288

export function dayOfUs(us: number): number {
  return Math.floor(us / usPerDay)
}

export function startOfDayUs(day: number): number {
  return day * usPerDay
}

/** Start of the 5-minute window that holds the instant. */
export function windowStartUs(us: number): number {
  return Math.floor(us / usPer5Minutes) * usPer5Minutes
}

/** `2025-04-05` for a UTC day number. */
export function formatDay(day: number): string {
  return new Date(day * 86_400_000).toISOString().slice(0, 10)
}

/** UTC day number of `2025-04-05`, or null where the text is no such date. */
export function parseDay(text: string): number | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return null
  const ms = Date.parse(`${text}T00:00:00Z`)
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text) return null
  return ms / 86_400_000
}

/** RFC 3339 in UTC, without fraction where it is zero, else with milli- or microseconds. */
export function formatUs(us: number): string {
  const ms = Math.floor(us / usPerMs)
  const micros = us - ms * usPerMs
  const iso = new Date(ms).toISOString()
  if (micros !== 0) return `${iso.slice(0, -1)}${String(micros).padStart(3, '0')}Z`
  return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : iso
}
