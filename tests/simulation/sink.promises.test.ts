/** What a sink promises beside exactly once: when it halts, when it commits, how it ends. */
import { expect, test, vi } from 'vitest'
import { lineageOf, positionKey, readPositions } from '../../iceberg/sink/positions.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { FaultyCatalog } from '../../testkit/faulty-catalog.ts'
import { expireToOne } from './sink-rivals.ts'
import { eventsId, liveRows, rejectedId } from './sink-oracle.ts'
import { createWorld, runScenario, type World, type WorldOptions } from './sink-world.ts'

vi.mock('node:zlib', async (importOriginal) => {
  const { synchronousZlib } = await import('./synchronous-zlib.ts')
  return synchronousZlib(await importOriginal())
})

/** A world whose tables hold some commits, and no writer. */
async function filledWorld(seed: number, options: WorldOptions = {}): Promise<World> {
  const world = createWorld(seed, options)
  await runScenario(world, async () => {
    await world.createTables()
    const sink = world.createSink()
    await sink.start()
    for (let i = 0; i < 4; i++) {
      await world.produce(20)
      await world.time.sleep(10_000)
    }
    await sink.stop(10_000)
  })
  return world
}

function metadataOf(world: World, identifier = eventsId): Promise<TableMetadata> {
  return world.load(identifier)
}

/** Starts a writer and gives what its health says after a while. */
async function healthAfter(world: World, ms = 20_000) {
  const sink = world.createSink()
  await sink.start()
  await world.produce(5)
  await world.time.sleep(ms)
  const health = sink.health()
  await sink.stop(1_000)
  return health
}

async function away(): Promise<never> {
  throw new PotokError('Unavailable', 'connection refused')
}

const allAway = { beforeCommit: away, beforeLoad: away }

async function rollBack(world: World, identifier: typeof eventsId): Promise<void> {
  const metadata = await metadataOf(world, identifier)
  const older = lineageOf(metadata).snapshots[2]
  if (older === undefined) throw new Error('too few snapshots')
  world.memoryCatalog.plant(identifier, {
    ...metadata,
    currentSnapshotId: older.snapshotId,
    refs: { main: { type: 'branch', snapshotId: older.snapshotId } },
  })
}

const halts: Record<string, { case: string; spoil: (world: World) => Promise<void> }> = {
  'a table with snapshots but no positions': {
    case: 'positions_missing',
    async spoil(world) {
      for (const identifier of [eventsId, rejectedId]) {
        const metadata = await metadataOf(world, identifier)
        world.memoryCatalog.plant(identifier, { ...metadata, properties: {} })
      }
    },
  },
  'a table that was rolled back': {
    case: 'rolled_back',
    async spoil(world) {
      await rollBack(world, eventsId)
      await rollBack(world, rejectedId)
    },
  },
  'a table that was rolled back to nothing': {
    case: 'rolled_back',
    async spoil(world) {
      const metadata = await metadataOf(world)
      world.memoryCatalog.plant(eventsId, { ...metadata, currentSnapshotId: null, refs: {} })
    },
  },
  'a second table that was restored alone': {
    case: 'tables_disagree',
    async spoil(world) {
      const metadata = await metadataOf(world, rejectedId)
      world.memoryCatalog.plant(rejectedId, {
        ...metadata,
        properties: {},
        currentSnapshotId: null,
        snapshots: [],
        refs: {},
      })
    },
  },
  'another log under the same name': {
    case: 'log_replaced',
    async spoil(world) {
      world.log.logIdentity = { ...world.log.logIdentity, topicId: 'topic-2' }
    },
  },
  'a log whose retention overtook the table': {
    case: 'below_log_start',
    async spoil(world) {
      await world.produce(30)
      const { endOffset } = world.log.partitions[0] as { endOffset: number }
      world.log.retain(0, endOffset)
    },
  },
  'a log that was truncated': {
    case: 'above_log_end',
    async spoil(world) {
      world.log.truncate(0, 3)
      world.log.truncate(1, 3)
    },
  },
}

for (const [what, { case: haltCase, spoil }] of Object.entries(halts)) {
  test(`${what} halts the sink, red, with the choices`, async () => {
    const world = await filledWorld(1)
    await runScenario(world, async () => {
      await spoil(world)
      const before = [await metadataOf(world, eventsId), await metadataOf(world, rejectedId)]
      const health = await healthAfter(world)
      expect(health.ok).toBe(false)
      expect(health.details['haltCase']).toBe(haltCase)
      expect(health.reason).toContain('Choices:')
      expect([await metadataOf(world, eventsId), await metadataOf(world, rejectedId)]).toEqual(
        before,
      )
    })
  })
}

