/**
 * The servers of `npm run stack`, natively: each from where testkit/servers has it, with the settings of
 * `deploy/` that Docker Compose gives to the same server. What differs (ports, folders, passwords) comes by
 * environment or command line. All listen on the loopback alone.
 */
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { aliveBrokers } from '../servers/kafka-probe.ts'
import { kafkaJavaArgs, kafkaProgram, newClusterId, planKafka } from '../servers/kafka.ts'
import { minioAnswers, type MinioPlace, minioClient, planMinio } from '../servers/minio.ts'
import { planRedis, redisAnswers } from '../servers/redis.ts'
import type { ServerPlan } from '../servers/server-process.ts'
import { findSystemProgram, serverPath } from '../servers/system-program.ts'
import { trinoIsReady, trinoMain, trinoProgram } from '../servers/trino.ts'
import { mqttAnswers } from './mqtt-probe.ts'
import {
  bucket,
  deployFolder,
  minioKeys,
  mqttCameras,
  mqttPassword,
  type StackPlace,
  subfolder,
} from './stack-place.ts'

export const serverNames = ['kafka', 'minio', 'trino', 'mosquitto', 'redis', 'prometheus'] as const

export type ServerName = (typeof serverNames)[number]

export type StackServer = {
  /** Downloads what is missing, makes folders, formats storage. */
  plan(place: StackPlace): Promise<Omit<ServerPlan, 'isReady'>>
  /** Does it answer as it should? A failure counts as no. */
  isHealthy(place: StackPlace): Promise<boolean>
  /** Once it answers: what belongs into it. */
  fill?(place: StackPlace): Promise<void>
  /** Where people find it. */
  address(place: StackPlace): string
  env(place: StackPlace): Readonly<Record<string, string>>
}

const kafka: StackServer = {
  async plan(place) {
    const { ports } = place
    const program = await kafkaProgram()
    const data = join(subfolder(place, 'kafka'), 'data')
    const settingsFile = join(deployFolder, 'kafka', 'server.properties')
    const client = `CLIENTS://127.0.0.1:${ports.kafka}`
    const internal = `INTERNAL://127.0.0.1:${ports.kafkaInternal}`
    const controller = `127.0.0.1:${ports.kafkaController}`
    const env = {
      KAFKA_LOG_DIRS: data,
      KAFKA_CONTROLLER: controller,
      KAFKA_LISTENERS: `${client},${internal},CONTROLLER://${controller}`,
      KAFKA_ADVERTISED_LISTENERS: `${client},${internal}`,
    }
    if (!existsSync(join(data, 'meta.properties'))) {
      const args = [`--cluster-id=${newClusterId()}`, `--config=${settingsFile}`]
      await program.run('kafka.tools.StorageTool', ['format', ...args], env)
    }
    const node = { nodeId: 1, port: ports.kafka, settingsFile, javaArgs: kafkaJavaArgs }
    return { ...planKafka(program, node), env }
  },
  isHealthy: async ({ ports }) => (await aliveBrokers(ports.kafka)).length > 0,
  address: ({ ports }) => `127.0.0.1:${ports.kafka}`,
  env: ({ ports }) => ({
    POTOK_KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`,
    KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`,
  }),
}

function minioPlace(place: StackPlace): MinioPlace {
  return { folder: subfolder(place, 'minio'), port: place.ports.minio, ...minioKeys }
}

const minioUrl = ({ ports }: StackPlace): string => `http://127.0.0.1:${ports.minio}`

const minio: StackServer = {
  plan: (place) => planMinio(minioPlace(place)),
  async fill(place) {
    const client = minioClient(minioPlace(place))
    if (!(await client.bucketExists(bucket))) await client.makeBucket(bucket)
  },
  isHealthy: ({ ports }) => minioAnswers(ports.minio),
  address: minioUrl,
  env: (place) => ({
    POTOK_WAREHOUSE: `s3://${bucket}/warehouse`,
    POTOK_S3_ENDPOINT: minioUrl(place),
    POTOK_S3_ACCESS_KEY_ID: minioKeys.accessKeyId,
    POTOK_S3_SECRET_ACCESS_KEY: minioKeys.secretAccessKey,
    S3_ENDPOINT: minioUrl(place),
    S3_BUCKET: bucket,
    S3_ACCESS_KEY_ID: minioKeys.accessKeyId,
    S3_SECRET_ACCESS_KEY: minioKeys.secretAccessKey,
  }),
}

const trinoUrl = ({ ports }: StackPlace): string => `http://127.0.0.1:${ports.trino}`

