import { describe, expect, it } from 'vitest'
import { createDetectionDecoder } from '../../kernel/decode-detection.ts'
import { PotokError } from '../../kernel/errors.ts'
import { createEventIdHasher } from '../../kernel/event-id.ts'
import { logPartitionOf } from '../../kernel/partitioner.ts'
import { createPlatePolicy } from '../../kernel/plate-policy.ts'
import type { Logger } from '../../kernel/ports.ts'
import {
  createStubEventLog,
  rejectedOf,
  valueText,
  type StubEventLog,
} from '../../testkit/stub-event-log.ts'
import { createIntake, type Intake, type IntakeMeasurement, type IntakeOptions } from './intake.ts'
import { createMapping } from './mapping.ts'

const receivedAtUs = Date.UTC(2025, 3, 5, 10, 20) * 1_000
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const good =
  '{"kvfv_id":"KV1", "timestamp":"2025-04-05T10:15:30Z","vehicle_speed":85.2,"plate_number":"А123БВ68"}'
const secret = Buffer.alloc(32, 7)

function setUp(options: Partial<IntakeOptions> = {}): {
  intake: Intake
  log: StubEventLog
  measured: IntakeMeasurement[]
  take: (
    body: string | Uint8Array,
    format?: 'json' | 'ndjson' | 'unknown',
  ) => ReturnType<Intake['accept']>
} {
  const log = createStubEventLog()
  const measured: IntakeMeasurement[] = []
  const intake = createIntake({
    log,
    clock: { nowMs: () => 0 },
    logger: silent,
    onMetrics: (measurement) => measured.push(measurement),
    ...options,
  })
  return {
    intake,
    log,
    measured,
    take: (body, format = 'ndjson') =>
      intake.accept(
        typeof body === 'string' ? Buffer.from(body) : body,
        format,
        'http',
        receivedAtUs,
      ),
  }
}

