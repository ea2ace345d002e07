/**
 * What an S3 store, the network or the SDK says, sorted by what may be done about it.
 *
 * The one question that counts for a write: is it certain that it did not happen? `isDefinite` says so only
 * where the store itself refused it, or no connection was made. Whatever is not known here is taken for a
 * write that may have landed.
 */
import { type ErrorKind, PotokError } from '../../kernel/errors.ts'

export type S3Trouble =
  | 'missing'
  | 'no-bucket'
  | 'no-upload'
  | 'condition-false'
  | 'conflict'
  | 'beyond-end'
  | 'busy'
  | 'timeout'
  | 'unreachable'
  | 'lost'
  | 'denied'
  | 'untrusted'
  | 'misconfigured'
  | 'unsupported'
  | 'refused'

type Policy = {
  readonly kind: ErrorKind
  readonly isDefinite: boolean
  /** Worth another attempt, where the request may be sent twice. */
  readonly isPassing: boolean
  readonly explanation: string
}

const policies: Readonly<Record<S3Trouble, Policy>> = {
  missing: policy('NotFound', true, false, 'it does not exist'),
  'no-bucket': policy('Unavailable', true, false, 'the bucket does not exist: create it first'),
  'no-upload': policy('Unavailable', true, false, 'the upload in parts is no longer there'),
  'condition-false': policy('AlreadyExists', true, false, 'it exists already'),
  conflict: policy('Unavailable', false, true, 'the store says that another request is in its way'),
  'beyond-end': policy('DataCorrupt', true, false, 'it is shorter than what refers to it says'),
  busy: policy('Unavailable', false, true, 'the store says that it is too busy'),
  timeout: policy('Timeout', false, true, 'no answer came in time'),
  unreachable: policy('Unavailable', true, true, 'the store can not be reached'),
  lost: policy('Unavailable', false, true, 'the connection or the store failed'),
  denied: policy(
    'Unavailable',
    true,
    false,
    'access is denied: check the credentials and what their policy allows (get, put, delete, list)',
  ),
  untrusted: policy(
    'Unavailable',
    true,
    false,
    'its certificate is not trusted: name the CA with --s3-ca-file',
  ),
  misconfigured: policy('InvalidInput', true, false, 'check the S3 settings (./potok config)'),
  unsupported: policy('Unsupported', true, false, 'the store does not support the request'),
  refused: policy('Unavailable', true, false, 'the store refuses the request'),
}

export class S3Failure extends Error {
  readonly trouble: S3Trouble
  readonly isDefinite: boolean
  readonly isPassing: boolean
  /** Only name, message and status are kept: an SDK error holds the request with its signature. */
  constructor(trouble: S3Trouble, message: string) {
    super(message)
    this.name = 'S3Failure'
    this.trouble = trouble
    this.isDefinite = policies[trouble].isDefinite
    this.isPassing = policies[trouble].isPassing
  }
}

export function isS3Failure(error: unknown, trouble?: S3Trouble): error is S3Failure {
  return error instanceof S3Failure && (trouble === undefined || error.trouble === trouble)
}

/** `doing` completes "could not …", e.g. "write". */
export function s3Error(error: unknown, doing: string, location: string): unknown {
  if (!(error instanceof S3Failure)) return error
  const { kind, explanation } = policies[error.trouble]
  return new PotokError(kind, `could not ${doing} ${location}: ${explanation}`, {
    context: { location, trouble: error.trouble },
    cause: error,
  })
}

const byName: Readonly<Record<string, S3Trouble>> = {
  NoSuchKey: 'missing',
  NotFound: 'missing',
  NoSuchBucket: 'no-bucket',
  NoSuchUpload: 'no-upload',
  PreconditionFailed: 'condition-false',
  ConditionalRequestConflict: 'conflict',
  OperationAborted: 'conflict',
  ConcurrentModification: 'conflict',
  InvalidRange: 'beyond-end',
  SlowDown: 'busy',
  SlowDownRead: 'busy',
  SlowDownWrite: 'busy',
  ServiceUnavailable: 'busy',
  TooManyRequests: 'busy',
  RequestTimeout: 'timeout',
  TimeoutError: 'timeout',
  AbortError: 'timeout',
  RequestTimeTooSkewed: 'lost',
  NotImplemented: 'unsupported',
  PermanentRedirect: 'misconfigured',
  AuthorizationHeaderMalformed: 'misconfigured',
  InvalidBucketName: 'misconfigured',
  CredentialsProviderError: 'misconfigured',
  TokenProviderError: 'misconfigured',
}

const byCode: Readonly<Record<string, S3Trouble>> = {
  ECONNREFUSED: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ETIMEDOUT: 'timeout',
  ECONNRESET: 'lost',
  EPIPE: 'lost',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  CERT_HAS_EXPIRED: 'untrusted',
  ERR_TLS_CERT_ALTNAME_INVALID: 'untrusted',
}

const byStatus: Readonly<Record<number, S3Trouble>> = {
  301: 'misconfigured',
  307: 'misconfigured',
  401: 'denied',
  403: 'denied',
  404: 'missing',
  408: 'timeout',
  409: 'conflict',
  412: 'condition-false',
  416: 'beyond-end',
  429: 'busy',
  501: 'unsupported',
  503: 'busy',
}

/** Sorts what the SDK threw. Errors of the local disk (a download's target) pass as they are. */
export function sortS3Error(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof S3Failure || error instanceof PotokError) {
    return error
  }
  const status = statusOf(error)
  // To HEAD there is no body that would say more than the status.
  const named = error.name === 'Unknown' ? 'the store' : `${error.name}: ${error.message}`
  const text = status === null ? named : `${named} (HTTP ${status})`
  return new S3Failure(troubleOf(error, status), text)
}

function troubleOf(error: Error, status: number | null): S3Trouble {
  // The code first: the SDK calls a connection that was reset a TimeoutError.
  const code = codeOf(error)
  const known = (code === null ? undefined : byCode[code]) ?? byName[error.name]
  if (known !== undefined) return known
  if (/region is missing|invalid url|could not load credentials/i.test(error.message)) {
    return 'misconfigured'
  }
  if (status === null) return 'lost'
  return byStatus[status] ?? (status >= 400 && status < 500 ? 'refused' : 'lost')
}

function statusOf(error: Error): number | null {
  const metadata = (error as { $metadata?: { httpStatusCode?: unknown } }).$metadata
  return typeof metadata?.httpStatusCode === 'number' ? metadata.httpStatusCode : null
}

/** Node tries several addresses at once and then throws all their errors as one. */
function codeOf(error: Error): string | null {
  const first = error instanceof AggregateError ? error.errors[0] : error
  const code = (first as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : null
}

function policy(
  kind: ErrorKind,
  isDefinite: boolean,
  isPassing: boolean,
  explanation: string,
): Policy {
  return { kind, isDefinite, isPassing, explanation }
}
