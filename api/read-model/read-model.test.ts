import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rollup5mTable, tableProperties } from '../../kernel/tables.ts'
import { dayOfUs, usPerDay, usPerHour } from '../../kernel/time.ts'
import { FakeTables } from '../../testkit/fake-tables.ts'
import { spaceMeanSpeed, timeMeanSpeed } from './aggregate-windows.ts'
import { windowBoundaries } from './local-windows.ts'
import { createReadModel, dayStatus } from './read-model.ts'

const dayUs = Date.UTC(2025, 3, 5) * 1_000
const day = dayOfUs(dayUs)
const at = (minutes: number, days = 0) => dayUs + days * usPerDay + minutes * 60_000_000
const silent = { debug() {}, info() {}, warn() {}, error() {} }

let tables: FakeTables
let model: ReturnType<typeof createReadModel>

function build(cubeCacheBytesMax = 64 * 1024 * 1024) {
  return createReadModel(
    {
      catalog: tables.catalog,
      scanner: tables.scanner,
      parquetReader: tables.reader,
      clock: { nowMs: () => tables.nowMs },
      logger: silent,
    },
    {
      cubeCacheBytesMax,
      allowedLatenessUs: 3 * usPerHour,
      pollMs: 60_000,
      logPartitionCount: null,
    },
  )
}

async function ask(
  camera: string,
  fromUs: number,
  toUs: number,
  interval: '5m' | '1h' | '24h' = '5m',
) {
  const boundaries = windowBoundaries(fromUs, toUs, interval, 'UTC')
  return model.windows(camera, boundaries, interval !== '5m')
}

async function speedsOf(camera: string, fromUs = dayUs, toUs = dayUs + usPerDay) {
  const { windows } = await ask(camera, fromUs, toUs)
  return windows.map((w) => [
    (w.startUs - dayUs) / 60_000_000,
    w.sums.eventCount,
    timeMeanSpeed(w.sums),
    w.status,
  ])
}

beforeEach(() => {
  tables = new FakeTables()
  model = build()
})
afterEach(() => model.stop(0))

