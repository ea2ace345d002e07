/**
 * `potok recompute`: asks the potok that runs on this data to recompute, or, where none runs, does it here:
 * brings the tables up to the end of the log first.
 */
import { InvalidArgumentError, Option } from 'commander'
import { PotokError } from '../../kernel/errors.ts'
import type { RecomputeRequest } from '../../kernel/recompute.ts'
import { parseDay } from '../../kernel/time.ts'
import { readRunning, tryDataLock } from '../data-lock.ts'
import { createEmbedded, createExactJob } from '../embedded.ts'
import { type Installation, openInstallation } from '../installation.ts'
import { openEngine } from '../roles.ts'
import { createProgress } from '../progress.ts'
import { type CommandDefinition, type CommandInput, note, print, toJson } from './command.ts'
import { followRun, postRecompute, runToWire, type RunOnTheWire } from './recompute-client.ts'

function dayOption(text: string): number {
  const day = text === 'today' ? Math.floor(Date.now() / 86_400_000) : parseDay(text)
  if (day === null) throw new InvalidArgumentError('a day is YYYY-MM-DD or today')
  return day
}

function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.split(',').filter((part) => part !== '')]
}

export const recomputeCommand: CommandDefinition = {
  usage: 'recompute',
  description: 'Make averages exact: everything due and dirty, or the days and cameras asked for',
  options: [
    new Option('--day <day>', 'This UTC day (YYYY-MM-DD or today)').argParser(dayOption),
    new Option('--from <day>', 'First UTC day').argParser(dayOption),
    new Option('--to <day>', 'UTC day after the last').argParser(dayOption),
    new Option('--camera <id>', 'This camera only; may be given again').argParser(collect),
    new Option('--force', 'Clean days too'),
    new Option('--dry-run', 'Say what would be done, and do nothing'),
    new Option('--url <url>', 'The potok to ask (default: the one that runs on --data)'),
  ],
  settings: ['engineMemoryMib', 'allowedLatenessMinutes'],
  run: async (input) => {
    const request = readRequest(input)
    const dryRun = input.options['dryRun'] === true
    const url = input.options['url']
    const run = dryRun
      ? await planOnly(input, request)
      : typeof url === 'string'
        ? await askRunning(url, request)
        : await askOrDo(input, request)
    print(input.settings.json ? toJson(run) : describeRun(run, dryRun))
    return run.status === 'failed' ? 1 : 0
  },
}

function readRequest({ options }: CommandInput): RecomputeRequest {
  const day = options['day'] as number | undefined
  const from = options['from'] as number | undefined
  const to = options['to'] as number | undefined
  if (day !== undefined && (from !== undefined || to !== undefined)) {
    throw new PotokError('InvalidInput', 'give --day, or --from and --to, not both')
  }
  const cameras = options['camera'] as string[] | undefined
  return {
    fromDay: day ?? from ?? null,
    toDay: day === undefined ? (to ?? null) : day + 1,
    cameras: cameras ?? null,
    force: options['force'] === true,
    trigger: 'cli',
  }
}

/** Changes nothing, so it needs neither the lock nor the potok that runs here. */
async function planOnly(
  { settings }: CommandInput,
  request: RecomputeRequest,
): Promise<RunOnTheWire> {
  const installation = openInstallation(settings, 'recompute', { existing: true })
  const duckdb = await openEngine(installation, 2)
  try {
    return runToWire(await createExactJob(installation, duckdb, null).plan(request))
  } finally {
    duckdb.close()
  }
}

async function askOrDo(
  { settings }: CommandInput,
  request: RecomputeRequest,
): Promise<RunOnTheWire> {
  const installation = openInstallation(settings, 'recompute', { existing: true })
  const lock = tryDataLock(installation.data)
  if (lock === null) {
    const url = readRunning(installation.data)?.url
    if (typeof url !== 'string') {
      throw new PotokError(
        'Unavailable',
        `the potok that runs on ${installation.data} is not up yet; try again`,
      )
    }
    return await askRunning(url, request)
  }
  try {
    return await doHere(installation, request)
  } finally {
    lock.release()
  }
}

async function askRunning(url: string, request: RecomputeRequest): Promise<RunOnTheWire> {
  const { run_id } = await postRecompute(url, request)
  return await follow(() => followRun(url, run_id))
}

async function doHere(
  installation: Installation,
  request: RecomputeRequest,
): Promise<RunOnTheWire> {
  note('no potok runs on this data: bringing the tables up to the end of the log first')
  const deaths: Error[] = []
  const embedded = createEmbedded(installation, {
    parts: ['writer', 'rollups', 'recompute'],
    probes: false,
    onDeath: (error) => deaths.push(error),
  })
  try {
    await embedded.start()
    const { recompute } = embedded
    const { runId } = recompute.request(request)
    return await follow(async () => {
      if (deaths[0] !== undefined) throw deaths[0]
      const run = recompute.get(runId)
      if (run === null) throw new RangeError(`run ${runId} has gone`)
      return runToWire(run)
    })
  } finally {
    await embedded.stop(20_000)
  }
}

async function follow(look: () => Promise<RunOnTheWire>): Promise<RunOnTheWire> {
  const progress = createProgress('recompute', 'days')
  for (;;) {
    const run = await look()
    if (run.status !== 'queued' && run.status !== 'running') {
      progress.done()
      return run
    }
    progress.update(run.days_done, run.days.length)
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
}

function describeRun(run: RunOnTheWire, dryRun: boolean): string {
  const days = run.days.map(
    ({ day, cameras }) =>
      `  ${day}: ${cameras === null ? 'all cameras' : `${cameras.length} camera(s): ${cameras.slice(0, 10).join(', ')}${cameras.length > 10 ? ', …' : ''}`}`,
  )
  const shown =
    days.length > 40 ? [...days.slice(0, 40), `  … and ${days.length - 40} more days`] : days
  if (run.status === 'failed') return `failed: ${run.message ?? 'no reason given'}`
  if (run.status === 'nothing_to_do') return `nothing to do: ${run.message ?? ''}`
  if (dryRun) return ['would recompute:', ...shown].join('\n')
  return [
    `recomputed ${run.days.length} day(s), ${run.cameras} camera days, from ${run.events_read} events in ${(run.seconds ?? 0).toFixed(1)} s; sealed until ${run.sealed_until ?? 'nothing'}`,
    ...shown,
  ].join('\n')
}
