import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RecomputeRequest } from '../../kernel/recompute.ts'
import { rollup1dTable, rollup1hTable, rollup5mTable } from '../../kernel/tables.ts'
import { startOfDayUs, usPerDay, usPerHour, usPerMinute } from '../../kernel/time.ts'
import { createExactWorld, type ExactWorld } from '../../testkit/exact-world.ts'
import type { NaiveEvent } from '../../testkit/naive-rollups.ts'
import { type RunOutcome, runRecompute } from './run-recompute.ts'

const day = 20_183
const dayStartUs = startOfDayUs(day)
const tables = [rollup5mTable, rollup1hTable, rollup1dTable]

let world: ExactWorld
let named = 0
beforeEach(async () => {
  named = 0
  world = await createExactWorld({ nowUs: dayStartUs + usPerDay + 4 * usPerHour })
})
afterEach(async () => {
  await world.close()
})

function event(kvfvId: string, minute: number, speedMilli = 60_000, dayNumber = day): NaiveEvent {
  const eventTimeUs = startOfDayUs(dayNumber) + minute * usPerMinute
  return {
    eventId: `00000000-0000-4000-8000-${String(named++).padStart(12, '0')}`,
    kvfvId,
    eventTimeUs,
    speedMilli,
    receivedAtUs: eventTimeUs + 1_000_000,
    logEpoch: 0,
    logPartition: 0,
    logOffset: 0,
  }
}

function run(
  request: Partial<RecomputeRequest> = {},
  signal = new AbortController().signal,
): Promise<RunOutcome> {
  return runRecompute(world.ports, world.config, {
    runId: world.ports.ids.uuid(),
    request: {
      fromDay: null,
      toDay: null,
      cameras: null,
      force: false,
      trigger: 'cli',
      ...request,
    },
    requestedAtMs: world.clock.nowMs(),
    startedAtMs: world.clock.nowMs(),
    signal,
    onProgress: () => {},
  })
}

async function arrive(events: readonly NaiveEvent[]): Promise<void> {
  world.log(events)
  await world.write()
  await world.stream()
}

async function expectAllExact(): Promise<void> {
  for (const table of tables) {
    const rows = await world.rows(table)
    expect(rows.every((row) => row.isExact)).toBe(true)
    expect(rows.map(({ revision: _r, sourceSnapshotId: _s, isExact: _e, ...row }) => row)).toEqual(
      world.truth(table),
    )
  }
}

async function revisions(): Promise<Record<string, number | null>> {
  const rows = await world.rows(rollup1dTable)
  return Object.fromEntries(
    rows.map((row) => [`${row.kvfvId}@${row.windowStartUs / usPerDay - day}`, row.revision]),
  )
}

async function expireAllButCurrent(): Promise<void> {
  const identifier = { namespace: ['traffic'], name: 'events' }
  const { metadata } = await world.catalog.loadTable(identifier)
  const gone = metadata.snapshots
    .map(({ snapshotId }) => snapshotId)
    .filter((id) => id !== metadata.currentSnapshotId)
  await world.catalog.commit([
    {
      identifier,
      requirements: [],
      updates: [{ action: 'remove-snapshots', snapshotIds: gone }],
    },
  ])
}