describe('the read model', () => {
  it('adds the partial sums of one window, from whatever commit', async () => {
    tables.appendRollup([{ camera: 'A', startUs: at(10), speedsKmh: [50, 60] }])
    tables.appendRollup([
      { camera: 'A', startUs: at(10), speedsKmh: [70] },
      { camera: 'B', startUs: at(10), speedsKmh: [99] },
    ])
    await model.start()
    expect(await speedsOf('A')).toEqual([[10, 3, 60, 'open']])
  })

  it('reads only the new files when a commit appends', async () => {
    tables.appendRollup([{ camera: 'A', startUs: at(10), speedsKmh: [50] }])
    await model.start()
    tables.reads.length = 0
    tables.appendRollup([{ camera: 'A', startUs: at(5), speedsKmh: [30] }])
    await model.refresh()
    expect(await speedsOf('A')).toEqual([
      [5, 1, 30, 'open'],
      [10, 1, 50, 'open'],
    ])
    expect(tables.reads.map(({ paths }) => paths.length)).toEqual([1])
  })

  it('a large commit, or thousands of small files, add up as a small commit does', async () => {
    const rows = (camera: string) =>
      Array.from({ length: 288 }, (_, i) => ({ camera, startUs: at(5 * i), speedsKmh: [50] }))
    tables.appendRollup(rows('A'))
    await model.refresh()
    const bytesBefore = model.store.stats.bytes
    const cameras = Array.from({ length: 20 }, (_, i) => `B${i}`)
    tables.appendRollup([...rows('A'), ...cameras.flatMap(rows)])
    await model.refresh()
    const cubeBytes = model.store.stats.bytes
    expect(cubeBytes).toBeGreaterThan(20 * bytesBefore)
    for (let i = 0; i < 1_100; i++) {
      tables.appendRollup([{ camera: 'A', startUs: at(0), speedsKmh: [50] }])
    }
    await model.refresh()
    expect(model.store.stats.bytes).toBe(cubeBytes)
    const speeds = await speedsOf('A')
    expect(speeds).toHaveLength(288)
    expect(speeds[0]?.slice(1, 3)).toEqual([1_102, 50])
    expect(speeds[287]?.slice(1, 3)).toEqual([2, 50])
    expect(await speedsOf('B19')).toHaveLength(288)
  })

  it('reads a day anew when files of it went', async () => {
    tables.appendRollup([{ camera: 'A', startUs: at(10), speedsKmh: [50, 60, 60] }])
    await model.start()
    tables.replaceRollupDays(
      [day],
      [
        {
          camera: 'A',
          startUs: at(10),
          speedsKmh: [50, 60],
          revision: 1,
          sourceSnapshotId: 812412341234123412n,
        },
      ],
    )
    await model.refresh()
    const { windows } = await ask('A', dayUs, dayUs + usPerDay)
    expect(windows).toMatchObject([
      {
        sums: { eventCount: 2 },
        status: 'exact',
        revision: 1,
        sourceSnapshotId: '812412341234123412',
      },
    ])
  })

  it('reads nothing while nothing changes', async () => {
    tables.appendRollup([{ camera: 'A', startUs: at(10), speedsKmh: [50] }])
    await model.start()
    const reads = tables.reads.length
    await model.refresh()
    await ask('A', dayUs, dayUs + usPerDay)
    expect(tables.reads.length).toBe(reads)
  })

  it('calls a window open until the watermark of its camera’s partition has passed its end', async () => {
    tables.appendRollup([
      { camera: 'A', startUs: at(0), speedsKmh: [50] },
      { camera: 'A', startUs: at(5), speedsKmh: [50] },
    ])
    tables.setPositions([{ nextOffset: 2, eventTimeUsMax: at(5) + 3 * usPerHour }])
    await model.start()
    expect((await speedsOf('A')).map((w) => w[3])).toEqual(['provisional', 'open'])
  })

  it('takes the watermark of the camera’s own partition', async () => {
    const cameras = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H']
    tables.appendRollup(cameras.map((camera) => ({ camera, startUs: at(0), speedsKmh: [50] })))
    tables.setPositions([
      { nextOffset: 2, eventTimeUsMax: at(5) + 3 * usPerHour },
      { nextOffset: 0, eventTimeUsMax: null },
    ])
    await model.start()
    const statuses = await Promise.all(
      cameras.map(async (camera) => (await speedsOf(camera))[0]?.[3]),
    )
    expect(new Set(statuses)).toEqual(new Set(['provisional', 'open']))
  })

  it('calls exact windows revising while newer events of their camera and day wait, and no others', async () => {
    tables.appendEvents(at(10), ['A', 'B'])
    tables.replaceRollupDays(
      [day],
      [
        { camera: 'A', startUs: at(10), speedsKmh: [50], revision: 1 },
        { camera: 'B', startUs: at(10), speedsKmh: [50], revision: 1 },
      ],
      { [tableProperties.sealedUntil]: String(at(0, 1)), [tableProperties.exactSequence]: '1' },
    )
    await model.start()
    expect((await speedsOf('A'))[0]?.[3]).toBe('exact')
    const sequence = tables.appendEvents(at(20), ['A'])
    await model.refresh()
    expect((await speedsOf('A'))[0]?.[3]).toBe('revising')
    expect((await speedsOf('B'))[0]?.[3]).toBe('exact')
    expect(dayStatus(model.state, day)).toEqual({ status: 'revising', isSealed: true })
    tables.replaceRollupDays(
      [day],
      [{ camera: 'A', startUs: at(10), speedsKmh: [50], revision: 2 }],
      {
        [tableProperties.exactSequence]: String(sequence),
      },
    )
    await model.refresh()
    const { windows } = await ask('A', dayUs, dayUs + usPerDay)
    expect(windows).toMatchObject([{ status: 'exact', revision: 2 }])
  })

  it('reads the cameras of a late file once, and of new late files only what is new', async () => {
    tables.replaceRollupDays(
      [day],
      [{ camera: 'A', startUs: at(10), speedsKmh: [50], revision: 1 }],
      {
        [tableProperties.sealedUntil]: String(at(0, 1)),
      },
    )
    await model.start()
    tables.distinctReads.length = 0
    tables.appendEvents(at(20), ['A'])
    await model.refresh()
    tables.appendEvents(at(20), ['B'])
    await model.refresh()
    expect(tables.distinctReads.map((paths) => paths.length)).toEqual([1, 1])
    expect(model.state.dirty.get(day)?.cameras).toEqual(new Set(['A', 'B']))
  })

  it('events of windows that are not sealed yet make nothing dirty', async () => {
    tables.replaceRollupDays(
      [day],
      [{ camera: 'A', startUs: at(10), speedsKmh: [50], revision: 1 }],
      {
        [tableProperties.sealedUntil]: String(at(60)),
      },
    )
    tables.appendEvents(at(60), ['A'])
    await model.start()
    expect(model.state.dirty.size).toBe(0)
  })

  it('an hour is as final as its least final part, and exact only where all of it is sealed', async () => {
    tables.appendRollup([
      { camera: 'A', startUs: at(0), speedsKmh: [50], revision: 1, computedAtUs: 5 },
    ])
    tables.appendRollup([
      { camera: 'A', startUs: at(5), speedsKmh: [70], revision: 3, computedAtUs: 9 },
    ])
    tables.setProperties(rollup5mTable.name, { [tableProperties.sealedUntil]: String(at(10)) })
    tables.setPositions([{ nextOffset: 2, eventTimeUsMax: at(60) + 3 * usPerHour }])
    await model.start()
    expect((await ask('A', dayUs, dayUs + usPerHour, '1h')).windows).toMatchObject([
      { status: 'provisional', revision: 3, computedAtUs: 9, sums: { eventCount: 2 } },
    ])
    tables.setProperties(rollup5mTable.name, { [tableProperties.sealedUntil]: String(at(60)) })
    await model.refresh()
    expect((await ask('A', dayUs, dayUs + usPerHour, '1h')).windows).toMatchObject([
      { status: 'exact' },
    ])
  })

  it('reads a long range of one camera without making cubes of its days', async () => {
    for (let i = 0; i < 40; i++) {
      tables.appendRollup([
        { camera: 'A', startUs: at(10, i), speedsKmh: [50 + i] },
        { camera: 'B', startUs: at(10, i), speedsKmh: [20] },
      ])
    }
    await model.start()
    await model.hasNoData('nobody')
    const bytesBefore = model.store.stats.entries
    tables.reads.length = 0
    const { windows, total } = await ask('A', dayUs, at(0, 40), '24h')
    expect(windows).toHaveLength(40)
    expect(timeMeanSpeed(total)).toBe(69.5)
    expect(tables.reads).toHaveLength(1)
    expect(tables.reads[0]?.camera).toBe('A')
    expect(model.store.stats.entries).toBe(bytesBefore + 38)
    tables.reads.length = 0
    await ask('A', dayUs, at(0, 40), '24h')
    expect(tables.reads).toHaveLength(0)
  })

  it('shares one read among all who ask for the same at once', async () => {
    for (let i = 0; i < 5; i++)
      tables.appendRollup([{ camera: 'A', startUs: at(10, i), speedsKmh: [50] }])
    await model.start()
    await model.hasNoData('nobody')
    tables.reads.length = 0
    await Promise.all(Array.from({ length: 50 }, () => ask('A', dayUs, at(0, 1))))
    expect(tables.reads).toHaveLength(1)
  })

  it('makes the cube of a day once several cameras were asked for', async () => {
    for (let i = 0; i < 5; i++) {
      tables.appendRollup(
        Array.from({ length: 10 }, (_, c) => ({
          camera: `C${c}`,
          startUs: at(10, i),
          speedsKmh: [50],
        })),
      )
    }
    await model.start()
    await model.hasNoData('nobody')
    tables.reads.length = 0
    for (let c = 0; c < 10; c++) await ask(`C${c}`, dayUs, at(0, 1))
    expect(tables.reads.map(({ camera }) => camera)).toEqual(['C0', 'C1', 'C2', null])
  })

  it('keeps within its memory and still answers', async () => {
    await model.stop(0)
    for (let i = 0; i < 30; i++) {
      tables.appendRollup(
        Array.from({ length: 20 }, (_, c) => ({
          camera: `C${c}`,
          startUs: at(10, i),
          speedsKmh: [50],
        })),
      )
    }
    model = build(60_000)
    await model.start()
    for (let i = 0; i < 30; i++) {
      for (let c = 0; c < 20; c++) {
        expect((await ask(`C${c}`, at(0, i), at(0, i + 1))).total.eventCount).toBe(1)
      }
      expect(model.store.stats.bytes).toBeLessThanOrEqual(60_000)
    }
    expect(model.store.stats.evictions).toBeGreaterThan(0)
  })

  it('a day larger than all of its memory is read camera by camera', async () => {
    await model.stop(0)
    tables.appendRollup(
      Array.from({ length: 50 }, (_, c) => ({ camera: `C${c}`, startUs: at(10), speedsKmh: [50] })),
    )
    model = build(8_000)
    await model.start()
    await model.hasNoData('nobody')
    tables.reads.length = 0
    for (let c = 0; c < 6; c++) await ask(`C${c}`, dayUs, at(0, 1))
    expect(tables.reads.map(({ camera }) => camera)).toEqual(['C0', 'C1', 'C2', 'C3', 'C4', 'C5'])
    await model.refresh()
    expect(tables.reads).toHaveLength(6)
  })

  it('knows every camera with data, and its newest window', async () => {
    tables.appendRollup([{ camera: 'old', startUs: at(10), speedsKmh: [40] }])
    for (let i = 1; i < 6; i++)
      tables.appendRollup([{ camera: 'A', startUs: at(10, i), speedsKmh: [50] }])
    await model.start()
    expect(await model.hasNoData('old')).toBe(false)
    expect(await model.hasNoData('nobody')).toBe(true)
    expect(model.cameras.cameras.get('old')?.last).toMatchObject({ startUs: at(10), eventCount: 1 })
    expect(model.cameras.cameras.get('A')?.last).toMatchObject({ startUs: at(10, 5) })
  })

  it('comes to know a camera whose first data is late or of a day that is not in memory', async () => {
    for (let i = 0; i < 6; i++)
      tables.appendRollup([{ camera: 'A', startUs: at(10, i), speedsKmh: [50] }])
    tables.setProperties(rollup5mTable.name, { [tableProperties.sealedUntil]: String(at(0, 1)) })
    await model.start()
    expect(await model.hasNoData('B')).toBe(true)
    tables.appendRollup([{ camera: 'B', startUs: at(10, 1), speedsKmh: [50] }])
    tables.appendEvents(at(10), ['late'])
    await model.refresh()
    expect(await model.hasNoData('B')).toBe(false)
    expect(await model.hasNoData('late')).toBe(false)
  })

  it('keeps the last state where a refresh fails, says so after a while, and recovers', async () => {
    tables.appendRollup([{ camera: 'A', startUs: at(10), speedsKmh: [50] }])
    await model.start()
    tables.readError = new Error('disk on fire')
    tables.appendRollup([{ camera: 'A', startUs: at(10), speedsKmh: [50] }])
    await expect(model.refresh()).rejects.toThrow('disk on fire')
    expect(model.health().ok).toBe(true)
    tables.nowMs += 20_000
    expect(model.health()).toMatchObject({
      ok: false,
      reason: expect.stringContaining('20 s behind'),
    })
    tables.readError = null
    await model.refresh()
    expect(model.health().ok).toBe(true)
    expect(await speedsOf('A')).toEqual([[10, 2, 50, 'open']])
  })

  it('an append during a load is neither lost nor counted twice', async () => {
    for (let i = 0; i < 5; i++)
      tables.appendRollup([{ camera: 'A', startUs: at(10, i), speedsKmh: [50] }])
    await model.start()
    const gate = Promise.withResolvers<void>()
    tables.beforeRead = () => gate.promise
    const early = ask('A', dayUs, at(0, 1))
    tables.appendRollup([{ camera: 'A', startUs: at(10), speedsKmh: [70] }])
    const refreshed = model.refresh()
    await Promise.resolve()
    tables.beforeRead = () => Promise.resolve()
    gate.resolve()
    await Promise.all([early, refreshed])
    expect(await speedsOf('A', dayUs, at(0, 1))).toEqual([[10, 2, 60, 'open']])
  })

  it('space-mean speed leaves standing vehicles out', async () => {
    tables.appendRollup([{ camera: 'A', startUs: at(0), speedsKmh: [0, 60, 30] }])
    tables.appendRollup([{ camera: 'S', startUs: at(0), speedsKmh: [0.5] }])
    await model.start()
    const { total } = await ask('A', dayUs, at(5))
    expect(timeMeanSpeed(total)).toBe(30)
    expect(spaceMeanSpeed(total)).toBe(40)
    expect(spaceMeanSpeed((await ask('S', dayUs, at(5))).total)).toBeNull()
  })
})
