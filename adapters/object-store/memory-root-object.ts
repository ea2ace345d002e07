/**
 * RootObject in memory, for tests, with scripted faults: each swap takes the next entry of `script`.
 * - `ok`: as it should be.
 * - `answer-lost`: the write lands, the caller hears CommitStateUnknown.
 * - `request-lost`: nothing lands, the caller hears CommitStateUnknown.
 * - `delayed`: the caller hears CommitStateUnknown; the write lands (if its condition still holds) when
 *   `deliverDelayed` is called, perhaps after others.
 * - `refused`: Unavailable, definitely nothing landed.
 * - `rival-first`: `rival` runs before the condition is looked at.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { RootObject } from '../../kernel/ports.ts'

export type SwapFault =
  | 'ok'
  | 'answer-lost'
  | 'request-lost'
  | 'delayed'
  | 'refused'
  | 'rival-first'

export type MemoryRootObject = RootObject & {
  script: SwapFault[]
  /** What `rival-first` runs. */
  rival: (() => Promise<void>) | null
  /** While set, reads fail: the store can't be reached. */
  isUnreachable: boolean
  /** Lets writes that were under way land now. Gives how many still met their condition. */
  deliverDelayed(): number
  /** Every content that ever was the root, oldest first. */
  readonly history: readonly Uint8Array[]
  /** Puts an older content back, as restoring a backup does. */
  restore(index: number): void
  swapCount: number
}

export function createMemoryRootObject(): MemoryRootObject {
  const history: Uint8Array[] = []
  const delayed: { expected: string | null; bytes: Uint8Array }[] = []
  let current: { bytes: Uint8Array; version: string } | null = null

  function land(expected: string | null, bytes: Uint8Array): boolean {
    if ((current?.version ?? null) !== expected) return false
    history.push(bytes.slice())
    current = { bytes: bytes.slice(), version: `v${history.length}` }
    return true
  }

  function reachable(): void {
    if (root.isUnreachable) throw new PotokError('Unavailable', 'the store can not be reached')
  }

  const root: MemoryRootObject = {
    script: [],
    rival: null,
    isUnreachable: false,
    history,
    swapCount: 0,
    async read() {
      reachable()
      return current === null ? null : { bytes: current.bytes.slice(), version: current.version }
    },
    async version() {
      reachable()
      return current?.version ?? null
    },
    async swap(expected, bytes) {
      root.swapCount++
      const fault = root.script.shift() ?? 'ok'
      switch (fault) {
        case 'request-lost':
          throw unknown()
        case 'delayed':
          delayed.push({ expected, bytes: bytes.slice() })
          throw unknown()
        case 'refused':
          throw new PotokError('Unavailable', 'the store refuses writes')
        case 'answer-lost':
          land(expected, bytes)
          throw unknown()
        case 'rival-first':
          await root.rival?.()
          break
        case 'ok':
          break
      }
      if (!land(expected, bytes)) return { won: false }
      return { won: true, version: `v${history.length}` }
    },
    deliverDelayed() {
      const landed = delayed.filter((write) => land(write.expected, write.bytes)).length
      delayed.length = 0
      return landed
    },
    restore(index) {
      const bytes = history[index]
      if (bytes === undefined) throw new RangeError(`no generation ${index} to restore`)
      current = { bytes: bytes.slice(), version: `restored-${index}` }
    },
  }
  return root
}

function unknown(): PotokError {
  return new PotokError('CommitStateUnknown', 'no answer came back from the store')
}
