/**
 * Membership of a consumer group: only for who reads which partitions. Positions are in the table, never in the group;
 * two members that read the same partition for a moment (a zombie, a change under way) do harm to nobody, since the
 * table takes one commit of the two.
 *
 * The classic protocol (JoinGroup, SyncGroup, Heartbeat), since its session time-out is the member's and brokers
 * before 4.0 and others than Kafka have no other (docs/adr). A change of shares goes on beside the reading: a member
 * keeps what it has until it is told its new share.
 *
 * - A member that could not tell the coordinator for its session time-out that it lives holds its share for lost, also
 *   where nobody told it so: after SIGCONT it stops before it asks.
 * - The leader looks for new partitions of the topic.
 * - Refusals (a foreign program in the group, rights, a login) are `failure`; all else is tried again, and becomes
 *   one where it lasts.
 */
import {
  findCoordinatorV4,
  heartbeatV4,
  joinGroupV7,
  leaveGroupV4,
  offsetCommitV8,
  syncGroupV5,
} from '@platformatic/kafka'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/ports.ts'
import type { KafkaCluster } from './kafka-cluster.ts'
import { answerIn, brokerErrorCodes, isRefusal, kafkaFailure } from './kafka-failure.ts'
import {
  assignorName,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  sharePartitions,
} from './kafka-group-protocol.ts'
import { sleep } from './sleep.ts'

export type KafkaGroupOptions = {
  /** Its own: a JoinGroup may wait for minutes, and holds up what comes after it on its connection. */
  readonly cluster: KafkaCluster
  /** For what must not wait: leaving, acknowledging. */
  readonly sharedCluster: KafkaCluster
  readonly groupId: string
  readonly topic: string
  readonly sessionTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly logger: Logger
  readonly onChange: () => void
}

export type KafkaGroup = {
  /** The same array as long as it is the same share. */
  assignment(): readonly number[]
  /** What won't pass by itself, or lasts. */
  failure(): PotokError | null
  /** Resolves with the first share, with a refusal, or after `waitMs`. */
  ready(waitMs: number): Promise<void>
  /** For displays of Kafka's tools. */
  commitGroupOffsets(positions: ReadonlyMap<number, number>): Promise<void>
  close(): Promise<void>
}

const groupError = {
  coordinatorLoadInProgress: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  illegalGeneration: 22,
  inconsistentGroupProtocol: 23,
  invalidGroupId: 24,
  unknownMemberId: 25,
  invalidSessionTimeout: 26,
  rebalanceInProgress: 27,
  memberIdRequired: 79,
  groupMaxSizeReached: 81,
} as const

const lookForPartitionsMsMax = 15_000
const failingMsMax = 30_000
const leaveTimeoutMs = 2_000
const nothing: readonly number[] = []

