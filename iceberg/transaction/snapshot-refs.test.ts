import { beforeEach, describe, expect, test } from 'vitest'
import { createImaginedTable, type ImaginedTable } from '../../testkit/imagined-files.ts'
import type { TableMetadata } from '../spec/table-metadata.ts'
import { stageAppend } from './append.ts'
import { stageCherryPick } from './cherry-pick.ts'
import { type MetadataChange, stagedChange } from './metadata-change.ts'
import { stageRowDelta } from './row-delta.ts'
import {
  createRef,
  fastForward,
  removeRef,
  renameBranch,
  replaceRef,
  rollbackTo,
  rollbackToTime,
  setCurrentSnapshot,
  setRetention,
} from './snapshot-refs.ts'

let table: ImaginedTable
/** Main's snapshots, oldest first. */
let line: bigint[]

const metadata = () => table.loaded().metadata
const refs = () => metadata().refs
async function append(id: bigint, branch = 'main'): Promise<bigint> {
  const files = [table.dataFile(0, [id])]
  table.commit(await stageAppend(table.io, table.loaded(), { files, branch }))
  return table.head(branch) as bigint
}
function change(make: (metadata: TableMetadata) => MetadataChange): void {
  table.commit(stagedChange(table.loaded(), make(metadata())))
}

beforeEach(async () => {
  table = createImaginedTable()
  line = [await append(1n), await append(2n), await append(3n)]
})

describe('branches and tags', () => {
  test('are made once, at a snapshot that is there', () => {
    const snapshotId = line[0] as bigint
    change((m) => createRef(m, 'v1', { type: 'tag', snapshotId, maxRefAgeMs: 5 }))
    expect(refs()['v1']).toEqual({ type: 'tag', snapshotId, maxRefAgeMs: 5 })
    expect(() => createRef(metadata(), 'v1', { type: 'tag', snapshotId })).toThrow(
      'Ref v1 already exists',
    )
    expect(() => createRef(metadata(), 'x', { type: 'branch', snapshotId: 7n })).toThrow(
      'unknown snapshot: 7',
    )
  })

  test('require that the ref stands where it was seen', () => {
    const { requirements } = replaceRef(metadata(), 'branch', 'main', line[0] as bigint)
    expect(requirements).toEqual([
      { type: 'assert-table-uuid', uuid: metadata().tableUuid },
      { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: line[2] },
    ])
  })

  test('keep their retention when they are replaced; it is set in parts', () => {
    change((m) => createRef(m, 'b', { type: 'branch', snapshotId: line[0] as bigint }))
    change((m) => setRetention(m, 'b', { minSnapshotsToKeep: 3, maxSnapshotAgeMs: 9 }))
    change((m) => setRetention(m, 'b', { maxRefAgeMs: 8 }))
    change((m) => replaceRef(m, 'branch', 'b', line[2] as bigint))
    expect(refs()['b']).toEqual({
      type: 'branch',
      snapshotId: line[2],
      minSnapshotsToKeep: 3,
      maxSnapshotAgeMs: 9,
      maxRefAgeMs: 8,
    })
    expect(() => setRetention(metadata(), 'b', { maxRefAgeMs: 0 })).toThrow('greater than 0')
    change((m) => createRef(m, 't', { type: 'tag', snapshotId: line[0] as bigint }))
    expect(() => setRetention(metadata(), 't', { minSnapshotsToKeep: 1 })).toThrow(/Tags do not/)
  })

  test('go and are renamed, main is neither', () => {
    change((m) => createRef(m, 'b', { type: 'branch', snapshotId: line[0] as bigint }))
    change((m) => renameBranch(m, 'b', 'c'))
    expect(Object.keys(refs()).toSorted()).toEqual(['c', 'main'])
    expect(() => removeRef(metadata(), 'tag', 'c')).toThrow('Ref c is a branch not a tag')
    change((m) => removeRef(m, 'branch', 'c'))
    expect(Object.keys(refs())).toEqual(['main'])
    expect(() => removeRef(metadata(), 'branch', 'main')).toThrow('Cannot remove main branch')
    expect(() => renameBranch(metadata(), 'main', 'x')).toThrow('Cannot rename main branch')
    expect(() => removeRef(metadata(), 'branch', 'c')).toThrow('Branch does not exist: c')
  })

  test('fast-forward only forwards; one that is not there is made', async () => {
    change((m) => createRef(m, 'next', { type: 'branch', snapshotId: line[2] as bigint }))
    const ahead = await append(4n, 'next')
    change((m) => fastForward(m, 'main', 'next'))
    expect(table.head()).toBe(ahead)
    await append(5n)
    expect(() => fastForward(metadata(), 'main', 'next')).toThrow(
      'Cannot fast-forward: main is not an ancestor of next',
    )
    change((m) => fastForward(m, 'fresh', 'next'))
    expect(table.head('fresh')).toBe(ahead)
    expect(fastForward(metadata(), 'fresh', 'next').updates).toEqual([])
  })
})

