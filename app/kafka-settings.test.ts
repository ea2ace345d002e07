import { describe, expect, it } from 'vitest'
import { readKafkaConnection } from './kafka-settings.ts'
import { readSettings, secretSettings } from './settings.ts'

const clock = { nowMs: () => 0 }
const read = (flags: Record<string, unknown>) =>
  readKafkaConnection(readSettings({ kafkaBrokers: 'a:9092,b:9093', ...flags }, {}), clock)

describe('settings of Kafka', () => {
  it('name brokers, and who we are to them', () => {
    expect(read({})).toMatchObject({
      brokers: [
        { host: 'a', port: 9_092 },
        { host: 'b', port: 9_093 },
      ],
      tls: null,
      sasl: null,
    })
    const user = { kafkaUsername: 'u', kafkaPassword: 'p' }
    expect(read({ kafkaSaslMechanism: 'PLAIN', ...user }).sasl).toEqual({
      mechanism: 'PLAIN',
      username: 'u',
      password: 'p',
    })
    expect(read({ kafkaTls: 'true' }).tls).toEqual({ ca: null, client: null })
  })

  it('give a token as it is, or fetch one', async () => {
    const { sasl } = read({ kafkaSaslMechanism: 'OAUTHBEARER', kafkaOauthToken: 't' })
    if (sasl?.mechanism !== 'OAUTHBEARER') throw new Error('another mechanism')
    expect(await sasl.token()).toBe('t')
  })

  it('that contradict each other are refused by name', () => {
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ kafkaBrokers: 'kafka://a:1' }, /no address of a broker/],
      [{ kafkaTopic: 'a b' }, /--kafka-topic/],
      [{ kafkaCaFile: 'ca.pem' }, /--kafka-tls.*TLS is off/],
      [{ kafkaTls: 'true', kafkaCertFile: 'c.pem' }, /give both or none/],
      [{ kafkaUsername: 'u', kafkaPassword: 'p' }, /--kafka-sasl-mechanism/],
      [{ kafkaSaslMechanism: 'PLAIN', kafkaUsername: 'u' }, /POTOK_KAFKA_PASSWORD/],
      [{ kafkaSaslMechanism: 'OAUTHBEARER' }, /POTOK_KAFKA_OAUTH_TOKEN/],
      [{ kafkaSaslMechanism: 'GSSAPI' }, /--kafka-sasl-mechanism/],
      [{ kafkaTls: 'true', kafkaCaFile: '/nowhere/ca.pem' }, /can’t read \/nowhere\/ca\.pem/],
    ]
    for (const [flags, message] of cases) expect(() => read(flags)).toThrow(message)
  })

  it('that are secret are marked so', () => {
    for (const name of ['kafkaPassword', 'kafkaOauthToken'] as const) {
      expect(secretSettings.has(name)).toBe(true)
    }
  })
})
