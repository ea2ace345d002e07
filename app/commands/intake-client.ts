/**
 * Sends events to `POST /v1/events` in NDJSON batches: for replay, simulator and demo.
 *
 * - Events of one camera arrive in the order of `add`: cameras are spread over `concurrency` lanes, and a
 *   lane has one request under way at a time.
 * - A request of which the outcome is unknown (connection lost, time-out, 5xx) is sent again: potok counts the
 *   same detection once. So is one that was refused for now (429, 503), after `Retry-After`.
 * - Memory: a lane holds the batch that is being sent and the one that fills; `add` returns a promise to wait
 *   for where that is full.
 *
 * It gives up (Unavailable) when one batch could not be delivered for `giveUpAfterMs`.
 */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { describeError, PotokError } from '../../kernel/errors.ts'
import { logPartitionOf } from '../../kernel/partitioner.ts'

export type IntakeClientOptions = {
  /** Of the gateway, e.g. `http://127.0.0.1:8080`. */
  readonly baseUrl: string
  readonly concurrency?: number
  readonly batchEventsMax?: number
  readonly batchBytesMax?: number
  readonly gzip?: boolean
  readonly requestTimeoutMs?: number
  readonly giveUpAfterMs?: number
  readonly signal?: AbortSignal
  /** After every answered batch. */
  readonly onProgress?: (counts: IntakeCounts) => void
  /** When a batch has to be sent again: why, and after which pause. */
  readonly onRetry?: (reason: string, pauseMs: number) => void
  readonly random?: () => number
}

export type RejectedSample = {
  readonly line: string
  readonly reason: string
  readonly detail: string
}

export type IntakeCounts = {
  readonly accepted: number
  readonly rejected: number
  readonly rejectedByReason: Readonly<Record<string, number>>
  /** The first few, to show what is wrong. */
  readonly rejectedSamples: readonly RejectedSample[]
  readonly requests: number
  readonly retries: number
}

export type IntakeClient = {
  /** One line of JSON. Undefined, or what to wait for before the next. Throws what an earlier batch met. */
  add(kvfvId: string, line: string): Promise<void> | undefined
  /** Sends a finished NDJSON body at once, beside the lanes. */
  sendNdjson(ndjson: Uint8Array): Promise<void>
  /** Sends what is left and waits for every answer. */
  finish(): Promise<IntakeCounts>
  counts(): IntakeCounts
}

type Lane = { lines: string[]; sizeBytes: number; underWay: Promise<void> | null }
type Answer = { readonly accepted: number; readonly rejected: readonly RejectedItem[] }
type RejectedItem = { readonly index: number; readonly reason: string; readonly detail: string }

const samplesMax = 20
const backOffMsMin = 100
const backOffMsMax = 5_000
const gzipAsync = promisify(gzip)
const encoder = new TextEncoder()

