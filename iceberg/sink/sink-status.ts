/**
 * What a sink knows of itself, for health, `/readyz`, `status` and metrics. Pure bookkeeping: nothing here
 * decides what is read or written. Red health always says why and what to do.
 */
import { describeError } from '../../kernel/errors.ts'
import type { Clock, LogRange, ServiceHealth } from '../../kernel/ports.ts'
import type { Batch, CommitEvent } from './commit-batch.ts'
import type { SinkHalt } from './sink-halt.ts'
import type { LogPosition } from './sink-processor.ts'

export type SinkStatus = {
  readonly state: 'starting' | 'running' | 'halted' | 'stopped'
  /** Committed positions of the log partitions read here. */
  readonly positions: ReadonlyMap<number, LogPosition>
  /** Records in the log behind the committed positions, as last seen; null before the first look. */
  readonly lagRecords: number | null
  readonly rowsCollected: number
  readonly rowsCommitted: number
  readonly filesCommitted: number
  readonly commits: number
  readonly conflicts: number
  readonly superseded: number
  readonly unknownOutcomes: number
  readonly unknownOutcomesResolved: number
  readonly failures: number
  readonly failuresInRow: number
  readonly lastCommitMs: number
  readonly lastCommittedAtMs: number | null
  readonly lastError: string | null
}

type StatusConfig = { readonly failuresMax: number; readonly overdueMs: number }

export function createSinkStatus(clock: Clock, config: StatusConfig) {
  const current: { -readonly [K in keyof SinkStatus]: SinkStatus[K] } = {
    state: 'starting',
    positions: new Map(),
    lagRecords: null,
    rowsCollected: 0,
    rowsCommitted: 0,
    filesCommitted: 0,
    commits: 0,
    conflicts: 0,
    superseded: 0,
    unknownOutcomes: 0,
    unknownOutcomesResolved: 0,
    failures: 0,
    failuresInRow: 0,
    lastCommitMs: 0,
    lastCommittedAtMs: null,
    lastError: null,
  }
  let halt: SinkHalt | null = null
  let firstCollectedMs: number | null = null
  let commitBeganMs: number | null = null
  let lagSeenMs: number | null = null
  let hasBegun = false

  function reason(): string | undefined {
    if (halt !== null) return halt.message
    if (current.state === 'stopped') return 'stopped'
    if (current.failuresInRow >= config.failuresMax) {
      return `failed ${current.failuresInRow} times in a row and keeps trying: ${current.lastError}`
    }
    if (!hasBegun) return 'not begun yet: reading positions from the table'
    const overdueMs = firstCollectedMs === null ? 0 : clock.nowMs() - firstCollectedMs
    if (overdueMs > config.overdueMs) {
      const cause = current.lastError === null ? '' : `; last error: ${current.lastError}`
      return `nothing committed for ${Math.round(overdueMs / 1_000)} s although records wait: look at the catalog and the object store${cause}`
    }
    return undefined
  }

  return {
    begun(positions: ReadonlyMap<number, LogPosition>, assignment: readonly number[]): void {
      hasBegun = true
      current.state = 'running'
      current.positions = new Map([...positions].filter(([p]) => assignment.includes(p)))
      current.rowsCollected = 0
      firstCollectedMs = null
      commitBeganMs = null
    },
    collected(rows: number, firstMs: number | null): void {
      current.rowsCollected = rows
      firstCollectedMs = firstMs
    },
    committing(): void {
      commitBeganMs = clock.nowMs()
    },
    committed(batch: Batch): void {
      const nowMs = clock.nowMs()
      const files = batch.staged.flatMap(({ dataFiles }) => dataFiles)
      current.positions = new Map(
        [...batch.ends].filter(([logPartition]) => current.positions.has(logPartition)),
      )
      current.rowsCommitted += files.reduce((rows, { recordCount }) => rows + recordCount, 0)
      current.filesCommitted += files.length
      current.commits++
      current.rowsCollected = 0
      current.lastCommitMs = commitBeganMs === null ? 0 : Math.max(0, nowMs - commitBeganMs)
      current.lastCommittedAtMs = nowMs
      firstCollectedMs = null
      commitBeganMs = null
      lagSeenMs = null
      this.succeeded()
    },
    superseded(): void {
      current.superseded++
    },
    event(event: CommitEvent): void {
      if (event === 'conflict') current.conflicts++
      if (event === 'unknown') current.unknownOutcomes++
      if (event === 'unknown_resolved') current.unknownOutcomesResolved++
    },
    failed(error: unknown): void {
      current.failures++
      current.failuresInRow++
      current.lastError = describeError(error)
    },
    succeeded(): void {
      current.failuresInRow = 0
      current.lastError = null
    },
    failuresInRow: (): number => current.failuresInRow,
    halted(error: SinkHalt): void {
      halt = error
      current.state = 'halted'
      current.lastError = error.message
    },
    stopped(): void {
      if (halt === null) current.state = 'stopped'
    },
    lastCommitMs: (): number => current.lastCommitMs,
    isLagStale: (nowMs: number, ageMs: number): boolean =>
      lagSeenMs === null || nowMs - lagSeenMs >= ageMs || nowMs < lagSeenMs,
    lag(ranges: readonly LogRange[], nowMs: number): void {
      lagSeenMs = nowMs
      current.lagRecords = ranges.reduce((lag, { logPartition, endOffset }) => {
        const position = current.positions.get(logPartition)
        return position === undefined ? lag : lag + Math.max(0, endOffset - position.nextOffset)
      }, 0)
    },
    snapshot: (): SinkStatus => ({ ...current }),
    health(tables: readonly string[]): ServiceHealth {
      const { positions, ...figures } = current
      const details = {
        tables,
        ...figures,
        ...(halt === null ? {} : { haltCase: halt.case }),
        positions: Object.fromEntries([...positions].map(([p, { nextOffset }]) => [p, nextOffset])),
        eventTimeUsMax: Object.fromEntries(
          [...positions].map(([p, { eventTimeUsMax }]) => [p, eventTimeUsMax]),
        ),
      }
      const wrong = reason()
      return wrong === undefined ? { ok: true, details } : { ok: false, reason: wrong, details }
    },
  }
}
