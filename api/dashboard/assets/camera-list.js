/** The list of cameras: newest mean speed, freshness, search. */
import { byId, element, reconcile, setText } from './dom.js'
import { formatAgo, formatNumber, t } from './texts.js'

/** Seconds after the end of the newest window: fresh while one more window may be on its way. */
const freshSeconds = 15 * 60
const agingSeconds = 3 * 3_600

function freshnessOf(camera) {
  if (camera.freshness_seconds === null) return 'none'
  if (camera.freshness_seconds <= freshSeconds) return 'fresh'
  return camera.freshness_seconds <= agingSeconds ? 'aging' : 'stale'
}

function makeRow() {
  return element(
    'li',
    {},
    element(
      'a',
      {},
      element('span', { className: 'id' }),
      element('span', { className: 'speed' }),
      element('span', { className: 'about' }),
      element(
        'span',
        { className: 'age' },
        element('span', { className: 'dot', 'aria-hidden': 'true' }),
        element('span', { className: 'ago' }),
      ),
    ),
  )
}

function updateRow(row, camera, selected, hrefOf) {
  const link = row.firstElementChild
  const href = hrefOf(camera.kvfv_id)
  if (link.getAttribute('href') !== href) link.setAttribute('href', href)
  if (camera.kvfv_id === selected) link.setAttribute('aria-current', 'true')
  else link.removeAttribute('aria-current')
  setText(link.querySelector('.id'), camera.kvfv_id)
  const speed = link.querySelector('.speed')
  const isQuiet = camera.last_avg_speed === null
  const text = isQuiet ? '–' : `${formatNumber(camera.last_avg_speed, 1)} ${t('kmh')}`
  if (speed.textContent !== text) {
    speed.replaceChildren(
      ...(isQuiet
        ? [text]
        : [formatNumber(camera.last_avg_speed, 1), ' ', element('small', {}, t('kmh'))]),
    )
  }
  const about = [camera.name, camera.road].filter((word) => word !== null && word !== '').join(', ')
  setText(
    link.querySelector('.about'),
    about === '' ? (camera.registered ? '' : t('unregistered')) : about,
  )
  link.querySelector('.dot').dataset.freshness = freshnessOf(camera)
  setText(
    link.querySelector('.ago'),
    camera.freshness_seconds === null ? t('noData') : formatAgo(camera.freshness_seconds),
  )
}

export function showCameras(answer, selected, search, hrefOf) {
  const list = byId('camera-list')
  reconcile(
    list,
    answer.cameras,
    (camera) => camera.kvfv_id,
    makeRow,
    (row, camera) => updateRow(row, camera, selected, hrefOf),
  )
  setText(byId('camera-count'), t('camerasShown')(answer.cameras.length, answer.total))
  const empty = byId('camera-empty')
  empty.hidden = answer.cameras.length > 0
  setText(empty, search === '' ? t('noCameras') : t('noMatch'))
}

/** Arrow keys walk through the list, from the search field too; `/` leads to the search. */
export function handleCameraKeys() {
  const search = byId('search')
  const list = byId('camera-list')
  document.addEventListener('keydown', (event) => {
    const target = event.target
    const isTyping =
      target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)
    if (event.key === '/' && !isTyping) {
      event.preventDefault()
      search.focus()
      return
    }
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    const inList = list.contains(target)
    if (target !== search && !inList) return
    const links = [...list.querySelectorAll('a')]
    const at = inList ? links.indexOf(target.closest('a')) : -1
    const next = event.key === 'ArrowDown' ? at + 1 : at - 1
    event.preventDefault()
    if (next < 0) search.focus()
    else links[next]?.focus()
  })
}
