/**
 * The embedded event log: `EventLog` on LMDB, blocks of records as values (lmdb-log-store.ts).
 *
 * Invariants
 * - Visible means durable. lmdb-js's `overlappingSync` is off: with it a commit is visible to readers before
 *   it is synced, and a sink could commit to its table a position that a power cut takes back from the log.
 *   Without it a commit writes its pages, calls fdatasync, writes the meta page through an O_DSYNC
 *   descriptor, all on lmdb-js's own thread, and resolves after that (seen by strace). What overlapping would
 *   gain, the group commit gains: everything that waits goes into the next transaction.
 * - Offsets are given inside the write transaction, of which LMDB has one at a time over all threads and
 *   processes: any number of them may append.
 * - A transaction holds whole appends: each is kept all or nothing.
 * - Retention removes nothing that a known group has not read (log-retention.ts).
 * - At most `maxPendingBytes` wait for a commit; what comes on top is Overloaded.
 *
 * Open it once per thread. A thread of a process that has it open for writing opens it for writing too
 * (POSIX locks belong to the process: a second, read-only environment would drop the first one's).
 */
import assert from 'node:assert/strict'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { Clock, EventLog, IdSource, Logger, LogRecord } from '../../kernel/ports.ts'
import { decodeBlock, encodedSizeBytesMax, encodeRecords } from '../../kernel/record-block-codec.ts'
import { createLogReader } from './lmdb-log-reader.ts'
import {
  getBlock,
  getBlockAround,
  type LogState,
  type LogStore,
  openLogStore,
  partitionSizeBytes,
  putBlockInTxn,
  rangeOf,
  readGroupInTxn,
  readGroups,
  readState,
  readStateInTxn,
  totalSizeBytes,
  writeGroupInTxn,
  writeStateInTxn,
  writeTxn,
} from './lmdb-log-store.ts'
import {
  type HeldPartition,
  makeRoomInTxn,
  type RetentionResult,
  removeExpiredInTxn,
} from './log-retention.ts'
import { sleep } from './sleep.ts'

export type LmdbEventLogOptions = {
  readonly directory: string
  /** Of a new log, default 8; of an existing one it must be the same or left out. */
  readonly partitionCount?: number
  /** Blocks kept at most, in bytes; the file is somewhat larger. */
  readonly sizeBytesMax: number
  readonly retentionMs: number
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly maxPendingBytes?: number
  readonly readOnly?: boolean
  readonly topic?: string
  /** How often retention runs; 0 leaves it to others who have the log open. */
  readonly retentionIntervalMs?: number
  /** Least time between two commits under load; an append to an idle log doesn't wait. */
  readonly commitSpacingMs?: number
}

export type LogStats = {
  readonly sizeBytes: number
  readonly sizeBytesMax: number
  readonly pendingBytes: number
  /** Kept longer than retention asks for, because a group has not read it. */
  readonly held: readonly HeldPartition[]
  readonly partitions: readonly {
    readonly logPartition: number
    readonly startOffset: number
    readonly endOffset: number
    readonly sizeBytes: number
  }[]
  /** Records that each group has not acknowledged. */
  readonly lag: Readonly<Record<string, number>>
}

export type LmdbEventLog = EventLog & {
  stats(): LogStats
  /** Retention now; it also runs by itself. */
  retain(): Promise<RetentionResult>
  /** A sink that will never read again must not hold the log back. */
  forgetGroup(group: string): Promise<void>
}

/** Values beyond this go into the next block: bounds what a reader decodes at once. */
const blockBytesTarget = 256 * 1024
/** LMDB keeps a transaction's pages in memory until it commits. */
const txnBytesTarget = 16 * 1024 * 1024
const groupsMax = 64
const heldWarningIntervalMs = 10 * 60_000

type Waiting = {
  readonly records: readonly LogRecord[]
  readonly sizeBytes: number
  readonly settle: (error: PotokError | null) => void
}

