/**
 * Failures of @platformatic/kafka as ours: which of them are about who we are (they stay until somebody changes
 * a setting), and what to say about them. Messages name users, topics and settings, never a secret.
 */
import { PotokError } from '../../kernel/errors.ts'

export const brokerError = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeaderOrFollower: 6,
  messageTooLarge: 10,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  topicAlreadyExists: 36,
  outOfOrderSequenceNumber: 45,
  duplicateSequenceNumber: 46,
  invalidProducerEpoch: 47,
  invalidProducerIdMapping: 49,
  unknownProducerId: 59,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
  unknownTopicId: 100,
  inconsistentTopicId: 103,
} as const

/** `doing`: "can't read topic x", say. */
export function kafkaFailure(error: unknown, doing: string): PotokError {
  if (error instanceof PotokError) return error
  const all = [...everyCause(error)]
  const why = reasonOf(all)
  return new PotokError(
    'Unavailable',
    why === null ? `Kafka: ${doing}` : `Kafka: ${doing}: ${why}`,
    {
      cause: error,
    },
  )
}

/** Nothing but another setting, or another grant on the brokers, helps. */
export function isRefusal(error: unknown): boolean {
  return [...everyCause(error)].some(
    (one) => isLoginFailure(one) || isForbidden(one) || isTlsFailure(one) || isOurRefusal(one),
  )
}

/** An error of ours that says so itself. */
export function refusal(message: string): PotokError {
  return new PotokError('Unavailable', message, { context: { isRefusal: true } })
}

function isOurRefusal(error: unknown): boolean {
  return error instanceof PotokError && error.context['isRefusal'] === true
}

/** The codes that brokers answered with, in order. */
export function brokerErrorCodes(error: unknown): number[] {
  return [...everyCause(error)].flatMap((one) => {
    const code = property(one, 'apiCode')
    return typeof code === 'number' ? [code] : []
  })
}

/** What a broker answered beside errors: platformatic throws where any part of an answer is one. */
export function answerIn(error: unknown): unknown {
  if (!(error instanceof Error) || property(error, 'code') !== 'PLT_KFK_RESPONSE') return null
  return property(error, 'response') ?? null
}

function reasonOf(errors: readonly unknown[]): string | null {
  const login = errors.find(isLoginFailure)
  if (login !== undefined) {
    return 'the login failed: wrong user, password or token (--kafka-username, POTOK_KAFKA_PASSWORD, POTOK_KAFKA_OAUTH…), or a mechanism that the broker doesn’t offer (--kafka-sasl-mechanism)'
  }
  if (errors.some(isForbidden)) {
    return 'the broker doesn’t allow it: this user lacks the right (ACL)'
  }
  if (errors.some(isTlsFailure)) {
    return 'no secure connection: is the listener one with TLS (--kafka-tls), and is its certificate from an authority that is trusted here (--kafka-ca-file)?'
  }
  const names = errors.map((one) => property(one, 'apiId')).filter((id) => typeof id === 'string')
  return names.length === 0 ? null : [...new Set(names)].join(', ')
}

/** platformatic calls it so, too, when the connection broke during the login. */
function isLoginFailure(error: unknown): boolean {
  if (loginErrors.has(String(property(error, 'apiId')))) return true
  if (property(error, 'code') !== 'PLT_KFK_AUTHENTICATION') return false
  const causes = [...everyCause((error as Error).cause)]
  return !causes.some((cause) => property(cause, 'code') === 'PLT_KFK_NETWORK')
}

const loginErrors: ReadonlySet<string> = new Set([
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'ILLEGAL_SASL_STATE',
])

function isForbidden(error: unknown): boolean {
  const code = property(error, 'apiCode')
  return (
    code === brokerError.topicAuthorizationFailed ||
    code === brokerError.groupAuthorizationFailed ||
    code === brokerError.clusterAuthorizationFailed
  )
}

/** Codes of OpenSSL and of Node's check of certificates. */
function isTlsFailure(error: unknown): boolean {
  const code = String(property(error, 'code'))
  return (
    /^ERR_(SSL|TLS)_|CERT|UNABLE_TO_(GET|VERIFY)|SELF_SIGNED/.test(code) ||
    (error instanceof Error && /requires TLS|TLS handshake failed/.test(error.message))
  )
}

/** The error, what it gathers and what caused it; bounded, since causes may go round. */
function* everyCause(error: unknown, depth = 0): Generator {
  if (error === undefined || error === null || depth > 6) return
  yield error
  if (!(error instanceof Error)) return
  yield* everyCause(error.cause, depth + 1)
  if (error instanceof AggregateError) {
    for (const one of error.errors.slice(0, 100)) yield* everyCause(one, depth + 1)
  }
}

function property(error: unknown, name: string): unknown {
  return typeof error === 'object' && error !== null
    ? (error as Readonly<Record<string, unknown>>)[name]
    : undefined
}
