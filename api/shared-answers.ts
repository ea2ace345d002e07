/**
 * Answers of `avg-speed` that API processes share through a store (Redis): for questions that this process would
 * have to read files for. What is in its memory it answers from there, sooner than any store could.
 *
 * Never stale, as the cache in the process: the key names the question, the data files of each of its days,
 * which of them are dirty, the seal where it matters, and the version of the program; the watermark is held
 * against the span that the answer carries. Other data are other files, and other files another key.
 * An answer is kept only where the state did not change while it was made.
 *
 * What comes back is checked against its own hash: a store holds what anybody wrote into it.
 */
import { hash } from 'node:crypto'
import type { AnswerStore } from '../kernel/ports.ts'
import type { Range } from './contract/time-parameters.ts'
import type { ModelState, ReadModel } from './read-model/read-model.ts'
import type { Finality } from './read-model/window-status.ts'
import { etagOf, isWithin, type WatermarkSpan } from './response-cache.ts'
import type { AvgSpeedText } from './routes/render-avg-speed.ts'

export type SharedAnswer = AvgSpeedText & {
  readonly watermarks: WatermarkSpan
  readonly etag: string
}

/** A question with what its answer would be made from, as the state of the moment has it. */
export type SharedQuestion = {
  readonly id: string
  readonly range: Range
  readonly boundaries: readonly number[]
  readonly state: ModelState
  readonly finality: Finality
  readonly stamp: string
}

export interface SharedAnswers {
  find(question: SharedQuestion): Promise<SharedAnswer | null>
  keep(question: SharedQuestion, answer: SharedAnswer): void
  readonly stats: SharedAnswersStats
}

export type SharedAnswersStats = AnswerStore['stats'] & {
  readonly hits: number
  readonly misses: number
}

export function createSharedAnswers(store: AnswerStore, programVersion: string): SharedAnswers {
  let hits = 0
  let misses = 0
  return {
    async find(question) {
      const bytes = await store.get(keyOf(question, programVersion))
      const answer = bytes === null ? null : decode(bytes)
      if (answer === null || !isWithin(answer.watermarks, question.finality)) {
        misses++
        return null
      }
      hits++
      return answer
    },
    keep(question, answer) {
      store.set(keyOf(question, programVersion), encode(answer))
    },
    get stats() {
      return { ...store.stats, hits, misses }
    },
  }
}

/** null: all of it is in memory. */
export function questionToRead(
  model: ReadModel,
  id: string,
  range: Range,
  boundaries: readonly number[],
): SharedQuestion | null {
  const stamp = model.stampToRead(id, range.fromUs, boundaries.at(-1) as number)
  if (stamp === null) return null
  return { id, range, boundaries, state: model.state, finality: model.finalityOf(id), stamp }
}

function keyOf({ id, range, finality, stamp }: SharedQuestion, programVersion: string): string {
  const seal = range.interval === '5m' ? '' : String(finality.sealedUntilUs)
  const parts = [programVersion, id, range.fromUs, range.toUs, range.interval, range.zone, seal]
  return hash('sha256', JSON.stringify([...parts, stamp]), 'base64url')
}

/** One line of JSON, then the text of the answer. Infinite ends of a span are null in it. */
type Head = {
  readonly fromUs: number | null
  readonly belowUs: number | null
  readonly etag: string
  /** Bytes of the text before `as_of`. */
  readonly before: number
}

const newLine = 0x0a

function encode({ beforeAsOf, afterAsOf, watermarks, etag }: SharedAnswer): Uint8Array {
  const before = Buffer.from(beforeAsOf)
  const { fromUs, belowUs } = watermarks
  // Infinity becomes null by itself.
  const head = { fromUs, belowUs, etag, before: before.length }
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), before, afterAsOf])
}

function decode(bytes: Uint8Array): SharedAnswer | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = buffer.indexOf(newLine)
  if (end < 0) return null
  let head: Partial<Head>
  try {
    head = JSON.parse(buffer.toString('utf8', 0, end)) as Partial<Head>
  } catch {
    return null
  }
  const { fromUs, belowUs, etag, before } = head
  if (typeof before !== 'number' || typeof etag !== 'string') return null
  const text = {
    beforeAsOf: buffer.toString('utf8', end + 1, end + 1 + before),
    afterAsOf: buffer.subarray(end + 1 + before),
  }
  if (etagOf(text) !== etag) return null
  const watermarks = {
    fromUs: fromUs ?? Number.NEGATIVE_INFINITY,
    belowUs: belowUs ?? Number.POSITIVE_INFINITY,
  }
  return { ...text, watermarks, etag }
}
