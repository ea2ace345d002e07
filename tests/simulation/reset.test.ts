/** After a reset on purpose: what the sinks have halted for is on record, and nothing else is lost or doubled. */
import { expect, test, vi } from 'vitest'
import { resetPositions, type ResetRequest } from '../../app/reset-positions.ts'
import { createManifestCache } from '../../iceberg/scan/manifest-cache.ts'
import { lineageOf, readPositions } from '../../iceberg/sink/positions.ts'
import { partitionSpecOf, schemaOf, sortOrderOf } from '../../iceberg/spec/from-definition.ts'
import { namespaceName, rollup5mTable } from '../../kernel/tables.ts'
import { createMemoryParquetWriter } from '../../testkit/memory-parquet.ts'
import type { FaultyCatalog } from '../../testkit/faulty-catalog.ts'
import { eventsId, liveRows, rejectedId } from './sink-oracle.ts'
import { createWorld, runScenario, type World } from './sink-world.ts'

vi.mock('node:zlib', async (importOriginal) => {
  const { synchronousZlib } = await import('./synchronous-zlib.ts')
  return synchronousZlib(await importOriginal())
})

const rollupId = { namespace: [namespaceName], name: rollup5mTable.name }

async function fill(world: World): Promise<void> {
  // Its judges know of no reset: positions may go anywhere then.
  world.memoryCatalog.afterApply = () => {}
  await world.createTables()
  await world.catalog.createTable({
    identifier: rollupId,
    schema: schemaOf(rollup5mTable),
    partitionSpec: partitionSpecOf(rollup5mTable),
    sortOrder: sortOrderOf(rollup5mTable),
  })
  const sink = world.createSink()
  await sink.start()
  for (let i = 0; i < 3; i++) {
    await world.produce(20)
    await world.time.sleep(10_000)
  }
  await sink.stop(10_000)
}

const reset = (world: World, request: Partial<ResetRequest>) =>
  resetPositions(
    {
      catalog: world.catalog,
      store: world.store,
      manifests: createManifestCache(world.store, 1_000_000),
      parquet: createMemoryParquetWriter(world.store),
      clock: world.time,
      ids: world.ids,
      log: world.log,
      sleep: (ms) => world.time.sleep(ms),
    },
    { target: 'start', force: false, dryRun: false, ...request },
  )

type Held = { epoch: number; partition: number; from: number; to: number; isGap: boolean }

async function held(world: World): Promise<Held[]> {
  const rows = [eventsId, rejectedId].map(async (identifier) =>
    (await liveRows(world.store.objects, await world.load(identifier))).map((row): Held => {
      const from = row['log_offset'] as number
      return {
        epoch: row['log_epoch'] as number,
        partition: row['log_partition'] as number,
        from,
        to: from + ((row['record_count'] as number | undefined) ?? 1),
        isGap: row['reason'] === 'log_gap',
      }
    }),
  )
  return (await Promise.all(rows))
    .flat()
    .toSorted(
      (a, b) => a.epoch - b.epoch || a.partition - b.partition || a.from - b.from || a.to - b.to,
    )
}

/** Each epoch and partition without gap or repetition; the last one ends at the position. */
async function expectClosed(world: World): Promise<void> {
  const positions = readPositions((await world.load(eventsId)).properties)
  const all = await held(world)
  for (const [key, rows] of Map.groupBy(all, (row) => `${row.epoch}/${row.partition}`)) {
    let expected = rows[0]?.from
    for (const row of rows) {
      expect([key, row.from]).toEqual([key, expected])
      expected = row.to
    }
    const position = positions.get(rows[0]?.partition as number)
    if (position?.logEpoch === rows[0]?.epoch) expect(position?.nextOffset).toBe(expected)
    else expect(rows.at(-1)?.isGap).toBe(true)
  }
}

