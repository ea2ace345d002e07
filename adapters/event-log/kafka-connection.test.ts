import { describe, expect, it } from 'vitest'
import { type KafkaConnection, parseBrokers } from './kafka-connection.ts'
import { connectionOptions } from './kafka-connection-options.ts'

const base: KafkaConnection = {
  brokers: [{ host: 'kafka', port: 9092 }],
  clientId: 'potok',
  tls: null,
  sasl: null,
  connectTimeoutMs: 5_000,
  requestTimeoutMs: 30_000,
}

describe('addresses of brokers', () => {
  it('are host:port, with 9092 where no port is named', () => {
    expect(parseBrokers('a:9093, b ,[::1]:9094')).toEqual([
      { host: 'a', port: 9_093 },
      { host: 'b', port: 9_092 },
      { host: '::1', port: 9_094 },
    ])
    expect(parseBrokers('')).toEqual([])
  })

  it('are refused by name where they are none', () => {
    for (const text of ['a:0', 'a:99999', 'kafka://a:1', 'a:b', 'u:p@a:1', '::1']) {
      expect(() => parseBrokers(`ok:1,${text}`), text).toThrow(`${text} is no address`)
    }
  })
})

describe('options of a connection', () => {
  it('are plain where neither TLS nor SASL is asked for', () => {
    expect(connectionOptions(base, 'kafka')).toEqual({
      connectTimeout: 5_000,
      requestTimeout: 30_000,
    })
  })

  it('name the host of a TLS connection to the broker, except where it is an address', () => {
    const secure = { ...base, tls: { ca: 'PEM', client: null } }
    expect(connectionOptions(secure, 'kafka')).toMatchObject({
      tls: { ca: 'PEM' },
      tlsServerName: 'kafka',
    })
    expect(connectionOptions(secure, '127.0.0.1')).toMatchObject({ tlsServerName: false })
  })

  it('carry the user, or what fetches a token', () => {
    const user = { mechanism: 'SCRAM-SHA-512', username: 'u', password: 'p' } as const
    expect(connectionOptions({ ...base, sasl: user }, 'kafka').sasl).toEqual(user)
    const bearer = { mechanism: 'OAUTHBEARER', token: async () => 't' } as const
    expect(connectionOptions({ ...base, sasl: bearer }, 'kafka').sasl).toMatchObject(bearer)
  })
})
