/**
 * Log positions as a sink keeps them in the table it writes: one property per log partition with the next
 * offset to read and the identity of the log it belongs to, and in each snapshot's summary the range of
 * offsets that the snapshot took in, for audits and for noticing that somebody rolled the table back.
 *
 * Properties survive the expiry of snapshots, summaries don't: truth is in the properties.
 * Invariant: the newest snapshot of main's lineage that carries offsets ends where the properties stand.
 * That is why every move of a position makes a snapshot and every such snapshot names all partitions.
 */
import { PotokError } from '../../kernel/errors.ts'
import { summaryCommitIdKey, summaryOffsetsKey, tableProperties } from '../../kernel/tables.ts'
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import type { LogPosition } from './sink-processor.ts'

export type OffsetRange = { readonly startOffset: number; readonly endOffset: number }

export function positionKey(logPartition: number): string {
  return `${tableProperties.positionPrefix}${logPartition}`
}

export function encodePosition(position: LogPosition): string {
  return JSON.stringify({
    cluster_id: position.clusterId,
    topic: position.topic,
    topic_id: position.topicId,
    log_epoch: position.logEpoch,
    next_offset: position.nextOffset,
    event_time_us_max: position.eventTimeUsMax,
  })
}

/** DataCorrupt where the text is no position: a sink must not guess. */
export function decodePosition(key: string, text: string): LogPosition {
  const wire = parseObject(key, text)
  const { cluster_id, topic, topic_id, log_epoch, next_offset, event_time_us_max } = wire
  if (
    typeof cluster_id !== 'string' ||
    typeof topic !== 'string' ||
    typeof topic_id !== 'string' ||
    !isCount(log_epoch) ||
    !isCount(next_offset) ||
    !(event_time_us_max === null || Number.isSafeInteger(event_time_us_max))
  ) {
    throw corrupt(key, text)
  }
  return {
    clusterId: cluster_id,
    topic,
    topicId: topic_id,
    logEpoch: log_epoch,
    nextOffset: next_offset,
    eventTimeUsMax: event_time_us_max as number | null,
  }
}

/** Positions of all log partitions that the table's properties hold. */
export function readPositions(
  properties: Readonly<Record<string, string>>,
): Map<number, LogPosition> {
  const positions = new Map<number, LogPosition>()
  for (const [key, text] of Object.entries(properties)) {
    if (!key.startsWith(tableProperties.positionPrefix)) continue
    const name = key.slice(tableProperties.positionPrefix.length)
    if (!/^(0|[1-9]\d{0,8})$/.test(name)) throw corrupt(key, text)
    positions.set(Number(name), decodePosition(key, text))
  }
  return new Map([...positions].sort(([a], [b]) => a - b))
}

export function encodeOffsets(ranges: ReadonlyMap<number, OffsetRange>): string {
  const entries = [...ranges].sort(([a], [b]) => a - b)
  return JSON.stringify(
    Object.fromEntries(entries.map(([p, r]) => [p, [r.startOffset, r.endOffset]])),
  )
}

export function decodeOffsets(text: string): Map<number, OffsetRange> {
  const ranges = new Map<number, OffsetRange>()
  for (const [name, value] of Object.entries(parseObject(summaryOffsetsKey, text))) {
    const [startOffset, endOffset, ...rest] = Array.isArray(value) ? (value as unknown[]) : []
    if (
      !/^(0|[1-9]\d{0,8})$/.test(name) ||
      !isCount(startOffset) ||
      !isCount(endOffset) ||
      endOffset < startOffset ||
      rest.length > 0
    ) {
      throw corrupt(summaryOffsetsKey, text)
    }
    ranges.set(Number(name), { startOffset, endOffset })
  }
  return ranges
}

/**
 * Summary entry by which a maintenance commit (compaction, exact run) carries the offsets forward: empty
 * ranges at the present ends, so that no audit counts them twice. Empty for a table that no sink writes.
 */
