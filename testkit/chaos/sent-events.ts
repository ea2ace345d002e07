/**
 * What the fault run sends, and what became of it. An event is a pure function of seed, base time and serial
 * number, so that millions of them are remembered as two bytes each: the fate, and how often it was sent.
 *
 * Most are of the hours around the run, so that sealing passes through the midst of them; a tenth is late: of two days among the last forty that change with every block of
 * serials, so that a commit touches few days while the run touches many.
 */
import { createRandom } from '../random.ts'

export type SentEvent = {
  readonly serial: number
  readonly kvfvId: string
  readonly eventTimeUs: number
  readonly speedMilli: number
  readonly plate: string
  /** JSON as a camera sends it. */
  readonly text: string
}

/** `maybe`: sent, and nobody said what became of it. `never`: in a transaction that can't be committed any more. */
export const fates = { unsent: 0, maybe: 1, kept: 2, never: 3 } as const
type Fate = (typeof fates)[keyof typeof fates]

const cameraCount = 40
/** Cameras' clocks may be ahead by `aheadMs`: windows that no run of this length seals. */
export const aheadMs = 40 * 60_000
const recentMs = aheadMs + 90 * 60_000
const dayMs = 86_400_000
const lateDays = 40
const blockSize = 2_000

export function eventOf(seed: number, baseMs: number, serial: number): SentEvent {
  const random = createRandom(mixed(seed, serial))
  const kvfvId = `KV${random.below(cameraCount)}`
  const speedMilli = random.chance(0.02) ? random.below(1_500) : 20_000 + random.below(130_000)
  const eventMs = baseMs - ageMs(random, seed, serial)
  const plate = `А${serial}`
  const detection: Record<string, unknown> = {
    kvfv_id: kvfvId,
    timestamp: new Date(eventMs).toISOString(),
    vehicle_speed: speedMilli / 1_000,
    plate_number: plate,
    serial,
  }
  // Some cameras number their detections; of the others all fields together tell them apart.
  if (random.chance(0.6)) detection['event_id'] = `e-${serial}`
  const text = JSON.stringify(detection)
  return { serial, kvfvId, eventTimeUs: eventMs * 1_000, speedMilli, plate, text }
}

function ageMs(random: ReturnType<typeof createRandom>, seed: number, serial: number): number {
  if (random.chance(0.9)) return random.below(recentMs) - aheadMs
  const block = createRandom(mixed(seed + 1, Math.floor(serial / blockSize)))
  const days = [block.below(lateDays), block.below(lateDays)]
  return random.pick(days) * dayMs + random.below(dayMs)
}

function mixed(seed: number, serial: number): number {
  return Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ Math.imul(serial + 1, 0xc2b2_ae35)
}

export type Ledger = {
  /** Serials that nobody sent yet. */
  take(count: number): number[]
  /** Before each sending. `isRepeatable`: by somebody who may send again without telling. */
  sending(serials: readonly number[], isRepeatable?: boolean): void
  kept(serials: readonly number[]): void
  never(serials: readonly number[]): void
  fate(serial: number): Fate
  /** Infinity where the sender repeats by itself. */
  timesSent(serial: number): number
  readonly size: number
  counts(): { sent: number; kept: number; maybe: number; never: number; sentAgain: number }
}

const repeatable = 255

export function createLedger(): Ledger {
  let fateOf = new Uint8Array(1 << 16)
  let times = new Uint8Array(1 << 16)
  let size = 0
  let sentAgain = 0

  const set = (serials: readonly number[], fate: Fate): void => {
    for (const serial of serials) fateOf[serial] = fate
  }
  return {
    take(count) {
      const first = size
      size += count
      while (size > fateOf.length) {
        fateOf = doubled(fateOf)
        times = doubled(times)
      }
      return Array.from({ length: count }, (_, i) => first + i)
    },
    sending(serials, isRepeatable = false) {
      for (const serial of serials) {
        if (fateOf[serial] === fates.unsent) fateOf[serial] = fates.maybe
        else sentAgain++
        const before = times[serial] ?? 0
        times[serial] = isRepeatable ? repeatable : Math.min(repeatable, before + 1)
      }
    },
    kept: (serials) => set(serials, fates.kept),
    never: (serials) => set(serials, fates.never),
    fate: (serial) => (serial < size ? ((fateOf[serial] ?? 0) as Fate) : fates.unsent),
    timesSent: (serial) => (times[serial] === repeatable ? Infinity : (times[serial] ?? 0)),
    get size() {
      return size
    },
    counts() {
      const counts = [0, 0, 0, 0]
      for (let serial = 0; serial < size; serial++) {
        const fate = fateOf[serial] ?? 0
        counts[fate] = (counts[fate] ?? 0) + 1
      }
      const [, maybe = 0, kept = 0, never = 0] = counts
      return { sent: maybe + kept + never, kept, maybe, never, sentAgain }
    },
  }
}

function doubled(array: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(2 * array.length)
  next.set(array)
  return next
}
