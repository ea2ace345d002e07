import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openAtStart, readAll } from '../../testkit/contracts/event-log.ts'
import { createLmdbEventLog, type LmdbEventLog } from './lmdb-event-log.ts'

const script = new URL('../../testkit/log-process.ts', import.meta.url)
let directory: string

function openLog(): LmdbEventLog {
  return createLmdbEventLog({
    directory,
    partitionCount: 2,
    sizeBytesMax: 1e9,
    retentionMs: 86_400_000,
    clock: { nowMs: () => Date.now() },
    ids: { uuid: () => randomUUID(), snapshotId: () => 1n },
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    retentionIntervalMs: 0,
  })
}

function startChild(
  name: string,
  appends: number,
  recordsPerAppend: number,
  /** As of `ulimit -f`: how a disk that is full looks to a process. */
  fileBlocksMax = 'unlimited',
) {
  const command = [execPath, script.pathname, directory, name, `${appends}`, `${recordsPerAppend}`]
  const child: ChildProcess = spawn(
    'sh',
    ['-c', `ulimit -f ${fileBlocksMax} && exec "$@"`, 'sh', ...command],
    { stdio: ['ignore', 'pipe', fileBlocksMax === 'unlimited' ? 'inherit' : 'ignore'] },
  )
  let printed = ''
  const acknowledged = (): number[] =>
    printed
      .slice(0, printed.lastIndexOf('\n') + 1)
      .split('\n')
      .filter(isNumber)
      .map(Number)
  const listeners = new Set<() => void>()
  child.stdout?.on('data', (chunk: Buffer) => {
    printed += chunk.toString()
    for (const listener of listeners) listener()
  })
  return {
    child,
    acknowledged,
    printed: () => printed,
    exited: new Promise<number | null>((resolve) => child.on('close', resolve)),
    acknowledgedAtLeast: (count: number) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (acknowledged().length >= count) resolve()
        }
        listeners.add(look)
        look()
      }),
  }
}

function isNumber(line: string): boolean {
  return /^\d+$/.test(line)
}

/** Texts `name:n:i` of the whole log by append, checking order and offsets on the way. */
async function appendsInLog(log: LmdbEventLog, recordsPerAppend: number): Promise<Set<string>> {
  const seen = await readAll(await openAtStart(log, 'check'))
  const appends = new Set<string>()
  for (const list of seen.values()) {
    list.forEach(([offset], i) => expect(offset).toBe(i))
    const texts = list.map(([, text]) => text)
    expect(texts.length % recordsPerAppend).toBe(0)
    for (let i = 0; i < texts.length; i += recordsPerAppend) {
      const append = (texts[i] as string).replace(/:0$/, '')
      expect(texts.slice(i, i + recordsPerAppend)).toEqual(
        Array.from({ length: recordsPerAppend }, (_, k) => `${append}:${k}`),
      )
      expect(appends.has(append)).toBe(false)
      appends.add(append)
    }
  }
  return appends
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'potok-log-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

it('holds every acknowledged append, whole, in order and once, after kill -9 at random moments', async () => {
  await openLog().close()
  const expected = new Set<string>()
  for (let round = 0; round < 10; round++) {
    const writer = startChild(`round${round}`, 1_000_000, 3)
    // The moment is random by nature: so many acknowledgements, then whatever is under way.
    await writer.acknowledgedAtLeast(1 + ((round * 37) % 90))
    writer.child.kill('SIGKILL')
    await writer.exited
    for (const n of writer.acknowledged()) expected.add(`round${round}:${n}`)
  }
  const log = openLog()
  const found = await appendsInLog(log, 3)
  expect([...expected].filter((append) => !found.has(append))).toEqual([])
  // What was in flight when killed may be there too: at most four appends a round.
  expect(found.size - expected.size).toBeLessThanOrEqual(40)
  await log.close()
})

it('is appended to and read by the main thread, a worker thread and another process at once', async () => {
  const log = openLog()
  const reader = await openAtStart(log)
  const worker = new Worker(script, { workerData: [directory, 'worker', '100', '2'] })
  const workerDone = new Promise((resolve, reject) => {
    worker.on('message', resolve).on('error', reject)
  })
  const process = startChild('process', 100, 2)
  const encoder = new TextEncoder()
  for (let n = 0; n < 100; n++) {
    await log.append(
      [0, 1].map((i) => ({
        logPartition: n % 2,
        kind: 0,
        receivedAtUs: 1,
        key: null,
        eventId: null,
        value: encoder.encode(`main:${n}:${i}`),
      })),
    )
  }
  await workerDone
  expect(await process.exited).toBe(0)
  let count = 0
  const signal = AbortSignal.timeout(10_000)
  while (count < 600 && !signal.aborted) {
    const blocks = await reader.poll({ maxWaitMs: 1_000, maxBytes: 4_000, signal })
    for (const block of blocks) count += block.count
  }
  expect(count).toBe(600)
  const found = await appendsInLog(log, 2)
  for (const name of ['main', 'worker', 'process']) {
    expect([...found].filter((append) => append.startsWith(`${name}:`))).toHaveLength(100)
  }
  await worker.terminate()
  await log.close()
})

it('wakes a reader that waits when another process has appended', async () => {
  const log = openLog()
  const reader = await openAtStart(log)
  const signal = AbortSignal.timeout(15_000)
  const polled = reader.poll({ maxWaitMs: 15_000, maxBytes: 1e6, signal })
  const process = startChild('other', 1, 1)
  await process.acknowledgedAtLeast(1)
  const acknowledgedAt = performance.now()
  expect((await polled)[0]?.count).toBe(1)
  expect(performance.now() - acknowledgedAt).toBeLessThan(2_000)
  await process.exited
  await log.close()
})

it('says when it cannot write any more, and has what it acknowledged before', async () => {
  await openLog().close()
  const child = startChild('full', 1_000_000, 300, '2000')
  expect(await child.exited).toBe(0)
  expect(child.printed()).toContain('unavailable')
  expect(child.acknowledged().length).toBeGreaterThan(10)
  const log = openLog()
  const found = await appendsInLog(log, 300)
  for (const n of child.acknowledged()) expect(found.has(`full:${n}`)).toBe(true)
  await log.append([
    {
      logPartition: 0,
      kind: 0,
      receivedAtUs: 1,
      key: null,
      eventId: null,
      value: new Uint8Array(1),
    },
  ])
  await log.close()
})
