import { describe, expect, it } from 'vitest'
import { readCatalogProperties } from './catalog-settings.ts'
import { readSettings, secretSettings } from './settings.ts'

const uri = 'https://catalog/x'
const read = (flags: Record<string, unknown>) =>
  readCatalogProperties(readSettings({ catalogUri: uri, ...flags }, {}))

describe('settings of another catalog', () => {
  it('are what Iceberg clients call properties; those not given are absent', () => {
    expect(read({})).toEqual({ uri, scope: 'catalog' })
    expect(
      read({
        catalogWarehouse: 'w',
        catalogCredential: 'me:secret',
        catalogOauth2Uri: 'https://idp/token',
        catalogScope: 'a b',
        catalogProperties: 'header.X-Key = a=b , prefix=p',
      }),
    ).toEqual({
      uri,
      warehouse: 'w',
      credential: 'me:secret',
      'oauth2-server-uri': 'https://idp/token',
      scope: 'a b',
      'header.X-Key': 'a=b',
      prefix: 'p',
    })
    expect(read({ catalogProperties: '{"audience":"a,b"}' })).toMatchObject({ audience: 'a,b' })
  })

  it('that potok would not follow are refused by name, without their values', () => {
    expect(() => read({ catalogProperties: 's3.secret=hidden' })).toThrow(/s3\.secret is none of/)
    for (const catalogProperties of ['hidden', '{"prefix":', '{"prefix":1}', 'header.X y=hidden']) {
      expect(() => read({ catalogProperties })).toThrow(/^(?!.*hidden).*--catalog-properties/)
    }
  })

  it('hold no credentials in the address', () => {
    for (const catalogUri of ['https://me:pw@host', 'host:8181', 'file:///x', 'http://h?token=1']) {
      expect(() => readSettings({ catalogUri }, {})).toThrow(/--catalog-uri/)
    }
  })

  it('that are secret are marked so', () => {
    const names = ['catalogCredential', 'catalogToken', 'catalogProperties'] as const
    for (const name of names) expect(secretSettings.has(name)).toBe(true)
  })
})
