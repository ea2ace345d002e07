import { describe, expect, it } from 'vitest'
import { createMapping } from './mapping.ts'

function mapped(settings: unknown, item: object | string): unknown {
  const mapping = createMapping(settings)
  const text = typeof item === 'string' ? item : JSON.stringify(item)
  const result = mapping?.apply(Buffer.from(text))
  return result?.ok ? JSON.parse(Buffer.from(result.bytes).toString()) : result
}

describe('a mapping', () => {
  it('that changes nothing is none', () => {
    expect(createMapping(undefined)).toBeNull()
    expect(createMapping({})).toBeNull()
    expect(createMapping({ fields: { kvfv_id: 'kvfv_id' }, speedUnit: 'km/h' })).toBeNull()
  })

  it('renames fields, keeps the others and drops what is to be dropped', () => {
    const fields = { kvfv_id: 'cam', vehicle_speed: 'spd', plate_number: 'plate' }
    const item = { cam: 'K1', spd: 60, plate: 'A', lane: 2, image: 'base64', timestamp: 't' }
    expect(mapped({ fields, dropFields: ['image'] }, item)).toEqual({
      kvfv_id: 'K1',
      vehicle_speed: 60,
      plate_number: 'A',
      lane: 2,
      timestamp: 't',
    })
  })

  it('takes canonical names as well, but not both in one message', () => {
    const settings = { fields: { kvfv_id: 'cam' } }
    expect(mapped(settings, { kvfv_id: 'K1' })).toEqual({ kvfv_id: 'K1' })
    expect(mapped(settings, { kvfv_id: 'K1', cam: 'K1' })).toMatchObject({
      ok: false,
      reason: 'invalid_field',
      detail: 'cam and kvfv_id are the same field',
    })
  })

  it.each([
    ['epoch_s', '1743848130', '2025-04-05T10:15:30Z'],
    ['epoch_s', '1743848130.25', '2025-04-05T10:15:30.250Z'],
    ['epoch_s', '1743848130.1234567', '2025-04-05T10:15:30.123456Z'],
    ['epoch_s', '"1743848130"', '2025-04-05T10:15:30Z'],
    ['epoch_ms', '1743848130123', '2025-04-05T10:15:30.123Z'],
    ['epoch_ms', '1.743848130123e12', '2025-04-05T10:15:30.123Z'],
    ['epoch_us', '1743848130123456', '2025-04-05T10:15:30.123456Z'],
    ['epoch_s', '-1', '1969-12-31T23:59:59Z'],
    ['epoch_s', '"2025-04-05T10:15:30+03:00"', '2025-04-05T10:15:30+03:00'],
  ])('reads %s %s', (timestampFormat, text, expected) => {
    expect(mapped({ timestampFormat }, `{"timestamp":${text}}`)).toEqual({ timestamp: expected })
  })

  it('says which unit a number does not fit', () => {
    expect(mapped({ timestampFormat: 'epoch_s' }, '{"timestamp":1743848130123456}')).toEqual({
      ok: false,
      reason: 'invalid_timestamp',
      detail: 'timestamp 1743848130123456 is no instant in epoch_s',
    })
  })

  it.each([
    ['Europe/Moscow', '2025-04-05T10:15:30.5', '2025-04-05T07:15:30.500Z'],
    ['Asia/Kolkata', '2025-04-05T10:15:30', '2025-04-05T04:45:30Z'],
    ['America/Los_Angeles', '2012-03-11T01:59:59', '2012-03-11T09:59:59Z'],
    ['America/Los_Angeles', '2012-03-11T03:00:00', '2012-03-11T10:00:00Z'],
    ['America/Los_Angeles', '2012-11-04T01:30:00', '2012-11-04T08:30:00Z'],
    ['America/Los_Angeles', '2012-11-04T02:00:00', '2012-11-04T10:00:00Z'],
  ])('assumes the zone %s for %s', (assumedZone, text, expected) => {
    expect(mapped({ assumedZone }, { timestamp: text })).toEqual({ timestamp: expected })
    expect(mapped({ assumedZone }, { timestamp: `${text}Z` })).toEqual({ timestamp: `${text}Z` })
  })

  it.each([
    ['mph', '60', 96.561],
    ['mph', '248.5484767', 400],
    ['mph', '1e1', 16.093],
    ['m/s', '10', 36],
    ['m/s', '0.00013888', 0],
    ['m/s', '0.00013889', 0.001],
    ['mph', '-1', -1],
    ['mph', '"60"', '60'],
  ])('converts %s %s to km/h', (speedUnit, text, expected) => {
    expect(mapped({ speedUnit }, `{"vehicle_speed":${text}}`)).toEqual({ vehicle_speed: expected })
  })

  it('leaves what is no object to the decoder', () => {
    const mapping = createMapping({ speedUnit: 'mph' })
    for (const text of ['[]', '{', '"x"']) {
      const item = Buffer.from(text)
      expect(mapping?.apply(item)).toEqual({ ok: true, bytes: item })
    }
  })

  it("adds the message's name to a detail", () => {
    const mapping = createMapping({ fields: { kvfv_id: 'cam' } })
    expect(mapping?.explain('kvfv_id is missing')).toBe(
      'kvfv_id is missing (by the mapping it is the field cam)',
    )
    expect(mapping?.explain('timestamp is missing')).toBe('timestamp is missing')
  })

  it.each([
    [{ speedUnit: 'knots' }, 'speedUnit'],
    [{ feilds: {} }, 'feilds'],
    [{ assumedZone: 'Moscow' }, 'IANA'],
    [{ fields: { kvfv_id: 'a', timestamp: 'a' } }, 'named twice'],
  ])('with wrong settings is refused: %j', (settings, text) => {
    expect(() => createMapping(settings)).toThrow(text)
  })
})