/** The catalog `potok` is that of `potok catalog`, wherever that runs on the port that Trino is told. */
const trino: StackServer = {
  async plan(place) {
    const { java, home } = await trinoProgram()
    const url = trinoUrl(place)
    const settings = join(deployFolder, 'trino')
    const properties = {
      config: join(settings, 'config.properties'),
      'log.levels-file': join(settings, 'log.properties'),
      'catalog.config-dir': join(settings, 'catalog'),
      'plugin.dir': join(home, 'plugin'),
      ...readProperties(join(settings, 'node.properties')),
      'node.data-dir': subfolder(place, 'trino', 'data'),
      'node.bind-ip': '127.0.0.1',
      'node.internal-address': '127.0.0.1',
      'http-server.http.port': String(place.ports.trino),
      'discovery.uri': url,
    }
    const jvm = readFileSync(join(settings, 'jvm.config'), 'utf8').split('\n')
    return {
      name: 'Trino',
      command: java,
      args: [
        ...jvm.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')),
        // On a machine that runs everything at once, the second compiler is what makes the start slow.
        '-XX:TieredStopAtLevel=1',
        ...Object.entries(properties).map(([name, value]) => `-D${name}=${value}`),
        ...trinoMain(home),
      ],
      cwd: subfolder(place, 'trino'),
      env: {
        TRINO_POTOK_CATALOG_URI: `http://127.0.0.1:${place.ports.potokCatalog}`,
        TRINO_S3_ENDPOINT: minioUrl(place),
        TRINO_S3_REGION: 'us-east-1',
        TRINO_S3_ACCESS_KEY_ID: minioKeys.accessKeyId,
        TRINO_S3_SECRET_ACCESS_KEY: minioKeys.secretAccessKey,
      },
      readyMsMax: 300_000,
    }
  },
  isHealthy: (place) => trinoIsReady(trinoUrl(place)),
  address: trinoUrl,
  env: (place) => ({ TRINO_URL: trinoUrl(place) }),
}

const mqttUrl = ({ ports }: StackPlace): string => `mqtt://127.0.0.1:${ports.mosquitto}`

const mosquitto: StackServer = {
  async plan(place) {
    await findSystemProgram('mosquitto', 'mosquitto')
    return {
      name: 'Mosquitto',
      command: 'sh',
      args: [join(deployFolder, 'mosquitto', 'start.sh')],
      env: {
        PATH: serverPath(),
        MQTT_LISTEN: `${place.ports.mosquitto} 127.0.0.1`,
        MQTT_DATA: subfolder(place, 'mosquitto'),
        MQTT_PASSWORD: mqttPassword,
        MQTT_CAMERAS: mqttCameras.map((one) => `${one.kvfvId}:${one.password}`).join(' '),
      },
    }
  },
  isHealthy: ({ ports }) => mqttAnswers(ports.mosquitto),
  address: mqttUrl,
  env: (place) => ({
    POTOK_MQTT_URL: mqttUrl(place),
    POTOK_MQTT_USERNAME: 'potok',
    POTOK_MQTT_PASSWORD: mqttPassword,
    MQTT_URL: mqttUrl(place),
    MQTT_USERNAME: 'potok',
    MQTT_PASSWORD: mqttPassword,
  }),
}

const redisUrl = ({ ports }: StackPlace): string => `redis://127.0.0.1:${ports.redis}`

const redis: StackServer = {
  plan: ({ ports }) => planRedis(ports.redis, [], join(deployFolder, 'redis', 'redis.conf')),
  isHealthy: ({ ports }) => redisAnswers(ports.redis),
  address: redisUrl,
  env: (place) => ({ POTOK_REDIS_URL: redisUrl(place), REDIS_URL: redisUrl(place) }),
}

const prometheusUrl = ({ ports }: StackPlace): string => `http://127.0.0.1:${ports.prometheus}`

/** It finds its rules and targets beside its file: a copy, where `demo` can list the roles that it runs. */
const prometheus: StackServer = {
  async plan(place) {
    const folder = subfolder(place, 'prometheus')
    cpSync(join(deployFolder, 'prometheus'), folder, { recursive: true })
    subfolder(place, 'prometheus', 'targets')
    return {
      name: 'Prometheus',
      command: await findSystemProgram('prometheus', 'prometheus'),
      args: [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${place.ports.prometheus}`,
      ],
    }
  },
  async isHealthy(place) {
    const signal = AbortSignal.timeout(10_000)
    return (await fetch(`${prometheusUrl(place)}/-/ready`, { signal })).ok
  },
  address: prometheusUrl,
  env: (place) => ({ PROMETHEUS_URL: prometheusUrl(place) }),
}

export const stackServers: Readonly<Record<ServerName, StackServer>> = {
  kafka,
  minio,
  trino,
  mosquitto,
  redis,
  prometheus,
}

/** What the roles take for themselves, whichever servers were started. */
export function potokEnv(place: StackPlace): Record<string, string> {
  return {
    POTOK_DATA: join(place.folder, 'potok'),
    // Several roles on one machine: each takes a free port and says which.
    POTOK_PORT: '0',
    POTOK_CATALOG_PORT: String(place.ports.potokCatalog),
    CATALOG_URI: `http://127.0.0.1:${place.ports.potokCatalog}`,
  }
}

function readProperties(file: string): Record<string, string> {
  const lines = readFileSync(file, 'utf8').split('\n')
  const pairs = lines.map((line) => /^\s*([^#=\s][^=]*)=(.*)$/.exec(line))
  return Object.fromEntries(
    pairs.flatMap((pair) => (pair === null ? [] : [[pair[1] as string, pair[2] as string]])),
  )
}
