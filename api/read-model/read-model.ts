/**
 * What the API answers from: day cubes, and the few facts about their finality, kept in step with the tables.
 *
 * One loop: ask the catalog whether anything changed → load the tables → bring what is in memory to the new
 * snapshots → publish. A published state is immutable, but for cubes, which may run ahead of it by a refresh
 * and never behind. Reads of requests share the loads of others (`cube-store.ts`).
 *
 * Where a refresh fails, the last state stays; `health` turns red after `staleMsMax`, so that nobody takes old
 * averages for new ones.
 */
import type { Catalog, LoadedTable, TableIdentifier } from '../../iceberg/catalog.ts'
import { lineageOf, readPositions } from '../../iceberg/sink/positions.ts'
import type { LogPosition } from '../../iceberg/sink/sink-processor.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { describeError } from '../../kernel/errors.ts'
import { type Exactness, readExactness } from '../../kernel/exactness.ts'
import { logPartitionOf } from '../../kernel/partitioner.ts'
import type { Clock, Logger, ParquetReader, Service, ServiceHealth } from '../../kernel/ports.ts'
import {
  eventsTable,
  namespaceName,
  rollup5mTable,
  summaryOffsetsKey,
} from '../../kernel/tables.ts'
import { dayOfUs, startOfDayUs, usPerDay } from '../../kernel/time.ts'
import type { ApiConfig, LiveFileScanner } from '../ports.ts'
import {
  aggregateWindows,
  type AnswerWindow,
  type CameraDaySlice,
  type SpeedSums,
} from './aggregate-windows.ts'
import { CameraIndex } from './camera-index.ts'
import { CubeStore, type CubeStoreStats, isFileGone } from './cube-store.ts'
import type { DayCube, DaySummary } from './day-cube.ts'
import { type DayFiles, DayFileIndex, digestOf, filesOf } from './day-files.ts'
import { DaySummaries } from './day-summaries.ts'
import { DirtyDays, type DirtyDay } from './dirty-days.ts'
import type { Finality } from './window-status.ts'

export type SinkState = {
  readonly table: string
  readonly positions: ReadonlyMap<number, LogPosition>
  readonly lastCommitMs: number | null
  readonly snapshotId: bigint | null
}

export type ModelState = {
  /** When the newest commit to events or rollup_5m was made that this state includes, epoch ms: no clock's time. */
  readonly asOfMs: number
  readonly exactness: Exactness
  readonly days: ReadonlyMap<number, DayFiles>
  readonly dirty: ReadonlyMap<number, DirtyDay>
  /** Per log partition: the watermark, null before the first event. */
  readonly watermarksUs: ReadonlyMap<number, number | null>
  readonly logPartitionCount: number
  readonly sinks: readonly SinkState[]
}

export type CameraWindows = {
  readonly state: ModelState
  readonly windows: readonly AnswerWindow[]
  readonly total: SpeedSums
}

/** What an answer is made of; its cells may change once the caller has waited for anything. */
export type CameraSlices = {
  readonly state: ModelState
  readonly slices: readonly CameraDaySlice[]
  readonly finality: Finality
}

export interface ReadModel extends Service {
  readonly state: ModelState
  readonly cameras: CameraIndex
  /** Days of one camera in [fromUs, toUs). A promise only where files must be read. */
  slices(camera: string, fromUs: number, toUs: number): CameraSlices | Promise<CameraSlices>
  /**
   * Names what `slices` would have to read now: the files of each day and whether it is dirty, the same in every
   * process. null: it is in memory, and nothing would be read.
   */
  stampToRead(camera: string, fromUs: number, toUs: number): string | null
  /** Windows of one camera; boundaries from `windowBoundaries`. A promise only where files must be read. */
  windows(
    camera: string,
    boundaries: readonly number[],
    isLong: boolean,
  ): CameraWindows | Promise<CameraWindows>
  finalityOf(camera: string): Finality
  isDirty(camera: string, day: number): boolean
  /** Neither windows nor waiting late events of it exist. Waits until that is certain. */
  hasNoData(camera: string): Promise<boolean>
  /** Cameras, events, revision of a day; null while it is still being counted. */
  summary(day: number, waitMs: number): Promise<DaySummary | null>
  cacheStats(): CubeStoreStats
  /** Looks at once whether anything changed; resolved when the state includes it. */
  refresh(): Promise<void>
}

export type ReadModelPorts = {
  readonly catalog: Catalog
  readonly scanner: LiveFileScanner
  readonly parquetReader: ParquetReader
  readonly clock: Clock
  readonly logger: Logger
}

