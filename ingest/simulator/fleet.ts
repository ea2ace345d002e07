/**
 * A seeded fleet of road cameras: what each one detects in each tick, and when its link is down. Pure: no
 * clock, no randomness but the seed's. arrivals.ts turns it into what reaches the gateway, and in which order.
 *
 * Traffic: two rush hours and quiet nights in local time, more vehicles and lower speeds in the rush; spot
 * speeds are lognormal about the free-flow speed of the road. Every second camera numbers its detections
 * (`event_id`), the others leave it to potok to tell a repeat. Detections of one camera have distinct instants.
 */
import { createRandom, type Random } from './random.ts'

export type FleetConfig = {
  readonly cameras: number
  readonly seed: number
  /** Mean of one camera over the day. */
  readonly eventsPerSecond: number
  /** Detections are made and delivered in steps of this. */
  readonly tickMs: number
  readonly idPrefix: string
  /** Local time of the roads, for the rush hours. */
  readonly utcOffsetMinutes: number
  /** Share of detections that arrive up to `delayMsMax` later than those after them. */
  readonly delayedShare: number
  readonly delayMsMax: number
  /** Share of detections that are sent twice. */
  readonly repeatedShare: number
  /** Malformed messages per detection. */
  readonly malformedShare: number
  /** Chance of a camera to lose its link on a given day, and for how long. */
  readonly outagesPerDay: number
  readonly outageMsMin: number
  readonly outageMsMax: number
  /** So many cameras, the last ones, have a clock ahead by this. */
  readonly camerasAhead: number
  readonly clockAheadMs: number
}

const minuteMs = 60_000
export const dayMs = 86_400_000

export const fleetDefaults: FleetConfig = {
  cameras: 200,
  seed: 1,
  eventsPerSecond: 1,
  tickMs: 1_000,
  idPrefix: 'SIM',
  utcOffsetMinutes: 180,
  delayedShare: 0.08,
  delayMsMax: 20_000,
  repeatedShare: 0.01,
  malformedShare: 0.0005,
  outagesPerDay: 0.15,
  outageMsMin: 20 * minuteMs,
  outageMsMax: 5 * 60 * minuteMs,
  camerasAhead: 1,
  clockAheadMs: 60 * minuteMs,
}

export type SimulatedCamera = {
  readonly index: number
  readonly kvfvId: string
  readonly freeFlowKmh: number
  readonly lanes: number
  /** Busier and quieter roads, about 1. */
  readonly demand: number
  readonly numbersItsEvents: boolean
  readonly clockAheadMs: number
}

export type SimulatedItem = {
  readonly kvfvId: string
  /** What the camera sends: one line of NDJSON. */
  readonly line: string
  /** `repeat`: of a detection that was sent before. */
  readonly kind: 'detection' | 'repeat' | 'malformed'
  /** As the line says it; of no meaning where it is malformed. */
  readonly eventTimeMs: number
  readonly speedMilli: number
}

/** A detection (or a malformed message in its place), with what happens to it on a working link. */
export type PlannedItem = {
  readonly item: SimulatedItem
  /** Ticks from the detection to its arrival. */
  readonly delayTicks: number
  /** Arrives again so many ticks after its first arrival. */
  readonly repeat: { readonly item: SimulatedItem; readonly afterTicks: number } | null
}

/** Ticks [start, end) without link. */
export type Outage = { readonly startTick: number; readonly endTick: number }

export type Fleet = {
  readonly config: FleetConfig
  readonly cameras: readonly SimulatedCamera[]
  /** What the camera detects in the tick that begins at `tick × tickMs`. */
  detections(camera: SimulatedCamera, tick: number): PlannedItem[]
  /** The camera's outage on a UTC day, wholly within that day. */
  outage(camera: SimulatedCamera, day: number): Outage | null
}

const streams = { camera: 1, detections: 2, outage: 3 } as const
const repeatTicksMax = 6
const vehicleClasses = ['car', 'car', 'car', 'car', 'van', 'truck', 'bus', 'motorcycle'] as const
const freeFlowSpeeds = [42, 58, 63, 78, 92, 108] as const
/** The letters that Russian plates use: those that look the same in both alphabets. */
const plateLetters = 'АВЕКМНОРСТУХ'
const plateRegions = ['68', '77', '50', '36', '48', '116', '797'] as const

/** Relative demand of each local hour; the mean is 1. */
const demandOfHour = [
  0.22, 0.15, 0.12, 0.12, 0.2, 0.5, 1.05, 1.75, 2.0, 1.55, 1.2, 1.12, 1.15, 1.15, 1.2, 1.35, 1.65,
  1.95, 1.85, 1.4, 1.05, 0.75, 0.52, 0.35,
].map((value, _, all) => (value * all.length) / all.reduce((sum, other) => sum + other, 0))

export function createFleet(options: Partial<FleetConfig> = {}): Fleet {
  const config: FleetConfig = { ...fleetDefaults, ...options }
  const cameras = Array.from({ length: config.cameras }, (_, index) => makeCamera(config, index))
  return {
    config,
    cameras,
    detections: (camera, tick) => detectionsOf(config, camera, tick),
    outage: (camera, day) => outageOf(config, camera, day),
  }
}

function makeCamera(config: FleetConfig, index: number): SimulatedCamera {
  const random = createRandom(config.seed, streams.camera, index)
  return {
    index,
    kvfvId: `${config.idPrefix}${String(index + 1).padStart(5, '0')}`,
    freeFlowKmh: pick(random, freeFlowSpeeds),
    lanes: 1 + random.below(4),
    demand: 0.6 + 0.8 * random.next(),
    numbersItsEvents: index % 2 === 0,
    clockAheadMs: index >= config.cameras - config.camerasAhead ? config.clockAheadMs : 0,
  }
}

