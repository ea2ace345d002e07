/**
 * Commits an operation until it is known to be in or known to be impossible: each attempt loads the table, plans
 * on what is there (which validates anew) and commits. Bounded by the table's `commit.retry.*` properties.
 *
 * - CommitConflict from the catalog: somebody was faster; planned again on the new state. From the plan: what
 *   others did contradicts the operation; thrown, as trying again can't help.
 * - An unknown outcome: the table is looked at for the attempt's snapshot. Where it is listed the commit is in.
 *   Where the branch still stands as the attempt required, the same bytes are sent again: of two copies at most
 *   one can land, and both make the same snapshot. Where the branch has moved on, the attempt can land no more.
 *   A commit without a snapshot can't be recognised: CommitStateUnknown goes to the caller.
 * - Files are deleted only of attempts that all got a definite answer, and whose absence was seen: the branch's
 *   line was walked back to where the attempt was built. All else is left to orphan removal. Data files are the
 *   caller's.
 */
import { isPotokError, PotokError } from '../../kernel/errors.ts'
import type { IdSource, ObjectStore } from '../../kernel/ports.ts'
import {
  type Catalog,
  isDefiniteFailure,
  type LoadedTable,
  type TableIdentifier,
} from '../catalog.ts'
import { mainBranch } from '../spec/schema.ts'
import type { PlannedCommit } from './metadata-change.ts'
import { lineageOf } from './snapshot-history.ts'

export type RetryIo = {
  readonly catalog: Pick<Catalog, 'loadTable' | 'commit'>
  readonly store: Pick<ObjectStore, 'delete'>
  readonly ids: IdSource
  readonly sleep: (ms: number) => Promise<void>
}

/** Plans on the table as it is; null: there is nothing to do on it. */
export type Plan = (table: LoadedTable) => Promise<PlannedCommit | null>

type Attempt = {
  readonly planned: PlannedCommit
  readonly base: LoadedTable
  isDefinite: boolean
}

const looksMax = 5

/** The table after the commit, or as it is where there was nothing to do. */
export async function commitWithRetry(
  io: RetryIo,
  identifier: TableIdentifier,
  plan: Plan,
): Promise<LoadedTable> {
  let table = await io.catalog.loadTable(identifier)
  const limits = retryLimits(table)
  let attempt: Attempt | null = null
  for (let tries = 0; ; tries++) {
    if (attempt === null) {
      const planned = await plan(table)
      if (planned === null) return table
      attempt = { planned, base: table, isDefinite: true }
    }
    const outcome = await send(io, attempt)
    if (outcome.kind === 'committed') return outcome.table
    const { error } = outcome
    if (outcome.kind === 'unknown') attempt.isDefinite = false
    if (outcome.kind === 'refused' && attempt.isDefinite) {
      await forget(io, attempt, table)
      throw error
    }
    if (!attempt.isDefinite && attempt.planned.snapshotId === null) throw unknown(error)

    // Refused or unknown, not yet looked: nothing was deleted, so nothing can be missing.
    table = await look(io, identifier, error)
    if (isIn(table, attempt)) return table
    if (attempt.isDefinite || hasMoved(table, attempt)) {
      // It could have landed and been expired since: then another attempt would be the same rows twice.
      if (!attempt.isDefinite && !isSeenBackTo(table, attempt)) throw unknown(error)
      await forget(io, attempt, table)
      attempt = null
    }
    if (tries >= limits.retriesMax) throw attempt === null ? error : unknown(error)
    await io.sleep(backoffMs(io.ids, tries, limits))
  }
}

type Outcome =
  | { readonly kind: 'committed'; readonly table: LoadedTable }
  | { readonly kind: 'conflict' | 'unknown' | 'refused'; readonly error: unknown }

async function send(io: RetryIo, { planned }: Attempt): Promise<Outcome> {
  try {
    const [table] = await io.catalog.commit([planned.commit])
    if (table === undefined) throw new TypeError('a commit of one table answers with one table')
    return { kind: 'committed', table }
  } catch (error) {
    if (isPotokError(error, 'CommitConflict')) return { kind: 'conflict', error }
    return { kind: isDefiniteFailure(error) ? 'refused' : 'unknown', error }
  }
}