describe('main goes back', () => {
  test('to an ancestor, by id or by time', async () => {
    change((m) => rollbackTo(m, line[1] as bigint))
    expect(await table.scan(table.head())).toEqual([1n, 2n])
    const times = metadata().snapshots.map(({ timestampMs }) => timestampMs)
    change((m) => rollbackToTime(m, times[1] as number))
    expect(await table.scan(table.head())).toEqual([1n])
    expect(() => rollbackToTime(metadata(), times[0] as number)).toThrow(
      'no valid snapshot older than',
    )
  })

  test('to nothing else: that is setting it', async () => {
    change((m) => rollbackTo(m, line[0] as bigint))
    await append(9n)
    expect(() => rollbackTo(metadata(), line[2] as bigint)).toThrow(
      'not an ancestor of the current state',
    )
    expect(() => rollbackTo(metadata(), 5n)).toThrow('Cannot roll back to unknown snapshot id: 5')
    change((m) => setCurrentSnapshot(m, line[2] as bigint))
    expect(await table.scan(table.head())).toEqual([1n, 2n, 3n])
  })
})

describe('a cherry-pick', () => {
  test('sets main where the snapshot goes on from it, whatever the snapshot did', async () => {
    change((m) => createRef(m, 'b', { type: 'branch', snapshotId: line[2] as bigint }))
    const [file] = await table.live(table.head())
    const deletes = [table.positionDeletes(0, file === undefined ? [] : [[file, 0]])]
    table.commit(await stageRowDelta(table.io, table.loaded(), { deletes, branch: 'b' }))
    table.commit(await stageCherryPick(table.io, table.loaded(), table.head('b') as bigint))
    expect(table.head()).toBe(table.head('b'))
  })

  test('adds the files of an append anew, once, and names its source', async () => {
    change((m) => createRef(m, 'b', { type: 'branch', snapshotId: line[2] as bigint }))
    const picked = await append(10n, 'b')
    await append(11n)
    table.commit(await stageCherryPick(table.io, table.loaded(), picked))
    expect(await table.scan(table.head())).toEqual([1n, 2n, 3n, 10n, 11n])
    expect(metadata().snapshots.at(-1)?.summary).toMatchObject({
      operation: 'append',
      'source-snapshot-id': String(picked),
      'added-data-files': '1',
    })
    await expect(stageCherryPick(table.io, table.loaded(), picked)).rejects.toThrow(
      'already picked to create ancestor',
    )
    await expect(stageCherryPick(table.io, table.loaded(), line[1] as bigint)).rejects.toThrow(
      'already an ancestor',
    )
  })

  test('of what removes rows is refused by name where main has moved', async () => {
    change((m) => createRef(m, 'b', { type: 'branch', snapshotId: line[2] as bigint }))
    const [file] = await table.live(table.head())
    const deletes = [table.positionDeletes(0, file === undefined ? [] : [[file, 0]])]
    table.commit(await stageRowDelta(table.io, table.loaded(), { deletes, branch: 'b' }))
    await append(11n)
    await expect(
      stageCherryPick(table.io, table.loaded(), table.head('b') as bigint),
    ).rejects.toThrow('not append, dynamic overwrite, or fast-forward')
  })
})