function outageOf(config: FleetConfig, camera: SimulatedCamera, day: number): Outage | null {
  const random = createRandom(config.seed, streams.outage, camera.index, day)
  // A clock that is ahead shows itself only while the link works.
  if (camera.clockAheadMs > 0 || random.next() >= config.outagesPerDay) return null
  const lengthMs =
    config.outageMsMin + random.next() * Math.max(0, config.outageMsMax - config.outageMsMin)
  // Ends early enough for what was kept to be delivered before the next day's outage may begin.
  const latestStartMs = dayMs * 0.85 - lengthMs
  if (latestStartMs <= 0) return null
  const startMs = day * dayMs + random.next() * latestStartMs
  return {
    startTick: Math.floor(startMs / config.tickMs),
    endTick: Math.floor((startMs + lengthMs) / config.tickMs),
  }
}

function detectionsOf(config: FleetConfig, camera: SimulatedCamera, tick: number): PlannedItem[] {
  const random = createRandom(config.seed, streams.detections, camera.index, tick)
  const { tickMs } = config
  const startMs = tick * tickMs
  const localHours = ((((startMs / minuteMs + config.utcOffsetMinutes) / 60) % 24) + 24) % 24
  const demand = demandAt(localHours) * camera.demand
  const count = Math.min(
    random.poisson((config.eventsPerSecond * demand * tickMs) / 1_000),
    Math.floor(tickMs / 2),
  )
  const instants = new Set<number>()
  while (instants.size < count) instants.add(startMs + random.below(tickMs))
  const planned: PlannedItem[] = []
  for (const instantMs of [...instants].sort((a, b) => a - b)) {
    const delayTicksMax = Math.ceil(config.delayMsMax / tickMs)
    const delayTicks =
      random.next() < config.delayedShare ? 1 + random.below(Math.max(1, delayTicksMax)) : 0
    if (random.next() < config.malformedShare) {
      planned.push({ item: malformed(camera, random, instantMs), delayTicks, repeat: null })
    }
    const event = detection(camera, random, instantMs, demand)
    const item = toItem(camera, event, 'detection')
    const repeats = random.next() < config.repeatedShare
    // A camera that numbers its events may say in a further field that it sends again.
    const again = camera.numbersItsEvents ? { ...event, attempt: 2 } : event
    planned.push({
      item,
      delayTicks,
      repeat: repeats
        ? { item: toItem(camera, again, 'repeat'), afterTicks: 1 + random.below(repeatTicksMax) }
        : null,
    })
  }
  return planned
}

type Event = { kvfv_id: string; timestamp: string; vehicle_speed: number; [field: string]: unknown }

function detection(
  camera: SimulatedCamera,
  random: Random,
  instantMs: number,
  demand: number,
): Event {
  // Above the demand that a road takes, speeds fall: the bend of the fundamental diagram.
  const congestion = 1 / (1 + Math.max(0, demand - 1.3) ** 2 * 1.4)
  const lognormal = Math.exp(0.14 * random.normal())
  const crawls = demand > 1.8 && random.next() < 0.02
  const kmh = crawls ? random.next() * 4 : camera.freeFlowKmh * congestion * lognormal
  const atMs = instantMs + camera.clockAheadMs
  return {
    kvfv_id: camera.kvfvId,
    timestamp: new Date(atMs).toISOString(),
    vehicle_speed: Math.min(2_500, Math.round(kmh * 10)) / 10,
    plate_number: plate(random),
    ...(camera.numbersItsEvents ? { event_id: `${camera.index}-${instantMs.toString(36)}` } : {}),
    lane: 1 + random.below(camera.lanes),
    vehicle_class: pick(random, vehicleClasses),
  }
}

function toItem(
  camera: SimulatedCamera,
  event: Event,
  kind: 'detection' | 'repeat',
): SimulatedItem {
  return {
    kvfvId: camera.kvfvId,
    line: JSON.stringify(event),
    kind,
    eventTimeMs: Date.parse(event.timestamp),
    speedMilli: Math.round(event.vehicle_speed * 1_000),
  }
}

/** What real links and firmwares send now and then; each is refused for another reason. */
function malformed(camera: SimulatedCamera, random: Random, instantMs: number): SimulatedItem {
  const event = detection(camera, random, instantMs, 1)
  const { vehicle_speed: _, ...withoutSpeed } = event
  const broken: readonly (() => string)[] = [
    () => JSON.stringify(event).slice(0, 40),
    () => JSON.stringify(withoutSpeed),
    () => JSON.stringify({ ...event, vehicle_speed: 912 }),
    () => JSON.stringify({ ...event, timestamp: event.timestamp.slice(0, 19) }),
    () => JSON.stringify({ ...event, timestamp: '1970-01-01T00:00:12Z' }),
    () => '"ERROR: sensor not ready"',
  ]
  const line = pick(random, broken)()
  return { kvfvId: camera.kvfvId, line, kind: 'malformed', eventTimeMs: instantMs, speedMilli: 0 }
}

function plate(random: Random): string {
  const letter = (): string => plateLetters[random.below(plateLetters.length)] as string
  const digits = String(1 + random.below(999)).padStart(3, '0')
  return `${letter()}${digits}${letter()}${letter()}${pick(random, plateRegions)}`
}

/** Straight lines between the middles of the hours. */
function demandAt(localHours: number): number {
  const at = (localHours - 0.5 + 24) % 24
  const from = Math.floor(at)
  const before = demandOfHour[from] as number
  const after = demandOfHour[(from + 1) % 24] as number
  return before + (after - before) * (at - from)
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.below(values.length)] as T
}
