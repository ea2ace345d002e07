/** An AnswerStore in memory, as the tests' other process would fill it. Bounded like the real one: by its values. */
import type { AnswerStore } from '../kernel/ports.ts'

export type MemoryAnswerStore = AnswerStore & {
  /** Another client of what this one holds. */
  connect(): MemoryAnswerStore
  readonly values: Map<string, Uint8Array>
}

export function createMemoryAnswerStore(
  valueBytesMax = 4 * 1024 * 1024,
  values = new Map<string, Uint8Array>(),
): MemoryAnswerStore {
  let isConnected = false
  return {
    values,
    connect: () => createMemoryAnswerStore(valueBytesMax, values),
    async get(key) {
      const bytes = isConnected ? values.get(key) : undefined
      return bytes === undefined ? null : new Uint8Array(bytes)
    },
    set(key, bytes) {
      if (isConnected && bytes.length <= valueBytesMax) values.set(key, new Uint8Array(bytes))
    },
    get stats() {
      return { isConnected, failures: 0 }
    },
    async start() {
      isConnected = true
    },
    async stop() {
      isConnected = false
    },
    health: () => ({ ok: true, details: {} }),
  }
}
