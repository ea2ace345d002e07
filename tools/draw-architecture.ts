/**
 * Draws docs/architecture.svg (English) and docs/architecture.ru.svg (Russian) from one list of boxes and
 * arrows, so that both say the same. `node tools/draw-architecture.ts`; `--check` fails where they are stale.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Language = 'en' | 'ru'
type Text = Readonly<Record<Language, readonly string[]>>
type Box = {
  readonly at: readonly [x: number, y: number, width: number, height: number]
  readonly kind: 'outside' | 'service' | 'store' | 'table'
  readonly text: Text
}

const boxes: readonly Box[] = [
  {
    at: [20, 60, 150, 70],
    kind: 'outside',
    text: {
      en: ['Cameras', 'late, twice,', 'out of order'],
      ru: ['Камеры', 'поздно, дважды,', 'вразнобой'],
    },
  },
  {
    at: [220, 60, 170, 70],
    kind: 'service',
    text: { en: ['Gateway', 'POST /v1/events'], ru: ['Шлюз', 'POST /v1/events'] },
  },
  {
    at: [440, 60, 190, 70],
    kind: 'store',
    text: {
      en: ['Event log', 'durable, by kvfv_id'],
      ru: ['Журнал событий', 'надёжный, по kvfv_id'],
    },
  },
  {
    at: [220, 190, 170, 70],
    kind: 'service',
    text: { en: ['Writer', 'exactly once'], ru: ['Писатель', 'ровно один раз'] },
  },
  {
    at: [440, 190, 190, 70],
    kind: 'service',
    text: { en: ['Rollup stream', 'partial sums'], ru: ['Поток сумм', 'частичные суммы'] },
  },
  {
    at: [220, 330, 170, 80],
    kind: 'table',
    text: { en: ['events', 'rejected_events'], ru: ['events', 'rejected_events'] },
  },
  {
    at: [440, 330, 190, 80],
    kind: 'table',
    text: {
      en: ['rollup_5m', 'provisional + exact', 'rollup_1h · rollup_1d'],
      ru: ['rollup_5m', 'предварит. + точные', 'rollup_1h · rollup_1d'],
    },
  },
  {
    at: [330, 480, 190, 70],
    kind: 'service',
    text: {
      en: ['Exact job', 'late days and cameras only'],
      ru: ['Точный пересчёт', 'только запоздавшее'],
    },
  },
  {
    at: [690, 330, 170, 80],
    kind: 'service',
    text: { en: ['API', 'day cubes in memory'], ru: ['API', 'дневные кубы в памяти'] },
  },
  {
    at: [690, 480, 170, 70],
    kind: 'outside',
    text: { en: ['Apps, dashboard', 'schedulers'], ru: ['Приложения, панель', 'планировщики'] },
  },
  {
    at: [20, 330, 150, 80],
    kind: 'service',
    text: {
      en: ['Catalog', 'Iceberg REST', 'root by CAS'],
      ru: ['Каталог', 'Iceberg REST', 'корень через CAS'],
    },
  },
  {
    at: [20, 480, 150, 70],
    kind: 'outside',
    text: { en: ['Trino, Spark', 'PyIceberg, DuckDB'], ru: ['Trino, Spark', 'PyIceberg, DuckDB'] },
  },
]

type Arrow = {
  readonly points: readonly (readonly [number, number])[]
  readonly text?: Text
  readonly textAt?: readonly [number, number]
}
const arrows: readonly Arrow[] = [
  {
    points: [
      [170, 95],
      [218, 95],
    ],
  },
  {
    points: [
      [390, 95],
      [438, 95],
    ],
    text: { en: ['fsync, then 202'], ru: ['fsync, затем 202'] },
    textAt: [414, 50],
  },
  {
    points: [
      [490, 130],
      [490, 160],
      [305, 160],
      [305, 188],
    ],
  },
  {
    points: [
      [535, 130],
      [535, 188],
    ],
  },
  {
    points: [
      [305, 260],
      [305, 328],
    ],
    text: { en: ['rows + positions,', 'one commit'], ru: ['строки и позиции,', 'один коммит'] },
    textAt: [246, 288],
  },
  {
    points: [
      [535, 260],
      [535, 328],
    ],
    text: { en: ['sums + positions,', 'one commit'], ru: ['суммы и позиции,', 'один коммит'] },
    textAt: [598, 288],
  },
  {
    points: [
      [305, 410],
      [305, 515],
      [328, 515],
    ],
    text: { en: ['pinned snapshot'], ru: ['снимок'] },
    textAt: [258, 450],
  },
  {
    points: [
      [520, 515],
      [535, 515],
      [535, 412],
    ],
    text: { en: ['one atomic commit'], ru: ['один атомарный коммит'] },
    textAt: [618, 450],
  },
  {
    points: [
      [630, 370],
      [688, 370],
    ],
  },
  {
    points: [
      [775, 410],
      [775, 478],
    ],
  },
  {
    points: [
      [218, 370],
      [172, 370],
    ],
  },
  {
    points: [
      [95, 410],
      [95, 478],
    ],
  },
]

const titles: Readonly<Record<Language, string>> = {
  en: 'potok: the way of one detection',
  ru: 'поток: путь одного проезда',
}
const fills = {
  outside: '#f1f3f5',
  service: '#dbeafe',
  store: '#fde68a',
  table: '#d1fae5',
} as const

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

function draw(language: Language): string {
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 570" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="${escape(titles[language])}">`,
    '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="#475569"/></marker></defs>',
    '<rect width="880" height="570" fill="#ffffff"/>',
    `<text x="20" y="30" font-size="18" font-weight="600" fill="#0f172a">${escape(titles[language])}</text>`,
  ]
  for (const { at, kind, text } of boxes) {
    const [x, y, width, height] = at
    parts.push(
      `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8" fill="${fills[kind]}" stroke="#475569"/>`,
    )
    text[language].forEach((line, index, lines) => {
      const lineY = y + height / 2 + 5 + (index - (lines.length - 1) / 2) * 19
      const style =
        index === 0 ? 'font-weight="600" fill="#0f172a"' : 'font-size="12" fill="#334155"'
      parts.push(
        `<text x="${x + width / 2}" y="${lineY}" text-anchor="middle" ${style}>${escape(line)}</text>`,
      )
    })
  }
  for (const { points, text, textAt } of arrows) {
    const path = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${x} ${y}`).join(' ')
    parts.push(
      `<path d="${path}" fill="none" stroke="#475569" stroke-width="1.5" marker-end="url(#a)"/>`,
    )
    text?.[language].forEach((line, index) => {
      const [x, y] = textAt as readonly [number, number]
      parts.push(
        `<text x="${x}" y="${y + index * 15}" text-anchor="middle" font-size="11" fill="#475569">${escape(line)}</text>`,
      )
    })
  }
  return `${[...parts, '</svg>'].join('\n')}\n`
}

const check = process.argv.includes('--check')
for (const [language, name] of [
  ['en', 'architecture.svg'],
  ['ru', 'architecture.ru.svg'],
] as const) {
  const path = join(import.meta.dirname, '..', 'docs', name)
  const text = draw(language)
  if (!check) writeFileSync(path, text)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`docs/${name} is stale: node tools/draw-architecture.ts`)
    process.exitCode = 1
  }
}
