import { createHash, createHmac } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createDetectionDecoder } from './decode-detection.ts'
import type { Detection } from './detection.ts'
import { canonicalFields } from './event-id-canonical.ts'
import { createEventIdHasher, type EventIdOptions } from './event-id.ts'
import { writeFlatFields } from './event-id-flat.ts'

const sample: Detection = {
  kvfvId: 'KV12345',
  eventTimeUs: 1_743_848_130_000_000,
  speedMilli: 85_200,
  plateNumber: 'А123БВ68',
  attributes: '{"lane":2,"direction":"N"}',
  cameraEventId: null,
}

function idOf(
  change: Partial<Detection> = {},
  key: Uint8Array | null = null,
  options: EventIdOptions = {},
): string {
  const out = new Uint8Array(20)
  createEventIdHasher(key, options)({ ...sample, ...change }, out, 2)
  expect([out[0], out[1], out[18], out[19]]).toEqual([0, 0, 0, 0])
  return Buffer.from(out.subarray(2, 18)).toString('hex')
}

function lengthAndText(value: string | null, plus: number): Buffer {
  const bytes = Buffer.from(value ?? '')
  const length = Buffer.alloc(4)
  length.writeUInt32LE(value === null ? 0 : bytes.length + plus)
  return Buffer.concat([length, bytes])
}

/** The documented encoding, written the plain way. */
function encode(detection: Detection): Buffer {
  const instant = Buffer.alloc(8)
  instant.writeBigInt64LE(BigInt(detection.eventTimeUs))
  const head = [Buffer.of(1), lengthAndText(detection.kvfvId, 0), instant]
  if (detection.cameraEventId !== null) {
    return Buffer.concat([...head, Buffer.of(1), lengthAndText(detection.cameraEventId, 0)])
  }
  const speed = Buffer.alloc(4)
  speed.writeUInt32LE(detection.speedMilli)
  return Buffer.concat([
    ...head,
    Buffer.of(2),
    speed,
    lengthAndText(detection.plateNumber, 1),
    lengthAndText(detection.attributes, 1),
  ])
}

const detections = fc.record<Detection>({
  kvfvId: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
  eventTimeUs: fc.integer({ min: -(2 ** 50), max: 2 ** 53 - 1 }),
  speedMilli: fc.nat(400_000),
  plateNumber: fc.option(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })),
  attributes: fc.option(
    fc.string({ unit: 'grapheme', maxLength: 1_500 }).map((v) => JSON.stringify({ v })),
  ),
  cameraEventId: fc.option(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), {
    freq: 3,
  }),
})

describe('event id', () => {
  it('is the first half of SHA-256 over the documented encoding', () => {
    fc.assert(
      fc.property(detections, (detection) => {
        const digest = createHash('sha256').update(encode(detection)).digest('hex')
        expect(idOf(detection)).toBe(digest.slice(0, 32))
      }),
    )
  })

  it('is the first half of HMAC-SHA-256 where a key is given', () => {
    const keys = fc.uint8Array({ minLength: 1, maxLength: 100 })
    fc.assert(
      fc.property(detections, keys, (detection, key) => {
        const digest = createHmac('sha256', key).update(encode(detection)).digest('hex')
        expect(idOf(detection, key)).toBe(digest.slice(0, 32))
      }),
    )
  })

  it('stays the same over versions', () => {
    expect(idOf()).toMatchInlineSnapshot(`"c5ba4947e2c9f9e0144a0b7a7e6e3e0e"`)
    expect(idOf({ cameraEventId: 'e-1' })).toMatchInlineSnapshot(
      `"21de06e2668c2e36757e09a618b889da"`,
    )
  })

  it('differs in each field, and between none and empty', () => {
    const ids = [
      idOf(),
      idOf({ kvfvId: 'KV12346' }),
      idOf({ eventTimeUs: sample.eventTimeUs + 1 }),
      idOf({ speedMilli: 85_201 }),
      idOf({ plateNumber: null }),
      idOf({ plateNumber: '' }),
      idOf({ attributes: null }),
      idOf({ attributes: '{"lane":3,"direction":"N"}' }),
      idOf({ plateNumber: null, attributes: null }),
      idOf({ cameraEventId: '1' }),
      idOf({ cameraEventId: '1', kvfvId: 'KV12346' }),
      idOf({}, Uint8Array.of(1)),
    ]
    expect(new Set(ids).size).toBe(ids.length)
  })

  it("needs camera, instant and the camera's own id only, where there is one", () => {
    const resent = { cameraEventId: 'e-1', speedMilli: 1, plateNumber: null, attributes: null }
    expect(idOf(resent)).toBe(idOf({ cameraEventId: 'e-1' }))
  })

  it('does not depend on the order, spacing or spelling of further fields', () => {
    expect(idOf({ attributes: '{"direction": "\\u004e" ,"lane":2}' })).toBe(idOf())
    expect(idOf({ attributes: '{"direction":"N","lane":2.0}' })).toBe(idOf())
  })

  it('leaves out the fields that change on a resend', () => {
    const options = { excludedFields: ['sent_at', 'é'] }
    const first = '{"lane":2,"sent_at":"a","direction":"N"}'
    const again = '{"lane":2,"direction":"N","sent\\u005fat":"b","\\u00e9":1}'
    expect(idOf({ attributes: first }, null, options)).toBe(idOf())
    expect(idOf({ attributes: again }, null, options)).toBe(idOf())
    expect(idOf({ attributes: '{"sent_at":1}' }, null, options)).toBe(idOf({ attributes: null }))
  })
})

