/** Builders of log records for tests. */
import type { LogRecord } from '../kernel/ports.ts'
import type { RecordBlock } from '../kernel/record-block.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function testRecord(logPartition: number, text: string, kind = 0): LogRecord {
  return {
    logPartition,
    kind,
    receivedAtUs: 1_700_000_000_000_000,
    key: null,
    eventId: null,
    value: encoder.encode(text),
  }
}

/** The values of a block as text. */
export function textsOf(block: RecordBlock): string[] {
  return Array.from({ length: block.count }, (_, i) =>
    decoder.decode(block.values.subarray(i === 0 ? 0 : block.valueEnds[i - 1], block.valueEnds[i])),
  )
}
