/**
 * A world from a seed: cameras fill a log, writers come and go (killed, paused and resumed as zombies,
 * stopped), the catalog loses requests and answers and lets commits arrive late, the store fails, rivals
 * compact and expire, clocks jump. At the end all faults cease, a last writer finishes, and the judges look.
 */
import { createCatalogService } from '../../catalog/catalog-service.ts'
import type { Catalog, TableIdentifier } from '../../iceberg/catalog.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { createManifestCache } from '../../iceberg/scan/manifest-cache.ts'
import type { CrashPoint } from '../../iceberg/sink/commit-batch.ts'
import { defaultLogSinkConfig, type LogSink } from '../../iceberg/sink/log-sink.ts'
import { readPositions } from '../../iceberg/sink/positions.ts'
import { partitionSpecOf, schemaOf, sortOrderOf } from '../../iceberg/spec/from-definition.ts'
import { createWriter, defaultWriterConfig } from '../../ingest/writer/writer.ts'
import { createMemoryObjectStore } from '../../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../../adapters/object-store/memory-root-object.ts'
import { PotokError } from '../../kernel/errors.ts'
import { createEventIdHasher } from '../../kernel/event-id.ts'
import type { Logger, LogRecord } from '../../kernel/ports.ts'
import { eventsTable, namespaceName, rejectedEventsTable } from '../../kernel/tables.ts'
import { createFaultyCatalog, type FaultyCatalog } from '../../testkit/faulty-catalog.ts'
import { createMemoryCatalog } from '../../testkit/memory-catalog.ts'
import { createMemoryParquetWriter } from '../../testkit/memory-parquet.ts'
import { createRandom, createSeededIds } from '../../testkit/random.ts'
import { createSimulatedLog } from '../../testkit/simulated-log.ts'
import { createSimulatedTime } from '../../testkit/simulated-time.ts'
import {
  eventsId,
  faultlessStore,
  judgeCommit,
  judgeRequest,
  judgeWorld,
  rejectedId,
} from './sink-oracle.ts'
import { rivalMove } from './sink-rivals.ts'

export const startMs = Date.UTC(2025, 3, 5, 10)
const warehouse = 'memory:///warehouse'
const commitFaults = [
  'request-lost',
  'answer-lost',
  'delayed',
  'refused-though-done',
  'answered-late',
] as const
const swapFaults = ['answer-lost', 'request-lost', 'delayed', 'refused'] as const
const unavailable = (what: string): PotokError => new PotokError('Unavailable', what)
const jsonBytes = (item: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(item))
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

export type World = ReturnType<typeof createWorld>

export type WorldOptions = {
  readonly partitionCount?: number
  readonly catalog?: 'memory' | 'service'
  /** What commits of sinks assert: main's snapshot, as on any catalog, or the positions that they set. */
  readonly fence?: 'snapshot' | 'property'
  /** Writers get some of the log partitions each, overlapping as in a rebalance, until the faults cease. */
  readonly isSplit?: boolean
  /**
   * Writers are members of a consumer group whose shares change at any time, the log gets further partitions,
   * and foreign transactions leave gaps everywhere.
   */
  readonly isGroup?: boolean
}

