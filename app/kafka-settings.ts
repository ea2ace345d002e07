/** Settings of Kafka: what they must be together, and the connection that they describe. */
import { readFileSync } from 'node:fs'
import {
  type KafkaConnection,
  type KafkaSasl,
  type KafkaTls,
  parseBrokers,
} from '../adapters/event-log/kafka-connection.ts'
import { createTokenFetcher } from '../adapters/event-log/kafka-token.ts'
import { PotokError } from '../kernel/errors.ts'
import type { Clock } from '../kernel/ports.ts'
import type { Settings } from './settings.ts'

export const kafkaMechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'] as const

const connectTimeoutMs = 5_000
const requestTimeoutMs = 10_000

/** Fails where settings contradict each other, so that no command begins with half of them. */
export function checkKafkaSettings(settings: Settings): void {
  const { kafkaSaslMechanism: mechanism, kafkaUsername, kafkaPassword } = settings
  const hasUser = kafkaUsername !== '' && kafkaPassword !== ''
  if (settings.kafkaBrokers === '') return
  if (parseBrokers(settings.kafkaBrokers).length === 0) {
    throw refused('--kafka-brokers (POTOK_KAFKA_BROKERS)', 'write host:port,host:port')
  }
  if (!/^[\w.-]{1,249}$/.test(settings.kafkaTopic)) {
    throw refused('--kafka-topic (POTOK_KAFKA_TOPIC)', 'letters, digits, dots, _ and - only')
  }
  if ((settings.kafkaCertFile === '') !== (settings.kafkaKeyFile === '')) {
    throw refused('POTOK_KAFKA_CERT_FILE and POTOK_KAFKA_KEY_FILE', 'give both or none')
  }
  if (!settings.kafkaTls && (settings.kafkaCaFile !== '' || settings.kafkaCertFile !== '')) {
    throw refused('--kafka-tls (POTOK_KAFKA_TLS)', 'certificates are given, but TLS is off')
  }
  if (mechanism === 'none' && (kafkaUsername !== '' || kafkaPassword !== '')) {
    throw refused('--kafka-sasl-mechanism (POTOK_KAFKA_SASL_MECHANISM)', 'a user is given: name it')
  }
  if (mechanism === 'OAUTHBEARER') {
    const hasEndpoint = settings.kafkaOauth2Uri !== '' && hasUser
    if (settings.kafkaOauthToken === '' && !hasEndpoint) {
      throw refused(
        '--kafka-sasl-mechanism OAUTHBEARER',
        'give POTOK_KAFKA_OAUTH_TOKEN, or POTOK_KAFKA_OAUTH2_URI with client id and secret (POTOK_KAFKA_USERNAME, POTOK_KAFKA_PASSWORD)',
      )
    }
    if (hasEndpoint && !/^https?:\/\/[^@]+$/.test(settings.kafkaOauth2Uri)) {
      throw refused('POTOK_KAFKA_OAUTH2_URI', 'write http(s)://…, without credentials')
    }
  } else if (mechanism !== 'none' && !hasUser) {
    throw refused(
      `--kafka-sasl-mechanism ${mechanism}`,
      'give --kafka-username and POTOK_KAFKA_PASSWORD',
    )
  }
}

export function readKafkaConnection(settings: Settings, clock: Clock): KafkaConnection {
  return {
    brokers: parseBrokers(settings.kafkaBrokers),
    clientId: 'potok',
    tls: settings.kafkaTls ? readTls(settings) : null,
    sasl: readSasl(settings, clock),
    connectTimeoutMs,
    requestTimeoutMs,
  }
}

function readTls({ kafkaCaFile, kafkaCertFile, kafkaKeyFile }: Settings): KafkaTls {
  return {
    ca: kafkaCaFile === '' ? null : readPem('kafka-ca-file', kafkaCaFile),
    client:
      kafkaCertFile === ''
        ? null
        : {
            certificate: readPem('kafka-cert-file', kafkaCertFile),
            key: readPem('kafka-key-file', kafkaKeyFile),
          },
  }
}

function readPem(flag: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new PotokError('InvalidInput', `setting --${flag}: can’t read ${path}`, { cause })
  }
}

function readSasl(settings: Settings, clock: Clock): KafkaSasl | null {
  const { kafkaSaslMechanism: mechanism, kafkaUsername, kafkaPassword, kafkaOauthToken } = settings
  if (mechanism === 'none') return null
  if (mechanism !== 'OAUTHBEARER') {
    return { mechanism, username: kafkaUsername, password: kafkaPassword }
  }
  if (kafkaOauthToken !== '') return { mechanism, token: async () => kafkaOauthToken }
  return {
    mechanism,
    token: createTokenFetcher(
      { clock, fetch },
      {
        uri: settings.kafkaOauth2Uri,
        clientId: kafkaUsername,
        clientSecret: kafkaPassword,
        scope: settings.kafkaOauth2Scope,
      },
    ),
  }
}

function refused(setting: string, why: string): PotokError {
  return new PotokError('InvalidInput', `setting ${setting}: ${why}`)
}
