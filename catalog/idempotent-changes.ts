/**
 * A change that carries an idempotency key. Planning looks the key up in the root and among the changes before
 * it in the same swap: found, the change is not made again and the recorded answer is given; not found, its
 * answer is recorded by the swap that makes the change. So two requests with one key have one effect, on
 * whichever servers they arrive: the one whose swap comes second finds the first's record.
 *
 * A refusal that is final (the same request would be refused again by the same state) is an answer, too, and
 * recorded. Overload, an unreachable store and the like are not: the request may be sent again with its key.
 */
import type { LoadedTable, LoadedView, TableIdentifier } from '../iceberg/catalog.ts'
import { type ErrorKind, isPotokError, PotokError } from '../kernel/errors.ts'
import type { CatalogCore } from './catalog-core.ts'
import type { CatalogDraft } from './catalog-draft.ts'
import { noSuchTable, noSuchView, unprocessable } from './catalog-errors.ts'
import type { Change, FinalFiles, GroupCommit } from './group-commit.ts'
import type { KeyResult } from './idempotency-state.ts'
import { tableKey, viewKey } from './names.ts'

/** What one request brings along: its key, and the hash of everything that it asks for. */
export type KeyedRequest = { readonly key: string; readonly fingerprint: string }

/** A key that a swap under way will record. */
export type PendingKey = {
  readonly fingerprint: string
  /** As the change's own: throws where it was refused. */
  readonly answer: (files: FinalFiles) => unknown
}

const messageCharactersMax = 1_000
const finalKinds: ReadonlySet<ErrorKind> = new Set([
  'InvalidInput',
  'AlreadyExists',
  'CommitConflict',
  'Unsupported',
])

/** The same group commit, for the one change of the request. */
export function keyedGroupCommit(core: CatalogCore, request: KeyedRequest): GroupCommit {
  let isUsed = false
  return {
    ...core.groupCommit,
    submit<T>(change: Change<T>): Promise<T> {
      // A second one would be answered as a repetition of the first.
      if (isUsed) throw new TypeError('one request submits one change')
      isUsed = true
      return core.groupCommit.submit(keyedChange(core, request, change))
    },
  }
}

function keyedChange<T>(core: CatalogCore, request: KeyedRequest, change: Change<T>): Change<T> {
  const { key, fingerprint } = request
  return async (draft) => {
    const pending = draft.pendingKey(key)
    if (pending !== undefined) {
      requireSame(pending.fingerprint, request)
      return pending.answer as (files: FinalFiles) => T
    }
    const nowMs = core.nowMs()
    const recorded = await core.keys.find(draft.state.idempotency, key, nowMs)
    if (recorded !== null) {
      requireSame(recorded.fingerprint, request)
      return (await replay(core, draft, recorded.result)) as () => T
    }
    core.keys.requireRoom(draft.state.idempotency, draft.pendingKeyCount(), nowMs)
    const own = draft.child()
    const answer = await answerOrRefusal(change, own)
    if (answer.isMade) draft.merge(own)
    draft.addPendingKey(key, { fingerprint, answer: answer.give })
    return answer.give
  }
}

async function answerOrRefusal<T>(
  change: Change<T>,
  draft: CatalogDraft,
): Promise<{ isMade: boolean; give: (files: FinalFiles) => T }> {
  try {
    return { isMade: true, give: await change(draft) }
  } catch (error) {
    if (!isFinal(error)) throw error
    return {
      isMade: false,
      give: () => {
        throw error
      },
    }
  }
}

function requireSame(fingerprint: string, request: KeyedRequest): void {
  if (fingerprint === request.fingerprint) return
  throw unprocessable(
    `Idempotency-Key ${request.key} was used for another request: a new operation needs a new key`,
  )
}

/** NotFound without a name of its own is a file that is missing, perhaps only on a server that lags behind. */
function isFinal(error: unknown): error is PotokError {
  if (!(error instanceof PotokError)) return false
  if (error.kind === 'NotFound') return typeof error.context['exception'] === 'string'
  return finalKinds.has(error.kind)
}

/** What is remembered of an answer. Called when it is known what the swap writes, before it is sent. */
export function resultOf(pending: PendingKey, files: FinalFiles): KeyResult {
  let value: unknown
  try {
    value = pending.answer(files)
  } catch (error) {
    if (!isFinal(error)) throw error
    const exception = error.context['exception']
    return {
      outcome: 'refused',
      kind: error.kind,
      exception: typeof exception === 'string' ? exception : null,
      message: error.message.slice(0, messageCharactersMax),
    }
  }
  const list: readonly unknown[] | null = Array.isArray(value) ? value : null
  const isList = list !== null
  const one = isList ? list[0] : value
  if (!isLoaded(one)) return { outcome: 'value', value }
  // A transaction over several tables is answered without a body: that it is in says all.
  if (isList && list.length > 1) return { outcome: 'value', value: [] }
  const { metadataLocation, identifier } = one
  const outcome = 'tableUuid' in one.metadata ? 'table' : 'view'
  return { outcome, isList, ...identifier, metadataLocation }
}

function isLoaded(value: unknown): value is LoadedTable | LoadedView {
  return typeof value === 'object' && value !== null && 'metadataLocation' in value
}

/** Gives how to answer; reads what the answer needs first. */
async function replay(
  core: CatalogCore,
  draft: CatalogDraft,
  result: KeyResult,
): Promise<() => unknown> {
  if (result.outcome === 'refused') {
    const { kind, exception, message } = result
    const context = exception === null ? {} : { exception }
    return () => {
      throw new PotokError(kind, message, { context })
    }
  }
  if (result.outcome === 'value') return () => result.value
  const loaded =
    result.outcome === 'table'
      ? await loadRecorded(result, draft, tableKey, (at) => core.readTable(at), noSuchTable)
      : await loadRecorded(result, draft, viewKey, (at) => core.readView(at), noSuchView)
  return () => (result.isList ? [loaded] : loaded)
}

type LoadedResult = KeyResult & { outcome: 'table' | 'view' }

/** The file that was answered then, or if it has gone the newest of that name: it was built on top of it. */
async function loadRecorded<T>(
  result: LoadedResult,
  draft: CatalogDraft,
  keyOf: (identifier: TableIdentifier) => string,
  read: (location: string) => Promise<T>,
  missing: (identifier: TableIdentifier) => PotokError,
): Promise<{ identifier: TableIdentifier; metadataLocation: string; metadata: T }> {
  const { namespace, name, metadataLocation } = result
  const identifier = { namespace, name }
  try {
    return { identifier, metadataLocation, metadata: await read(metadataLocation) }
  } catch (error) {
    if (!isPotokError(error, 'NotFound')) throw error
  }
  const entry = await draft.get(keyOf(identifier))
  if (entry === null || entry.kind === 'namespace') throw missing(identifier)
  const location = entry.metadataLocation
  return { identifier, metadataLocation: location, metadata: await read(location) }
}