/** The parts, without faults until `chaos` says so. */
export function createWorld(seed: number, options: WorldOptions = {}) {
  const random = createRandom(seed)
  const ids = createSeededIds(random)
  const time = createSimulatedTime(startMs)
  const chaos = { level: 0 }
  const unlucky = (probability: number): boolean => random.chance(probability * chaos.level)

  const store = createMemoryObjectStore({
    nowMs: () => time.nowMs(),
    faults: {
      async before(call) {
        if (call !== 'read') await time.sleep(random.below(20))
        if (unlucky(0.01)) throw unavailable(`store: ${call} refused`)
      },
      after(call) {
        if (unlucky(0.01)) throw unavailable(`store: answer of ${call} lost`)
      },
    },
  })
  const memoryCatalog = createMemoryCatalog({
    warehouse,
    nowMs: () => time.nowMs(),
    uuid: () => ids.uuid(),
    rebaseIn:
      options.fence !== 'property'
        ? undefined
        : {
            read: async (location) => faultlessStore(store.objects).read(location),
            write: async (location, bytes) => store.plant(location, bytes),
          },
  })
  const root = createMemoryRootObject()
  const findings: unknown[] = []
  /** The real catalog is stateless: every writer may have a server of its own over the same root. */
  const connect = (): Catalog =>
    options.catalog === 'service'
      ? {
          ...createCatalogService({
            root,
            store,
            clock: time,
            ids,
            warehouseLocation: warehouse,
            sleep: (ms) => time.sleep(ms),
            random: () => random.next(),
          }),
          features: { assertProperty: options.fence === 'property' },
        }
      : memoryCatalog
  const judgeCatalog = connect()
  const catalogs: FaultyCatalog[] = []
  const connectFaulty = (): FaultyCatalog => {
    const catalog = createFaultyCatalog(connect())
    catalog.beforeLoad = async () => {
      await time.sleep(random.below(5))
      if (unlucky(0.05)) throw unavailable('catalog: load refused')
    }
    catalog.beforeLateAnswer = () => time.sleep(random.below(20_000))
    catalog.beforeCommit = async (commits) => {
      try {
        judgeRequest(commits)
      } catch (error) {
        findings.push(error)
      }
      await time.sleep(random.below(50))
      if (unlucky(0.3)) root.script.push(random.pick(swapFaults))
      return unlucky(0.4) ? random.pick(commitFaults) : 'ok'
    }
    catalogs.push(catalog)
    return catalog
  }
  const catalog = connectFaulty()
  const deliver = async (): Promise<void> => {
    root.deliverDelayed()
    for (const each of catalogs) await each.deliver()
  }
  memoryCatalog.afterApply = (before, after) => {
    try {
      judgeCommit(before, after)
    } catch (error) {
      // Kept, not thrown: a sink would take it for a lost answer and try again.
      findings.push(error)
    }
  }
  function assignSome(): number[] {
    const all = Array.from({ length: options.partitionCount ?? 2 }, (_, p) => p)
    const some = all.filter(() => random.chance(0.5))
    return chaos.level === 0 || some.length === 0 ? all : some
  }
  const log = createSimulatedLog({
    partitionCount: options.partitionCount ?? 2,
    time,
    random,
    ...(options.isSplit === true ? { assign: assignSome } : {}),
    isGroup: options.isGroup === true,
    async beforeRead(call) {
      if (unlucky(0.02)) throw unavailable(`log: ${call} failed`)
    },
  })
  const kinds = new Map<string, 'event' | 'rejected'>()

  async function createTables(): Promise<void> {
    await judgeCatalog.createNamespace([namespaceName])
    for (const [identifier, definition] of [
      [eventsId, eventsTable],
      [rejectedId, rejectedEventsTable],
    ] as const) {
      await judgeCatalog.createTable({
        identifier,
        schema: schemaOf(definition),
        partitionSpec: partitionSpecOf(definition),
        sortOrder: sortOrderOf(definition),
      })
    }
  }

  function createSink(
    onCrashPoint?: (point: CrashPoint) => void | Promise<void>,
    settings: Partial<typeof defaultLogSinkConfig> = {},
  ): LogSink {
    return createWriter(
      {
        log,
        catalog: connectFaulty(),
        store,
        parquet: createMemoryParquetWriter(store),
        manifests: createManifestCache(store, 1_000_000),
        clock: time,
        ids,
        logger: silent,
        hashEventId: createEventIdHasher(null),
        sleep: (ms, signal) => time.sleep(ms, signal),
        ...(onCrashPoint === undefined ? {} : { onCrashPoint }),
      },
      { ...defaultWriterConfig, commitRowsMax: 40, ...settings },
    )
  }

  async function produce(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const logPartition = random.below(log.partitionCount)
      const gapChance = options.isGroup === true ? 0.4 : 0.05
      if (random.chance(gapChance)) log.skip(logPartition, 1 + random.below(3))
      const { endOffset } = log.partitions[logPartition] as { endOffset: number }
      const { record, kind } = randomRecord(logPartition)
      kinds.set(`${logPartition}/${endOffset}`, kind)
      await log.append([record])
    }
  }

  function randomRecord(logPartition: number): {
    record: LogRecord
    kind: 'event' | 'rejected'
  } {
    const receivedAtUs = time.nowMs() * 1_000
    const base = { logPartition, receivedAtUs, key: null, eventId: null }
    if (random.chance(0.1)) {
      const item = { reason: 'missing_field', detail: 'speed', source: 'http' }
      const payload = { ...item, kvfv_id: null, payload: '{}' }
      return { record: { ...base, kind: 1, value: jsonBytes(payload) }, kind: 'rejected' }
    }
    if (random.chance(0.05)) {
      return { record: { ...base, kind: 0, value: jsonBytes(['nonsense']) }, kind: 'rejected' }
    }
    const lateMs = random.chance(0.2) ? random.below(5 * 86_400_000) : random.below(5_000)
    const detection = {
      kvfv_id: `KV${random.below(5)}`,
      timestamp: new Date(Math.min(time.nowMs(), startMs) - lateMs).toISOString(),
      vehicle_speed: random.below(1_000) / 10,
      lane: random.below(4),
    }
    return { record: { ...base, kind: 0, value: jsonBytes(detection) }, kind: 'event' }
  }

  /** Past all faults. */
  const load = async (identifier: TableIdentifier): Promise<TableMetadata> =>
    (await judgeCatalog.loadTable(identifier)).metadata

  async function isDrained(): Promise<boolean> {
    const positions = readPositions((await load(eventsId)).properties)
    return log.partitions.every(
      ({ endOffset }, p) => (positions.get(p)?.nextOffset ?? 0) === endOffset,
    )
  }

  return {
    random,
    ids,
    time,
    chaos,
    store,
    catalog,
    catalogs,
    isGroup: options.isGroup === true,
    memoryCatalog,
    load,
    deliver,
    log,
    kinds,
    findings,
    createTables,
    createSink,
    produce,
    isDrained,
    judge: () => judgeWorld(log, kinds, judgeCatalog, store.objects),
  }
}

