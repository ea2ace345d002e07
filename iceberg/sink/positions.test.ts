import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isPotokError } from '../../kernel/errors.ts'
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import {
  decodeOffsets,
  decodePosition,
  encodeOffsets,
  encodePosition,
  lineageOf,
  newestSnapshotOffsets,
  offsetsToCarryForward,
  positionKey,
  readPositions,
} from './positions.ts'
import type { LogPosition } from './sink-processor.ts'

const offset = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const position: fc.Arbitrary<LogPosition> = fc.record({
  clusterId: fc.string(),
  topic: fc.string(),
  topicId: fc.string(),
  logEpoch: fc.nat(),
  nextOffset: offset,
  eventTimeUsMax: fc.option(fc.maxSafeInteger(), { nil: null }),
})

function snapshot(id: bigint, parent: bigint | undefined, offsets?: string): Snapshot {
  return {
    snapshotId: id,
    ...(parent === undefined ? {} : { parentSnapshotId: parent }),
    sequenceNumber: Number(id),
    timestampMs: 0,
    manifestList: '',
    summary: {
      operation: 'append',
      ...(offsets === undefined ? {} : { 'potok.log.offsets': offsets }),
    },
  }
}

function metadata(main: bigint, snapshots: Snapshot[], properties = {}): TableMetadata {
  return {
    snapshots,
    properties,
    currentSnapshotId: main,
    refs: { main: { type: 'branch', snapshotId: main } },
  } as unknown as TableMetadata
}

describe('positions', () => {
  test('come back as they were stored', () => {
    fc.assert(
      fc.property(position, (given) => {
        expect(decodePosition('key', encodePosition(given))).toEqual(given)
      }),
    )
  })

  test('are stored as JSON in snake case under one property per log partition', () => {
    const text = encodePosition({
      clusterId: 'c',
      topic: 't',
      topicId: 'i',
      logEpoch: 2,
      nextOffset: 7,
      eventTimeUsMax: null,
    })
    expect([positionKey(3), JSON.parse(text)]).toEqual([
      'potok.log.position.3',
      {
        cluster_id: 'c',
        topic: 't',
        topic_id: 'i',
        log_epoch: 2,
        next_offset: 7,
        event_time_us_max: null,
      },
    ])
  })

  test('are read among other properties, in the order of partitions', () => {
    const text = encodePosition({
      clusterId: 'c',
      topic: 't',
      topicId: 'i',
      logEpoch: 0,
      nextOffset: 1,
      eventTimeUsMax: 5,
    })
    const properties = { [positionKey(10)]: text, comment: 'x', [positionKey(2)]: text }
    expect([...readPositions(properties).keys()]).toEqual([2, 10])
  })

  test.each(['', 'null', '[]', '{}', '{"next_offset":-1}', '{"next_offset":1.5}'])(
    'that can not be read are DataCorrupt, never a guess: %j',
    (text) => {
      expect(() => readPositions({ [positionKey(0)]: text })).toThrow(
        expect.objectContaining({ kind: 'DataCorrupt' }),
      )
    },
  )

  test('of a partition with a strange name are DataCorrupt', () => {
    try {
      readPositions({ 'potok.log.position.01': '{}' })
      expect.unreachable()
    } catch (error) {
      expect(isPotokError(error, 'DataCorrupt')).toBe(true)
    }
  })
})

describe('offsets in a summary', () => {
  test('come back as they were written', () => {
    const range = fc.tuple(offset, offset).map(([a, b]) => ({
      startOffset: Math.min(a, b),
      endOffset: Math.max(a, b),
    }))
    fc.assert(
      fc.property(fc.dictionary(fc.nat({ max: 999 }).map(String), range), (given) => {
        const ranges = new Map(Object.entries(given).map(([p, r]) => [Number(p), r]))
        expect(decodeOffsets(encodeOffsets(ranges))).toEqual(ranges)
      }),
    )
  })

  test.each(['{"0":[2,1]}', '{"0":[1]}', '{"0":[1,2,3]}', '{"x":[1,2]}', '{"0":["1","2"]}'])(
    'are refused where they make no sense: %s',
    (text) => {
      expect(() => decodeOffsets(text)).toThrow('potok.log.offsets')
    },
  )

  test('are carried forward by maintenance as empty ranges at the present ends', () => {
    const at = { clusterId: 'c', topic: 't', topicId: 'i', logEpoch: 0, eventTimeUsMax: null }
    const properties = {
      [positionKey(0)]: encodePosition({ ...at, nextOffset: 9 }),
      [positionKey(1)]: encodePosition({ ...at, nextOffset: 0 }),
    }
    expect(offsetsToCarryForward(metadata(1n, [], properties))).toEqual({
      'potok.log.offsets': '{"0":[9,9],"1":[0,0]}',
    })
    expect(offsetsToCarryForward(metadata(1n, []))).toEqual({})
  })
})

describe('the lineage of main', () => {
  test('follows parents and leaves out what is not on it', () => {
    const all = [snapshot(1n, undefined), snapshot(2n, 1n), snapshot(3n, 1n)]
    const { snapshots, isComplete } = lineageOf(metadata(3n, all))
    expect([snapshots.map((s) => s.snapshotId), isComplete]).toEqual([[3n, 1n], true])
  })

  test('is incomplete where a parent was expired', () => {
    expect(lineageOf(metadata(3n, [snapshot(3n, 2n)])).isComplete).toBe(false)
  })

  test('ends where snapshots are each other’s parents', () => {
    const all = [snapshot(1n, 2n), snapshot(2n, 1n)]
    expect(lineageOf(metadata(1n, all)).snapshots).toHaveLength(2)
  })

  test('gives the newest offsets, past maintenance that carries none', () => {
    const all = [
      snapshot(1n, undefined, '{"0":[0,5]}'),
      snapshot(2n, 1n, '{"0":[5,8]}'),
      snapshot(3n, 2n),
    ]
    expect(newestSnapshotOffsets(lineageOf(metadata(3n, all)))).toEqual({
      snapshotId: 2n,
      ranges: new Map([[0, { startOffset: 5, endOffset: 8 }]]),
    })
  })
})