describe('a body', () => {
  it("keeps the camera's own bytes, in the camera's partition", async () => {
    const { take, log } = setUp()
    expect(await take(` ${good}\r\n`)).toEqual({ accepted: 1, rejected: [] })
    expect(log.appends).toHaveLength(1)
    const [record] = log.appends[0] ?? []
    expect(valueText(record)).toBe(good)
    expect(record).toMatchObject({ kind: 0, receivedAtUs, eventId: null })
    expect(String(record?.key)).toBe('KV1')
    expect(record?.logPartition).toBe(logPartitionOf(Buffer.from('KV1'), 8))
  })

  it('is one append, good and bad items in their order', async () => {
    const { take, log } = setUp()
    const lines = Array.from({ length: 1_000 }, () => good)
    lines[417] = good.replace('85.2', '912.0')
    expect(await take(lines.join('\n'))).toEqual({
      accepted: 999,
      rejected: [
        {
          index: 417,
          reason: 'speed_out_of_range',
          detail: 'vehicle_speed 912.0 is above 400 km/h',
        },
      ],
    })
    expect(log.appends).toHaveLength(1)
    expect(log.appends[0]).toHaveLength(1_000)
    const bad = log.appends[0]?.[417]
    expect(bad?.kind).toBe(1)
    expect(bad?.logPartition).toBe(logPartitionOf(Buffer.from('KV1'), 8))
    expect(rejectedOf(bad)).toEqual({
      reason: 'speed_out_of_range',
      detail: 'vehicle_speed 912.0 is above 400 km/h',
      source: 'http',
      kvfv_id: 'KV1',
      payload: lines[417],
    })
  })

  it('of NDJSON counts lines that are not blank, and a broken line rejects itself only', async () => {
    const { take } = setUp()
    const result = await take(`\n\n${good}\n{"kvfv_id":\n\n[${good}]\n${good}\n`)
    expect(result.accepted).toBe(2)
    expect(result.rejected.map(({ index, reason }) => [index, reason])).toEqual([
      [1, 'invalid_json'],
      [2, 'not_an_object'],
    ])
  })

  it('of JSON is an event, or an array in which each element is an item', async () => {
    const { take } = setUp()
    expect(await take(good, 'json')).toEqual({ accepted: 1, rejected: [] })
    const result = await take(`[ ${good},[${good}] , {}, ${good}]`, 'json')
    expect(result.accepted).toBe(2)
    expect(result.rejected.map(({ index, reason }) => [index, reason])).toEqual([
      [1, 'not_an_object'],
      [2, 'missing_field'],
    ])
  })

  it('without a type is a document or lines', async () => {
    const { take } = setUp()
    expect(await take(`[${good},${good}]`, 'unknown')).toMatchObject({ accepted: 2 })
    expect(await take(`${good}\n${good}`, 'unknown')).toMatchObject({ accepted: 2 })
    expect(await take(`{\n${good.slice(1)}`, 'unknown')).toMatchObject({ accepted: 1 })
  })

  it.each([
    ['', 'json'],
    ['', 'ndjson'],
    [' \n \n', 'ndjson'],
    ['[]', 'json'],
    [`[${good}`, 'json'],
    [`[${good},]`, 'json'],
    [`[${good},{"a":}]`, 'json'],
    [`${good}${good}`, 'json'],
    [`[${good}]x`, 'json'],
    ['no json', 'unknown'],
  ] as const)(
    'that holds no event or is no document is refused as a whole: %s',
    async (body, format) => {
      const { take, log, measured } = setUp()
      await expect(take(body, format)).rejects.toMatchObject({ kind: 'InvalidInput' })
      expect(log.appends).toEqual([])
      expect(measured).toMatchObject([{ outcome: 'refused', accepted: 0 }])
    },
  )

  it('with bad UTF-8 in a line rejects the line; in a document, the document', async () => {
    const { take, log } = setUp()
    const bad = Buffer.concat([Buffer.from(good.slice(0, -2)), Buffer.of(0xd0), Buffer.from('"}')])
    const result = await take(Buffer.concat([bad, Buffer.from(`\n${good}`)]))
    expect(result).toMatchObject({ accepted: 1, rejected: [{ index: 0, reason: 'invalid_json' }] })
    expect(rejectedOf(log.appends[0]?.[0]).payload).toContain('\uFFFD')
    await expect(take(bad, 'json')).rejects.toMatchObject({ kind: 'InvalidInput' })
  })

  it('with a huge item rejects it and keeps its beginning', async () => {
    const { take, log } = setUp()
    const huge = good.replace('}', `,"image":"${'x'.repeat(300_000)}"}`)
    for (const format of ['ndjson', 'json'] as const) {
      const body = format === 'json' ? `[${huge},${good}]` : `${huge}\n${good}`
      const result = await take(body, format)
      expect(result).toMatchObject({ accepted: 1, rejected: [{ index: 0, reason: 'too_large' }] })
      expect(rejectedOf(log.appends.at(-1)?.[0]).payload).toBe(
        Buffer.from(huge).toString('utf8', 0, 4_096),
      )
    }
    await expect(take(`[${huge.slice(0, -1)}x},${good}]`, 'json')).rejects.toMatchObject({
      kind: 'InvalidInput',
    })
  })

  it('of more items than a body of events can hold is refused', async () => {
    const { take, log } = setUp({ limits: { itemsMax: 10 } })
    await expect(take('1\n'.repeat(11))).rejects.toMatchObject({ kind: 'TooLarge' })
    expect(log.appends).toEqual([])
  })

  it('is measured once', async () => {
    const { take, measured } = setUp()
    await take(`${good}\n{}\n[]\n{}`)
    await take('{}')
    expect(measured).toMatchObject([
      { outcome: 'accepted', accepted: 1, rejected: { missing_field: 2, not_an_object: 1 } },
      { outcome: 'rejected', accepted: 0, rejected: { missing_field: 1 } },
    ])
  })
})

