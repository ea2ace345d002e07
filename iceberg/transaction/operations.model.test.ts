/** Any sequence of operations on any branches against a model: the rows that each branch and snapshot has. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createImaginedTable, type ImaginedTable } from '../../testkit/imagined-files.ts'
import { createRandom, type Random } from '../../testkit/random.ts'
import type { DataFile } from '../spec/data-file.ts'
import { stageAppend } from './append.ts'
import { stageCherryPick } from './cherry-pick.ts'
import { stageDelete } from './delete-files.ts'
import { stagedChange } from './metadata-change.ts'
import { stageOverwrite } from './overwrite.ts'
import { stageRewrite } from './rewrite-files.ts'
import { stageRowDelta } from './row-delta.ts'
import { createRef, fastForward, rollbackTo } from './snapshot-refs.ts'

const names = [
  'append',
  'fast append',
  'delete files',
  'delete a partition',
  'overwrite files',
  'overwrite a partition',
  'rewrite',
  'rewrite as old',
  'delete rows',
  'delete by key',
  'update rows',
  'branch off',
  'roll back',
  'fast forward',
  'publish',
] as const

type World = {
  readonly table: ImaginedTable
  readonly random: Random
  /** Rows of each snapshot. */
  readonly rows: Map<bigint | null, readonly Row[]>
  nextId: bigint
}
type Row = { readonly id: bigint; readonly part: number }

const parts = 2

test('what a reader sees on every branch is the model, after any history', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 22 }),
      fc.nat(),
      async (history, seed) => {
        const world: World = {
          table: createImaginedTable({ 'commit.manifest.min-count-to-merge': '3' }),
          random: createRandom(seed),
          rows: new Map([[null, []]]),
          nextId: 1n,
        }
        for (const name of history) await takeStep(world, name)
        const { refs } = world.table.loaded().metadata
        for (const { snapshotId } of Object.values(refs)) {
          const expected = (world.rows.get(snapshotId) ?? []).map(({ id }) => id)
          expect(await world.table.scan(snapshotId)).toEqual(sorted(expected))
        }
        // Older snapshots stay what they were.
        for (const [snapshotId, rows] of [...world.rows].slice(-3)) {
          expect(await world.table.scan(snapshotId)).toEqual(sorted(rows.map(({ id }) => id)))
        }
      },
    ),
    { numRuns: 60 },
  )
})

