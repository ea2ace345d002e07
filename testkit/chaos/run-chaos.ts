/**
 * The fault run: load, faults one after another and over each other, then everything healed, everything read to
 * its end, and judged. What it proves and how to read it: docs/chaos.md.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom, type Random } from '../random.ts'
import { type Cameras, startCameras } from './cameras.ts'
import { type ChaosVerdict, judgeRun } from './judge-run.ts'
import { dealFaults } from './deck.ts'
import { waitUntilDrained } from './drain.ts'
import { countCrashes, type FaultKind, groupsWith, planFault } from './faults.ts'
import { type ForeignProducers, startForeignProducers } from './foreign-producers.ts'
import { createLedger, type Ledger } from './sent-events.ts'
import { partitions, startWorld, topic, waitUntilUp, type World } from './world.ts'

export type ChaosOptions = {
  readonly seed: number
  /** The run ends with so many faults, or after so much time. */
  readonly faultsMax: number
  readonly msMax: number
  readonly paceMs: number
  readonly eventsPerSecond: number
  /** Only faults whose name holds this. */
  readonly only?: string
  readonly judge: 'trino' | 'pyiceberg'
  /** Logs of all processes, and with findings what the judge saw. */
  readonly folder: string
  readonly say: (line: string) => void
}

export type ChaosReport = ChaosVerdict & {
  readonly faults: ReadonlyMap<FaultKind, number>
  readonly faultCount: number
  readonly lives: number
  /** Ends of processes that no fault brought about. */
  readonly ownEnds: readonly string[]
  readonly sent: ReturnType<Ledger['counts']>
  readonly answers: Readonly<Record<string, number>>
  readonly transactions: Readonly<Record<string, number>>
  readonly seconds: { readonly faults: number; readonly drain: number; readonly all: number }
}

const atOnceMax = 8
const faultMsMax = 150_000
/** For crash points that the last faults wait for. */
const lastMsMax = 20_000

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, say } = options
  const startedMs = Date.now()
  const since = (): number => (Date.now() - startedMs) / 1_000
  const tell = (line: string): void => say(`${clockText(since())}  ${line}`)
  tell(`seed ${seed}; processes and servers start; logs in ${options.folder}`)
  const world = await startWorld(options.folder)
  try {
    const ledger = createLedger()
    // Whole days, so that the events of a seed fall into the same windows again.
    const baseMs = Date.now()
    const load = startLoad(options, world, ledger, baseMs)
    tell(`all ${world.roles.length} processes are up; faults begin`)
    const faultsFromSeconds = since()
    const made = await makeFaults(options, world, load, tell)
    const drainFromSeconds = since()
    tell('faults are over: everything is healed, senders finish, sinks read to the end')
    await waitUntilUp(world)
    await load.finish()
    const logEnds = await waitUntilDrained(world, tell)
    const judgeFromSeconds = since()
    tell('sinks are at the end of the log; the judges look')
    const faults = new Map([...made, ...countCrashes(world)])
    const verdict = await judgeRun({ ...options, world, ledger, baseMs, logEnds, tell })
    return {
      ...verdict,
      findings: [...load.cameras.findings(), ...verdict.findings],
      faults,
      faultCount: [...faults.values()].reduce((sum, count) => sum + count, 0),
      lives: world.roles.reduce((sum, role) => sum + role.lives(), 0),
      ownEnds: world.roles.flatMap((role) => role.ownEnds()),
      sent: ledger.counts(),
      answers: load.cameras.answers(),
      transactions: load.foreign.outcomes(),
      seconds: {
        faults: drainFromSeconds - faultsFromSeconds,
        drain: judgeFromSeconds - drainFromSeconds,
        all: since(),
      },
    }
  } finally {
    await world.stop()
  }
}

type Load = {
  readonly cameras: Cameras
  readonly foreign: ForeignProducers
  finish(): Promise<void>
}

function startLoad(options: ChaosOptions, world: World, ledger: Ledger, baseMs: number): Load {
  const { seed, eventsPerSecond } = options
  const common = { seed, baseMs, ledger }
  const cameras = startCameras({
    ...common,
    random: createRandom(seed + 1),
    urls: () => world.gatewayUrls(),
    eventsPerSecond,
  })
  const foreign = startForeignProducers({
    ...common,
    random: createRandom(seed + 2),
    brokers: world.kafka.brokers,
    topic,
    partitions,
  })
  const asking = new AbortController()
  const asked = askForRuns(world, createRandom(seed + 3), baseMs, asking.signal)
  return {
    cameras,
    foreign,
    async finish() {
      asking.abort()
      await asked
      await cameras.finish()
      await foreign.finish()
    },
  }
}

/** Exact runs beside the schedule: of what is due, of everything up to now, of one camera. */
async function askForRuns(
  world: World,
  random: Random,
  baseMs: number,
  signal: AbortSignal,
): Promise<void> {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
  const upToNow = { from: day(baseMs - 50 * 86_400_000), to: day(baseMs + 86_400_000) }
  while (!signal.aborted) {
    await sleep(5_000 + random.below(15_000), undefined, { signal }).catch(() => undefined)
    const body = random.pick([{}, {}, upToNow, { cameras: [`KV${random.below(40)}`] }])
    const url = world.apiUrl()
    if (url === null) continue
    await fetch(`${url}/v1/recompute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
    }).catch(() => undefined)
  }
}

async function makeFaults(
  options: ChaosOptions,
  world: World,
  { foreign }: Load,
  tell: (line: string) => void,
): Promise<Map<FaultKind, number>> {
  const random = createRandom(options.seed)
  const deal = dealFaults(groupsWith(options.only ?? ''), random)
  const counts = new Map<FaultKind, number>()
  const inUse = new Set<string>()
  const running = new Set<Promise<void>>()
  const until = Date.now() + options.msMax
  const ending = new AbortController()
  const ports = { world, foreign, random, ending: ending.signal }
  for (let number = 1; number <= options.faultsMax && Date.now() < until; number++) {
    const kind = deal()
    let fault = planFault(kind, ports, inUse)
    while (fault === null || running.size >= atOnceMax) {
      await Promise.race([...running, sleep(faultMsMax)])
      fault = planFault(kind, ports, inUse)
    }
    const { uses, run } = fault
    for (const name of uses) inUse.add(name)
    const fromMs = Date.now()
    const done = run()
      .then((detail) => {
        const seconds = ((Date.now() - fromMs) / 1_000).toFixed(1)
        tell(`${String(number).padStart(3)} ${kind} — ${detail}; ${seconds} s`)
        // Those are counted where they come about.
        if (!kind.startsWith('crash point')) counts.set(kind, (counts.get(kind) ?? 0) + 1)
      })
      .finally(() => {
        for (const name of uses) inUse.delete(name)
        running.delete(done)
      })
    running.add(done)
    await sleep(options.paceMs * (0.5 + random.next()))
  }
  await Promise.race([Promise.all(running), sleep(lastMsMax)])
  ending.abort()
  await Promise.all(running)
  for (const link of [world.s3, world.kafkaLink, world.catalogLink]) {
    link.set({ kind: 'pass' })
    link.cut()
  }
  return counts
}

export function clockText(seconds: number): string {
  const whole = Math.floor(seconds)
  return `${String(Math.floor(whole / 60)).padStart(2, '0')}:${String(whole % 60).padStart(2, '0')}`
}

/** One of its own: two runs of a seed may go on at the same time. */
export function chaosFolder(seed: number): string {
  return mkdtempSync(join(tmpdir(), `potok-chaos-${seed}-`))
}
