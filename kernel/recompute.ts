/** The words of an exact run, shared by the job, the API and the command line. */

export type RecomputeTrigger = 'schedule' | 'http' | 'cli' | 'demo'

export type RecomputeRequest = {
  /** UTC days [fromDay, toDay); null: everything due and dirty. */
  readonly fromDay: number | null
  readonly toDay: number | null
  /** null: all. A run limited to cameras touches sealed windows only. */
  readonly cameras: readonly string[] | null
  /** Recompute clean days too. */
  readonly force: boolean
  readonly trigger: RecomputeTrigger
}

export type RecomputedDay = {
  readonly day: number
  /** null: all cameras of that day. */
  readonly cameras: readonly string[] | null
}

export type RecomputeRun = {
  readonly runId: string
  readonly status: 'queued' | 'running' | 'done' | 'nothing_to_do' | 'failed'
  readonly request: RecomputeRequest
  readonly requestedAtMs: number
  readonly startedAtMs: number | null
  readonly finishedAtMs: number | null
  readonly days: readonly RecomputedDay[]
  readonly daysDone: number
  readonly cameraDays: number
  readonly eventsRead: number
  readonly rowsWritten: number
  readonly seconds: number | null
  readonly sealedUntilUs: number | null
  /** Where it failed: why, and what to do. Where nothing was to be done: why not. */
  readonly message: string | null
}

/** What the API needs of the exact job. */
export interface RecomputeQueue {
  /** Overloaded where the queue is full, InvalidInput where the request makes no sense. */
  request(request: RecomputeRequest): RecomputeRun
  get(runId: string): RecomputeRun | null
  /** Newest first, bounded. */
  list(): readonly RecomputeRun[]
  /** What a run would do now: `queued` with its days and counts, or `nothing_to_do`. Nothing is changed. */
  plan(request: RecomputeRequest): Promise<RecomputeRun>
}