describe('an exact run', () => {
  it('goes from provisional to exact, to late data of one camera, to revision 2, to nothing to do', async () => {
    const first = event('A', 10)
    await arrive([first, event('B', 11), event('A', 700, 90_000)])
    await arrive([{ ...first, receivedAtUs: first.receivedAtUs + 1 }, event('C', 1_439)])
    expect((await world.rows(rollup5mTable)).map((row) => row.isExact)).not.toContain(true)

    expect(await run()).toMatchObject({ status: 'done', daysDone: 1, cameraDays: 3, eventsRead: 5 })
    await expectAllExact()
    expect(await revisions()).toEqual({ 'A@0': 1, 'B@0': 1, 'C@0': 1 })
    expect(await world.exactness()).toMatchObject({ sealedUntilUs: dayStartUs + usPerDay })

    world.clock.now += usPerMinute
    const late = event('B', 300, 30_000)
    await arrive([late, { ...late }])
    expect(await run()).toMatchObject({ status: 'done', cameraDays: 1, eventsRead: 3 })
    await expectAllExact()
    expect(await revisions()).toEqual({ 'A@0': 1, 'B@0': 2, 'C@0': 1 })
    expect(await world.ledger()).toEqual([
      { reason: 'due', days: [{ day: '2025-04-05', cameras: null }], trigger: 'cli' },
      { reason: 'dirty', days: [{ day: '2025-04-05', cameras: ['B'] }], trigger: 'cli' },
    ])

    const third = await run()
    expect(third.status).toBe('nothing_to_do')
    expect(third.message).toContain('nothing new has arrived')
    expect(await world.ledger()).toHaveLength(2)
  })

  it('says so where there is no data, or none old enough', async () => {
    expect(await run()).toMatchObject({
      status: 'nothing_to_do',
      message: 'events holds no detections yet',
    })
    await arrive([event('A', 60, 60_000, day + 1)])
    const outcome = await run()
    expect(outcome.status).toBe('nothing_to_do')
    expect(outcome.message).toContain('provisional')
  })

  it('names the snapshot of events that its rows come from', async () => {
    await arrive([event('A', 10)])
    await run()
    const events = await world.catalog.loadTable({ namespace: ['traffic'], name: 'events' })
    const [row] = await world.rows(rollup5mTable)
    expect(row?.sourceSnapshotId).toBe(events.metadata.currentSnapshotId)
  })

  it('keeps open windows of a day that is sealed in part, and exact ones when it goes on', async () => {
    world.clock.now = dayStartUs + 2 * usPerHour + 3 * usPerMinute
    await arrive([event('A', 10), event('A', 119), event('A', 121), event('B', 30)])
    const today = { fromDay: day, toDay: day + 1 }
    expect(await run(today)).toMatchObject({ status: 'done' })
    const sealedUntilUs = dayStartUs + 2 * usPerHour
    expect(await world.exactness()).toMatchObject({ sealedUntilUs })
    const exactBefore = (await world.rows(rollup5mTable)).map((row) => [
      row.kvfvId,
      row.windowStartUs < sealedUntilUs,
      row.isExact,
      row.revision,
    ])
    expect(exactBefore).toEqual([
      ['A', true, true, 1],
      ['A', true, true, 1],
      ['A', false, false, null],
      ['B', true, true, 1],
    ])
    expect(await world.rows(rollup1hTable)).toHaveLength(3)
    expect(await world.rows(rollup1dTable)).toHaveLength(0)

    // New data of open windows makes nothing dirty; late data of sealed ones makes its camera dirty.
    await arrive([event('A', 140)])
    expect(await run()).toMatchObject({ status: 'nothing_to_do' })
    await arrive([event('B', 31), event('A', 150)])
    expect(await run()).toMatchObject({ status: 'done', cameraDays: 1 })

    world.clock.now = dayStartUs + usPerDay + 4 * usPerHour
    await run()
    await expectAllExact()
    expect(await revisions()).toEqual({ 'A@0': 1, 'B@0': 2 })
  })

  it('does old days first and bounds what goes into one commit', async () => {
    await arrive([0, 1, 2, 3, 4].map((d) => event('A', 10, 60_000, day - d)))
    let commits = 0
    world.catalog.beforeCommit = async () => {
      commits++
      return 'ok'
    }
    const config = { ...world.config, daysPerCommitMax: 2 }
    const seals: (number | null)[] = []
    const outcome = await runRecompute(world.ports, config, {
      runId: 'r',
      request: { fromDay: null, toDay: null, cameras: null, force: false, trigger: 'http' },
      requestedAtMs: 0,
      startedAtMs: 0,
      signal: new AbortController().signal,
      onProgress: ({ sealedUntilUs }) => {
        if (seals.at(-1) !== sealedUntilUs) seals.push(sealedUntilUs)
      },
    })
    expect(outcome).toMatchObject({ status: 'done', daysDone: 5 })
    expect(commits).toBe(3)
    expect(seals.map((us) => us && us / usPerDay - day)).toEqual([null, -2, 0, 1])
    await expectAllExact()
  })
})

