/** The dashboard in a real browser, over the real API with tables in memory. */
import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PotokError } from '../../kernel/errors.ts'
import { tableProperties } from '../../kernel/tables.ts'
import { dayOfUs, usPer5Minutes, usPerDay, usPerHour } from '../../kernel/time.ts'
import {
  type DashboardServer,
  firstDayUs,
  lateCamera,
  rowOf,
  startDashboardServer,
} from '../../testkit/dashboard-server.ts'

const executablePath = process.env['POTOK_TEST_CHROMIUM'] ?? '/usr/bin/chromium'
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

let browser: Browser
let server: DashboardServer
let page: Page
let complaints: string[]

beforeAll(async () => {
  if (!existsSync(executablePath)) {
    throw new Error(
      `no browser at ${executablePath}: apt-get install -y chromium (or name one in POTOK_TEST_CHROMIUM)`,
    )
  }
  browser = await chromium.launch({ executablePath, headless: true, args: flags })
})
afterAll(() => browser?.close())

beforeEach(async () => {
  server = await startDashboardServer({ cameraCount: 12 })
  const context = await browser.newContext({
    locale: 'en-GB',
    viewport: { width: 1440, height: 1000 },
  })
  page = await context.newPage()
  complaints = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(server.url)) complaints.push(`foreign request ${request.url()}`)
  })
})
afterEach(async () => {
  await page.context().close()
  await server.close()
})

const text = (selector: string) => page.locator(selector).innerText()
const open = async (hash = '') => {
  await page.goto(`${server.url}/${hash}`)
  await page.waitForSelector('#pulse[data-state=live]')
}
const eventually = (read: () => unknown, wanted: unknown) =>
  expect.poll(read, { timeout: 8_000, interval: 100 }).toEqual(wanted)

async function windowsServed() {
  const response = await fetch(`${server.url}/kvfv/KV10000/avg-speed?from=2025-04-06&to=2025-04-07`)
  return ((await response.json()) as { windows: unknown[] }).windows.length
}

