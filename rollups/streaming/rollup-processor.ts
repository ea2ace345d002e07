/**
 * What the rollup stream makes of the log: one row of partial sums per camera and 5-minute window of each
 * batch, appended to `rollup_5m` as provisional (DESIGN §3, §5). Rows of one key add up, so no state
 * outlives a batch; duplicates are counted here and taken out by the exact job.
 *
 * Invariants: a window that the table says is sealed gets no row; what is collected is bounded by
 * `rowsMax` plus one block; same records under the same state and limits, same sums.
 */
import assert from 'node:assert/strict'
import type { DetectionDecoder } from '../../kernel/detection.ts'
import { type CameraLimits, limitIn, type LimitTimeline } from '../../kernel/camera-limits.ts'
import { readExactness } from '../../kernel/exactness.ts'
import { addDetection, createSums, isLate, type PartialSums } from '../../kernel/partial-sums.ts'
import { type PartialSumsRow, provisionalBatch } from '../../kernel/partial-sums-columns.ts'
import type { Clock, IdSource, ParquetWriter } from '../../kernel/ports.ts'
import { type RecordBlock, recordKind } from '../../kernel/record-block.ts'
import { namespaceName, rollup5mTable, tableProperties } from '../../kernel/tables.ts'
import { dayOfUs, usPer5Minutes } from '../../kernel/time.ts'
import type { LoadedTable } from '../../iceberg/catalog.ts'
import type {
  SinkFill,
  SinkProcessor,
  SinkState,
  StagedTable,
} from '../../iceberg/sink/sink-processor.ts'
import { writeDataFiles } from '../../iceberg/sink/write-data-files.ts'

export type RollupProcessorPorts = {
  readonly parquet: ParquetWriter
  readonly ids: IdSource
  readonly clock: Clock
  readonly decoder: DetectionDecoder
  /** The limits as known now; asked once per camera and batch. */
  readonly limits: () => CameraLimits
}

export type RollupProcessorConfig = {
  /** An event received more than this after its event time is counted as late. */
  readonly latenessUsMax: number
  /** A batch with so many (camera, window) pairs ends there. About 700 bytes each. */
  readonly rowsMax: number
  /** One file is written per day and commit: a batch with so many distinct days ends there. */
  readonly daysPerCommitMax: number
}

export const defaultRollupProcessorConfig: RollupProcessorConfig = {
  latenessUsMax: 3 * 3_600 * 1_000_000,
  rowsMax: 100_000,
  daysPerCommitMax: 400,
}

/** Records of committed batches, by what became of them. */
export type RollupCounts = {
  /** Added to provisional rows. */
  readonly added: number
  /** Of sealed windows: the exact job takes them from `events`. */
  readonly sealed: number
  /** No detections: the writer keeps them in `rejected_events`. */
  readonly rejected: number
}

export type RollupProcessor = SinkProcessor & {
  counts(): RollupCounts
  /** Every window before it is left to the exact job; null: none is. */
  sealedUntilUs(): number | null
}

type CameraWindows = {
  readonly timeline: LimitTimeline | null
  /** By number of the window since the epoch. */
  readonly windows: Map<number, PartialSums>
}

const identifier = { namespace: [namespaceName], name: rollup5mTable.name }

