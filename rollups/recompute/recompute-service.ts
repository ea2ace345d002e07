/**
 * The exact job as a service: a bounded queue, one run at a time, and a schedule that asks for what is due
 * and dirty. A request during a run waits its turn; one that asks for the same as one still waiting is that
 * one. Runs are remembered for a while; those that did something are in `recompute_runs` for good.
 *
 * It doesn't make up for times missed while it was stopped: a fresh installation owes none, and an old one
 * does all that is due and dirty at its next time.
 * The engine, the Parquet reader and the writer given to it are its own: it closes them when it stops.
 */
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { Service } from '../../kernel/ports.ts'
import type { RecomputeQueue, RecomputeRequest, RecomputeRun } from '../../kernel/recompute.ts'
import type { Schedule } from '../../kernel/schedule.ts'
import { checkRequest, explainNothing } from './plan-recompute.ts'
import { describeDays, pinSources } from './read-sources.ts'
import {
  type RecomputeConfig,
  type RecomputePorts,
  recomputeConfigDefaults,
} from './recompute-ports.ts'
import { planRound, runRecompute } from './run-recompute.ts'

export type RecomputeService = Service & RecomputeQueue

export type RecomputeServicePorts = RecomputePorts & { readonly schedule: Schedule }

export type RecomputeServiceConfig = Partial<RecomputeConfig> & {
  /** Cron expression, or `off`. */
  readonly schedule: string
  /** IANA name. */
  readonly timeZone: string
  /** Requests that may wait; more are refused: Overloaded. */
  readonly queuedMax?: number
  /** Finished runs that are remembered. */
  readonly finishedMax?: number
}

/** A dry run counts cameras of so many whole days; of more it would take long. */
const countedDaysMax = 31
const emptyRun = {
  startedAtMs: null,
  finishedAtMs: null,
  days: [],
  daysDone: 0,
  cameraDays: 0,
  eventsRead: 0,
  rowsWritten: 0,
  seconds: null,
  sealedUntilUs: null,
  message: null,
}

