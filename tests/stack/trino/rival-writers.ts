/** Writers at the same time on one table: Trino's, PyIceberg's and potok's own. None lost, none doubled. */
import { describe, expect, test } from 'vitest'
import { eventually, postEvents, runPotok } from '../../../testkit/potok-process.ts'
import { expectSameRows, named, type World } from './world.ts'

export function describeRivalWriters(world: () => World): void {
  describe('writers at the same time', () => {
    const sql = (text: string) => world().sql(text)
    test('insert by Trino and append by PyIceberg: each row is there once', async () => {
      const { python } = world()
      await sql('CREATE SCHEMA rivals')
      // Everybody asserts the snapshot, so each commit is a conflict for three others: four tries are too few.
      await sql('CREATE TABLE rivals.t (writer integer, n integer) WITH (max_commit_retry = 20)')
      const trino = async (writer: number) => {
        for (let n = 0; n < 4; n++) await sql(`INSERT INTO rivals.t VALUES (${writer}, ${n})`)
      }
      const other = python.python(`
from pyiceberg.exceptions import CommitFailedException
n = 0
while n < 8:
    try:
        catalog.load_table('rivals.t').append(pa.table({'writer': pa.array([9], pa.int32()), 'n': pa.array([n], pa.int32())}))
        n += 1
    except CommitFailedException:
        pass
`)
      await Promise.all([trino(1), trino(2), trino(3), other])
      const rows = await expectSameRows(world(), named('rivals', 't'))
      const wanted = [1, 2, 3].flatMap((writer) => [0, 1, 2, 3].map((n) => [`${writer}`, `${n}`]))
      expect(rows).toEqual([...wanted, ...Array.from({ length: 8 }, (_, n) => ['9', `${n}`])])
    })

    test('optimize by Trino while detections arrive: each is there once, and potok verify finds nothing', async () => {
      const { potok, data } = world()
      const marker = 'RIVAL'
      const perBatch = 50
      let sent = 0
      const enough = new AbortController()
      const feed = async () => {
        while (!enough.signal.aborted) {
          const events = Array.from({ length: perBatch }, (_, i) => ({
            kvfv_id: `${marker}${i % 5}`,
            timestamp: new Date(Date.UTC(2025, 3, 6, 12) + (sent + i) * 100).toISOString(),
            vehicle_speed: 50,
          }))
          expect((await postEvents(potok.url, events)).status).toBe(202)
          sent += perBatch
          await new Promise((resolve) => setTimeout(resolve, 500))
        }
      }
      const feeding = feed()
      try {
        for (let round = 0; round < 4; round++) {
          const before = await world().metadata(named('traffic', 'events'))
          await eventually('a commit of the writer', async () => {
            const now = await world().metadata(named('traffic', 'events'))
            return now.currentSnapshotId === before.currentSnapshotId ? null : true
          })
          await sql('ALTER TABLE traffic.events EXECUTE optimize')
          await sql('ALTER TABLE traffic.rollup_5m EXECUTE optimize')
        }
      } finally {
        enough.abort()
        await feeding
      }
      let counted: readonly unknown[] | undefined
      await eventually('all rows', async () => {
        const { rows } = await sql(
          `SELECT count(*), count(DISTINCT event_time) FROM traffic.events WHERE kvfv_id LIKE '${marker}%'`,
        )
        counted = rows[0]
        return Number(rows[0]?.[0]) >= sent ? true : null
      })
      expect(counted).toEqual([sent, sent])
      const { stdout } = await runPotok(['verify', '--data', data, '--json'])
      const report = JSON.parse(stdout) as { findings: number; checks: unknown[] }
      expect(report.findings, JSON.stringify(report.checks)).toBe(0)
      await expectSameRows(world(), named('traffic', 'events'))
      await expectSameRows(world(), named('traffic', 'rollup_5m'))
    })
  })
}
