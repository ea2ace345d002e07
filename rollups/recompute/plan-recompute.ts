/**
 * Decides what an exact run does (DESIGN §5): how far to seal, which days, which cameras of them, whose
 * revision goes up, and what the table remembers afterwards. Pure: no clock, no I/O.
 *
 * In three steps, because only the files tell which cameras are dirty:
 * `planDays` (which days, and which files have to be asked) → the caller reads the cameras → `settlePlan`.
 *
 * Invariants:
 * - `sealed_until` never falls; only a run over all cameras raises it, and then all cameras of every day that
 *   gets newly sealed windows are computed.
 * - A day is left out as clean only where that is proven: no live file of it above its number, and no removal
 *   since (`DayFacts.isUnproven`).
 * - The number of a day moves only where all its dirty cameras were computed.
 */
import { PotokError } from '../../kernel/errors.ts'
import {
  type Exactness,
  exactnessOverridesMax,
  exactSequenceOfDay,
  isDaySealedInPart,
} from '../../kernel/exactness.ts'
import type { RecomputeRequest } from '../../kernel/recompute.ts'
import { dayOfUs, formatDay, formatUs, startOfDayUs, windowStartUs } from '../../kernel/time.ts'

export type EventFile = {
  readonly location: string
  /** Data sequence number. */
  readonly sequence: number
  readonly records: number
  /** Least event time by the file's bounds, epoch µs; null where unknown. */
  readonly eventTimeUsMin: number | null
}

export type DayFacts = {
  readonly day: number
  /** Live data files of events of that day in the pinned snapshot. */
  readonly files: readonly EventFile[]
  /** A rollup table has files of that day. */
  readonly hasRollups: boolean
  /** Sealed, and it can't be proven that no row of it was removed since it was computed: all of it is dirty. */
  readonly isUnproven: boolean
}

export type PlanInput = {
  readonly request: RecomputeRequest
  readonly nowUs: number
  readonly latenessUsMax: number
  readonly exactness: Exactness
  /** Sequence number of the pinned snapshot of events. */
  readonly pinnedSequence: number
  /** Ascending; every day with files of events or of rollups. */
  readonly days: readonly DayFacts[]
  /** Days that this run has done in earlier commits: what came for them since is left to the next run. */
  readonly doneDays: ReadonlySet<number>
}

export type Reason = 'due' | 'dirty' | 'forced'

export type Candidate = {
  readonly day: number
  readonly reason: Reason
  /** Windows of the day are sealed by this run that weren't. */
  readonly isExtended: boolean
  /** Everything sealed of it counts as changed. */
  readonly isWhole: boolean
  /** Files that may hold events of sealed windows that the exact rows don't have yet. */
  readonly newFiles: readonly string[]
  /** Only events before it matter in them; null: all do. */
  readonly beforeUs: number | null
  readonly facts: DayFacts
}

export type DayPlan = {
  readonly sealedUntilUs: number | null
  /** Ascending. */
  readonly candidates: readonly Candidate[]
  /** Days that stay dirty, for they are outside of what was asked for. */
  readonly leftDirty: readonly number[]
}

export type PlannedDay = {
  readonly day: number
  readonly reason: Reason
  /** null: all. */
  readonly cameras: readonly string[] | null
  /** Whose values may change in windows that were exact before; null: everybody's. */
  readonly revised: readonly string[] | null
  readonly eventFiles: readonly string[]
  readonly isExtended: boolean
  /** After it the whole day is exact up to the pinned sequence number. */
  readonly isComplete: boolean
}

export type RecomputePlan = {
  readonly sealedUntilUs: number | null
  readonly days: readonly PlannedDay[]
  /** Sealed days that are still dirty after it. */
  readonly leftDirty: readonly number[]
}

/** InvalidInput where a request makes no sense. */
export function checkRequest(request: RecomputeRequest): void {
  const { fromDay, toDay, cameras } = request
  if (fromDay !== null && toDay !== null && fromDay >= toDay) {
    throw new PotokError(
      'InvalidInput',
      `the range is empty: from ${formatDay(fromDay)} to ${formatDay(toDay)} (exclusive)`,
    )
  }
  if (cameras !== null && cameras.length === 0) {
    throw new PotokError('InvalidInput', 'the list of cameras is empty: leave it out to mean all')
  }
}

