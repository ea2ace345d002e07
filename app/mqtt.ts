/**
 * MQTT from the settings: the broker of `potok up`, or the subscription of `potok mqtt`; one of them a process,
 * which loads the package for that one.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { parseUsers, type Users } from '../adapters/mqtt/users.ts'
import type { Intake } from '../ingest/gateway/intake.ts'
import { createMqttIntake } from '../ingest/mqtt/mqtt-intake.ts'
import { PotokError } from '../kernel/errors.ts'
import type { MessageSource } from '../kernel/message-source.ts'
import type { Logger, Service } from '../kernel/ports.ts'
import type { Installation } from './installation.ts'
import type { LogWatch } from './log-watch.ts'
import type { Settings } from './settings.ts'

export type Mqtt = {
  readonly service: Service
  /** Where cameras connect, or the broker that is subscribed on. */
  url(): string | null
}

export type MqttPorts = {
  readonly installation: Installation
  readonly intake: Intake
  readonly watch: LogWatch
}

export async function createBroker(ports: MqttPorts): Promise<Mqtt> {
  const { createEmbeddedBroker } = await import('../adapters/mqtt/embedded-broker.ts')
  const { settings, logger } = ports.installation
  const { mqttTlsCertFile, mqttTlsKeyFile } = settings
  const broker = createEmbeddedBroker({
    host: settings.host,
    port: settings.mqttPort,
    users: readUsers(settings, logger),
    tls:
      mqttTlsCertFile === ''
        ? null
        : {
            cert: read('--mqtt-tls-cert-file', mqttTlsCertFile),
            key: read('--mqtt-tls-key-file', mqttTlsKeyFile),
          },
    logger,
  })
  return { service: overWatch(broker, ports), url: () => broker.url() }
}

export async function createSubscription(ports: MqttPorts): Promise<Mqtt> {
  const { createMqttSubscription } = await import('../adapters/mqtt/mqtt-subscription.ts')
  const { settings, clock, logger } = ports.installation
  const { mqttUrl, mqttUsername, mqttPassword, mqttCaFile, mqttClientId } = settings
  const subscription = createMqttSubscription({
    url: mqttUrl,
    username: mqttUsername === '' ? null : mqttUsername,
    password: mqttPassword === '' ? null : mqttPassword,
    ca: mqttCaFile === '' ? null : read('--mqtt-ca-file', mqttCaFile),
    clientId: mqttClientId === '' ? `potok-${hostname()}` : mqttClientId,
    group: settings.mqttShare === 'off' ? null : settings.mqttShare,
    clock,
    logger,
  })
  return { service: overWatch(subscription, ports), url: () => mqttUrl }
}

/** Who can't append isn't ready, whether messages come or not. */
function overWatch(source: MessageSource, { installation, intake, watch }: MqttPorts): Service {
  const { clock, logger } = installation
  const service = createMqttIntake({ source, intake, clock, logger })
  return {
    start: () => service.start(),
    stop: (deadlineMs) => service.stop(deadlineMs),
    health() {
      const own = service.health()
      const log = watch.health()
      const details = { ...own.details, ...log.details }
      return own.ok && !log.ok ? { ...log, details } : { ...own, details }
    },
  }
}

/** Null: everybody is welcome. */
function readUsers(settings: Settings, logger: Logger): Users | null {
  const { mqttUsersFile, mqttAnonymous, host } = settings
  if (mqttUsersFile !== '') return parseUsers(read('--mqtt-users-file', mqttUsersFile))
  if (mqttAnonymous || isLoopback(host)) return null
  logger.warn(
    { host },
    'the MQTT broker takes nobody: name users with --mqtt-users-file, or take everybody with --mqtt-anonymous true',
  )
  return parseUsers('')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function read(flag: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new PotokError('InvalidInput', `setting ${flag}: ${path} can't be read`, { cause })
  }
}
