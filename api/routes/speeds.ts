/** `GET /kvfv/{id}/avg-speed`: the hot path. One camera and day in memory is answered without a promise. */
import type { Request, Response } from 'express'
import { PotokError } from '../../kernel/errors.ts'
import { avgSpeedQuery, cameraPath } from '../contract/schemas.ts'
import { parseRange } from '../contract/time-parameters.ts'
import { windowBoundaries } from '../read-model/local-windows.ts'
import { type ApiContext, type Handlers, isUnchanged, parsePart } from './context.ts'
import { renderAvgSpeed } from './render-avg-speed.ts'

export function speedHandlers(context: ApiContext): Handlers {
  const { model, cameras } = context

  async function getAvgSpeed(request: Request, response: Response): Promise<void> {
    const { id } = parsePart(cameraPath, request.params, 'parameter')
    const query = parsePart(avgSpeedQuery, request.query, 'parameter')
    const range = parseRange(query)
    const isLong = range.interval !== '5m'
    // The address names the question; the state of the tables its answer.
    if (isUnchanged(request, response, `W/"${model.state.token}"`)) return
    const boundaries = windowBoundaries(range.fromUs, range.toUs, range.interval, range.zone)
    const found = model.windows(id, boundaries, isLong)
    const answer = found instanceof Promise ? await found : found
    if (answer.windows.length === 0) await requireKnown(id)
    // It may have been read after a refresh meanwhile.
    response.set('ETag', `W/"${answer.state.token}"`)
    response
      .status(200)
      .type('application/json')
      .send(renderAvgSpeed(id, range, answer))
  }

  async function requireKnown(id: string): Promise<void> {
    if (!(await model.hasNoData(id))) return
    if ((await cameras.register()).has(id)) return
    throw new PotokError('NotFound', `camera ${id} is not registered and never sent anything`)
  }

  return { getAvgSpeed }
}