describe('the log', () => {
  it('when full refuses, and nothing was kept', async () => {
    const { take, log, measured } = setUp()
    log.behave(async () => {
      throw new PotokError('Overloaded', 'the log is full')
    })
    await expect(take(good)).rejects.toMatchObject({ kind: 'Overloaded' })
    expect(measured).toMatchObject([{ outcome: 'unavailable' }])
  })

  it('that never takes such a record refuses the body for good, and nothing was kept', async () => {
    const { take, log, measured } = setUp()
    log.behave(async () => {
      throw new PotokError('TooLarge', 'a record is more than the topic takes')
    })
    await expect(take(good)).rejects.toMatchObject({ kind: 'TooLarge', retryable: false })
    expect(measured).toMatchObject([{ outcome: 'refused' }])
  })

  it('when it fails in any other way leaves the outcome unknown, which the sender is told', async () => {
    const { take, log } = setUp()
    for (const error of [new Error('EIO'), new PotokError('InvalidInput', 'x')]) {
      log.behave(async () => {
        throw error
      })
      await expect(take(good)).rejects.toMatchObject({ kind: 'Unavailable', retryable: true })
    }
  })

  it('when it hangs is not waited for, and its bytes stay counted until it is done with them', async () => {
    const { take, log, intake } = setUp({ limits: { appendTimeoutMs: 5 } })
    const { promise, resolve } = Promise.withResolvers<void>()
    log.behave(() => promise)
    await expect(take(good)).rejects.toMatchObject({ kind: 'Unavailable' })
    expect(intake.budget.usedBytes).toBe(Buffer.byteLength(good))
    const closed = intake.close()
    resolve()
    await closed
    expect(intake.budget.usedBytes).toBe(0)
    expect(log.appends).toHaveLength(1)
  })
})

describe('memory', () => {
  it('is bounded over all bodies, before any of the body is kept', async () => {
    const { take, log, intake } = setUp({ limits: { inFlightBytesMax: 150 } })
    const { promise, resolve } = Promise.withResolvers<void>()
    log.behave(() => promise)
    const first = take(good)
    await expect(take(good)).rejects.toMatchObject({ kind: 'Overloaded' })
    resolve()
    expect(await first).toMatchObject({ accepted: 1 })
    expect(intake.budget.usedBytes).toBe(0)
    expect(await take(good)).toMatchObject({ accepted: 1 })
  })

  it('for what is made of rejected items counts too', async () => {
    const { take, log, intake } = setUp({ limits: { inFlightBytesMax: 2_000 } })
    await expect(take('1\n'.repeat(500))).rejects.toMatchObject({ kind: 'Overloaded' })
    expect(log.appends).toEqual([])
    expect(intake.budget.usedBytes).toBe(0)
  })

  it('is given back however a body ends', async () => {
    const { take, intake } = setUp()
    await take(`${good}\n{}`)
    await expect(take('[', 'json')).rejects.toThrow()
    expect(intake.budget.usedBytes).toBe(0)
  })
})

describe('closing', () => {
  it('refuses new bodies', async () => {
    const { take, intake, log } = setUp()
    await intake.close()
    await expect(take(good)).rejects.toMatchObject({ kind: 'ShuttingDown' })
    expect(log.appends).toEqual([])
  })
})

