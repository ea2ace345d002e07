/**
 * The dashboard: what is chosen (kept in the address, so that a view can be sent to somebody), a refresh every
 * two seconds while the page is seen, and one place that draws.
 */
import { getCameras, getDays, getSpeeds, getStatus, RequestError } from './api.js'
import { handleCameraKeys, showCameras } from './camera-list.js'
import { showFigures, showLegend, showReadout, showTable, showTitle } from './camera-view.js'
import { byId, element, setText } from './dom.js'
import { recompute, showDays, showPipeline } from './pipeline-view.js'
import { clearChart, resizeChart, showChart } from './speed-chart.js'
import { currentLanguage, setLanguage, t, translatePage } from './texts.js'
import { currentTheme, followSystemTheme, switchTheme } from './theme.js'

const refreshMs = 2_000
/** Local days that a view shows, ending with the chosen one. */
const daysInView = { '5m': 1, '1h': 7, '24h': 31 }
const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone

const view = { camera: null, interval: '5m', day: null, zone: 'UTC', search: '' }
const latest = { cameras: null, speeds: null, days: null, status: null }
let isRefreshing = false
let isWanted = false

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1))
  view.camera = given.get('camera')
  view.interval = given.get('interval') in daysInView ? given.get('interval') : '5m'
  view.day = /^\d{4}-\d{2}-\d{2}$/.test(given.get('day') ?? '') ? given.get('day') : null
  view.zone = isZone(given.get('zone')) ? given.get('zone') : 'UTC'
}

