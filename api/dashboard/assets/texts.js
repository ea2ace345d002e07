/** All words of the dashboard, in English and Russian, and how numbers and times are written in each. */
const texts = {
  en: {
    tagline: 'mean speeds: provisional at once, exact in the end',
    skipToChart: 'Skip to the chart',
    language: 'Language',
    themeToDark: 'Switch to dark',
    themeToLight: 'Switch to light',
    cameras: 'Cameras',
    searchLabel: 'Search cameras',
    searchHint: 'Id, name or road',
    camerasShown: (shown, total) => (shown < total ? `${shown} of ${total}` : `${total}`),
    noCameras: 'No camera has sent anything yet.',
    noMatch: 'No camera matches.',
    unregistered: 'not registered',
    noData: 'no data',
    interval: 'Interval',
    interval5m: '5 min',
    interval1h: 'Hour',
    interval24h: 'Day',
    day: 'Day',
    dayBefore: 'Earlier',
    dayAfter: 'Later',
    latest: 'Latest',
    timeZone: 'Time zone',
    legend: 'Legend',
    asTable: 'As a table',
    choose: 'Choose a camera',
    chooseHint: 'Its mean speeds appear here.',
    noWindows: 'No events in this time.',
    meanSpeed: 'Mean speed',
    spaceMean: 'Space-mean',
    events: 'Vehicles',
    minMax: 'Least to greatest',
    status: {
      open: 'open',
      provisional: 'provisional',
      exact: 'exact',
      revising: 'revising',
    },
    statusHelp: {
      open: 'more vehicles are expected',
      provisional: 'complete as far as is known, not yet computed exactly',
      exact: 'computed from all events, duplicates left out',
      revising: 'late events came, the next exact run takes them in',
    },
    revision: (n) => `revision ${n}`,
    columnWindow: 'Window',
    columnStatus: 'Status',
    columnMin: 'Least',
    columnMax: 'Greatest',
    chartLabel: (camera, windows, from, to) =>
      `Mean speed of ${camera} from ${from} to ${to}: ${windows} windows. The table below has all values.`,
    pipeline: 'Pipeline',
    ready: 'ready',
    notReady: 'not ready',
    sinkName: { events: 'Events', rollup_5m: 'Averages' },
    lag: (n) => (n === null ? 'lag not known' : n === '0' ? 'no lag' : `lag ${n}`),
    committed: (ago) => `committed ${ago}`,
    neverCommitted: 'nothing committed yet',
    dirtyDays: 'Days with late events',
    none: 'none',
    all: 'all',
    dirtyCameras: (n) => `${n} cam.`,
    sealedUntil: 'Exact until',
    watermark: 'Watermark',
    recompute: 'Recompute now',
    run: {
      queued: 'Queued…',
      running: (done, days) => (days > 0 ? `Running: day ${done} of ${days}` : 'Running…'),
      done: (days, cameras, seconds) => `Done in ${seconds} s: ${days} d, ${cameras} camera days`,
      nothing_to_do: 'Nothing to do: everything due is exact.',
      failed: (why) => `Failed: ${why}`,
      refused: (why) => `Not started: ${why}`,
    },
    days: 'Days',
    noDays: 'No day has data yet.',
    daySummary: (events, cameras) => `${events} events, ${cameras} cam.`,
    counting: 'counting…',
    lateCameras: (n) => `${n} with late events`,
    live: 'live',
    connecting: 'connecting…',
    lost: (why) => `no connection: ${why}`,
    ago: {
      now: 'now',
      s: (n) => `${n} s ago`,
      m: (n) => `${n} min ago`,
      h: (n) => `${n} h ago`,
      d: (n) => `${n} d ago`,
    },
    kmh: 'km/h',
  },
  ru: {
    tagline: 'средние скорости: сразу предварительные, в итоге точные',
    skipToChart: 'Перейти к графику',
    language: 'Язык',
    themeToDark: 'Тёмная тема',
    themeToLight: 'Светлая тема',
    cameras: 'Камеры',
    searchLabel: 'Поиск камеры',
    searchHint: 'Номер, название или дорога',
    camerasShown: (shown, total) => (shown < total ? `${shown} из ${total}` : `${total}`),
    noCameras: 'Ни одна камера ещё ничего не прислала.',
    noMatch: 'Ничего не найдено.',
    unregistered: 'не зарегистрирована',
    noData: 'нет данных',
    interval: 'Интервал',
    interval5m: '5 мин',
    interval1h: 'Час',
    interval24h: 'Сутки',
    day: 'День',
    dayBefore: 'Раньше',
    dayAfter: 'Позже',
    latest: 'Последний',
    timeZone: 'Часовой пояс',
    legend: 'Обозначения',
    asTable: 'Таблицей',
    choose: 'Выберите камеру',
    chooseHint: 'Здесь появятся её средние скорости.',
    noWindows: 'За это время событий нет.',
    meanSpeed: 'Средняя скорость',
    spaceMean: 'Пространственная',
    events: 'Машин',
    minMax: 'От наименьшей до наибольшей',
    status: {
      open: 'открыто',
      provisional: 'предварительно',
      exact: 'точно',
      revising: 'уточняется',
    },
    statusHelp: {
      open: 'ожидаются ещё машины',
      provisional: 'полно, насколько известно, но ещё не пересчитано точно',
      exact: 'вычислено по всем событиям без повторов',
      revising: 'пришли опоздавшие события, их учтёт следующий точный пересчёт',
    },
    revision: (n) => `редакция ${n}`,
    columnWindow: 'Окно',
    columnStatus: 'Состояние',
    columnMin: 'Мин.',
    columnMax: 'Макс.',
    chartLabel: (camera, windows, from, to) =>
      `Средняя скорость ${camera} с ${from} по ${to}: окон ${windows}. Все значения — в таблице ниже.`,
    pipeline: 'Конвейер',
    ready: 'работает',
    notReady: 'не готов',
    sinkName: { events: 'События', rollup_5m: 'Средние' },
    lag: (n) =>
      n === null ? 'отставание неизвестно' : n === '0' ? 'без отставания' : `отставание ${n}`,
    committed: (ago) => `записано ${ago}`,
    neverCommitted: 'ещё ничего не записано',
    dirtyDays: 'Дни с опоздавшими',
    none: 'нет',
    all: 'все',
    dirtyCameras: (n) => `${n} кам.`,
    sealedUntil: 'Точно до',
    watermark: 'Водяной знак',
    recompute: 'Пересчитать сейчас',
    run: {
      queued: 'В очереди…',
      running: (done, days) => (days > 0 ? `Идёт: день ${done} из ${days}` : 'Идёт…'),
      done: (days, cameras, seconds) =>
        `Готово за ${seconds} с: дней ${days}, камеро-дней ${cameras}`,
      nothing_to_do: 'Делать нечего: всё, что положено, уже точно.',
      failed: (why) => `Не удалось: ${why}`,
      refused: (why) => `Не начато: ${why}`,
    },
    days: 'Дни',
    noDays: 'Данных ещё нет.',
    daySummary: (events, cameras) => `событий ${events}, камер ${cameras}`,
    counting: 'подсчёт…',
    lateCameras: (n) => `с опоздавшими: ${n}`,
    live: 'на связи',
    connecting: 'соединение…',
    lost: (why) => `нет связи: ${why}`,
    ago: {
      now: 'сейчас',
      s: (n) => `${n} с назад`,
      m: (n) => `${n} мин назад`,
      h: (n) => `${n} ч назад`,
      d: (n) => `${n} дн назад`,
    },
    kmh: 'км/ч',
  },
}

