/** What others do between the look and the commit, planted before each operation: conflicts are found, the rest not. */
import { beforeEach, describe, expect, test } from 'vitest'
import { createImaginedTable, type ImaginedTable } from '../../testkit/imagined-files.ts'
import type { ScanFilter } from '../scan/scan-filter.ts'
import type { DataFile } from '../spec/data-file.ts'
import { stageAppend } from './append.ts'
import type { Validation } from './conflict-checks.ts'
import { stageDelete } from './delete-files.ts'
import { stageOverwrite } from './overwrite.ts'
import { stageRewrite } from './rewrite-files.ts'
import { stageRowDelta } from './row-delta.ts'

let table: ImaginedTable
/** Ids 1 to 4 in part 0. */
let ours: DataFile
/** Ids 5 and 6 in part 0. */
let neighbour: DataFile
/** Id 9 in part 1. */
let elsewhere: DataFile
let start: bigint

beforeEach(begin)

async function begin() {
  table = createImaginedTable()
  ours = table.dataFile(0, [1n, 2n, 3n, 4n])
  neighbour = table.dataFile(0, [5n, 6n])
  elsewhere = table.dataFile(1, [9n])
  await append(ours, neighbour, elsewhere)
  start = table.head() as bigint
}

async function append(...files: readonly DataFile[]) {
  table.commit(await stageAppend(table.io, table.loaded(), { files }))
}
async function deleteRow(file: DataFile, position: number) {
  const part = file.partition[0] as number
  const deletes = [table.positionDeletes(part, [[file, position]])]
  table.commit(await stageRowDelta(table.io, table.loaded(), { deletes }))
}
async function deleteKey(part: number, id: bigint) {
  const deletes = [table.equalityDeletes(part, [id])]
  table.commit(await stageRowDelta(table.io, table.loaded(), { deletes }))
}
async function drop(...files: readonly DataFile[]) {
  const paths = new Set(files.map(({ filePath }) => filePath))
  table.commit(await stageDelete(table.io, table.loaded(), { paths }))
}
async function compact(...replace: readonly DataFile[]) {
  const add = [
    table.dataFile(
      replace[0]?.partition[0] as number,
      replace.flatMap((file) => table.idsIn(file)),
    ),
  ]
  const startingSnapshotId = table.head() as bigint
  table.commit(await stageRewrite(table.io, table.loaded(), { replace, add, startingSnapshotId }))
}

/** What others may do. */
const others: Readonly<Record<string, () => Promise<void>>> = {
  nothing: async () => {},
  'rows added to our partition': () => append(table.dataFile(0, [7n])),
  'rows added to our ids': () => append(table.dataFile(0, [3n])),
  'rows added elsewhere': () => append(table.dataFile(1, [10n])),
  'a row of our file deleted': () => deleteRow(ours, 1),
  'a row of the neighbour deleted': () => deleteRow(neighbour, 0),
  'a row elsewhere deleted': () => deleteRow(elsewhere, 0),
  'a key of our partition deleted': () => deleteKey(0, 2n),
  'our file dropped': () => drop(ours),
  'the neighbour dropped': () => drop(neighbour),
  'our file compacted': () => compact(ours),
  'the neighbour compacted': () => compact(neighbour),
}

/** Names of what is a conflict for the operation. */
async function conflictsOf(run: () => Promise<unknown>): Promise<string[]> {
  const found: string[] = []
  for (const [name, act] of Object.entries(others)) {
    await begin()
    await act()
    try {
      await run()
    } catch (error) {
      expect(error, name).toMatchObject({ kind: 'CommitConflict' })
      found.push(name)
    }
  }
  return found
}

const partition: ScanFilter = [{ column: 'part', op: '=', value: 0 }]
const ourIds: ScanFilter = [...partition, { column: 'id', op: '<=', value: 4n }]
const validation = (
  isolation: Validation['isolation'],
  conflictFilter?: ScanFilter,
): Validation => ({
  startingSnapshotId: start,
  isolation,
  ...(conflictFilter === undefined ? {} : { conflictFilter }),
})

