/**
 * `GET /kvfv/{id}/avg-speed`: the hot path. One camera and day in memory is answered without a promise, and
 * rendered only where its windows changed since somebody asked last (`response-cache.ts`).
 */
import type { Request, Response } from 'express'
import { PotokError } from '../../kernel/errors.ts'
import { formatUs } from '../../kernel/time.ts'
import { avgSpeedQuery, cameraPath } from '../contract/schemas.ts'
import { parseRange, type Range } from '../contract/time-parameters.ts'
import { aggregateWindows } from '../read-model/aggregate-windows.ts'
import { windowBoundaries } from '../read-model/local-windows.ts'
import type { CameraSlices, ReadModel } from '../read-model/read-model.ts'
import {
  type CachedAnswer,
  etagOf,
  type ResponseCache,
  stampOf,
  watermarkSpanOf,
} from '../response-cache.ts'
import {
  questionToRead,
  type SharedAnswer,
  type SharedAnswers,
  type SharedQuestion,
} from '../shared-answers.ts'
import { type ApiContext, type Handlers, isUnchanged, parsePart } from './context.ts'
import { type AvgSpeedText, renderAvgSpeed } from './render-avg-speed.ts'

export function speedHandlers(context: ApiContext): Handlers {
  const { model, cameras, responses, shared } = context

  async function getAvgSpeed(request: Request, response: Response): Promise<void> {
    const { id } = parsePart(cameraPath, request.params, 'parameter')
    const range = parseRange(parsePart(avgSpeedQuery, request.query, 'parameter'))
    const boundaries = windowBoundaries(range.fromUs, range.toUs, range.interval, range.zone)
    const question = shared === null ? null : questionToRead(model, id, range, boundaries)
    if (shared !== null && question !== null) {
      const { answer, asOfMs, isEmpty } = await answerShared(model, shared, responses, question)
      if (isEmpty) await requireKnown(id)
      if (isUnchanged(request, response, answer.etag)) return
      send(response, answer, formatUs(asOfMs * 1_000))
      return
    }
    const found = model.slices(id, range.fromUs, boundaries.at(-1) as number)
    const from = found instanceof Promise ? await found : found
    const answer = answerTo(responses, id, range, boundaries, from)
    if (from.slices.length === 0) await requireKnown(id)
    if (isUnchanged(request, response, answer.etag)) return
    send(response, answer, formatUs(from.state.asOfMs * 1_000))
  }

  async function requireKnown(id: string): Promise<void> {
    if (!(await model.hasNoData(id))) return
    if ((await cameras.register()).has(id)) return
    throw new PotokError('NotFound', `camera ${id} is not registered and never sent anything`)
  }

  return { getAvgSpeed }
}

/** From the store that processes share, or from files, and then into that store. */
export async function answerShared(
  model: ReadModel,
  shared: SharedAnswers,
  responses: ResponseCache,
  question: SharedQuestion,
): Promise<{ answer: SharedAnswer; asOfMs: number; isEmpty: boolean }> {
  const { id, range, boundaries, state } = question
  const known = await shared.find(question)
  // Without windows nothing is kept, so this has some.
  if (known !== null) return { answer: known, asOfMs: state.asOfMs, isEmpty: false }
  const from = await model.slices(id, range.fromUs, boundaries.at(-1) as number)
  const answer = answerTo(responses, id, range, boundaries, from)
  const isEmpty = from.slices.length === 0
  // A state that came meanwhile may call the same days otherwise than the question's stamp does.
  if (!isEmpty && model.state === state && from.state === state) shared.keep(question, answer)
  return { answer, asOfMs: from.state.asOfMs, isEmpty }
}

/** From the cache, or rendered into it; synchronous, so cells don't change meanwhile. */
export function answerTo(
  responses: ResponseCache,
  id: string,
  range: Range,
  boundaries: readonly number[],
  { slices, finality }: CameraSlices,
): CachedAnswer {
  const isLong = range.interval !== '5m'
  const question = `${range.fromUs} ${range.toUs} ${range.interval} ${range.zone} ${id}`
  const stamp = stampOf(slices, isLong, finality)
  const known = responses.get(question, stamp, finality)
  if (known !== null) return known
  const aggregated = aggregateWindows(slices, boundaries, isLong, finality)
  const text = renderAvgSpeed(id, range, aggregated)
  const watermarks = watermarkSpanOf(aggregated.windows)
  const answer = { ...text, stamp, watermarks, etag: etagOf(text) }
  // What has no windows is cheap to make, and anybody can ask for cameras that nobody has.
  if (aggregated.windows.length > 0) responses.set(question, answer)
  return answer
}

/** Straight to Node: `response.send` would look for a charset, a length and an ETag of its own. */
function send(response: Response, { beforeAsOf, afterAsOf }: AvgSpeedText, asOf: string): void {
  const head = beforeAsOf + asOf
  response.writeHead(200, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(head) + afterAsOf.length,
  })
  response.write(head)
  response.end(afterAsOf)
}
