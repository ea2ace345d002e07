/**
 * What a sink's commit asserts, so that it is in at most once and never beside another sink's commit of the
 * same records (DESIGN §4 points 3 and 4).
 *
 * By snapshot, on any catalog: main is where the commit was staged. Every commit moves it.
 * By property, on a catalog that checks properties and rebases appends (`CatalogFeatures`): every position that
 * the commit sets is still what was loaded, and so is each property that decided which rows were staged. Then
 * whoever else commits to the table is no conflict: a compactor, an exact run, a sink of other log partitions.
 *
 * Why that is fence enough: a commit moves at least one position that it asserts, positions never go back, and
 * the catalog takes requirements and updates in one swap. So of all attempts of a batch, on whatever base, one
 * gets in, and after a rival moved one of its positions none does. A rollback of the table leaves positions as
 * they are; there the catalog itself refuses, since the snapshot that was staged on is no ancestor any more.
 */
import type { Catalog, LoadedTable, TableCommit } from '../catalog.ts'
import { mainSnapshotId } from '../spec/schema.ts'
import type { TableRequirement } from '../spec/table-updates.ts'
import { isSamePosition, positionKey } from './positions.ts'
import type { LogPosition, SinkState } from './sink-processor.ts'

/** What the fence is about, of a batch. */
export type FencedBatch = {
  /** As the tables stored them when the batch was begun; nothing for a partition never stored. */
  readonly stored: ReadonlyMap<number, LogPosition>
  /** The positions that it sets. */
  readonly ends: ReadonlyMap<number, LogPosition>
}

export type CommitFence = {
  /** `commit` with the fence in place of what staging itself asserts; `index` of the table in the state. */
  fenced(commit: TableCommit, state: SinkState, index: number): TableCommit
  /** Does what was staged on one stand as well on the other? Then the same bytes may be sent again. */
  isSameBase(a: SinkState, b: SinkState): boolean
  /** True where no attempt staged on `base` can get in any more, however late it arrives. */
  isFencedOut(base: SinkState, now: SinkState): boolean
}

export function createCommitFence(
  catalog: Pick<Catalog, 'features'>,
  batch: FencedBatch,
  /** Properties of the first table by which the rows were chosen. */
  chosenBy: readonly string[],
): CommitFence {
  const positionKeys = [...batch.ends.keys()].map(positionKey)
  const isSame = (a: SinkState, b: SinkState, isSameTable: typeof isSameSnapshot): boolean =>
    a.tables.every((table, index) => {
      const other = b.tables[index]
      return other !== undefined && isSameTable(table, other)
    })

  if (!catalog.features.assertProperty) {
    return {
      fenced(commit, state, index) {
        const table = tableOf(state, index)
        const { metadata } = table
        const snapshotId = mainSnapshotId(metadata)
        return withRequirements(commit, table, [
          { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId },
        ])
      },
      isSameBase: (a, b) => isSame(a, b, isSameSnapshot),
      isFencedOut: (base, now) => !isSame(base, now, isSameSnapshot),
    }
  }
  const keysOf = (index: number): string[] =>
    index === 0 ? [...positionKeys, ...chosenBy] : positionKeys
  const isSameIn = (a: SinkState, b: SinkState, keys: (index: number) => string[]): boolean =>
    a.tables.every((table, index) =>
      keys(index).every((key) => valueOf(table, key) === valueOf(tableOf(b, index), key)),
    )
  return {
    fenced(commit, state, index) {
      const table = tableOf(state, index)
      const requirements = keysOf(index).map(
        (key): TableRequirement => ({ type: 'assert-property', key, value: valueOf(table, key) }),
      )
      return withRequirements(commit, table, requirements)
    },
    isSameBase: (a, b) => isSame(a, b, isSameSnapshot) && isSameIn(a, b, keysOf),
    isFencedOut(base, now) {
      // A property whose text was merely written anew is no proof: it could be set back.
      return (
        hasMoved(now, batch) ||
        !isSame(base, now, (a, b) => a.metadata.tableUuid === b.metadata.tableUuid) ||
        !isSameIn(base, now, (index) => (index === 0 ? [...chosenBy] : []))
      )
    },
  }
}

/** Somebody moved a position that the batch sets: it, or another who wrote the same records. */
export function hasMoved(state: SinkState, batch: FencedBatch): boolean {
  return [...batch.ends.keys()].some(
    (logPartition) =>
      !isSamePosition(state.positions.get(logPartition), batch.stored.get(logPartition)),
  )
}

function withRequirements(
  commit: TableCommit,
  { metadata }: LoadedTable,
  fence: readonly TableRequirement[],
): TableCommit {
  const others = commit.requirements.filter(
    ({ type }) => type !== 'assert-table-uuid' && type !== 'assert-ref-snapshot-id',
  )
  const uuid: TableRequirement = { type: 'assert-table-uuid', uuid: metadata.tableUuid }
  return { ...commit, requirements: [...others, uuid, ...fence] }
}

function isSameSnapshot(a: LoadedTable, b: LoadedTable): boolean {
  return (
    a.metadata.tableUuid === b.metadata.tableUuid &&
    mainSnapshotId(a.metadata) === mainSnapshotId(b.metadata)
  )
}

function valueOf({ metadata }: LoadedTable, key: string): string | null {
  return metadata.properties[key] ?? null
}

function tableOf(state: SinkState, index: number): LoadedTable {
  const table = state.tables[index]
  if (table === undefined) throw new RangeError('every state has all tables of the sink')
  return table
}
