import { beforeEach, describe, expect, test } from 'vitest'
import {
  createMemoryObjectStore,
  type MemoryObjectStore,
} from '../../adapters/object-store/memory-object-store.ts'
import { PotokError } from '../../kernel/errors.ts'
import { eventsTable } from '../../kernel/tables.ts'
import { fakeDataFile, type StagedTable, stagedTableOf } from '../../testkit/staged-table.ts'
import type { TableCommit } from '../catalog.ts'
import { stageAppend } from './append.ts'
import { commitWithRetry, type Plan, type RetryIo } from './commit-with-retry.ts'
import { stagedChange } from './metadata-change.ts'
import { createRef } from './snapshot-refs.ts'

type Answer = 'take' | 'lose the answer' | 'lose the request' | 'refuse' | 'conflict'

let table: StagedTable
let store: MemoryObjectStore
let answers: Answer[]
let sent: TableCommit[]
let waits: number[]
/** What a rival does before a commit is looked at. */
let rival: (() => Promise<void>)[]
let io: RetryIo

beforeEach(() => {
  store = createMemoryObjectStore()
  table = stagedTableOf(eventsTable, { store })
  answers = []
  sent = []
  waits = []
  rival = []
  io = {
    store,
    ids: table.io.ids,
    sleep: async (ms) => {
      waits.push(ms)
    },
    catalog: {
      loadTable: async () => table.loaded(),
      commit: async ([commit]) => {
        if (commit === undefined) throw new RangeError('nothing to commit')
        sent.push(commit)
        await rival.shift()?.()
        const answer = answers.shift() ?? 'take'
        if (answer === 'refuse') throw new PotokError('InvalidInput', 'no')
        if (answer === 'conflict') throw new PotokError('CommitConflict', 'too late')
        if (answer === 'lose the request') throw new PotokError('Timeout', 'no answer')
        table.apply({ commit, snapshotId: 0n, written: [] })
        if (answer === 'lose the answer') throw new PotokError('CommitStateUnknown', 'cut')
        return [table.loaded()]
      },
    },
  }
})

const appendOne: Plan = (loaded) =>
  stageAppend(table.io, loaded, { files: [fakeDataFile(eventsTable, 'ours')] })
const identifier = { namespace: ['traffic'], name: 'table' }
const run = (plan: Plan = appendOne) => commitWithRetry(io, identifier, plan)
const snapshots = () => table.loaded().metadata.snapshots.length
const rivalAppend = async () => {
  await table.change({ add: [fakeDataFile(eventsTable, `rival-${snapshots()}`)] })
}

describe('a commit', () => {
  test('that is taken is done', async () => {
    const after = await run()
    expect(after.metadata.snapshots).toHaveLength(1)
    expect(sent).toHaveLength(1)
  })

  test('with nothing to do is none', async () => {
    expect((await run(async () => null)).metadata.snapshots).toEqual([])
    expect(sent).toEqual([])
  })

  test('that a rival is faster than is planned anew; what the lost attempt wrote is gone', async () => {
    rival = [rivalAppend, rivalAppend]
    await run()
    expect(snapshots()).toBe(3)
    expect(sent).toHaveLength(3)
    // Two rivals and we: a manifest and a list each.
    expect(store.objects.size).toBe(6)
    expect(waits).toHaveLength(2)
  })

  test('is given up after as many tries as the table says, with the conflict', async () => {
    table.update([{ action: 'set-properties', updates: { 'commit.retry.num-retries': '2' } }])
    rival = Array.from({ length: 9 }, () => rivalAppend)
    await expect(run()).rejects.toMatchObject({ kind: 'CommitConflict' })
    expect(sent).toHaveLength(3)
  })

  test('that its own plan refuses is not tried again', async () => {
    rival = [rivalAppend]
    let plans = 0
    const plan: Plan = async (loaded) => {
      if (++plans === 2) throw new PotokError('CommitConflict', 'their rows are ours')
      return appendOne(loaded)
    }
    await expect(run(plan)).rejects.toThrow('their rows are ours')
    expect(sent).toHaveLength(1)
  })

  test('that is refused for good is not tried again, and its files are gone', async () => {
    answers = ['refuse']
    await expect(run()).rejects.toMatchObject({ kind: 'InvalidInput' })
    expect(store.objects.size).toBe(0)
  })
})

describe('a commit of unknown outcome', () => {
  test('that is in is found by its snapshot', async () => {
    answers = ['lose the answer']
    await run()
    expect(snapshots()).toBe(1)
    expect(sent).toHaveLength(1)
  })

  test('is sent again with the same bytes while the branch stands, and is in once', async () => {
    answers = ['lose the request', 'lose the request', 'take']
    await run()
    expect(snapshots()).toBe(1)
    expect(sent).toHaveLength(3)
    expect(sent[1]).toBe(sent[0])
  })

  test('that lands late is in once: the second copy conflicts, and the look finds it', async () => {
    answers = ['lose the request', 'conflict']
    rival = [
      async () => {},
      async () => {
        const [late] = sent
        if (late !== undefined) table.apply({ commit: late, snapshotId: 0n, written: [] })
      },
    ]
    await run()
    expect(snapshots()).toBe(1)
    expect(store.objects.size).toBe(2)
  })

  test('can not land any more once the branch has moved: planned anew, nothing deleted', async () => {
    answers = ['lose the request']
    rival = [rivalAppend]
    await run()
    expect(snapshots()).toBe(2)
    expect(store.objects.size, 'the lost attempt keeps its two files').toBe(6)
  })

  test('that may have been expired since stays unknown: rows are never twice', async () => {
    answers = ['lose the request']
    rival = [
      async () => {
        await rivalAppend()
        const first = table.loaded().metadata.snapshots[0]?.snapshotId as bigint
        await rivalAppend()
        table.update([{ action: 'remove-snapshots', snapshotIds: [first] }])
      },
    ]
    await expect(run()).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    expect(sent).toHaveLength(1)
  })

  test('that stays so to the end is told as that', async () => {
    answers = Array.from({ length: 9 }, () => 'lose the request' as const)
    await expect(run()).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    expect(sent).toHaveLength(5)
    expect(store.objects.size).toBe(2)
  })

  test('and without a snapshot can not be recognised', async () => {
    await run()
    sent = []
    answers = ['lose the answer']
    const plan: Plan = async (loaded) =>
      stagedChange(
        loaded,
        createRef(loaded.metadata, 'tag', {
          type: 'tag',
          snapshotId: loaded.metadata.currentSnapshotId as bigint,
        }),
      )
    await expect(run(plan)).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    expect(sent).toHaveLength(1)
  })
})
