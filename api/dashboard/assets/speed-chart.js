/**
 * The chart of one camera. How final a value is shows three ways, so that it never hangs on colour alone: line
 * (exact solid, revising solid with diamonds, provisional and open dashed with hollow points), tint of the
 * background, and words in legend and readout.
 */
import uPlot from '/vendor/uplot.js'
import { clock, dateAndTime, dayOnly, formatNumber, formatTime, t } from './texts.js'

export const statuses = ['exact', 'revising', 'provisional', 'open']
const intervalSeconds = { '5m': 300, '1h': 3_600, '24h': 86_400 }

let chart = null
let shownKey = ''
let shown = null

function colours() {
  const style = getComputedStyle(document.documentElement)
  const of = (name) => style.getPropertyValue(`--${name}`).trim()
  return {
    text: of('quiet'),
    grid: of('line'),
    surface: of('surface'),
    volume: of('provisional'),
    line: Object.fromEntries(statuses.map((status) => [status, of(status)])),
    soft: Object.fromEntries(statuses.map((status) => [status, of(`${status}-soft`)])),
  }
}

/** Columns for uPlot: a null wherever a window has no events, so that no line is drawn over silence. */
function columnsOf(answer) {
  const step = intervalSeconds[answer.interval]
  const x = []
  const windows = []
  const series = { min: [], max: [], count: [] }
  for (const status of statuses) series[status] = []
  const put = (time, window) => {
    x.push(time)
    windows.push(window)
    series.min.push(window?.min_speed ?? null)
    series.max.push(window?.max_speed ?? null)
    series.count.push(window?.event_count ?? null)
    for (const status of statuses) {
      series[status].push(window?.status === status ? window.avg_speed : null)
    }
  }
  let previousEnd = null
  for (const window of answer.windows) {
    const start = Date.parse(window.start) / 1_000
    const end = Date.parse(window.end) / 1_000
    if (previousEnd !== null && start > previousEnd) put(previousEnd + step / 2, null)
    put((start + end) / 2, window)
    previousEnd = end
  }
  joinStatuses(windows, series)
  return {
    windows,
    data: [x, series.min, series.max, series.count, ...statuses.map((status) => series[status])],
  }
}

/** Where the status changes from one window to the next, the later line begins at the earlier's last point. */
function joinStatuses(windows, series) {
  for (let i = 1; i < windows.length; i++) {
    const [before, here] = [windows[i - 1], windows[i]]
    if (before && here && before.status !== here.status)
      series[here.status][i - 1] = before.avg_speed
  }
}

function build(host, answer, zone, label) {
  const colour = colours()
  const statusSeries = statuses.map((status) => ({
    label: status,
    scale: 'y',
    stroke: colour.line[status],
    width: status === 'provisional' || status === 'open' ? 1.75 : 2.25,
    ...(status === 'provisional' ? { dash: [6, 4] } : {}),
    ...(status === 'open' ? { dash: [2, 4] } : {}),
    spanGaps: false,
    points: {
      show: true,
      size: status === 'exact' ? 4 : 6,
      width: 1.5,
      stroke: colour.line[status],
      fill: status === 'provisional' || status === 'open' ? colour.surface : colour.line[status],
      filter: (_chart, _series, show) => (show === false ? [] : pointsOf(status)),
    },
  }))
  return new uPlot(
    {
      width: host.clientWidth,
      height: host.clientHeight,
      padding: [12, 26, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), zone),
      cursor: { points: { size: 9 }, drag: { x: true, y: false } },
      scales: {
        x: { time: true, range: (_chart, min, max) => rangeOfX(min, max) },
        y: { range: (_chart, _min, max) => [0, Math.max(40, (max ?? 40) * 1.08)] },
        n: { range: (_chart, _min, max) => [0, Math.max(1, max ?? 1) * 6] },
      },
      bands: [{ series: [2, 1], fill: withAlpha(colour.line.exact, 0.1) }],
      series: [
        {},
        { label: 'min', scale: 'y', width: 0, points: { show: false } },
        { label: 'max', scale: 'y', width: 0, points: { show: false } },
        {
          label: 'count',
          scale: 'n',
          width: 0,
          fill: withAlpha(colour.volume, 0.32),
          paths: uPlot.paths.bars({ size: [0.86, 40], align: 0 }),
          points: { show: false },
        },
        ...statusSeries,
      ],
      axes: [
        {
          stroke: colour.text,
          grid: { stroke: colour.grid, width: 1 },
          ticks: { stroke: colour.grid, width: 1 },
          space: 68,
          values: (_chart, splits) => splits.map((seconds) => labelOfTick(seconds, splits, zone)),
        },
        {
          scale: 'y',
          stroke: colour.text,
          grid: { stroke: colour.grid, width: 1 },
          ticks: { show: false },
          size: 58,
          values: (_chart, splits) =>
            splits.map((value, i) =>
              i === splits.length - 1 ? `${value} ${label}` : String(value),
            ),
        },
      ],
      hooks: {
        drawClear: [tintStatuses(colour)],
        setCursor: [({ cursor }) => shown?.onCursor(windowAt(cursor.idx))],
      },
    },
    shown.columns.data,
    host,
  )
}

