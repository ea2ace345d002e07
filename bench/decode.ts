/**
 * Decoding detections on one thread: the scanner (all texts, or checks only), the plain way, and JSON.parse
 * alone for scale; then event ids. Plates are all distinct. `node bench/decode.ts`
 */
import { performance } from 'node:perf_hooks'
import { createDetectionDecoder } from '../kernel/decode-detection.ts'
import { decodeDetectionPlainly } from '../kernel/decode-detection-plain.ts'
import { defaultDetectionRules, type Detection } from '../kernel/detection.ts'
import { createEventIdHasher } from '../kernel/event-id.ts'

const count = 100_000
const receivedAtUs = Date.UTC(2025, 3, 6) * 1_000

const shapes: Record<string, (i: number) => Record<string, unknown>> = {
  'four fields': (i: number) => ({ plate_number: plate(i) }),
  'with lane and direction': (i: number) => ({
    plate_number: plate(i),
    lane: (i % 4) + 1,
    direction: 'forward',
  }),
  'with camera id and nested': (i: number) => ({
    plate_number: plate(i),
    event_id: `e-${i}`,
    box: { x: i % 1920, y: 400, w: 120.5, h: 40 },
    confidence: 0.97,
  }),
}

function plate(i: number): string {
  const letters = 'АВЕКМНОРСТУХ'
  const at = (n: number) => letters[Math.floor(i / 12 ** n) % 12] as string
  return `${at(0)}${String(i % 1_000).padStart(3, '0')}${at(1)}${at(2)}${(i % 99) + 1}`
}

type Items = { bytes: Uint8Array; ends: Uint32Array; texts: Buffer[] }

function itemsOf(shape: (i: number) => Record<string, unknown>): Items {
  const texts = Array.from({ length: count }, (_, i) => {
    const fields = {
      kvfv_id: `KV${10_000 + (i % 1_000)}`,
      timestamp: new Date(Date.UTC(2025, 3, 5) + i * 800).toISOString(),
      vehicle_speed: Math.round(600 + 300 * Math.sin(i)) / 10,
      ...shape(i),
    }
    return Buffer.from(JSON.stringify(fields))
  })
  const ends = new Uint32Array(count)
  let end = 0
  texts.forEach((text, i) => {
    end += text.length
    ends[i] = end
  })
  return { bytes: Buffer.concat(texts), ends, texts }
}

function measure(name: string, run: () => void): void {
  run()
  const rounds: number[] = []
  for (let i = 0; i < 7; i++) {
    const cpu = process.cpuUsage()
    run()
    const { user, system } = process.cpuUsage(cpu)
    rounds.push((user + system) / 1e6)
  }
  const best = Math.min(...rounds)
  console.log(`  ${name.padEnd(34)} ${Math.round(count / best / 1_000)} k/s per CPU second`)
}

const started = performance.now()
for (const [name, shape] of Object.entries(shapes)) {
  const { bytes, ends, texts } = itemsOf(shape)
  console.log(`${name}: ${String(texts[0])}`)
  const all = (decoder: ReturnType<typeof createDetectionDecoder>) => () => {
    let start = 0
    for (let i = 0; i < count; i++) {
      const end = ends[i] as number
      if (!decoder.decode(bytes, start, end, receivedAtUs)) throw new Error('rejected')
      start = end
    }
  }
  const decoder = createDetectionDecoder()
  measure('scanner, all texts', all(decoder))
  measure(
    'scanner, checks only',
    all(createDetectionDecoder(defaultDetectionRules, { texts: false })),
  )
  measure('plain way', () => {
    for (const text of texts) {
      if (!decodeDetectionPlainly(text, receivedAtUs, defaultDetectionRules).ok) throw new Error()
    }
  })
  measure('JSON.parse alone', () => {
    for (const text of texts) JSON.parse(text.toString('utf8'))
  })

  const detections: Detection[] = texts.map((text) => {
    decoder.decode(text, 0, text.length, receivedAtUs)
    return { ...decoder.detection }
  })
  const out = new Uint8Array(16)
  for (const [label, key] of [
    ['event id, SHA-256', null],
    ['event id, HMAC-SHA-256', new Uint8Array(32).fill(7)],
  ] as const) {
    const hash = createEventIdHasher(key)
    measure(label, () => {
      for (const detection of detections) hash(detection, out, 0)
    })
  }
}
console.log(`${((performance.now() - started) / 1_000).toFixed(1)} s`)
