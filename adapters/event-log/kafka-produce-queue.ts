/**
 * What waits to be sent to the partitions of a topic: appends cut into pieces, one queue a partition, and the
 * batch of each that is under way or waits to be sent again. Synchronous, knows no network.
 *
 * An append settles when all of its records have; with the first failure among them, if there was one.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { LogRecord } from '../../kernel/ports.ts'
import { type Compression, type RecordSlice, recordSizeBytesMax } from './kafka-encode-batch.ts'

export type PendingAppend = {
  /** Records that nothing is known of yet. */
  left: number
  error: PotokError | null
  readonly deadlineMs: number
  readonly settle: (error: PotokError | null) => void
}

type Piece = {
  readonly append: PendingAppend
  readonly records: readonly LogRecord[]
  /** Index of the first record that no batch has taken. */
  next: number
}

/** Who we are to a broker, for it to know a batch that it has already. */
export type ProducerSession = { readonly producerId: bigint; readonly producerEpoch: number }

export type TakenSlice = RecordSlice & { readonly append: PendingAppend }

export type Batch = {
  readonly slices: readonly TakenSlice[]
  readonly count: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly body: Uint8Array
  readonly algorithm: Compression
  readonly deadlineMs: number
  /** Sent, and not known not to be kept. */
  isMaybeKept: boolean
}

export type PartitionQueue = {
  readonly index: number
  leader: number
  readonly pieces: Piece[]
  batch: Batch | null
  /** null: another is needed before the next batch. */
  session: ProducerSession | null
  nextSequence: number
  isUnderWay: boolean
  /** Failures in a row. */
  failures: number
  notBeforeMs: number
  lastError: PotokError | null
  /** Of one batch before compression; smaller once one was too large after it. */
  rawBytesTarget: number
}

export function createPartitionQueue(index: number, rawBytesTarget: number): PartitionQueue {
  return {
    index,
    leader: -1,
    pieces: [],
    batch: null,
    session: null,
    nextSequence: 0,
    isUnderWay: false,
    failures: 0,
    notBeforeMs: 0,
    lastError: null,
    rawBytesTarget,
  }
}

export function hasWork(queue: PartitionQueue): boolean {
  return queue.batch !== null || queue.pieces.length > 0
}

export function enqueue(
  queues: readonly PartitionQueue[],
  append: PendingAppend,
  records: readonly LogRecord[],
): ReadonlySet<PartitionQueue> {
  const byPartition = new Map<number, LogRecord[]>()
  for (const record of records) {
    const own = byPartition.get(record.logPartition)
    if (own === undefined) byPartition.set(record.logPartition, [record])
    else own.push(record)
  }
  const touched = new Set<PartitionQueue>()
  for (const [index, own] of byPartition) {
    const queue = queues[index] as PartitionQueue
    queue.pieces.push({ append, records: own, next: 0 })
    touched.add(queue)
  }
  return touched
}

/** Takes records from the front of the queue, in order, up to about its target. */
export function takeSlices(queue: PartitionQueue): TakenSlice[] {
  const slices: TakenSlice[] = []
  let sizeBytes = 0
  let used = 0
  for (const piece of queue.pieces) {
    const { append, records } = piece
    if (append.error !== null) {
      // Another part of it failed: it is resent as a whole, so the rest needn't be kept.
      used++
      settleRecords(append, records.length - piece.next, null)
      continue
    }
    let to = piece.next
    while (to < records.length) {
      const recordBytes = recordSizeBytesMax(records[to] as LogRecord)
      if (sizeBytes > 0 && sizeBytes + recordBytes > queue.rawBytesTarget) break
      sizeBytes += recordBytes
      to++
    }
    if (to > piece.next) slices.push({ append, records, from: piece.next, to })
    piece.next = to
    if (to < records.length) break
    used++
  }
  queue.pieces.splice(0, used)
  return slices
}

/** Puts what a batch took back to the front. */
export function putBack(queue: PartitionQueue, slices: readonly TakenSlice[]): void {
  const pieces = slices.map(({ append, records, from, to }) => ({
    append,
    records: to === records.length ? records : records.slice(0, to),
    next: from,
  }))
  queue.pieces.unshift(...pieces)
}

/** The batch is done with: kept, or failed as `error` says. */
export function settleSlices(slices: readonly TakenSlice[], error: PotokError | null): void {
  for (const { append, from, to } of slices) settleRecords(append, to - from, error)
}

function settleRecords(append: PendingAppend, count: number, error: PotokError | null): void {
  append.left -= count
  append.error ??= error
  if (append.left === 0) append.settle(append.error)
}

/** Fails what waits in the queue: all of it, or what has waited too long. */
export function failWaiting(
  queue: PartitionQueue,
  isDue: (append: PendingAppend) => boolean,
  error: () => PotokError,
): void {
  let used = 0
  for (const { append, records, next } of queue.pieces) {
    // In the order of their coming: whoever came later has its time, too.
    if (!isDue(append)) break
    used++
    settleRecords(append, records.length - next, error())
  }
  queue.pieces.splice(0, used)
}
