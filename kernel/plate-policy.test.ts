import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createPlatePolicy, normalPlate } from './plate-policy.ts'

const secret = Buffer.from('a secret of the operator, 32 byte')
const hmac = createPlatePolicy({ mode: 'hmac', secret })

describe('plate policy', () => {
  it('keep leaves plates and leaves event ids to the writer', () => {
    const policy = createPlatePolicy({ mode: 'keep' })
    expect(policy.apply('а123бв 68')).toBe('а123бв 68')
    expect(policy.eventIdKey).toBeNull()
  })

  it('drop keeps nothing and keys event ids', () => {
    const policy = createPlatePolicy({ mode: 'drop', secret })
    expect(policy.apply('А123БВ68')).toBeNull()
    expect(policy.eventIdKey).toEqual(hmac.eventIdKey)
  })

  it('hmac is HMAC-SHA-256 under a key derived from the secret', () => {
    const key = createHmac('sha256', secret).update('potok plate 1').digest()
    const digest = createHmac('sha256', key).update('A123BC77').digest()
    expect(hmac.apply('A123BC77')).toBe(digest.subarray(0, 16).toString('base64url'))
    expect(hmac.eventIdKey).toEqual(
      createHmac('sha256', secret).update('potok event id 1').digest(),
    )
  })

  it('gives spellings of one plate one pseudonym, and other secrets another', () => {
    const spellings = [
      'А123ВС77',
      'A123BC77',
      'а123вс 77',
      'a123bc-77',
      ' Ａ123ＢＣ 77\n',
      'a·123.bc–77',
    ]
    expect(new Set(spellings.map(normalPlate))).toEqual(new Set(['A123BC77']))
    expect(new Set(spellings.map((plate) => hmac.apply(plate))).size).toBe(1)
    const other = createPlatePolicy({ mode: 'hmac', secret: Buffer.alloc(32, 1) })
    expect(other.apply('A123BC77')).not.toBe(hmac.apply('A123BC77'))
  })

  it('keeps plates apart that differ', () => {
    expect(hmac.apply('А123ВС77')).not.toBe(hmac.apply('А123ВС78'))
    expect(hmac.apply('Б123ВС77')).not.toBe(hmac.apply('А123ВС77'))
    expect(hmac.apply(' - ')).toBeNull()
  })

  it('refuses a secret that can be guessed', () => {
    expect(() => createPlatePolicy({ mode: 'hmac', secret: Buffer.from('short') })).toThrow(
      'at least 16 bytes',
    )
  })
})
