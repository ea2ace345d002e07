/** The short core of it all on a warehouse in an S3 store: written by each, read by all. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, postEvents } from '../../../testkit/potok-process.ts'
import { type Minio, startMinio } from '../../../testkit/servers/minio.ts'
import { expectSameFilters, expectSameRows, named, startS3World, type World } from './world.ts'

export function describeOnS3(local: () => World): void {
  describe('on an S3 store', () => {
    let minio: Minio | undefined
    let running: World | undefined
    const world = () => {
      if (running === undefined) throw new Error('the world has not started')
      return running
    }
    const sql = (text: string) => world().sql(text)

    beforeAll(async () => {
      minio = await startMinio()
      running = await startS3World(local().trino, minio)
    })
    afterAll(async () => {
      await running?.stop()
      await minio?.stop()
    })

    test('what potok writes is read alike by everybody, also by filters', async () => {
      const events = Array.from({ length: 60 }, (_, i) => ({
        kvfv_id: `KV${i % 4}`,
        timestamp: new Date(Date.UTC(2025, 3, 5 + (i % 2), 10, i)).toISOString(),
        vehicle_speed: 40 + i / 8,
        ...(i % 3 === 0 ? {} : { plate_number: `А${i}БВ68` }),
      }))
      expect((await postEvents(world().potok.url, events)).status).toBe(202)
      const table = named('traffic', 'events')
      await eventually('the events', async () => {
        const { rows } = await sql('SELECT count(*) FROM traffic.events')
        return Number(rows[0]?.[0]) === events.length ? true : null
      })
      const rows = await expectSameRows(world(), table)
      await expectSameFilters(world(), table, rows, ['log_partition', 'log_offset'])
    })

    test('what Trino makes, evolves, deletes from and compacts is read alike by everybody', async () => {
      await sql('CREATE SCHEMA s')
      await sql(
        `CREATE TABLE s.t (n integer, v varchar, at timestamp(6) with time zone)
         WITH (partitioning = ARRAY['day(at)', 'bucket(v, 3)'])`,
      )
      await sql(
        `INSERT INTO s.t SELECT n, 'имя ' || CAST(n AS varchar), TIMESTAMP '1969-12-31 12:00:00 UTC' + n * INTERVAL '7' HOUR
         FROM UNNEST(sequence(1, 12)) AS u(n)`,
      )
      await sql('ALTER TABLE s.t ADD COLUMN more double')
      await sql('DELETE FROM s.t WHERE n IN (3, 4)')
      await sql(`UPDATE s.t SET more = 1.5 WHERE n = 5`)
      const changed = await expectSameRows(world(), named('s', 't'))
      expect(changed).toHaveLength(10)
      await sql('ALTER TABLE s.t EXECUTE optimize')
      expect(await expectSameRows(world(), named('s', 't'))).toEqual(changed)
    })

    test('what PyIceberg appends is read alike by everybody; tables are replaced, renamed and dropped', async () => {
      await world().python.python(`
t = catalog.load_table('s.t')
t.append(pa.Table.from_pylist([{'n': 100, 'v': 'py', 'at': None, 'more': None}], schema=t.schema().as_arrow()))
`)
      expect(await expectSameRows(world(), named('s', 't'))).toHaveLength(11)
      await sql('CREATE OR REPLACE TABLE s.t AS SELECT 7 AS seven')
      await sql('ALTER TABLE s.t RENAME TO s.u')
      expect(await expectSameRows(world(), named('s', 'u'))).toEqual([['7']])
      await sql('DROP TABLE s.u')
      await sql('DROP SCHEMA s')
    })
  })
}
