/**
 * The topic of the log: made where it isn't there yet, looked at where it is.
 *
 * A topic that somebody else made is used as it is, its number of partitions included: what differs from the
 * settings is told in the log. Refused is one that loses records by design (compaction keeps the last record of a
 * camera). A reader of others' logs (read-only) makes nothing and warns of nothing.
 */
import { createTopicsV7, describeConfigsV4 } from '@platformatic/kafka'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/ports.ts'
import type { KafkaCluster, KafkaTopic } from './kafka-cluster.ts'
import { brokerError, brokerErrorCodes, isRefusal, kafkaFailure } from './kafka-failure.ts'
import { sleep } from './sleep.ts'

export type TopicWish = {
  readonly name: string
  readonly partitionCount: number
  readonly retentionMs: number
  /** Copies of each partition; 0: three, or as many as there are brokers. */
  readonly replication: number
}

export type OpenedTopic = {
  readonly topic: KafkaTopic
  /** `max.message.bytes`: a batch as it is sent, compressed. */
  readonly batchBytesMax: number
}

/** Kafka's default: 1 MiB and the head of a batch. */
const batchBytesDefault = 1_048_588
const lookMs = 200
const topicResource = 2

/** Waits for brokers that aren't up yet, for `waitMs`; not for one that refuses us. */
export async function openTopic(
  cluster: KafkaCluster,
  wish: TopicWish,
  options: { readonly readOnly: boolean; readonly waitMs: number; readonly logger: Logger },
): Promise<OpenedTopic> {
  const { readOnly, logger } = options
  const deadline = performance.now() + options.waitMs
  let created = false
  for (;;) {
    try {
      const topic = await cluster.describeTopic(wish.name)
      if (topic === null && readOnly) {
        throw new PotokError('NotFound', `there is no topic ${wish.name} yet`)
      }
      if (topic === null) created = await createTopic(cluster, wish, logger)
      else if (topic.partitions.every(({ leader }) => leader >= 0)) {
        const settings = await readTopicSettings(cluster, wish.name, logger)
        if (settings !== null) refuseDangerous(wish.name, settings)
        if (!readOnly && !created) warnOfDifferences(wish, topic, settings, logger)
        const batchBytesMax = Number(settings?.get('max.message.bytes') ?? batchBytesDefault)
        return { topic, batchBytesMax }
      } else throw withoutLeader(topic)
    } catch (error) {
      const isLasting = !isPotokError(error, 'Unavailable') && !isPotokError(error, 'Timeout')
      if (isLasting || isRefusal(error) || performance.now() > deadline) throw error
    }
    await sleep(lookMs)
  }
}

/** Whether it was made here: another process may have been faster. */
async function createTopic(
  cluster: KafkaCluster,
  wish: TopicWish,
  logger: Logger,
): Promise<boolean> {
  const replicationFactor =
    wish.replication > 0 ? wish.replication : Math.min(3, cluster.brokerCount())
  const configs = {
    'cleanup.policy': 'delete',
    'retention.ms': String(Math.round(wish.retentionMs)),
    // So that received_at of records from foreign producers is when they came, not what those say.
    'message.timestamp.type': 'LogAppendTime',
    'compression.type': 'producer',
    // One broker may be away without a stop, and an acknowledged record is on two.
    'min.insync.replicas': replicationFactor >= 3 ? '2' : '1',
  }
  const { name, partitionCount: numPartitions } = wish
  try {
    await cluster.request('any', createTopicsV7.api, [
      [
        {
          name,
          numPartitions,
          replicationFactor,
          assignments: [],
          configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
        },
      ],
      10_000,
      false,
    ])
  } catch (error) {
    if (brokerErrorCodes(error).includes(brokerError.topicAlreadyExists)) return false
    throw kafkaFailure(error, `can't make topic ${name} with ${replicationFactor} copies`)
  }
  logger.info({ topic: name, numPartitions, replicationFactor, ...configs }, 'made the topic')
  return true
}

