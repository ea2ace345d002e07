/**
 * Rows of `events` and `rejected_events` on their way to Parquet, as typed columns that grow by doubling
 * and are used again for the next batch. How many rows they may hold is the sink's limit, not theirs.
 * No object and no string per row: at 1 M rows those would cost more than the decoding.
 */
import type { ColumnBatch, WritableBatch } from '../../kernel/columns.ts'
import type { Detection } from '../../kernel/detection.ts'
import {
  furtherBytesMax,
  type ScannedDetection,
  writeFurtherFields,
} from '../../kernel/scan-detection.ts'
import { TextColumn } from './text-column.ts'

const rowsMin = 16_384
const uuidBytes = 16

export class EventColumns {
  rowCount = 0
  private capacity = 0
  eventIds = new Uint8Array(0)
  private readonly kvfvIds = new TextColumn()
  private eventTimes = new Float64Array(0)
  private speeds = new Float64Array(0)
  private readonly plates = new TextColumn()
  private readonly attributes = new TextColumn()
  private receivedAt = new Float64Array(0)
  private logEpochs = new Int32Array(0)
  private logPartitions = new Int32Array(0)
  private logOffsets = new BigInt64Array(0)
  /** The same as halves, low one first (potok runs on little-endian machines): a bigint is an object. */
  private logOffsetWords = new Uint32Array(0)

  /** Room for so many further rows; called once per block, so that `append` needn't look. */
  reserve(rows: number): void {
    const needed = this.rowCount + rows
    if (needed <= this.capacity) return
    let capacity = Math.max(rowsMin, this.capacity)
    while (capacity < needed) capacity *= 2
    this.eventIds = grown(this.eventIds, new Uint8Array(capacity * uuidBytes))
    this.eventTimes = grown(this.eventTimes, new Float64Array(capacity))
    this.speeds = grown(this.speeds, new Float64Array(capacity))
    this.receivedAt = grown(this.receivedAt, new Float64Array(capacity))
    this.logEpochs = grown(this.logEpochs, new Int32Array(capacity))
    this.logPartitions = grown(this.logPartitions, new Int32Array(capacity))
    this.logOffsets = grown(this.logOffsets, new BigInt64Array(capacity))
    this.logOffsetWords = new Uint32Array(this.logOffsets.buffer)
    for (const texts of [this.kvfvIds, this.plates, this.attributes]) texts.reserveRows(capacity)
    this.capacity = capacity
  }

  /**
   * The event id is put at `eventIds[16 · row]` by the caller. Gives the row. Where the scanner decoded it,
   * texts come as they stand in `bytes`, but for a plate with escapes, which the detection has.
   */
  append(
    detection: Detection,
    scan: ScannedDetection | null,
    bytes: Uint8Array,
    receivedAtUs: number,
    logEpoch: number,
    logPartition: number,
    logOffset: number,
  ): number {
    const row = this.rowCount++
    if (scan === null) this.appendTexts(detection)
    else this.appendScanned(detection, scan, bytes)
    this.eventTimes[row] = detection.eventTimeUs
    // Division by 1000 is correctly rounded: the double nearest to the decimal, in every language.
    this.speeds[row] = detection.speedMilli / 1_000
    this.receivedAt[row] = receivedAtUs
    this.logEpochs[row] = logEpoch
    this.logPartitions[row] = logPartition
    this.logOffsetWords[row * 2] = logOffset
    this.logOffsetWords[row * 2 + 1] = Math.floor(logOffset / 4_294_967_296)
    return row
  }

  private appendTexts(detection: Detection): void {
    this.kvfvIds.appendText(detection.kvfvId)
    this.plates.appendText(detection.plateNumber)
    this.attributes.appendText(detection.attributes)
  }

  private appendScanned(detection: Detection, scan: ScannedDetection, bytes: Uint8Array): void {
    this.kvfvIds.appendBytes(bytes, scan.kvfvStart, scan.kvfvEnd)
    if (scan.plateStart < 0 || scan.plateEscaped) this.plates.appendText(detection.plateNumber)
    else this.plates.appendBytes(bytes, scan.plateStart, scan.plateEnd)
    if (scan.furtherCount === 0) {
      this.attributes.appendText(null)
      return
    }
    this.attributes.room(furtherBytesMax(scan))
    this.attributes.length = writeFurtherFields(
      this.attributes.bytes,
      this.attributes.length,
      bytes,
      scan,
    )
    this.attributes.end()
  }

  clear(): void {
    this.rowCount = 0
    for (const texts of [this.kvfvIds, this.plates, this.attributes]) texts.clear()
  }

  batch(): WritableBatch {
    const rows = this.rowCount
    return {
      rowCount: rows,
      columns: {
        event_id: { type: 'uuid', values: this.eventIds.subarray(0, rows * uuidBytes) },
        kvfv_id: this.kvfvIds.column(),
        event_time: { type: 'timestamptz', values: this.eventTimes.subarray(0, rows) },
        vehicle_speed: { type: 'double', values: this.speeds.subarray(0, rows) },
        plate_number: this.plates.column(),
        attributes: this.attributes.column(),
        received_at: { type: 'timestamptz', values: this.receivedAt.subarray(0, rows) },
        log_epoch: { type: 'int', values: this.logEpochs.subarray(0, rows) },
        log_partition: { type: 'int', values: this.logPartitions.subarray(0, rows) },
        log_offset: { type: 'long', values: this.logOffsets.subarray(0, rows) },
      },
    }
  }
}

export type RejectedRow = {
  readonly receivedAtUs: number
  readonly reason: string
  readonly detail: string
  readonly source: string
  readonly kvfvId: string | null
  readonly payload: string | null
  readonly logEpoch: number
  readonly logPartition: number
  readonly logOffset: number
  readonly recordCount: number
}

/** Rejected items are rare; what a hostile sender makes of them is bounded by the sink's limits. */
export function rejectedBatch(rows: readonly RejectedRow[]): ColumnBatch {
  return {
    rowCount: rows.length,
    columns: {
      received_at: {
        type: 'timestamptz',
        values: Float64Array.from(rows, (row) => row.receivedAtUs),
      },
      reason: { type: 'string', values: rows.map((row) => row.reason) },
      detail: { type: 'string', values: rows.map((row) => row.detail) },
      source: { type: 'string', values: rows.map((row) => row.source) },
      kvfv_id: { type: 'string', values: rows.map((row) => row.kvfvId) },
      payload: { type: 'string', values: rows.map((row) => row.payload) },
      log_epoch: { type: 'int', values: Int32Array.from(rows, (row) => row.logEpoch) },
      log_partition: { type: 'int', values: Int32Array.from(rows, (row) => row.logPartition) },
      log_offset: {
        type: 'long',
        values: BigInt64Array.from(rows, (row) => BigInt(row.logOffset)),
      },
      record_count: {
        type: 'long',
        values: BigInt64Array.from(rows, (row) => BigInt(row.recordCount)),
      },
    },
  }
}

function grown<T extends Uint8Array | Float64Array | Int32Array | BigInt64Array>(
  from: T,
  to: T,
): T {
  // One of the two is bigint only if both are; TypeScript can't see that.
  ;(to as Uint8Array).set(from as Uint8Array)
  return to
}
