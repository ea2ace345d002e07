/**
 * A role in a thread of its own, seen from the main thread: the same `Service` as one in this thread. The
 * thread composes itself from the settings, as a process of its own would; nothing but health crosses over.
 */
import { Worker } from 'node:worker_threads'
import { PotokError } from '../kernel/errors.ts'
import type { Service, ServiceHealth } from '../kernel/ports.ts'
import type { ThreadRole } from './roles.ts'
import type { Settings } from './settings.ts'

export type ThreadMessage =
  | { readonly type: 'started' }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'health'; readonly health: ServiceHealth }
  | { readonly type: 'stopped' }

export type ThreadRequest = { readonly type: 'stop'; readonly deadlineMs: number }

/** Health older than this means that the thread hangs. */
const healthAgeMsMax = 15_000

export function createRoleThread(
  role: ThreadRole,
  settings: Settings,
  onDeath: (error: Error) => void,
): Service {
  let worker: Worker | null = null
  let health: ServiceHealth = { ok: false, reason: `${role} is starting`, details: {} }
  let healthAtMs = Date.now()
  let stopping = false
  let stopped: (() => void) | null = null
  /** The thread is gone: nobody would answer a request to stop. */
  let ended = false

  return {
    async start() {
      const thread = new Worker(new URL('./role-worker.ts', import.meta.url), {
        workerData: { role, settings },
        name: `potok-${role}`,
      })
      worker = thread
      await new Promise<void>((resolve, reject) => {
        thread.on('message', (message: ThreadMessage) => {
          if (message.type === 'started') resolve()
          if (message.type === 'failed') {
            // Told by this rejection; what native parts of the thread hold open ends with it.
            stopping = true
            reject(new PotokError('Unavailable', message.message))
            void thread.terminate()
          }
          if (message.type === 'stopped') stopped?.()
          if (message.type === 'health') {
            health = message.health
            healthAtMs = Date.now()
          }
        })
        thread.on('error', (error) => {
          reject(error)
          health = { ok: false, reason: `${role} died: ${error.message}`, details: {} }
          if (!stopping) onDeath(error)
        })
        thread.on('exit', (code) => {
          ended = true
          stopped?.()
          if (stopping) return
          const error = new Error(`the thread of ${role} ended with code ${code}`)
          health = { ok: false, reason: error.message, details: {} }
          reject(error)
          onDeath(error)
        })
      })
    },

    async stop(deadlineMs) {
      const thread = worker
      stopping = true
      if (thread === null || ended) return
      const done = new Promise<void>((resolve) => {
        stopped = resolve
      })
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      thread.postMessage({ type: 'stop', deadlineMs } satisfies ThreadRequest)
      const timeout = setTimeout(() => stopped?.(), deadlineMs + 2_000)
      await done
      clearTimeout(timeout)
      await thread.terminate()
      worker = null
    },

    health() {
      const ageMs = Date.now() - healthAtMs
      if (ageMs > healthAgeMsMax) {
        return {
          ok: false,
          reason: `${role} has not answered for ${Math.round(ageMs / 1000)} s`,
          details: health.details,
        }
      }
      return health
    },
  }
}
