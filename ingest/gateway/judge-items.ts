/**
 * Judges the items of one body and makes log records of them: detections as they are (or rewritten where
 * the mapping or the plate policy asks for it), bad items as `RejectedPayload`.
 */
import { createDetectionDecoder } from '../../kernel/decode-detection.ts'
import type { DetectionRules } from '../../kernel/detection.ts'
import { PotokError } from '../../kernel/errors.ts'
import { createEventIdHasher, eventIdBytes } from '../../kernel/event-id.ts'
import { logPartitionOf } from '../../kernel/partitioner.ts'
import type { PlatePolicy } from '../../kernel/plate-policy.ts'
import type { LogRecord } from '../../kernel/ports.ts'
import { recordKind, type RejectedPayload, type RejectReason } from '../../kernel/record-block.ts'
import { isJsonValue } from '../../kernel/scan-detection.ts'
import type { Reservation } from './byte-budget.ts'
import type { IntakeLimits } from './intake-limits.ts'
import { type BodyFormat, createItemCursor, isJsonSpace } from './item-cursor.ts'
import type { Mapping } from './mapping.ts'
import { applyPlatePolicy, rejectedPayload } from './plate-rewrite.ts'

export type IntakeSource = 'http' | 'mqtt' | 'replay'

export type RejectedItem = {
  readonly index: number
  readonly reason: RejectReason
  readonly detail: string
}

export type JudgedItems = {
  /** In the order of the items, accepted and rejected alike. */
  readonly records: LogRecord[]
  readonly rejected: RejectedItem[]
  readonly accepted: number
}

export type ItemJudge = {
  /** `camera`: the one that the transport vouches for, null where it knows none. */
  judge(
    body: Buffer,
    format: BodyFormat,
    source: IntakeSource,
    receivedAtUs: number,
    reservation: Reservation,
    camera: string | null,
  ): Promise<JudgedItems>
  /** A body that was refused as a whole, as one rejected item. */
  refused(refused: RefusedBody): LogRecord
}

export type RefusedBody = {
  readonly reason: RejectReason
  readonly detail: string
  /** As much of it as is known; only its beginning is kept. */
  readonly body: Uint8Array
  readonly source: IntakeSource
  readonly camera: string | null
  readonly receivedAtUs: number
}

export type ItemJudgeOptions = {
  readonly rules: DetectionRules
  readonly policy: PlatePolicy
  readonly mapping: Mapping | null
  readonly limits: IntakeLimits
  readonly partitionCount: number
  readonly eventIdExcludedFields: readonly string[]
}

/** Judged in one turn of the event loop: a few milliseconds. */
const itemsPerTurn = 4_096
const bytesPerTurn = 1_024 * 1_024
const payloadBytesMaxOfTooLarge = 4_096
const payloadBytesMaxOfRefused = 65_536
const placesCachedMax = 100_000

/** Where the records of a camera go. */
type Place = { readonly key: Uint8Array; readonly logPartition: number }

type Verdict = {
  reason: RejectReason
  detail: string
  kvfvId: string | null
  /** What the decoder saw, in canonical names; null where it saw nothing. */
  canonical: Uint8Array | null
}