/**
 * Up to which instant windows shall be sealed. By default whole days that are over for longer than the
 * allowed lateness; with a range what was asked for, as far as windows are over. Never past the last day
 * that has data: what comes later shall find open windows, not dirty ones.
 */
export function planSealedUntil(input: PlanInput): number | null {
  const { request, exactness, nowUs, latenessUsMax, days } = input
  const present = exactness.sealedUntilUs
  if (request.cameras !== null) return present
  const hasRange = request.fromDay !== null || request.toDay !== null
  const wished = hasRange
    ? Math.min(
        request.toDay === null ? Number.POSITIVE_INFINITY : startOfDayUs(request.toDay),
        windowStartUs(nowUs),
      )
    : startOfDayUs(dayOfUs(nowUs - latenessUsMax))
  const last = days.findLast(({ day, files }) => files.length > 0 && startOfDayUs(day) < wished)
  if (last === undefined) return present
  const sealed = Math.min(wished, startOfDayUs(last.day + 1))
  return present === null ? sealed : Math.max(present, sealed)
}

export function planDays(input: PlanInput): DayPlan {
  const { exactness } = input
  const sealedUntilUs = planSealedUntil(input)
  const candidates: Candidate[] = []
  const leftDirty: number[] = []
  for (const facts of input.days) {
    const { day } = facts
    const present = exactness.sealedUntilUs
    const isExtended =
      sealedUntilUs !== null &&
      startOfDayUs(day) < sealedUntilUs &&
      (present === null || Math.min(sealedUntilUs, startOfDayUs(day + 1)) > present)
    const isSealed = isDaySealedInPart(exactness, day)
    if (!isExtended && !isSealed) continue
    const beforeUs =
      present !== null && isSealed && present < startOfDayUs(day + 1) ? present : null
    const newFiles = isSealed ? newFilesOf(facts, exactness, beforeUs) : []
    const isDirty = isSealed && (facts.isUnproven || newFiles.length > 0)
    const isAsked = isInRange(input.request, day)
    const isForced = isSealed && isAsked && input.request.force
    if (!isExtended && !isDirty && !isForced) continue
    if (!isExtended && (!isAsked || input.doneDays.has(day))) {
      if (isDirty) leftDirty.push(day)
      continue
    }
    const isWhole = isSealed && (isForced || facts.isUnproven)
    const reason = isForced ? 'forced' : isExtended ? 'due' : 'dirty'
    candidates.push({ day, reason, isExtended, isWhole, newFiles, beforeUs, facts })
  }
  return { sealedUntilUs, candidates, leftDirty }
}

function isInRange({ fromDay, toDay }: RecomputeRequest, day: number): boolean {
  return (fromDay === null || day >= fromDay) && (toDay === null || day < toDay)
}

function newFilesOf(facts: DayFacts, exactness: Exactness, beforeUs: number | null): string[] {
  const known = exactSequenceOfDay(exactness, facts.day)
  return facts.files
    .filter(({ sequence }) => sequence > known)
    .filter(
      ({ eventTimeUsMin }) =>
        beforeUs === null || eventTimeUsMin === null || eventTimeUsMin < beforeUs,
    )
    .map(({ location }) => location)
}

/** `camerasOf`: cameras with events in the candidate's new files before its `beforeUs`. */
export function settlePlan(
  request: RecomputeRequest,
  plan: DayPlan,
  camerasOf: ReadonlyMap<number, readonly string[]>,
): RecomputePlan {
  const days: PlannedDay[] = []
  const leftDirty = [...plan.leftDirty]
  for (const candidate of plan.candidates) {
    const settled = settleDay(request, candidate, camerasOf.get(candidate.day) ?? [])
    if (settled === null) continue
    if (settled.cameras === null || settled.cameras.length > 0) days.push(settled)
    if (!settled.isComplete) leftDirty.push(candidate.day)
  }
  leftDirty.sort((a, b) => a - b)
  return { sealedUntilUs: plan.sealedUntilUs, days, leftDirty }
}

