/** An `EventLog` that only remembers appends, and fails or hangs as a test says. For tests of the intake. */
import type { EventLog, LogRecord } from '../kernel/ports.ts'
import type { RejectedPayload } from '../kernel/record-block.ts'

export type StubEventLog = EventLog & {
  readonly appends: (readonly LogRecord[])[]
  /** What the next appends do instead of succeeding. */
  behave(append: ((records: readonly LogRecord[]) => Promise<void>) | null): void
}

export function createStubEventLog(partitionCount = 8): StubEventLog {
  const appends: (readonly LogRecord[])[] = []
  let behaviour: ((records: readonly LogRecord[]) => Promise<void>) | null = null
  return {
    partitionCount,
    appends,
    behave(append) {
      behaviour = append
    },
    async append(records) {
      if (behaviour !== null) await behaviour(records)
      appends.push(records)
    },
    identity: unused,
    ranges: unused,
    openReader: unused,
    close: async () => undefined,
  }
}

export function valueText(record: LogRecord | undefined): string {
  if (record === undefined) throw new Error('no such record')
  return Buffer.from(record.value).toString('utf8')
}

export function rejectedOf(record: LogRecord | undefined): RejectedPayload {
  return JSON.parse(valueText(record)) as RejectedPayload
}

async function unused(): Promise<never> {
  throw new Error('not part of this stub')
}
