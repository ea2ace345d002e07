/**
 * Changes of the catalog, many in one swap of the root: those that come while a swap is under way wait, and
 * the next swap takes them all, each checked on the result of those before it. One metadata file per table
 * and swap, however many commits it got.
 *
 * Order of things: plan (nothing written) → metadata files, manifest lists and pages, durable → swap → answers,
 * then deletion of what is obsolete. New files are deleted only when it is proven that no root refers to them.
 * A refusal found while planning on top of unwritten changes is told only when these are decided.
 */
import { describeError, isPotokError, PotokError } from '../kernel/errors.ts'
import type { Logger, ObjectStore } from '../kernel/ports.ts'
import {
  type CatalogDraft,
  createCatalogDraft,
  filesToWrite,
  type StagedFile,
} from './catalog-draft.ts'
import type { IdempotencyKeys } from './idempotency-keys.ts'
import { resultOf } from './idempotent-changes.ts'
import type { NamePages } from './name-pages.ts'
import type { KnownRoot, RootClient } from './root-client.ts'
import { nextRootState, type RootState } from './root-state.ts'

const changesWaitingMax = 4_096
const changesPerSwapDefault = 256
/** Enough to hide an object store's latency. */
const writesAtOnceMax = 32
const swapAttemptsMax = 30
const jitterMsMax = 250

/** Works on the draft, and gives how to answer once the swap has won. May run several times. */
export type Change<T> = (draft: CatalogDraft) => Promise<(files: FinalFiles) => T>
/** The file that was written for a key in the swap that won. */
export type FinalFiles = (key: string) => StagedFile | undefined

type Waiting = {
  readonly change: Change<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}
type Accepted = {
  readonly waiting: Waiting
  readonly answer: (files: FinalFiles) => unknown
  readonly keys: readonly string[]
}
type Plan = {
  readonly base: KnownRoot
  readonly draft: CatalogDraft
  readonly accepted: readonly Accepted[]
  readonly refused: readonly { waiting: Waiting; error: unknown }[]
}

/** `obsolete`: nobody needs it any more once the swap has won. */
type NextState = { readonly state: RootState; readonly obsolete: readonly string[] }
/** A file to be written. Encoded only then: a swap may have hundreds, of megabytes each. */
export type FilePart = { readonly location: string; encode(): Promise<Uint8Array> }

export type GroupCommit = {
  submit<T>(change: Change<T>): Promise<T>
  /** Refuses new changes and waits for those under way. */
  close(): Promise<void>
  readonly stats: { swaps: number; swapsLost: number; changes: number; unknown: number }
}

