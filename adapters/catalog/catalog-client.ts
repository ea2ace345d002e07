/**
 * Requests to one catalog: who we are, what is tried again and when, and what an answer means.
 *
 * What is tried again, a bounded number of times and within `budgetMs`:
 * - what can't have reached the catalog, and what it refused before doing anything (429): always;
 * - a refusal of who we are (401, 419): once, where there is another token;
 * - everything else that may pass (5xx, time-outs, broken answers): reads; changes only with an idempotency
 *   key, the same for all attempts. Without one a second try could do it twice, or take our own success for
 *   somebody else's.
 *
 * Invariant: once an attempt at a change was left without an answer, only success ends it as known: a refusal
 * of a later attempt doesn't prove that the first one was not done.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { parseJson, stringifyJson } from '../../iceberg/codec/lossless-json.ts'
import { type WireObject, wireObject } from '../../iceberg/codec/wire-reader.ts'
import { isPotokError, PotokError } from '../../kernel/errors.ts'
import type { Clock, IdSource } from '../../kernel/ports.ts'
import type { CatalogAuth } from './catalog-auth.ts'
import {
  failureOfAnswer,
  failureOfBody,
  failureOfExchange,
  type Operation,
  unknownStatuses,
} from './catalog-failures.ts'
import type { HttpAnswer, HttpExchange, HttpRequest } from './http-exchange.ts'

export type CatalogRequest = Operation & {
  readonly method: HttpRequest['method']
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: WireObject
}

export type CatalogAnswer = {
  readonly status: number
  readonly etag: string | undefined
  readonly sizeBytes: number
  /** Throws where the body isn't what `read` wants: DataCorrupt, of changes CommitStateUnknown. */
  read<T>(read: (body: WireObject) => T): T
}

export type CatalogClient = { send(request: CatalogRequest): Promise<CatalogAnswer> }

export type ClientPorts = {
  readonly exchange: HttpExchange
  readonly auth: CatalogAuth
  readonly clock: Clock
  readonly ids: IdSource
  readonly sleep?: (ms: number) => Promise<void>
  readonly random?: () => number
}

export type ClientConfig = {
  /** With a slash at its end. */
  readonly uri: string
  readonly hasIdempotencyKeys: boolean
}

const attemptsMax = 5
/** No further attempt begins after it. */
const budgetMs = 60_000
const backoffMsMin = 100
const backoffMsMax = 5_000
/** A catalog that wants more patience has its wish passed on instead. */
const retryAfterMsMax = 30_000

export function createCatalogClient(ports: ClientPorts, config: ClientConfig): CatalogClient {
  const { exchange, auth, clock } = ports
  const sleep = ports.sleep ?? ((ms: number) => delay(ms))
  const random = ports.random ?? Math.random
  const redact = (text: string): string => auth.redact(text)

  async function send(request: CatalogRequest): Promise<CatalogAnswer> {
    const { uri } = config
    const isChange = request.purpose !== 'read'
    const key = isChange && config.hasIdempotencyKeys ? uuidV7(clock, ports.ids) : null
    const isRepeatable = !isChange || key !== null
    const startMs = clock.nowMs()
    const http = encode(request, config.uri, key)
    let isInDoubt = false
    let hasRenewed = false
    for (let attempt = 1; ; attempt++) {
      let failure: PotokError
      let waitMs: number | null = null
      let mayRepeat: boolean
      try {
        const identity = await auth.headers()
        const headers = { ...http.headers, ...identity }
        const answer = await exchange.send({ ...http, headers })
        if (isSuccess(answer)) {
          return read(answer, request, uri)
        }
        const { status } = answer
        if ((status === 401 || status === 419) && !hasRenewed) {
          hasRenewed = true
          if (await auth.renew(identity)) continue
        }
        failure = failureOfAnswer(answer, request, uri, redact)
        waitMs = retryAfterMs(answer, clock)
        if (isPotokError(failure, 'CommitStateUnknown')) isInDoubt = true
        mayRepeat = status === 429 || (isRepeatable && unknownStatuses.has(status))
      } catch (error) {
        failure = failureOfExchange(error, request, uri, redact)
        if (isPotokError(failure, 'CommitStateUnknown')) isInDoubt = true
        // A token endpoint that refuses our credentials will do so again, and may lock them.
        const isRefused = failure.context['isRefused'] === true
        mayRepeat = !isRefused && (isRepeatable || !isInDoubt)
      }
      waitMs ??= backoffMs(attempt, random)
      if (exchange.isClosed() && !isInDoubt) {
        throw new PotokError('ShuttingDown', 'the catalog client is closed')
      }
      const isOver =
        exchange.isClosed() ||
        clock.nowMs() - startMs + waitMs > budgetMs ||
        waitMs > retryAfterMsMax
      if (!mayRepeat || attempt === attemptsMax || isOver) {
        throw isInDoubt ? inDoubt(failure, request, uri) : failure
      }
      await sleep(waitMs)
    }
  }

  return { send }
}

