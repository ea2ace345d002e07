/**
 * What reaches the gateway from a fleet, tick by tick: most detections at once, some late and out of order,
 * some twice, and after an outage the hours that the camera kept. Pure and, for the same fleet and start, the
 * same each time.
 *
 * Memory: detections under way for at most `delayMsMax` and a few repeats. What a camera keeps during an
 * outage isn't held here but made again when it is delivered.
 */
import {
  dayMs,
  type Fleet,
  type Outage,
  type SimulatedCamera,
  type SimulatedItem,
} from './fleet.ts'

export type Arrival = {
  /** End of the tick: everything in it has been detected by then. */
  readonly atMs: number
  readonly items: readonly SimulatedItem[]
}

/** After an outage a camera delivers so many ticks of its backlog in one. */
const backlogTicksPerTick = 30
/** Now and then the answer to the first part of a backlog is lost, and it comes twice. */
const backlogRepeatEvery = 3

/**
 * Arrivals of the ticks in [fromMs, toMs). `deliverRest` adds, with the last one, everything detected by then
 * that is still under way or kept by a camera; without it (a live feed that stops) that is lost, as it is when
 * real cameras are switched off.
 */
export function* arrivals(
  fleet: Fleet,
  range: { readonly fromMs: number; readonly toMs: number; readonly deliverRest: boolean },
): Generator<Arrival> {
  const { tickMs } = fleet.config
  const firstTick = Math.floor(range.fromMs / tickMs)
  const endTick = Math.ceil(range.toMs / tickMs)
  const underWay = new Map<number, SimulatedItem[]>()
  const arriveAt = (tick: number, item: SimulatedItem): void => {
    const items = underWay.get(tick)
    if (items === undefined) underWay.set(tick, [item])
    else items.push(item)
  }
  const outages = new OutageCalendar(fleet)
  for (let tick = firstTick; tick < endTick; tick++) {
    const delivered: SimulatedItem[] = []
    for (const camera of fleet.cameras) {
      const outage = outages.of(camera, tick)
      if (isDown(outage, tick)) continue
      delivered.push(...backlogOf(fleet, camera, outage, tick, firstTick))
      for (const { item, delayTicks, repeat } of fleet.detections(camera, tick)) {
        let at = tick + delayTicks
        if (outage !== null && isDown(outage, at)) at = outage.endTick
        arriveAt(at, item)
        if (repeat !== null) arriveAt(at + repeat.afterTicks, repeat.item)
      }
    }
    delivered.push(...(underWay.get(tick) ?? []))
    underWay.delete(tick)
    if (tick === endTick - 1 && range.deliverRest) {
      const late = [...underWay.keys()].sort((a, b) => a - b)
      for (const at of late) delivered.push(...(underWay.get(at) ?? []))
      for (const camera of fleet.cameras) {
        delivered.push(...restOf(fleet, camera, outages.of(camera, tick), tick, firstTick))
      }
    }
    yield { atMs: (tick + 1) * tickMs, items: delivered }
  }
}

/** A camera's outage of the day, worked out once a day. */
class OutageCalendar {
  readonly #fleet: Fleet
  readonly #days = new Map<number, { day: number; outage: Outage | null }>()

  constructor(fleet: Fleet) {
    this.#fleet = fleet
  }

  of(camera: SimulatedCamera, tick: number): Outage | null {
    const day = Math.floor((tick * this.#fleet.config.tickMs) / dayMs)
    const known = this.#days.get(camera.index)
    if (known?.day === day) return known.outage
    const outage = this.#fleet.outage(camera, day)
    this.#days.set(camera.index, { day, outage })
    return outage
  }
}

function isDown(outage: Outage | null, tick: number): boolean {
  return outage !== null && tick >= outage.startTick && tick < outage.endTick
}

/** The part of the backlog that comes in this tick. */
function backlogOf(
  fleet: Fleet,
  camera: SimulatedCamera,
  outage: Outage | null,
  tick: number,
  firstTick: number,
): SimulatedItem[] {
  if (outage === null || tick < outage.endTick) return []
  const part = tick - outage.endTick
  const from = outage.startTick + part * backlogTicksPerTick
  const items = keptItems(fleet, camera, outage, from, from + backlogTicksPerTick, firstTick)
  if (part > 0 || camera.index % backlogRepeatEvery !== 0) return items
  const again = items
    .filter((item) => item.kind === 'detection')
    .map((item) => ({ ...item, kind: 'repeat' as const }))
  return [...items, ...again]
}

/** What an outage that isn't over, or its backlog, still keeps after the tick. */
function restOf(
  fleet: Fleet,
  camera: SimulatedCamera,
  outage: Outage | null,
  tick: number,
  firstTick: number,
): SimulatedItem[] {
  if (outage === null || tick < outage.startTick) return []
  if (tick < outage.endTick) {
    return keptItems(fleet, camera, outage, outage.startTick, tick + 1, firstTick)
  }
  const from = outage.startTick + (tick - outage.endTick + 1) * backlogTicksPerTick
  return keptItems(fleet, camera, outage, from, outage.endTick, firstTick)
}

function keptItems(
  fleet: Fleet,
  camera: SimulatedCamera,
  outage: Outage,
  from: number,
  to: number,
  firstTick: number,
): SimulatedItem[] {
  const items: SimulatedItem[] = []
  for (let tick = Math.max(from, firstTick); tick < Math.min(to, outage.endTick); tick++) {
    for (const { item, repeat } of fleet.detections(camera, tick)) {
      items.push(item)
      if (repeat !== null) items.push(repeat.item)
    }
  }
  return items
}
