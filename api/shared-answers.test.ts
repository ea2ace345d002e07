import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tableProperties } from '../kernel/tables.ts'
import { dayOfUs, usPer5Minutes, usPerDay, usPerHour } from '../kernel/time.ts'
import { silentLogger } from '../testkit/dashboard-server.ts'
import { FakeTables } from '../testkit/fake-tables.ts'
import { createMemoryAnswerStore } from '../testkit/memory-answer-store.ts'
import type { Range } from './contract/time-parameters.ts'
import { windowBoundaries } from './read-model/local-windows.ts'
import { createReadModel, type ReadModel } from './read-model/read-model.ts'
import { createResponseCache } from './response-cache.ts'
import { answerShared, answerTo } from './routes/speeds.ts'
import { createSharedAnswers, questionToRead, type SharedAnswers } from './shared-answers.ts'

const dayUs = Date.UTC(2025, 3, 3) * 1_000
const ranges: readonly Range[] = [
  ...(['5m', '1h', '24h'] as const).map((interval) => ({
    fromUs: dayUs,
    toUs: dayUs + 2 * usPerDay,
    interval,
    zone: 'UTC',
  })),
  // The seal may pass this day by a run for the next one, which leaves its files as they are.
  { fromUs: dayUs, toUs: dayUs + usPerDay, interval: '1h', zone: 'UTC' },
]
/** Nothing but the two newest days is in memory: these push the asked ones out of there. */
const laterDays = [8, 9].map((days) => dayUs + days * usPerDay)

function startWorld() {
  const tables = new FakeTables()
  tables.nowMs = dayUs / 1_000
  const appendLater = () =>
    tables.appendRollup(laterDays.map((startUs) => ({ camera: 'A', startUs, speedsKmh: [1] })))
  const createModel = () =>
    createReadModel(
      {
        catalog: tables.catalog,
        scanner: tables.scanner,
        parquetReader: tables.reader,
        clock: { nowMs: () => tables.nowMs },
        logger: silentLogger,
      },
      // Room for a camera's day or two: what was read is soon forgotten.
      { cubeCacheBytesMax: 1, allowedLatenessUs: 3 * usPerHour, pollMs: 100, logPartitionCount: 1 },
    )
  return { tables, appendLater, createModel }
}

async function started(shared: ReturnType<typeof createMemoryAnswerStore>, version = '1') {
  const store = shared.connect()
  await store.start()
  return createSharedAnswers(store, version)
}

async function ask(model: ReadModel, shared: SharedAnswers, range: Range, id = 'A') {
  const boundaries = windowBoundaries(range.fromUs, range.toUs, range.interval, range.zone)
  const question = questionToRead(model, id, range, boundaries)
  if (question === null) throw new Error('all of it is in memory')
  const { answer } = await answerShared(model, shared, createResponseCache(0), question)
  return answer
}

async function fresh(model: ReadModel, range: Range, id = 'A') {
  const boundaries = windowBoundaries(range.fromUs, range.toUs, range.interval, range.zone)
  const from = await model.slices(id, range.fromUs, boundaries.at(-1) as number)
  return answerTo(createResponseCache(0), id, range, boundaries, from)
}

const textOf = (answer: { beforeAsOf: string; afterAsOf: Buffer }): string =>
  answer.beforeAsOf + answer.afterAsOf.toString()

