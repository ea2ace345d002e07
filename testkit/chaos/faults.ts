/**
 * The faults of the run: what each does to the world, and for how long. A fault returns when what it did is
 * undone: the process started again, the link healed. What it holds (`uses`) no other fault touches meanwhile.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultProxy, ProxyFault } from '../fault-proxy.ts'
import type { Random } from '../random.ts'
import type { FaultGroup } from './deck.ts'
import { expireSnapshots } from './expire-snapshots.ts'
import type { ForeignProducers } from './foreign-producers.ts'
import type { SupervisedRole } from './supervised-role.ts'
import { sessionSeconds, type World } from './world.ts'

export type FaultPorts = {
  readonly world: World
  readonly foreign: ForeignProducers
  readonly random: Random
  /** Raised when faults are over: nobody waits for a crash point any more. */
  readonly ending: AbortSignal
}

/** What it did, in a few words, for the log. */
type Action = () => Promise<string>
/** `null`: everything it could be done to is in use. */
export type PlannedFault = { readonly uses: readonly string[]; readonly run: Action } | null

type Role = SupervisedRole['plan']['role']
type Place = 'S3' | 'Kafka' | 'catalog'

const crashPoints: readonly [Role, readonly number[]][] = [
  ['writer', [1, 2, 3, 4, 5]],
  ['rollups', [1, 2, 3, 4, 5]],
  ['api', [1, 2]],
  ['catalog', [1, 2]],
]
const shownRole: Readonly<Record<Role, string>> = {
  gateway: 'gateway',
  writer: 'writer',
  rollups: 'rollup stream',
  catalog: 'catalog',
  api: 'exact job',
}
const pauseMsMin = sessionSeconds * 1_000 + 2_000
const crashMsMax = 60_000
/** Of the exact job, which first waits for the sinks and then reads days. */
const exactCrashMsMax = 150_000
/** Of the catalogs' answers, until a commit is refused or unknown. */
const lostMsMax = 12_000

type Plan = (ports: FaultPorts, inUse: ReadonlySet<string>) => PlannedFault
const plans: Readonly<Record<string, Plan>> = {
  ...Object.fromEntries(
    (Object.keys(shownRole) as Role[]).flatMap((role): [string, Plan][] => [
      [`kill -9: ${shownRole[role]}`, (ports, inUse) => killRole(ports, inUse, role)],
      [`paused beyond the session: ${shownRole[role]}`, (p, inUse) => pauseRole(p, inUse, role)],
    ]),
  ),
  ...Object.fromEntries(
    crashPoints.flatMap(([role, points]) =>
      points.map((point): [string, Plan] => [
        crashKind(role, point),
        (ports, inUse) => crashRole(ports, inUse, role, point),
      ]),
    ),
  ),
  'kill -9: Kafka': ({ world, random }) => killServer('Kafka', world.kafka, random),
  'kill -9: MinIO': ({ world, random }) => killServer('MinIO', world.minio, random),
  ...Object.fromEntries(
    (['S3', 'Kafka', 'catalog'] satisfies Place[]).flatMap((place): [string, Plan][] => [
      [`connections cut: ${place}`, (ports) => cutLink(ports, place)],
      [`silence: ${place}`, (ports) => breakLink(ports, place, { kind: 'blackhole' })],
      [`answers late: ${place}`, (ports) => breakLink(ports, place, lateAnswers(ports.random))],
      [`answers lost: ${place}`, (ports) => breakLink(ports, place, { kind: 'drop' })],
    ]),
  ),
  'answers 503: S3': (ports) => failS3(ports, 'slow-down'),
  'done, but answers 500: S3': (ports) => failS3(ports, 'done'),
  'snapshots expired down to one': ({ world }) => ({
    uses: ['snapshots'],
    run: () => expireSnapshots(world),
  }),
  'foreign producer dies in a transaction': ({ foreign }) => ({
    uses: ['foreign'],
    run: async () => {
      foreign.abandonNext()
      return 'the next transaction is left open'
    },
  }),
}

export type FaultKind = string

