/**
 * Feeds a gateway from a fleet in real time: each tick is sent when it is over, so no camera sends from the
 * future but the one whose clock is ahead. Where sending is slow the feed falls behind and catches up, as
 * cameras with full buffers do; nothing is skipped, and nothing piles up here, since ticks are made when
 * their turn comes.
 */
import type { Clock } from '../../kernel/ports.ts'
import { arrivals } from './arrivals.ts'
import type { Fleet, SimulatedItem } from './fleet.ts'
import type { GroundTruth } from './ground-truth.ts'

export type LiveFeedOptions = {
  readonly fleet: Fleet
  /** Resolves when the gateway has acknowledged; retries are its business. An error ends the feed. */
  readonly send: (ndjson: Uint8Array) => Promise<void>
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told of what was acknowledged. */
  readonly truth?: GroundTruth
  /** Waits, or returns early when the signal is aborted. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  readonly batchItemsMax?: number
}

export type LiveFeed = {
  /** Until the signal is aborted. */
  run(): Promise<void>
  /** Items acknowledged, and how far the feed is behind the clock. */
  stats(): { readonly sentItems: number; readonly behindMs: number }
}

const encoder = new TextEncoder()

export function createLiveFeed(options: LiveFeedOptions): LiveFeed {
  const { clock, fleet, signal, truth } = options
  const sleep = options.sleep ?? sleepFor
  const batchItemsMax = options.batchItemsMax ?? 1_000
  let sentItems = 0
  let behindMs = 0

  async function sendItems(items: readonly SimulatedItem[]): Promise<void> {
    for (let from = 0; from < items.length; from += batchItemsMax) {
      const batch = items.slice(from, from + batchItemsMax)
      const receivedAtMs = clock.nowMs()
      await options.send(encoder.encode(batch.map((item) => item.line).join('\n')))
      for (const item of batch) truth?.accept(item, receivedAtMs)
      sentItems += batch.length
    }
  }

  return {
    async run() {
      const fromMs = clock.nowMs()
      const endless = { fromMs, toMs: Number.POSITIVE_INFINITY, deliverRest: false }
      for (const { atMs, items } of arrivals(fleet, endless)) {
        const waitMs = atMs - clock.nowMs()
        behindMs = Math.max(0, -waitMs)
        if (waitMs > 0) await sleep(waitMs, signal)
        if (signal.aborted) return
        await sendItems(items)
      }
    },
    stats: () => ({ sentItems, behindMs }),
  }
}

function sleepFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, signal.aborted ? 0 : ms)
    signal.addEventListener('abort', done)
  })
}
