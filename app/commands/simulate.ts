/**
 * `potok simulate`: a seeded fleet of cameras with all that goes wrong on real roads, sent to a running potok;
 * live until Ctrl-C, or a stretch of the past as fast as it goes. Writes what every window must be.
 */
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../../adapters/system/system-clock.ts'
import { arrivals } from '../../ingest/simulator/arrivals.ts'
import { createFleet, type Fleet } from '../../ingest/simulator/fleet.ts'
import { createGroundTruth, type GroundTruth } from '../../ingest/simulator/ground-truth.ts'
import { createLiveFeed } from '../../ingest/simulator/live-feed.ts'
import { PotokError } from '../../kernel/errors.ts'
import { createProgress } from '../progress.ts'
import { waitForStopSignal } from '../stop-signal.ts'
import { type CommandDefinition, type CommandInput, note, print, toJson } from './command.ts'
import { createIntakeClient, type IntakeClient } from './intake-client.ts'
import { describeCounts, targetUrl, urlOption } from './replay.ts'

function instant(text: string): number {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new InvalidArgumentError('an instant is like 2025-04-05T10:00:00Z')
  return ms
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('a number above 0')
  return value
}

export const simulateCommand: CommandDefinition = {
  usage: 'simulate',
  description: 'Send a seeded fleet of simulated cameras, with outages, duplicates and bad clocks',
  options: [
    urlOption,
    new Option('--seed <n>', 'Same seed, same fleet').argParser(positive).default(1),
    new Option('--rate <n>', 'Events per second of one camera, mean over the day')
      .argParser(positive)
      .default(1),
    new Option('--from <instant>', 'Simulate the past from here …').argParser(instant),
    new Option('--to <instant>', '… to here, as fast as it goes').argParser(instant),
    new Option('--duration <seconds>', 'Live: stop after this long').argParser(positive),
    new Option('--truth <file>', 'Write what every window must be, as JSON lines'),
  ],
  settings: ['cameras'],
  run: async (input) => {
    const { settings, options } = input
    const fleet = createFleet({
      cameras: settings.cameras === 0 ? 50 : settings.cameras,
      seed: Number(options['seed']),
      eventsPerSecond: Number(options['rate']),
    })
    const truth = createGroundTruth()
    const stop = waitForStopSignal()
    const abort = new AbortController()
    void stop.signalled.then(() => abort.abort())
    const client = createIntakeClient({
      baseUrl: targetUrl(options['url'], settings.data),
      signal: abort.signal,
      onRetry: (reason, pauseMs) => note(`sending again in ${pauseMs} ms: ${reason}`),
    })
    const startedMs = performance.now()
    if (options['from'] === undefined) await live(input, fleet, client, truth, abort)
    else await past(input, fleet, client, truth, abort.signal)
    // Stopped by hand, what is under way is given up; the counts say what was acknowledged.
    const counts = abort.signal.aborted ? client.counts() : await client.finish()
    const file = options['truth']
    if (typeof file === 'string') await writeTruth(file, truth)
    const seconds = (performance.now() - startedMs) / 1000
    print(
      settings.json
        ? toJson({ ...counts, seconds, simulated: truth.counts })
        : `${describeCounts(counts, seconds)}\nsimulated: ${JSON.stringify(truth.counts)}`,
    )
    return 0
  },
}

async function live(
  { options }: CommandInput,
  fleet: Fleet,
  client: IntakeClient,
  truth: GroundTruth,
  abort: AbortController,
): Promise<void> {
  const duration = options['duration']
  const timer =
    typeof duration === 'number' ? setTimeout(() => abort.abort(), duration * 1000) : undefined
  note(`${fleet.cameras.length} cameras are live; Ctrl-C ends them`)
  await createLiveFeed({
    fleet,
    send: (ndjson) => client.sendNdjson(ndjson),
    clock: systemClock,
    signal: abort.signal,
    truth,
  }).run()
  clearTimeout(timer)
}

async function past(
  { options }: CommandInput,
  fleet: Fleet,
  client: IntakeClient,
  truth: GroundTruth,
  signal: AbortSignal,
): Promise<void> {
  const fromMs = options['from'] as number
  const toMs = options['to'] as number | undefined
  if (toMs === undefined || toMs <= fromMs) {
    throw new PotokError('InvalidInput', '--from needs a later --to')
  }
  const progress = createProgress('simulate', 'simulated minutes')
  const minutes = (ms: number) => Math.floor((ms - fromMs) / 60_000)
  for (const { atMs, items } of arrivals(fleet, { fromMs, toMs, deliverRest: true })) {
    if (signal.aborted) break
    for (const item of items) {
      const wait = client.add(item.kvfvId, item.line)
      if (wait !== undefined) await wait
      truth.accept(item, Date.now())
    }
    progress.update(minutes(atMs), minutes(toMs))
  }
  progress.done()
}

async function writeTruth(file: string, truth: GroundTruth): Promise<void> {
  const out = createWriteStream(file)
  for (const window of truth.windows()) {
    if (!out.write(`${JSON.stringify(window)}\n`)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'finish')
}
