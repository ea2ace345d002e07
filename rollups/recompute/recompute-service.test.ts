import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PotokError } from '../../kernel/errors.ts'
import type { RecomputeRequest, RecomputeRun } from '../../kernel/recompute.ts'
import { startOfDayUs, usPerDay, usPerHour } from '../../kernel/time.ts'
import { createExactWorld, type ExactWorld } from '../../testkit/exact-world.ts'
import {
  createRecomputeService,
  type RecomputeService,
  type RecomputeServiceConfig,
} from './recompute-service.ts'

const day = 20_183
const dayStartUs = startOfDayUs(day)
const all: RecomputeRequest = {
  fromDay: null,
  toDay: null,
  cameras: null,
  force: false,
  trigger: 'http',
}

let world: ExactWorld
let service: RecomputeService
let due: (() => void) | null
let scheduled: string[]

function create(config: Partial<RecomputeServiceConfig> = {}): RecomputeService {
  return createRecomputeService(
    {
      ...world.ports,
      sleep: async (ms, signal) => {
        await setTimeout(ms, undefined, { signal }).catch(() => {
          throw new PotokError('ShuttingDown', 'stopped')
        })
      },
      schedule: {
        at(cron, timeZone, onDue) {
          scheduled.push(`${cron} ${timeZone}`)
          due = onDue
          return { stop: () => (due = null) }
        },
      },
    },
    { ...world.config, schedule: '17 * * * *', timeZone: 'UTC', ...config },
  )
}

beforeEach(async () => {
  scheduled = []
  due = null
  world = await createExactWorld({ nowUs: dayStartUs + usPerDay + 4 * usPerHour })
  world.log([
    {
      eventId: '00000000-0000-4000-8000-000000000001',
      kvfvId: 'A',
      eventTimeUs: dayStartUs + usPerHour,
      speedMilli: 60_000,
      receivedAtUs: dayStartUs + usPerHour,
      logEpoch: 0,
      logPartition: 0,
      logOffset: 0,
    },
  ])
  await world.write()
  await world.stream()
  service = create()
})
afterEach(async () => {
  await service.stop(1_000)
  await world.close()
})

async function ended(runId: string): Promise<RecomputeRun> {
  for (;;) {
    const run = service.get(runId)
    if (run !== null && run.finishedAtMs !== null) return run
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('the exact job', () => {
  it('queues requests, runs them one at a time and remembers them, newest first', async () => {
    const first = service.request(all)
    const second = service.request({ ...all, force: true })
    expect([first.status, second.status]).toEqual(['queued', 'queued'])
    expect(await ended(first.runId)).toMatchObject({
      status: 'done',
      daysDone: 1,
      days: [{ day, cameras: null }],
      rowsWritten: 3,
      sealedUntilUs: dayStartUs + usPerDay,
    })
    expect(service.get(second.runId)?.status).not.toBe('done')
    expect((await ended(second.runId)).status).toBe('done')
    expect(service.list().map(({ runId }) => runId)).toEqual([second.runId, first.runId])
    expect(service.get('unknown')).toBeNull()
  })

  it('takes a request that is still waiting for the same one', async () => {
    const running = service.request(all)
    const waiting = service.request({ ...all, cameras: ['B', 'A'] })
    const again = service.request({ ...all, cameras: ['A', 'B'], trigger: 'cli' })
    expect(again.runId).toBe(waiting.runId)
    expect(waiting.runId).not.toBe(running.runId)
    await ended(waiting.runId)
  })

  it('refuses what makes no sense, and more than its queue holds', async () => {
    expect(() => service.request({ ...all, fromDay: 5, toDay: 5 })).toThrow(PotokError)
    expect(() => service.request({ ...all, cameras: [] })).toThrow('leave it out')
    const small = create({ queuedMax: 2 })
    small.request({ ...all, fromDay: 1 })
    small.request({ ...all, fromDay: 2 })
    expect(() => small.request({ ...all, fromDay: 3 })).toThrow('2 recompute requests')
  })

  it('tells why a run failed, and goes on with the next', async () => {
    const { beforeLoad } = world.catalog
    world.catalog.beforeLoad = async () => {
      throw new PotokError('Unavailable', 'the catalog is away')
    }
    const failed = await ended(service.request(all).runId)
    expect(failed).toMatchObject({ status: 'failed', message: 'the catalog is away' })
    expect(service.health().details).toMatchObject({ lastFailure: 'the catalog is away' })
    world.catalog.beforeLoad = beforeLoad
    expect((await ended(service.request(all).runId)).status).toBe('done')
    expect(service.health()).toMatchObject({ ok: true, details: { queued: 0, running: null } })
  })

  it('plans without doing', async () => {
    expect(await service.plan(all)).toMatchObject({
      status: 'queued',
      days: [{ day, cameras: null }],
      cameraDays: 1,
      eventsRead: 1,
      sealedUntilUs: dayStartUs + usPerDay,
    })
    expect(await world.exactness()).toMatchObject({ sealedUntilUs: null })
    await ended(service.request(all).runId)
    expect(await service.plan(all)).toMatchObject({ status: 'nothing_to_do', days: [] })
  })

  it('runs by schedule what is due and dirty, and nothing before its time', async () => {
    await service.start()
    expect(scheduled).toEqual(['17 * * * * UTC'])
    expect(service.list()).toEqual([])
    due?.()
    const [run] = service.list()
    expect(await ended(run?.runId ?? '')).toMatchObject({
      status: 'done',
      request: { trigger: 'schedule', force: false, cameras: null },
    })
  })

  it('keeps no schedule where it is off', async () => {
    const quiet = create({ schedule: 'off' })
    await quiet.start()
    expect(scheduled).toEqual([])
  })

  it('stops in the middle of a run: nothing half done, nothing new', async () => {
    const run = service.request(all)
    const waiting = service.request({ ...all, force: true })
    await new Promise((resolve) => setImmediate(resolve))
    await service.stop(5_000)
    expect(service.get(run.runId)?.finishedAtMs).not.toBeNull()
    expect(service.get(waiting.runId)).toMatchObject({ status: 'failed' })
    expect(() => service.request(all)).toThrow('stopping')
  })
})
