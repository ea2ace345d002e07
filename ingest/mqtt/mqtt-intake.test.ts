import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { PotokError } from '../../kernel/errors.ts'
import type { Message, MessageSource, TakeMessage } from '../../kernel/message-source.ts'
import { createPlatePolicy } from '../../kernel/plate-policy.ts'
import type { Logger } from '../../kernel/ports.ts'
import { createStubEventLog, rejectedOf, valueText } from '../../testkit/stub-event-log.ts'
import { createIntake, type IntakeMeasurement, type IntakeOptions } from '../gateway/intake.ts'
import { createMapping } from '../gateway/mapping.ts'
import { createMqttIntake } from './mqtt-intake.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const good =
  '{"kvfv_id":"KV1","timestamp":"2025-04-05T10:15:30Z","vehicle_speed":85.2,"plate_number":"А123БВ68"}'
const nameless = '{"timestamp":"2025-04-05T10:15:30Z","vehicle_speed":85.2}'
const never = new AbortController().signal

/** A source without a broker: the test hands messages over itself. */
function createHandedSource(): MessageSource & { take: TakeMessage } {
  const source: MessageSource & { take: TakeMessage } = {
    take: () => Promise.reject(new Error('not opened')),
    async open(take) {
      source.take = take
    },
    close: async () => undefined,
    health: () => ({ ok: true, details: { connected: 1 } }),
  }
  return source
}

async function setUp(options: Partial<IntakeOptions> = {}) {
  const log = createStubEventLog()
  const measured: IntakeMeasurement[] = []
  const clock = { nowMs: () => Date.UTC(2025, 3, 5, 10, 20) }
  const intake = createIntake({
    log,
    clock,
    logger: silent,
    onMetrics: (measurement) => measured.push(measurement),
    ...options,
  })
  const source = createHandedSource()
  const pauses: number[] = []
  let pause: (ms: number) => void = () => undefined
  const service = createMqttIntake({
    source,
    intake,
    clock,
    logger: silent,
    async sleep(ms, signal) {
      pauses.push(ms)
      pause(ms)
      await new Promise((resolve) => setImmediate(resolve))
      signal.throwIfAborted()
    },
  })
  await service.start()
  return {
    log,
    measured,
    service,
    intake,
    pauses,
    onPause: (act: (ms: number) => void) => {
      pause = act
    },
    send: (topic: string, payload: string | Uint8Array, more: Partial<Message> = {}) =>
      source.take({ topic, payload: Buffer.from(payload), contentType: null, ...more }, never),
    take: (message: Message, signal: AbortSignal) => source.take(message, signal),
  }
}

const valuesOf = (log: ReturnType<typeof createStubEventLog>) =>
  log.appends.flat().map((record) => valueText(record))

describe('a message', () => {
  it('is taken as one event, an array, lines, or any of them as gzip', async () => {
    const { send, log } = await setUp()
    for (const payload of [good, `[${good},${good}]`, `${good}\n${good}\n`]) {
      await send('kvfv/KV1/events', payload)
      await send('kvfv/KV1/events', gzipSync(payload))
    }
    expect(log.appends.map((records) => records.length)).toEqual([1, 1, 2, 2, 2, 2])
    expect(new Set(valuesOf(log))).toEqual(new Set([good]))
  })

  it('is taken only when the log has it', async () => {
    const { send, log } = await setUp()
    let confirm: () => void = () => undefined
    log.behave(
      () =>
        new Promise((resolve) => {
          confirm = resolve
        }),
    )
    let isTaken = false
    const taken = send('kvfv/KV1/events', good).then(() => (isTaken = true))
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isTaken).toBe(false)
    confirm()
    await taken
  })

  it('waits with growing pauses while the log takes nothing, and health says so', async () => {
    const { send, log, pauses, onPause, service } = await setUp()
    log.behave(() => Promise.reject(new PotokError('Unavailable', 'no leader')))
    const reasons: (string | undefined)[] = []
    onPause(() => {
      reasons.push(service.health().reason)
      if (pauses.length === 8) log.behave(null)
    })
    await send('kvfv/KV1/events', good)
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    expect(reasons[0]).toMatch(/unacknowledged.*no leader/)
    expect(log.appends).toHaveLength(1)
    expect(service.health()).toMatchObject({ ok: true, details: { taken: 1, retries: 8 } })
  })

  it('is not taken once its connection is gone, or potok stops', async () => {
    const { take, log, onPause, intake, send } = await setUp()
    log.behave(() => Promise.reject(new PotokError('Overloaded', 'full')))
    const abort = new AbortController()
    onPause(() => abort.abort())
    const message = { topic: 'kvfv/KV1/events', payload: Buffer.from(good), contentType: null }
    await expect(take(message, abort.signal)).rejects.toThrow(/abort/)
    await intake.close()
    await expect(send('kvfv/KV1/events', good)).rejects.toMatchObject({ kind: 'ShuttingDown' })
    await expect(send('kvfv/KV1/events', 'garbage')).rejects.toMatchObject({ kind: 'ShuttingDown' })
    expect(log.appends).toHaveLength(0)
    expect(intake.budget.usedBytes).toBe(0)
  })

  it('holds no bytes of the budget when it is done with', async () => {
    const { send, intake } = await setUp()
    await send('kvfv/KV1/events', good)
    await send('kvfv/KV1/events', gzipSync(good))
    await send('kvfv/KV1/events', 'garbage')
    await send('kvfv/KV1/events', gzipSync(good).subarray(0, 20))
    expect(intake.budget.usedBytes).toBe(0)
  })

  it('that is empty is nothing', async () => {
    const { send, log } = await setUp()
    await send('kvfv/KV1/events', '')
    expect(log.appends).toHaveLength(0)
  })
})

