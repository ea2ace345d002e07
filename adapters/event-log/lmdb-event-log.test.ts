import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'lmdb'
import { afterEach, describe, expect, it } from 'vitest'
import type { IdSource, Logger } from '../../kernel/ports.ts'
import { eventLogContract, openAtStart, readAll } from '../../testkit/contracts/event-log.ts'
import { testRecord } from '../../testkit/records.ts'
import {
  createLmdbEventLog,
  type LmdbEventLog,
  type LmdbEventLogOptions,
} from './lmdb-event-log.ts'

const dayMs = 86_400_000
const receivedAtMs = 1_700_000_000_000
const ids: IdSource = { uuid: () => randomUUID(), snapshotId: () => 1n }
const directories: string[] = []
const logs: LmdbEventLog[] = []

function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'potok-log-'))
  directories.push(directory)
  return directory
}

function openLog(directory: string, options: Partial<LmdbEventLogOptions> = {}): LmdbEventLog {
  const log = createLmdbEventLog({
    directory,
    partitionCount: 3,
    sizeBytesMax: 50_000_000,
    retentionMs: 7 * dayMs,
    clock: { nowMs: () => receivedAtMs },
    ids,
    logger: silent,
    retentionIntervalMs: 0,
    commitSpacingMs: 0,
    ...options,
  })
  logs.push(log)
  return log
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

function recordingLogger(): { logger: Logger; warnings: string[] } {
  const warnings: string[] = []
  return {
    warnings,
    logger: { ...silent, warn: (_fields, message) => void warnings.push(message) },
  }
}

afterEach(async () => {
  for (const log of logs.splice(0)) await log.close()
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
})

eventLogContract('lmdb', async () => {
  const log = openLog(freshDirectory())
  return { log, dispose: () => log.close() }
})

describe('lmdb event log', () => {
  it('has everything after a restart, its identity too', async () => {
    const directory = freshDirectory()
    const first = openLog(directory)
    await first.append([testRecord(0, 'a'), testRecord(1, 'b')])
    const identity = await first.identity()
    await first.close()
    const second = openLog(directory)
    expect(await second.identity()).toEqual(identity)
    await second.append([testRecord(0, 'c')])
    expect((await readAll(await openAtStart(second))).get(0)).toEqual([
      [0, 'a'],
      [1, 'c'],
    ])
  })

  it('refuses another number of partitions and says what it has', async () => {
    const directory = freshDirectory()
    await openLog(directory).close()
    expect(() => openLog(directory, { partitionCount: 5 })).toThrow(/has 3 partitions, not 5/)
    const adopted = createLmdbEventLog({
      directory,
      sizeBytesMax: 1e6,
      retentionMs: dayMs,
      clock: { nowMs: () => 0 },
      ids,
      logger: silent,
      readOnly: true,
    })
    logs.push(adopted)
    expect(adopted.partitionCount).toBe(3)
    await expect(adopted.append([testRecord(0, 'x')])).rejects.toMatchObject({
      kind: 'Unsupported',
    })
  })

  it('tells when a record was received, to who is no reader', async () => {
    const directory = freshDirectory()
    const log = openLog(directory)
    const at = (receivedAtUs: number) => ({ ...testRecord(1, 'x'), receivedAtUs })
    await log.append([at(5), at(6)])
    await log.append([at(7)])
    const look = openLog(directory)
    const told = [0, 1, 2, 3].map(async (offset) => look.receivedAt?.(1, offset))
    expect(await Promise.all(told)).toEqual([5, 6, 7, null])
    expect(await look.receivedAt?.(0, 0)).toBe(null)
    expect(look.stats().lag).toEqual({})
  })

  it('says where there is no log to read', () => {
    expect(() => openLog(join(freshDirectory(), 'none'), { readOnly: true })).toThrow(
      /no event log/,
    )
  })

  it('keeps appends whole and in order when many wait for one commit', async () => {
    const log = openLog(freshDirectory())
    const appends = Array.from({ length: 200 }, (_, i) =>
      log.append([testRecord(i % 3, `${i}-a`), testRecord(i % 3, `${i}-b`)]),
    )
    await Promise.all(appends)
    const seen = await readAll(await openAtStart(log))
    for (let p = 0; p < 3; p++) {
      const expected = Array.from({ length: 200 }, (_, i) => i)
        .filter((i) => i % 3 === p)
        .flatMap((i) => [`${i}-a`, `${i}-b`])
      expect(seen.get(p)?.map(([, text]) => text)).toEqual(expected)
    }
  })

  it('refuses what would wait beyond the memory limit, and keeps nothing of it', async () => {
    const log = openLog(freshDirectory(), { maxPendingBytes: 10_000 })
    const text = 'x'.repeat(4_000)
    const results = await Promise.allSettled(
      [0, 1, 2, 3].map((i) => log.append([testRecord(0, `${i}${text}`)])),
    )
    expect(results.map((result) => result.status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
    ])
    expect(results[2]).toMatchObject({ reason: { kind: 'Overloaded' } })
    await log.append([testRecord(0, 'after')])
    expect((await log.ranges())[0]?.endOffset).toBe(3)
    await expect(log.append([testRecord(0, 'x'.repeat(10_001))])).rejects.toMatchObject({
      kind: 'TooLarge',
    })
  })

  it('refuses new records rather than drop unread ones, and goes on once they are read', async () => {
    const log = openLog(freshDirectory(), { sizeBytesMax: 20_000 })
    const reader = await openAtStart(log, 'writer')
    const text = 'x'.repeat(4_000)
    for (let i = 0; i < 4; i++) await log.append([testRecord(0, text)])
    await expect(log.append([testRecord(1, text)])).rejects.toMatchObject({
      kind: 'Overloaded',
      message: expect.stringContaining('not read') as string,
    })
    await reader.acknowledge(new Map([[0, 2]]))
    await log.append([testRecord(1, text)])
    expect((await log.ranges())[0]).toMatchObject({ startOffset: 1, endOffset: 4 })
    await log.append([testRecord(1, text)])
    await expect(log.append([testRecord(1, text)])).rejects.toMatchObject({ kind: 'Overloaded' })
    expect(log.stats()).toMatchObject({ lag: { writer: 4 } })
    expect(log.stats().sizeBytes).toBeLessThanOrEqual(20_000)
  })

  it('removes old records that all groups have read, and keeps the others with a warning', async () => {
    const { logger, warnings } = recordingLogger()
    let nowMs = receivedAtMs + dayMs
    const log = openLog(freshDirectory(), {
      retentionMs: dayMs,
      clock: { nowMs: () => nowMs },
      logger,
    })
    const writer = await openAtStart(log, 'writer')
    const rollups = await openAtStart(log, 'rollups')
    await log.append([testRecord(0, 'a')])
    await log.append([testRecord(0, 'b')])
    await writer.acknowledge(new Map([[0, 2]]))
    await rollups.acknowledge(new Map([[0, 1]]))
    expect(await log.retain()).toMatchObject({ removedRecords: 0, held: [] })
    nowMs += 1
    const result = await log.retain()
    expect(result).toMatchObject({
      removedRecords: 1,
      held: [{ logPartition: 0, group: 'rollups', unreadRecords: 1 }],
    })
    expect(warnings).toHaveLength(1)
    await log.retain()
    expect(warnings).toHaveLength(1)
    await expect(writer.seek(0, 0)).rejects.toMatchObject({ kind: 'InvalidInput' })
    await log.forgetGroup('rollups')
    expect(await log.retain()).toMatchObject({ removedRecords: 1, held: [] })
    expect((await log.ranges())[0]).toMatchObject({ startOffset: 2, endOffset: 2 })
    await log.append([testRecord(0, 'c')])
    expect((await readAll(await openAtStart(log))).get(0)).toEqual([[2, 'c']])
  })

  it('tells a reader whose position retention has overtaken', async () => {
    const log = openLog(freshDirectory(), {
      retentionMs: 0,
      clock: { nowMs: () => receivedAtMs + 1 },
    })
    await log.append([testRecord(0, 'a')])
    const reader = await openAtStart(log)
    await log.forgetGroup('test')
    await log.retain()
    const signal = new AbortController().signal
    await expect(reader.poll({ maxWaitMs: 0, maxBytes: 1e6, signal })).rejects.toMatchObject({
      kind: 'InvalidInput',
      context: { offset: 0, startOffset: 1, endOffset: 1 },
    })
  })

  it('finds a doctored block', async () => {
    const directory = freshDirectory()
    const log = openLog(directory)
    await log.append([testRecord(0, 'speed 60')])
    await log.close()
    const root = open<Buffer, string>(directory, { encoding: 'binary', noSubdir: false })
    const blocks = root.openDB<Buffer, Uint8Array>('blocks', {
      encoding: 'binary',
      keyEncoding: 'binary',
    })
    for (const { key, value } of blocks.getRange()) {
      value[value.length - 1] = 0x31
      await blocks.put(key, value)
    }
    await root.close()
    const again = openLog(directory)
    await expect(readAll(await openAtStart(again))).rejects.toMatchObject({ kind: 'DataCorrupt' })
  })

  it('splits a large append into blocks and gives it back whole', async () => {
    const log = openLog(freshDirectory())
    const texts = Array.from({ length: 3_000 }, (_, i) => `${i} ${'y'.repeat(300)}`)
    await log.append(texts.map((text) => testRecord(2, text)))
    const seen = await readAll(await openAtStart(log), 100_000)
    expect(seen.get(2)?.map(([, text]) => text)).toEqual(texts)
  })
})
