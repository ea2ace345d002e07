import { describe, expect, test, vi } from 'vitest'
import { createManifestCache, planScan } from '../../iceberg/scan/plan-files.ts'
import { offsetsToCarryForward, readPositions } from '../../iceberg/sink/positions.ts'
import { partitionSpecOf, schemaOf, sortOrderOf } from '../../iceberg/spec/from-definition.ts'
import { stageSnapshot } from '../../iceberg/transaction/stage-snapshot.ts'
import type { SpeedLimit } from '../../kernel/exact-engine.ts'
import type { Logger } from '../../kernel/ports.ts'
import { namespaceName, rollup5mTable, tableProperties } from '../../kernel/tables.ts'
import { formatUs, usPer5Minutes } from '../../kernel/time.ts'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { createFaultyCatalog } from '../../testkit/faulty-catalog.ts'
import { createMemoryCatalog } from '../../testkit/memory-catalog.ts'
import {
  createMemoryParquetWriter,
  type MemoryRow,
  readMemoryParquet,
} from '../../testkit/memory-parquet.ts'
import { createRandom, createSeededIds } from '../../testkit/random.ts'
import { createSimulatedLog } from '../../testkit/simulated-log.ts'
import { createSimulatedTime } from '../../testkit/simulated-time.ts'
import type { RollupCounts } from './rollup-processor.ts'
import { createRollupStream, defaultRollupStreamConfig } from './rollup-stream.ts'

vi.mock('node:zlib', async (importOriginal) => {
  const { synchronousZlib } = await import('../../tests/simulation/synchronous-zlib.ts')
  return synchronousZlib(await importOriginal())
})

const startMs = Date.UTC(2025, 3, 5, 10)
const windowUs = startMs * 1_000
const identifier = { namespace: [namespaceName], name: rollup5mTable.name }
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

type Fence = 'snapshot' | 'property'

async function createWorld(
  loadSpeedLimits: () => Promise<readonly SpeedLimit[]> = async () => [],
  fence: Fence = 'snapshot',
) {
  const random = createRandom(3)
  const ids = createSeededIds(random)
  const time = createSimulatedTime(startMs)
  const store = createMemoryObjectStore({ nowMs: () => time.nowMs() })
  const log = createSimulatedLog({ partitionCount: 2, time, random })
  const memory = createMemoryCatalog({
    warehouse: 'memory:///warehouse',
    nowMs: () => time.nowMs(),
    uuid: () => ids.uuid(),
    rebaseIn: fence === 'property' ? store : undefined,
  })
  const catalog = createFaultyCatalog(memory)
  await catalog.createTable({
    identifier,
    schema: schemaOf(rollup5mTable),
    partitionSpec: partitionSpecOf(rollup5mTable),
    sortOrder: sortOrderOf(rollup5mTable),
  })
  const manifests = createManifestCache(store, 1_000_000)
  const createStream = () =>
    createRollupStream(
      {
        log,
        catalog,
        store,
        manifests,
        ids,
        clock: time,
        logger: silent,
        parquet: createMemoryParquetWriter(store),
        loadSpeedLimits,
        sleep: (ms, signal) => time.sleep(ms, signal),
      },
      defaultRollupStreamConfig,
    )

  async function send(eventTimeUs: number, kvfvId = 'KV1', speedKmh = 50): Promise<void> {
    const event = { kvfv_id: kvfvId, timestamp: formatUs(eventTimeUs), vehicle_speed: speedKmh }
    await log.append([
      {
        logPartition: random.below(2),
        kind: 0,
        receivedAtUs: time.nowMs() * 1_000,
        key: null,
        eventId: null,
        value: Buffer.from(JSON.stringify(event)),
      },
    ])
  }

  const metadata = async () => (await catalog.loadTable(identifier)).metadata
  async function rows(): Promise<MemoryRow[]> {
    const { files } = await planScan({ store, manifests }, await metadata())
    const found = files.map(({ dataFile }) => readMemoryParquet(store, dataFile.filePath))
    return (await Promise.all(found)).flat()
  }
  /** As an exact run does: in a commit with a snapshot. */
  const setSealedUntil = (us: number): Promise<void> =>
    appendNothing({ [tableProperties.sealedUntil]: String(us) })
  /** As maintenance does: a snapshot that moves no position. */
  async function appendNothing(setProperties: Record<string, string> = {}): Promise<void> {
    const table = await catalog.loadTable(identifier)
    const { commit } = await stageSnapshot({ store, manifests, ids, clock: time }, table, {
      operation: 'append',
      add: [],
      remove: new Set(),
      summary: offsetsToCarryForward(table.metadata),
      setProperties,
    })
    await catalog.commit([commit])
  }
  async function stop(stream: RollupStream): Promise<void> {
    let isStopped = false
    const stopped = stream.stop(5_000).then(() => {
      isStopped = true
    })
    await time.run(() => isStopped)
    await stopped
  }
  return { time, catalog, createStream, send, rows, metadata, appendNothing, setSealedUntil, stop }
}

type RollupStream = ReturnType<typeof createRollupStream>

