import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createDetectionDecoder } from './decode-detection.ts'
import { decodeDetectionPlainly } from './decode-detection-plain.ts'
import { isJsonValue } from './scan-detection.ts'
import { defaultDetectionRules as rules, type Detection, type Rejection } from './detection.ts'

const receivedAtUs = Date.UTC(2025, 3, 5, 10, 20) * 1_000
const decoder = createDetectionDecoder()
const sample = {
  kvfv_id: 'KV12345',
  timestamp: '2025-04-05T10:15:30Z',
  vehicle_speed: 85.2,
  plate_number: 'А123БВ68',
}

type Outcome = { detection: Detection } | { rejection: Rejection }

function decodeBytes(item: Uint8Array): Outcome {
  // In the middle of a larger buffer, as in a request body: nothing around it may leak in.
  const bytes = new Uint8Array(item.length + 20).fill(0x39)
  bytes.set(item, 7)
  return decoder.decode(bytes, 7, 7 + item.length, receivedAtUs)
    ? { detection: { ...decoder.detection } }
    : { rejection: { ...decoder.rejection } }
}

function decodeText(text: string): Outcome {
  return decodeBytes(Buffer.from(text))
}

function detectionOf(text: string): Detection {
  const outcome = decodeText(text)
  if ('rejection' in outcome) throw new Error(outcome.rejection.detail)
  return outcome.detection
}

function reasonOf(text: string): string {
  const outcome = decodeText(text)
  return 'rejection' in outcome ? outcome.rejection.reason : 'accepted'
}

function detailOf(text: string): string {
  const outcome = decodeText(text)
  return 'rejection' in outcome ? outcome.rejection.detail : 'accepted'
}

function withField(name: string, jsonText: string): string {
  const parts = Object.entries(sample)
    .filter(([key]) => key !== name)
    .map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
  return `{${[...parts, `"${name}":${jsonText}`].join(',')}}`
}

function plainly(bytes: Uint8Array): Outcome {
  const result = decodeDetectionPlainly(bytes, receivedAtUs, rules)
  return result.ok ? { detection: result.detection } : { rejection: result.rejection }
}

function speedOf(text: string): number | string {
  const outcome = decodeText(withField('vehicle_speed', text))
  return 'detection' in outcome ? outcome.detection.speedMilli : outcome.rejection.reason
}

describe('a valid detection', () => {
  it('gives its fields', () => {
    expect(detectionOf(JSON.stringify(sample))).toEqual({
      kvfvId: 'KV12345',
      eventTimeUs: Date.UTC(2025, 3, 5, 10, 15, 30) * 1_000,
      speedMilli: 85_200,
      plateNumber: 'А123БВ68',
      attributes: null,
      cameraEventId: null,
    })
  })

  it('is scanned in any order of fields, with white space and further fields', () => {
    const text =
      ' { "lane" : 2 , "plate_number" : null,\t"vehicle_speed":60 ,"box":[1, {"a":"é"}],\n"timestamp":"2025-04-05T13:15:30.5+03:00", "event_id":17,"kvfv_id":"KV1" }\r'
    expect(detectionOf(text)).toEqual({
      kvfvId: 'KV1',
      eventTimeUs: Date.UTC(2025, 3, 5, 10, 15, 30, 500) * 1_000,
      speedMilli: 60_000,
      plateNumber: null,
      attributes: '{"lane":2,"box":[1, {"a":"é"}]}',
      cameraEventId: '17',
    })
    expect(decoder.scanned).not.toBeNull()
  })

  it('keeps further fields as they were written, long numbers too', () => {
    const text = withField('frame', '12345678901234567890')
    expect(detectionOf(text).attributes).toBe('{"frame":12345678901234567890}')
    expect(detectionOf(text.replace('"frame"', '"fr\\u0061me"')).attributes).toBe(
      '{"frame":12345678901234567890}',
    )
  })

  it('takes the last of repeated fields, as JSON.parse does', () => {
    const text = `{"vehicle_speed":1,"lane":1,${JSON.stringify(sample).slice(1, -1)},"lane":2}`
    expect(detectionOf(text)).toMatchObject({ speedMilli: 85_200, attributes: '{"lane":2}' })
  })

  it('decodes escapes in plates, as clients that write ASCII only send them', () => {
    const text = JSON.stringify(sample).replace('А', '\\u0410')
    expect(detectionOf(text).plateNumber).toBe('А123БВ68')
    expect(decoder.scanned).not.toBeNull()
  })

  it('counts an empty plate as none and an empty event_id as none', () => {
    expect(detectionOf(withField('plate_number', '""')).plateNumber).toBeNull()
    expect(detectionOf(withField('event_id', '""')).cameraEventId).toBeNull()
  })
})

