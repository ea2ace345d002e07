/**
 * Every setting of potok, once: name, default, meaning. A setting `logPartitions` is the flag
 * `--log-partitions` and the variable `POTOK_LOG_PARTITIONS`; the flag wins. `./potok config` prints them.
 */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import { PotokError } from '../kernel/errors.ts'
import { checkKafkaSettings, kafkaMechanisms } from './kafka-settings.ts'

const mib = 1024 * 1024

const port = z.coerce.number().int().min(0).max(65_535)
const count = z.coerce.number().int().min(1)
const flag = z.stringbool().or(z.boolean())

export const settingsSchema = z.strictObject({
  data: z
    .string()
    .min(1)
    .default('./data')
    .describe('Folder that holds everything of the embedded set-up'),
  warehouse: z
    .string()
    .default('')
    .describe('Root of the tables: file:///… or s3://bucket/prefix ; empty: DATA/warehouse'),
  s3Endpoint: z
    .string()
    .default('')
    .describe('S3 store of a warehouse s3://…, as http(s)://host:port ; empty: AWS'),
  s3Region: z
    .string()
    .default('')
    .describe(
      'Its region; empty: as the AWS tools find it (AWS_REGION, profile), with an endpoint us-east-1',
    ),
  s3PathStyle: z
    .enum(['auto', 'on', 'off'])
    .default('auto')
    .describe('Bucket in the path instead of the host name; auto: where an endpoint is named'),
  s3AccessKeyId: z
    .string()
    .default('')
    .describe('Access key; empty: as the AWS tools find it (variables, profile, web identity …)'),
  s3SecretAccessKey: z.string().default('').describe('Its secret; better given as the variable'),
  s3CaFile: z
    .string()
    .default('')
    .describe('PEM file with the CA of the endpoint’s certificate; empty: those of Node'),
  s3CacheMib: count
    .default(8_192)
    .describe(
      'Local copies of data files in DATA/cache; files given to an engine stay for half an hour, even above it',
    ),
  host: z.string().default('127.0.0.1').describe('Address to listen on'),
  port: port.default(8080).describe('HTTP: intake, API and dashboard; 0: any free port'),
  catalogPort: port.default(8181).describe('Iceberg REST catalog; 0: any free port'),
  catalogUri: z
    .string()
    .default('')
    .describe(
      'Address of another Iceberg REST catalog that every role and command uses; empty: potok’s own',
    ),
  catalogWarehouse: z
    .string()
    .default('')
    .describe('What that catalog calls the warehouse (warehouse of its /v1/config)'),
  catalogCredential: z
    .string()
    .default('')
    .describe(
      'OAuth2 client credentials for it, id:secret; better given as the variable (also --catalog-token)',
    ),
  catalogToken: z.string().default('').describe('Bearer token for it, where it takes one'),
  catalogOauth2Uri: z
    .string()
    .default('')
    .describe('Token endpoint; empty: v1/oauth/tokens of the catalog itself, which is deprecated'),
  catalogScope: z.string().default('catalog').describe('Scope asked of the token endpoint'),
  catalogProperties: z
    .string()
    .default('')
    .describe(
      'Further properties of it, name=value,… or JSON: header.NAME, prefix, audience, resource, namespace-separator, view-endpoints-supported',
    ),
  catalogCaFile: z
    .string()
    .default('')
    .describe('PEM file with certificates to trust beside those of Node'),
  catalogTimeoutSeconds: z.coerce
    .number()
    .positive()
    .max(600)
    .default(30)
    .describe('Time for one request to it'),
  kafkaBrokers: z
    .string()
    .default('')
    .describe('Kafka as the event log: host:port,host:port ; empty: the embedded log in DATA/log'),
  kafkaTopic: z
    .string()
    .default('traffic.detections')
    .describe('Its topic; made where it isn’t there yet'),
  kafkaReplication: z.coerce
    .number()
    .int()
    .min(0)
    .max(32)
    .default(0)
    .describe('Copies of a topic made here; 0: three, or as many as there are brokers'),
  kafkaSessionTimeoutMs: z.coerce
    .number()
    .int()
    .min(6_000)
    .max(1_800_000)
    .default(30_000)
    .describe(
      'A writer or rollup stream that is silent for so long loses its log partitions to the others',
    ),
  kafkaTls: flag.default(false).describe('Connect to Kafka with TLS'),
  kafkaCaFile: z
    .string()
    .default('')
    .describe('PEM file with the CA of the brokers’ certificates; empty: those of Node'),
  kafkaCertFile: z
    .string()
    .default('')
    .describe('PEM file with a certificate of ours, where the brokers ask for one'),
  kafkaKeyFile: z.string().default('').describe('PEM file with its key'),
  kafkaSaslMechanism: z
    .enum(['none', ...kafkaMechanisms])
    .default('none')
    .describe('How we log in to Kafka'),
  kafkaUsername: z
    .string()
    .default('')
    .describe('User; with OAUTHBEARER and a token endpoint the client id'),
  kafkaPassword: z
    .string()
    .default('')
    .describe('Its password, or the client’s secret; better given as the variable'),
  kafkaOauthToken: z
    .string()
    .default('')
    .describe('Token for OAUTHBEARER that doesn’t change; better given as the variable'),
  kafkaOauth2Uri: z
    .string()
    .default('')
    .describe('Token endpoint for OAUTHBEARER (client credentials)'),
  kafkaOauth2Scope: z.string().default('').describe('Scope asked of it; empty: none'),
  mqttPort: port.default(1883).describe('MQTT broker of up, for cameras; 0: none'),
  mqttUsersFile: z
    .string()
    .default('')
    .describe(
      'File with its users, name:password a line (also as mosquitto_passwd writes them); a camera’s name is its kvfv_id',
    ),
  mqttAnonymous: flag
    .default(false)
    .describe('Without users it takes everybody, also where it listens beyond this machine'),
  mqttTlsCertFile: z
    .string()
    .default('')
    .describe('PEM file with its certificate: it speaks TLS only; empty: no TLS'),
  mqttTlsKeyFile: z.string().default('').describe('PEM file with the key of the certificate'),
  mqttUrl: z
    .string()
    .default('mqtt://127.0.0.1:1883')
    .describe('Broker that potok mqtt subscribes on, as mqtt(s)://host:port'),
  mqttUsername: z.string().default('').describe('User name there'),
  mqttPassword: z.string().default('').describe('Its password; better given as the variable'),
  mqttCaFile: z
    .string()
    .default('')
    .describe('PEM file with the CA of its certificate; empty: those of Node'),
  mqttClientId: z
    .string()
    .max(128)
    .default('')
    .describe(
      'Name of its session there, one for each process and the same after a restart; empty: potok-HOSTNAME',
    ),
  mqttShare: z
    .string()
    .regex(/^[^/+#]+$/)
    .default('potok')
    .describe(
      'Group of the shared subscription: processes with the same one share the messages; off: not shared, for one process',
    ),
  cameras: z.coerce
    .number()
    .int()
    .min(0)
    .max(10_000)
    .default(0)
    .describe('Simulated cameras that feed this potok'),
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('Least level that is logged (JSON lines on stderr)'),
  logPartitions: count
    .max(1_024)
    .default(8)
    .describe(
      'Partitions of the event log; fixed once created (a topic that is there keeps its own)',
    ),
  logRetentionHours: z.coerce
    .number()
    .positive()
    .default(168)
    .describe('Age at which read records leave the log; retention of a topic that is made here'),
  logSizeMaxMib: count
    .default(16_384)
    .describe('Size of the embedded log at which intake answers 503'),
  warehouseAllow: z
    .string()
    .default('')
    .describe('Further location prefixes that tables may have, comma-separated'),
  platePolicy: z
    .enum(['keep', 'hmac', 'drop'])
    .default('keep')
    .describe('What becomes of plate numbers at the gateway'),
  plateKey: z
    .string()
    .default('')
    .describe('Secret of at least 16 characters for the policies hmac and drop'),
  eventIdExclude: z
    .string()
    .default('')
    .describe('Further fields that change on a resend and stay out of event_id, comma-separated'),
  intakeMapping: z
    .string()
    .default('')
    .describe('JSON file (or JSON text) that maps other field names, time formats and units'),
  speedMaxKmh: z.coerce.number().positive().default(400).describe('Above it an event is rejected'),
  clockAheadMaxMinutes: z.coerce
    .number()
    .min(0)
    .default(5)
    .describe('Further in the future an event is rejected as clock_ahead'),
  eventTimeMin: z.iso
    .date()
    .default('2000-01-01')
    .describe('Before this day an event is rejected as too_old'),
  allowedLatenessMinutes: z.coerce
    .number()
    .min(0)
    .default(180)
    .describe('How far the watermark is behind the newest event; never drops anything'),
  writerCommitAgeMs: count
    .default(4_000)
    .describe('events commits when its oldest record is this old'),
  writerCommitRows: count.default(300_000).describe('… or when so many rows have been collected'),
  rollupsCommitAgeMs: count
    .default(1_500)
    .describe('Provisional rollups commit when their oldest record is this old'),
  lagAgeMaxSeconds: count
    .default(60)
    .describe('A sink whose oldest record not yet committed is older than this is not ready'),
  recomputeSchedule: z
    .string()
    .default('17 * * * *')
    .describe('Cron expression of the exact job (due days and dirty days), or off'),
  recomputeTimeZone: z.string().default('UTC').describe('IANA time zone of the cron expression'),
  engineMemoryMib: count.default(512).describe('Memory limit of each embedded DuckDB'),
  cubeCacheMib: count.default(256).describe('Memory for day cubes in the API'),
  redisUrl: z
    .string()
    .default('')
    .describe(
      'Redis in which API processes share rendered answers, redis(s)://user:password@host:port ; empty: none. Better given as the variable',
    ),
  json: flag.default(false).describe('Data as JSON on stdout, everything else on stderr'),
})

export type Settings = z.infer<typeof settingsSchema>

export type SettingName = keyof Settings

export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

export function variableOf(name: string): string {
  return `POTOK_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** Flags over variables over defaults; unknown `POTOK_` variables and bad values are errors that name them. */
export function readSettings(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  const names = Object.keys(settingsSchema.shape)
  const known = new Map(names.map((name) => [variableOf(name), name]))
  const given: Record<string, unknown> = {}
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('POTOK_') || value === undefined || value === '') continue
    const name = known.get(variable)
    // POTOK_TEST_… belongs to the test suites.
    if (name === undefined && variable.startsWith('POTOK_TEST_')) continue
    if (name === undefined) {
      throw new PotokError('InvalidInput', `${variable} is no setting of potok; see ./potok config`)
    }
    given[name] = value
  }
  for (const name of names) if (flags[name] !== undefined) given[name] = flags[name]
  const result = settingsSchema.safeParse(given)
  if (!result.success) {
    const issue = result.error.issues[0]
    const name = String(issue?.path[0] ?? '')
    throw new PotokError(
      'InvalidInput',
      `setting ${flagOf(name)} (${variableOf(name)}): ${issue?.message ?? 'invalid'}`,
    )
  }
  return checkTogether(result.data)
}

function checkTogether(settings: Settings): Settings {
  if (!/^mqtts?:\/\/[^/?#@]+\/?$/.test(settings.mqttUrl)) {
    throw new PotokError(
      'InvalidInput',
      'setting --mqtt-url (POTOK_MQTT_URL): write mqtt://host:port or mqtts://host:port, without credentials',
    )
  }
  if ((settings.mqttTlsCertFile === '') !== (settings.mqttTlsKeyFile === '')) {
    throw new PotokError(
      'InvalidInput',
      'settings --mqtt-tls-cert-file and --mqtt-tls-key-file: give both or none',
    )
  }
  if (settings.platePolicy !== 'keep' && settings.plateKey.length < 16) {
    throw new PotokError(
      'InvalidInput',
      `setting --plate-key (POTOK_PLATE_KEY): the plate policy ${settings.platePolicy} needs a secret of at least 16 characters`,
    )
  }
  checkWarehouse(settings)
  checkKafkaSettings(settings)
  if (settings.redisUrl !== '' && !isRedisUrl(settings.redisUrl)) {
    throw new PotokError(
      'InvalidInput',
      'setting --redis-url (POTOK_REDIS_URL): write redis://user:password@host:port or rediss://… for TLS',
    )
  }
  if (settings.catalogUri !== '' && !/^https?:\/\/[^/?#@]+(\/[^?#]*)?$/.test(settings.catalogUri)) {
    throw new PotokError(
      'InvalidInput',
      'setting --catalog-uri (POTOK_CATALOG_URI): write http(s)://host:port/path, without credentials',
    )
  }
  return settings
}

function isRedisUrl(text: string): boolean {
  return URL.canParse(text) && /^rediss?:\/\/[^/?#]+(\/\d+)?$/.test(text)
}

function checkWarehouse(settings: Settings): void {
  const { warehouse } = settings
  if (warehouse !== '' && !isS3Warehouse(settings) && !warehouse.startsWith('file:/')) {
    throw new PotokError(
      'Unsupported',
      `setting --warehouse: ${warehouse} — tables are kept on a local folder (file:///…) or in an S3 store (s3://bucket/prefix)`,
    )
  }
  if (settings.s3Endpoint !== '' && !/^https?:\/\/[^/]+\/?$/.test(settings.s3Endpoint)) {
    throw new PotokError(
      'InvalidInput',
      'setting --s3-endpoint (POTOK_S3_ENDPOINT): write http://host:port or https://host:port',
    )
  }
  if ((settings.s3AccessKeyId === '') !== (settings.s3SecretAccessKey === '')) {
    throw new PotokError(
      'InvalidInput',
      'settings --s3-access-key-id and --s3-secret-access-key: give both or none',
    )
  }
}

/** What no command prints and no log holds. */
export const secretSettings: ReadonlySet<SettingName> = new Set<SettingName>([
  'plateKey',
  // It may hold a password.
  'redisUrl',
  'mqttPassword',
  's3SecretAccessKey',
  'catalogCredential',
  'catalogToken',
  // Headers may hold keys.
  'catalogProperties',
  'kafkaPassword',
  'kafkaOauthToken',
])

export function isS3Warehouse(settings: Settings): boolean {
  return /^s3[an]?:\/\//.test(settings.warehouse)
}

/** Location of the warehouse, without a slash at its end. */
export function warehouseLocation(settings: Settings): string {
  const given =
    settings.warehouse === ''
      ? // Raw, not percent-encoded: engines take the path of a location as it stands.
        `file://${resolve(settings.data, 'warehouse')}`
      : settings.warehouse.replace(/^file:\/+/, 'file:///').replace(/^s3[an]:/, 's3:')
  return given.replace(/\/+$/, '')
}

export function listSetting(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

/** The mapping's JSON, from a file or given as text; undefined where there is none. */
export function readMapping(settings: Settings): unknown {
  const given = settings.intakeMapping
  if (given === '') return undefined
  const text = given.trimStart().startsWith('{') ? given : readMappingFile(given)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new PotokError('InvalidInput', 'setting --intake-mapping: not JSON', { cause })
  }
}

function readMappingFile(path: string): string {
  if (!existsSync(path)) {
    throw new PotokError('InvalidInput', `setting --intake-mapping: no file ${path}`)
  }
  return readFileSync(path, 'utf8')
}

export const bytesPerMib = mib
