import { describe, expect, test } from 'vitest'
import type { LogPosition } from '../../iceberg/sink/sink-processor.ts'
import { whatIsBehind } from './read-sources.ts'

const identity = { clusterId: 'c', topic: 't', topicId: 'i' }
const at = (nextOffset: number, more: Partial<LogPosition> = {}) =>
  new Map([[0, { ...identity, logEpoch: 0, nextOffset, eventTimeUsMax: null, ...more }]])
const log = { identity, ends: new Map([[0, 10]]) }

describe('an exact run waits', () => {
  test('until both sinks have passed what was acknowledged', () => {
    expect(whatIsBehind(log, at(10), at(10))).toBe(null)
    expect(whatIsBehind(log, at(9), at(10))).toContain('the writer (events) is at offset 9 of 10')
    expect(whatIsBehind(log, at(10), at(9))).toContain('the rollup stream')
  })

  test('while a sink stands in another log, however great its offset is', () => {
    expect(whatIsBehind(log, at(500, { topicId: 'j' }), at(500, { topicId: 'j' }))).toContain(
      'stands in another log than the one here',
    )
  })

  test('while events is behind the stream, also by an epoch', () => {
    const nowhere = { identity: null, ends: new Map() }
    expect(whatIsBehind(nowhere, at(5), at(6))).toContain('behind the rollup stream')
    expect(whatIsBehind(nowhere, at(9), at(6, { logEpoch: 1 }))).toContain('behind')
    expect(whatIsBehind(nowhere, at(6), at(6))).toBe(null)
  })
})
