import { describe, expect, it } from 'vitest'
import { eventLogContract, openAtStart, readAll } from './contracts/event-log.ts'
import { createMemoryEventLog } from './memory-event-log.ts'
import { testRecord } from './records.ts'

eventLogContract('memory', async () => {
  const log = createMemoryEventLog({ partitionCount: 3 })
  return { log, dispose: () => log.close() }
})

describe('memory event log', () => {
  it('injects lost and unknown outcomes', async () => {
    const log = createMemoryEventLog({ partitionCount: 1 })
    log.faults.push('refuse', 'lose', 'unknown')
    await expect(log.append([testRecord(0, 'a')])).rejects.toMatchObject({ kind: 'Overloaded' })
    await expect(log.append([testRecord(0, 'b')])).rejects.toMatchObject({ kind: 'Unavailable' })
    await expect(log.append([testRecord(0, 'c')])).rejects.toMatchObject({ kind: 'Unavailable' })
    await log.append([testRecord(0, 'd')])
    expect((await readAll(await openAtStart(log))).get(0)).toEqual([
      [0, 'c'],
      [1, 'd'],
    ])
  })

  it('can lose its oldest records, skip offsets and be made anew', async () => {
    const log = createMemoryEventLog({ partitionCount: 1 })
    await log.append([testRecord(0, 'a')])
    log.skipOffsets(0, 2)
    await log.append([testRecord(0, 'b')])
    const reader = await openAtStart(log)
    expect((await readAll(reader)).get(0)).toEqual([
      [0, 'a'],
      [3, 'b'],
    ])
    log.removeBefore(0, 3)
    await expect(reader.seek(0, 0)).rejects.toMatchObject({ kind: 'InvalidInput' })
    const before = await log.identity()
    log.recreate()
    expect((await log.identity()).topicId).not.toBe(before.topicId)
    expect(await log.ranges()).toEqual([{ logPartition: 0, startOffset: 0, endOffset: 0 }])
  })
})
