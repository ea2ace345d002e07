/**
 * What the writer makes of the log: each record becomes one row of `events` or of `rejected_events`,
 * nothing is dropped and nothing merged (duplicates are the exact job's business). Ranges of offsets
 * without a record become rows of `rejected_events` with reason `log_gap`, so that the audit closes.
 *
 * Invariant: the offsets of all rows and ranges of a batch are exactly [start, end) of each log partition.
 * Same records, same rows: nothing here depends on the clock but the time stamp of a gap without neighbour.
 */
import assert from 'node:assert'
import type { ScanningDetectionDecoder } from '../../kernel/decode-detection.ts'
import { type EventIdHasher, eventIdBytes } from '../../kernel/event-id.ts'
import type { Clock, IdSource, ParquetWriter } from '../../kernel/ports.ts'
import {
  blockOffset,
  type RecordBlock,
  recordKind,
  type RejectedPayload,
} from '../../kernel/record-block.ts'
import { eventsTable, namespaceName, rejectedEventsTable } from '../../kernel/tables.ts'
import { dayOfUs } from '../../kernel/time.ts'
import type {
  SinkFill,
  SinkProcessor,
  SinkState,
  StagedTable,
} from '../../iceberg/sink/sink-processor.ts'
import type { LoadedTable } from '../../iceberg/catalog.ts'
import { readPositions } from '../../iceberg/sink/positions.ts'
import { writeDataFiles } from '../../iceberg/sink/write-data-files.ts'
import { EventColumns, rejectedBatch, type RejectedRow } from './event-columns.ts'

export type EventsProcessorPorts = {
  readonly parquet: ParquetWriter
  readonly ids: IdSource
  readonly clock: Clock
  readonly decoder: ScanningDetectionDecoder
  readonly hashEventId: EventIdHasher
}

export type EventsProcessorConfig = {
  /**
   * One file is written per day and commit: a batch with so many distinct days ends there. More days than late
   * events usually have: a batch cut short has fewer rows a file, and as many files the next time.
   */
  readonly daysPerCommitMax: number
  /**
   * Are items that a foreign producer put into the log and that can't be read kept as they are? Only under
   * the plate policy `keep`: under any other, a plate could hide in what nobody could parse.
   */
  readonly keepUnreadable: boolean
}

export const defaultEventsProcessorConfig: EventsProcessorConfig = {
  daysPerCommitMax: 1_024,
  keepUnreadable: false,
}

const eventsIdentifier = { namespace: [namespaceName], name: eventsTable.name }
const rejectedIdentifier = { namespace: [namespaceName], name: rejectedEventsTable.name }

