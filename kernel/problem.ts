/**
 * Errors as RFC 9457 problem details, for every HTTP surface but the catalog (which answers as the Iceberg
 * specification says). Pure: the caller writes status, headers and body.
 *
 * What isn't a PotokError is a fault of ours: its words stay in the log, the client gets none of them.
 */
import { errorPolicy, isPotokError, type ErrorKind } from './errors.ts'

export type Problem = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON text. */
  readonly body: string
}

export type ProblemOptions = {
  /** Where HTTP has a better status than the table of kinds (415, 405, 408 …). */
  readonly status?: number
  readonly title?: string
  /** Extension members, such as `rejected`. */
  readonly members?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
  readonly retryAfterSeconds?: number
}

export const problemContentType = 'application/problem+json'

const titles: Readonly<Record<ErrorKind, string>> = {
  InvalidInput: 'The request is not valid',
  NotFound: 'Not found',
  AlreadyExists: 'It exists already',
  CommitConflict: 'Somebody else was first',
  CommitStateUnknown: 'The outcome is unknown',
  Unavailable: 'Not available now',
  Timeout: 'It took too long',
  DataCorrupt: 'Stored data is damaged',
  Unsupported: 'Not supported',
  Overloaded: 'Too much at once',
  TooLarge: 'Too large',
  ShuttingDown: 'Shutting down',
}

export function problemOf(error: unknown, options: ProblemOptions = {}): Problem {
  const known = isPotokError(error) ? error : null
  const policy = known === null ? null : errorPolicy[known.kind]
  const status = options.status ?? policy?.httpStatus ?? 500
  const headers: Record<string, string> = {
    'content-type': problemContentType,
    'cache-control': 'no-store',
    ...options.headers,
  }
  if (status === 503 || status === 429) {
    headers['retry-after'] = String(options.retryAfterSeconds ?? 2)
  }
  const kind = known?.kind ?? 'Internal'
  const problem = {
    type: `urn:potok:problem:${kebab(kind)}`,
    title: options.title ?? (known === null ? 'Internal error' : titles[known.kind]),
    status,
    detail:
      known === null ? 'The server met a fault of its own; its log has the details' : known.message,
    retryable: policy?.retryable ?? false,
    // The server's own affairs (5xx) are for the log; what the client got wrong is for the client.
    ...(known !== null && status < 500 ? known.context : {}),
    ...options.members,
  }
  return { status, headers, body: JSON.stringify(problem) }
}

function kebab(kind: string): string {
  return kind.replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase()
}