describe('a run limited to cameras', () => {
  it('leaves other dirty cameras dirty', async () => {
    await arrive([event('A', 10), event('B', 10)])
    await run()
    await arrive([event('A', 20), event('B', 20)])
    expect(await run({ cameras: ['A'] })).toMatchObject({ status: 'done', cameraDays: 1 })
    expect(await revisions()).toEqual({ 'A@0': 2, 'B@0': 1 })
    await run()
    await expectAllExact()
    expect((await revisions())['B@0']).toBe(2)
  })

  it('has nothing to do a second time where it did all that was dirty', async () => {
    await arrive([event('A', 10), event('B', 10)])
    await run()
    await arrive([event('A', 20)])
    await run({ cameras: ['A', 'none'] })
    expect(await run()).toMatchObject({ status: 'nothing_to_do' })
    await expectAllExact()
    expect(await revisions()).toEqual({ 'A@0': 2, 'B@0': 1 })
  })

  it('seals nothing', async () => {
    await arrive([event('A', 10)])
    const outcome = await run({ cameras: ['A'] })
    expect(outcome.status).toBe('nothing_to_do')
    expect(outcome.message).toContain('nothing is sealed yet')
  })
})

describe('force', () => {
  it('recomputes clean days of its range once, with one revision more', async () => {
    await arrive([event('A', 10), event('A', 10, 60_000, day - 1), event('B', 10)])
    await run()
    expect(await run({ force: true, fromDay: day, toDay: day + 1 })).toMatchObject({
      status: 'done',
      daysDone: 1,
    })
    expect(await revisions()).toEqual({ 'A@-1': 1, 'A@0': 2, 'B@0': 2 })
    await run({ force: true, cameras: ['B'] })
    expect(await revisions()).toEqual({ 'A@-1': 1, 'A@0': 2, 'B@0': 3 })
    await expectAllExact()
  })
})

describe('removed events', () => {
  it('make all of their day dirty, and vanish from all three tables', async () => {
    await arrive([event('A', 10), event('B', 10), event('C', 10, 60_000, day - 1)])
    await run()
    await world.removeEvents((e) => e.kvfvId === 'B')
    expect(await run()).toMatchObject({ status: 'done' })
    await expectAllExact()
    expect(await run()).toMatchObject({ status: 'nothing_to_do' })
  })
})

describe('history of events that was expired', () => {
  it('makes no clean day dirty, as long as its rows count up', async () => {
    await arrive([event('A', 10), event('B', 10)])
    await run()
    await arrive([event('A', 10, 60_000, day + 1)])
    await expireAllButCurrent()
    expect(await run()).toMatchObject({ status: 'nothing_to_do' })
    await arrive([event('A', 12, 60_000, day + 1)])
    expect(await run()).toMatchObject({ status: 'nothing_to_do' })
    expect(await revisions()).toEqual({ 'A@0': 1, 'B@0': 1 })
  })

  it('does not hide rows that were removed in it', async () => {
    await arrive([event('A', 10), event('B', 10)])
    await run()
    await world.removeEvents((e) => e.kvfvId === 'A')
    await expireAllButCurrent()
    expect(await run()).toMatchObject({ status: 'done' })
    await expectAllExact()
  })
})