/** The newest days are always kept in memory: the list of cameras and most questions are about them. */
const hotDays = 2
/** Days that a long range of one camera reads at a time. */
const daysPerRead = 62
const staleMsMax = 15_000
const filesPerRead = 512
const utf8 = new TextEncoder()

export function createReadModel(
  ports: ReadModelPorts,
  config: Pick<
    ApiConfig,
    'cubeCacheBytesMax' | 'allowedLatenessUs' | 'pollMs' | 'logPartitionCount'
  >,
): ReadModel & { readonly store: CubeStore } {
  const { catalog, parquetReader, clock, logger } = ports
  const cameras = new CameraIndex()
  const store = new CubeStore(parquetReader, config.cubeCacheBytesMax, (cube, seen) =>
    cameras.observeCube(cube, seen),
  )
  const rollups = new DayFileIndex(rollup5mTable.name, ports.scanner)
  const events = new DayFileIndex(eventsTable.name, ports.scanner)
  const dirtyDays = new DirtyDays(parquetReader)
  const summaries = new DaySummaries(store, parquetReader)
  const stopping = new AbortController()
  let state = emptyState(config.logPartitionCount ?? 0)
  let catalogVersion: string | null = null
  let refreshing: Promise<void> | null = null
  let following: Promise<void> | null = null
  let loop: Promise<void> = Promise.resolve()
  let walk: Promise<void> = Promise.resolve()
  let refreshedAtMs: number | null = null
  let failure: string | null = null

  const rollupTable: TableIdentifier = { namespace: [namespaceName], name: rollup5mTable.name }
  const eventTable: TableIdentifier = { namespace: [namespaceName], name: eventsTable.name }

  async function refreshOnce(): Promise<void> {
    const version = await catalog.version([rollupTable, eventTable])
    if (version !== catalogVersion) {
      const [rollup, event] = await Promise.all([
        catalog.loadTable(rollupTable),
        catalog.loadTable(eventTable),
      ])
      await bringTo(rollup, event)
      catalogVersion = version
    }
    refreshedAtMs = clock.nowMs()
    failure = null
  }

  async function bringTo(rollup: LoadedTable, event: LoadedTable): Promise<void> {
    const exactness = readExactness(rollup.metadata.properties)
    const changedDays = await rollups.update(rollup.metadata)
    await events.update(event.metadata)
    // The number for all days never falls: files up to it can't make anything dirty any more.
    events.forget((file) => file.sequenceNumber <= exactness.sequence)
    const dirty = await dirtyDays.update(events.days, exactness)
    await store.catchUp(rollups.days)
    await keepHotDays()
    await observeOutsideCubes(changedDays)
    for (const [day, { cameras: found }] of dirty) {
      for (const id of found ?? []) if (!cameras.cameras.has(id)) cameras.observe(id, day)
    }
    state = stateOf(rollup.metadata, event.metadata, exactness, rollups.days, dirty, config)
  }

  async function keepHotDays(): Promise<void> {
    for (const files of newestDays(rollups.days).slice(0, hotDays)) {
      if (!store.isTooLarge(files.day)) await store.cube(files)
    }
  }

  /** Cameras in files that no cube has read. */
  async function observeOutsideCubes(changedDays: ReadonlySet<number>): Promise<void> {
    for (const day of changedDays) {
      const files = rollups.days.get(day)
      if (files === undefined || store.peek(day) !== null) continue
      const observed = observedCounts.get(files.list)
      // Before the walk came to this day: it will look at these files too.
      if (observed === undefined && !cameras.isComplete) continue
      await observeFiles(files, observed ?? 0)
    }
  }

  /** How many of a day's files were looked through for cameras; goes with the list. */
  const observedCounts = new WeakMap<object, number>()

  /** Gives whether a camera's newest window is in this day and not yet known. */
  async function observeFiles(files: DayFiles, from: number): Promise<boolean> {
    const unseen = filesOf(files).slice(from)
    let isNewest = false
    for (let i = 0; i < unseen.length; i += filesPerRead) {
      const paths = unseen.slice(i, i + filesPerRead).map(({ path }) => path)
      for (const id of await parquetReader.distinct(paths, 'kvfv_id')) {
        const camera = cameras.observe(id, files.day)
        if (camera !== null && camera.day === files.day && camera.last === null) isNewest = true
      }
    }
    observedCounts.set(files.list, files.count)
    return isNewest
  }

  /** Once after the start, newest day first: every camera that has data, with its newest window. */
  async function walkThroughDays(): Promise<void> {
    for (const { day } of newestDays(state.days)) {
      if (stopping.signal.aborted) return
      const files = rollups.days.get(day)
      if (files === undefined || store.peek(day) !== null) continue
      if (await observeFiles(files, 0)) await store.cube(files)
    }
    cameras.isComplete = true
  }

  /** One that is under way may have looked before the commit that the caller means: then another one follows. */
  function refresh(): Promise<void> {
    following ??= (refreshing ?? Promise.resolve())
      .catch(() => {})
      .then(() => {
        following = null
        refreshing = refreshOnce()
        return refreshing
      })
    return following
  }

  async function refreshLoop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await refresh()
      } catch (error) {
        const text = describeError(error)
        if (failure !== text) logger.warn({ error: text }, 'the API could not refresh its averages')
        failure = text
      }
      await pause(config.pollMs, stopping.signal)
    }
  }

  async function walkUntilDone(): Promise<void> {
    while (!cameras.isComplete && !stopping.signal.aborted) {
      try {
        await walkThroughDays()
      } catch (error) {
        logger.warn({ error: describeError(error) }, 'looking through all days failed: again soon')
        await pause(1_000, stopping.signal)
      }
    }
  }

  function partitionOf(camera: string): number {
    return logPartitionOf(utf8.encode(camera), state.logPartitionCount)
  }

  function finalityOf(camera: string): Finality {
    const watermarkUs =
      state.logPartitionCount === 0 ? null : (state.watermarksUs.get(partitionOf(camera)) ?? null)
    return { watermarkUs, sealedUntilUs: state.exactness.sealedUntilUs }
  }

  function isDirty(camera: string, day: number): boolean {
    const dirty = state.dirty.get(day)
    return dirty !== undefined && (dirty.cameras === null || dirty.cameras.has(camera))
  }

  function slices(
    camera: string,
    fromUs: number,
    toUs: number,
  ): CameraSlices | Promise<CameraSlices> {
    const asked = state
    const days = daysBetween(asked.days, fromUs, toUs)
    const answer = (found: readonly CameraDaySlice[]): CameraSlices => ({
      state: asked,
      slices: found,
      finality: finalityOf(camera),
    })
    const present = store.inMemory(camera, days)
    return present === null ? readSlices().then(answer) : answer(slicesOf(present))

    function slicesOf(cubes: readonly DayCube[]): CameraDaySlice[] {
      const found: CameraDaySlice[] = []
      for (const cube of cubes) {
        const cells = cube.cameras.get(camera)
        if (cells === undefined) continue
        found.push({
          day: cube.day,
          cells,
          sources: cube.sources,
          isDirty: isDirty(camera, cube.day),
        })
      }
      return found
    }

    async function readSlices(): Promise<CameraDaySlice[]> {
      const read: CameraDaySlice[] = []
      for (let i = 0; i < days.length; i += daysPerRead) {
        read.push(...slicesOf(await readCubes(days.slice(i, i + daysPerRead))))
      }
      return read
    }

    async function readCubes(wanted: readonly DayFiles[]) {
      try {
        return await store.forCamera(camera, wanted)
      } catch (error) {
        if (!isFileGone(error)) throw error
        // Rewritten and cleaned up since this state was made: the present files hold the same windows.
        await refresh()
        const fresh = wanted.map(({ day }) => state.days.get(day)).filter((f) => f !== undefined)
        return store.forCamera(camera, fresh)
      }
    }
  }

  function stampToRead(camera: string, fromUs: number, toUs: number): string | null {
    const days = daysBetween(state.days, fromUs, toUs)
    if (store.holds(camera, days)) return null
    return days
      .map(
        (files) => `${files.day} ${digestOf(files)}${isDirty(camera, files.day) ? ' dirty' : ''}`,
      )
      .join('\n')
  }

  function windows(
    camera: string,
    boundaries: readonly number[],
    isLong: boolean,
  ): CameraWindows | Promise<CameraWindows> {
    const answer = (from: CameraSlices): CameraWindows => ({
      state: from.state,
      ...aggregateWindows(from.slices, boundaries, isLong, from.finality),
    })
    const found = slices(camera, boundaries[0] as number, boundaries.at(-1) as number)
    return found instanceof Promise ? found.then(answer) : answer(found)
  }

  return {
    store,
    cameras,
    get state() {
      return state
    },
    slices,
    stampToRead,
    windows,
    finalityOf,
    isDirty,
    refresh,
    cacheStats: () => store.stats,
    async hasNoData(camera) {
      if (cameras.cameras.has(camera)) return false
      if (!cameras.isComplete) await walk
      return cameras.isUnknown(camera)
    },
    summary(day, waitMs) {
      const files = state.days.get(day)
      return files === undefined ? Promise.resolve(null) : summaries.get(files, waitMs)
    },
    async start() {
      await refresh()
      loop = refreshLoop()
      walk = walkUntilDone()
    },
    async stop() {
      stopping.abort()
      await Promise.all([loop, walk])
      // A refresh that a request began may still run; its failure was that request's to tell.
      await (following ?? refreshing)?.catch(() => {})
    },
    health(): ServiceHealth {
      const ageMs = refreshedAtMs === null ? null : clock.nowMs() - refreshedAtMs
      const details = {
        refresh_age_ms: ageMs,
        cameras: cameras.cameras.size,
        days: state.days.size,
        dirty_days: state.dirty.size,
        cache_bytes: store.stats.bytes,
      }
      if (ageMs === null) return { ok: false, reason: 'the tables were not read yet', details }
      if (ageMs <= staleMsMax) return { ok: true, details }
      const reason = `the averages are ${Math.round(ageMs / 1_000)} s behind the tables: ${failure ?? 'a refresh takes long'}`
      return { ok: false, reason, details }
    },
  }
}