export function createGroupCommit(options: {
  client: RootClient
  pages: NamePages
  keys: IdempotencyKeys
  store: ObjectStore
  /** The metadata file first. */
  partsOf: (file: StagedFile) => readonly FilePart[]
  /** Called with what a swap that won has written, before the answers. */
  remember: (files: readonly StagedFile[]) => void
  /** Deletes behind the answers; failures are logged. */
  deleteLater: (locations: readonly string[]) => void
  nowMs: () => number
  newId: () => string
  sleep: (ms: number) => Promise<void>
  random: () => number
  logger: Logger | undefined
  /** For tests: killed before the swap (1), and after it (2). */
  onCrashPoint?: ((point: 1 | 2) => void) | undefined
  /** Fewer than usual, to measure what groups are worth. */
  changesPerSwapMax?: number | undefined
}): GroupCommit {
  const { client, pages, keys, store } = options
  const queue: Waiting[] = []
  const stats = { swaps: 0, swapsLost: 0, changes: 0, unknown: 0 }
  let running: Promise<void> | null = null
  let closed = false

  /** What comes between the loop's last look at the queue and its end starts it anew. */
  function wake(): void {
    running ??= run().finally(() => {
      running = null
      if (queue.length > 0) wake()
    })
  }

  async function run(): Promise<void> {
    while (queue.length > 0) {
      const group = queue.splice(0, options.changesPerSwapMax ?? changesPerSwapDefault)
      try {
        await commitGroup(group)
      } catch (error) {
        for (const waiting of group) waiting.reject(error)
      }
    }
  }

  async function commitGroup(group: readonly Waiting[]): Promise<void> {
    let left = group
    for (let attempt = 0; left.length > 0; attempt++) {
      if (attempt === swapAttemptsMax) {
        throw new PotokError(
          'CommitConflict',
          `the catalog changes too fast: ${attempt} swaps were lost to others`,
        )
      }
      left = await attemptSwap(left, attempt)
    }
  }

  /** One swap. Gives the changes that must be tried again. */
  async function attemptSwap(
    group: readonly Waiting[],
    attempt: number,
  ): Promise<readonly Waiting[]> {
    const plan = await planGroup(group)
    if (plan === null) return group
    if (plan.draft.changes.size === 0 && plan.draft.pendingKeys.size === 0) {
      settle(plan, () => undefined)
      return []
    }
    const files = new Map(filesToWrite(plan.draft))
    const written: string[] = []
    const failure = await writeFiles(files, written)
    if (failure !== null) {
      await removeUnreferenced(written)
      return afterFailedWrite(plan, group, failure)
    }
    let next: NextState
    try {
      next = await nextState(plan, (key) => files.get(key), written)
    } catch (error) {
      await removeUnreferenced(written)
      throw error
    }
    // CRASH POINT 1: the new files are there, no root refers to them: orphans, and nobody was told anything.
    options.onCrashPoint?.(1)
    let result: Awaited<ReturnType<RootClient['swap']>>
    try {
      result = await client.swap(plan.base, next.state)
    } catch (error) {
      await removeUnreferenced(written)
      throw error
    }
    if (result.outcome === 'lost') {
      stats.swapsLost++
      await removeUnreferenced(written)
      await options.sleep(options.random() * Math.min(jitterMsMax, 4 * 2 ** attempt))
      return group
    }
    if (result.outcome === 'unknown') {
      tellUnknown(plan, next.state, result.cause)
      return []
    }
    stats.swaps++
    stats.changes += plan.accepted.length
    options.remember([...files.values()])
    // CRASH POINT 2: it is in and nobody was told: the client looks, and finds it.
    options.onCrashPoint?.(2)
    settle(plan, (key) => files.get(key))
    options.deleteLater([
      ...[...files.values()].flatMap((file) => (file.kind === 'table' ? file.obsolete : [])),
      ...next.obsolete,
    ])
    return []
  }

  /** Their files stay: a root that is still on its way may name them. */
  function tellUnknown(plan: Plan, next: RootState, cause: unknown): void {
    stats.unknown++
    const error = new PotokError(
      'CommitStateUnknown',
      'the commit may or may not be in: the catalog could not find out; look before you try again',
      { cause },
    )
    options.logger?.warn({ swapId: next.swapId }, describeError(error))
    for (const { waiting } of plan.accepted) waiting.reject(error)
    for (const { waiting, error: why } of plan.refused) waiting.reject(why)
  }

  /** null where the root moved on meanwhile, and what it had named was deleted behind it. */
  async function planGroup(group: readonly Waiting[]): Promise<Plan | null> {
    const base = await client.current()
    const draft = createCatalogDraft(base.state, {
      get: (key) => pages.get(base.state, key),
      scan: (prefix) => pages.scan(base.state, prefix),
      staged: () => undefined,
    })
    const accepted: Accepted[] = []
    const refused: Plan['refused'][number][] = []
    for (const waiting of group) {
      const own = draft.child()
      try {
        const answer = await waiting.change(own)
        draft.merge(own)
        accepted.push({ waiting, answer, keys: [...own.files.keys()] })
      } catch (error) {
        refused.push({ waiting, error })
      }
    }
    const isFileMissing = refused.some(({ error }) => isMissingFile(error))
    if (isFileMissing && (await client.version()) !== base.version) return null
    return { base, draft, accepted, refused }
  }

  /** The first failure by key, null where all are durable. All are tried, some at a time. */
  async function writeFiles(
    files: ReadonlyMap<string, StagedFile>,
    written: string[],
  ): Promise<{ key: string; error: unknown } | null> {
    let failure: { key: string; error: unknown } | null = null
    const waiting = [...files].flatMap(([key, file]) =>
      options.partsOf(file).map((part) => ({ key, part })),
    )
    const lane = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        const { key, part } = next
        try {
          const bytes = await part.encode()
          written.push(part.location)
          await store.write(part.location, bytes)
        } catch (error) {
          failure ??= { key, error }
        }
      }
    }
    await Promise.all(Array.from({ length: writesAtOnceMax }, lane))
    return failure
  }

  async function nextState(plan: Plan, filesOf: FinalFiles, written: string[]): Promise<NextState> {
    const { state } = plan.base
    const entries = new Map(state.entries)
    for (const [key, entry] of plan.draft.changes) {
      // A tombstone is needed only over pages.
      if (entry === null && state.pages.length === 0) entries.delete(key)
      else entries.set(key, entry)
    }
    const updatedMs = options.nowMs()
    const records = [...plan.draft.pendingKeys].map(([key, pending]) => {
      const { fingerprint } = pending
      return { key, fingerprint, recordedMs: updatedMs, result: resultOf(pending, filesOf) }
    })
    const remembered = await keys.add(state.idempotency, records, updatedMs)
    written.push(...remembered.written)
    const common = { swapId: options.newId(), updatedMs, idempotency: remembered.state }
    if (!pages.isMergeDue(entries)) {
      const { pages: kept, retiredPages } = state
      const next = nextRootState(state, { ...common, entries, pages: kept, retiredPages })
      return { state: next, obsolete: remembered.obsolete }
    }
    const merged = await pages.merge(state, entries)
    written.push(...merged.written)
    return {
      state: nextRootState(state, {
        ...common,
        entries: new Map(),
        pages: merged.pages,
        retiredPages: merged.replaced,
      }),
      obsolete: [...remembered.obsolete, ...state.retiredPages],
    }
  }

  async function removeUnreferenced(locations: readonly string[]): Promise<void> {
    try {
      await store.delete(locations)
    } catch (error) {
      options.logger?.warn({ locations }, `orphans are left: ${describeError(error)}`)
    }
  }

  return {
    stats,
    submit<T>(change: Change<T>): Promise<T> {
      if (closed) {
        return Promise.reject(new PotokError('ShuttingDown', 'the catalog is shutting down'))
      }
      if (queue.length >= changesWaitingMax) {
        return Promise.reject(
          new PotokError(
            'Overloaded',
            `${queue.length} changes of the catalog are waiting already`,
          ),
        )
      }
      return new Promise<T>((resolve, reject) => {
        queue.push({ change, resolve: resolve as (value: unknown) => void, reject })
        wake()
      })
    },
    async close() {
      closed = true
      // A loop that found work at its very end has started the next one by then.
      for (let under = running; under !== null; under = running) await under
    },
  }
}

/** What a request names and isn't there has an exception of its own. */
function isMissingFile(error: unknown): boolean {
  return isPotokError(error, 'NotFound') && error.context['exception'] === undefined
}

function settle(plan: Plan, files: FinalFiles): void {
  for (const { waiting, answer } of plan.accepted) {
    try {
      waiting.resolve(answer(files))
    } catch (error) {
      waiting.reject(error)
    }
  }
  for (const { waiting, error } of plan.refused) waiting.reject(error)
}

/** Who asked for the file that can't be written is refused; the others are tried again without them. */
function afterFailedWrite(
  plan: Plan,
  group: readonly Waiting[],
  failure: { key: string; error: unknown },
): readonly Waiting[] {
  const blamed = new Set(
    plan.accepted.flatMap((one) => (one.keys.includes(failure.key) ? [one.waiting] : [])),
  )
  for (const waiting of blamed) waiting.reject(failure.error)
  return group.filter((waiting) => !blamed.has(waiting))
}
