/** The exact job of another potok, over its HTTP API; and its wire form for one in this process. */
import { PotokError } from '../../kernel/errors.ts'
import type { RecomputeRequest, RecomputeRun } from '../../kernel/recompute.ts'
import { formatDay, formatUs } from '../../kernel/time.ts'

export type RunOnTheWire = {
  readonly run_id: string
  readonly status: RecomputeRun['status']
  readonly days: readonly { readonly day: string; readonly cameras: readonly string[] | null }[]
  readonly days_done: number
  /** Cameras recomputed, summed over days. */
  readonly cameras: number
  readonly events_read: number
  readonly rows: number
  readonly seconds: number | null
  readonly sealed_until: string | null
  readonly message: string | null
}

export function runToWire(run: RecomputeRun): RunOnTheWire {
  return {
    run_id: run.runId,
    status: run.status,
    days: run.days.map(({ day, cameras }) => ({ day: formatDay(day), cameras })),
    days_done: run.daysDone,
    cameras: run.cameraDays,
    events_read: run.eventsRead,
    rows: run.rowsWritten,
    seconds: run.seconds,
    sealed_until: run.sealedUntilUs === null ? null : formatUs(run.sealedUntilUs),
    message: run.message,
  }
}

export async function postRecompute(url: string, request: RecomputeRequest): Promise<RunOnTheWire> {
  const body = {
    ...(request.fromDay === null ? {} : { from: formatDay(request.fromDay) }),
    ...(request.toDay === null ? {} : { to: formatDay(request.toDay) }),
    ...(request.cameras === null ? {} : { cameras: request.cameras }),
    ...(request.force ? { force: true } : {}),
  }
  return await ask(`${url}/v1/recompute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}

export async function followRun(url: string, runId: string): Promise<RunOnTheWire> {
  return await ask(`${url}/v1/recompute/${encodeURIComponent(runId)}`, {})
}

async function ask(url: string, init: RequestInit): Promise<RunOnTheWire> {
  const response = await fetch(url, init).catch((cause: unknown) => {
    throw new PotokError('Unavailable', `no answer from ${url}`, { cause })
  })
  if (!response.ok) {
    throw new PotokError(
      response.status === 400 ? 'InvalidInput' : 'Unavailable',
      `${url} answered ${response.status}: ${(await response.text()).slice(0, 500)}`,
    )
  }
  return (await response.json()) as RunOnTheWire
}
