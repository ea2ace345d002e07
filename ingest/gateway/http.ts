/**
 * `POST /v1/events`: HTTP in front of the intake. Answers 202 only after the log has the events durably;
 * errors are RFC 9457 problem details. docs/guides/connect-a-camera.md is its description for senders.
 *
 * A body that is refused before it was read to its end is discarded for a moment, not cut off: a client
 * that is still sending would see a reset connection instead of the answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Router } from 'express'
import { describeError, isPotokError, PotokError } from '../../kernel/errors.ts'
import { problemOf, type Problem, type ProblemOptions } from '../../kernel/problem.ts'
import type { Intake, IntakeResult } from './intake.ts'
import { type BodyFormat, formatOfContentType } from './item-cursor.ts'
import { readBody, type BodyEncoding } from './read-body.ts'

const discardMsMax = 5_000

export function createIntakeRouter(intake: Intake): Router {
  const router = Router()
  router.post('/v1/events', (request, response) => {
    void answer(intake, request, response)
  })
  router.all('/v1/events', (request, response) => {
    const error = new PotokError('Unsupported', `events are sent with POST, not ${request.method}`)
    send(request, response, problemOf(error, { status: 405, headers: { allow: 'POST' } }))
  })
  return router
}

async function answer(
  intake: Intake,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reservation = intake.budget.open()
  let isHandedOver = false
  let bodyBytes = 0
  try {
    const format = formatOf(request)
    const encoding = encodingOf(request)
    const body = await readBody(request, encoding, intake.limits.bodyBytesMax, reservation)
    bodyBytes = body.length
    isHandedOver = true
    const receivedAtUs = intake.clock.nowMs() * 1_000
    const result = await intake.accept(body, format, 'http', receivedAtUs, reservation)
    send(request, response, result.accepted > 0 ? accepted(result) : nothingAccepted(result))
  } catch (error) {
    if (!isHandedOver) {
      reservation.release()
      intake.countRefusal(error, 'http', bodyBytes)
    }
    if (!isPotokError(error)) {
      intake.logger.error({ error: describeError(error) }, 'POST /v1/events met a fault')
    }
    const { retryAfterSeconds } = intake.limits
    const options = error instanceof HttpError ? error.options : {}
    send(request, response, problemOf(error, { retryAfterSeconds, ...options }))
  }
}

/** An operating error with what only HTTP knows of it. */
class HttpError extends PotokError {
  readonly options: ProblemOptions

  constructor(message: string, options: ProblemOptions) {
    super('Unsupported', message)
    this.options = options
  }
}

function formatOf(request: IncomingMessage): BodyFormat | 'unknown' {
  const header = request.headers['content-type']
  if (header === undefined || header.trim() === '') return 'unknown'
  const [type = '', ...parameters] = header.split(';')
  const format = formatOfContentType(type)
  if (format === undefined) {
    throw new HttpError(
      `Content-Type ${type.trim().slice(0, 80)} is not taken: send application/json (an event or an array) or application/x-ndjson (an event per line)`,
      { status: 415, headers: { 'accept-post': 'application/json, application/x-ndjson' } },
    )
  }
  const charset = /charset\s*=\s*"?([^"\s]+)/i.exec(parameters.join(';'))?.[1]?.toLowerCase()
  if (charset !== undefined && !['utf-8', 'utf8', 'us-ascii'].includes(charset)) {
    throw new HttpError(`charset ${charset.slice(0, 40)} is not taken: send UTF-8`, { status: 415 })
  }
  return format
}

function encodingOf(request: IncomingMessage): BodyEncoding {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding === 'identity' || encoding === '') return 'identity'
  if (encoding === 'gzip' || encoding === 'x-gzip') return 'gzip'
  throw new HttpError(
    `Content-Encoding ${encoding.slice(0, 40)} is not taken: send gzip or none at all`,
    { status: 415, headers: { 'accept-encoding': 'gzip, identity' } },
  )
}

function accepted(result: IntakeResult): Problem {
  return {
    status: 202,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(result),
  }
}

function nothingAccepted({ rejected }: IntakeResult): Problem {
  const count = rejected.length === 1 ? 'the event' : `all ${rejected.length} events`
  const error = new PotokError('InvalidInput', `${count} of the body had to be rejected`)
  return problemOf(error, {
    title: 'No event could be accepted',
    members: { accepted: 0, rejected },
  })
}

function send(request: IncomingMessage, response: ServerResponse, answer: Problem): void {
  if (!request.complete) discardRest(request)
  if (response.destroyed) return
  const body = Buffer.from(answer.body)
  response.writeHead(answer.status, { ...answer.headers, 'content-length': body.length })
  response.end(body)
}

function discardRest(request: IncomingMessage): void {
  const timer = setTimeout(() => request.destroy(), discardMsMax)
  timer.unref()
  request.once('close', () => clearTimeout(timer))
  request.resume()
}