function emptyState(logPartitionCount: number): ModelState {
  return {
    asOfMs: 0,
    exactness: readExactness({}),
    days: new Map(),
    dirty: new Map(),
    watermarksUs: new Map(),
    logPartitionCount,
    sinks: [],
  }
}

function stateOf(
  rollup: TableMetadata,
  event: TableMetadata,
  exactness: Exactness,
  days: ReadonlyMap<number, DayFiles>,
  dirty: ReadonlyMap<number, DirtyDay>,
  config: Pick<ApiConfig, 'allowedLatenessUs' | 'logPartitionCount'>,
): ModelState {
  const sinks = [sinkState(eventsTable.name, event), sinkState(rollup5mTable.name, rollup)]
  const positions = sinks[1]?.positions as ReadonlyMap<number, LogPosition>
  const watermarksUs = new Map<number, number | null>()
  for (const [logPartition, { eventTimeUsMax }] of positions) {
    const watermarkUs = eventTimeUsMax === null ? null : eventTimeUsMax - config.allowedLatenessUs
    watermarksUs.set(logPartition, watermarkUs)
  }
  return {
    asOfMs: Math.max(rollup.lastUpdatedMs, event.lastUpdatedMs),
    exactness,
    days: new Map(days),
    dirty,
    watermarksUs,
    logPartitionCount: config.logPartitionCount ?? positions.size,
    sinks,
  }
}

