/**
 * What the answer to a produce request says about one batch: kept, not kept, or unknown; and what to do then.
 *
 * A batch that is sent again under the same producer id and sequence is kept once: brokers remember the last five
 * batches of each producer in each partition (KIP-98), and at most one of ours is under way there.
 */
import { brokerError } from './kafka-failure.ts'

export type ProduceOutcome =
  | { readonly what: 'kept' }
  /** Send the same again, under the same sequence. `isMaybeKept`: it may be in the log already. */
  | { readonly what: 'again'; readonly isMaybeKept: boolean; readonly findLeader: boolean }
  /** Not kept, and the broker has lost or fenced our producer id: again under a new one. */
  | { readonly what: 'newProducer' }
  | { readonly what: 'tooLarge' }
  /** Not kept: sending again wouldn't help. */
  | { readonly what: 'refused'; readonly reason: string }
  /** An answer that we don't know. */
  | { readonly what: 'unknown'; readonly reason: string }

const again = { what: 'again', isMaybeKept: false, findLeader: false } as const
const elsewhere = { what: 'again', isMaybeKept: false, findLeader: true } as const
/** Written by the leader, and maybe by others; not by as many as asked for, or not in time. */
const maybeKept = { what: 'again', isMaybeKept: true, findLeader: false } as const

/** Names as in Kafka's `Errors`; https://kafka.apache.org/protocol#protocol_error_codes */
const outcomes: Readonly<Record<number, ProduceOutcome>> = {
  [brokerError.none]: { what: 'kept' },
  [brokerError.duplicateSequenceNumber]: { what: 'kept' },
  // CORRUPT_MESSAGE: damaged on its way.
  2: again,
  [brokerError.unknownTopicOrPartition]: elsewhere,
  [brokerError.leaderNotAvailable]: elsewhere,
  [brokerError.notLeaderOrFollower]: elsewhere,
  // REQUEST_TIMED_OUT
  7: maybeKept,
  // BROKER_NOT_AVAILABLE, REPLICA_NOT_AVAILABLE
  8: elsewhere,
  9: elsewhere,
  [brokerError.messageTooLarge]: { what: 'tooLarge' },
  // RECORD_LIST_TOO_LARGE
  18: { what: 'tooLarge' },
  // NETWORK_EXCEPTION
  13: { what: 'again', isMaybeKept: true, findLeader: true },
  // NOT_ENOUGH_REPLICAS
  19: again,
  // NOT_ENOUGH_REPLICAS_AFTER_APPEND
  20: maybeKept,
  [brokerError.topicAuthorizationFailed]: {
    what: 'refused',
    reason: 'this user may not write to the topic (ACL: WRITE)',
  },
  [brokerError.clusterAuthorizationFailed]: {
    what: 'refused',
    reason: 'this user may not write idempotently (ACL: IDEMPOTENT_WRITE on the cluster)',
  },
  // INVALID_TIMESTAMP
  32: {
    what: 'refused',
    reason: 'the topic refuses the time of a record (message.timestamp.before/after.max.ms)',
  },
  // UNSUPPORTED_FOR_MESSAGE_FORMAT, POLICY_VIOLATION, UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD
  43: { what: 'refused', reason: 'the topic has an old message format' },
  44: { what: 'refused', reason: 'a policy of the cluster forbids it' },
  76: { what: 'refused', reason: 'the broker doesn’t know zstd' },
  87: { what: 'refused', reason: 'the broker takes a record for invalid' },
  [brokerError.outOfOrderSequenceNumber]: { what: 'newProducer' },
  [brokerError.invalidProducerEpoch]: { what: 'newProducer' },
  [brokerError.invalidProducerIdMapping]: { what: 'newProducer' },
  [brokerError.unknownProducerId]: { what: 'newProducer' },
  // KAFKA_STORAGE_ERROR: a disk of the leader failed while it wrote.
  56: { what: 'again', isMaybeKept: true, findLeader: true },
  [brokerError.fencedLeaderEpoch]: elsewhere,
  [brokerError.unknownLeaderEpoch]: elsewhere,
  // THROTTLING_QUOTA_EXCEEDED
  89: again,
}

export function produceOutcome(errorCode: number, errorMessage: string | null): ProduceOutcome {
  const known = outcomes[errorCode]
  if (known !== undefined) return known
  const said = errorMessage === null ? '' : ` (${errorMessage})`
  return { what: 'unknown', reason: `the broker answered with error ${errorCode}${said}` }
}