export function createKafkaGroup(options: KafkaGroupOptions): KafkaGroup {
  const { cluster, sharedCluster, groupId, topic, sessionTimeoutMs, requestTimeoutMs } = options
  const { logger, onChange } = options
  const heartbeatMs = Math.min(3_000, Math.max(200, sessionTimeoutMs / 10))
  const answerMs = Math.min(requestTimeoutMs, Math.max(1_000, sessionTimeoutMs / 3))
  const lookForPartitionsMs = Math.min(lookForPartitionsMsMax, sessionTimeoutMs)
  const stopping = new AbortController()
  const firstShare = Promise.withResolvers<void>()
  let coordinator: number | null = null
  let memberId = ''
  let generation = -1
  let share = nothing
  let isLeader = false
  let partitionCount = 0
  let isJoining = false
  let aliveMs = Number.NEGATIVE_INFINITY
  let failure: PotokError | null = null
  let failingSinceMs: number | null = null
  let lastFailure: PotokError | null = null
  const running = run()

  async function run(): Promise<void> {
    for (let tries = 0; !stopping.signal.aborted; ) {
      try {
        await join()
        tries = 0
        failingSinceMs = null
        failure = null
        await keepAlive()
      } catch (error) {
        if (stopping.signal.aborted) return
        const waitMs = judge(error, tries)
        tries = waitMs === 0 ? tries : tries + 1
        await sleep(waitMs, stopping.signal)
      }
    }
  }

  /** How long to wait before the next attempt. */
  function judge(error: unknown, tries: number): number {
    const codes = brokerErrorCodes(error)
    const has = (...wanted: number[]): boolean => wanted.some((code) => codes.includes(code))
    if (has(groupError.memberIdRequired)) {
      memberId = (answerIn(error) as { memberId?: string } | null)?.memberId ?? ''
      return 0
    }
    if (has(groupError.rebalanceInProgress)) return tries === 0 ? 0 : 50
    if (has(groupError.unknownMemberId)) {
      // The group went on without us: others have our share by now.
      memberId = ''
      generation = -1
      setShare(nothing)
      return 0
    }
    if (has(groupError.illegalGeneration)) return 0
    const failed = refusalOf(error, codes)
    lastFailure = failed ?? kafkaFailure(error, `group ${groupId}`)
    if (failed !== null && failure === null) {
      failure = failed
      logger.error({ group: groupId, error: describeError(failed) }, 'Kafka refuses the group')
      firstShare.resolve()
      onChange()
    }
    if (failingSinceMs === null) {
      failingSinceMs = performance.now()
      logger.warn(
        { group: groupId, error: describeError(lastFailure) },
        'the consumer group does not answer',
      )
    }
    // Found anew: it may have moved.
    coordinator = null
    return failed === null ? Math.min(2_000, 100 * 2 ** Math.min(tries, 5)) : 10_000
  }

  function refusalOf(error: unknown, codes: readonly number[]): PotokError | null {
    const context = { group: groupId }
    if (codes.includes(groupError.inconsistentGroupProtocol)) {
      const why = `another program that shares out partitions otherwise is in the consumer group ${groupId}: stop it`
      return new PotokError('Unavailable', `Kafka: ${why}`, { context, cause: error })
    }
    if (codes.includes(groupError.invalidSessionTimeout)) {
      const why = `the brokers don’t allow a session time-out of ${sessionTimeoutMs} ms (group.min.session.timeout.ms, group.max.session.timeout.ms)`
      return new PotokError('InvalidInput', `Kafka: ${why}`, { context, cause: error })
    }
    if (codes.includes(groupError.groupMaxSizeReached)) {
      const why = `the consumer group ${groupId} has as many members as the brokers allow (group.max.size)`
      return new PotokError('Unavailable', `Kafka: ${why}`, { context, cause: error })
    }
    return isRefusal(error) ? kafkaFailure(error, `group ${groupId}`) : null
  }

  async function findCoordinator(): Promise<number> {
    if (coordinator !== null) return coordinator
    // Names the brokers' addresses, too.
    const described = await cluster.describeTopic(topic)
    if (described === null) throw new PotokError('NotFound', `topic ${topic} has gone`)
    const { coordinators } = await cluster.request('any', findCoordinatorV4.api, [0, [groupId]])
    coordinator = coordinators[0]?.nodeId ?? null
    if (coordinator === null) throw new PotokError('Unavailable', 'the group has no coordinator')
    return coordinator
  }

  async function join(): Promise<void> {
    isJoining = true
    try {
      const broker = await findCoordinator()
      const metadata = encodeSubscription(topic, { owned: [...share], generation })
      const joined = await cluster.request(
        broker,
        joinGroupV7.api,
        [
          groupId,
          sessionTimeoutMs,
          sessionTimeoutMs,
          memberId,
          null,
          'consumer',
          [{ name: assignorName, metadata }],
        ],
        sessionTimeoutMs + requestTimeoutMs,
      )
      memberId = joined.memberId
      isLeader = joined.leader === memberId
      const shares = isLeader ? await shareOut(joined.members) : []
      const { generationId } = joined
      const synced = await cluster.request(
        broker,
        syncGroupV5.api,
        [groupId, generationId, memberId, null, 'consumer', assignorName, shares],
        sessionTimeoutMs + requestTimeoutMs,
      )
      generation = generationId
      aliveMs = performance.now()
      setShare(decodeAssignment(topic, synced.assignment).sort((a, b) => a - b))
      firstShare.resolve()
    } finally {
      isJoining = false
    }
  }

  async function shareOut(
    members: readonly { readonly memberId: string; readonly metadata: Buffer }[],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const described = await cluster.describeTopic(topic)
    if (described === null) throw new PotokError('NotFound', `topic ${topic} has gone`)
    partitionCount = described.partitions.length
    const none = { owned: [], generation: -1 }
    const subscriptions = new Map(
      members.map((member) => [
        member.memberId,
        decodeSubscription(topic, member.metadata) ?? none,
      ]),
    )
    const shares = [...sharePartitions(subscriptions, partitionCount)]
    logger.info(
      { group: groupId, shares: shares.map(([, partitions]) => partitions) },
      'shared the partitions out',
    )
    return shares.map(([name, partitions]) => ({
      memberId: name,
      assignment: encodeAssignment(topic, partitions),
    }))
  }

  /** Until there is a reason to join again. */
  async function keepAlive(): Promise<void> {
    let lookedMs = performance.now()
    while (!stopping.signal.aborted) {
      await sleep(heartbeatMs, stopping.signal)
      if (stopping.signal.aborted) return
      await cluster.request(
        await findCoordinator(),
        heartbeatV4.api,
        [groupId, generation, memberId],
        answerMs,
      )
      aliveMs = performance.now()
      if (isLeader && aliveMs - lookedMs >= lookForPartitionsMs) {
        lookedMs = aliveMs
        const described = await cluster.describeTopic(topic)
        if (described !== null && described.partitions.length !== partitionCount) return
      }
    }
  }

  function setShare(partitions: readonly number[]): void {
    if (partitions.length === share.length && partitions.every((p, i) => p === share[i])) return
    logger.info({ group: groupId, generation, partitions }, 'reads these log partitions now')
    share = partitions
    onChange()
  }

  function isAlive(): boolean {
    const silentMs = performance.now() - aliveMs
    return silentMs <= (isJoining ? 2 : 1) * sessionTimeoutMs
  }

  return {
    assignment: () => (isAlive() ? share : nothing),
    failure() {
      const lasts = failingSinceMs !== null && performance.now() - failingSinceMs > failingMsMax
      return failure ?? (lasts ? lastFailure : null)
    },
    async ready(waitMs) {
      const waited = new AbortController()
      await Promise.race([firstShare.promise, sleep(waitMs, waited.signal)])
      waited.abort()
    },
    async commitGroupOffsets(positions) {
      if (coordinator === null || memberId === '' || generation < 0) {
        throw new PotokError('Unavailable', `not a member of group ${groupId} at the moment`)
      }
      const partitions = [...positions].map(([partitionIndex, offset]) => ({
        partitionIndex,
        committedOffset: BigInt(offset),
        committedLeaderEpoch: -1,
        committedMetadata: null,
      }))
      try {
        await sharedCluster.request(coordinator, offsetCommitV8.api, [
          groupId,
          generation,
          memberId,
          null,
          [{ name: topic, partitions }],
        ])
      } catch (error) {
        throw kafkaFailure(error, `group ${groupId} took no offsets`)
      }
    },
    async close() {
      stopping.abort()
      const broker = coordinator
      if (broker !== null && memberId !== '') {
        try {
          const leaving = [{ memberId, groupInstanceId: null }]
          await sharedCluster.request(broker, leaveGroupV4.api, [groupId, leaving], leaveTimeoutMs)
        } catch (error) {
          // It will be missed after its session time-out.
          logger.debug({ group: groupId, error: describeError(error) }, 'could not leave the group')
        }
      }
      await cluster.close()
      await running
    },
  }
}
