/**
 * `potok demo`: what potok is for, in about two minutes, on real detector data and a folder of its own: an
 * outage, late and doubled data, averages from provisional to exact to revising to exact, and an audit.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Option } from 'commander'
import { PotokError } from '../../kernel/errors.ts'
import { acquireDataLock } from '../data-lock.ts'
import { allParts, createEmbedded } from '../embedded.ts'
import { openInstallation } from '../installation.ts'
import { createProgress } from '../progress.ts'
import { readStatus } from '../status.ts'
import { waitForStopSignal } from '../stop-signal.ts'
import { type CommandDefinition, print, toJson } from './command.ts'
import { createIntakeClient } from './intake-client.ts'
import { followRun, postRecompute, type RunOnTheWire } from './recompute-client.ts'
import { openReplaySource, parseReplayMapping, type ReplayEvent } from './replay-source.ts'
import { audit, describeReport } from './verify.ts'

const example = join(import.meta.dirname, '..', '..', 'examples', 'los-loop')
const eventsInFile = 417_312
const camera = '767541'
const outageDay = '2012-03-03'
const outageFrom = `${outageDay}T10`
const outageTo = `${outageDay}T22`
const stopDeadlineMs = 20_000

type Average = {
  readonly status: string
  readonly revision: number | null
  readonly event_count: number
  readonly avg_speed: number
  readonly space_mean_speed: number | null
}

export const demoCommand: CommandDefinition = {
  usage: 'demo',
  description: 'Show what potok is for: real data, an outage, late data, an audit',
  options: [new Option('--exit', 'End after the audit instead of leaving the dashboard open')],
  settings: ['host', 'port', 'catalogPort'],
  run: async ({ settings: given, options }) => {
    const data = mkdtempSync(join(tmpdir(), 'potok-demo-'))
    const settings = {
      ...given,
      data,
      warehouse: '',
      catalogUri: '',
      mqttPort: 0,
      recomputeSchedule: 'off',
      logLevel: 'error' as const,
    }
    const installation = openInstallation(settings, 'demo')
    const lock = acquireDataLock(data)
    const stop = waitForStopSignal()
    const embedded = createEmbedded(installation, {
      parts: allParts,
      probes: true,
      onDeath: stop.fail,
    })
    const story = createStory(settings.json)
    try {
      story.title('1/7  Starting all of potok in this process, on an empty folder')
      await embedded.start()
      const url = embedded.url() ?? ''
      lock.announce({
        pid: process.pid,
        startedAt: new Date().toISOString(),
        url,
        catalogUrl: embedded.catalogUrl(),
      })
      story.say(`dashboard ${url}/   data ${data}`)

      story.title('2/7  A week of 207 real loop detectors of Los Angeles comes in over HTTP')
      const heldBack: string[] = []
      const sent = await replayWeek(url, heldBack)
      story.say(
        `${sent} readings acknowledged; camera ${camera} lost its link for twelve hours on ${outageDay}: ${heldBack.length} readings are still in its buffer`,
      )
      const neighbour = '767542'
      const wait = createWait(url, stop.signalled)
      await wait('every reading in the averages', async () => (await countedEvents(url)) >= sent)
      story.average('provisional', neighbour, await dayAverage(url, neighbour))

      story.title('3/7  The exact job makes the week exact')
      story.run(await recompute(url, { from: '2012-03-01', to: '2012-03-09' }))
      story.average('exact', neighbour, await dayAverage(url, neighbour))
      story.average('exact as far as it sent', camera, await dayAverage(url, camera))

      story.title(
        '4/7  The camera comes back, and sends its buffer twice (its link broke in between)',
      )
      const client = createIntakeClient({ baseUrl: url, concurrency: 1 })
      for (const line of [...heldBack, ...heldBack]) await client.add(camera, line)
      const late = await client.finish()
      story.say(
        `${late.accepted} late readings acknowledged, ${heldBack.length} of them duplicates`,
      )
      await wait('the late day to be revising', () => isRevising(url))
      story.say(
        `${outageDay} is revising: newer data wait for one camera; all other cameras stay exact`,
      )

      story.title('5/7  The exact job again: only what changed')
      const run = await recompute(url, {})
      story.run(run)
      story.average('exact', camera, await dayAverage(url, camera))
      story.average('untouched', neighbour, await dayAverage(url, neighbour))
      story.say(`once more: ${(await recompute(url, {})).message ?? 'nothing to do'}`)

      story.title('6/7  The audit: from the tables alone')
      await wait('both sinks to have read all', () => isDrained(installation))
      const report = await audit(installation, () => undefined)
      if (!settings.json) print(indent(describeReport(report)))

      story.title('7/7  In plain words')
      const status = await readStatus(installation)
      const rows = status.tables['events']?.rows ?? 0
      const acknowledged = sent + late.accepted
      const counted = await countedEvents(url)
      const nothingLost = rows === acknowledged && counted === eventsInFile
      story.say(
        `${acknowledged} detections were acknowledged, ${rows} are in the table: ${rows === acknowledged ? 'nothing was lost' : 'THIS IS WRONG'}.`,
      )
      story.say(
        `${eventsInFile} readings are in the file, ${counted} are in the averages: ${counted === eventsInFile ? 'nothing was counted twice' : 'THIS IS WRONG'}.`,
      )
      const fine = nothingLost && report.findings === 0
      if (settings.json) print(toJson({ acknowledged, rows, counted, report, ok: fine }))
      if (!fine) return 1
      if (options['exit'] !== true) {
        story.say(`The dashboard stays open at ${url}/ until Ctrl-C.`)
        await stop.signalled
      }
      return stop.exitCode()
    } finally {
      await embedded.stop(stopDeadlineMs)
      lock.release()
      rmSync(data, { recursive: true, force: true })
    }
  },
}

function createStory(json: boolean) {
  const out = (text: string): void => {
    if (!json) print(text)
  }
  return {
    title: (text: string) => out(`\n${text}`),
    say: (text: string) => out(`     ${text}`),
    average: (label: string, id: string, a: Average) =>
      out(
        `     ${label}: camera ${id} on ${outageDay}: mean ${a.avg_speed} km/h (space-mean ${a.space_mean_speed ?? 'none'}) of ${a.event_count} readings, ${a.status}${a.revision === null ? '' : `, revision ${a.revision}`}`,
      ),
    run: (run: RunOnTheWire) =>
      out(
        `     ${run.status}: ${run.days.length} day(s), ${run.cameras} camera day(s), ${run.events_read} events read in ${(run.seconds ?? 0).toFixed(1)} s`,
      ),
  }
}

async function replayWeek(url: string, heldBack: string[]): Promise<number> {
  const file = join(example, 'los-loop-speeds.csv.gz')
  if (!existsSync(file)) throw new PotokError('NotFound', `the example data are missing: ${file}`)
  const source = await openReplaySource({
    file,
    mapping: parseReplayMapping(readFileSync(join(example, 'mapping.json'), 'utf8')),
  })
  const progress = createProgress('     replay', 'readings')
  const client = createIntakeClient({
    baseUrl: url,
    onProgress: ({ accepted }) => progress.update(accepted, eventsInFile),
  })
  for await (const batch of source.batches()) {
    for (const event of batch) {
      if (isHeldBack(event)) heldBack.push(event.line)
      else await client.add(event.kvfvId, event.line)
    }
  }
  const counts = await client.finish()
  progress.done()
  return counts.accepted
}

function isHeldBack({ kvfvId, line }: ReplayEvent): boolean {
  if (kvfvId !== camera) return false
  const { timestamp } = JSON.parse(line) as { timestamp: string }
  const utc = new Date(timestamp).toISOString()
  return utc >= outageFrom && utc < outageTo
}

async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url)
  if (!response.ok) throw new PotokError('Unavailable', `${url} answered ${response.status}`)
  return (await response.json()) as T
}

function dayUrl(url: string, id: string): string {
  return `${url}/kvfv/${id}/avg-speed?from=${outageDay}T00:00:00Z&to=2012-03-04T00:00:00Z&interval=24h`
}

async function dayAverage(url: string, id: string): Promise<Average> {
  const { windows } = await getJson<{ windows: Average[] }>(dayUrl(url, id))
  const [day] = windows
  if (day === undefined) throw new PotokError('NotFound', `no average of camera ${id}`)
  return day
}

type Wait = (what: string, look: () => Promise<boolean>) => Promise<void>

const waitMsMax = 90_000

/** Waits for what must come; where it doesn't, says what is wrong instead of waiting on. Ctrl-C ends it. */
function createWait(url: string, stopped: Promise<void>): Wait {
  let gone = false
  void stopped.then(() => {
    gone = true
  })
  return async (what, look) => {
    const endMs = Date.now() + waitMsMax
    while (!(await look())) {
      if (gone) throw new PotokError('ShuttingDown', 'stopped before the end of the demo')
      if (Date.now() > endMs) {
        const ready = await fetch(`${url}/readyz`)
        throw new PotokError(
          'Timeout',
          `waited ${waitMsMax / 1000} s for ${what}; /readyz says: ${await ready.text()}`,
        )
      }
      await sleep(250)
    }
  }
}