const storageKey = 'potok.language'
let language = remembered() ?? (navigator.language.toLowerCase().startsWith('ru') ? 'ru' : 'en')

function remembered() {
  try {
    const value = localStorage.getItem(storageKey)
    return value in texts ? value : null
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
    return null
  }
}

export function currentLanguage() {
  return language
}

export function setLanguage(name) {
  language = name
  try {
    localStorage.setItem(storageKey, name)
  } catch {
    // As above.
  }
}

export function t(key) {
  return texts[language][key]
}

/** Puts the words of the page in place. */
export function translatePage() {
  document.documentElement.lang = language
  for (const element of document.querySelectorAll('[data-text]')) {
    element.textContent = t(element.dataset.text)
  }
  for (const element of document.querySelectorAll('[data-label]')) {
    element.setAttribute('aria-label', t(element.dataset.label))
  }
  for (const element of document.querySelectorAll('[data-placeholder]')) {
    element.placeholder = t(element.dataset.placeholder)
  }
  for (const button of document.querySelectorAll('[data-language]')) {
    button.setAttribute('aria-pressed', String(button.dataset.language === language))
  }
}

export function formatNumber(value, digits = 0) {
  return new Intl.NumberFormat(language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value)
}

export function formatCompact(value) {
  if (value < 10_000) return formatNumber(value)
  return new Intl.NumberFormat(language, { notation: 'compact', maximumFractionDigits: 1 }).format(
    value,
  )
}

export function formatTime(iso, zone, options) {
  return new Intl.DateTimeFormat(language, { timeZone: zone, hourCycle: 'h23', ...options }).format(
    new Date(iso),
  )
}

export const dateAndTime = { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }
export const clock = { hour: '2-digit', minute: '2-digit' }
export const dayOnly = { weekday: 'short', day: 'numeric', month: 'short' }

export function formatAgo(seconds) {
  const ago = t('ago')
  if (seconds < 5) return ago.now
  if (seconds < 90) return ago.s(seconds)
  if (seconds < 5_400) return ago.m(Math.round(seconds / 60))
  if (seconds < 172_800) return ago.h(Math.round(seconds / 3_600))
  return ago.d(Math.round(seconds / 86_400))
}