export function createLmdbEventLog(options: LmdbEventLogOptions): LmdbEventLog {
  const { clock, logger, sizeBytesMax } = options
  const maxPendingBytes = options.maxPendingBytes ?? 64 * 1024 * 1024
  const commitSpacingMs = options.commitSpacingMs ?? 4
  const readOnly = options.readOnly ?? false
  const store = openLogStore({
    directory: options.directory,
    partitionCount: options.partitionCount,
    topic: options.topic ?? 'events',
    sizeBytesMax,
    readOnly,
    ids: options.ids,
  })
  const waiting: Waiting[] = []
  const wakeups = new Set<() => void>()
  let pendingBytes = 0
  let committing: Promise<void> | null = null
  let closing: Promise<void> | null = null
  let held: readonly HeldPartition[] = []
  let heldWarnedAtMs = Number.NEGATIVE_INFINITY

  function assertWritable(): void {
    if (closing !== null) throw new PotokError('ShuttingDown', 'the event log is closed')
    if (readOnly) throw new PotokError('Unsupported', 'the event log is open for reading only')
  }

  async function commitLoop(): Promise<void> {
    while (waiting.length > 0) {
      const begunAt = performance.now()
      const taken: Waiting[] = []
      let outcomes: readonly (PotokError | null)[]
      try {
        outcomes = await writeTxn(store, () => {
          // Taken here, not before: the later, the more go into one commit.
          takeForCommit(waiting, taken)
          return storeInTxn(store, taken, sizeBytesMax)
        })
      } catch (error) {
        logger.error({ error: describeError(error) }, 'the event log could not commit')
        // Where the transaction never began, those that wait are told as well: they must not hang.
        if (taken.length === 0) takeForCommit(waiting, taken)
        outcomes = taken.map(() => error as PotokError)
      }
      taken.forEach((append, i) => {
        pendingBytes -= append.sizeBytes
        append.settle(outcomes[i] as PotokError | null)
      })
      for (const wake of wakeups) wake()
      const restMs = commitSpacingMs - (performance.now() - begunAt)
      if (restMs >= 1 && waiting.length > 0) await sleep(restMs)
    }
    // In the same turn as the last look at `waiting`: a later append must start a new loop.
    committing = null
  }

  async function retain(): Promise<RetentionResult> {
    assertWritable()
    store.root.readerCheck()
    let total = { removedBlocks: 0, removedRecords: 0, removedBytes: 0 }
    for (;;) {
      const result = await writeTxn(store, () =>
        removeExpiredInTxn(store, clock.nowMs(), options.retentionMs),
      )
      total = {
        removedBlocks: total.removedBlocks + result.removedBlocks,
        removedRecords: total.removedRecords + result.removedRecords,
        removedBytes: total.removedBytes + result.removedBytes,
      }
      if (result.more && closing === null) continue
      if (total.removedBlocks > 0) logger.info(total, 'the event log removed expired records')
      reportHeld(result.held)
      return { ...result, ...total }
    }
  }

  function reportHeld(now: readonly HeldPartition[]): void {
    held = now
    const nowMs = clock.nowMs()
    if (held.length === 0 || nowMs - heldWarnedAtMs < heldWarningIntervalMs) return
    heldWarnedAtMs = nowMs
    logger.warn(
      { held, sizeBytes: totalSizeBytes(readState(store)) },
      'the event log keeps records longer than its retention, because a sink has not read them',
    )
  }

  const intervalMs = options.retentionIntervalMs ?? 30_000
  const timer =
    readOnly || intervalMs === 0
      ? null
      : setInterval(() => {
          retain().catch((error: unknown) => {
            if (closing !== null) return
            logger.error({ error: describeError(error) }, 'retention of the event log failed')
          })
        }, intervalMs)
  timer?.unref()

  async function updateGroup(
    group: string,
    update: (positions: Float64Array, isNew: boolean, state: LogState) => void,
  ): Promise<void> {
    assertWritable()
    const refused = await writeTxn(store, () => {
      const state = readStateInTxn(store)
      const found = readGroupInTxn(store, group)
      if (found === undefined && readGroups(store).size >= groupsMax) return true
      const positions = found ?? new Float64Array(store.partitionCount)
      update(positions, found === undefined, state)
      writeGroupInTxn(store, group, positions)
      return false
    })
    if (refused) {
      throw new PotokError('InvalidInput', `the event log already has ${groupsMax} groups`)
    }
  }

  async function shutDown(): Promise<void> {
    if (timer !== null) clearInterval(timer)
    for (const wake of wakeups) wake()
    await committing
    await store.root.close()
  }

  return {
    identity: async () => store.identity,
    partitionCount: store.partitionCount,
    append(records) {
      return new Promise<void>((resolve, reject) => {
        assertWritable()
        if (records.length === 0) return resolve()
        for (const record of records) {
          assert(
            record.logPartition >= 0 && record.logPartition < store.partitionCount,
            `no log partition ${record.logPartition}`,
          )
        }
        const sizeBytes = encodedSizeBytesMax(records)
        if (sizeBytes > maxPendingBytes || sizeBytes > sizeBytesMax) {
          throw new PotokError(
            'TooLarge',
            `an append of ${sizeBytes} bytes is more than the log takes`,
          )
        }
        if (pendingBytes + sizeBytes > maxPendingBytes) {
          throw new PotokError(
            'Overloaded',
            'the event log is too slow: too much waits for its commit',
            {
              context: { pendingBytes, maxPendingBytes },
            },
          )
        }
        pendingBytes += sizeBytes
        const settle = (error: PotokError | null): void =>
          error === null ? resolve() : reject(error)
        waiting.push({ records, sizeBytes, settle })
        committing ??= commitLoop()
      })
    },
    async ranges() {
      const state = readState(store)
      return Array.from({ length: store.partitionCount }, (_, i) => rangeOf(state, i))
    },
    async receivedAt(logPartition, offset) {
      const { startOffset, endOffset } = rangeOf(readState(store), logPartition)
      const wanted = Math.max(offset, startOffset)
      if (wanted >= endOffset) return null
      const bytes =
        getBlock(store, logPartition, wanted) ?? getBlockAround(store, logPartition, wanted)
      // Retention may have taken it meanwhile.
      if (bytes === undefined) return null
      const block = decodeBlock(bytes, `event log, partition ${logPartition}, offset ${wanted}`)
      return block.receivedAtUs[wanted - block.baseOffset] ?? null
    },
    async openReader({ group }) {
      if (closing !== null) throw new PotokError('ShuttingDown', 'the event log is closed')
      if (!readOnly) {
        // Known from here on: what a sink has not read stays, also before its first commit.
        await updateGroup(group, (positions, isNew, state) => {
          if (!isNew) return
          for (let i = 0; i < positions.length; i++) positions[i] = rangeOf(state, i).startOffset
        })
      }
      return createLogReader({
        store,
        onCommit(wake) {
          wakeups.add(wake)
          return () => wakeups.delete(wake)
        },
        acknowledge: (acknowledged) =>
          updateGroup(group, (positions) => {
            for (const [logPartition, offset] of acknowledged) positions[logPartition] = offset
          }),
        isClosed: () => closing !== null,
      })
    },
    stats() {
      const state = readState(store)
      const partitions = Array.from({ length: store.partitionCount }, (_, i) => ({
        ...rangeOf(state, i),
        sizeBytes: partitionSizeBytes(state, i),
      }))
      const lag: Record<string, number> = {}
      for (const [group, positions] of readGroups(store)) {
        lag[group] = partitions.reduce(
          (sum, { endOffset }, i) => sum + endOffset - (positions[i] ?? 0),
          0,
        )
      }
      return {
        sizeBytes: totalSizeBytes(state),
        sizeBytesMax,
        pendingBytes,
        held,
        partitions,
        lag,
      }
    },
    retain,
    async forgetGroup(group) {
      assertWritable()
      await writeTxn(store, () => store.groups.removeSync(group))
    },
    async close() {
      closing ??= shutDown()
      await closing
    },
  }
}

