/** What no route answered, as problem+json like every other error (RFC 9457). */
import type { ErrorRequestHandler, RequestHandler, Response } from 'express'
import { describeError, PotokError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/ports.ts'
import { problemOf } from '../kernel/problem.ts'

export const answerUnknown: RequestHandler = (request, response) => {
  const { method, path } = request
  send(response, new PotokError('NotFound', `${method} ${path} is not served; see /openapi.json`))
}

export function answerFailure(logger: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    logger.error(
      { method: request.method, path: request.path, error: describeError(error) },
      'a request failed outside of every route',
    )
    if (response.headersSent) next(error)
    else send(response, error)
  }
}

function send(response: Response, error: unknown): void {
  const { status, headers, body } = problemOf(error)
  response.writeHead(status, headers).end(body)
}