export function createIntakeClient(options: IntakeClientOptions): IntakeClient {
  const url = eventsUrl(options.baseUrl)
  const batchEventsMax = options.batchEventsMax ?? 1_000
  const batchBytesMax = options.batchBytesMax ?? 4 * 1024 * 1024
  const random = options.random ?? Math.random
  const lanes: Lane[] = Array.from({ length: options.concurrency ?? 4 }, () => ({
    lines: [],
    sizeBytes: 0,
    underWay: null,
  }))
  const laneOfCamera = new Map<string, Lane>()
  const rejectedByReason: Record<string, number> = {}
  const rejectedSamples: RejectedSample[] = []
  let accepted = 0
  let rejected = 0
  let requests = 0
  let retries = 0
  let failure: unknown

  const counts = (): IntakeCounts => ({
    accepted,
    rejected,
    rejectedByReason: { ...rejectedByReason },
    rejectedSamples: [...rejectedSamples],
    requests,
    retries,
  })

  function laneOf(kvfvId: string): Lane {
    let lane = laneOfCamera.get(kvfvId)
    if (lane === undefined) {
      lane = lanes[logPartitionOf(encoder.encode(kvfvId), lanes.length)] as Lane
      // A file with ever new ids must not fill the memory.
      if (laneOfCamera.size >= 100_000) laneOfCamera.clear()
      laneOfCamera.set(kvfvId, lane)
    }
    return lane
  }

  function send(lane: Lane): Promise<void> {
    const lines = lane.lines
    lane.lines = []
    lane.sizeBytes = 0
    lane.underWay = deliver(lines)
      .catch((error: unknown) => {
        failure ??= error
      })
      .finally(() => {
        lane.underWay = null
      })
    return lane.underWay
  }

  async function sendWhenFree(lane: Lane): Promise<void> {
    while (lane.underWay !== null) await lane.underWay
    throwFailure()
    if (lane.lines.length > 0) void send(lane)
  }

  function throwFailure(): void {
    if (failure !== undefined) throw failure
  }

  async function deliver(lines: readonly string[]): Promise<void> {
    const answer = await post(encoder.encode(lines.join('\n')))
    if (answer === 'too_large') {
      if (lines.length === 1) {
        count({ accepted: 0, rejected: [{ index: 0, reason: 'too_large', detail: '' }] }, lines)
        return
      }
      const half = lines.length >> 1
      await deliver(lines.slice(0, half))
      await deliver(lines.slice(half))
      return
    }
    count(answer, lines)
  }

  function count(answer: Answer, lines: readonly string[] | null): void {
    accepted += answer.accepted
    rejected += answer.rejected.length
    for (const { index, reason, detail } of answer.rejected) {
      rejectedByReason[reason] = (rejectedByReason[reason] ?? 0) + 1
      if (rejectedSamples.length < samplesMax) {
        rejectedSamples.push({ line: (lines?.[index] ?? '').slice(0, 500), reason, detail })
      }
    }
    options.onProgress?.(counts())
  }

  /** Until there is a definite answer. */
  async function post(ndjson: Uint8Array): Promise<Answer | 'too_large'> {
    const body = options.gzip === true ? await gzipAsync(ndjson, { level: 1 }) : ndjson
    const headers: Record<string, string> = { 'content-type': 'application/x-ndjson' }
    if (options.gzip === true) headers['content-encoding'] = 'gzip'
    const giveUpAt = performance.now() + (options.giveUpAfterMs ?? 5 * 60_000)
    for (let attempt = 0; ; attempt++) {
      options.signal?.throwIfAborted()
      const outcome = await attemptOnce(body, headers)
      requests++
      if ('answer' in outcome) return outcome.answer
      const pauseMs =
        outcome.retryAfterMs ??
        Math.min(backOffMsMax, backOffMsMin * 2 ** attempt) * (0.5 + random() / 2)
      if (performance.now() + pauseMs > giveUpAt) {
        throw new PotokError('Unavailable', `${url} took nothing: ${outcome.reason}`)
      }
      retries++
      options.onRetry?.(outcome.reason, pauseMs)
      await sleep(pauseMs, options.signal)
    }
  }

  async function attemptOnce(
    body: Uint8Array,
    headers: Record<string, string>,
  ): Promise<
    { answer: Answer | 'too_large' } | { reason: string; retryAfterMs: number | undefined }
  > {
    const timeout = AbortSignal.timeout(options.requestTimeoutMs ?? 30_000)
    let response: Response
    let text: string
    try {
      response = await fetch(url, {
        method: 'POST',
        headers,
        body: body as Uint8Array<ArrayBuffer>,
        signal: options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]),
      })
      text = await response.text()
    } catch (error) {
      options.signal?.throwIfAborted()
      return { reason: describeError(error), retryAfterMs: undefined }
    }
    const parsed = parseAnswer(text)
    if (response.status === 202 && parsed?.accepted !== undefined) return { answer: parsed.answer }
    if (response.status === 400 && parsed?.hasRejected === true) return { answer: parsed.answer }
    if (response.status === 413) return { answer: 'too_large' }
    const reason = `HTTP ${response.status} ${parsed?.detail ?? text.slice(0, 200)}`.trim()
    if (response.status === 429 || response.status >= 500 || response.status === 408) {
      return { reason, retryAfterMs: retryAfterMs(response.headers.get('retry-after')) }
    }
    throw new PotokError('InvalidInput', `${url} refuses what was sent: ${reason}`, {
      context: { status: response.status },
    })
  }

  return {
    add(kvfvId, line) {
      throwFailure()
      const lane = laneOf(kvfvId)
      lane.lines.push(line)
      lane.sizeBytes += line.length
      if (lane.lines.length < batchEventsMax && lane.sizeBytes < batchBytesMax) return undefined
      if (lane.underWay !== null) return sendWhenFree(lane)
      void send(lane)
      return undefined
    },
    async sendNdjson(ndjson) {
      const answer = await post(ndjson)
      if (answer === 'too_large') {
        throw new PotokError('TooLarge', `${url} takes no body of ${ndjson.length} bytes`)
      }
      count(answer, null)
    },
    async finish() {
      await Promise.all(
        lanes.map(async (lane) => {
          await sendWhenFree(lane)
          await lane.underWay
        }),
      )
      throwFailure()
      return counts()
    },
    counts,
  }
}

function eventsUrl(baseUrl: string): string {
  try {
    return new URL('/v1/events', baseUrl).href
  } catch (error) {
    throw new PotokError('InvalidInput', `${baseUrl} is no URL of a potok gateway`, {
      cause: error,
    })
  }
}

function parseAnswer(
  text: string,
): { answer: Answer; accepted: number | undefined; hasRejected: boolean; detail?: string } | null {
  try {
    const json = JSON.parse(text) as {
      accepted?: number
      rejected?: RejectedItem[]
      detail?: string
    }
    return {
      answer: { accepted: json.accepted ?? 0, rejected: json.rejected ?? [] },
      accepted: json.accepted,
      hasRejected: Array.isArray(json.rejected),
      ...(json.detail === undefined ? {} : { detail: json.detail }),
    }
  } catch {
    return null
  }
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined
  if (/^\d+$/.test(header.trim())) return Number(header) * 1_000
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error)
      return
    }
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason as Error)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
