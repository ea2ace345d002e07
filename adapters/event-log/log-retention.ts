/**
 * What the embedded log may throw away: blocks that every known group has read, oldest first.
 *
 * Invariant: a block with a record that some known group has not read stays, whatever age or size say. By
 * age it then stays longer than asked for (`held` says so); by size the log refuses new records instead.
 * A log without any group keeps to age and size alone.
 */
import { usPerMs } from '../../kernel/time.ts'
import {
  type LogState,
  type LogStore,
  type OldestBlock,
  oldestBlockInTxn,
  rangeOf,
  readGroups,
  readStateInTxn,
  removeOldestInTxn,
  writeStateInTxn,
} from './lmdb-log-store.ts'

/** Blocks removed in one transaction: keeps the writers' lock short. */
const blocksPerTxnMax = 256

/** A partition that keeps records longer than retention asks for, because a group has not read them. */
export type HeldPartition = {
  readonly logPartition: number
  readonly group: string
  readonly unreadRecords: number
  readonly oldestReceivedAtUs: number
}

export type RetentionResult = {
  readonly removedBlocks: number
  readonly removedRecords: number
  readonly removedBytes: number
  readonly held: readonly HeldPartition[]
  /** More is due: run again. */
  readonly more: boolean
}

type Floor = { readonly offset: number; readonly group: string }

/** Removes what is older than `retentionMs`, a bounded number of blocks at a time. */
export function removeExpiredInTxn(
  store: LogStore,
  nowMs: number,
  retentionMs: number,
): RetentionResult {
  const state = readStateInTxn(store)
  const groups = readGroups(store)
  const cutoffUs = (nowMs - retentionMs) * usPerMs
  const held: HeldPartition[] = []
  let removedBlocks = 0
  let removedRecords = 0
  let removedBytes = 0
  for (let logPartition = 0; logPartition < store.partitionCount; logPartition++) {
    const floor = floorOf(groups, logPartition)
    while (removedBlocks < blocksPerTxnMax) {
      const oldest = oldestBlockInTxn(store, state, logPartition)
      if (oldest === null || oldest.receivedAtUsMax >= cutoffUs) break
      if (oldest.nextOffset > floor.offset) {
        held.push(heldPartition(state, logPartition, floor, oldest))
        break
      }
      removedRecords += oldest.nextOffset - rangeOf(state, logPartition).startOffset
      removedBytes += oldest.sizeBytes
      removedBlocks++
      removeOldestInTxn(store, state, logPartition, oldest)
    }
  }
  if (removedBlocks > 0) writeStateInTxn(store, state)
  const more = removedBlocks >= blocksPerTxnMax
  return { removedBlocks, removedRecords, removedBytes, held, more }
}

/**
 * Makes room for an append to a full log: removes read blocks, least recently received first, until
 * `bytesWanted` are free or none is left that may go. Changes `state`, which the caller writes.
 */
export function makeRoomInTxn(store: LogStore, state: LogState, bytesWanted: number): number {
  const groups = readGroups(store)
  const heads = new Map<number, OldestBlock>()
  const look = (logPartition: number): void => {
    const oldest = oldestBlockInTxn(store, state, logPartition)
    if (oldest !== null && oldest.nextOffset <= floorOf(groups, logPartition).offset) {
      heads.set(logPartition, oldest)
    } else heads.delete(logPartition)
  }
  for (let logPartition = 0; logPartition < store.partitionCount; logPartition++) look(logPartition)
  let freed = 0
  for (let removed = 0; freed < bytesWanted && removed < blocksPerTxnMax; removed++) {
    let oldest: [number, OldestBlock] | undefined
    for (const head of heads) {
      if (oldest === undefined || head[1].receivedAtUsMax < oldest[1].receivedAtUsMax) oldest = head
    }
    if (oldest === undefined) break
    removeOldestInTxn(store, state, oldest[0], oldest[1])
    freed += oldest[1].sizeBytes
    look(oldest[0])
  }
  return freed
}

function floorOf(groups: ReadonlyMap<string, Float64Array>, logPartition: number): Floor {
  let floor: Floor = { offset: Number.POSITIVE_INFINITY, group: '' }
  for (const [group, positions] of groups) {
    const offset = positions[logPartition] ?? 0
    if (offset < floor.offset) floor = { offset, group }
  }
  return floor
}

function heldPartition(
  state: LogState,
  logPartition: number,
  floor: Floor,
  oldest: OldestBlock,
): HeldPartition {
  return {
    logPartition,
    group: floor.group,
    unreadRecords: rangeOf(state, logPartition).endOffset - floor.offset,
    oldestReceivedAtUs: oldest.receivedAtUsMax,
  }
}
