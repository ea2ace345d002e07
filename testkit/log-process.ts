/**
 * A process (or worker thread) of its own that works on an embedded log, for tests that kill it or append
 * from several sides at once. One line on stdout per acknowledged append, written only after it.
 *
 *   node log-process.ts DIRECTORY NAME APPENDS RECORDS_PER_APPEND
 */
import { writeSync } from 'node:fs'
import { argv } from 'node:process'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { createLmdbEventLog } from '../adapters/event-log/lmdb-event-log.ts'
import { isPotokError } from '../kernel/errors.ts'
import { testRecord } from './records.ts'

const [directory, name, appends, recordsPerAppend] = (
  isMainThread ? argv.slice(2) : (workerData as string[])
) as [string, string, string, string]

const log = createLmdbEventLog({
  directory,
  sizeBytesMax: 1e9,
  retentionMs: 86_400_000,
  clock: { nowMs: () => Date.now() },
  ids: { uuid: () => crypto.randomUUID(), snapshotId: () => 1n },
  logger: { debug() {}, info() {}, warn() {}, error() {} },
})

// A few appends in flight, so that a kill meets some that wait and some that are being committed.
const inFlightMax = 4
let next = 0
async function feed(): Promise<void> {
  while (next < Number(appends)) {
    const n = next++
    const partition = n % log.partitionCount
    try {
      await log.append(
        Array.from({ length: Number(recordsPerAppend) }, (_, i) =>
          testRecord(partition, `${name}:${n}:${i}`),
        ),
      )
    } catch (error) {
      if (!isPotokError(error, 'Unavailable')) throw error
      writeSync(1, 'unavailable\n')
      return
    }
    if (isMainThread) writeSync(1, `${n}\n`)
  }
}
await Promise.all(Array.from({ length: inFlightMax }, feed))
await log.close()
// A port of worker_threads, not a window: it has no target origin.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.postMessage('done')