const window = fc.integer({ min: 0, max: 575 })
const change = fc.oneof(
  fc.record({ kind: fc.constant('append' as const), window }),
  fc.record({ kind: fc.constant('late' as const), window }),
  fc.record({ kind: fc.constant('watermark' as const), window }),
  fc.record({
    kind: fc.constant('exact' as const),
    window,
    revision: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({ kind: fc.constant('lag' as const) }),
)

describe('answers that processes share', () => {
  it('never give another text than the process would make itself, whatever is committed and whoever lags', async () => {
    let hits = 0
    const property = fc.asyncProperty(fc.array(change, { maxLength: 10 }), async (changes) => {
      const { tables, appendLater, createModel } = startWorld()
      appendLater()
      tables.appendRollup([{ camera: 'A', startUs: dayUs, speedsKmh: [50] }])
      const store = createMemoryAnswerStore()
      const quick = { model: createModel(), shared: await started(store) }
      const slow = { model: createModel(), shared: await started(store) }
      await slow.model.refresh()
      for (const each of changes) {
        tables.nowMs += 1_000
        // The slow one looks only now and then: it answers from older snapshots all the while.
        if (each.kind === 'lag') await slow.model.refresh()
        else commit(tables, each)
        await quick.model.refresh()
        for (const { model, shared } of [quick, slow, quick]) {
          for (const range of ranges) {
            const asked = model.state
            let [answer, own] = [await ask(model, shared, range), await fresh(model, range)]
            // Files of its old snapshot were gone, and it looked anew meanwhile: the two are of different states.
            if (model.state !== asked) {
              answer = await ask(model, shared, range)
              own = await fresh(model, range)
            }
            expect(textOf(answer)).toBe(textOf(own))
            expect(answer.etag).toBe(own.etag)
          }
        }
      }
      hits += quick.shared.stats.hits
    })
    await fc.assert(property, { numRuns: 60 })
    expect(hits).toBeGreaterThan(0)
  })

  it('cost another process no read of files', async () => {
    const { tables, appendLater, createModel } = startWorld()
    appendLater()
    tables.appendRollup([{ camera: 'A', startUs: dayUs, speedsKmh: [50] }])
    const store = createMemoryAnswerStore()
    const [first, second] = [createModel(), createModel()]
    await Promise.all([first.refresh(), second.refresh()])
    const [range] = ranges as [Range]
    const made = await ask(first, await started(store), range)
    const readsBefore = tables.reads.length
    const found = await ask(second, await started(store), range)
    expect(textOf(found)).toBe(textOf(made))
    expect(tables.reads.length).toBe(readsBefore)
  })

  it('are made anew by another version of the program, and where the stored bytes are not what was stored', async () => {
    const { tables, appendLater, createModel } = startWorld()
    appendLater()
    tables.appendRollup([{ camera: 'A', startUs: dayUs, speedsKmh: [50] }])
    const store = createMemoryAnswerStore()
    const model = createModel()
    await model.refresh()
    const [range] = ranges as [Range]
    const shared = await started(store)
    const made = await ask(model, shared, range)
    await ask(model, await started(store, '2'), range)
    expect(store.values.size).toBe(2)
    for (const spoil of [
      (bytes: Uint8Array) => bytes.slice(0, -1),
      (bytes: Uint8Array) => bytes.fill(0x30, -20, -10),
      () => new Uint8Array(),
      () => Buffer.from('{}\n'),
      () => Buffer.from('no head'),
    ]) {
      for (const [key, bytes] of store.values) store.values.set(key, spoil(bytes.slice()))
      expect(textOf(await ask(model, shared, range))).toBe(textOf(made))
    }
    expect(shared.stats.hits).toBe(0)
  })

  it('are not asked for where all is in memory', async () => {
    const { tables, appendLater, createModel } = startWorld()
    appendLater()
    const model = createReadModelWithRoom(tables)
    await model.refresh()
    const [range] = ranges as [Range]
    const recent = { ...range, fromUs: laterDays[0] as number, toUs: (laterDays[1] as number) + 1 }
    const boundaries = windowBoundaries(recent.fromUs, recent.toUs, '5m', 'UTC')
    expect(questionToRead(model, 'A', recent, boundaries)).toBeNull()
    expect(questionToRead(createModel(), 'A', recent, boundaries)).toBeNull()
  })
})

function createReadModelWithRoom(tables: FakeTables): ReadModel {
  return createReadModel(
    {
      catalog: tables.catalog,
      scanner: tables.scanner,
      parquetReader: tables.reader,
      clock: { nowMs: () => tables.nowMs },
      logger: silentLogger,
    },
    { cubeCacheBytesMax: 1e7, allowedLatenessUs: 3 * usPerHour, pollMs: 100, logPartitionCount: 1 },
  )
}

function commit(
  tables: FakeTables,
  change: { kind: string; window?: number; revision?: number },
): void {
  const startUs = dayUs + (change.window ?? 0) * usPer5Minutes
  if (change.kind === 'append') {
    tables.appendRollup([{ camera: 'A', startUs, speedsKmh: [50] }])
  } else if (change.kind === 'late') {
    tables.appendEvents(startUs, ['A'])
  } else if (change.kind === 'watermark') {
    tables.setPositions([{ nextOffset: 1, eventTimeUsMax: startUs + 3 * usPerHour }])
  } else {
    const row = { camera: 'A', startUs, speedsKmh: [60], revision: change.revision as number }
    tables.replaceRollupDays([dayOfUs(startUs)], [row], {
      [tableProperties.sealedUntil]: String(startUs + usPer5Minutes),
    })
  }
}
