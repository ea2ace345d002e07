/**
 * The decoder of detections: the scanner for the common form, the plain way for everything else. Both give
 * the same answer for every input (decode-detection.test.ts); only the speed differs.
 *
 * What counts as a detection is written down in decode-detection-plain.ts; time stamps in rfc3339.ts.
 * Strings that repeat (`kvfv_id`, short further fields) are shared through caches of fixed size: cameras are
 * few, detections many.
 */
import {
  defaultDetectionRules,
  type Detection,
  type DetectionDecoder,
  type DetectionRules,
  type Rejection,
} from './detection.ts'
import { decodeDetectionPlainly } from './decode-detection-plain.ts'
import {
  createScannedDetection,
  furtherBytesMax,
  scanDetection,
  type ScannedDetection,
  writeFurtherFields,
} from './scan-detection.ts'

export type ScanningDetectionDecoder = DetectionDecoder & {
  /** Where the scanner found the fields, if it decoded the last item; null if the plain way did. */
  readonly scanned: ScannedDetection | null
  /** Makes the texts of `detection` where `lazyTexts` left them in the bytes of the last item. */
  readTexts(): void
}

export type DecoderOptions = {
  /** False leaves `plateNumber` and `attributes` null: enough to check an item and to route it. */
  readonly texts?: boolean
  /**
   * True: of an item that the scanner decoded, `detection` has the numbers and texts with escapes only;
   * `scanned` says where the others are, for those who go on with bytes.
   */
  readonly lazyTexts?: boolean
}

export function createDetectionDecoder(
  rules: DetectionRules = defaultDetectionRules,
  options: DecoderOptions = {},
): ScanningDetectionDecoder {
  const withTexts = options.texts !== false
  const isLazy = options.lazyTexts === true
  const speedMilliMax = Math.floor(rules.speedKmhMax * 1_000)
  const scan = createScannedDetection()
  const kvfvIds = createTextCache(16_384)
  const shortAttributes = createTextCache(4_096)
  const detection: Detection = {
    kvfvId: '',
    eventTimeUs: 0,
    speedMilli: 0,
    plateNumber: null,
    attributes: null,
    cameraEventId: null,
  }
  const rejection: Rejection = { reason: 'invalid_json', detail: '', kvfvId: null }
  let scanned: ScannedDetection | null = null
  let viewed: Uint8Array | null = null
  let buffer: Buffer = Buffer.alloc(0)

  function decodeScanned(bytes: Uint8Array, receivedAtUs: number): boolean {
    if (
      scan.eventTimeUs > receivedAtUs + rules.clockAheadUsMax ||
      scan.eventTimeUs < rules.eventTimeUsMin
    ) {
      return false
    }
    if (viewed !== bytes) {
      buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      viewed = bytes
    }
    detection.plateNumber = null
    detection.cameraEventId = null
    detection.attributes = null
    if (scan.plateStart >= 0 && scan.plateEscaped) {
      const plate = unescape(buffer, scan.plateStart, scan.plateEnd)
      if (plate === null) return false
      if (withTexts) detection.plateNumber = plate
    }
    if (scan.eventIdStart >= 0 && scan.eventIdEscaped) {
      detection.cameraEventId = unescape(buffer, scan.eventIdStart, scan.eventIdEnd)
      if (detection.cameraEventId === null) return false
    }
    detection.eventTimeUs = scan.eventTimeUs
    detection.speedMilli = scan.speedMilli
    if (!isLazy) readScanned()
    return true
  }

  function readScanned(): void {
    detection.kvfvId = kvfvIds(buffer, scan.kvfvStart, scan.kvfvEnd)
    if (scan.eventIdStart >= 0 && !scan.eventIdEscaped) {
      detection.cameraEventId = shortText(buffer, scan.eventIdStart, scan.eventIdEnd)
    }
    if (!withTexts) return
    if (scan.plateStart >= 0 && !scan.plateEscaped) {
      detection.plateNumber = shortText(buffer, scan.plateStart, scan.plateEnd)
    }
    if (scan.furtherCount > 0) detection.attributes = furtherText(buffer, scan, shortAttributes)
  }

  return {
    detection,
    rejection,
    get scanned() {
      return scanned
    },
    readTexts() {
      if (isLazy && scanned !== null) readScanned()
    },
    decode(bytes, start, end, receivedAtUs) {
      if (
        scanDetection(bytes, start, end, speedMilliMax, scan) &&
        decodeScanned(bytes, receivedAtUs)
      ) {
        scanned = scan
        return true
      }
      scanned = null
      const result = decodeDetectionPlainly(bytes.subarray(start, end), receivedAtUs, rules)
      if (!result.ok) {
        Object.assign(rejection, result.rejection)
        return false
      }
      Object.assign(detection, result.detection)
      if (!withTexts) {
        detection.plateNumber = null
        detection.attributes = null
      }
      return true
    },
  }
}

