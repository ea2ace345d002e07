/**
 * Errors of the REST catalog: `{"error": {"message", "type", "code"}}` with the type names and statuses that
 * engines' clients act on. A conflict is 409, always: a client that gets another status for one gives up, or
 * takes the commit for lost. An unknown outcome is 500, never 409 or 400.
 */
import type { NextFunction, Request, Response } from 'express'
import { describeError, type ErrorKind, PotokError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/ports.ts'
import type { CatalogException } from './catalog-errors.ts'

type Answer = { readonly status: number; readonly type: string }

const byException: Readonly<Record<CatalogException, number>> = {
  NoSuchNamespaceException: 404,
  NoSuchTableException: 404,
  NoSuchViewException: 404,
  NotFoundException: 404,
  AlreadyExistsException: 409,
  NamespaceNotEmptyException: 409,
  UnprocessableEntityException: 422,
  IllegalArgumentException: 400,
  ValidationException: 400,
}

const byKind: Readonly<Record<ErrorKind, Answer>> = {
  InvalidInput: { status: 400, type: 'BadRequestException' },
  NotFound: { status: 404, type: 'NotFoundException' },
  AlreadyExists: { status: 409, type: 'AlreadyExistsException' },
  CommitConflict: { status: 409, type: 'CommitFailedException' },
  CommitStateUnknown: { status: 500, type: 'CommitStateUnknownException' },
  Unavailable: { status: 503, type: 'ServiceUnavailableException' },
  Timeout: { status: 504, type: 'ServiceFailureException' },
  DataCorrupt: { status: 500, type: 'InternalServerError' },
  Unsupported: { status: 406, type: 'UnsupportedOperationException' },
  // Before any side effect: clients try again after a while, also with a commit.
  Overloaded: { status: 429, type: 'TooManyRequestsException' },
  TooLarge: { status: 413, type: 'BadRequestException' },
  ShuttingDown: { status: 503, type: 'ServiceUnavailableException' },
}

export function answerOf(error: PotokError): Answer {
  const exception = error.context['exception']
  if (typeof exception === 'string' && exception in byException) {
    return { status: byException[exception as CatalogException], type: exception }
  }
  return byKind[error.kind]
}

export function sendError(response: Response, answer: Answer, message: string): void {
  if (answer.status === 429 || answer.status === 503) response.set('Retry-After', '1')
  response
    .status(answer.status)
    .type('application/json')
    .send(JSON.stringify({ error: { message, type: answer.type, code: answer.status } }))
}

/** Express knows an error handler by its four parameters. */
export function errorHandler(logger: Logger | undefined) {
  return (error: unknown, request: Request, response: Response, next: NextFunction): void => {
    if (response.headersSent) {
      next(error)
      return
    }
    if (error instanceof PotokError) {
      const answer = answerOf(error)
      if (answer.status >= 500 || error.kind === 'DataCorrupt') {
        logger?.warn({ method: request.method, path: request.path }, describeError(error))
      }
      sendError(response, answer, error.message)
      return
    }
    const status = statusOf(error)
    if (status !== null && status < 500) {
      const type = status === 404 ? 'NotFoundException' : 'BadRequestException'
      sendError(response, { status, type }, describeError(error))
      return
    }
    logger?.error({ method: request.method, path: request.path, error }, describeError(error))
    sendError(
      response,
      { status: 500, type: 'InternalServerError' },
      'the catalog failed; see its log',
    )
  }
}

/** What express and its body parser say: 400 for a broken path, 413 for a body that is too large. */
function statusOf(error: unknown): number | null {
  const status = error instanceof Error ? (error as Error & { status?: unknown }).status : undefined
  return typeof status === 'number' ? status : null
}