describe('event id from the bytes that the scanner found', () => {
  const lazy = createDetectionDecoder(undefined, { lazyTexts: true })
  const now = Date.UTC(2025, 3, 6) * 1_000

  /** The id from bytes, null where they are left to the texts; and the id from texts. */
  function idsOf(item: string, key: Uint8Array | null = null): [string | null, string] {
    const bytes = Buffer.from(`..${item}..`)
    expect(lazy.decode(bytes, 2, bytes.length - 2, now)).toBe(true)
    const hash = createEventIdHasher(key)
    const out = new Uint8Array(16)
    const isTaken = lazy.scanned !== null && hash.ofScanned?.(bytes, lazy.scanned, out, 0) === true
    const fromBytes = isTaken ? Buffer.from(out).toString('hex') : null
    lazy.readTexts()
    hash(lazy.detection, out, 0)
    return [fromBytes, Buffer.from(out).toString('hex')]
  }
  const head = '"kvfv_id":"КV1","timestamp":"2025-04-05T10:15:30.25Z","vehicle_speed":85.2'

  it('is the id of its texts, or is left to them', () => {
    const key = fc.string({
      unit: fc.constantFrom(...Array.from('abAB!~_ éя€😀\uffee"\\')),
      maxLength: 3,
    })
    const value = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => JSON.stringify(text)),
      fc.json({ maxDepth: 1 }),
      fc.constantFrom(
        '1.0',
        '-0',
        '-0.5',
        '1e2',
        '0.0000001',
        '123456789012345',
        '1234567890123456',
      ),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => JSON.stringify(number)),
    )
    const plate = fc.constantFrom('', ',"plate_number":"А1"', ',"plate_number":"\\u04101"')
    const own = fc.constantFrom('', '', ',"event_id":"e-1"', ',"event_id":17', ',"event_id":"\\n"')
    const members = fc.array(fc.tuple(key, value), { maxLength: 6 })
    const keys = fc.option(fc.uint8Array({ minLength: 1, maxLength: 5 }))
    let taken = 0
    fc.assert(
      fc.property(
        plate,
        own,
        members,
        keys,
        fc.constantFrom('', ' '),
        (p, o, all, secret, space) => {
          const further = all.map(([k, v]) => `,${space}${JSON.stringify(k)}:${space}${v}`).join('')
          const [fromBytes, fromTexts] = idsOf(`{${head}${p}${o}${further}}`, secret)
          if (fromBytes === null) return
          expect(fromBytes).toBe(fromTexts)
          taken++
        },
      ),
      { numRuns: 2_000 },
    )
    expect(taken).toBeGreaterThan(200)
  })

  it.each([
    ['{"lane":2,"direction":"N","note":"€","x":-0.5}', true],
    ['{"a":[]}', false],
    ['{"a":"\\n"}', false],
    ['{"a":1.0}', false],
    ['{"a":-0}', false],
    ['{"\uffee":1}', false],
  ])('is taken of further fields such as %s: %s', (further, isTaken) => {
    const [fromBytes, fromTexts] = idsOf(`{${head},${further.slice(1)}`)
    expect(fromBytes).toBe(isTaken ? fromTexts : null)
  })

  it('leaves it to the texts where fields are left out', () => {
    const bytes = Buffer.from(`{${head},"sent_at":1}`)
    lazy.decode(bytes, 0, bytes.length, now)
    const hash = createEventIdHasher(null, { excludedFields: ['sent_at'] })
    const scan = lazy.scanned
    expect(scan !== null && hash.ofScanned?.(bytes, scan, new Uint8Array(16), 0)).toBe(false)
  })
})

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`
}

describe('canonical further fields', () => {
  const none: ReadonlySet<string> = new Set()
  const json = fc.dictionary(
    fc.string({ unit: 'binary', maxLength: 4 }),
    fc.jsonValue({ maxDepth: 4 }),
  )

  it('equal sorting and JSON.stringify, whatever the spacing and order', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(0, 1, '\t'), (value, indent) => {
        const expected = canonicalJson(JSON.parse(JSON.stringify(value)))
        const reversed = Object.fromEntries(Object.entries(value).reverse())
        for (const form of [value, reversed]) {
          const got = canonicalFields(JSON.stringify(form, null, indent), none)
          // Doubles of more than 15 digits keep the text they came with: the same value here.
          expect(got ?? '{}').toBe(expected)
        }
      }),
    )
  })

  it.each([
    ['{"a":1.0,"b":1e2,"c":-0,"d":1.50}', '{"a":1,"b":100,"c":0,"d":1.5}'],
    ['{"a":12345678901234567890}', '{"a":12345678901234567890}'],
    ['{"a":12345678901234567891}', '{"a":12345678901234567891}'],
    ['{"b":1,"a":2,"b":3}', '{"a":2,"b":3}'],
    ['{"ab":1,"a!":2,"a":3}', '{"a":3,"a!":2,"ab":1}'],
    ['{"\\u0061":1}', '{"a":1}'],
    ['{"a" : [ ] , "b" : { } }', '{"a":[],"b":{}}'],
    ['{}', null],
  ])('of %s are %s', (text, expected) => {
    expect(canonicalFields(text, none)).toBe(expected)
  })
})

describe('flat further fields', () => {
  function flatText(json: string): string | null {
    const bytes = new Uint8Array(json.length * 3 + 8)
    const length = writeFlatFields(bytes, 4, json)
    return length === 0 ? null : Buffer.from(bytes.subarray(4, 4 + length)).toString('utf8')
  }
  const none: ReadonlySet<string> = new Set()
  const keys = fc.string({ unit: fc.constantFrom(...Array.from('abAB!~_ éя€"\\')), maxLength: 3 })
  const decimals = fc
    .tuple(fc.integer({ min: -1_000, max: 1_000 }), fc.constantFrom(1, 10, 1e3, 1e6, 1e9))
    .map(([digits, divisor]) => digits / divisor)
  const scalars = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 8 }),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    decimals,
    fc.boolean(),
    fc.constant(null),
    fc.constant([]),
  )

  it('are the canonical ones, or are left to them', () => {
    const objects = fc.array(fc.tuple(keys, scalars), { maxLength: 30 })
    fc.assert(
      fc.property(objects, (members) => {
        const parts = members.map(
          ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
        )
        const json = `{${parts.join(',')}}`
        const flat = flatText(json)
        if (flat !== null) expect(flat).toBe(canonicalFields(json, none))
      }),
    )
  })

  it('as written by hand are the canonical ones, or are left to them', () => {
    const digits = fc.string({ unit: fc.constantFrom('0', '1', '9'), minLength: 1, maxLength: 10 })
    const numbers = fc
      .tuple(fc.constantFrom('', '-'), digits, fc.constantFrom('', '.'), digits)
      .map(([sign, whole, point, fraction]) => `${sign}${whole}${point}${fraction}`)
      .filter((text) => /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text))
    fc.assert(
      fc.property(numbers, (number) => {
        const json = `{"b":${number},"a":${number}}`
        const flat = flatText(json)
        if (flat !== null) expect(flat).toBe(canonicalFields(json, none))
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    ['{"lane":2,"direction":"N","x":0.000001}', '{"direction":"N","lane":2,"x":0.000001}'],
    ['{"b":true,"a":null,"ab":false,"":"я"}', '{"":"я","a":null,"ab":false,"b":true}'],
    ['{"a":-12.5,"b":123456789012345}', '{"a":-12.5,"b":123456789012345}'],
  ])('of %s are written: %s', (json, expected) => {
    expect(flatText(json)).toBe(expected)
    expect(canonicalFields(json, none)).toBe(expected)
  })

  it.each([
    '{}',
    '{"a":[]}',
    '{"a":{}}',
    '{"a": 1}',
    '{"a":1 }',
    '{"a":1,"a":2}',
    '{"a":"\\n"}',
    '{"\\u0061":1}',
    '{"a":-0}',
    '{"a":1.0}',
    '{"a":-0.0}',
    '{"a":1e2}',
    '{"a":0.0000001}',
    '{"a":1234567890123456}',
    '{"a":"€"}',
  ])('leave %s to the plain way', (json) => {
    expect(flatText(json)).toBe(null)
  })
})
