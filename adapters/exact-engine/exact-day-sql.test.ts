import { describe, expect, it } from 'vitest'
import { eventsOf } from './exact-day-sql.ts'

describe('events of some cameras', () => {
  const files = (count: number) => Array.from({ length: count }, (_, i) => `/data/${i}.parquet`)
  const cameras = Array.from({ length: 40 }, (_, i) => `KV${i}`)

  it('are read by one equality each, so that row groups without them are skipped', () => {
    const sql = eventsOf(files(10), cameras, 'event_id')
    expect(sql.match(/WHERE kvfv_id = /g)).toHaveLength(40)
  })

  it('are read in one scan where each equality would open thousands of files again', () => {
    const sql = eventsOf(files(20_000), cameras, 'event_id')
    expect(sql.match(/\/data\/7\.parquet/g)).toHaveLength(1)
    expect(sql).toContain('SEMI JOIN wanted')
  })
})