export function createRecomputeService(
  ports: RecomputeServicePorts,
  options: RecomputeServiceConfig,
): RecomputeService {
  const config: RecomputeConfig = { ...recomputeConfigDefaults, ...options }
  const queuedMax = options.queuedMax ?? 100
  const finishedMax = options.finishedMax ?? 200
  const runs = new Map<string, RecomputeRun>()
  const queue: string[] = []
  const stopping = new AbortController()
  let timer: { stop(): void } | null = null
  let working: Promise<void> | null = null
  let lastFailure: string | null = null

  function update(runId: string, change: Partial<RecomputeRun>): void {
    const run = runs.get(runId)
    if (run !== undefined) runs.set(runId, { ...run, ...change })
  }

  function request(asked: RecomputeRequest): RecomputeRun {
    checkRequest(asked)
    if (stopping.signal.aborted) throw new PotokError('ShuttingDown', 'potok is stopping')
    const same = queue
      .map((runId) => runs.get(runId))
      .find((run) => run !== undefined && isSameRequest(run.request, asked))
    if (same !== undefined) return same
    if (queue.length >= queuedMax) {
      throw new PotokError('Overloaded', `${queuedMax} recompute requests are waiting already`)
    }
    const run: RecomputeRun = {
      ...emptyRun,
      runId: ports.ids.uuid(),
      status: 'queued',
      request: asked,
      requestedAtMs: ports.clock.nowMs(),
    }
    runs.set(run.runId, run)
    queue.push(run.runId)
    working ??= work()
    return run
  }

  async function work(): Promise<void> {
    // The one who asks gets its answer first.
    await Promise.resolve()
    for (let runId = queue.shift(); runId !== undefined; runId = queue.shift()) {
      await perform(runId)
      forgetOldRuns()
    }
    working = null
  }

  async function perform(runId: string): Promise<void> {
    const run = runs.get(runId)
    if (run === undefined) return
    const startedAtMs = ports.clock.nowMs()
    update(runId, { status: 'running', startedAtMs })
    const end = (change: Partial<RecomputeRun>) => {
      const finishedAtMs = ports.clock.nowMs()
      update(runId, { ...change, finishedAtMs, seconds: (finishedAtMs - startedAtMs) / 1_000 })
    }
    try {
      const { request, requestedAtMs } = run
      const outcome = await runRecompute(ports, config, {
        runId,
        request,
        requestedAtMs,
        startedAtMs,
        signal: stopping.signal,
        onProgress: (progress) => update(runId, progress),
      })
      end(outcome)
      lastFailure = null
      const { status, daysDone, cameraDays, eventsRead, rowsWritten, message } = outcome
      ports.logger.info(
        { runId, status, daysDone, cameraDays, eventsRead, rowsWritten },
        message ?? `exact run: ${status}`,
      )
    } catch (error) {
      lastFailure = describeError(error)
      end({ status: 'failed', message: lastFailure })
      const fields = { runId, error: lastFailure }
      if (stopping.signal.aborted) ports.logger.info(fields, 'exact run was stopped')
      else ports.logger.error(fields, 'exact run failed; the last exact results stay in place')
    }
  }

  function forgetOldRuns(): void {
    const finished = [...runs.values()].filter(({ finishedAtMs }) => finishedAtMs !== null)
    for (const { runId } of finished.slice(0, -finishedMax)) runs.delete(runId)
  }

  return {
    async start() {
      if (options.schedule === 'off') return
      timer = ports.schedule.at(options.schedule, options.timeZone, () => {
        try {
          request({
            fromDay: null,
            toDay: null,
            cameras: null,
            force: false,
            trigger: 'schedule',
          })
        } catch (error) {
          ports.logger.warn({ error: describeError(error) }, 'a scheduled exact run is left out')
        }
      })
    },
    async stop(deadlineMs) {
      timer?.stop()
      timer = null
      stopping.abort()
      for (const runId of queue.splice(0)) {
        const finishedAtMs = ports.clock.nowMs()
        update(runId, { status: 'failed', finishedAtMs, message: 'potok stopped before it began' })
      }
      const ended = Promise.all([
        working,
        ports.engine.close(),
        ports.parquetReader.close(),
        ports.parquetWriter.close(),
      ])
      const patience = new AbortController()
      await Promise.race([
        ended,
        ports.sleep(deadlineMs, patience.signal).catch(() => undefined),
      ]).finally(() => patience.abort())
    },
    health() {
      const running = [...runs.values()].find(({ status }) => status === 'running')
      return {
        ok: true,
        details: {
          queued: queue.length,
          running: running?.runId ?? null,
          daysDone: running?.daysDone ?? null,
          days: running?.days.length ?? null,
          ...(lastFailure === null ? {} : { lastFailure }),
        },
      }
    },
    request,
    get: (runId) => runs.get(runId) ?? null,
    list: () => [...runs.values()].reverse(),
    plan: (asked) => planRun(ports, config, asked, stopping.signal),
  }
}

async function planRun(
  ports: RecomputeServicePorts,
  config: RecomputeConfig,
  request: RecomputeRequest,
  signal: AbortSignal,
): Promise<RecomputeRun> {
  checkRequest(request)
  const requestedAtMs = ports.clock.nowMs()
  const pinned = await pinSources(ports, config, await ports.logEnds(), signal)
  const { input, plan } = await planRound(ports, config, request, pinned, new Set())
  const { days } = plan
  const records = new Map(
    input.days.map(({ day, files }) => [day, files.reduce((sum, f) => sum + f.records, 0)]),
  )
  let cameraDays = 0
  for (const [i, { cameras, eventFiles }] of days.entries()) {
    if (cameras !== null) cameraDays += cameras.length
    else if (i < countedDaysMax) {
      cameraDays += (await ports.engine.camerasIn(eventFiles, plan.sealedUntilUs)).length
    }
  }
  return {
    ...emptyRun,
    runId: 'dry-run',
    request,
    requestedAtMs,
    status: days.length === 0 ? 'nothing_to_do' : 'queued',
    days: days.map(({ day, cameras }) => ({ day, cameras })),
    cameraDays,
    eventsRead: days.reduce((sum, { day }) => sum + (records.get(day) ?? 0), 0),
    sealedUntilUs: days.length === 0 ? input.exactness.sealedUntilUs : plan.sealedUntilUs,
    message:
      days.length === 0
        ? explainNothing(input, plan)
        : `would recompute ${describeDays(days)}; events_read counts all events of these days`,
  }
}

function requestKey({ fromDay, toDay, cameras, force }: RecomputeRequest): string {
  return JSON.stringify([fromDay, toDay, cameras === null ? null : [...cameras].sort(), force])
}

function isSameRequest(a: RecomputeRequest, b: RecomputeRequest): boolean {
  return requestKey(a) === requestKey(b)
}