export function offsetsToCarryForward(metadata: TableMetadata): Record<string, string> {
  const positions = readPositions(metadata.properties)
  return positions.size === 0 ? {} : emptyOffsetsAt(positions)
}

/** Summary entry of a commit that read nothing and leaves the positions there. */
export function emptyOffsetsAt(
  positions: ReadonlyMap<number, LogPosition>,
): Record<string, string> {
  const ranges = new Map<number, OffsetRange>()
  for (const [logPartition, { nextOffset }] of positions) {
    ranges.set(logPartition, { startOffset: nextOffset, endOffset: nextOffset })
  }
  return { [summaryOffsetsKey]: encodeOffsets(ranges) }
}

/**
 * Summary entry of a snapshot that the catalog puts on top of others: its own ranges where it moves the
 * position, for all other log partitions empty ranges where `properties`, the table's before it, stand now.
 */
export function rebasedOffsets(
  text: string,
  properties: Readonly<Record<string, string>>,
  propertiesSet: ReadonlySet<string>,
): string {
  const ranges = decodeOffsets(text)
  for (const [logPartition, { nextOffset }] of readPositions(properties)) {
    if (propertiesSet.has(positionKey(logPartition))) continue
    ranges.set(logPartition, { startOffset: nextOffset, endOffset: nextOffset })
  }
  return encodeOffsets(ranges)
}

export type Lineage = {
  /** Newest first, from the current snapshot of main. */
  readonly snapshots: readonly Snapshot[]
  /** True where it reaches a snapshot without parent; false where older ones were expired. */
  readonly isComplete: boolean
}

export function lineageOf(metadata: TableMetadata): Lineage {
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]))
  const snapshots: Snapshot[] = []
  let id = metadata.refs.main?.snapshotId ?? metadata.currentSnapshotId ?? undefined
  while (id !== undefined) {
    const snapshot = byId.get(id)
    if (snapshot === undefined) return { snapshots, isComplete: false }
    // Each snapshot is taken once: a cycle in a doctored table must not hang the sink.
    byId.delete(id)
    snapshots.push(snapshot)
    id = snapshot.parentSnapshotId
  }
  return { snapshots, isComplete: true }
}

/** Whether the commit is in main's history, as far as that is kept. */
export function holdsCommit(metadata: TableMetadata, commitId: string): boolean {
  return lineageOf(metadata).snapshots.some(
    ({ summary }) => summary[summaryCommitIdKey] === commitId,
  )
}

/** Ends of the newest snapshot of main's lineage that carries offsets; null where none does. */
export function newestSnapshotOffsets(
  lineage: Lineage,
): { readonly snapshotId: bigint; readonly ranges: ReadonlyMap<number, OffsetRange> } | null {
  for (const { snapshotId, summary } of lineage.snapshots) {
    const text = summary[summaryOffsetsKey]
    if (text !== undefined) return { snapshotId, ranges: decodeOffsets(text) }
  }
  return null
}

/** Same place in the same log? The watermark beside it doesn't count. */
export function isSamePosition(a: LogPosition | undefined, b: LogPosition | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.nextOffset === b.nextOffset && a.logEpoch === b.logEpoch && isSameLog(a, b)
}

export function isSameLog(
  a: { readonly clusterId: string; readonly topic: string; readonly topicId: string },
  b: { readonly clusterId: string; readonly topic: string; readonly topicId: string },
): boolean {
  return a.clusterId === b.clusterId && a.topic === b.topic && a.topicId === b.topicId
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function parseObject(key: string, text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw corrupt(key, text, cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw corrupt(key, text)
  return value as Record<string, unknown>
}

function corrupt(key: string, text: string, cause?: unknown): PotokError {
  return new PotokError('DataCorrupt', `${key} of the table can't be read: ${text.slice(0, 200)}`, {
    context: { key },
    cause,
  })
}