const spoilers: Record<string, { case: string; spoil: (world: World) => Promise<void> }> = {
  'a log that was replaced': {
    case: 'log_replaced',
    async spoil({ log }) {
      log.logIdentity = { ...log.logIdentity, topicId: 'topic-2' }
      for (const p of [0, 1]) {
        log.truncate(p, 0)
        log.retain(p, 0)
      }
    },
  },
  'a log whose retention overtook one log partition': {
    case: 'below_log_start',
    async spoil(world) {
      await world.produce(30)
      const { endOffset } = world.log.partitions[0] as { endOffset: number }
      world.log.retain(0, endOffset - 3)
    },
  },
  'a log that was cut': {
    case: 'above_log_end',
    async spoil({ log }) {
      log.truncate(0, 5)
      log.truncate(1, 4)
    },
  },
  'tables that have lost their positions': {
    case: 'positions_missing',
    async spoil(world) {
      for (const identifier of [eventsId, rejectedId]) {
        const metadata = await world.load(identifier)
        world.memoryCatalog.plant(identifier, { ...metadata, properties: {} })
      }
    },
  },
  'tables that were rolled back': {
    case: 'rolled_back',
    async spoil(world) {
      for (const identifier of [eventsId, rejectedId]) {
        const metadata = await world.load(identifier)
        const older = lineageOf(metadata).snapshots[1]
        if (older === undefined) throw new Error('too few snapshots')
        world.memoryCatalog.plant(identifier, {
          ...metadata,
          currentSnapshotId: older.snapshotId,
          refs: { main: { type: 'branch', snapshotId: older.snapshotId } },
        })
      }
    },
  },
}

for (const [what, { case: haltCase, spoil }] of Object.entries(spoilers)) {
  for (const target of ['start', 'end'] as const) {
    test(`a running sink goes on from the ${target} of ${what}, and the audit closes`, async () => {
      const world = createWorld(1)
      await runScenario(world, async () => {
        const { log, time } = world
        await fill(world)
        await spoil(world)
        const sink = world.createSink()
        await sink.start()
        await world.produce(6)
        await time.sleep(20_000)
        expect(sink.health().details['haltCase']).toBe(haltCase)
        const ranges = await log.ranges()
        const dry = await reset(world, { target, dryRun: true })
        expect(sink.health().details['haltCase']).toBe(haltCase)
        const { plan, halts } = await reset(world, { target })
        expect(plan).toEqual(dry.plan)
        expect(halts.writer?.case).toBe(haltCase)
        expect(plan.logEpoch).toBe(1)
        await time.sleep(30_000)
        await world.produce(20)
        await time.sleep(30_000)
        expect(sink.health().reason).toBeUndefined()
        expect(await world.isDrained()).toBe(true)
        await sink.stop(1_000)
        for (const { logPartition, problem, writer } of plan.partitions) {
          if (problem === null) continue
          const range = ranges[logPartition]
          expect(writer.to).toBe(target === 'start' ? range?.startOffset : range?.endOffset)
        }
        await expectClosed(world)
        await expect(reset(world, { target })).rejects.toThrow('nothing to reset')
      })
    })
  }
}

test('a reset whose answer is lost is found to be in; one that meets a conflict is planned anew', async () => {
  const world = createWorld(1)
  await runScenario(world, async () => {
    await fill(world)
    await (spoilers['a log that was replaced'] as { spoil: (w: World) => Promise<void> }).spoil(
      world,
    )
    const wire = world.catalogs[0] as FaultyCatalog
    const before = wire.beforeCommit
    wire.beforeCommit = async () => {
      wire.beforeCommit = before
      // Somebody else commits in between.
      const metadata = await world.load(eventsId)
      const snapshot = lineageOf(metadata).snapshots[0]
      if (snapshot === undefined) throw new Error('no snapshot')
      const moved = { ...snapshot, snapshotId: 77n, parentSnapshotId: snapshot.snapshotId }
      world.memoryCatalog.plant(eventsId, {
        ...metadata,
        snapshots: [...metadata.snapshots, moved],
        currentSnapshotId: 77n,
        refs: { main: { type: 'branch', snapshotId: 77n } },
      })
      wire.beforeCommit = async () => {
        wire.beforeCommit = before
        return 'answer-lost'
      }
      return 'ok'
    }
    const { plan } = await reset(world, { target: 'end' })
    expect(plan.logEpoch).toBe(1)
    await expect(reset(world, { target: 'end' })).rejects.toThrow('nothing to reset')
    await expectClosed(world)
  })
})