describe('speed', () => {
  it.each([
    ['0', 0],
    ['-0', 0],
    ['-0.0', 0],
    ['85', 85_000],
    ['85.2005', 85_201],
    ['85.2004999999999999999999', 85_200],
    ['1.0005', 1_001],
    ['399.9995', 400_000],
    ['400', 400_000],
    ['400.000', 400_000],
    ['8.52e1', 85_200],
    ['8520E-2', 85_200],
    ['0.00049', 0],
    ['0.0005', 1],
    ['5e-4', 1],
    ['1e-400', 0],
    ['0e999999999999', 0],
  ])('%s km/h is %i in 0.001 km/h: half up on the decimal digits', (text, milli) => {
    expect(speedOf(text)).toBe(milli)
  })
  it.each([
    '400.0001',
    '400.00000000001',
    '-0.0001',
    '-1',
    '912.0',
    '1e999',
    '1e9999999999',
    '4e2000',
  ])('%s km/h is out of range', (text) => expect(speedOf(text)).toBe('speed_out_of_range'))
  it.each(['01', '1.', '.5', '+1', '1e', '--1', 'NaN', 'Infinity', '0x10', '1_0', '1.5.5', '- 1'])(
    '%s is no JSON',
    (text) => expect(speedOf(text)).toBe('invalid_json'),
  )
  it.each(['"85.2"', 'true', '[85]', '{}'])('%s is no number', (text) =>
    expect(speedOf(text)).toBe('invalid_field'),
  )
  it('names the value and the limit', () => {
    expect(detailOf(withField('vehicle_speed', '912.0'))).toBe(
      'vehicle_speed 912.0 is above 400 km/h',
    )
    expect(detailOf(withField('vehicle_speed', '-3'))).toBe('vehicle_speed -3 is below 0 km/h')
  })
})

