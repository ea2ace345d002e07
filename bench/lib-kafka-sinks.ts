/** The two that are compared by bench/kafka-iceberg.ts, each started as a process of its own on one stage. */
import { join } from 'node:path'
import { type RunningRole, startRole } from '../testkit/potok-process.ts'
import type { Kafka } from '../testkit/servers/kafka.ts'
import type { Minio } from '../testkit/servers/minio.ts'
import { peerTableSchema, peerTableSpec, startIcebergConnect } from './lib-iceberg-connect.ts'
import { createTable } from './lib-rest-table.ts'

export type SinkName = 'potok' | 'peer'

/** A topic, and a warehouse with a catalog in which both sinks have a table of their own. */
export type Stage = {
  readonly kafka: Kafka
  readonly minio: Minio
  readonly topic: string
  readonly partitions: number
  readonly catalogUri: string
  readonly warehouse: string
  readonly folder: string
  close(): Promise<void>
}

export type RunningSink = {
  readonly pid: number
  /** From when its time counts. */
  readonly startedAtMs: number
  readonly namespace: string
  readonly table: string
  log(): string
  stop(): Promise<void>
}

export async function openStage(
  { kafka, minio, folder }: Pick<Stage, 'kafka' | 'minio' | 'folder'>,
  topic: string,
  partitions: number,
): Promise<Stage> {
  // As potok makes it: what a record's time of receipt is, is for the log to say.
  await createTopic(kafka, topic, partitions, ['message.timestamp.type=LogAppendTime'])
  const warehouse = `s3://${minio.bucket}/${topic}`
  const own = join(folder, topic)
  const catalog: RunningRole & { catalogUrl: string | null } = await startRole(
    'catalog',
    join(own, 'catalog'),
    ['--warehouse', warehouse, '--catalog-port', '0'],
  )
  if (catalog.catalogUrl === null) throw new Error('the catalog has no address')
  return {
    kafka,
    minio,
    topic,
    partitions,
    catalogUri: catalog.catalogUrl,
    warehouse,
    folder: own,
    close: () => catalog.kill('SIGTERM'),
  }
}

export async function startSink(
  sink: SinkName,
  stage: Stage,
  peer: { readonly tasks: number; readonly commitIntervalMs: number },
): Promise<RunningSink> {
  return sink === 'potok' ? startWriter(stage) : startPeer(stage, peer)
}

async function startWriter(stage: Stage): Promise<RunningSink> {
  const startedAtMs = Date.now()
  const role = await startRole('writer', join(stage.folder, 'writer'), [
    '--warehouse',
    stage.warehouse,
    '--kafka-brokers',
    stage.kafka.brokers,
    '--kafka-topic',
    stage.topic,
    '--log-partitions',
    String(stage.partitions),
  ])
  return {
    pid: role.pid,
    startedAtMs,
    namespace: 'traffic',
    table: 'events',
    log: () => role.log(),
    stop: () => role.kill('SIGTERM'),
  }
}

async function startPeer(
  stage: Stage,
  peer: { readonly tasks: number; readonly commitIntervalMs: number },
): Promise<RunningSink> {
  const controlTopic = `${stage.topic}-control`
  await createTopic(stage.kafka, controlTopic, 1, [])
  const [namespace, table] = ['peer', 'events']
  await createTable(stage.catalogUri, namespace, {
    name: table,
    schema: peerTableSchema,
    'partition-spec': peerTableSpec,
  })
  const connect = await startIcebergConnect({
    ...stage,
    ...peer,
    name: `${stage.topic}-sink`,
    brokers: stage.kafka.brokers,
    controlTopic,
    table: `${namespace}.${table}`,
  })
  return {
    pid: connect.pid,
    startedAtMs: connect.runningAtMs,
    namespace,
    table,
    log: () => connect.log(),
    stop: () => connect.stop(),
  }
}

export async function createTopic(
  kafka: Kafka,
  topic: string,
  partitions: number,
  configs: readonly string[],
): Promise<void> {
  await kafka.tool('org.apache.kafka.tools.TopicCommand', [
    '--bootstrap-server',
    kafka.brokers,
    '--create',
    '--topic',
    topic,
    '--partitions',
    String(partitions),
    '--replication-factor',
    '1',
    ...configs.flatMap((config) => ['--config', config]),
  ])
}
