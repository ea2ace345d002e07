/**
 * What an answer of the catalog, or none, means: kinds of PotokError, as Java's ErrorHandlers tell them apart.
 *
 * The rule for changes (commits, and creating or dropping anything): where the request may have reached the
 * catalog and no answer says what became of it, it is CommitStateUnknown and nothing else.
 */
import { parseJson } from '../../iceberg/codec/lossless-json.ts'
import { describeError, type ErrorKind, PotokError } from '../../kernel/errors.ts'
import { type HttpAnswer, HttpFailure } from './http-exchange.ts'

/**
 * `read` changes nothing; `create` makes something new, for which a 409 means that the name is taken;
 * `commit` changes what is there, for which it means that a requirement failed.
 */
export type Purpose = 'read' | 'create' | 'commit'

export type Operation = {
  readonly purpose: Purpose
  /** For people: `load the table traffic.events`. */
  readonly what: string
}

type Envelope = { readonly type: string; readonly message: string }

const textLengthMax = 500

/** Asked again where that is harmless; of a change they don't say whether it was done. */
export const unknownStatuses: ReadonlySet<number> = new Set([408, 500, 502, 503, 504])

export function failureOfAnswer(
  answer: HttpAnswer,
  { purpose, what }: Operation,
  catalog: string,
  redact: (text: string) => string,
): PotokError {
  const envelope = readEnvelope(answer.text)
  const said = redact(envelope?.message ?? plainText(answer)).slice(0, textLengthMax)
  const type = envelope === null || envelope.type === '' ? '' : ` ${envelope.type}`
  const context = { catalog, status: answer.status, exception: envelope?.type ?? null }
  const kind = kindOfStatus(answer.status, purpose, envelope !== null)
  // What the catalog says of names is as good as what potok's own says: passed on as it is.
  if ((kind === 'NotFound' || kind === 'AlreadyExists') && said !== '') {
    return new PotokError(kind, said, { context })
  }
  const advice = adviceOf(answer, envelope !== null)
  return new PotokError(
    kind,
    `the catalog ${catalog} did not ${what}: it answered ${answer.status}${type}${said === '' ? '' : `: ${said}`}${advice}`,
    { context },
  )
}

function kindOfStatus(status: number, purpose: Purpose, hasEnvelope: boolean): ErrorKind {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return 'InvalidInput'
    // Not the caller's fault, and over when an operator has seen to it: until then potok tries again.
    case 401:
    case 403:
    case 419:
      return 'Unavailable'
    case 404:
      // Without the envelope it is a proxy that knows no such path: that is no proof that a table is missing.
      return hasEnvelope ? 'NotFound' : 'Unavailable'
    case 405:
    case 406:
    case 501:
      return 'Unsupported'
    case 409:
      return purpose === 'create' ? 'AlreadyExists' : 'CommitConflict'
    case 429:
      return 'Overloaded'
    default:
      if (purpose !== 'read' && status >= 500) return 'CommitStateUnknown'
      return status === 504 || status === 408 ? 'Timeout' : 'Unavailable'
  }
}

function adviceOf(answer: HttpAnswer, hasEnvelope: boolean): string {
  const { status } = answer
  if (status === 401 || status === 419) {
    return '; check --catalog-token or --catalog-credential: they may be wrong or have expired'
  }
  if (status === 403) {
    return '; the credentials are known but may not do this: grant it to them. Some catalogs say so of what does not exist, too: check --catalog-warehouse and names'
  }
  if (status === 404 && !hasEnvelope) return '; is --catalog-uri the address of an Iceberg catalog?'
  if (status >= 300 && status < 400) {
    const to = answer.headers.location
    return `; potok follows no redirects${to === undefined ? '' : ` (to ${to.split('?')[0]})`}: set --catalog-uri to the right address`
  }
  return ''
}

/** No answer, or one that can't be read. */
export function failureOfExchange(
  error: unknown,
  { purpose, what }: Operation,
  catalog: string,
  redact: (text: string) => string,
): PotokError {
  if (!(error instanceof HttpFailure)) {
    if (error instanceof PotokError) return error
    throw error
  }
  const isUnknown = purpose !== 'read' && error.isSent
  const kind = isUnknown ? 'CommitStateUnknown' : error.isTimeout ? 'Timeout' : 'Unavailable'
  const unknown = isUnknown ? ', and it may have been done' : ''
  return new PotokError(
    kind,
    `the catalog ${catalog} was asked to ${what}${unknown}: ${redact(error.message)}`,
    { context: { catalog } },
  )
}

/** An answer that promises success but isn't what the specification says. */
export function failureOfBody(
  cause: unknown,
  { purpose, what }: Operation,
  catalog: string,
): PotokError {
  return new PotokError(
    purpose === 'read' ? 'DataCorrupt' : 'CommitStateUnknown',
    `the catalog ${catalog} was asked to ${what} and gave an answer that can't be understood: ${describeError(cause)}`,
    { context: { catalog } },
  )
}

/** `{"error": {"message", "type", "code"}}`, and nothing else. */
function readEnvelope(text: string): Envelope | null {
  try {
    const value = parseJson(text) as { error?: { message?: unknown; type?: unknown } } | null
    const error = value?.error
    if (typeof error !== 'object' || error === null) return null
    const message = typeof error.message === 'string' ? error.message : ''
    return { message, type: typeof error.type === 'string' ? error.type : '' }
  } catch {
    return null
  }
}

/** A page of a proxy is for browsers: only plain text is shown. */
function plainText(answer: HttpAnswer): string {
  return /^\s*</.test(answer.text) ? '' : answer.text.trim()
}
