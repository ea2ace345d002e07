/**
 * Speed limits by camera and time: each entry holds from its instant until that of the camera's next one.
 * Of two entries of one instant the higher counts, so that the order in which they come doesn't matter.
 */
import type { SpeedLimit } from './exact-engine.ts'

/** Entries of one camera, oldest first. */
export type LimitTimeline = {
  readonly fromUs: readonly number[]
  readonly limitMilli: readonly (number | null)[]
}

export type CameraLimits = {
  /** All entries of a camera; null where it has none. For loops that stay with one camera. */
  timelineOf(kvfvId: string): LimitTimeline | null
  /** 0.001 km/h; null where none is known. */
  limitAt(kvfvId: string, eventTimeUs: number): number | null
}

export function createCameraLimits(entries: readonly SpeedLimit[]): CameraLimits {
  const timelines = new Map<string, LimitTimeline>()
  for (const [kvfvId, ofCamera] of Map.groupBy(entries, (entry) => entry.kvfvId)) {
    timelines.set(kvfvId, timeline(ofCamera))
  }
  return {
    timelineOf: (kvfvId) => timelines.get(kvfvId) ?? null,
    limitAt: (kvfvId, eventTimeUs) => limitIn(timelines.get(kvfvId) ?? null, eventTimeUs),
  }
}

/** From the newest back: events are mostly new. */
export function limitIn(timeline: LimitTimeline | null, eventTimeUs: number): number | null {
  if (timeline === null) return null
  for (let i = timeline.fromUs.length - 1; i >= 0; i--) {
    if (eventTimeUs >= (timeline.fromUs[i] as number))
      return timeline.limitMilli[i] as number | null
  }
  return null
}

function timeline(entries: readonly SpeedLimit[]): LimitTimeline {
  const byInstant = new Map<number, number | null>()
  for (const { validFromUs, limitMilli } of entries) {
    const from = validFromUs ?? Number.NEGATIVE_INFINITY
    const other = byInstant.get(from) ?? null
    byInstant.set(
      from,
      other === null || limitMilli === null ? (limitMilli ?? other) : Math.max(limitMilli, other),
    )
  }
  const sorted = [...byInstant].sort(([a], [b]) => (a === b ? 0 : a < b ? -1 : 1))
  return {
    fromUs: sorted.map(([from]) => from),
    limitMilli: sorted.map(([, limit]) => limit),
  }
}