async function look(
  io: RetryIo,
  identifier: TableIdentifier,
  because: unknown,
): Promise<LoadedTable> {
  for (let looks = 0; ; looks++) {
    try {
      return await io.catalog.loadTable(identifier)
    } catch (error) {
      if (looks >= looksMax) throw unknown(because)
      if (isPotokError(error, 'NotFound')) throw error
    }
    await io.sleep(backoffMs(io.ids, looks, defaultLimits))
  }
}

function isIn({ metadata }: LoadedTable, { planned }: Attempt): boolean {
  return (
    planned.snapshotId !== null &&
    metadata.snapshots.some(({ snapshotId }) => snapshotId === planned.snapshotId)
  )
}

/** A ref that the attempt requires stands elsewhere now, or it is another table: it can't land any more. */
function hasMoved({ metadata }: LoadedTable, { planned }: Attempt): boolean {
  return planned.commit.requirements.some((requirement) => {
    if (requirement.type === 'assert-table-uuid') return requirement.uuid !== metadata.tableUuid
    if (requirement.type !== 'assert-ref-snapshot-id') return false
    return (metadata.refs[requirement.ref]?.snapshotId ?? null) !== requirement.snapshotId
  })
}

/** A proxy that repeats requests can make a conflict of our own success, and expiry can hide it: so look back. */
async function forget(io: RetryIo, attempt: Attempt, now: LoadedTable): Promise<void> {
  const { planned, isDefinite } = attempt
  if (!isDefinite || planned.written.length === 0 || !isSeenBackTo(now, attempt)) return
  await io.store.delete(planned.written).catch(() => {
    // Orphan removal finds them; a commit isn't worth failing for it.
  })
}

/** The line of each branch that the attempt moves is there, from its head to where the attempt was built. */
function isSeenBackTo(now: LoadedTable, { planned, base }: Attempt): boolean {
  const branches = planned.commit.updates.flatMap((update) =>
    update.action === 'set-snapshot-ref' ? [update.refName] : [],
  )
  return branches.every((branch) => {
    const headOf = ({ metadata }: LoadedTable) =>
      metadata.refs[branch]?.snapshotId ??
      (branch === mainBranch ? metadata.currentSnapshotId : null)
    const line = lineageOf(now.metadata, headOf(now))
    const last = line.at(-1)
    return (
      last === undefined ||
      last.parentSnapshotId === undefined ||
      line.some(({ snapshotId }) => snapshotId === headOf(base))
    )
  })
}

function unknown(cause: unknown): PotokError {
  if (isPotokError(cause, 'CommitStateUnknown')) return cause
  return new PotokError('CommitStateUnknown', 'the commit may or may not be in the table', {
    cause,
  })
}

type Limits = {
  readonly retriesMax: number
  readonly waitMsMin: number
  readonly waitMsMax: number
}
const defaultLimits: Limits = { retriesMax: 4, waitMsMin: 100, waitMsMax: 60_000 }

function retryLimits({ metadata }: LoadedTable): Limits {
  const number = (key: string, fallback: number): number => {
    const value = Number(metadata.properties[key] ?? fallback)
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw new PotokError('InvalidInput', `the table property ${key} is not valid`)
  }
  return {
    retriesMax: number('commit.retry.num-retries', defaultLimits.retriesMax),
    waitMsMin: number('commit.retry.min-wait-ms', defaultLimits.waitMsMin),
    waitMsMax: number('commit.retry.max-wait-ms', defaultLimits.waitMsMax),
  }
}

/** Exponential with jitter of one half, so that rivals don't meet again in step. */
function backoffMs(ids: IdSource, tries: number, { waitMsMin, waitMsMax }: Limits): number {
  const full = Math.min(waitMsMax, waitMsMin * 2 ** Math.min(tries, 20))
  return Math.round(full / 2 + (full / 2) * (Number(ids.snapshotId() % 1_024n) / 1_024))
}
