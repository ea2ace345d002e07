/**
 * The root object as this process knows it, and swaps of it with a definite outcome wherever there is one
 * (DESIGN §6).
 *
 * Rules: a lost answer is looked up in the history of swap ids before anything is said. An unchanged root may
 * still get the write: the same bytes are sent again. A changed one that names our base and not us: ours has
 * lost, and can't land any more. One whose history doesn't reach back to our base: it stays unknown.
 * The state in memory is only ever used after `version()` said that it is current.
 */
import { isPotokError, PotokError } from '../kernel/errors.ts'
import type { ObjectStore, RootObject } from '../kernel/ports.ts'
import { type GenerationWatch, repairHint } from './generation-watch.ts'
import { decodeRootState, encodeRootState, firstRootState, type RootState } from './root-state.ts'

const unknownAttemptsMax = 8
const unknownWaitMsMax = 1_000

export type KnownRoot = { readonly state: RootState; readonly version: string }
export type SwapOutcome =
  | { readonly outcome: 'won'; readonly root: KnownRoot }
  | { readonly outcome: 'lost' }
  | { readonly outcome: 'unknown'; readonly cause: unknown }

export type RootClient = {
  /** The root as it is now; made where the warehouse is new. */
  current(): Promise<KnownRoot>
  version(): Promise<string | null>
  /** Throws only where nothing was written for sure. */
  swap(base: KnownRoot, next: RootState): Promise<SwapOutcome>
}

export function createRootClient(options: {
  root: RootObject
  store: ObjectStore
  watch: GenerationWatch
  warehouse: string
  nowMs: () => number
  newId: () => string
  sleep: (ms: number) => Promise<void>
}): RootClient {
  const { root, store, watch, warehouse, sleep } = options
  let known: KnownRoot | null = null
  let first: Promise<KnownRoot> | null = null

  /** What a read found: on top of what was known when it began, or somebody put an old copy back. */
  function learn(state: RootState, version: string): KnownRoot {
    if (known !== null && state.generation < known.state.generation) {
      throw new PotokError(
        'DataCorrupt',
        `the catalog's root went back from generation ${known.state.generation} to ${state.generation}: an old copy was put back; ${repairHint}`,
      )
    }
    known = { state, version }
    watch.note(state)
    return known
  }

  /**
   * Our swap is in. Before its answer came others may have built on it and a read may have learnt that: this
   * is no step back, and whoever was told otherwise would delete files that the root refers to.
   */
  function learnWon(state: RootState, version: string): KnownRoot {
    const won = { state, version }
    if (known === null || known.state.generation < state.generation) known = won
    watch.note(state)
    return won
  }

  async function read(): Promise<KnownRoot | null> {
    const before = known
    const found = await root.read()
    if (found === null) {
      if (known !== null) {
        throw new PotokError('DataCorrupt', `the catalog's root object has gone; ${repairHint}`)
      }
      return null
    }
    if (known?.version === found.version) return known
    const state = decodeRootState(found.bytes)
    if (known === null) await watch.check(state)
    // While this read was under way another one may have learnt more: that is no step back.
    if (known !== null && known !== before && state.generation < known.state.generation) {
      return known
    }
    return learn(state, found.version)
  }

  async function create(): Promise<KnownRoot> {
    await watch.requireNew()
    for await (const object of store.list(`${warehouse}/`)) {
      if (!object.location.endsWith('.metadata.json')) continue
      throw new PotokError(
        'DataCorrupt',
        `the warehouse ${warehouse} holds tables (${object.location}), but the catalog's root object is missing: ${repairHint}`,
        { context: { location: object.location } },
      )
    }
    const state = firstRootState(options.newId(), options.nowMs())
    await root.swap(null, encodeRootState(state))
    // Won or lost, somebody's first root is there now.
    const made = await read()
    if (made === null) throw new PotokError('Unavailable', "the catalog's root can't be made")
    return made
  }

  async function resolveUnknown(
    base: KnownRoot,
    next: RootState,
    bytes: Uint8Array,
    cause: unknown,
  ): Promise<SwapOutcome> {
    for (let attempt = 0; attempt < unknownAttemptsMax; attempt++) {
      await sleep(Math.min(unknownWaitMsMax, 20 * 2 ** attempt))
      try {
        const now = await read()
        if (now === null) return { outcome: 'unknown', cause }
        if (now.state.swapIds.includes(next.swapId)) return { outcome: 'won', root: now }
        if (now.version !== base.version) {
          return now.state.swapIds.includes(base.state.swapId)
            ? { outcome: 'lost' }
            : { outcome: 'unknown', cause }
        }
        const again = await root.swap(base.version, bytes)
        if (again.won) return { outcome: 'won', root: learnWon(next, again.version) }
      } catch (error) {
        if (isPotokError(error, 'DataCorrupt')) return { outcome: 'unknown', cause: error }
      }
    }
    return { outcome: 'unknown', cause }
  }

  return {
    version: () => root.version(),

    async current() {
      const version = await root.version()
      if (known !== null && version === known.version) return known
      const found = await read()
      if (found !== null) return found
      first ??= create().finally(() => {
        first = null
      })
      return first
    },

    async swap(base, next) {
      const bytes = encodeRootState(next)
      try {
        const result = await root.swap(base.version, bytes)
        if (result.won) return { outcome: 'won', root: learnWon(next, result.version) }
      } catch (error) {
        // By the port's contract all other kinds mean that nothing was written.
        if (error instanceof PotokError && error.kind !== 'CommitStateUnknown') throw error
        return resolveUnknown(base, next, bytes, error)
      }
      // A layer below may have sent it twice and be told of its own success: the history knows.
      try {
        const now = await read()
        if (now?.state.swapIds.includes(next.swapId) === true) return { outcome: 'won', root: now }
        if (now?.state.swapIds.includes(base.state.swapId) === true) return { outcome: 'lost' }
        return { outcome: 'unknown', cause: new Error('the history does not reach back so far') }
      } catch (cause) {
        return { outcome: 'unknown', cause }
      }
    },
  }
}
