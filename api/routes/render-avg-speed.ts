/**
 * The answer of `avg-speed` as JSON text, written directly: a day has 288 windows, and building their objects
 * for `JSON.stringify` costs three times as much. The contract's schema is held against it by the tests.
 */
import {
  formatUs,
  startOfDayUs,
  usPer5Minutes,
  usPerDay,
  usPerHour,
  windowsPerDay,
} from '../../kernel/time.ts'
import type { Range } from '../contract/time-parameters.ts'
import {
  type AnswerWindow,
  spaceMeanSpeed,
  timeMeanSpeed,
} from '../read-model/aggregate-windows.ts'
import type { CameraWindows } from '../read-model/read-model.ts'

/** `as_of` moves with every commit, what is around it only with its windows: that is kept apart, for the cache. */
export type AvgSpeedText = {
  readonly beforeAsOf: string
  readonly afterAsOf: Buffer
}

export function renderAvgSpeed(
  camera: string,
  range: Range,
  { windows, total }: Pick<CameraWindows, 'windows' | 'total'>,
): AvgSpeedText {
  const head = {
    kvfv_id: camera,
    interval: range.interval,
    from: formatUs(range.fromUs),
    to: formatUs(range.toUs),
    tz: range.zone,
    unit: 'km/h',
  }
  const totals = {
    event_count: total.eventCount,
    avg_speed: timeMeanSpeed(total),
    space_mean_speed: spaceMeanSpeed(total),
  }
  let text = `","total":${JSON.stringify(totals)},"windows":[`
  for (let i = 0; i < windows.length; i++) {
    if (i > 0) text += ','
    text += renderWindow(windows[i] as AnswerWindow)
  }
  return {
    beforeAsOf: `${JSON.stringify(head).slice(0, -1)},"as_of":"`,
    // Nothing in it but digits and the words of the contract.
    afterAsOf: Buffer.from(`${text}]}`, 'latin1'),
  }
}

function renderWindow(window: AnswerWindow): string {
  const { sums } = window
  const source = window.sourceSnapshotId === null ? 'null' : `"${window.sourceSnapshotId}"`
  return (
    `{"start":"${formatWindowUs(window.startUs)}","end":"${formatWindowUs(window.endUs)}",` +
    `"event_count":${sums.eventCount},"avg_speed":${formatSpeed(timeMeanSpeed(sums))},` +
    `"space_mean_speed":${formatSpeed(spaceMeanSpeed(sums))},` +
    `"min_speed":${formatMilli(sums.speedMinMilli)},"max_speed":${formatMilli(sums.speedMaxMilli)},` +
    `"status":"${window.status}",` +
    `"revision":${window.revision},"source_snapshot_id":${source},` +
    `"computed_at":"${formatInstant(window.computedAtUs)}"}`
  )
}

/** `.217` of 217, nothing of 0: turning doubles into text is what such an answer costs most. */
const fractions = Array.from({ length: 1_000 }, (_, milli) => String(milli / 1_000).slice(1))

/** Speeds are whole thousandths; the product of such a double and 1,000 is within 1e-9 of its integer. */
function formatSpeed(speedKmh: number | null): string {
  return speedKmh === null ? 'null' : formatMilli(Math.round(speedKmh * 1_000))
}

function formatMilli(milli: number): string {
  const whole = Math.floor(milli / 1_000)
  return `${whole}${fractions[milli - whole * 1_000] as string}`
}

const clockTimes = Array.from({ length: windowsPerDay }, (_, window) =>
  formatUs(window * usPer5Minutes).slice(10),
)
let dateOf = { startUs: Number.NaN, text: '' }

/** `formatUs` of a multiple of 5 minutes, from two tables. */
function formatWindowUs(us: number): string {
  const startUs = Math.floor(us / usPerDay) * usPerDay
  if (dateOf.startUs !== startUs) {
    dateOf = { startUs, text: formatUs(startOfDayUs(startUs / usPerDay)).slice(0, 10) }
  }
  return dateOf.text + (clockTimes[(us - startUs) / usPer5Minutes] as string)
}

/** Each open window was computed by a commit of its own: an instant a window, nearby in time. */
const minutes = Array.from({ length: 60 }, (_, minute) => String(minute).padStart(2, '0'))
let lastInstant = { us: Number.NaN, text: '' }
let hourOf = { startUs: Number.NaN, text: '' }

/** `formatUs` of an instant; what has a fraction of a millisecond is left to it. */
export function formatInstant(us: number): string {
  if (lastInstant.us !== us) lastInstant = { us, text: formatInstantAnew(us) }
  return lastInstant.text
}

function formatInstantAnew(us: number): string {
  if (us % 1_000 !== 0) return formatUs(us)
  const startUs = Math.floor(us / usPerHour) * usPerHour
  if (hourOf.startUs !== startUs) hourOf = { startUs, text: formatUs(startUs).slice(0, 14) }
  const ms = (us - startUs) / 1_000
  const minute = Math.floor(ms / 60_000)
  const second = Math.floor((ms - minute * 60_000) / 1_000)
  const milli = ms % 1_000
  const fraction = milli === 0 ? '' : `.${String(milli).padStart(3, '0')}`
  return `${hourOf.text}${minutes[minute] as string}:${minutes[second] as string}${fraction}Z`
}