for (const catalog of ['memory', 'service'] as const) {
  for (const fence of ['snapshot', 'property'] as const) {
    test(`a rollback beneath a running sink stops it, with a fence by ${fence} on the ${catalog} catalog`, async () => {
      const world = await filledWorld(1, { catalog, fence })
      await runScenario(world, async () => {
        const sink = world.createSink()
        await sink.start()
        await world.time.sleep(2_000)
        await world.produce(5)
        for (const identifier of [eventsId, rejectedId]) {
          const older = lineageOf(await metadataOf(world, identifier)).snapshots[2]
          if (older === undefined) throw new Error('too few snapshots')
          const { snapshotId } = older
          await world.catalog.commit([
            {
              identifier,
              requirements: [],
              updates: [
                { action: 'set-snapshot-ref', refName: 'main', type: 'branch', snapshotId },
              ],
            },
          ])
        }
        const before = [await metadataOf(world, eventsId), await metadataOf(world, rejectedId)]
        await world.time.sleep(20_000)
        expect(sink.health().details['haltCase']).toBe('rolled_back')
        expect([await metadataOf(world, eventsId), await metadataOf(world, rejectedId)]).toEqual(
          before,
        )
        await sink.stop(1_000)
      })
    })
  }
}

for (const fence of ['snapshot', 'property'] as const) {
  test(`writers of one group that begin at once on empty tables share the work, and who gets no log partition is well, with a fence by ${fence}`, async () => {
    const world = createWorld(11, { isGroup: true, partitionCount: 3, fence })
    await runScenario(world, async () => {
      await world.createTables()
      world.log.skip(1, 5)
      world.log.retain(1, 4)
      await world.produce(30)
      const sinks = Array.from({ length: 5 }, () => world.createSink())
      await Promise.all(sinks.map((sink) => sink.start()))
      for (let round = 0; round < 6; round++) {
        await world.produce(10)
        await world.time.sleep(10_000)
        if (round === 3) world.log.grow()
        world.log.group.rebalance()
      }
      await world.time.sleep(30_000)
      expect(await world.isDrained()).toBe(true)
      expect(sinks.map((sink) => sink.health().reason)).toEqual(sinks.map(() => undefined))
      const owners = sinks.flatMap((sink) => [...sink.status().positions.keys()])
      expect(owners.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
      expect(sinks.some((sink) => sink.status().positions.size === 0)).toBe(true)
      for (const sink of sinks) await sink.stop(1_000)
      const stored = readPositions((await metadataOf(world)).properties)
      expect([...stored.keys()]).toEqual([0, 1, 2, 3])
      // What had left the log before is a range, too.
      const rows = await liveRows(world.store.objects, await metadataOf(world, rejectedId))
      expect(rows).toContainEqual(
        expect.objectContaining({ log_partition: 1, log_offset: 0, record_count: 4 }),
      )
      await world.judge()
    })
  })
}

test('a sink tells its log of the partitions that it has, not of those of others', async () => {
  const world = createWorld(12, { isGroup: true, partitionCount: 2 })
  await runScenario(world, async () => {
    await world.createTables()
    const sinks = [world.createSink(), world.createSink()]
    for (const sink of sinks) await sink.start()
    await world.time.sleep(10_000)
    while (sinks.some((sink) => sink.status().positions.size !== 1)) {
      world.log.group.rebalance()
      await world.time.sleep(10_000)
    }
    const [mine] = [...(sinks[0]?.status().positions.keys() ?? [])]
    // The first commit stores positions of all.
    expect((await metadataOf(world)).snapshots).toEqual([])
    const record = { kind: 1, receivedAtUs: 0, key: null, eventId: null, value: new Uint8Array(1) }
    await world.log.append([{ ...record, logPartition: mine as number }])
    await world.time.sleep(500)
    for (const sink of sinks) await sink.stop(10_000)
    expect((await metadataOf(world)).snapshots).toHaveLength(1)
    expect([...(world.log.acknowledged.get('writer')?.keys() ?? [])]).toEqual([mine])
  })
})

test('a halted sink keeps telling so, and goes on by itself when the cause has gone', async () => {
  const world = await filledWorld(1)
  await runScenario(world, async () => {
    const { logIdentity } = world.log
    world.log.logIdentity = { ...logIdentity, topicId: 'topic-2' }
    const sink = world.createSink()
    await sink.start()
    await world.produce(5)
    for (let minute = 0; minute < 5; minute++) {
      await world.time.sleep(60_000)
      expect(sink.health().details['haltCase']).toBe('log_replaced')
    }
    world.log.logIdentity = logIdentity
    await world.time.sleep(60_000)
    expect(sink.health()).toMatchObject({ ok: true, details: { state: 'running' } })
    expect(await world.isDrained()).toBe(true)
    await sink.stop(1_000)
    await world.judge()
  })
})

test('retention that overtakes a running sink stops it instead of making a gap row', async () => {
  const world = createWorld(2)
  await runScenario(world, async () => {
    await world.createTables()
    const sink = world.createSink()
    await sink.start()
    await world.produce(10)
    await world.time.sleep(10_000)
    await world.produce(40)
    const { endOffset } = world.log.partitions[1] as { endOffset: number }
    world.log.retain(1, endOffset - 1)
    await world.time.sleep(10_000)
    expect(sink.health().details['haltCase']).toBe('below_log_start')
    await sink.stop(1_000)
  })
})

test('a commit comes at most 5 s after its oldest record was received, with other partitions idle', async () => {
  const world = createWorld(3, { partitionCount: 8 })
  await runScenario(world, async () => {
    await world.createTables()
    const sink = world.createSink()
    await sink.start()
    await world.time.sleep(30_000)
    for (let round = 0; round < 5; round++) {
      await world.produce(1)
      await world.time.sleep(5_000)
      expect(await world.isDrained()).toBe(true)
      await world.time.sleep(20_000)
    }
    expect(sink.status().commits).toBe(5)
    await sink.stop(1_000)
  })
})

test('catching up makes commits of full size although every record is overdue', async () => {
  const world = createWorld(4)
  await runScenario(world, async () => {
    await world.createTables()
    await world.produce(400)
    await world.time.sleep(3_600_000)
    const sink = world.createSink()
    await sink.start()
    await world.time.sleep(60_000)
    expect(await world.isDrained()).toBe(true)
    expect(sink.status().commits).toBeLessThanOrEqual(12)
    await sink.stop(1_000)
  })
})

test('a stop with time commits what is collected; after a stop without, nothing is written', async () => {
  const world = createWorld(5)
  await runScenario(world, async () => {
    await world.createTables()
    const sink = world.createSink()
    await sink.start()
    await world.produce(10)
    await world.time.sleep(1_500)
    expect(sink.status().commits).toBe(0)
    await sink.stop(10_000)
    expect(await world.isDrained()).toBe(true)

    const hasty = world.createSink()
    await hasty.start()
    await world.produce(10)
    await world.time.sleep(1_500)
    await hasty.stop(0)
    const before = await metadataOf(world)
    await world.time.sleep(120_000)
    expect(await metadataOf(world)).toEqual(before)
  })
})

test('a move over offsets without records makes a snapshot, and a range that closes the audit', async () => {
  const world = createWorld(6, { partitionCount: 1 })
  await runScenario(world, async () => {
    await world.createTables()
    world.log.skip(0, 7)
    const sink = world.createSink()
    await sink.start()
    await world.time.sleep(30_000)
    await sink.stop(1_000)
    expect(readPositions((await metadataOf(world)).properties).get(0)?.nextOffset).toBe(7)
    expect((await metadataOf(world)).snapshots).toHaveLength(1)
    const rows = await liveRows(world.store.objects, await metadataOf(world, rejectedId))
    expect(rows).toMatchObject([{ reason: 'log_gap', log_offset: 0, record_count: 7 }])
  })
})

test('while the catalog is away the sink keeps trying, says so, and goes on by itself', async () => {
  const world = createWorld(7)
  await runScenario(world, async () => {
    await world.createTables()
    const sink = world.createSink()
    await sink.start()
    await world.time.sleep(5_000)
    const working = world.catalogs.map(({ beforeCommit, beforeLoad }) => ({
      beforeCommit,
      beforeLoad,
    }))
    for (const catalog of world.catalogs) Object.assign(catalog, allAway)
    await world.produce(10)
    await world.time.sleep(120_000)
    expect(sink.health().ok).toBe(false)
    expect(sink.health().reason).toContain('connection refused')
    for (const [i, catalog] of world.catalogs.entries()) Object.assign(catalog, working[i])
    await world.time.sleep(20_000)
    expect(sink.health().ok).toBe(true)
    await sink.stop(1_000)
    await world.judge()
  })
})

test('the watermark beside the position is the greatest event time, never later than receipt', async () => {
  const world = await filledWorld(8)
  await runScenario(world, async () => {
    const metadata = await metadataOf(world)
    const rows = await liveRows(world.store.objects, metadata)
    for (const [logPartition, { eventTimeUsMax }] of readPositions(metadata.properties)) {
      const times = rows
        .filter((row) => row['log_partition'] === logPartition)
        .map((row) => Math.min(row['event_time'] as number, row['received_at'] as number))
      expect(eventTimeUsMax).toBe(Math.max(...times))
    }
    expect(metadata.properties[positionKey(0)]).toContain('"next_offset"')
  })
})

test('files of a commit whose answer and whose snapshot are both gone are left alone', async () => {
  const world = createWorld(9)
  await runScenario(world, async () => {
    await world.createTables()
    const reached = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const slow = world.createSink(async (point) => {
      if (point !== 5) return
      reached.resolve()
      await release.promise
    })
    const wire = world.catalogs.at(-1) as FaultyCatalog
    wire.beforeCommit = async () => {
      wire.beforeCommit = async () => 'ok'
      return 'answer-lost'
    }
    await slow.start()
    await world.produce(20)
    await reached.promise

    const quick = world.createSink()
    await quick.start()
    await world.produce(20)
    await world.time.sleep(10_000)
    const { catalog, store, ids, random, time } = world
    for (const identifier of [eventsId, rejectedId]) {
      const table = await catalog.loadTable(identifier)
      expect(table.metadata.snapshots.length).toBeGreaterThan(1)
      await expireToOne({ catalog, store, ids, random, clock: time }, table)
    }
    release.resolve()
    await world.time.sleep(60_000)
    await quick.stop(1_000)
    await slow.stop(1_000)
    expect(slow.status()).toMatchObject({ superseded: 1, unknownOutcomes: 1 })
    await world.judge()
  })
})