describe('beside a running stream', () => {
  it('waits for the writer and says whom it waited for in vain', async () => {
    world.log([event('A', 10)])
    await expect(run()).rejects.toMatchObject({
      kind: 'Timeout',
      message: expect.stringContaining('the writer (events) is at offset 0 of 1') as string,
    })
    await world.write()
    await expect(run()).rejects.toMatchObject({ kind: 'Timeout' })
    await world.stream()
    expect(await run()).toMatchObject({ status: 'done' })
  })

  it('drops provisional rows of windows that it seals, also those that come between plan and commit', async () => {
    await arrive([event('A', 10), event('B', 10)])
    let rounds = 0
    world.catalog.beforeCommit = async (commits) => {
      // The run's first attempts each meet a commit of the stream that was faster.
      if (commits.length > 1 && rounds < 3) {
        rounds++
        world.log([
          event('A', 20 + rounds),
          event('new', 30, 60_000, day - 1),
          event('A', 5, 60_000, day + 1),
        ])
        await world.stream()
      }
      return 'ok'
    }
    expect(await run()).toMatchObject({ status: 'done' })
    expect(rounds).toBe(3)
    const sealed = (await world.rows(rollup5mTable)).filter(
      (row) => row.windowStartUs < dayStartUs + usPerDay,
    )
    expect(sealed.map((row) => [row.kvfvId, row.isExact, row.eventCount])).toEqual([
      ['A', true, 1],
      ['B', true, 1],
    ])
    const open = (await world.rows(rollup5mTable)).filter((row) => !row.isExact)
    expect(open.map((row) => row.eventCount)).toEqual([1, 1, 1])

    // What came meanwhile is dirty as soon as events has it, and nothing of it is lost.
    await world.write()
    expect(await run()).toMatchObject({ status: 'done', cameraDays: 2 })
    world.clock.now += usPerDay
    await run()
    await expectAllExact()
  })

  it('does not commit twice where the answer was lost, and deletes nothing that is live', async () => {
    await arrive([event('A', 10)])
    let faults = 0
    world.catalog.beforeCommit = async (commits) =>
      commits.length > 1 && faults++ === 0 ? 'answer-lost' : 'ok'
    expect(await run()).toMatchObject({ status: 'done' })
    expect(await world.ledger()).toHaveLength(1)
    const live = await world.liveFiles('rollup_5m')
    expect(world.deletedFiles().filter((file) => live.includes(file))).toEqual([])
    await expectAllExact()
  })

  it('believes the lineage, not a refusal that a proxy made of a success', async () => {
    await arrive([event('A', 10)])
    let faults = 0
    world.catalog.beforeCommit = async (commits) =>
      commits.length > 1 && faults++ === 0 ? 'refused-though-done' : 'ok'
    expect(await run()).toMatchObject({ status: 'done' })
    expect(await world.ledger()).toHaveLength(1)
    expect(world.deletedFiles()).toEqual([])
    await expectAllExact()
  })

  it('is in once where the commit arrives late', async () => {
    await arrive([event('A', 10)])
    let faults = 0
    world.catalog.beforeCommit = async (commits) => {
      if (commits.length === 1) return 'ok'
      faults++
      if (faults === 1) return 'delayed'
      if (faults === 2) await world.catalog.deliver()
      return 'ok'
    }
    expect(await run()).toMatchObject({ status: 'done' })
    expect(await world.ledger()).toHaveLength(1)
    await expectAllExact()
  })

  it('plans anew where another exact run was faster', async () => {
    await arrive([event('A', 10), event('B', 10)])
    await run()
    await arrive([event('A', 20)])
    let isFirst = true
    world.catalog.beforeCommit = async (commits) => {
      if (commits.length > 1 && isFirst) {
        isFirst = false
        await arrive([event('A', 30)])
        await run()
      }
      return 'ok'
    }
    expect(await run()).toMatchObject({ status: 'nothing_to_do' })
    await expectAllExact()
    expect(await revisions()).toEqual({ 'A@0': 2, 'B@0': 1 })
  })
})