describe('the plate policy', () => {
  const plain = 'А123БВ68'
  const variants = [
    good,
    good.replace('plate_number', 'plate\\u005fnumber'),
    good.replace('{', '{"plate_number":"Х999ХХ99","plate_number":null,'),
    good.replace(plain, '\\u0410123БВ68'),
    good.replace('}', ',"lane":1}'),
  ]

  it('hmac replaces plates wherever they stand, and gives keyed event ids', async () => {
    const policy = createPlatePolicy({ mode: 'hmac', secret })
    const { take, log } = setUp({ platePolicy: policy })
    expect(await take(variants.join('\n'))).toMatchObject({ accepted: variants.length })
    const decoder = createDetectionDecoder()
    const hash = createEventIdHasher(policy.eventIdKey)
    for (const [i, record] of (log.appends[0] ?? []).entries()) {
      const text = valueText(record)
      expect(text).not.toMatch(/А123|u0410|999/)
      expect(JSON.parse(text)).toMatchObject({
        kvfv_id: 'KV1',
        vehicle_speed: 85.2,
        plate_number: policy.apply(plain),
      })
      const item = Buffer.from(variants[i] as string)
      decoder.decode(item, 0, item.length, receivedAtUs)
      const id = new Uint8Array(16)
      hash(decoder.detection, id, 0)
      expect(record.eventId).toEqual(id)
    }
  })

  it('drop keeps none, and detections that differ in the plate keep different ids', async () => {
    const { take, log } = setUp({ platePolicy: createPlatePolicy({ mode: 'drop', secret }) })
    await take([...variants, good.replace(plain, 'В123БВ68')].join('\n'))
    const records = log.appends[0] ?? []
    for (const record of records) {
      expect(valueText(record)).not.toMatch(/[АВ]123|u0410|999/)
      expect(JSON.parse(valueText(record)).plate_number ?? null).toBeNull()
    }
    expect(records.at(0)?.eventId).not.toEqual(records.at(-1)?.eventId)
  })

  it('keeps the bytes of a detection without a plate', async () => {
    const { take, log } = setUp({ platePolicy: createPlatePolicy({ mode: 'drop', secret }) })
    const item = '{"kvfv_id":"KV1","timestamp":"2025-04-05T10:15:30Z", "vehicle_speed":8.50}'
    await take(item)
    expect(valueText(log.appends[0]?.[0])).toBe(item)
  })

  it('holds for rejected items: masked where understood, left out where not', async () => {
    const { take, log } = setUp({ platePolicy: createPlatePolicy({ mode: 'hmac', secret }) })
    const fast = good.replace('85.2', '500')
    const items = [
      fast,
      fast.replace(plain, '\\u0410123БВ68'),
      good.replace('"kvfv_id":"KV1",', ''),
      good.replace(`"${plain}"`, `["${plain}"]`),
      good.slice(0, -1),
      `"${plain}"`,
      good.replace('}', `,"x":"${'x'.repeat(300_000)}"}`),
    ]
    await take(items.join('\n'))
    const payloads = (log.appends[0] ?? []).map(rejectedOf)
    for (const rejected of payloads) expect(JSON.stringify(rejected)).not.toMatch(/123БВ/)
    expect(payloads.map(({ payload }) => payload === null)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
      true,
    ])
  })

  it('knows plates under the name that the mapping gives them', async () => {
    const { take, log } = setUp({
      platePolicy: createPlatePolicy({ mode: 'hmac', secret }),
      mapping: createMapping({ fields: { plate_number: 'nr' } }),
    })
    const named = good.replace('plate_number', 'nr')
    const both = named.replace('}', `,"plate_number":"${plain}"}`)
    const result = await take([named, named.replace('85.2', '500'), both].join('\n'))
    expect(result).toMatchObject({ accepted: 1, rejected: [{ index: 1 }, { index: 2 }] })
    for (const record of log.appends[0] ?? []) expect(valueText(record)).not.toContain('123БВ')
  })
})

describe('the mapping', () => {
  it('gives canonical JSON, and rejections with the item as it was sent', async () => {
    const mapping = createMapping({
      fields: { kvfv_id: 'cam', vehicle_speed: 'spd' },
      timestampFormat: 'epoch_ms',
      speedUnit: 'mph',
    })
    const { take, log } = setUp({ mapping })
    const sent = '{"cam":"K1","timestamp":1743848130123,"spd":50}'
    const bad = '{"timestamp":1743848130123,"spd":50}'
    const result = await take(`${sent}\n${bad}\n${sent.replace('50', '300')}\n{`)
    expect(result.rejected.map(({ detail }) => detail)).toEqual([
      'kvfv_id is missing (by the mapping it is the field cam)',
      'vehicle_speed 482.803 is above 400 km/h (by the mapping it is the field spd)',
      expect.stringContaining('not valid JSON'),
    ])
    expect(valueText(log.appends[0]?.[0])).toBe(
      '{"kvfv_id":"K1","timestamp":"2025-04-05T10:15:30.123Z","vehicle_speed":80.467}',
    )
    expect(rejectedOf(log.appends[0]?.[1]).payload).toBe(bad)
  })
})
