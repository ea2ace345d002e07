import { describe, expect, it } from 'vitest'
import { parseUsers } from './users.ts'

// mosquitto_passwd of Mosquitto 2.0.11, password "geheim".
const hashed =
  '$7$101$1eKtowgsBR6pqUXU$q41lsSVcXSbCV2otFwIHgM475PRRxi3nZDiFlissN0eKx6LUnnR8QC9gsqMkxPffMCDJPg9NppYI9rQXZBSexA=='

describe('users of the broker', () => {
  it('have passwords in clear or as mosquitto_passwd hashes them', async () => {
    const users = parseUsers(`# cameras\nKV1:a:b\n\nKV2:${hashed}\r\n`)
    expect(users.count).toBe(2)
    const check = (name: string, password: string) => users.check(name, Buffer.from(password))
    expect(await check('KV1', 'a:b')).toBe(true)
    expect(await check('KV2', 'geheim')).toBe(true)
    expect(await check('KV1', 'geheim')).toBe(false)
    expect(await check('KV2', 'a:b')).toBe(false)
    expect(await check('KV3', 'a:b')).toBe(false)
    expect(await check('KV1', '')).toBe(false)
  })

  it('are refused by line where they are no users, without what the line holds', () => {
    for (const line of [
      'secret',
      ':secret',
      'KV1:',
      'KV1:$6$secret$hash',
      'KV1:$7$0$c2VjcmV0$aA==',
    ]) {
      const parse = () => parseUsers(`KV0:x\n${line}`)
      expect(parse).toThrow(/line 2/)
      expect(parse).not.toThrow(/secret/)
    }
  })
})