async function takeStep(world: World, name: (typeof names)[number]): Promise<void> {
  const { table, random } = world
  const loaded = table.loaded()
  const { io } = table
  const branches = Object.entries(loaded.metadata.refs).map(([branch]) => branch)
  const branch = branches.length === 0 ? 'main' : random.pick(branches)
  const headId = table.head(branch)
  const before = world.rows.get(headId) ?? []
  const files = await table.live(headId)
  const part = random.below(parts)
  const startingSnapshotId = headId ?? 0n
  const chosen = files.filter(() => random.chance(0.5))
  const visible = new Set(await table.scan(headId))
  const alive = (file: DataFile) => table.idsIn(file).filter((id) => visible.has(id))
  const without = (gone: readonly bigint[]) => before.filter(({ id }) => !gone.includes(id))
  const done = (planned: Parameters<ImaginedTable['commit']>[0], rows: readonly Row[]) => {
    table.commit(planned)
    if (planned !== null) world.rows.set(table.head(branch), rows)
  }

  switch (name) {
    case 'append':
    case 'fast append': {
      const rows = newRows(world, part)
      const add = [table.dataFile(part, ids(rows))]
      const mergeManifests = name === 'append' ? 'when-many' : 'never'
      done(await stageAppend(io, loaded, { files: add, branch, mergeManifests }), [
        ...before,
        ...rows,
      ])
      return
    }
    case 'delete files': {
      const paths = new Set(chosen.map(({ filePath }) => filePath))
      done(await stageDelete(io, loaded, { paths, branch }), without(chosen.flatMap(alive)))
      return
    }
    case 'delete a partition': {
      const filter = [{ column: 'part', op: '=' as const, value: part }]
      done(
        await stageDelete(io, loaded, { filter, branch }),
        before.filter((row) => row.part !== part),
      )
      return
    }
    case 'overwrite files':
    case 'overwrite a partition': {
      const rows = newRows(world, part)
      const add = [table.dataFile(part, ids(rows))]
      const byFilter = name === 'overwrite a partition'
      if (!byFilter && chosen.length === 0) return
      const replaceRows = [{ column: 'part', op: '=' as const, value: part }]
      const staged = await stageOverwrite(io, loaded, {
        branch,
        add,
        ...(byFilter ? { replaceRows, addMatchesFilter: true } : { replaceFiles: chosen }),
        validation: { startingSnapshotId: headId, isolation: 'serializable' },
      })
      const kept = byFilter
        ? before.filter((row) => row.part !== part)
        : without(chosen.flatMap(alive))
      done(staged, [...kept, ...rows])
      return
    }
    case 'rewrite':
    case 'rewrite as old': {
      const replace = chosen.filter(({ partition }) => partition[0] === part)
      if (replace.length === 0) return
      const dataSequenceNumber = loaded.metadata.snapshots.find(
        ({ snapshotId }) => snapshotId === headId,
      )?.sequenceNumber
      const add = [table.dataFile(part, replace.flatMap(alive))]
      const staged = await stageRewrite(io, loaded, {
        branch,
        replace,
        add,
        startingSnapshotId,
        ...(name === 'rewrite as old' && dataSequenceNumber !== undefined
          ? { dataSequenceNumber }
          : {}),
      })
      done(staged, before)
      return
    }
    case 'delete rows':
    case 'update rows': {
      const file = chosen.find((each) => each.partition[0] === part && alive(each).length > 0)
      if (file === undefined) return
      const gone = alive(file).filter(() => random.chance(0.5))
      if (gone.length === 0) return
      const rows = name === 'update rows' ? newRows(world, part) : []
      const at = gone.map((id) => [file, table.idsIn(file).indexOf(id)] as const)
      const staged = await stageRowDelta(io, loaded, {
        branch,
        add: rows.length === 0 ? [] : [table.dataFile(part, ids(rows))],
        deletes: [table.positionDeletes(part, at)],
        referencedFiles: new Set([file.filePath]),
        validation: { startingSnapshotId: headId, isolation: 'serializable' },
      })
      done(staged, [...without(gone), ...rows])
      return
    }
    case 'delete by key': {
      const gone = before.filter((row) => row.part === part && random.chance(0.3))
      if (gone.length === 0) return
      const deletes = [table.equalityDeletes(part, ids(gone))]
      done(await stageRowDelta(io, loaded, { branch, deletes }), without(ids(gone)))
      return
    }
    case 'branch off': {
      if (headId === null || branches.length > 3) return
      const change = createRef(loaded.metadata, `b${branches.length}`, {
        type: 'branch',
        snapshotId: headId,
      })
      table.commit(stagedChange(loaded, change))
      return
    }
    case 'roll back': {
      const parent = loaded.metadata.snapshots.find(
        ({ snapshotId }) => snapshotId === headId,
      )?.parentSnapshotId
      if (parent === undefined) return
      table.commit(stagedChange(loaded, rollbackTo(loaded.metadata, parent, branch)))
      return
    }
    case 'fast forward': {
      if (branches.length < 2 || branch === 'main') return
      try {
        table.commit(stagedChange(loaded, fastForward(loaded.metadata, 'main', branch)))
      } catch (error) {
        expect(String(error)).toContain('is not an ancestor of')
      }
      return
    }
    case 'publish': {
      if (branch === 'main' || headId === null) return
      const mainRows = world.rows.get(table.head()) ?? []
      const picked = loaded.metadata.snapshots.find(({ snapshotId }) => snapshotId === headId)
      const isForward = (picked?.parentSnapshotId ?? null) === table.head()
      const parentRows = world.rows.get(picked?.parentSnapshotId ?? null) ?? []
      const added = before.filter(({ id }) => !parentRows.some((row) => row.id === id))
      try {
        table.commit(await stageCherryPick(io, loaded, headId))
      } catch (error) {
        expect(String(error)).toMatch(/Cannot cherry-?pick/)
        return
      }
      if (!isForward) world.rows.set(table.head(), [...mainRows, ...added])
    }
  }
}

function newRows(world: World, part: number): Row[] {
  return Array.from({ length: 1 + world.random.below(4) }, () => ({ id: world.nextId++, part }))
}

function ids(rows: readonly Row[]): bigint[] {
  return rows.map(({ id }) => id)
}

function sorted(list: readonly bigint[]): bigint[] {
  return list.toSorted((a, b) => (a < b ? -1 : 1))
}
