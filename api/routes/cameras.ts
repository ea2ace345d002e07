/** The list of cameras, one camera, and registering one. */
import type { Request, Response } from 'express'
import { PotokError } from '../../kernel/errors.ts'
import { dayOfUs, formatUs, usPer5Minutes } from '../../kernel/time.ts'
import { type CameraFacts, factsAt } from '../cameras/camera-facts.ts'
import { factsOf } from '../cameras/camera-input.ts'
import {
  type CameraAnswer,
  type CameraSummary,
  cameraBody,
  cameraImportBody,
  cameraListQuery,
  cameraPath,
} from '../contract/schemas.ts'
import { windowStatus } from '../read-model/window-status.ts'
import { type ApiContext, type Handlers, parsePart, sendJson } from './context.ts'

export function cameraHandlers(context: ApiContext): Handlers {
  const { model, cameras, ports } = context

  async function listCameras(request: Request, response: Response): Promise<void> {
    const { search, limit, offset } = parsePart(cameraListQuery, request.query, 'parameter')
    const register = await cameras.register()
    const nowUs = ports.clock.nowMs() * 1_000
    const wanted = search.toLocaleLowerCase()
    const ids = new Set([...model.cameras.cameras.keys(), ...register.keys()])
    const matching = [...ids]
      .filter((id) => wanted === '' || isMatch(id, factsAt(register.get(id) ?? [], nowUs), wanted))
      .sort()
    response.set('Cache-Control', 'no-cache')
    sendJson(response, 200, {
      total: matching.length,
      as_of: formatUs(model.state.asOfMs * 1_000),
      cameras: matching
        .slice(offset, offset + limit)
        .map((id) => summaryOf(id, factsAt(register.get(id) ?? [], nowUs), nowUs)),
    })
  }

  function summaryOf(id: string, facts: CameraFacts | null, nowUs: number): CameraSummary {
    const last = model.cameras.cameras.get(id)?.last ?? null
    const endUs = last === null ? 0 : last.startUs + usPer5Minutes
    return {
      kvfv_id: id,
      name: facts?.name ?? null,
      road: facts?.road ?? null,
      registered: facts !== null,
      last_window: last === null ? null : formatUs(last.startUs),
      last_avg_speed:
        last === null || last.eventCount === 0
          ? null
          : Math.round(last.speedSumMilli / last.eventCount) / 1_000,
      last_event_count: last?.eventCount ?? null,
      freshness_seconds: last === null ? null : Math.max(0, Math.round((nowUs - endUs) / 1e6)),
      status:
        last === null
          ? null
          : windowStatus(
              {
                endUs,
                isExact: last.isExact,
                isDirty: last.isExact && model.isDirty(id, dayOfUs(last.startUs)),
                isLong: false,
              },
              model.finalityOf(id),
            ),
    }
  }

  async function answerOf(id: string): Promise<CameraAnswer | null> {
    const periods = (await cameras.register()).get(id) ?? []
    if (periods.length === 0 && (await model.hasNoData(id))) return null
    const nowUs = ports.clock.nowMs() * 1_000
    const facts = factsAt(periods, nowUs)
    return {
      ...summaryOf(id, facts, nowUs),
      facts: facts === null ? null : wireFacts(facts),
      history: periods.map(wireFacts),
    }
  }

  async function getCamera(request: Request, response: Response): Promise<void> {
    const { id } = parsePart(cameraPath, request.params, 'parameter')
    const answer = await answerOf(id)
    if (answer === null) {
      throw new PotokError('NotFound', `camera ${id} is not registered and never sent anything`)
    }
    response.set('Cache-Control', 'no-cache')
    sendJson(response, 200, answer)
  }

  async function putCamera(request: Request, response: Response): Promise<void> {
    const { id } = parsePart(cameraPath, request.params, 'parameter')
    const body = parsePart(cameraBody, request.body ?? {}, 'member')
    const { added } = await cameras.importCameras([factsOf({ ...body, kvfv_id: id })])
    sendJson(response, added > 0 ? 201 : 200, await answerOf(id))
  }

  async function importCameras(request: Request, response: Response): Promise<void> {
    const body = parsePart(cameraImportBody, request.body ?? {}, 'member')
    sendJson(response, 200, await cameras.importCameras(body.cameras.map(factsOf)))
  }

  return { listCameras, getCamera, putCamera, importCameras }
}

function isMatch(id: string, facts: CameraFacts | null, wanted: string): boolean {
  return [id, facts?.name, facts?.road].some((text) => text?.toLocaleLowerCase().includes(wanted))
}

function wireFacts(facts: CameraFacts): NonNullable<CameraAnswer['facts']> {
  return {
    name: facts.name,
    road: facts.road,
    latitude: facts.latitude,
    longitude: facts.longitude,
    speed_limit: facts.speedLimit,
    valid_from: facts.validFromUs === null ? null : formatUs(facts.validFromUs),
    time_zone: facts.timeZone,
    lanes: facts.lanes,
  }
}