/** Kinds beginning with one of the words. */
function kindsOf(...beginnings: string[]): FaultKind[] {
  return Object.keys(plans).filter((kind) => beginnings.some((word) => kind.startsWith(word)))
}

const faultGroups: readonly FaultGroup<FaultKind>[] = [
  {
    perRound: 2,
    kinds: kindsOf('kill -9').filter((kind) => !/Kafka|MinIO/.test(kind)),
  },
  { perRound: 3, kinds: kindsOf('crash point') },
  { perRound: 2, kinds: kindsOf('paused') },
  { perRound: 1, kinds: ['kill -9: Kafka', 'kill -9: MinIO'] },
  { perRound: 2, kinds: kindsOf('connections cut', 'silence', 'answers late', 'answers lost') },
  { perRound: 1, kinds: kindsOf('answers 503', 'done, but') },
  { perRound: 1, kinds: ['snapshots expired down to one'] },
  { perRound: 1, kinds: ['foreign producer dies in a transaction'] },
]

/** Of every kind whose name holds the text. */
export function groupsWith(text: string): FaultGroup<FaultKind>[] {
  const groups = faultGroups.map(({ perRound, kinds }) => ({
    perRound,
    kinds: kinds.filter((kind) => kind.includes(text)),
  }))
  const left = groups.filter(({ kinds }) => kinds.length > 0)
  if (left.length === 0) throw new RangeError(`no fault has "${text}" in its name`)
  return left
}

/** By the processes that did kill themselves: some do it after the fault's time. */
export function countCrashes({ roles }: World): Map<FaultKind, number> {
  const counts = new Map<FaultKind, number>()
  for (const role of roles) {
    for (const [point, times] of role.crashes()) {
      const kind = crashKind(role.plan.role, point)
      counts.set(kind, (counts.get(kind) ?? 0) + times)
    }
  }
  return counts
}

function crashKind(role: Role, point: number): FaultKind {
  return `crash point ${point}: ${shownRole[role]}`
}

export function planFault(
  kind: FaultKind,
  ports: FaultPorts,
  inUse: ReadonlySet<string>,
): PlannedFault {
  const plan = plans[kind]?.(ports, inUse)
  if (plan === undefined) throw new RangeError(`no fault ${kind}`)
  return plan === null || plan.uses.some((name) => inUse.has(name)) ? null : plan
}

function choose(
  { world, random }: FaultPorts,
  inUse: ReadonlySet<string>,
  role: Role,
): SupervisedRole | null {
  const free = world.roles.filter(({ plan }) => plan.role === role && !inUse.has(plan.name))
  return free.length === 0 ? null : random.pick(free)
}

function killRole(ports: FaultPorts, inUse: ReadonlySet<string>, role: Role): PlannedFault {
  const chosen = choose(ports, inUse, role)
  if (chosen === null) return null
  return {
    uses: [chosen.plan.name],
    run: async () => {
      await chosen.kill('SIGKILL')
      await untilUp(chosen)
      return chosen.plan.name
    },
  }
}

function pauseRole(ports: FaultPorts, inUse: ReadonlySet<string>, role: Role): PlannedFault {
  const chosen = choose(ports, inUse, role)
  if (chosen === null) return null
  const ms = pauseMsMin + ports.random.below(5_000)
  return {
    uses: [chosen.plan.name],
    run: async () => {
      chosen.signal('SIGSTOP')
      await sleep(ms)
      chosen.signal('SIGCONT')
      return `${chosen.plan.name} for ${ms} ms`
    },
  }
}