/** Events committed so far, counted or skipped. */
function committed(stream: RollupStream): number {
  const counts = stream.health().details['records'] as RollupCounts
  return counts.added + counts.sealed
}

describe('the rollup stream', () => {
  test("a camera's provisional sums are committed within two seconds of their arrival", async () => {
    const world = await createWorld()
    const stream = world.createStream()
    await stream.start()
    await world.time.run(() => stream.status().state === 'running')
    const sentMs = world.time.nowMs()
    await world.send(windowUs)
    await world.send(windowUs + 1, 'KV1', 70)
    await world.time.run(() => committed(stream) === 2)
    expect(world.time.nowMs() - sentMs).toBeLessThan(2_000)
    expect(await world.rows()).toMatchObject([
      { kvfv_id: 'KV1', window_start: windowUs, event_count: 2, speed_sum_milli: 120_000 },
    ])
    await world.stop(stream)
  })

  test('positions are in the table with the rows, and a restart goes on from there', async () => {
    const world = await createWorld()
    const stream = world.createStream()
    await stream.start()
    for (let i = 0; i < 20; i++) await world.send(windowUs + i)
    await world.time.run(() => committed(stream) === 20)
    await world.stop(stream)
    await world.send(windowUs + 20)
    const next = world.createStream()
    await next.start()
    await world.time.run(() => committed(next) === 1)
    await world.stop(next)
    const counts = (await world.rows()).map((row) => row['event_count'] as number)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(21)
    const positions = readPositions((await world.metadata()).properties)
    const ends = [...positions.values()].map(({ nextOffset }) => nextOffset)
    expect(ends.reduce((sum, end) => sum + end, 0)).toBe(21)
  })

  const fences = ['snapshot', 'property'] as const
  test.each(fences)(
    'a batch collected before sealed_until was raised is made again without the sealed windows (fence: %s)',
    async (fence) => {
      const world = await createWorld(undefined, fence)
      const sealedUntilUs = windowUs + usPer5Minutes
      const stream = world.createStream()
      await stream.start()
      await world.send(windowUs)
      await world.time.run(() => committed(stream) === 1)

      let isRaised = false
      world.catalog.beforeCommit = async () => {
        // In front of the stream's own commit.
        if (!isRaised) {
          isRaised = true
          await world.setSealedUntil(sealedUntilUs)
        }
        return 'ok'
      }
      await world.send(windowUs)
      await world.send(sealedUntilUs)
      await world.time.run(() => committed(stream) === 3)
      expect(stream.health()).toMatchObject({
        details: { records: { added: 2, sealed: 1 }, sealedUntilUs },
      })
      const counts = (await world.rows()).map((row) => [row['window_start'], row['event_count']])
      expect(new Map(counts as [number, number][])).toEqual(
        new Map([
          [windowUs, 1],
          [sealedUntilUs, 1],
        ]),
      )
      await world.stop(stream)
    },
  )

  test('where the catalog checks properties a commit of others is no conflict', async () => {
    const world = await createWorld(undefined, 'property')
    const stream = world.createStream()
    await stream.start()
    await world.send(windowUs)
    await world.time.run(() => committed(stream) === 1)
    const before = await world.metadata()
    let isIn = false
    world.catalog.beforeCommit = async () => {
      if (!isIn) {
        isIn = true
        await world.appendNothing()
      }
      return 'ok'
    }
    await world.send(windowUs)
    await world.time.run(() => committed(stream) === 2)
    expect(isIn).toBe(true)
    expect(stream.status()).toMatchObject({ conflicts: 0, superseded: 0, commits: 2 })
    expect((await world.metadata()).snapshots).toHaveLength(before.snapshots.length + 2)
    const counts = (await world.rows()).map((row) => row['event_count'])
    expect(counts).toEqual([1, 1])
    await world.stop(stream)
  })

  test('violations are counted against the limits there were at the start', async () => {
    const world = await createWorld(async () => [
      { kvfvId: 'KV1', validFromUs: null, limitMilli: 60_000 },
    ])
    const stream = world.createStream()
    await stream.start()
    await world.send(windowUs, 'KV1', 60)
    await world.send(windowUs, 'KV1', 60.001)
    await world.send(windowUs, 'KV2', 200)
    await world.time.run(() => committed(stream) === 3)
    const violations = (await world.rows()).map((row) => [row['kvfv_id'], row['violation_count']])
    expect(new Map(violations as [string, number | null][])).toEqual(
      new Map([
        ['KV1', 1],
        ['KV2', null],
      ]),
    )
    await world.stop(stream)
  })

  test('without limits to be had the sums go on, and health says what is missing', async () => {
    const world = await createWorld(async () => {
      throw new Error('no table cameras')
    })
    const stream = world.createStream()
    await stream.start()
    await world.send(windowUs)
    await world.time.run(() => committed(stream) === 1)
    expect(stream.health()).toMatchObject({
      ok: true,
      details: { speedLimits: 'not refreshed: no table cameras' },
    })
    await world.stop(stream)
  })
})