export function createEventsProcessor(
  ports: EventsProcessorPorts,
  config: EventsProcessorConfig = defaultEventsProcessorConfig,
): SinkProcessor {
  const { decoder, hashEventId } = ports
  let events = new EventColumns()
  /** Of the batch before the last: its memory is used again. */
  let spare: EventColumns | null = null
  let rejected: RejectedRow[] = []
  let state: SinkState | null = null
  let bytes = 0
  let oldestReceivedAtUs: number | null = null
  const days = new Set<number>()
  const expectedOffsets = new Map<number, number>()
  let eventTimes = new Map<number, number>()
  let lastReceivedAtUs: number | null = null

  function clear(): void {
    events.clear()
    rejected = []
    bytes = 0
    oldestReceivedAtUs = null
    days.clear()
    eventTimes = new Map()
  }

  function epochOf(logPartition: number): number {
    return state?.positions.get(logPartition)?.logEpoch ?? 0
  }

  function addGap(
    logPartition: number,
    from: number,
    to: number,
    receivedAtUs?: number,
    what = 'hold no record',
  ): void {
    const atUs = receivedAtUs ?? lastReceivedAtUs ?? ports.clock.nowMs() * 1_000
    rejected.push({
      receivedAtUs: atUs,
      reason: 'log_gap',
      detail: `offsets ${from} to ${to - 1} of the log ${what}`,
      source: 'log',
      kvfvId: null,
      payload: null,
      logEpoch: epochOf(logPartition),
      logPartition,
      logOffset: from,
      recordCount: to - from,
    })
    days.add(dayOfUs(atUs))
  }

  function addRejected(
    item: RejectedPayload,
    receivedAtUs: number,
    logPartition: number,
    logOffset: number,
  ): void {
    rejected.push({
      receivedAtUs,
      reason: item.reason,
      detail: item.detail,
      source: item.source,
      kvfvId: item.kvfv_id,
      payload: item.payload,
      logEpoch: epochOf(logPartition),
      logPartition,
      logOffset,
      recordCount: 1,
    })
    days.add(dayOfUs(receivedAtUs))
  }

  /** Of the item decoded last. */
  function writeEventId(values: Uint8Array, at: number): void {
    const { scanned, detection } = decoder
    if (scanned !== null) {
      if (hashEventId.ofScanned?.(values, scanned, events.eventIds, at) === true) return
      decoder.readTexts()
    }
    hashEventId(detection, events.eventIds, at)
  }

  /** The hot path: per record no object, no closure, no string, no map look-up. */
  function addRecords(block: RecordBlock): void {
    const { logPartition, count, values, valueEnds, kinds, receivedAtUs, eventIds } = block
    const logEpoch = epochOf(logPartition)
    let expected = expectedOffsets.get(logPartition) ?? block.baseOffset
    let timeUsMax = eventTimes.get(logPartition) ?? Number.NEGATIVE_INFINITY
    let lastDay = Number.NaN
    let start = 0
    events.reserve(count)
    for (let i = 0; i < count; i++) {
      const end = valueEnds[i] as number
      const received = receivedAtUs[i] as number
      const offset = blockOffset(block, i)
      if (offset > expected) addGap(logPartition, expected, offset, received)
      expected = offset + 1
      if (oldestReceivedAtUs === null || received < oldestReceivedAtUs) {
        oldestReceivedAtUs = received
      }
      lastReceivedAtUs = received
      const kind = kinds[i] as number
      if (kind === recordKind.detection && decoder.decode(values, start, end, received)) {
        const { detection, scanned } = decoder
        const row = events.append(
          detection,
          scanned,
          values,
          received,
          logEpoch,
          logPartition,
          offset,
        )
        const at = row * eventIdBytes
        if (eventIds === null || !copyEventId(eventIds, i * eventIdBytes, events.eventIds, at)) {
          writeEventId(values, at)
        }
        // A clock that is a little ahead never moves the watermark past the time of receipt.
        const timeUs = Math.min(detection.eventTimeUs, received)
        if (timeUs > timeUsMax) timeUsMax = timeUs
        const day = dayOfUs(detection.eventTimeUs)
        if (day !== lastDay) {
          days.add(day)
          lastDay = day
        }
      } else {
        const value = values.subarray(start, end)
        addRejected(rejectedItem(kind, value), received, logPartition, offset)
      }
      start = end
    }
    if (block.nextOffset > expected) addGap(logPartition, expected, block.nextOffset)
    expectedOffsets.set(logPartition, block.nextOffset)
    if (Number.isFinite(timeUsMax)) eventTimes.set(logPartition, timeUsMax)
  }

  function rejectedItem(kind: number, value: Uint8Array): RejectedPayload {
    const payload = config.keepUnreadable ? Buffer.from(value).toString('utf8') : null
    const unreadable = { source: 'log', kvfv_id: null, payload }
    if (kind === recordKind.detection) {
      const { reason, detail, kvfvId } = decoder.rejection
      return { ...unreadable, reason, detail, kvfv_id: kvfvId }
    }
    if (kind !== recordKind.rejected) {
      return {
        ...unreadable,
        reason: 'invalid_field',
        detail: `records of kind ${kind} are unknown`,
      }
    }
    return (
      parseRejectedPayload(value) ?? {
        ...unreadable,
        reason: 'invalid_json',
        detail: 'a rejected item in the log that is not the JSON of one',
      }
    )
  }

  async function stage(
    batch: { readonly events: EventColumns; readonly rejected: readonly RejectedRow[] },
    [eventsLoaded, rejectedLoaded]: readonly LoadedTable[],
  ): Promise<StagedTable[]> {
    assert(eventsLoaded !== undefined && rejectedLoaded !== undefined, 'begin comes before take')
    const eventFiles = await writeDataFiles(ports, eventsTable, batch.events.batch(), eventsLoaded)
    const rejectedRows = rejectedBatch(batch.rejected)
    const rejectedFiles = await writeDataFiles(
      ports,
      rejectedEventsTable,
      rejectedRows,
      rejectedLoaded,
    )
    return [
      { identifier: eventsIdentifier, dataFiles: eventFiles },
      { identifier: rejectedIdentifier, dataFiles: rejectedFiles },
    ]
  }

  return {
    tables: [eventsIdentifier, rejectedIdentifier],
    chosenBy: [],

    begin(begun) {
      clear()
      state = begun
      expectedOffsets.clear()
      const isFresh = readPositions(begun.properties).size === 0
      for (const [logPartition, { nextOffset }] of begun.positions) {
        expectedOffsets.set(logPartition, nextOffset)
        if (!isFresh || nextOffset === 0) continue
        const what = 'had left it before anything was read'
        addGap(logPartition, 0, nextOffset, undefined, what)
      }
    },

    add(block): SinkFill {
      addRecords(block)
      bytes += block.values.byteLength
      const rows = events.rowCount + rejected.length
      const files = days.size
      return { rows, bytes, oldestReceivedAtUs, files, full: files >= config.daysPerCommitMax }
    },

    take() {
      const tables = state?.tables ?? []
      const batch = { events, rejected, eventTimeUsMax: eventTimes }
      events = spare ?? new EventColumns()
      spare = null
      clear()
      return {
        eventTimeUsMax: batch.eventTimeUsMax,
        stage: () => stage(batch, tables),
        committed() {
          spare = batch.events
        },
      }
    },

    /** Rows depend on the log alone; only where the table was made anew would the files be elsewhere. */
    canRebase(current) {
      return current.tables.every(
        (table, index) => table.metadata.tableUuid === state?.tables[index]?.metadata.tableUuid,
      )
    },
  }
}

/** False where the id is all zero: the gateway left it to the writer. */
function copyEventId(from: Uint8Array, fromAt: number, to: Uint8Array, at: number): boolean {
  let any = 0
  for (let i = 0; i < eventIdBytes; i++) {
    const byte = from[fromAt + i] as number
    any |= byte
    to[at + i] = byte
  }
  return any !== 0
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

function parseRejectedPayload(value: Uint8Array): RejectedPayload | null {
  let item: Partial<Record<keyof RejectedPayload, unknown>>
  try {
    item = JSON.parse(strictUtf8.decode(value)) as typeof item
  } catch {
    return null
  }
  if (typeof item !== 'object' || item === null) return null
  const { reason, detail, source, kvfv_id, payload } = item
  if (typeof reason !== 'string' || typeof detail !== 'string' || typeof source !== 'string') {
    return null
  }
  return {
    reason: reason as RejectedPayload['reason'],
    detail,
    source,
    kvfv_id: typeof kvfv_id === 'string' ? kvfv_id : null,
    payload: typeof payload === 'string' ? payload : null,
  }
}
