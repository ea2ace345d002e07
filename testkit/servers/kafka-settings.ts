/** The properties of one node of a Kafka of the suites, and what its listeners need: certificate, users. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** A way into a node. `plain` is always there, and the nodes use it among themselves. */
export type KafkaListener = 'plain' | 'proxied' | 'tls' | 'sasl' | 'saslTls'

const protocols: Readonly<Record<KafkaListener, string>> = {
  plain: 'PLAINTEXT',
  proxied: 'PLAINTEXT',
  tls: 'SSL',
  sasl: 'SASL_PLAINTEXT',
  saslTls: 'SASL_SSL',
}

/** Kafka reads them in upper case, whatever was written. */
const nameOf = (listener: KafkaListener): string => listener.toUpperCase()

export type KafkaNode = {
  readonly id: number
  readonly folder: string
  readonly controllerPort: number
  readonly ports: Readonly<Partial<Record<KafkaListener, number>>>
  /** Where clients of the listener `proxied` are sent: the port of the proxy. */
  readonly proxyPort: number | null
}

export type KafkaUsers = Readonly<Record<string, string>>

/** One node: its copies are the only ones. Several: three copies, of which two must be there. */
function replication(nodeCount: number): Record<string, string> {
  const copies = String(Math.min(3, nodeCount))
  const copiesMin = nodeCount < 3 ? '1' : '2'
  return {
    'default.replication.factor': copies,
    'min.insync.replicas': copiesMin,
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': copiesMin,
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': copiesMin,
  }
}

export function nodeProperties(
  node: KafkaNode,
  all: readonly KafkaNode[],
  more: Readonly<Record<string, string>>,
): string {
  const listeners = Object.entries(node.ports) as [KafkaListener, number][]
  const advertised = listeners.map(([name, port]) => {
    const shown = name === 'proxied' ? node.proxyPort : port
    return `${nameOf(name)}://127.0.0.1:${shown}`
  })
  const properties: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(node.id),
    'controller.quorum.voters': all
      .map((one) => `${one.id}@127.0.0.1:${one.controllerPort}`)
      .join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': nameOf('plain'),
    listeners: [
      ...listeners.map(([name, port]) => `${nameOf(name)}://127.0.0.1:${port}`),
      `CONTROLLER://127.0.0.1:${node.controllerPort}`,
    ].join(','),
    'advertised.listeners': advertised.join(','),
    'listener.security.protocol.map': [
      ...listeners.map(([name]) => `${nameOf(name)}:${protocols[name]}`),
      'CONTROLLER:PLAINTEXT',
    ].join(','),
    'log.dirs': join(node.folder, 'data'),
    'auto.create.topics.enable': 'false',
    'group.initial.rebalance.delay.ms': '0',
    // A node that was killed may register again only when its old session has ended (9 s by default).
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    // 50 by default, each a folder that is opened at every start.
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.num.partitions': '2',
    ...replication(all.length),
    ...more,
  }
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`)
  return lines.join('')
}

export const scramMechanisms = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const

/**
 * Each user may come by PLAIN and by both SCRAMs; OAUTHBEARER takes unsigned tokens of anybody (Kafka's own
 * handler for development).
 */
export function saslProperties(users: KafkaUsers): Record<string, string> {
  const names = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`)
  const common = 'org.apache.kafka.common.security'
  const properties: Record<string, string> = {
    'sasl.enabled.mechanisms': ['PLAIN', 'OAUTHBEARER', ...scramMechanisms].join(','),
  }
  for (const listener of ['sasl', 'saslTls'] satisfies KafkaListener[]) {
    const prefix = `listener.name.${listener.toLowerCase()}`
    properties[`${prefix}.plain.sasl.jaas.config`] =
      `${common}.plain.PlainLoginModule required ${names.join(' ')};`
    properties[`${prefix}.oauthbearer.sasl.jaas.config`] =
      `${common}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`
    for (const mechanism of scramMechanisms) {
      properties[`${prefix}.${mechanism.toLowerCase()}.sasl.jaas.config`] =
        `${common}.scram.ScramLoginModule required;`
    }
  }
  return properties
}

/** A certificate that its maker alone vouches for, and the properties of a server that shows it. */
export async function makeCertificate(
  folder: string,
): Promise<{ readonly caFile: string; readonly properties: Record<string, string> }> {
  const [key, caFile, both] = ['key.pem', 'ca.pem', 'server.pem'].map((name) =>
    join(folder, name),
  ) as [string, string, string]
  const request =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=kafka -addext subjectAltName=IP:127.0.0.1'
  await execute('openssl', [...request.split(' '), '-keyout', key, '-out', caFile])
  await writeFile(both, (await readFile(key, 'utf8')) + (await readFile(caFile, 'utf8')))
  return {
    caFile,
    properties: { 'ssl.keystore.type': 'PEM', 'ssl.keystore.location': both },
  }
}