function crashRole(
  ports: FaultPorts,
  inUse: ReadonlySet<string>,
  role: Role,
  point: number,
): PlannedFault {
  const { world, random, ending } = ports
  // Refused and unknown commits come about where the answer of a catalog gets lost: not to one that is inside.
  const isAfterRefusal = point === 5
  const held = isAfterRefusal ? new Set([...inUse, ...rolesWithCatalog(world)]) : inUse
  const chosen = choose(ports, held, role)
  if (chosen === null) return null
  const count = isAfterRefusal || role === 'api' ? 1 : 1 + random.below(3)
  return {
    uses: [chosen.plan.name, ...(isAfterRefusal ? ['link to catalog'] : [])],
    run: async () => {
      const msMax = role === 'api' ? exactCrashMsMax : crashMsMax
      const until = AbortSignal.any([ending, AbortSignal.timeout(msMax)])
      const crashing = chosen.crashAt(point, count, until)
      if (isAfterRefusal) {
        await untilUp(chosen)
        world.catalogLink.set({ kind: 'drop' })
        world.catalogLink.cut()
        await Promise.race([crashing, sleep(lostMsMax)])
        world.catalogLink.set({ kind: 'pass' })
        world.catalogLink.cut()
      }
      if (role === 'api') {
        await untilUp(chosen)
        await askForRun(world)
      }
      const crashed = await crashing
      await untilUp(chosen)
      return `${chosen.plan.name} at its ${count}. passing${crashed ? '' : ' (not reached in time)'}`
    },
  }
}

function rolesWithCatalog({ roles }: World): string[] {
  return roles.flatMap(({ plan }) => (plan.env['POTOK_CATALOG_URI'] ? [] : plan.name))
}

function killServer(
  name: string,
  server: { kill(): Promise<void>; restart(): Promise<void> },
  random: Random,
): PlannedFault {
  const awayMs = random.below(4_000)
  return {
    uses: [name],
    run: async () => {
      await server.kill()
      await sleep(awayMs)
      await server.restart()
      return `away for ${awayMs} ms and its start`
    },
  }
}

function linkOf(world: World, place: Place): FaultProxy {
  if (place === 'S3') return world.s3
  return place === 'Kafka' ? world.kafkaLink : world.catalogLink
}

function cutLink({ world, random }: FaultPorts, place: Place): PlannedFault {
  const times = 1 + random.below(4)
  return {
    uses: [`link to ${place}`],
    run: async () => {
      for (let i = 0; i < times; i++) {
        linkOf(world, place).cut()
        await sleep(200 + random.below(600))
      }
      return `${times} times`
    },
  }
}

function lateAnswers(random: Random): ProxyFault {
  return { kind: 'delay', ms: 100 + random.below(1_000) }
}

function breakLink({ world, random }: FaultPorts, place: Place, fault: ProxyFault): PlannedFault {
  const link = linkOf(world, place)
  const ms = 2_000 + random.below(4_000)
  // Half-open ones that nobody ends: whoever holds one must find out by itself.
  const leavesHalfOpen = random.chance(0.3)
  return {
    uses: [`link to ${place}`],
    run: async () => {
      link.set(fault)
      link.cut()
      await sleep(ms)
      link.set({ kind: 'pass' })
      if (!leavesHalfOpen) link.cut()
      const how = fault.kind === 'delay' ? `, ${fault.ms} ms each way` : ''
      return `for ${ms} ms${how}${leavesHalfOpen ? ', its connections not ended' : ''}`
    },
  }
}

function failS3({ world, random }: FaultPorts, kind: 'slow-down' | 'done'): PlannedFault {
  const ms = 1_500 + random.below(3_500)
  return {
    uses: ['link to S3'],
    run: async () => {
      const before = world.failingS3.failed()
      world.failingS3.set(kind)
      world.useFailingS3(true)
      await sleep(ms)
      world.useFailingS3(false)
      return `${world.failingS3.failed() - before} requests in ${ms} ms`
    },
  }
}

/** Of everything up to now, so that there is something to commit. */
async function askForRun(world: World): Promise<void> {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
  const body = { from: day(Date.now() - 50 * 86_400_000), to: day(Date.now() + 86_400_000) }
  await fetch(`${world.apiUrl()}/v1/recompute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => undefined)
}

/** Up again, or kept from it by another fault: then it comes up later. */
async function untilUp(role: SupervisedRole): Promise<void> {
  const end = Date.now() + crashMsMax
  while (role.url() === null && Date.now() < end) await sleep(100)
}
