/**
 * Time for simulations: it stands still while anything can run and then jumps to the next timer. A run of
 * hours takes milliseconds, and its order depends on the seed alone, as long as nothing in it waits for
 * real I/O or threads.
 */
import type { Clock } from '../kernel/ports.ts'

type Timer = { readonly atMs: number; readonly order: number; readonly wake: () => void }

export type SimulatedTime = Clock & {
  /** Resolves after so much simulated time, or at once when the signal is raised. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs the world until `isDone`; throws where nothing can happen any more or the time is over. */
  run(isDone: () => boolean, options?: { limitMs?: number }): Promise<void>
  /** Sets the wall clock, as an operator or NTP does; timers are not moved. */
  shiftClock(ms: number): void
}

export function createSimulatedTime(startMs: number): SimulatedTime {
  let elapsedMs = 0
  let offsetMs = startMs
  let order = 0
  const timers = new Set<Timer>()

  function nextTimer(): Timer | null {
    let next: Timer | null = null
    for (const timer of timers) {
      if (
        next === null ||
        timer.atMs < next.atMs ||
        (timer.atMs === next.atMs && timer.order < next.order)
      ) {
        next = timer
      }
    }
    return next
  }

  return {
    // Whole milliseconds, as a real clock gives them, though somebody slept for a fraction.
    nowMs: () => Math.floor(offsetMs + elapsedMs),
    sleep(ms, signal) {
      if (signal?.aborted === true) return Promise.resolve()
      return new Promise((resolve) => {
        const wake = (): void => {
          timers.delete(timer)
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const timer: Timer = { atMs: elapsedMs + Math.max(0, ms), order: order++, wake }
        timers.add(timer)
        signal?.addEventListener('abort', wake, { once: true })
      })
    },
    async run(isDone, options = {}) {
      const endMs = elapsedMs + (options.limitMs ?? 24 * 3_600_000)
      for (;;) {
        // A turn of the event loop begins when no microtask is left: everything that can run has run.
        await new Promise((resolve) => setImmediate(resolve))
        if (isDone()) return
        const timer = nextTimer()
        if (timer === null) throw new Error('the simulated world stands still and is not done')
        if (timer.atMs > endMs) throw new Error('the simulated world is not done in time')
        elapsedMs = Math.max(elapsedMs, timer.atMs)
        timer.wake()
      }
    },
    shiftClock(ms) {
      offsetMs += ms
    },
  }
}
