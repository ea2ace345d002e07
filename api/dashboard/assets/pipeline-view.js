/** State of the pipeline, the days, and the button that asks for an exact run and follows it. */
import { getRun, postRecompute } from './api.js'
import { badge, byId, element, reconcile, setText } from './dom.js'
import {
  dateAndTime,
  dayOnly,
  formatAgo,
  formatCompact,
  formatNumber,
  formatTime,
  t,
} from './texts.js'

const tile = (name, value, extra = '', className = 'tile') =>
  element('dl', { className }, element('dt', {}, name), element('dd', {}, value, extra))

const small = (text) => element('small', {}, ` ${text}`)

export function showPipeline(status, zone) {
  const ready = byId('ready')
  setText(ready, status.ready ? t('ready') : t('notReady'))
  ready.dataset.status = status.ready ? 'good' : 'bad'
  const problems = Object.entries(status.services)
    .filter(([, { ok }]) => !ok)
    .map(([name, { reason }]) => tile(name, reason ?? '', '', 'tile wide problem'))
  const sinks = status.sinks.map((sink) =>
    tile(
      t('sinkName')[sink.table] ?? sink.table,
      t('lag')(sink.lag === null ? null : formatCompact(sink.lag)),
      element(
        'div',
        {},
        element(
          'small',
          {},
          sink.last_commit_age_seconds === null
            ? t('neverCommitted')
            : t('committed')(formatAgo(sink.last_commit_age_seconds)),
        ),
      ),
    ),
  )
  const dirty = status.dirty_days
  const dirtyList =
    dirty.length === 0
      ? t('none')
      : element(
          'span',
          { className: 'list' },
          ...dirty
            .slice(0, 8)
            .map(({ day, cameras }) =>
              badge(
                'revising',
                `${day} · ${cameras === null ? t('all') : t('dirtyCameras')(formatNumber(cameras))}`,
              ),
            ),
          dirty.length > 8 ? `+${dirty.length - 8}` : '',
        )
  const instant = (text) => (text === null ? '–' : formatTime(text, zone, dateAndTime))
  byId('pipeline').replaceChildren(
    ...problems,
    ...sinks,
    tile(t('sealedUntil'), instant(status.sealed_until)),
    tile(t('watermark'), instant(status.watermark)),
    tile(t('dirtyDays'), dirtyList, dirty.length > 0 ? small('') : '', 'tile wide'),
  )
  byId('recompute').disabled = isFollowing || !status.recompute.available
}

export function showDays(answer, zone, selectedDay, onDay) {
  const list = byId('days')
  reconcile(
    list,
    answer.days,
    ({ day }) => day,
    ({ day }) => {
      const button = element(
        'button',
        { type: 'button' },
        element('span', { className: 'day' }),
        element('span', { className: 'state' }),
        element('span', { className: 'more' }),
      )
      button.addEventListener('click', () => onDay(day))
      return element('li', {}, button)
    },
    (row, day) => updateDay(row, day, selectedDay),
  )
  byId('days-empty').hidden = answer.days.length > 0
  setText(byId('days-empty'), t('noDays'))
  setText(
    byId('sealed'),
    answer.sealed_until === null
      ? ''
      : `${t('sealedUntil')} ${formatTime(answer.sealed_until, zone, dateAndTime)}`,
  )
}

function updateDay(row, day, selectedDay) {
  const button = row.firstElementChild
  if (day.day === selectedDay) button.setAttribute('aria-current', 'date')
  else button.removeAttribute('aria-current')
  setText(button.querySelector('.day'), formatTime(`${day.day}T00:00:00Z`, 'UTC', dayOnly))
  const words = t('status')[day.status]
  const text =
    day.revision_max === null || day.status === 'open'
      ? words
      : `${words} · ${t('revision')(day.revision_max)}`
  const state = button.querySelector('.state')
  if (state.textContent !== text || state.firstElementChild?.dataset.status !== day.status) {
    state.replaceChildren(badge(day.status, text, t('statusHelp')[day.status]))
  }
  const summary =
    day.event_count === null
      ? t('counting')
      : t('daySummary')(formatCompact(day.event_count), formatNumber(day.cameras))
  const late =
    day.dirty_cameras === 0
      ? ''
      : `${t('lateCameras')(day.dirty_cameras === null ? t('all') : formatNumber(day.dirty_cameras))} · `
  setText(button.querySelector('.more'), late + summary)
}

let isFollowing = false

/** Asks for an exact run of everything due and dirty, and shows how it goes until it ends. */
export async function recompute(afterwards) {
  if (isFollowing) return
  isFollowing = true
  byId('recompute').disabled = true
  const bar = byId('run-progress')
  bar.hidden = false
  try {
    let run = await postRecompute()
    showRun(run)
    while (run.status === 'queued' || run.status === 'running') {
      await new Promise((resolve) => setTimeout(resolve, 500))
      run = await getRun(run.run_id)
      showRun(run)
    }
    afterwards()
  } catch (error) {
    const line = byId('run')
    line.dataset.state = 'failed'
    setText(line, t('run').refused(error.message))
  } finally {
    bar.hidden = true
    isFollowing = false
    byId('recompute').disabled = false
  }
}

function showRun(run) {
  const line = byId('run')
  const bar = byId('run-progress')
  const words = t('run')
  line.dataset.state = run.status
  if (run.days.length > 0) {
    bar.max = run.days.length
    bar.value = run.days_done
  } else {
    bar.removeAttribute('value')
  }
  const text = {
    queued: () => words.queued,
    running: () => words.running(run.days_done, run.days.length),
    done: () =>
      words.done(
        formatNumber(run.days.length),
        formatNumber(run.cameras),
        formatNumber(run.seconds ?? 0, 1),
      ),
    nothing_to_do: () => words.nothing_to_do,
    failed: () => words.failed(run.error ?? run.message ?? ''),
  }[run.status]()
  setText(line, text)
}
