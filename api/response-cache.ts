/**
 * Rendered answers of `avg-speed`, so that a question asked again costs no rendering.
 *
 * Never stale, by two checks of every hit, neither of which asks how old it is:
 * - `stamp` names the state of everything the text was made from (versions of the camera's days, whether
 *   they are dirty, the seal where it matters): another state, another stamp;
 * - the watermark moves all the time and seldom matters: the answer carries the span of watermarks under
 *   which its windows are called the same.
 *
 * Bounded by bytes; the least recently used go first. Stamps hold versions that this process counts: what
 * several processes share is in `shared-answers.ts`.
 */
import { hash } from 'node:crypto'
import type { AnswerWindow, CameraDaySlice } from './read-model/aggregate-windows.ts'
import type { Finality } from './read-model/window-status.ts'
import type { AvgSpeedText } from './routes/render-avg-speed.ts'

/** Watermarks under which every window of an answer keeps its status: from ≤ watermark < below. */
export type WatermarkSpan = { readonly fromUs: number; readonly belowUs: number }

export type CachedAnswer = AvgSpeedText & {
  readonly stamp: string
  readonly watermarks: WatermarkSpan
  /** From the text itself: the same after a restart and from every process. */
  readonly etag: string
}

export interface ResponseCache {
  get(question: string, stamp: string, finality: Finality): CachedAnswer | null
  set(question: string, answer: CachedAnswer): void
  readonly stats: ResponseCacheStats
}

export type ResponseCacheStats = {
  readonly bytes: number
  readonly entries: number
  readonly hits: number
  readonly misses: number
}

const bytesPerEntry = 600

export function createResponseCache(bytesMax: number): ResponseCache {
  /** In order of use, the oldest first. */
  const entries = new Map<string, CachedAnswer>()
  let bytes = 0
  let hits = 0
  let misses = 0

  function drop(question: string, answer: CachedAnswer): void {
    entries.delete(question)
    bytes -= bytesOf(question, answer)
  }

  return {
    get(question, stamp, finality) {
      const found = entries.get(question)
      if (found === undefined || found.stamp !== stamp || !isWithin(found.watermarks, finality)) {
        misses++
        return null
      }
      hits++
      entries.delete(question)
      entries.set(question, found)
      return found
    },
    set(question, answer) {
      const before = entries.get(question)
      if (before !== undefined) drop(question, before)
      if (bytesOf(question, answer) > bytesMax / 8) return
      entries.set(question, answer)
      bytes += bytesOf(question, answer)
      for (const [oldest, dropped] of entries) {
        if (bytes <= bytesMax) break
        drop(oldest, dropped)
      }
    },
    get stats() {
      return { bytes, entries: entries.size, hits, misses }
    },
  }
}

/** Texts are Latin-1 in the heap, but for ids with other letters. */
function bytesOf(question: string, { beforeAsOf, afterAsOf, stamp }: CachedAnswer): number {
  return bytesPerEntry + 2 * (question.length + beforeAsOf.length + stamp.length) + afterAsOf.length
}

export function isWithin({ fromUs, belowUs }: WatermarkSpan, { watermarkUs }: Finality): boolean {
  const us = watermarkUs ?? Number.NEGATIVE_INFINITY
  return us >= fromUs && us < belowUs
}

/** The state of all that windows are made from, but for the watermark. */
export function stampOf(
  slices: readonly CameraDaySlice[],
  isLong: boolean,
  finality: Finality,
): string {
  // A window of 5 minutes is exact by its row alone; a longer one only where all of it is sealed.
  let stamp = isLong ? `${finality.sealedUntilUs ?? ''}` : ''
  for (const { cells, isDirty } of slices) stamp += ` ${cells.version}${isDirty ? 'd' : ''}`
  return stamp
}

/** `windowStatus` in reverse: between which watermarks it would say the same of each of these. */
export function watermarkSpanOf(windows: readonly AnswerWindow[]): WatermarkSpan {
  let fromUs = Number.NEGATIVE_INFINITY
  let belowUs = Number.POSITIVE_INFINITY
  for (const { status, endUs } of windows) {
    if (status === 'provisional') fromUs = Math.max(fromUs, endUs)
    if (status === 'open') belowUs = Math.min(belowUs, endUs)
  }
  return { fromUs, belowUs }
}

/** Weak: it leaves out `as_of`. */
export function etagOf({ beforeAsOf, afterAsOf }: AvgSpeedText): string {
  return `W/"${hash('sha1', beforeAsOf, 'base64url')}${hash('sha1', afterAsOf, 'base64url')}"`
}