describe('an overwrite', () => {
  const byFilter = (isolation: Validation['isolation']) => () =>
    stageOverwrite(table.io, table.loaded(), {
      add: [],
      replaceRows: partition,
      validation: validation(isolation),
    })
  const byFile = (isolation: Validation['isolation'], conflictFilter?: ScanFilter) => () =>
    stageOverwrite(table.io, table.loaded(), {
      add: [table.dataFile(0, [100n])],
      replaceFiles: [ours],
      validation: validation(isolation, conflictFilter),
    })
  const deletions = [
    'a row of our file deleted',
    'a row of the neighbour deleted',
    'a key of our partition deleted',
    'our file dropped',
    'the neighbour dropped',
    // A compaction deletes the file that held the rows: Java's rule, which is careful.
    'our file compacted',
    'the neighbour compacted',
  ]

  test('by a filter minds deletes in the filter; serializable, rows added to it too', async () => {
    expect(await conflictsOf(byFilter('snapshot'))).toEqual(deletions)
    expect(await conflictsOf(byFilter('serializable'))).toEqual([
      'rows added to our partition',
      'rows added to our ids',
      ...deletions,
    ])
  })

  test('by files minds deletes for them and their going; serializable, any row added', async () => {
    const gone = [
      'a row of our file deleted',
      'a key of our partition deleted',
      'our file dropped',
      'our file compacted',
    ]
    expect(await conflictsOf(byFile('snapshot'))).toEqual(gone)
    expect(await conflictsOf(byFile('serializable'))).toEqual([
      'rows added to our partition',
      'rows added to our ids',
      'rows added elsewhere',
      ...gone,
    ])
    expect(await conflictsOf(byFile('serializable', ourIds))).toEqual([
      'rows added to our ids',
      ...gone,
    ])
  })

  test('refuses files that hold rows outside of its filter', async () => {
    const request = { replaceRows: partition, addMatchesFilter: true }
    await expect(
      stageOverwrite(table.io, table.loaded(), { ...request, add: [table.dataFile(1, [1n])] }),
    ).rejects.toThrow('Cannot append file with rows that do not match filter')
  })

  test('refuses a file of which only some rows match, and nothing is written', async () => {
    const some: ScanFilter = [...partition, { column: 'id', op: '<', value: 3n }]
    await expect(
      stageOverwrite(table.io, table.loaded(), { add: [], replaceRows: some }),
    ).rejects.toMatchObject({
      kind: 'InvalidInput',
      message: expect.stringContaining(`some, but not all, rows match filter: ${ours.filePath}`),
    })
  })
})

describe('a rewrite', () => {
  const rewrite = (dataSequenceNumber?: number) => () =>
    stageRewrite(table.io, table.loaded(), {
      replace: [ours],
      add: [table.dataFile(0, [1n, 2n, 3n, 4n])],
      startingSnapshotId: start,
      ...(dataSequenceNumber === undefined ? {} : { dataSequenceNumber }),
    })

  test('minds new deletes for its files, and their going', async () => {
    expect(await conflictsOf(rewrite())).toEqual([
      'a row of our file deleted',
      'a key of our partition deleted',
      'our file dropped',
      'our file compacted',
    ])
  })

  test('that keeps the sequence number does not mind equality deletes, which then still apply', async () => {
    expect(await conflictsOf(rewrite(1))).toEqual([
      'a row of our file deleted',
      'our file dropped',
      'our file compacted',
    ])
    await begin()
    await deleteKey(0, 2n)
    table.commit(await rewrite(1)())
    expect(await table.scan(table.head())).toEqual([1n, 3n, 4n, 5n, 6n, 9n])
  })

  test('of nothing, or of rows out of deletes, is a fault of the program', async () => {
    const request = { startingSnapshotId: start, add: [table.dataFile(0, [1n])] }
    await expect(
      stageRewrite(table.io, table.loaded(), { ...request, replace: [] }),
    ).rejects.toThrow('replaces something')
    await expect(
      stageRewrite(table.io, table.loaded(), {
        ...request,
        replace: [table.positionDeletes(0, [[ours, 0]])],
      }),
    ).rejects.toThrow('no data file is rewritten')
  })
})

describe('a row delta', () => {
  const delta = (isolation: Validation['isolation'], add: boolean) => () =>
    stageRowDelta(table.io, table.loaded(), {
      add: add ? [table.dataFile(0, [1n])] : [],
      deletes: [table.positionDeletes(0, [[ours, 0]])],
      referencedFiles: new Set([ours.filePath]),
      validation: validation(isolation, ourIds),
    })

  test('that deletes minds that its file was rewritten, not that it was dropped; serializable, rows added', async () => {
    expect(await conflictsOf(delta('snapshot', false))).toEqual(['our file compacted'])
    expect(await conflictsOf(delta('serializable', false))).toEqual([
      'rows added to our ids',
      'our file compacted',
    ])
  })

  test('that updates minds what others deleted of the same rows', async () => {
    expect(await conflictsOf(delta('snapshot', true))).toEqual([
      // Deletes are looked up by partition: what rows they name isn't known from outside.
      'a row of our file deleted',
      'a row of the neighbour deleted',
      'a key of our partition deleted',
      'our file dropped',
      'our file compacted',
    ])
  })

  test('can not delete rows of a file that it removes', async () => {
    await expect(
      stageRowDelta(table.io, table.loaded(), {
        deletes: [table.positionDeletes(0, [[ours, 0]])],
        referencedFiles: new Set([ours.filePath]),
        remove: [ours],
      }),
    ).rejects.toThrow('referenced by new delete files')
  })
})

test('where history since the start is gone, or was never the branch, nothing is taken for granted', async () => {
  await append(table.dataFile(0, [20n]))
  const middle = table.head() as bigint
  await append(table.dataFile(0, [21n]))
  const run = (startingSnapshotId: bigint | null) =>
    stageRewrite(table.io, table.loaded(), {
      replace: [ours],
      add: [table.dataFile(0, [1n, 2n, 3n, 4n])],
      startingSnapshotId: startingSnapshotId as bigint,
    })
  await run(start)
  table.update([{ action: 'remove-snapshots', snapshotIds: [start, middle] }])
  await run(middle)
  await expect(run(start)).rejects.toThrow('Cannot determine history between starting snapshot')
  await expect(run(12_345n)).rejects.toMatchObject({ kind: 'CommitConflict' })
})