function encode(request: CatalogRequest, uri: string, key: string | null): HttpRequest {
  const url = new URL(request.path, uri)
  for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value)
  const body = request.body === undefined ? null : stringifyJson(request.body)
  const isChange = request.purpose !== 'read'
  return {
    method: request.method,
    url,
    headers: {
      accept: 'application/json',
      'user-agent': 'potok',
      ...(body === null
        ? {}
        : {
            'content-type': 'application/json',
            'content-length': String(Buffer.byteLength(body)),
          }),
      ...(key === null ? {} : { 'idempotency-key': key }),
      ...request.headers,
    },
    ...(body === null ? {} : { body }),
    isFresh: isChange && key === null,
  }
}

function isSuccess({ status }: HttpAnswer): boolean {
  return (status >= 200 && status < 300) || status === 304
}

function read(answer: HttpAnswer, operation: Operation, uri: string): CatalogAnswer {
  return {
    status: answer.status,
    etag: answer.headers.etag,
    sizeBytes: answer.text.length,
    read(decode) {
      try {
        return decode(wireObject(parseJson(answer.text), 'answer'))
      } catch (error) {
        // A table that is too new for potok is no broken answer.
        if (operation.purpose === 'read' && isPotokError(error, 'Unsupported')) throw error
        throw failureOfBody(error, operation, uri)
      }
    },
  }
}

function inDoubt(failure: PotokError, { what }: Operation, uri: string): PotokError {
  if (failure.kind === 'CommitStateUnknown') return failure
  return new PotokError(
    'CommitStateUnknown',
    `the catalog ${uri} was asked to ${what} and gave no answer at first, then this, which does not settle it: ${failure.message}`,
    { context: failure.context },
  )
}

/** Full jitter: clients that failed together don't come back together. */
function backoffMs(attempt: number, random: () => number): number {
  const full = Math.min(backoffMsMax, backoffMsMin * 2 ** attempt)
  return Math.round(full / 4 + (full * 3 * random()) / 4)
}

/** Seconds or a date; null where there is none. */
function retryAfterMs(answer: HttpAnswer, clock: Clock): number | null {
  const value = answer.headers['retry-after']
  if (value === undefined) return null
  if (/^\d+$/.test(value)) return Number(value) * 1_000
  const atMs = Date.parse(value)
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - clock.nowMs())
}

/** RFC 9562: 48 bits of time in front of random ones, as the specification wants the keys. */
function uuidV7(clock: Clock, ids: IdSource): string {
  const time = Math.max(0, clock.nowMs()).toString(16).padStart(12, '0').slice(-12)
  const random = ids.uuid().replaceAll('-', '')
  const variant = random.charAt(16)
  return [
    time.slice(0, 8),
    time.slice(8),
    `7${random.slice(13, 16)}`,
    `${variant}${random.slice(17, 20)}`,
    random.slice(20, 32),
  ].join('-')
}