/** Runs an asynchronous scenario on the world's time. */
export async function runScenario<T>(world: World, scenario: () => Promise<T>): Promise<T> {
  let outcome: { value: T } | { error: unknown } | null = null
  scenario().then(
    (value) => (outcome = { value }),
    (error: unknown) => (outcome = { error }),
  )
  await world.time.run(() => outcome !== null)
  const settled = outcome as unknown as { value: T } | { error: unknown }
  if ('error' in settled) throw settled.error
  return settled.value
}

export type ChaosReport = {
  readonly rows: number
  readonly commits: number
  readonly conflicts: number
  readonly superseded: number
  readonly unknownOutcomes: number
  readonly unknownOutcomesResolved: number
  readonly killed: number
  readonly paused: number
}

/** The whole story of one seed; throws a Finding where a judge found something. */
export async function runChaos(
  seed: number,
  options: WorldOptions & { records?: number } = {},
): Promise<ChaosReport> {
  const { records = 120, ...worldOptions } = options
  const world = createWorld(seed, worldOptions)
  return runScenario(world, () => chaosScenario(world, records))
}

async function chaosScenario(world: World, records: number): Promise<ChaosReport> {
  const { random, time, chaos, catalog } = world
  const sinks: LogSink[] = []
  const counts = { killed: 0, paused: 0 }
  const now = { isOver: false, paused: 0 }
  const guard = (task: Promise<void>): Promise<void> =>
    task.catch((error: unknown) => void world.findings.push(error))

  /** What befalls one writer: a crash point and how often it is passed before. */
  function fate(): (point: CrashPoint) => Promise<void> {
    const point = random.pick([1, 2, 3, 4, 5] as const)
    const isKilled = random.chance(0.5)
    let passes = random.below(6)
    return async (reached) => {
      if (now.isOver || reached !== point || passes-- > 0) return
      if (isKilled) {
        counts.killed++
        await new Promise<never>(() => {})
      }
      counts.paused++
      now.paused++
      passes = random.below(6)
      await time.sleep(random.below(world.isGroup ? 300_000 : 60_000))
      now.paused--
    }
  }

  async function supervisor(): Promise<void> {
    while (!now.isOver) {
      const sink = world.createSink(fate())
      sinks.push(sink)
      await sink.start()
      await time.sleep(2_000 + random.below(20_000))
      if (random.chance(0.3)) await sink.stop(random.below(2_000))
    }
  }
  async function rivals(): Promise<void> {
    while (!now.isOver) {
      await time.sleep(random.below(6_000))
      const io = { catalog, store: world.store, clock: time, ids: world.ids, random }
      await rivalMove(io, random.pick([eventsId, rejectedId]))
    }
  }
  async function nature(): Promise<void> {
    while (!now.isOver) {
      await time.sleep(random.below(8_000))
      await world.deliver()
      if (random.chance(0.1)) time.shiftClock(random.below(7_200_000) - 3_600_000)
      if (random.chance(0.2)) retainCommitted(world)
    }
  }
  async function sharing(): Promise<void> {
    while (!now.isOver && world.isGroup) {
      await time.sleep(random.below(12_000))
      world.log.group.rebalance()
      if (random.chance(0.1) && world.log.partitionCount < 12) world.log.grow()
    }
  }
  async function cameras(): Promise<void> {
    for (let left = records; left > 0; ) {
      const count = Math.min(left, 1 + random.below(12))
      await world.produce(count)
      left -= count
      await time.sleep(random.below(5_000))
    }
  }

  await world.createTables()
  chaos.level = 1
  const background = [supervisor(), rivals(), nature(), sharing()].map(guard)
  await cameras()
  await time.sleep(random.below(20_000))

  now.isOver = true
  chaos.level = 0
  await Promise.all(background)
  const last = world.createSink()
  sinks.push(last)
  await last.start()
  // Zombies still wake up, and what was under way still arrives.
  for (let round = 0; round < 200 && (now.paused > 0 || !(await world.isDrained())); round++) {
    await time.sleep(5_000)
    await world.deliver()
    // Who was killed is found out in the end.
    world.log.group.rebalance()
  }
  await time.sleep(30_000)
  await world.deliver()
  for (const sink of sinks) await sink.stop(1_000)
  if (world.findings.length > 0) throw world.findings[0]
  const halted = sinks.find((sink) => sink.status().state === 'halted')
  if (halted !== undefined) throw new Error(`a writer halted: ${halted.status().lastError}`)
  const { rows } = await world.judge()
  const sum = (name: keyof ReturnType<LogSink['status']>): number =>
    sinks.reduce((total, sink) => total + (sink.status()[name] as number), 0)
  return {
    rows,
    commits: sum('commits'),
    conflicts: sum('conflicts'),
    superseded: sum('superseded'),
    unknownOutcomes: sum('unknownOutcomes'),
    unknownOutcomesResolved: sum('unknownOutcomesResolved'),
    ...counts,
  }

  function retainCommitted({ log }: World): void {
    for (const positions of log.acknowledged.values()) {
      for (const [p, offset] of positions) {
        const { startOffset } = log.partitions[p] as { startOffset: number }
        if (offset > startOffset) log.retain(p, offset - random.below(offset - startOffset))
      }
    }
  }
}