describe('rejections', () => {
  const cases: [string, string][] = [
    ['', 'invalid_json'],
    ['{', 'invalid_json'],
    ['{}x', 'invalid_json'],
    [`\uFEFF${JSON.stringify(sample)}`, 'invalid_json'],
    [`${JSON.stringify(sample).slice(0, -1)},}`, 'invalid_json'],
    ['[]', 'not_an_object'],
    ['null', 'not_an_object'],
    ['"text"', 'not_an_object'],
    ['{}', 'missing_field'],
    [withField('kvfv_id', 'null'), 'missing_field'],
    [withField('kvfv_id', '12345'), 'invalid_field'],
    [withField('kvfv_id', '""'), 'invalid_field'],
    [withField('kvfv_id', '"\\ud800"'), 'invalid_field'],
    [withField('kvfv_id', JSON.stringify('ж'.repeat(129))), 'invalid_field'],
    [withField('kvfv_id', JSON.stringify('ж'.repeat(128))), 'accepted'],
    [withField('kvfv_id', JSON.stringify('🚗'.repeat(128))), 'accepted'],
    [withField('kvfv_id', JSON.stringify('🚗'.repeat(129))), 'invalid_field'],
    [withField('timestamp', '1743848130'), 'invalid_timestamp'],
    [withField('timestamp', '"2025-04-05T10:15:30"'), 'timestamp_without_zone'],
    [withField('timestamp', '"2025-02-30T10:15:30Z"'), 'invalid_timestamp'],
    [withField('timestamp', '"2025-04-05T10:25:00Z"'), 'accepted'],
    [withField('timestamp', '"2025-04-05T10:25:00.000001Z"'), 'clock_ahead'],
    [withField('timestamp', '"9999-12-31T23:59:59Z"'), 'clock_ahead'],
    [withField('timestamp', '"1999-12-31T23:59:59.999999Z"'), 'too_old'],
    [withField('timestamp', '"2000-01-01T00:00:00Z"'), 'accepted'],
    [withField('plate_number', '123'), 'invalid_field'],
    [withField('plate_number', '"\\udc00"'), 'invalid_field'],
    [withField('event_id', '1.5'), 'invalid_field'],
    [withField('event_id', JSON.stringify('x'.repeat(257))), 'invalid_field'],
    [withField('deep', `${'['.repeat(63)}${']'.repeat(63)}`), 'accepted'],
    [withField('deep', `${'['.repeat(64)}${']'.repeat(64)}`), 'invalid_field'],
    [withField('deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`), 'invalid_field'],
  ]
  for (const [text, reason] of cases) {
    it(`${reason}: ${text.length > 60 ? `…${text.slice(-60)}` : text}`, () => {
      expect(reasonOf(text)).toBe(reason)
    })
  }

  it('say what to send instead', () => {
    expect(detailOf(withField('timestamp', '"2025-04-05T10:15:30"'))).toContain(
      'as in "2025-04-05T10:15:30+03:00"',
    )
    expect(detailOf(withField('timestamp', '1743848130'))).toContain('timestampFormat')
    expect(detailOf(withField('kvfv_id', '12345'))).toContain('"kvfv_id":"12345"')
  })

  it('name the camera where it can be read', () => {
    const outcome = decodeText(withField('vehicle_speed', '500'))
    expect(outcome).toMatchObject({ rejection: { kvfvId: 'KV12345' } })
  })

  it('never quote what may be a plate', () => {
    for (const text of [
      '{"plate_number":"А123БВ68" "x":1}',
      '{"plate_number":"А123БВ68',
      withField('plate_number', '{"v":"А123БВ68"}'),
      '"А123БВ68"',
      'А123БВ68',
    ]) {
      expect(detailOf(text)).not.toContain('123')
    }
  })

  it('refuse bytes that are no UTF-8', () => {
    const text = JSON.stringify(sample)
    for (const bad of [
      [0xff],
      [0xc0, 0x80],
      [0xed, 0xa0, 0x80],
      [0xd0],
      [0xf4, 0x90, 0x80, 0x80],
    ]) {
      const bytes = Buffer.concat([
        Buffer.from(text.slice(0, -2)),
        Uint8Array.from(bad),
        Buffer.from('"}'),
      ])
      expect(decodeBytes(bytes)).toMatchObject({ rejection: { reason: 'invalid_json' } })
    }
  })
})

describe('scanner and plain way', () => {
  const numberText = fc.oneof(
    fc.constantFrom(
      '0',
      '-0',
      '85.2',
      '1e2',
      '1E+2',
      '400',
      '400.0',
      '401',
      '1e400',
      '01',
      '1.',
      '-',
      '.5',
    ),
    fc.double({ min: -10, max: 410, noNaN: true }).map(String),
    fc
      .tuple(fc.nat(410), fc.stringMatching(/^\d{1,8}$/))
      .map(([whole, fraction]) => `${whole}.${fraction}`),
  )
  const timestampText = fc.oneof(
    fc
      .tuple(
        fc.date({ min: new Date('1999-12-01'), max: new Date('2025-05-01'), noInvalidDate: true }),
        fc.stringMatching(/^(\.\d{1,9})?$/),
        fc.constantFrom('Z', 'z', '+03:00', '-11:30', '', '+0300', '-00:00', '+24:00'),
      )
      .map(([date, fraction, zone]) => `"${date.toISOString().slice(0, 19)}${fraction}${zone}"`),
    fc.constantFrom(
      '"2025-02-30T10:00:00Z"',
      '"2024-12-31T23:59:60Z"',
      '"2025-04-05t10:15:30z"',
      '"2025-04-05 10:15:30Z"',
      '"2025-04-04T24:00:00Z"',
      '1743848130',
      'null',
      '"2025-04-05T10\\u003a15:30Z"',
    ),
  )
  const anyText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.string({ maxLength: 140 }),
  )
  const stringText = fc.oneof(
    anyText.map((text) => JSON.stringify(text)),
    fc.constantFrom(
      '"\\ud83d\\ude97"',
      '"\\ud83d"',
      '"\\x"',
      '"\\u12g4"',
      '"\\u\u0010000"',
      '""',
      '7',
      'null',
    ),
  )
  const member = fc.oneof(
    { weight: 3, arbitrary: stringText.map((text) => `"kvfv_id":${text}`) },
    { weight: 9, arbitrary: fc.constant('"kvfv_id":"KV1"') },
    { weight: 9, arbitrary: timestampText.map((text) => `"timestamp":${text}`) },
    { weight: 9, arbitrary: numberText.map((text) => `"vehicle_speed":${text}`) },
    { weight: 3, arbitrary: stringText.map((text) => `"plate_number":${text}`) },
    { weight: 2, arbitrary: fc.oneof(stringText, numberText).map((text) => `"event_id":${text}`) },
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.string({ maxLength: 3 }), fc.json({ maxDepth: 3 }))
        .map(([key, json]) => `${JSON.stringify(key)}:${json}`),
    },
    { weight: 1, arbitrary: fc.constantFrom('"kvfv\\u005fid":"KV2"', '"x":01', '"x"', 'x:1', '') },
  )
  const space = fc.constantFrom('', '', '', ' ', '\n', '\t ', '', '', '', '\u00a0')
  const base = ['"kvfv_id":"KV1"', '"timestamp":"2025-04-05T10:15:30Z"', '"vehicle_speed":85.2']
  const objectText = fc
    .tuple(fc.boolean(), fc.array(member, { maxLength: 5 }), space, space)
    .map(([withBase, members, a, b]) => {
      const names = new Set(members.map((m) => m.slice(0, m.indexOf(':'))))
      const all = withBase
        ? [...members, ...base.filter((m) => !names.has(m.slice(0, m.indexOf(':'))))]
        : members
      return `${a}{${all.join(`${b},${a}`)}${b}}${a}`
    })

  it('agree on every object text', () => {
    let scanned = 0
    fc.assert(
      fc.property(objectText, (text) => {
        const bytes = Buffer.from(text)
        expect(decodeBytes(bytes)).toEqual(plainly(bytes))
        if (decoder.scanned !== null) scanned++
      }),
      { numRuns: 3_000 },
    )
    expect(scanned).toBeGreaterThan(300)
  })

  it('agree on bytes changed at random', () => {
    const valid = Buffer.from(
      '{"kvfv_id":"KV1","timestamp":"2025-04-05T10:15:30.25+03:00","vehicle_speed":85.25,"plate_number":"А1\\u0411","event_id":-12,"a":{"b":[1.5e3,"é\\n"]},"c":true}',
    )
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(2), fc.nat(255))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const bytes = [...valid]
        for (const [at, how, byte] of changes) {
          if (how === 0) bytes.splice(at, 1)
          else bytes.splice(at, how === 1 ? 0 : 1, byte)
        }
        const item = Uint8Array.from(bytes)
        expect(decodeBytes(item)).toEqual(plainly(item))
      }),
      { numRuns: 5_000 },
    )
  })

  it('agree with JSON.parse on what was accepted', () => {
    fc.assert(
      fc.property(objectText, (text) => {
        const outcome = decodeText(text)
        if (!('detection' in outcome)) return
        const { kvfv_id, timestamp, vehicle_speed, plate_number, event_id, ...rest } =
          JSON.parse(text)
        const { detection } = outcome
        expect(detection.kvfvId).toBe(kvfv_id)
        expect(detection.plateNumber).toBe(plate_number || null)
        expect(Math.abs(detection.speedMilli - vehicle_speed * 1_000)).toBeLessThan(0.501)
        expect(detection.cameraEventId === null).toBe(
          event_id === undefined || event_id === null || event_id === '',
        )
        expect(
          Math.abs(detection.eventTimeUs / 1_000 - Date.parse(timestamp.replace(':60', ':59'))),
        ).toBeLessThan(1_001)
        expect(detection.attributes === null ? {} : JSON.parse(detection.attributes)).toEqual(rest)
      }),
      { numRuns: 2_000 },
    )
  })

  it('agree with JSON.parse on what is a JSON value', () => {
    const anyJson = fc.oneof(
      objectText,
      numberText,
      stringText,
      fc.json(),
      fc.constantFrom('', ' ', 'nul', '[1,]', '[', ']', '{]'),
    )
    fc.assert(
      fc.property(anyJson, space, (json, around) => {
        const bytes = Buffer.from(`${around}${json}${around}`)
        let isValid = true
        try {
          JSON.parse(bytes.toString('utf8'))
        } catch {
          isValid = false
        }
        expect(isJsonValue(bytes, 0, bytes.length)).toBe(isValid)
      }),
      { numRuns: 2_000 },
    )
    for (const levels of [64, 65]) {
      const deep = Buffer.from(`${'['.repeat(levels)}${']'.repeat(levels)}`)
      expect(isJsonValue(deep, 0, deep.length)).toBe(levels === 64)
    }
  })
})
