/**
 * Ways to commit that look right and are wrong, each as a known sink had it. The simulation is worth
 * something only if it finds every one of them.
 */
import type { Batch, CommitIo, CommitOutcome } from '../../iceberg/sink/commit-batch.ts'
import { createCommitFence } from '../../iceberg/sink/commit-fence.ts'
import { encodeOffsets, encodePosition, positionKey } from '../../iceberg/sink/positions.ts'
import { readState } from '../../iceberg/sink/read-state.ts'
import type { SinkState } from '../../iceberg/sink/sink-processor.ts'
import type { TableCommit } from '../../iceberg/catalog.ts'
import { stageSnapshot } from '../../iceberg/transaction/stage-snapshot.ts'
import { isPotokError } from '../../kernel/errors.ts'
import { summaryCommitIdKey, summaryOffsetsKey } from '../../kernel/tables.ts'

export type Commit = (io: CommitIo, batch: Batch, base: SinkState) => Promise<CommitOutcome>

const identifiersOf = (batch: Batch) => batch.staged.map(({ identifier }) => identifier)
const pathsOf = (batch: Batch) =>
  batch.staged.flatMap(({ dataFiles }) => dataFiles.map(({ filePath }) => filePath))

async function stage(
  io: CommitIo,
  batch: Batch,
  state: SinkState,
  options: { withPositions?: boolean } = {},
): Promise<TableCommit[]> {
  const ranges = new Map(
    [...batch.ends].map(([p, end]) => {
      const startOffset = batch.starts.get(p)?.nextOffset ?? 0
      return [p, { startOffset, endOffset: end.nextOffset }]
    }),
  )
  const commits: TableCommit[] = []
  for (const [i, { dataFiles }] of batch.staged.entries()) {
    const table = state.tables[i]
    if (table === undefined) throw new Error('a table is missing')
    const fence = createCommitFence(io.catalog, batch, io.chosenBy)
    const { commit } = await stageSnapshot(io, table, {
      operation: 'append',
      add: dataFiles,
      remove: new Set(),
      summary: {
        [summaryCommitIdKey]: batch.commitId,
        [summaryOffsetsKey]: encodeOffsets(ranges),
      },
      setProperties: options.withPositions === false ? {} : positionsOf(batch),
    })
    commits.push(fence.fenced(commit, state, i))
  }
  return commits
}

function positionsOf(batch: Batch): Record<string, string> {
  return Object.fromEntries(
    [...batch.ends].map(([p, end]) => [positionKey(p), encodePosition(end)]),
  )
}

async function reload(io: CommitIo, batch: Batch): Promise<SinkState> {
  for (;;) {
    try {
      return await readState(io, identifiersOf(batch))
    } catch (error) {
      if (!isPotokError(error, 'Unavailable')) throw error
      await io.sleep(100)
    }
  }
}

/** Rebases on whatever is there, as a plain fast append does: a zombie's rows come in again. */
const ignoresTheFence: Commit = async (io, batch, base) => {
  let state = base
  for (;;) {
    try {
      await io.onCrashPoint(3)
      await io.catalog.commit(await stage(io, batch, state))
      return { kind: 'committed', state: await reload(io, batch) }
    } catch {
      await io.sleep(100)
      state = await reload(io, batch)
    }
  }
}

/** No answer means no commit: cleans up and reads again. */
const takesUnknownForFailure: Commit = async (io, batch, base) => {
  try {
    await io.catalog.commit(await stage(io, batch, base))
    return { kind: 'committed', state: await reload(io, batch) }
  } catch {
    await io.store.delete(pathsOf(batch))
    return { kind: 'superseded' }
  }
}

/** No answer, looks once, and decides for good although the commit is still under way. */
const looksOnceAndDeletes: Commit = async (io, batch, base) => {
  try {
    await io.catalog.commit(await stage(io, batch, base))
    return { kind: 'committed', state: await reload(io, batch) }
  } catch {
    const state = await reload(io, batch)
    const isIn = state.tables[0]?.metadata.snapshots.some(
      ({ summary }) => summary[summaryCommitIdKey] === batch.commitId,
    )
    if (isIn === true) return { kind: 'committed', state }
    await io.store.delete(pathsOf(batch))
    return { kind: 'superseded' }
  }
}

/** Rows first, positions in a commit of their own. */
const movesPositionsApart: Commit = async (io, batch, base) => {
  try {
    await io.catalog.commit(await stage(io, batch, base, { withPositions: false }))
    await io.onCrashPoint(4)
    await io.catalog.commit(
      identifiersOf(batch).map((identifier) => ({
        identifier,
        requirements: [],
        updates: [{ action: 'set-properties', updates: positionsOf(batch) }],
      })),
    )
    return { kind: 'committed', state: await reload(io, batch) }
  } catch {
    return { kind: 'superseded' }
  }
}

/** The two tables one after the other. */
const commitsTablesApart: Commit = async (io, batch, base) => {
  try {
    for (const commit of await stage(io, batch, base)) {
      await io.catalog.commit([commit])
      await io.onCrashPoint(4)
    }
    return { kind: 'committed', state: await reload(io, batch) }
  } catch {
    return { kind: 'superseded' }
  }
}

export const plantedCommits = {
  ignoresTheFence,
  takesUnknownForFailure,
  looksOnceAndDeletes,
  movesPositionsApart,
  commitsTablesApart,
}