async function countedEvents(url: string): Promise<number> {
  const { days } = await getJson<{ days: { event_count: number | null }[] }>(`${url}/v1/days`)
  return days.reduce((sum, day) => sum + (day.event_count ?? 0), 0)
}

async function isRevising(url: string): Promise<boolean> {
  const { days } = await getJson<{ days: { day: string; status: string }[] }>(`${url}/v1/days`)
  return days.some(({ day, status }) => day === outageDay && status === 'revising')
}

async function recompute(
  url: string,
  request: { from?: string; to?: string },
): Promise<RunOnTheWire> {
  const day = (text: string | undefined) =>
    text === undefined ? null : Date.parse(`${text}T00:00:00Z`) / 86_400_000
  const { run_id } = await postRecompute(url, {
    fromDay: day(request.from),
    toDay: day(request.to),
    cameras: null,
    force: false,
    trigger: 'demo',
  })
  for (;;) {
    const run = await followRun(url, run_id)
    if (run.status === 'failed') throw new PotokError('Unavailable', run.message ?? 'failed')
    if (run.status === 'done' || run.status === 'nothing_to_do') return run
    await sleep(200)
  }
}

async function isDrained(installation: Parameters<typeof readStatus>[0]): Promise<boolean> {
  const { lag } = await readStatus(installation)
  return lag.events === 0 && lag.rollup_5m === 0
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `     ${line}`)
    .join('\n')
}