function sinkState(table: string, metadata: TableMetadata): SinkState {
  const carrier = lineageOf(metadata).snapshots.find(
    ({ summary }) => summary[summaryOffsetsKey] !== undefined && summary.operation === 'append',
  )
  return {
    table,
    positions: readPositions(metadata.properties),
    lastCommitMs: carrier?.timestampMs ?? null,
    snapshotId: metadata.currentSnapshotId,
  }
}

function newestDays(days: ReadonlyMap<number, DayFiles>): DayFiles[] {
  return [...days.values()].sort((a, b) => b.day - a.day)
}

function daysBetween(
  days: ReadonlyMap<number, DayFiles>,
  fromUs: number,
  toUs: number,
): DayFiles[] {
  const found: DayFiles[] = []
  const last = dayOfUs(toUs - 1)
  for (let day = dayOfUs(fromUs); day <= last; day++) {
    const files = days.get(day)
    if (files !== undefined) found.push(files)
  }
  return found
}

/** The status of a whole day; `null` sealed: not at all. */
export function dayStatus(
  state: ModelState,
  day: number,
): { status: 'open' | 'provisional' | 'exact' | 'revising'; isSealed: boolean } {
  const endUs = startOfDayUs(day) + usPerDay
  const isSealed = state.exactness.sealedUntilUs !== null && endUs <= state.exactness.sealedUntilUs
  if (isSealed) return { status: state.dirty.has(day) ? 'revising' : 'exact', isSealed }
  // An idle partition doesn't hold a day open: the most advanced one counts.
  const watermarkUs = newestWatermarkUs(state)
  const isOpen = watermarkUs === null || endUs > watermarkUs
  return { status: isOpen ? 'open' : 'provisional', isSealed }
}

export function newestWatermarkUs(state: ModelState): number | null {
  let newest: number | null = null
  for (const watermarkUs of state.watermarksUs.values()) {
    if (watermarkUs !== null && (newest === null || watermarkUs > newest)) newest = watermarkUs
  }
  return newest
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}