describe('the dashboard', () => {
  it('lists cameras with newest mean speed and freshness, and finds them by name', async () => {
    await open()
    const list = page.locator('#camera-list li')
    await eventually(() => list.count(), 13)
    expect(await list.first().innerText()).toMatch(
      /KV10000\s+[\d.]+ km\/h\s+Северный мост, М-7, 12 км\s+now/,
    )
    expect(await list.nth(2).innerText()).toContain('not registered')
    expect(await list.nth(4).innerText()).toContain('5 h ago')
    expect(await list.last().innerText()).toContain('no data')
    await page.keyboard.press('/')
    await page.keyboard.type('harbour')
    await eventually(() => list.count(), 1)
    expect(await list.first().innerText()).toContain(lateCamera)
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await expect.poll(() => text('#camera-title')).toContain(lateCamera)
    expect(complaints).toEqual([])
  })

  it('tells exact, provisional and open windows apart, in the chart’s legend and in words', async () => {
    await open('#camera=KV10000')
    await expect
      .poll(() => text('#legend'))
      .toMatch(/exact \(90\)[\s\S]*provisional \(5\d\)[\s\S]*open \(3\d\)/)
    expect(await text('#camera-title')).toMatch(/open.*provisional.*exact · revision 1/s)
    expect(await page.locator('#chart canvas').count()).toBe(1)
    const box = await page.locator('#chart .u-over').boundingBox()
    await page.mouse.move((box?.x ?? 0) + (box?.width ?? 0) * 0.3, (box?.y ?? 0) + 50)
    await expect
      .poll(() => text('#readout'))
      .toMatch(/07:\d\d–07:\d\d\s+[\d.]+ km\/h.*exact · revision 1/s)
    await page.locator('#table-box summary').click()
    await eventually(() => page.locator('#window-table tbody tr').count(), await windowsServed())
    expect(complaints).toEqual([])
  })

  it('marks a camera’s day as revising when late events come, and as a new revision after the exact run', async () => {
    const dayUs = firstDayUs + usPerDay
    await open(`#camera=${lateCamera}&day=2025-04-04`)
    await expect.poll(() => text('#camera-title')).toMatch(/exact · revision 1/)
    const sequence = server.tables.appendEvents(dayUs + 10 * usPerHour, [lateCamera])
    await expect
      .poll(() => text('#camera-title'), { timeout: 6_000 })
      .toMatch(/revising · revision 1/)
    await expect.poll(() => text('#days')).toMatch(/1 with late events/)
    await expect.poll(() => text('#pipeline')).toMatch(/2025-04-04 · 1 cam\./)
    const rows = []
    for (let startUs = dayUs; startUs < dayUs + usPerDay; startUs += usPer5Minutes) {
      rows.push(rowOf(lateCamera, startUs, { revision: 2 }))
    }
    server.tables.replaceRollupDays([dayOfUs(dayUs)], rows, {
      [tableProperties.exactSequence]: String(sequence),
    })
    await expect.poll(() => text('#camera-title'), { timeout: 6_000 }).toMatch(/exact · revision 2/)
    expect(complaints).toEqual([])
  })

  it('asks for an exact run and follows it to its end', async () => {
    await open()
    await page.locator('#recompute').click()
    await expect.poll(() => text('#run')).toBe('Queued…')
    expect(await page.locator('#recompute').isDisabled()).toBe(true)
    const days = [{ day: 20_182, cameras: [lateCamera] }]
    server.queue.update('run-1', { status: 'running', days })
    await expect.poll(() => text('#run')).toBe('Running: day 0 of 1')
    server.queue.update('run-1', {
      status: 'done',
      days,
      daysDone: 1,
      cameraDays: 1,
      seconds: 0.42,
    })
    await expect.poll(() => text('#run')).toBe('Done in 0.4 s: 1 d, 1 camera days')
    expect(server.queue.runs[0]?.request).toMatchObject({
      trigger: 'http',
      force: false,
      cameras: null,
    })
    server.queue.refusal = new PotokError('Overloaded', 'the queue of runs is full')
    await page.locator('#recompute').click()
    await expect.poll(() => text('#run')).toBe('Not started: the queue of runs is full')
  })

  it('speaks English and Russian and remembers it, and light and dark', async () => {
    await open()
    await page.locator('[data-language=ru]').click()
    await eventually(() => text('#pipeline-title'), 'Конвейер')
    await page.locator('#theme').click()
    await page.reload()
    await page.waitForSelector('#pulse[data-state=live]')
    expect(await text('#pipeline-title')).toBe('Конвейер')
    expect(await page.locator('html').getAttribute('lang')).toBe('ru')
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark')
    expect(await page.locator('body').innerText()).not.toMatch(/undefined|NaN|\[object/)
    expect(complaints).toEqual([])
  })

  it('shows hours and days of a time zone, keeps the choice in the address', async () => {
    await open('#camera=KV10000')
    await page.locator('[data-interval="24h"]').click()
    await expect.poll(() => text('#legend')).toMatch(/exact \(3\)/)
    await page.locator('[data-interval="1h"]').click()
    await expect.poll(() => page.url()).toContain('interval=1h')
    await page.locator('#day').fill('2025-04-04')
    await expect.poll(() => text('#legend')).toMatch(/exact \(4\d\)/)
    await page.locator('#day-before').click()
    await expect.poll(() => text('#chart-empty')).toBe('No events in this time.')
    await open('#camera=KV10000&interval=24h&zone=Asia/Yekaterinburg')
    await expect.poll(() => text('#legend')).toMatch(/exact \(3\)/)
    expect(complaints).toEqual([])
  })

  it('says what is wrong: an unwell service, a lost connection, an unknown camera', async () => {
    server.health['writer'] = { ok: false, reason: 'the disk is full', details: {} }
    await open('#camera=nobody')
    await expect.poll(() => text('#ready')).toBe('not ready')
    expect(await text('#pipeline')).toContain('the disk is full')
    await expect.poll(() => text('#chart-empty')).toContain('camera nobody is not registered')
    await page.route('**/kvfv?*', (route) => route.abort())
    await expect.poll(() => text('#pulse'), { timeout: 6_000 }).toContain('no connection')
  })

  it('every control has a name, and all can be reached by keyboard', async () => {
    await open('#camera=KV10000')
    const nameless = await page.$$eval('button, input, select, a[href], summary', (all) =>
      all
        .filter((node) => {
          const { labels } = node as { labels?: ArrayLike<{ textContent: string }> }
          const names = [
            node.getAttribute('aria-label'),
            node.textContent,
            labels?.[0]?.textContent,
          ]
          return names.every((name) => (name ?? '').trim() === '')
        })
        .map((node) => node.outerHTML),
    )
    expect(nameless).toEqual([])
    const reached = new Set<string>()
    await page.locator('body').click({ position: { x: 2, y: 400 } })
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab')
      reached.add(await page.evaluate<string>('document.activeElement.id'))
    }
    for (const id of ['theme', 'search', 'day-before', 'day', 'day-after', 'zone', 'recompute']) {
      expect(reached).toContain(id)
    }
  })
})