/** Zoomed by dragging: as drawn. Else the whole range asked for, also where nothing was seen. */
function rangeOfX(min, max) {
  if (shown.isZoomed && min !== null) return [min, max]
  return [shown.fromSeconds, shown.toSeconds]
}

function windowAt(index) {
  return index === null || index === undefined ? null : (shown?.columns.windows[index] ?? null)
}

/** Exact values carry points only where a line alone would not show them: few windows, or alone in silence. */
function pointsOf(status) {
  const { windows } = shown.columns
  const few = windows.length <= 80
  const indices = []
  for (let i = 0; i < windows.length; i++) {
    if (windows[i]?.status !== status) continue
    const isAlone = !windows[i - 1] && !windows[i + 1]
    if (few || isAlone || status !== 'exact') indices.push(i)
  }
  return indices
}

function tintStatuses(colour) {
  return (plot) => {
    const { ctx, bbox } = plot
    ctx.save()
    ctx.beginPath()
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
    ctx.clip()
    for (const window of shown.columns.windows) {
      if (window === null || window.status === 'exact') continue
      const left = plot.valToPos(Date.parse(window.start) / 1_000, 'x', true)
      const right = plot.valToPos(Date.parse(window.end) / 1_000, 'x', true)
      ctx.fillStyle = colour.soft[window.status]
      ctx.fillRect(Math.floor(left), bbox.top, Math.ceil(right) - Math.floor(left), bbox.height)
    }
    ctx.restore()
  }
}

function labelOfTick(seconds, splits, zone) {
  const iso = new Date(seconds * 1_000).toISOString()
  const step = (splits[1] ?? seconds + 86_400) - splits[0]
  const time = formatTime(iso, zone, clock)
  if (step >= 82_800 || (time === '00:00' && shown.toSeconds - shown.fromSeconds > 90_000)) {
    return formatTime(iso, zone, { day: 'numeric', month: 'short' })
  }
  return time
}

function withAlpha(colour, alpha) {
  const hex = /^#(..)(..)(..)$/.exec(colour)
  if (hex === null) return colour
  const [r, g, b] = hex.slice(1).map((part) => Number.parseInt(part, 16))
  return `rgba(${r}, ${g}, ${b}, ${alpha})`
}

/** `key` names everything but the data: where it stays the same, only the data is exchanged. */
export function showChart(host, { answer, key, zone, onCursor }) {
  const columns = columnsOf(answer)
  const isSame = chart !== null && key === shownKey
  shown = {
    columns,
    onCursor,
    fromSeconds: Date.parse(answer.from) / 1_000,
    toSeconds: Date.parse(answer.to) / 1_000,
    isZoomed: isSame ? shown.isZoomed : false,
  }
  host.setAttribute(
    'aria-label',
    t('chartLabel')(
      answer.kvfv_id,
      formatNumber(answer.windows.length),
      formatTime(answer.from, zone, dateAndTime),
      formatTime(answer.to, zone, dateAndTime),
    ),
  )
  if (isSame) {
    chart.setData(columns.data, !shown.isZoomed)
    if (shown.isZoomed) chart.redraw(true, true)
    return
  }
  chart?.destroy()
  shownKey = key
  chart = build(host, answer, zone, t('kmh'))
  chart.over.addEventListener('mouseup', () => {
    if (chart.select.width > 4) shown.isZoomed = true
  })
  chart.over.addEventListener('dblclick', () => {
    shown.isZoomed = false
    chart.setData(shown.columns.data, true)
  })
}

export function clearChart() {
  chart?.destroy()
  chart = null
  shown = null
  shownKey = ''
}

export function resizeChart(host) {
  chart?.setSize({ width: host.clientWidth, height: host.clientHeight })
}

/** Legend marks, drawn as the chart draws. */
export function legendMark(status) {
  const line = {
    exact: '<path d="M1 7h26" stroke="var(--exact)" stroke-width="2.5"/>',
    revising:
      '<path d="M1 7h26" stroke="var(--revising)" stroke-width="2.5"/><circle cx="14" cy="7" r="3.4" fill="var(--revising)"/>',
    provisional:
      '<path d="M1 7h26" stroke="var(--provisional)" stroke-width="2" stroke-dasharray="5 4"/><circle cx="14" cy="7" r="3.2" fill="var(--surface)" stroke="var(--provisional)" stroke-width="1.6"/>',
    open: '<path d="M1 7h26" stroke="var(--open)" stroke-width="2" stroke-dasharray="2 4"/><circle cx="14" cy="7" r="3.2" fill="var(--surface)" stroke="var(--open)" stroke-width="1.6"/>',
    range: '<rect x="1" y="2" width="26" height="10" fill="var(--exact)" opacity=".14"/>',
    count:
      '<path d="M3 12v-5h5v5zM11 12V3h5v9zM19 12V6h5v6z" fill="var(--provisional)" opacity=".5"/>',
  }[status]
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('viewBox', '0 0 28 14')
  svg.setAttribute('width', '28')
  svg.setAttribute('height', '14')
  svg.setAttribute('aria-hidden', 'true')
  svg.innerHTML = line
  return svg
}

export function windowSpan(window, interval, zone) {
  if (interval === '24h') return formatTime(window.start, zone, dayOnly)
  const from = formatTime(window.start, zone, interval === '5m' ? clock : dateAndTime)
  return `${from}–${formatTime(window.end, zone, clock)}`
}
