import { describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { inspectSink, type LogView } from '../iceberg/sink/inspect-sink.ts'
import { encodePosition, positionKey } from '../iceberg/sink/positions.ts'
import { eventsTable } from '../kernel/tables.ts'
import { stagedTableOf } from '../testkit/staged-table.ts'
import { judgeSink } from './judge-sinks.ts'

const identity = { clusterId: 'c', topic: 't', topicId: 'i' }
const nowMs = 1_700_000_000_000
const log: LogView = {
  identity,
  ranges: [
    { logPartition: 0, startOffset: 0, endOffset: 100 },
    { logPartition: 1, startOffset: 0, endOffset: 7 },
  ],
}

/** A table whose sink committed so many seconds ago, and stands at these offsets. */
async function tableAt(offsets: Record<number, number>, commitAgeSeconds: number) {
  const table = stagedTableOf(eventsTable, { store: createMemoryObjectStore() })
  const entries = Object.entries(offsets)
  await table.change({
    operation: 'append',
    add: [],
    remove: new Set(),
    summary: {
      'potok.commit_id': 'x',
      'potok.log.offsets': JSON.stringify(
        Object.fromEntries(entries.map(([p, end]) => [p, [0, end]])),
      ),
    },
    setProperties: Object.fromEntries(
      entries.map(([p, nextOffset]) => [
        positionKey(Number(p)),
        encodePosition({ ...identity, logEpoch: 0, nextOffset, eventTimeUsMax: null }),
      ]),
    ),
  })
  const loaded = table.loaded()
  const snapshots = loaded.metadata.snapshots.map((snapshot) => ({
    ...snapshot,
    timestampMs: nowMs - commitAgeSeconds * 1_000,
  }))
  return { ...loaded, metadata: { ...loaded.metadata, snapshots } }
}

async function judge(options: {
  offsets: Record<number, number>
  commitAgeSeconds?: number
  /** Seconds since the first record behind the position was received. */
  waiting?: Record<number, number>
  log?: LogView | null
}) {
  const table = await tableAt(options.offsets, options.commitAgeSeconds ?? 5)
  const view = options.log === undefined ? log : options.log
  return judgeSink({
    name: 'writer',
    view: inspectSink([table], view),
    table,
    log: view,
    waiting: new Map(
      Object.entries(options.waiting ?? {}).map(([p, age]) => [
        Number(p),
        (nowMs - age * 1_000) * 1_000,
      ]),
    ),
    nowMs,
    lagAgeMsMax: 60_000,
  })
}

describe('a sink judged from outside', () => {
  it('is well where what waits is young, however old its last commit is', async () => {
    const { report, problems } = await judge({
      offsets: { 0: 90, 1: 7 },
      commitAgeSeconds: 9_000,
      waiting: { 0: 3 },
    })
    expect(problems).toEqual([])
    expect(report).toMatchObject({
      halted: null,
      lag: 10,
      lagAgeSeconds: 3,
      lastCommitAgeSeconds: 9_000,
    })
    expect(report.partitions[0]).toMatchObject({ position: 90, logEnd: 100, lag: 10 })
  })

  it('fails or does not run where old records wait and it has not committed for long', async () => {
    const { problems } = await judge({
      offsets: { 0: 90, 1: 7 },
      commitAgeSeconds: 300,
      waiting: { 0: 290 },
    })
    expect(problems).toHaveLength(1)
    expect(problems[0]?.reason).toMatch(
      /received 290 s ago, 10 records to go.*does not run, or it fails/,
    )
  })

  it('is behind where old records wait though it commits', async () => {
    const { problems } = await judge({ offsets: { 0: 1, 1: 0 }, waiting: { 0: 7_200, 1: 3 } })
    expect(problems[0]?.reason).toMatch(/received 7200 s ago, 106 records to go.*catching up/)
  })

  it('is behind where the log hands out nothing below its end and nothing was committed for long', async () => {
    const held = await judge({ offsets: { 0: 90, 1: 7 }, commitAgeSeconds: 300 })
    expect(held.problems[0]?.reason).toMatch(/10 offsets of the log can't be read.*transaction/)
    const young = await judge({ offsets: { 0: 90, 1: 7 }, commitAgeSeconds: 3 })
    expect(young.problems).toEqual([])
  })

  it('halts by the same check as its own, also where it does not run', async () => {
    const { report, problems } = await judge({ offsets: { 0: 101, 1: 7 } })
    expect(report.halted).toBe('above_log_end')
    expect(problems[0]?.reason).toContain('Choices:')
  })

  it('has a lag that nobody knows where the log does not answer', async () => {
    const { report, problems } = await judge({ offsets: { 0: 90 }, log: null })
    expect(problems).toEqual([])
    expect(report).toMatchObject({ lag: null, lagAgeSeconds: null, partitions: [] })
  })
})