describe('the camera of the topic', () => {
  it('is that of events that name none', async () => {
    const { send, log } = await setUp()
    await send('kvfv/К "1"/events', nameless)
    await send(
      'kvfv/KV2/events',
      '{ "kvfv_id": null, "vehicle_speed":1,"timestamp":"2025-04-05T10:15:30Z"}',
    )
    expect(log.appends.flat().map(({ kind }) => kind)).toEqual([0, 0])
    const ids = valuesOf(log).map((text) => (JSON.parse(text) as { kvfv_id: string }).kvfv_id)
    expect(ids).toEqual(['К "1"', 'KV2'])
  })

  it('is that of a mapped event that names none', async () => {
    const { send, log } = await setUp({
      mapping: createMapping({ fields: { kvfv_id: 'cam', timestamp: 'ts', vehicle_speed: 'v' } }),
    })
    await send('kvfv/KV9/events', '{"ts":"2025-04-05T10:15:30Z","v":50}')
    expect(JSON.parse(valuesOf(log)[0] as string)).toMatchObject({ kvfv_id: 'KV9' })
  })

  it('rejects events of another camera, and no others', async () => {
    const { send, log, measured } = await setUp()
    await send('kvfv/KV1/events', `${good.replace('KV1', 'KV2')}\n${good}`)
    const [first, second] = log.appends.flat()
    expect(rejectedOf(first)).toMatchObject({
      reason: 'wrong_camera',
      source: 'mqtt',
      kvfv_id: 'KV1',
      payload: good.replace('KV1', 'KV2'),
    })
    expect(valueText(second)).toBe(good)
    expect(measured).toMatchObject([{ source: 'mqtt', accepted: 1, rejected: { wrong_camera: 1 } }])
  })

  it('is named by rejected items that name none', async () => {
    const { send, log } = await setUp()
    await send('kvfv/KV1/events', `garbage\n{"vehicle_speed":1}\n${good}`, {
      contentType: 'application/x-ndjson',
    })
    const [garbage, timeless] = log.appends.flat()
    expect(rejectedOf(garbage)).toMatchObject({ reason: 'invalid_json', kvfv_id: 'KV1' })
    expect(rejectedOf(timeless)).toMatchObject({ reason: 'missing_field', kvfv_id: 'KV1' })
  })

  it('must be there: a message of another topic is kept as rejected', async () => {
    const { send, log } = await setUp()
    for (const topic of [
      'kvfv//events',
      `kvfv/${'x'.repeat(129)}/events`,
      'a/b',
      'kvfv/a/b/events',
    ]) {
      await send(topic, good)
    }
    const kept = log.appends.flat().map((record) => rejectedOf(record))
    expect(kept.map(({ reason, kvfv_id }) => [reason, kvfv_id])).toEqual(
      Array.from({ length: 4 }, () => ['unreadable', null]),
    )
  })
})

describe('what cannot be read as a whole is kept as one rejected item:', () => {
  const broken: [string, string | Uint8Array, string, RegExp][] = [
    ['broken JSON', `[${good},`, 'unreadable', /not a valid JSON document/],
    [
      'no UTF-8',
      Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d),
      'unreadable',
      /UTF-8|item 0/,
    ],
    ['nothing but space', ' \n ', 'unreadable', /no event/],
    ['damaged gzip', gzipSync(good).subarray(0, 20), 'unreadable', /not valid gzip/],
    ['a gzip bomb', gzipSync(Buffer.alloc(2_000_000, 0x20)), 'too_large', /larger than 1000000/],
    ['too many bytes', Buffer.alloc(1_000_001, 0x20), 'too_large', /more than 1000000/],
  ]
  it.each(broken)('%s', async (_name, payload, reason, detail) => {
    const { send, log, measured } = await setUp({ limits: { bodyBytesMax: 1_000_000 } })
    await send('kvfv/KV1/events', payload)
    const kept = log.appends.flat().map((record) => rejectedOf(record))
    expect(kept).toMatchObject([{ reason, source: 'mqtt', kvfv_id: 'KV1' }])
    expect(kept[0]?.detail).toMatch(detail)
    expect(kept[0]?.payload?.length).toBeLessThanOrEqual(65_536)
    expect(measured.map(({ outcome, rejected }) => [outcome, rejected])).toEqual([
      ['rejected', { [reason]: 1 }],
    ])
  })

  it('without its payload where the plate policy forbids it', async () => {
    const { send, log } = await setUp({
      platePolicy: createPlatePolicy({ mode: 'drop', secret: Buffer.alloc(32, 7) }),
    })
    await send('kvfv/KV1/events', `[${good}`)
    await send('kvfv/KV1/events', good.replace('KV1', 'KV2'))
    const [whole, other] = log.appends.flat().map((record) => rejectedOf(record))
    expect(whole).toMatchObject({ reason: 'unreadable', payload: null })
    expect(other?.payload).toContain('KV2')
    expect(other?.payload).not.toContain('А123БВ68')
  })

  it('and what the log finds too large', async () => {
    const { send, log } = await setUp()
    log.behave((records) =>
      records.length > 1
        ? Promise.reject(new PotokError('TooLarge', 'a batch of too many bytes'))
        : Promise.resolve(),
    )
    await send('kvfv/KV1/events', `${good}\n${good}`)
    expect(rejectedOf(log.appends[0]?.[0])).toMatchObject({ reason: 'too_large' })
  })
})