function takeForCommit(waiting: Waiting[], taken: Waiting[]): void {
  let sizeBytes = 0
  let count = 0
  for (const append of waiting) {
    if (count > 0 && sizeBytes + append.sizeBytes > txnBytesTarget) break
    sizeBytes += append.sizeBytes
    count++
  }
  taken.push(...waiting.splice(0, count))
}

/** Writes the appends as blocks; per append null, or why it was not kept. */
function storeInTxn(
  store: LogStore,
  appends: readonly Waiting[],
  sizeBytesMax: number,
): (PotokError | null)[] {
  const state = readStateInTxn(store)
  const byPartition = new Map<number, LogRecord[]>()
  let sizeBytes = totalSizeBytes(state)
  const outcomes = appends.map((append) => {
    const excess = sizeBytes + append.sizeBytes - sizeBytesMax
    const missing = excess <= 0 ? 0 : excess - makeRoomInTxn(store, state, excess)
    if (excess > 0) sizeBytes = sizeBytes - excess + missing
    if (missing > 0) return logFull(sizeBytes, sizeBytesMax)
    sizeBytes += append.sizeBytes
    for (const record of append.records) {
      const records = byPartition.get(record.logPartition)
      if (records === undefined) byPartition.set(record.logPartition, [record])
      else records.push(record)
    }
    return null
  })
  for (const [logPartition, records] of byPartition) {
    for (let from = 0; from < records.length; ) {
      const to = endOfBlock(records, from)
      const bytes = encodeRecords(records, rangeOf(state, logPartition).endOffset, from, to)
      putBlockInTxn(store, state, logPartition, bytes, to - from)
      from = to
    }
  }
  writeStateInTxn(store, state)
  return outcomes
}

function endOfBlock(records: readonly LogRecord[], from: number): number {
  let sizeBytes = 0
  let to = from
  while (to < records.length && sizeBytes < blockBytesTarget) {
    sizeBytes += (records[to] as LogRecord).value.length
    to++
  }
  return to
}

function logFull(sizeBytes: number, sizeBytesMax: number): PotokError {
  return new PotokError(
    'Overloaded',
    'the event log is full of records that its sinks have not read yet',
    { context: { sizeBytes, sizeBytesMax } },
  )
}
