/**
 * Operating errors: what goes wrong in a healthy program. Programmer errors are `assert`s, not these.
 * The list of kinds is closed; `errorPolicy` is the one table that maps a kind to what is done about it.
 */
export type ErrorKind =
  | 'InvalidInput'
  | 'NotFound'
  | 'AlreadyExists'
  | 'CommitConflict'
  | 'CommitStateUnknown'
  | 'Unavailable'
  | 'Timeout'
  | 'DataCorrupt'
  | 'Unsupported'
  | 'Overloaded'
  | 'TooLarge'
  | 'ShuttingDown'

type ErrorPolicy = {
  readonly httpStatus: number
  readonly retryable: boolean
  readonly logLevel: 'info' | 'warn' | 'error'
}

export const errorPolicy: Readonly<Record<ErrorKind, ErrorPolicy>> = {
  InvalidInput: { httpStatus: 400, retryable: false, logLevel: 'info' },
  NotFound: { httpStatus: 404, retryable: false, logLevel: 'info' },
  AlreadyExists: { httpStatus: 409, retryable: false, logLevel: 'info' },
  CommitConflict: { httpStatus: 409, retryable: true, logLevel: 'info' },
  CommitStateUnknown: { httpStatus: 503, retryable: false, logLevel: 'warn' },
  Unavailable: { httpStatus: 503, retryable: true, logLevel: 'warn' },
  Timeout: { httpStatus: 504, retryable: true, logLevel: 'warn' },
  DataCorrupt: { httpStatus: 500, retryable: false, logLevel: 'error' },
  Unsupported: { httpStatus: 501, retryable: false, logLevel: 'info' },
  Overloaded: { httpStatus: 503, retryable: true, logLevel: 'warn' },
  TooLarge: { httpStatus: 413, retryable: false, logLevel: 'info' },
  ShuttingDown: { httpStatus: 503, retryable: true, logLevel: 'info' },
}

export class PotokError extends Error {
  readonly kind: ErrorKind
  /** Small facts that help to find the cause: names, locations, numbers. Never a plate, never a secret. */
  readonly context: Readonly<Record<string, unknown>>

  constructor(
    kind: ErrorKind,
    message: string,
    options: { context?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'PotokError'
    this.kind = kind
    this.context = options.context ?? {}
  }

  get retryable(): boolean {
    return errorPolicy[this.kind].retryable
  }
}

export function isPotokError(error: unknown, kind?: ErrorKind): error is PotokError {
  return error instanceof PotokError && (kind === undefined || error.kind === kind)
}

/** What was thrown and is no Error. */
function textOf(thrown: unknown): string {
  return typeof thrown === 'string' ? thrown : (JSON.stringify(thrown) ?? typeof thrown)
}

/** One line for people: message and the chain of causes. */
export function describeError(error: unknown): string {
  const parts: string[] = []
  for (let current = error, depth = 0; current !== undefined && depth < 5; depth++) {
    parts.push(current instanceof Error ? current.message : textOf(current))
    current = current instanceof Error ? current.cause : undefined
  }
  return parts.join(': ')
}