/** null where it holds half a surrogate pair. */
function unescape(buffer: Buffer, start: number, end: number): string | null {
  const text = JSON.parse(buffer.toString('utf8', start - 1, end + 1)) as string
  return text.isWellFormed() ? text : null
}

const unitsMax = 24
const units = new Uint16Array(unitsMax)
const { fromCharCode } = String

/**
 * Plates and ids are so short that crossing into native code costs more than decoding them here; eight
 * characters a call, because one a call makes as many intermediate strings.
 */
function shortText(buffer: Buffer, start: number, end: number): string {
  if (end - start > unitsMax) return buffer.toString('utf8', start, end)
  let n = 0
  for (let i = start; i < end; ) {
    const a = buffer[i++] as number
    if (a < 0x80) units[n++] = a
    else if (a < 0xe0) units[n++] = ((a & 0x1f) << 6) | ((buffer[i++] as number) & 0x3f)
    else return buffer.toString('utf8', start, end)
  }
  let text = ''
  let i = 0
  for (; i + 8 <= n; i += 8) {
    const eight = fromCharCode(
      units[i] as number,
      units[i + 1] as number,
      units[i + 2] as number,
      units[i + 3] as number,
      units[i + 4] as number,
      units[i + 5] as number,
      units[i + 6] as number,
      units[i + 7] as number,
    )
    text = i === 0 ? eight : text + eight
  }
  for (; i < n; i++) text += fromCharCode(units[i] as number)
  return text
}

const scratchBytes = 4_096
const cachedBytesMax = 64
const scratch = Buffer.allocUnsafeSlow(scratchBytes)

/** The further members, joined without the white space that stood between them. */
function furtherText(
  buffer: Buffer,
  scan: ScannedDetection,
  cached: (bytes: Buffer, start: number, end: number) => string,
): string {
  if (furtherBytesMax(scan) > scratchBytes) return joinedText(buffer, scan)
  const length = writeFurtherFields(scratch, 0, buffer, scan)
  // Lane and direction repeat; longer texts hardly do, and would fill the cache.
  if (length <= cachedBytesMax) return cached(scratch, 0, length)
  return scan.ascii ? scratch.toString('latin1', 0, length) : scratch.toString('utf8', 0, length)
}

function joinedText(buffer: Buffer, scan: ScannedDetection): string {
  const parts: string[] = []
  for (let at = 0; at < scan.furtherCount * 4; at += 4) {
    const [keyStart, keyEnd, valueStart, valueEnd] = scan.further.subarray(at, at + 4)
    parts.push(
      `${buffer.toString('utf8', keyStart, keyEnd)}:${buffer.toString('utf8', valueStart, valueEnd)}`,
    )
  }
  return `{${parts.join(',')}}`
}

/**
 * Texts that come again and again, found by their bytes. Direct-mapped: a text that meets another's slot
 * takes it, so the cache never grows. ASCII only, whose bytes compare with the text one to one.
 */
function createTextCache(slots: number): (buffer: Buffer, start: number, end: number) => string {
  const texts: (string | undefined)[] = Array.from({ length: slots })
  return (buffer, start, end) => {
    let hash = 0
    for (let i = start; i < end; i++) {
      const c = buffer[i] as number
      if (c >= 0x80) return buffer.toString('utf8', start, end)
      hash = (Math.imul(hash, 31) + c) | 0
    }
    const slot = (hash ^ (hash >>> 14)) & (slots - 1)
    const cached = texts[slot]
    if (cached !== undefined && cached.length === end - start) {
      let i = 0
      while (i < cached.length && cached.charCodeAt(i) === buffer[start + i]) i++
      if (i === cached.length) return cached
    }
    const text = buffer.toString('latin1', start, end)
    texts[slot] = text
    return text
  }
}
