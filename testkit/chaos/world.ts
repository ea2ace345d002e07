/**
 * The world of the fault run: a real Kafka and a real MinIO behind proxies that fail on purpose, two catalogs
 * behind one address as behind a load balancer, and every role as processes that are started again when they end.
 *
 * Some roles ask the catalogs over REST, others have one of their own over the same store: both ways to run potok
 * at the same time, on one warehouse. Each process has a data folder of its own, as on machines of their own.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type FaultProxy, startFaultProxy } from '../fault-proxy.ts'
import { eventually } from '../potok-process.ts'
import { type Kafka, startKafka } from '../servers/kafka.ts'
import { type Minio, startMinio } from '../servers/minio.ts'
import { freePort } from '../servers/server-process.ts'
import { type FailingS3, startFailingS3 } from './failing-s3.ts'
import { aheadMs } from './sent-events.ts'
import { type RolePlan, type SupervisedRole, superviseRole } from './supervised-role.ts'

export const topic = 'traffic.detections'
export const partitions = 6
export const sessionSeconds = 6
export const latenessMinutes = 30

export type World = {
  readonly kafka: Kafka
  readonly minio: Minio
  readonly failingS3: FailingS3
  readonly s3: FaultProxy
  readonly kafkaLink: FaultProxy
  readonly catalogLink: FaultProxy
  readonly roles: readonly SupervisedRole[]
  /** Where connections to S3 go: to the store, or to the one that fails. */
  useFailingS3(use: boolean): void
  catalogUrl(): string
  gatewayUrls(): string[]
  apiUrl(): string | null
  /** Variables for a potok that looks at it all undisturbed. */
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

const upMsMax = 480_000
/** As many as the issue asks for, in two kinds: with the catalogs over REST, and with one inside. */
const rolePlans: readonly [RolePlan['role'], number, boolean][] = [
  ['catalog', 1, false],
  ['catalog', 2, false],
  ['gateway', 1, false],
  ['gateway', 2, true],
  ['gateway', 3, false],
  ['writer', 1, true],
  ['writer', 2, true],
  ['writer', 3, false],
  ['rollups', 1, true],
  ['rollups', 2, false],
  ['api', 1, true],
]

export async function startWorld(folder: string): Promise<World> {
  const kafkaListener = { port: 0 }
  const kafkaLink = await startFaultProxy(() => [kafkaListener.port])
  const [kafka, minio] = await Promise.all([
    startKafka({
      proxyPorts: [kafkaLink.port],
      properties: {
        'group.min.session.timeout.ms': '1000',
        'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
      },
    }),
    startMinio(),
  ])
  kafkaListener.port = Number(kafka.brokersOf('proxied').split(':')[1])
  const minioPort = Number(new URL(minio.endpoint).port)
  const failingS3 = await startFailingS3(minioPort)
  let s3Port = minioPort
  const s3 = await startFaultProxy(() => [s3Port])
  const catalogPorts = [await freePort(), await freePort()]
  const catalogLink = await startFaultProxy(() => catalogPorts)
  const common = {
    POTOK_WAREHOUSE: `s3://${minio.bucket}/warehouse`,
    POTOK_S3_ACCESS_KEY_ID: minio.accessKeyId,
    POTOK_S3_SECRET_ACCESS_KEY: minio.secretAccessKey,
    POTOK_KAFKA_TOPIC: topic,
    POTOK_LOG_PARTITIONS: String(partitions),
    POTOK_ALLOWED_LATENESS_MINUTES: String(latenessMinutes),
    POTOK_CLOCK_AHEAD_MAX_MINUTES: String(2 * (aheadMs / 60_000)),
  }
  const env = {
    ...common,
    POTOK_S3_ENDPOINT: minio.endpoint,
    POTOK_KAFKA_BROKERS: kafka.brokers,
  }
  const start = ([role, number, usesRest]: (typeof rolePlans)[number]): SupervisedRole =>
    superviseRole(
      planRole(folder, role, number, {
        ...common,
        POTOK_S3_ENDPOINT: `http://127.0.0.1:${s3.port}`,
        POTOK_KAFKA_BROKERS: `127.0.0.1:${kafkaLink.port}`,
        POTOK_KAFKA_SESSION_TIMEOUT_MS: String(1_000 * sessionSeconds),
        POTOK_LOG_LEVEL: 'info',
        POTOK_ENGINE_MEMORY_MIB: '256',
        POTOK_CATALOG_PORT: String(role === 'catalog' ? catalogPorts[number - 1] : 0),
        POTOK_RECOMPUTE_SCHEDULE: '* * * * *',
        POTOK_WRITER_COMMIT_AGE_MS: '3000',
        ...(usesRest
          ? {
              POTOK_CATALOG_URI: `http://127.0.0.1:${catalogLink.port}`,
              POTOK_CATALOG_TIMEOUT_SECONDS: '8',
            }
          : {}),
      }),
    )
  const roles: SupervisedRole[] = []
  const of = (role: RolePlan['role']): SupervisedRole[] =>
    roles.filter(({ plan }) => plan.role === role)

  const world: World = {
    kafka,
    minio,
    failingS3,
    s3,
    kafkaLink,
    catalogLink,
    roles,
    useFailingS3(use) {
      s3Port = use ? failingS3.port : minioPort
      s3.cut()
    },
    catalogUrl: () => `http://127.0.0.1:${catalogLink.port}`,
    gatewayUrls: () => of('gateway').flatMap((gateway) => gateway.url() ?? []),
    apiUrl: () => of('api')[0]?.url() ?? null,
    env,
    async stop() {
      await Promise.all(roles.map((role) => role.retire('SIGKILL')))
      await Promise.all([kafkaLink.stop(), s3.stop(), catalogLink.stop(), failingS3.stop()])
      await Promise.all([kafka.stop(), minio.stop()])
    },
  }
  try {
    // Catalogs first: who finds none at its start ends, and is started again for nothing.
    for (const isFirst of [true, false]) {
      roles.push(...rolePlans.filter(([role]) => (role === 'catalog') === isFirst).map(start))
      await waitUntilUp(world)
    }
  } catch (error) {
    await world.stop()
    throw error
  }
  return world
}

export async function waitUntilUp({ roles }: World): Promise<void> {
  await eventually(
    'every role to be up',
    async () => (roles.every((role) => role.url() !== null) ? true : null),
    upMsMax,
  )
}

function planRole(
  folder: string,
  role: RolePlan['role'],
  number: number,
  env: Readonly<Record<string, string>>,
): RolePlan {
  const name = `${role}-${number}`
  const data = join(folder, 'data', name)
  mkdirSync(data, { recursive: true })
  mkdirSync(join(folder, 'logs'), { recursive: true })
  return { name, role, args: ['--data', data], env, logFile: join(folder, 'logs', `${name}.log`) }
}
