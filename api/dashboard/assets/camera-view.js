/** Everything about the chosen camera but the chart itself: title, figures, legend, readout, table. */
import { badge, byId, element, setText } from './dom.js'
import { legendMark, statuses, windowSpan } from './speed-chart.js'
import { formatNumber, t } from './texts.js'

const speedText = (value) => (value === null ? '–' : formatNumber(value, 1))

function statusBadge(status, revision) {
  const words = t('status')[status]
  const text = revision === null ? words : `${words} · ${t('revision')(revision)}`
  return badge(status, text, t('statusHelp')[status])
}

/** Every status in view, the least final first: what a reader must know before he quotes the figures. */
function badgesOf(windows) {
  return ['open', 'provisional', 'revising', 'exact'].flatMap((status) => {
    const having = windows.filter((window) => window.status === status)
    if (having.length === 0) return []
    const revision = Math.max(...having.map(({ revision }) => revision ?? 0))
    const isFinal = status === 'exact' || status === 'revising'
    return [' ', statusBadge(status, isFinal && revision > 0 ? revision : null)]
  })
}

export function showTitle(camera, answer, zone) {
  const title = byId('camera-title')
  if (camera === null) {
    setText(title, t('choose'))
    setText(byId('camera-subtitle'), t('chooseHint'))
    return
  }
  const windows = answer?.windows ?? []
  const parts = [camera, ...badgesOf(windows)]
  const text = parts.map((part) => (typeof part === 'string' ? part : part.textContent)).join('')
  if (title.textContent !== text) title.replaceChildren(...parts)
  if (answer === null) return
  const last = windows.at(-1)
  setText(
    byId('camera-subtitle'),
    last === undefined
      ? ''
      : `${windowSpan(last, answer.interval, zone)}: ${speedText(last.avg_speed)} ${t('kmh')}`,
  )
}

export function showFigures(answer) {
  const host = byId('figures')
  if (answer === null) {
    host.replaceChildren()
    return
  }
  const { avg_speed, space_mean_speed, event_count } = answer.total
  const figure = (name, value, unit) =>
    element(
      'div',
      {},
      element('dt', {}, name),
      element('dd', {}, value, ' ', element('small', {}, unit)),
    )
  host.replaceChildren(
    figure(t('meanSpeed'), speedText(avg_speed), t('kmh')),
    figure(t('spaceMean'), speedText(space_mean_speed), t('kmh')),
    figure(t('events'), formatNumber(event_count), ''),
  )
}

export function showLegend(answer) {
  const windows = answer?.windows ?? []
  const item = (mark, text, title) =>
    element('li', { title: title ?? null }, legendMark(mark), element('span', {}, text))
  byId('legend').replaceChildren(
    ...statuses.map((status) => {
      const count = windows.filter((window) => window.status === status).length
      const words = t('status')[status]
      return item(
        status,
        count === 0 ? words : `${words} (${formatNumber(count)})`,
        t('statusHelp')[status],
      )
    }),
    item('range', t('minMax')),
    item('count', t('events')),
  )
}

export function showReadout(window, interval, zone) {
  const host = byId('readout')
  if (window === null) {
    host.replaceChildren()
    return
  }
  host.replaceChildren(
    element('strong', {}, windowSpan(window, interval, zone)),
    `  ${speedText(window.avg_speed)} ${t('kmh')} (${speedText(window.min_speed)}–${speedText(window.max_speed)}), `,
    `${t('events').toLowerCase()}: ${formatNumber(window.event_count)}  `,
    statusBadge(window.status, window.revision),
  )
}

export function showTable(answer, zone) {
  const table = byId('window-table')
  if (!byId('table-box').open || answer === null) {
    table.replaceChildren()
    return
  }
  const names = [
    t('columnWindow'),
    t('events'),
    t('meanSpeed'),
    t('spaceMean'),
    t('columnMin'),
    t('columnMax'),
    t('columnStatus'),
  ]
  const head = element('tr', {}, ...names.map((name) => element('th', { scope: 'col' }, name)))
  const rows = answer.windows.map((window) =>
    element(
      'tr',
      {},
      element('td', {}, windowSpan(window, answer.interval, zone)),
      element('td', {}, formatNumber(window.event_count)),
      element('td', {}, formatNumber(window.avg_speed, 3)),
      element(
        'td',
        {},
        window.space_mean_speed === null ? '–' : formatNumber(window.space_mean_speed, 3),
      ),
      element('td', {}, formatNumber(window.min_speed, 3)),
      element('td', {}, formatNumber(window.max_speed, 3)),
      element('td', {}, statusBadge(window.status, window.revision)),
    ),
  )
  table.replaceChildren(
    element('caption', { className: 'visually-hidden' }, t('asTable')),
    element('thead', {}, head),
    element('tbody', {}, ...rows),
  )
}
