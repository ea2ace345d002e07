/** How final each day is, and asking for an exact run. */
import type { Request, Response } from 'express'
import { PotokError } from '../../kernel/errors.ts'
import type { RecomputeQueue, RecomputeRun } from '../../kernel/recompute.ts'
import { formatDay, formatUs } from '../../kernel/time.ts'
import {
  type DayListAnswer,
  dayListQuery,
  type RunAnswer,
  recomputeBody,
  runPath,
} from '../contract/schemas.ts'
import { badParameter, parseDayParameter } from '../contract/time-parameters.ts'
import { dayStatus, newestWatermarkUs } from '../read-model/read-model.ts'
import { type ApiContext, type Handlers, parsePart, sendJson } from './context.ts'

/** How long a list of days waits for days that were not counted yet. */
const summaryWaitMs = 3_000
const knownRunsMax = 200

export function exactnessHandlers(context: ApiContext): Handlers {
  const { model, ports } = context
  /** Runs whose end the read model has seen. */
  const seenRuns = new Set<string>()

  async function listDays(request: Request, response: Response): Promise<void> {
    const query = parsePart(dayListQuery, request.query, 'parameter')
    const from = query.from === undefined ? null : parseDayParameter('from', query.from)
    const to = query.to === undefined ? null : parseDayParameter('to', query.to)
    if (from !== null && to !== null && to <= from) {
      throw badParameter('to', `is "${query.to}": expected a day after from`)
    }
    const { state } = model
    const days = [...new Set([...state.days.keys(), ...state.dirty.keys()])]
      .filter((day) => (from === null || day >= from) && (to === null || day < to))
      .sort((a, b) => b - a)
      .slice(0, query.limit)
    const deadlineMs = ports.clock.nowMs() + summaryWaitMs
    const answer: DayListAnswer = {
      as_of: formatUs(state.asOfMs * 1_000),
      sealed_until: formatUsOrNull(state.exactness.sealedUntilUs),
      watermark: formatUsOrNull(newestWatermarkUs(state)),
      days: [],
    }
    for (const day of days) {
      const counted = await model.summary(day, deadlineMs - ports.clock.nowMs())
      const { status, isSealed } = dayStatus(state, day)
      const dirty = state.dirty.get(day)
      const isEmpty = !state.days.has(day)
      answer.days.push({
        day: formatDay(day),
        status,
        sealed: isSealed,
        dirty_cameras: dirty === undefined ? 0 : (dirty.cameras?.size ?? null),
        cameras: isEmpty ? 0 : (counted?.cameras ?? null),
        event_count: isEmpty ? 0 : (counted?.events ?? null),
        revision_max: counted === null || counted.revisionMax === 0 ? null : counted.revisionMax,
        last_computed_at: formatUsOrNull(counted?.computedAtUsMax ?? null),
      })
    }
    response.set('Cache-Control', 'no-cache')
    sendJson(response, 200, answer)
  }

  function queue(): RecomputeQueue {
    if (ports.recompute !== null) return ports.recompute
    throw new PotokError(
      'Unsupported',
      'the exact job does not run in this process: ask the one that runs it (potok up, potok recompute)',
    )
  }

  function requestRecompute(request: Request, response: Response): void {
    const body = parsePart(recomputeBody, request.body ?? {}, 'member')
    const fromDay = body.from == null ? null : parseDayParameter('from', body.from)
    const toDay = body.to == null ? null : parseDayParameter('to', body.to)
    if (fromDay !== null && toDay !== null && toDay <= fromDay) {
      throw badParameter('to', `is "${body.to}": it is exclusive, expected a day after from`)
    }
    const run = queue().request({
      fromDay,
      toDay,
      cameras: body.cameras ?? null,
      force: body.force,
      trigger: 'http',
    })
    response.set('Location', `/v1/recompute/${run.runId}`).set('Cache-Control', 'no-store')
    sendJson(response, 202, wireRun(run))
  }

  async function getRecomputeRun(request: Request, response: Response): Promise<void> {
    const { run_id } = parsePart(runPath, request.params, 'parameter')
    const run = queue().get(run_id)
    if (run === null) {
      throw new PotokError(
        'NotFound',
        `no run ${run_id} in this process; the table recompute_runs keeps all that did something`,
      )
    }
    await showRun(run)
    response.set('Cache-Control', 'no-store')
    sendJson(response, 200, wireRun(run))
  }

  /** Whoever reads "done" may ask for the averages next: by then they must be there. */
  async function showRun(run: RecomputeRun): Promise<void> {
    if (run.status !== 'done' || seenRuns.has(run.runId)) return
    await model.refresh()
    if (seenRuns.size >= knownRunsMax) seenRuns.clear()
    seenRuns.add(run.runId)
  }

  function listRecomputeRuns(_request: Request, response: Response): void {
    response.set('Cache-Control', 'no-store')
    sendJson(response, 200, { runs: queue().list().map(wireRun) })
  }

  return { listDays, requestRecompute, getRecomputeRun, listRecomputeRuns }
}

function wireRun(run: RecomputeRun): RunAnswer {
  const { request } = run
  return {
    run_id: run.runId,
    status: run.status,
    trigger: request.trigger,
    request: {
      from: request.fromDay === null ? null : formatDay(request.fromDay),
      to: request.toDay === null ? null : formatDay(request.toDay),
      cameras: request.cameras === null ? null : [...request.cameras],
      force: request.force,
    },
    requested_at: formatUs(run.requestedAtMs * 1_000),
    started_at: formatMsOrNull(run.startedAtMs),
    finished_at: formatMsOrNull(run.finishedAtMs),
    days: run.days.map(({ day, cameras }) => ({
      day: formatDay(day),
      cameras: cameras === null ? null : [...cameras],
    })),
    days_done: run.daysDone,
    cameras: run.cameraDays,
    events_read: run.eventsRead,
    rows: run.rowsWritten,
    seconds: run.seconds,
    sealed_until: formatUsOrNull(run.sealedUntilUs),
    message: run.message,
    error: run.status === 'failed' ? run.message : null,
  }
}

export function formatUsOrNull(us: number | null): string | null {
  return us === null ? null : formatUs(us)
}

export function formatMsOrNull(ms: number | null): string | null {
  return ms === null ? null : formatUs(ms * 1_000)
}