/** null: clean after all. */
function settleDay(
  request: RecomputeRequest,
  candidate: Candidate,
  dirty: readonly string[],
): PlannedDay | null {
  const { day, reason, isExtended, isWhole, facts } = candidate
  const common = {
    day,
    reason,
    isExtended,
    eventFiles: facts.files.map(({ location }) => location),
  }
  if (isExtended) {
    return { ...common, cameras: null, revised: isWhole ? null : dirty, isComplete: true }
  }
  if (isWhole) {
    const { cameras } = request
    // A forced run of some cameras completes a day only if nobody else is dirty.
    const isComplete =
      cameras === null || (!facts.isUnproven && dirty.every((camera) => cameras.includes(camera)))
    return { ...common, cameras, revised: cameras, isComplete }
  }
  if (dirty.length === 0) return null
  const asked = request.cameras === null ? null : new Set(request.cameras)
  const cameras = asked === null ? dirty : dirty.filter((camera) => asked.has(camera))
  return { ...common, cameras, revised: cameras, isComplete: cameras.length === dirty.length }
}

export type Chunk = {
  readonly days: readonly PlannedDay[]
  readonly sealedUntilUs: number | null
  /** What the table remembers after it. */
  readonly exactness: Exactness
  readonly isLast: boolean
}

/**
 * The part of a plan that goes into one commit, oldest days first: memory, the size of the transaction and
 * what a failure costs stay bounded, and after each the sealed part is a prefix of time.
 */
export function nextChunk(input: PlanInput, plan: RecomputePlan, daysMax: number): Chunk {
  const days = plan.days.slice(0, daysMax)
  const rest = plan.days.slice(daysMax)
  const firstToExtend = rest.find(({ isExtended }) => isExtended)
  const present = input.exactness.sealedUntilUs
  const sealedUntilUs =
    firstToExtend === undefined
      ? plan.sealedUntilUs
      : Math.max(present ?? Number.NEGATIVE_INFINITY, startOfDayUs(firstToExtend.day))
  const dirtyAfter = new Set(plan.leftDirty)
  for (const { day } of rest) {
    if (isDaySealedInPart(input.exactness, day)) dirtyAfter.add(day)
  }
  return {
    days,
    sealedUntilUs,
    exactness: exactnessAfter(input, days, dirtyAfter, sealedUntilUs),
    isLast: rest.length === 0,
  }
}

function exactnessAfter(
  input: PlanInput,
  done: readonly PlannedDay[],
  dirtyAfter: ReadonlySet<number>,
  sealedUntilUs: number | null,
): Exactness {
  const { exactness, pinnedSequence } = input
  // Nothing sealed is dirty: everything sealed is exact up to the pinned snapshot.
  if (dirtyAfter.size === 0) {
    const sequence = Math.max(exactness.sequence, pinnedSequence)
    return { sealedUntilUs, sequence, overrides: new Map() }
  }
  const overrides = new Map(exactness.overrides)
  for (const { day, isComplete } of done) {
    if (isComplete) overrides.set(day, pinnedSequence)
  }
  return { sealedUntilUs, sequence: exactness.sequence, overrides: boundOverrides(overrides) }
}

/** Full: those least ahead are forgotten. Their days count as dirty again, which costs work, never truth. */
export function boundOverrides(overrides: ReadonlyMap<number, number>): Map<number, number> {
  const entries = [...overrides].sort(([a, x], [b, y]) => y - x || b - a)
  return new Map(entries.slice(0, exactnessOverridesMax))
}

/** Why nothing is to be done. */
export function explainNothing(input: PlanInput, plan: RecomputePlan): string {
  const { exactness, days, request } = input
  if (!days.some(({ files }) => files.length > 0)) return 'events holds no detections yet'
  if (exactness.sealedUntilUs === null) {
    if (request.cameras !== null) {
      return 'nothing is sealed yet, and a run limited to some cameras seals nothing: run it for all cameras first'
    }
    return 'no day is over for longer than the allowed lateness yet: all averages are provisional'
  }
  const sealed = `every window before ${formatUs(exactness.sealedUntilUs)} is exact`
  if (request.fromDay !== null && startOfDayUs(request.fromDay) >= exactness.sealedUntilUs) {
    return request.cameras === null
      ? `${sealed}; what was asked for has no detections, or is not over yet`
      : `${sealed}; a run limited to some cameras doesn't reach beyond that`
  }
  if (plan.leftDirty.length > 0) {
    return `${sealed} or waits outside of what was asked for (${plan.leftDirty.length} dirty days)`
  }
  return `${sealed} and nothing new has arrived for them`
}
