/** Every way to log in to a real Kafka, and what is said where it refuses: the reason, and never a secret. */
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createKafkaEventLog,
  type KafkaEventLogOptions,
} from '../../adapters/event-log/kafka-event-log.ts'
import { readKafkaConnection } from '../../app/kafka-settings.ts'
import { readSettings } from '../../app/settings.ts'
import { describeError, PotokError } from '../../kernel/errors.ts'
import { cameraRecord, kafkaConnection, newTopic, readTopic } from '../../testkit/kafka-log.ts'
import { type Kafka, startKafka } from '../../testkit/servers/kafka.ts'
import { freePort } from '../../testkit/servers/server-process.ts'

const password = 'p,ss=w0rd-кот'
const wrong = 'not-the-password'
const clock = { nowMs: () => Date.now() }
let kafka: Kafka
const told: string[] = []

beforeAll(async () => {
  kafka = await startKafka({
    tls: true,
    users: { potok: 'secret-of-potok', nobody: 'secret-of-nobody' },
    properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      // The listener without login, which the nodes use among themselves, and our user.
      'super.users': 'User:ANONYMOUS;User:potok;User:robot',
      'allow.everyone.if.no.acl.found': 'false',
    },
  })
})
afterAll(async () => kafka?.stop())

const logger: KafkaEventLogOptions['logger'] = {
  debug: (fields, message) => told.push(JSON.stringify(fields) + message),
  info: (fields, message) => told.push(JSON.stringify(fields) + message),
  warn: (fields, message) => told.push(JSON.stringify(fields) + message),
  error: (fields, message) => told.push(JSON.stringify(fields) + message),
}

/** Appends one record as the settings say; what is in the topic then. */
async function appendWith(
  flags: Readonly<Record<string, string>>,
  topic = newTopic(),
): Promise<string[]> {
  const log = await createKafkaEventLog({
    connection: readKafkaConnection(readSettings(flags, {}), clock),
    topic,
    partitionCount: 1,
    retentionMs: 3_600_000,
    replication: 0,
    logger,
    openTimeoutMs: 3_000,
  })
  try {
    await log.append([cameraRecord('a', 'hello', 1)])
    await log.ranges()
  } finally {
    await log.close()
  }
  return (await readTopic(kafka.brokers, topic)).map(({ value }) => value)
}

async function refusalOf(flags: Readonly<Record<string, string>>, topic?: string): Promise<string> {
  const error = await appendWith(flags, topic).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(PotokError)
  told.push(describeError(error))
  return describeError(error)
}

const user = (name: string, secret: string) => ({ kafkaUsername: name, kafkaPassword: secret })

/** As Kafka's handler for development takes it: not signed. */
function unsignedToken(subject: string, lifeSeconds = 3_600): string {
  const now = Math.floor(Date.now() / 1_000)
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part({ sub: subject, iat: now, exp: now + lifeSeconds })}.`
}

describe('a login', () => {
  it('by PLAIN and by both SCRAMs works, and with a wrong password says what is wrong', async () => {
    for (const kafkaSaslMechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']) {
      const flags = { kafkaBrokers: kafka.brokersOf('sasl'), kafkaSaslMechanism }
      expect(await appendWith({ ...flags, ...user('potok', 'secret-of-potok') })).toEqual(['hello'])
      expect(await refusalOf({ ...flags, ...user('potok', wrong) })).toMatch(
        /login failed.*password/,
      )
    }
  })

  it('by OAUTHBEARER works with a token that was given, and with one that is fetched', async () => {
    const flags = { kafkaBrokers: kafka.brokersOf('sasl'), kafkaSaslMechanism: 'OAUTHBEARER' }
    expect(await appendWith({ ...flags, kafkaOauthToken: unsignedToken('robot') })).toEqual([
      'hello',
    ])
    expect(await refusalOf({ ...flags, kafkaOauthToken: `${wrong}.x.` })).toMatch(/login failed/)
    const issuer = await startIssuer('robot', password)
    const fetched = { ...flags, kafkaOauth2Uri: issuer.uri, kafkaOauth2Scope: 'kafka' }
    expect(await appendWith({ ...fetched, ...user('robot', password) })).toEqual(['hello'])
    expect(await refusalOf({ ...fetched, ...user('robot', wrong) })).toMatch(/answered 401/)
    issuer.server.close()
  })

  it('over TLS works where the authority is trusted; otherwise it says so', async () => {
    const trusted = { kafkaTls: 'true', kafkaCaFile: kafka.caFile }
    const plain = { ...user('potok', 'secret-of-potok'), kafkaSaslMechanism: 'SCRAM-SHA-512' }
    expect(
      await appendWith({ kafkaBrokers: kafka.brokersOf('saslTls'), ...trusted, ...plain }),
    ).toEqual(['hello'])
    expect(
      await refusalOf({ kafkaBrokers: kafka.brokersOf('saslTls'), kafkaTls: 'true', ...plain }),
    ).toMatch(/no secure connection.*--kafka-ca-file/)
    expect(await refusalOf({ kafkaBrokers: kafka.brokersOf('saslTls'), ...plain })).toMatch(
      /no connection to [\d.:]+ without TLS/,
    )
  })

  it('of a user without rights says which, and makes nothing', async () => {
    const flags = {
      kafkaBrokers: kafka.brokersOf('sasl'),
      kafkaSaslMechanism: 'PLAIN',
      ...user('nobody', 'secret-of-nobody'),
    }
    expect(await refusalOf(flags)).toMatch(/doesn’t allow it|may not see/)
    // May look, may not write.
    const topic = newTopic()
    const owner = await createKafkaEventLog({
      connection: kafkaConnection(kafka.brokers),
      topic,
      partitionCount: 1,
      retentionMs: 3_600_000,
      replication: 0,
      logger,
    })
    await owner.close()
    await kafka.tool('org.apache.kafka.tools.AclCommand', [
      '--bootstrap-server',
      kafka.brokers,
      '--add',
      '--allow-principal',
      'User:nobody',
      '--operation',
      'Describe',
      '--topic',
      topic,
    ])
    expect(await refusalOf(flags, topic)).toMatch(/may not write|doesn’t allow it/)
    expect(await readTopic(kafka.brokers, topic)).toEqual([])
    expect(told.join('\n')).toContain('the settings of the topic can’t be checked')
  })

  it('leaves no secret in anything that was said', () => {
    expect(told.length).toBeGreaterThan(5)
    const all = told.join('\n')
    for (const secret of ['secret-of-', wrong, password, readFileSync(kafka.caFile, 'utf8')]) {
      expect(all).not.toContain(secret)
    }
  })
})

async function startIssuer(
  client: string,
  secret: string,
): Promise<{ readonly uri: string; readonly server: Server }> {
  const port = await freePort()
  const expected = `Basic ${Buffer.from(`${client}:${encodeURIComponent(secret)}`).toString('base64')}`
  const server = createServer((request, response) => {
    const isRight = request.headers.authorization === expected
    request.resume()
    response.writeHead(isRight ? 200 : 401, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify(
        isRight ? { access_token: unsignedToken(client), expires_in: 3_600 } : { error: 'no' },
      ),
    )
  })
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve)
  })
  return { uri: `http://127.0.0.1:${port}/token`, server }
}