export function createItemJudge(options: ItemJudgeOptions): ItemJudge {
  const { rules, policy, mapping, limits, partitionCount } = options
  const keepsPlates = policy.mode === 'keep'
  const decoder = createDetectionDecoder(rules, { texts: !keepsPlates })
  const hashEventId = keepsPlates
    ? null
    : createEventIdHasher(policy.eventIdKey, { excludedFields: options.eventIdExcludedFields })
  const places = new Map<string, Place>()

  function placeOfCamera(kvfvId: string): Place {
    let place = places.get(kvfvId)
    if (place === undefined) {
      if (places.size >= placesCachedMax) places.clear()
      const key = Buffer.from(kvfvId)
      place = { key, logPartition: logPartitionOf(key, partitionCount) }
      places.set(kvfvId, place)
    }
    return place
  }

  /** Synchronous: the decoder's result is reused by the next item, maybe of another body. */
  function judgeItem(
    item: Uint8Array,
    receivedAtUs: number,
    camera: string | null,
  ): LogRecord | Verdict {
    let canonical = item
    if (mapping !== null) {
      const mapped = mapping.apply(item)
      if (!mapped.ok) {
        return { reason: mapped.reason, detail: mapped.detail, kvfvId: null, canonical: null }
      }
      canonical = mapped.bytes
    }
    return judgeCanonical(canonical, 0, canonical.length, receivedAtUs, camera)
  }

  function judgeCanonical(
    bytes: Uint8Array,
    start: number,
    end: number,
    receivedAtUs: number,
    camera: string | null,
  ): LogRecord | Verdict {
    if (!decoder.decode(bytes, start, end, receivedAtUs)) {
      const { reason, detail, kvfvId } = decoder.rejection
      if (camera !== null && kvfvId === null && reason === 'missing_field') {
        const named = withCamera(bytes.subarray(start, end), camera)
        return judgeCanonical(named, 0, named.length, receivedAtUs, null)
      }
      return {
        reason,
        detail: mapping === null ? detail : mapping.explain(detail),
        kvfvId,
        canonical: bytes.subarray(start, end),
      }
    }
    const { kvfvId, plateNumber } = decoder.detection
    if (camera !== null && kvfvId !== camera) {
      return {
        reason: 'wrong_camera',
        detail: `kvfv_id ${JSON.stringify(kvfvId)} is not the camera that sends it, ${JSON.stringify(camera)}`,
        kvfvId: camera,
        canonical: bytes.subarray(start, end),
      }
    }
    let eventId: Uint8Array | null = null
    if (hashEventId !== null) {
      eventId = new Uint8Array(eventIdBytes)
      hashEventId(decoder.detection, eventId, 0)
    }
    const { key, logPartition } = placeOfCamera(kvfvId)
    return {
      logPartition,
      kind: recordKind.detection,
      receivedAtUs,
      key,
      eventId,
      value: applyPlatePolicy(policy, bytes, start, end, decoder.scanned, plateNumber),
    }
  }

  function rejectedRecord(
    item: Uint8Array,
    verdict: Verdict,
    source: IntakeSource,
    receivedAtUs: number,
  ): LogRecord {
    const { reason, detail, kvfvId } = verdict
    const payload: RejectedPayload = {
      reason,
      detail,
      source,
      kvfv_id: kvfvId,
      payload: rejectedPayload(
        policy,
        reason,
        reason === 'too_large' ? item.subarray(0, payloadBytesMaxOfTooLarge) : item,
        verdict.canonical,
      ),
    }
    const place = kvfvId === null ? null : placeOfCamera(kvfvId)
    return {
      logPartition:
        place === null
          ? logPartitionOf(item.subarray(0, 1_024), partitionCount)
          : place.logPartition,
      kind: recordKind.rejected,
      receivedAtUs,
      key: place === null ? null : place.key,
      eventId: null,
      value: Buffer.from(JSON.stringify(payload)),
    }
  }

  async function judge(
    body: Buffer,
    format: BodyFormat,
    source: IntakeSource,
    receivedAtUs: number,
    reservation: Reservation,
    camera: string | null,
  ): Promise<JudgedItems> {
    const cursor = createItemCursor(body, format)
    const records: LogRecord[] = []
    const rejected: RejectedItem[] = []
    let turnIndex = 0
    let turnStart = 0
    for (let index = 0; cursor.next(); index++) {
      if (index >= limits.itemsMax) {
        throw new PotokError('TooLarge', `more than ${limits.itemsMax} items in one body`)
      }
      const { start, end } = cursor
      if (index - turnIndex >= itemsPerTurn || start - turnStart >= bytesPerTurn) {
        turnIndex = index
        turnStart = start
        await nextTurn()
      }
      let judged: LogRecord | Verdict
      if (end - start > limits.itemBytesMax) judged = tooLarge(end - start, limits.itemBytesMax)
      else if (mapping === null) judged = judgeCanonical(body, start, end, receivedAtUs, camera)
      else judged = judgeItem(body.subarray(start, end), receivedAtUs, camera)
      if ('value' in judged) {
        records.push(judged)
        continue
      }
      const item = body.subarray(start, end)
      const { reason, detail } = judged
      if (format === 'json' && !isReadable(reason, item)) {
        const which = reason === 'too_large' ? 'not valid JSON' : detail
        throw new PotokError('InvalidInput', `the body can't be read: item ${index} is ${which}`)
      }
      judged.kvfvId ??= camera
      const record = rejectedRecord(item, judged, source, receivedAtUs)
      reservation.add(record.value.length)
      rejected.push({ index, reason, detail })
      records.push(record)
    }
    return { records, rejected, accepted: records.length - rejected.length }
  }

  return {
    judge,
    refused: ({ reason, detail, body, source, camera, receivedAtUs }) =>
      rejectedRecord(
        body.subarray(0, payloadBytesMaxOfRefused),
        { reason, detail, kvfvId: camera, canonical: null },
        source,
        receivedAtUs,
      ),
  }
}

/** The same event with the camera as its last member, which counts where there is one that says null. */
function withCamera(item: Uint8Array, camera: string): Uint8Array {
  const end = item.lastIndexOf(0x7d)
  let last = end - 1
  while (isJsonSpace(item[last] as number)) last--
  const comma = item[last] === 0x7b ? '' : ','
  return Buffer.concat([
    item.subarray(0, end),
    Buffer.from(`${comma}"kvfv_id":${JSON.stringify(camera)}}`),
  ])
}

function tooLarge(bytes: number, bytesMax: number): Verdict {
  const detail = `${bytes} bytes, more than ${bytesMax}`
  return { reason: 'too_large', detail, kvfvId: null, canonical: null }
}

/** Is the item valid JSON, so that its document may be? What is too large was not looked at before. */
function isReadable(reason: RejectReason, item: Uint8Array): boolean {
  return reason === 'too_large' ? isJsonValue(item, 0, item.length) : reason !== 'invalid_json'
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