function isZone(name) {
  if (name === null) return false
  try {
    Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

function addressOf(change) {
  const next = {
    camera: view.camera,
    interval: view.interval,
    day: view.day,
    zone: view.zone,
    ...change,
  }
  const given = new URLSearchParams()
  if (next.camera !== null) given.set('camera', next.camera)
  if (next.interval !== '5m') given.set('interval', next.interval)
  if (next.day !== null) given.set('day', next.day)
  if (next.zone !== 'UTC') given.set('zone', next.zone)
  return `#${given}`
}

function go(change) {
  const address = addressOf(change)
  if (address === location.hash) return
  history.replaceState(null, '', address)
  readAddress()
  draw()
  refreshSoon()
}

const dateIn = (iso, zone) =>
  new Intl.DateTimeFormat('en-CA', { timeZone: zone, dateStyle: 'short' }).format(new Date(iso))

function addDays(date, days) {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10)
}

/** The day chosen, else the camera's newest. */
function shownDay() {
  if (view.day !== null) return view.day
  const camera = latest.cameras?.cameras.find(({ kvfv_id }) => kvfv_id === view.camera)
  const newest = camera?.last_window ?? latest.days?.days[0]?.day
  return dateIn(newest ?? new Date().toISOString(), view.zone)
}

function speedsQuery() {
  const day = shownDay()
  return {
    from: addDays(day, 1 - daysInView[view.interval]),
    to: addDays(day, 1),
    interval: view.interval,
    tz: view.zone,
  }
}

/** One refresh at a time; what was chosen meanwhile is asked for right after it. */
async function refresh() {
  if (isRefreshing) {
    isWanted = true
    return
  }
  isRefreshing = true
  try {
    do {
      isWanted = false
      await refreshOnce()
    } while (isWanted)
  } catch (error) {
    showPulse('lost', t('lost')(error.message))
  } finally {
    isRefreshing = false
  }
}

async function refreshOnce() {
  const [cameras, days, status] = await Promise.all([
    getCameras(view.search),
    getDays(),
    getStatus(),
  ])
  Object.assign(latest, { cameras, days, status })
  if (view.camera === null && cameras.cameras.length > 0 && view.search === '') {
    const first =
      cameras.cameras.find(({ last_window }) => last_window !== null) ?? cameras.cameras[0]
    history.replaceState(null, '', addressOf({ camera: first.kvfv_id }))
    readAddress()
  }
  const asked = view.camera
  if (asked !== null) {
    const key = chartKey()
    try {
      const answer = await getSpeeds(asked, speedsQuery())
      if (key === chartKey()) latest.speeds = { key, answer }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      // A camera that is gone or unknown: said in the chart's place, the rest of the page goes on.
      latest.speeds = { key, answer: null, problem: error.message }
    }
  }
  showPulse('live', t('live'))
  draw()
}

function chartKey() {
  return [view.camera, JSON.stringify(speedsQuery()), currentLanguage(), currentTheme()].join(' ')
}

function showPulse(state, text) {
  const pulse = byId('pulse')
  pulse.dataset.state = state
  setText(pulse, text)
}

function draw() {
  drawControls()
  if (latest.cameras !== null) {
    showCameras(latest.cameras, view.camera, view.search, (camera) => addressOf({ camera }))
  }
  if (latest.status !== null) showPipeline(latest.status, view.zone)
  if (latest.days !== null) {
    showDays(latest.days, view.zone, shownDay(), (day) => go({ day, interval: '5m' }))
  }
  drawSpeeds()
}

function drawSpeeds() {
  const isCurrent = latest.speeds !== null && latest.speeds.key === chartKey()
  const answer = isCurrent ? latest.speeds.answer : null
  showTitle(view.camera, answer, view.zone)
  showFigures(answer)
  showLegend(answer)
  const empty = byId('chart-empty')
  const isEmpty = isCurrent && (answer === null || answer.windows.length === 0)
  empty.hidden = !isEmpty
  if (isEmpty) setText(empty, latest.speeds.problem ?? t('noWindows'))
  if (answer !== null) {
    showChart(byId('chart'), {
      answer,
      key: latest.speeds.key,
      zone: view.zone,
      onCursor: (window) => showReadout(window, answer.interval, view.zone),
    })
  } else if (isCurrent) {
    clearChart()
    showReadout(null)
  }
  showTable(answer, view.zone)
}

function drawControls() {
  for (const button of byId('intervals').children) {
    button.setAttribute('aria-pressed', String(button.dataset.interval === view.interval))
  }
  const day = byId('day')
  if (document.activeElement !== day) day.value = shownDay()
  const zones = [...new Set(['UTC', ownZone, view.zone])]
  const select = byId('zone')
  if (select.options.length !== zones.length) {
    select.replaceChildren(...zones.map((zone) => element('option', { value: zone }, zone)))
  }
  select.value = view.zone
}

function redrawWords() {
  translatePage()
  byId('theme').textContent = currentTheme() === 'dark' ? '☀' : '☾'
  const label = currentTheme() === 'dark' ? t('themeToLight') : t('themeToDark')
  byId('theme').setAttribute('aria-label', label)
  byId('theme').title = label
}

/** After another language or theme: what was fetched is drawn again under the new key. */
function redrawAll() {
  const wasCurrent = latest.speeds
  redrawWords()
  if (wasCurrent !== null) latest.speeds = { ...wasCurrent, key: chartKey() }
  if (byId('pulse').dataset.state === 'live') showPulse('live', t('live'))
  draw()
}

function refreshSoon() {
  void refresh()
}

function listen() {
  window.addEventListener('hashchange', () => {
    readAddress()
    draw()
    refreshSoon()
  })
  byId('intervals').addEventListener('click', ({ target }) => {
    const { interval } = target.dataset
    if (interval !== undefined) go({ interval })
  })
  byId('day').addEventListener('change', ({ target }) => {
    if (target.value !== '') go({ day: target.value })
  })
  byId('day-before').addEventListener('click', () =>
    go({ day: addDays(shownDay(), -daysInView[view.interval]) }),
  )
  byId('day-after').addEventListener('click', () =>
    go({ day: addDays(shownDay(), daysInView[view.interval]) }),
  )
  byId('day-latest').addEventListener('click', () => go({ day: null }))
  byId('zone').addEventListener('change', ({ target }) => go({ zone: target.value }))
  let typing
  byId('search').addEventListener('input', ({ target }) => {
    clearTimeout(typing)
    typing = setTimeout(() => {
      view.search = target.value.trim()
      refreshSoon()
    }, 150)
  })
  byId('table-box').addEventListener('toggle', drawSpeeds)
  byId('recompute').addEventListener('click', () => void recompute(refreshSoon))
  byId('theme').addEventListener('click', () => {
    switchTheme()
    redrawAll()
  })
  for (const button of document.querySelectorAll('[data-language]')) {
    button.addEventListener('click', () => {
      setLanguage(button.dataset.language)
      redrawAll()
    })
  }
  followSystemTheme(redrawAll)
  handleCameraKeys()
  new ResizeObserver(() => resizeChart(byId('chart'))).observe(byId('chart'))
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) refreshSoon()
  })
  setInterval(() => {
    if (!document.hidden) refreshSoon()
  }, refreshMs)
}

readAddress()
redrawWords()
showPulse('wait', t('connecting'))
listen()
draw()
refreshSoon()
