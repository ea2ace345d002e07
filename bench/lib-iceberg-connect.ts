/**
 * The peer: Apache Iceberg's sink for Kafka Connect, one Connect worker of its own (standalone, as one would
 * start a single process) with what a careful operator would set. It reads a topic of JSON from its start and
 * writes the table that is given, through a REST catalog.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findJava } from '../testkit/servers/java.ts'
import { mavenJars } from '../testkit/servers/maven.ts'
import type { Minio } from '../testkit/servers/minio.ts'
import { freePort, startServer } from '../testkit/servers/server-process.ts'

export const connectVersions = 'Kafka Connect 4.3.1, iceberg-kafka-connect 1.11.0'

const artifacts = [
  'org.apache.kafka:connect-runtime:4.3.1',
  'org.apache.iceberg:iceberg-kafka-connect:1.11.0',
  'org.apache.iceberg:iceberg-aws:1.11.0',
  'org.apache.iceberg:iceberg-aws-bundle:1.11.0',
  'org.apache.iceberg:iceberg-orc:1.11.0',
  'org.apache.iceberg:iceberg-parquet:1.11.0',
  'org.apache.hadoop:hadoop-client-api:3.4.2',
  'org.apache.hadoop:hadoop-client-runtime:3.4.2',
  'org.slf4j:slf4j-simple:1.7.36',
]
const javaMajorMin = 17
/** Those of Connect's own start script. */
const heap = ['-Xms256M', '-Xmx2G']

export type ConnectOptions = {
  readonly name: string
  readonly brokers: string
  readonly topic: string
  readonly controlTopic: string
  readonly table: string
  readonly catalogUri: string
  readonly warehouse: string
  readonly minio: Minio
  readonly tasks: number
  readonly commitIntervalMs: number
}

export type Connect = {
  readonly pid: number
  /** When its tasks ran, on the clock. */
  readonly runningAtMs: number
  log(): string
  stop(): Promise<void>
}

export async function startIcebergConnect(options: ConnectOptions): Promise<Connect> {
  const java = await findJava(javaMajorMin)
  const jars = await mavenJars('iceberg-connect', artifacts)
  const folder = await mkdtemp(join(tmpdir(), 'potok-connect-'))
  const port = await freePort()
  const worker = join(folder, 'worker.properties')
  const connector = join(folder, 'connector.properties')
  await writeFile(worker, propertiesText(workerProperties(options, folder, port)))
  await writeFile(connector, propertiesText(connectorProperties(options)))
  let runningAtMs = 0
  const status = `http://127.0.0.1:${port}/connectors/${options.name}/status`
  const server = await startServer({
    name: 'Kafka Connect',
    command: java,
    args: [
      ...heap,
      '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
      '-cp',
      join(jars, '*'),
      'org.apache.kafka.connect.cli.ConnectStandalone',
      worker,
      connector,
    ],
    isReady: async () => {
      const answer = (await (await fetch(status)).json()) as {
        tasks?: readonly { state: string; trace?: string }[]
      }
      const tasks = answer.tasks ?? []
      const isRunning =
        tasks.length === options.tasks && tasks.every((task) => task.state === 'RUNNING')
      if (isRunning) runningAtMs = Date.now()
      return isRunning
    },
  })
  return {
    pid: server.pid,
    runningAtMs,
    log: () => server.log(),
    async stop() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function workerProperties(
  { brokers }: ConnectOptions,
  folder: string,
  port: number,
): Record<string, string> {
  return {
    'bootstrap.servers': brokers,
    listeners: `HTTP://127.0.0.1:${port}`,
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter.schemas.enable': 'false',
    'offset.storage.file.filename': join(folder, 'offsets'),
    'consumer.auto.offset.reset': 'earliest',
    // 500 by default: more at a time is a little faster.
    'consumer.max.poll.records': '5000',
    'consumer.max.partition.fetch.bytes': '4194304',
  }
}

function connectorProperties(options: ConnectOptions): Record<string, string> {
  const { minio } = options
  return {
    name: options.name,
    'connector.class': 'org.apache.iceberg.connect.IcebergSinkConnector',
    'tasks.max': String(options.tasks),
    topics: options.topic,
    'iceberg.tables': options.table,
    'iceberg.control.topic': options.controlTopic,
    'iceberg.control.commit.interval-ms': String(options.commitIntervalMs),
    'iceberg.catalog.type': 'rest',
    'iceberg.catalog.uri': options.catalogUri,
    'iceberg.catalog.warehouse': options.warehouse,
    'iceberg.catalog.io-impl': 'org.apache.iceberg.aws.s3.S3FileIO',
    'iceberg.catalog.s3.endpoint': minio.endpoint,
    'iceberg.catalog.s3.path-style-access': 'true',
    'iceberg.catalog.s3.access-key-id': minio.accessKeyId,
    'iceberg.catalog.s3.secret-access-key': minio.secretAccessKey,
    'iceberg.catalog.client.region': 'us-east-1',
  }
}

function propertiesText(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

/** The fields of the events as they come: the sink reads ISO text into `timestamptz` by itself. */
export const peerTableSchema = {
  type: 'struct',
  'schema-id': 0,
  fields: [
    { id: 1, name: 'kvfv_id', type: 'string', required: false },
    { id: 2, name: 'timestamp', type: 'timestamptz', required: false },
    { id: 3, name: 'vehicle_speed', type: 'double', required: false },
    { id: 4, name: 'plate_number', type: 'string', required: false },
    { id: 5, name: 'lane', type: 'int', required: false },
    { id: 6, name: 'direction', type: 'string', required: false },
    { id: 7, name: 'note', type: 'string', required: false },
  ],
}

export const peerTableSpec = {
  'spec-id': 0,
  fields: [{ 'source-id': 2, 'field-id': 1000, name: 'timestamp_day', transform: 'day' }],
}