/** null where this user may not see them. */
async function readTopicSettings(
  cluster: KafkaCluster,
  name: string,
  logger: Logger,
): Promise<ReadonlyMap<string, string | null> | null> {
  try {
    const { results } = await cluster.request('any', describeConfigsV4.api, [
      [{ resourceType: topicResource, resourceName: name, configurationKeys: settingsRead }],
      false,
      false,
    ])
    const configs = results[0]?.configs ?? []
    return new Map(configs.map((config) => [config.name, config.value ?? null]))
  } catch (error) {
    if (!isRefusal(error)) throw kafkaFailure(error, `can't read the settings of topic ${name}`)
    logger.warn(
      { topic: name, error: describeError(error) },
      'the settings of the topic can’t be checked: this user may not see them (DESCRIBE_CONFIGS)',
    )
    return null
  }
}

const settingsRead = [
  'cleanup.policy',
  'max.message.bytes',
  'message.timestamp.type',
  'min.insync.replicas',
  'retention.bytes',
  'retention.ms',
  'unclean.leader.election.enable',
]

function refuseDangerous(name: string, settings: ReadonlyMap<string, string | null>): void {
  if (settings.get('cleanup.policy')?.includes('compact') === true) {
    throw new PotokError(
      'Unsupported',
      `topic ${name} has cleanup.policy=${settings.get('cleanup.policy')}: Kafka would keep the last detection of each camera only; set it to delete, or name another topic (--kafka-topic)`,
    )
  }
}

function warnOfDifferences(
  wish: TopicWish,
  topic: KafkaTopic,
  settings: ReadonlyMap<string, string | null> | null,
  logger: Logger,
): void {
  const { name, partitionCount, retentionMs } = wish
  const partitions = topic.partitions.length
  if (partitions !== partitionCount) {
    logger.warn(
      { topic: name, partitions, logPartitions: partitionCount },
      'the topic has another number of partitions than the setting --log-partitions: that of the topic counts',
    )
  }
  const copies = Math.min(...topic.partitions.map(({ replicas }) => replicas))
  for (const [isSo, consequence] of dangersOf(settings, copies, retentionMs)) {
    if (isSo) logger.warn({ topic: name }, consequence)
  }
}

function dangersOf(
  settings: ReadonlyMap<string, string | null> | null,
  copies: number,
  retentionMs: number,
): readonly (readonly [boolean, string])[] {
  const value = (key: string): string | null => settings?.get(key) ?? null
  const number = (key: string): number | null => {
    const text = value(key)
    return text === null ? null : Number(text)
  }
  const retention = number('retention.ms')
  return [
    [
      value('message.timestamp.type') === 'CreateTime',
      'the topic keeps the time that producers name (message.timestamp.type=CreateTime): received_at of records from foreign producers is theirs',
    ],
    [
      copies >= 2 && number('min.insync.replicas') === 1,
      'min.insync.replicas=1: an acknowledged record may be on one broker only, and is lost with it',
    ],
    [
      value('unclean.leader.election.enable') === 'true',
      'unclean.leader.election.enable=true: acknowledged records may be lost when brokers fail',
    ],
    [
      retention !== null && retention >= 0 && retention < retentionMs,
      `retention.ms=${retention} is less than --log-retention-hours: what the sinks haven't read by then is lost`,
    ],
    [
      (number('retention.bytes') ?? -1) >= 0,
      `retention.bytes=${value('retention.bytes')}: what the sinks haven't read may be lost before its time`,
    ],
  ]
}

function withoutLeader(topic: KafkaTopic): PotokError {
  const waiting = topic.partitions.filter(({ leader }) => leader < 0).map(({ index }) => index)
  return new PotokError(
    'Unavailable',
    `Kafka: partitions ${waiting.join(', ')} of topic ${topic.name} have no leader`,
  )
}