export function createRollupProcessor(
  ports: RollupProcessorPorts,
  config: RollupProcessorConfig = defaultRollupProcessorConfig,
): RollupProcessor {
  const { decoder } = ports
  const { latenessUsMax } = config
  let state: SinkState | null = null
  /** Windows with a lower number are sealed. */
  let openFromWindow = Number.NEGATIVE_INFINITY
  let sealedUntilUs: number | null = null
  let cameras = new Map<string, CameraWindows>()
  const days = new Set<number>()
  let eventTimes = new Map<number, number>()
  let rows = 0
  let bytes = 0
  let oldestReceivedAtUs: number | null = null
  const committed = { added: 0, sealed: 0, rejected: 0 }
  let pending = { added: 0, sealed: 0, rejected: 0 }

  function clear(): void {
    cameras = new Map()
    days.clear()
    eventTimes = new Map()
    rows = 0
    bytes = 0
    oldestReceivedAtUs = null
    pending = { added: 0, sealed: 0, rejected: 0 }
  }

  function cameraOf(kvfvId: string): CameraWindows {
    let camera = cameras.get(kvfvId)
    if (camera === undefined) {
      camera = { timeline: ports.limits().timelineOf(kvfvId), windows: new Map() }
      cameras.set(kvfvId, camera)
    }
    return camera
  }

  function createWindow(camera: CameraWindows, window: number): PartialSums {
    const sums = createSums()
    camera.windows.set(window, sums)
    days.add(dayOfUs(window * usPer5Minutes))
    rows++
    return sums
  }

  /** The hot path: per record no object but for the first of a camera or window. */
  function addRecords(block: RecordBlock): void {
    const { logPartition, count, values, valueEnds, kinds, receivedAtUs } = block
    const { detection } = decoder
    let timeUsMax = eventTimes.get(logPartition) ?? Number.NEGATIVE_INFINITY
    let oldest = oldestReceivedAtUs ?? Number.POSITIVE_INFINITY
    let lastId: string | null = null
    let camera: CameraWindows | null = null
    let start = 0
    for (let i = 0; i < count; i++) {
      const end = valueEnds[i] as number
      const received = receivedAtUs[i] as number
      if (received < oldest) oldest = received
      if (kinds[i] !== recordKind.detection || !decoder.decode(values, start, end, received)) {
        pending.rejected++
        start = end
        continue
      }
      start = end
      const { eventTimeUs } = detection
      // As the writer has it: a clock that is a little ahead never moves the watermark past receipt.
      const timeUs = eventTimeUs < received ? eventTimeUs : received
      if (timeUs > timeUsMax) timeUsMax = timeUs
      const window = Math.floor(eventTimeUs / usPer5Minutes)
      if (window < openFromWindow) {
        pending.sealed++
        continue
      }
      if (camera === null || detection.kvfvId !== lastId) {
        lastId = detection.kvfvId
        camera = cameraOf(lastId)
      }
      const sums = camera.windows.get(window) ?? createWindow(camera, window)
      const late = isLate(eventTimeUs, received, latenessUsMax)
      addDetection(sums, detection.speedMilli, late, limitIn(camera.timeline, eventTimeUs))
      pending.added++
    }
    if (Number.isFinite(timeUsMax)) eventTimes.set(logPartition, timeUsMax)
    if (Number.isFinite(oldest)) oldestReceivedAtUs = oldest
  }

  function rowsOf(cameras: ReadonlyMap<string, CameraWindows>): PartialSumsRow[] {
    const result: PartialSumsRow[] = []
    for (const [kvfvId, { windows }] of cameras) {
      for (const [window, sums] of windows) {
        result.push({ kvfvId, windowStartUs: window * usPer5Minutes, sums })
      }
    }
    return result
  }

  async function stage(
    rows: readonly PartialSumsRow[],
    table: LoadedTable | undefined,
  ): Promise<StagedTable[]> {
    assert(table !== undefined, 'begin comes before take')
    const batch = provisionalBatch(rows, ports.clock.nowMs() * 1_000)
    const dataFiles = await writeDataFiles(ports, rollup5mTable, batch, table)
    return [{ identifier, dataFiles }]
  }

  return {
    tables: [identifier],
    chosenBy: [tableProperties.sealedUntil],

    begin(begun) {
      clear()
      state = begun
      ;({ sealedUntilUs } = readExactness(begun.properties))
      // A window that begins before the instant is sealed whole: the next one is the first that is open.
      openFromWindow =
        sealedUntilUs === null ? Number.NEGATIVE_INFINITY : Math.ceil(sealedUntilUs / usPer5Minutes)
    },

    add(block): SinkFill {
      addRecords(block)
      bytes += block.values.byteLength
      const full = rows >= config.rowsMax || days.size >= config.daysPerCommitMax
      return { rows, bytes, oldestReceivedAtUs, files: days.size, full }
    },

    take() {
      const [table] = state?.tables ?? []
      const batch = { cameras, pending, eventTimeUsMax: eventTimes }
      clear()
      return {
        eventTimeUsMax: batch.eventTimeUsMax,
        stage: () => stage(rowsOf(batch.cameras), table),
        committed() {
          committed.added += batch.pending.added
          committed.sealed += batch.pending.sealed
          committed.rejected += batch.pending.rejected
        },
      }
    },

    /** The rows were filtered by `sealed_until`: where it has been raised they may be of sealed windows now. */
    canRebase(current) {
      const [table] = current.tables
      return (
        table?.metadata.tableUuid === state?.tables[0]?.metadata.tableUuid &&
        readExactness(current.properties).sealedUntilUs === sealedUntilUs
      )
    },

    counts: () => ({ ...committed }),
    sealedUntilUs: () => sealedUntilUs,
  }
}
