/** Trino's statements about schemas, tables and views, answered by potok's catalog; and the words for what is missing. */
import { describe, expect, test } from 'vitest'
import { expectSameRows, named, type World } from './world.ts'

export function describeCatalogStatements(world: () => World): void {
  describe('the catalog before Trino', () => {
    const sql = async (text: string) => (await world().sql(text)).rows
    const refused = (text: string) => world().refused(text)

    test('makes, lists and drops schemas, nested ones too', async () => {
      await sql('CREATE SCHEMA outer_one')
      await sql('CREATE SCHEMA "outer_one.inner"')
      await sql('CREATE TABLE "outer_one.inner".t (x integer)')
      const schemas = (await sql('SHOW SCHEMAS')).flat()
      expect(schemas).toContain('outer_one')
      expect(schemas).toContain('outer_one.inner')
      expect(await refused('CREATE SCHEMA outer_one')).toContain('already exists')
      expect(await refused('DROP SCHEMA "outer_one.inner"')).toContain(
        'Cannot drop non-empty schema',
      )
      await sql('DROP SCHEMA "outer_one.inner" CASCADE')
      await sql('DROP SCHEMA outer_one')
      expect((await sql('SHOW SCHEMAS')).flat()).not.toContain('outer_one')
    })

    test('makes tables with rows, replaces, renames, moves, empties, describes and drops them', async () => {
      await sql('CREATE SCHEMA ddl')
      await sql('CREATE SCHEMA ddl_other')
      await sql(
        `CREATE TABLE ddl.a AS SELECT n, 'x' || CAST(n AS varchar) AS t FROM UNNEST(sequence(1, 100)) AS u(n)`,
      )
      expect(await expectSameRows(world(), named('ddl', 'a'))).toHaveLength(100)
      await sql('CREATE OR REPLACE TABLE ddl.a AS SELECT 1 AS one, 2 AS two')
      expect(await expectSameRows(world(), named('ddl', 'a'))).toEqual([['1', '2']])
      await sql(`COMMENT ON TABLE ddl.a IS 'said'`)
      await sql(`COMMENT ON COLUMN ddl.a.one IS 'the first'`)
      await sql('ALTER TABLE ddl.a RENAME TO ddl.b')
      await sql('ALTER TABLE ddl.b RENAME TO ddl_other.c')
      expect(await refused('SELECT * FROM ddl.a')).toContain('does not exist')
      const [[text]] = (await sql('SHOW CREATE TABLE ddl_other.c')) as [[string]]
      expect(text).toContain(`one integer COMMENT 'the first'`)
      expect(text).toContain(`COMMENT 'said'`)
      await sql('TRUNCATE TABLE ddl_other.c')
      expect(await expectSameRows(world(), named('ddl_other', 'c'))).toEqual([])
      await sql('CREATE TABLE ddl.kept AS SELECT 5 AS five')
      expect(await refused('ALTER TABLE ddl.kept RENAME TO ddl_other.c')).toContain(
        'already exists',
      )
      await sql('DROP TABLE ddl_other.c')
      expect(await sql('SHOW TABLES FROM ddl_other')).toEqual([])
      expect(await expectSameRows(world(), named('ddl', 'kept'))).toEqual([['5']])
    })

    test('keeps views: made, replaced, renamed, described, dropped', async () => {
      await sql('CREATE SCHEMA views')
      await sql('CREATE TABLE views.t AS SELECT 1 AS one')
      await sql('CREATE VIEW views.v AS SELECT one FROM views.t')
      expect(await sql('SELECT * FROM views.v')).toEqual([[1]])
      expect(await refused('CREATE VIEW views.v AS SELECT 1 AS x')).toContain('already exists')
      expect(await refused('CREATE TABLE views.v (x integer)')).toMatch(/already exists/i)
      await sql('CREATE OR REPLACE VIEW views.v AS SELECT one, one + 1 AS two FROM views.t')
      expect(await sql('SELECT * FROM views.v')).toEqual([[1, 2]])
      await sql('ALTER VIEW views.v RENAME TO views.w')
      await sql(`COMMENT ON VIEW views.w IS 'hello'`)
      expect(await sql('SELECT * FROM views.w')).toEqual([[1, 2]])
      expect(await sql('SHOW TABLES FROM views')).toEqual([['t'], ['w']])
      const [[text]] = (await sql('SHOW CREATE VIEW views.w')) as [[string]]
      expect(text).toContain(`COMMENT 'hello'`)
      await sql('DROP VIEW views.w')
      expect((await sql('SHOW TABLES FROM views')).flat()).toEqual(['t'])
    })

    test('shows what tables are made of', async () => {
      await sql('CREATE SCHEMA meta')
      await sql(`CREATE TABLE meta.t (n integer, d date) WITH (partitioning = ARRAY['month(d)'])`)
      await sql(`INSERT INTO meta.t VALUES (1, date '2025-04-05'), (2, date '2025-05-05')`)
      await sql('DELETE FROM meta.t WHERE n = 2')
      const snapshots = await sql(
        'SELECT operation, summary FROM meta."t$snapshots" ORDER BY committed_at',
      )
      expect(snapshots.map(([operation]) => operation)).toEqual(['append', 'append', 'delete'])
      expect(snapshots.at(-1)?.[1]).toMatchObject({
        'total-records': '2',
        'total-position-deletes': '1',
      })
      // Months since 1970. A position delete leaves the counts of data files alone.
      expect(
        await sql('SELECT partition, record_count, file_count FROM meta."t$partitions" ORDER BY 1'),
      ).toEqual([
        [[663], 1, 1],
        [[664], 1, 1],
      ])
      expect(await sql('SELECT content, record_count FROM meta."t$files" ORDER BY 1')).toEqual([
        [0, 1],
        [0, 1],
        [1, 1],
      ])
      expect(await sql('SELECT name, type FROM meta."t$refs"')).toEqual([['main', 'BRANCH']])
      expect(await sql('SELECT count(*) FROM meta."t$history"')).toEqual([[3]])
      expect(
        await sql(
          'SELECT sum(added_data_files_count) + sum(existing_data_files_count) FROM meta."t$manifests"',
        ),
      ).toEqual([[3]])
      await sql('ANALYZE meta.t')
      await sql('ALTER TABLE meta.t EXECUTE optimize_manifests')
      await sql(`ALTER TABLE meta.t EXECUTE expire_snapshots(retention_threshold => '7d')`)
      expect(await expectSameRows(world(), named('meta', 't'))).toHaveLength(1)
    })

    test.each([
      ['SELECT * FROM missing.t', /Schema 'missing' does not exist/],
      ['SELECT * FROM traffic.missing', /Table 'potok.traffic.missing' does not exist/],
      ['CREATE TABLE missing.t (x integer)', /Schema missing not found/],
      ['CREATE TABLE traffic.events (x integer)', /Table 'potok.traffic.events' already exists/],
      ['DROP TABLE traffic.missing', /Table 'potok.traffic.missing' does not exist/],
      ['DROP VIEW traffic.missing', /View 'potok.traffic.missing' does not exist/],
      ['DROP SCHEMA missing', /Schema 'potok.missing' does not exist/],
      [
        'SELECT * FROM traffic.events FOR VERSION AS OF 5000000000',
        /Iceberg snapshot ID does not exists: 5000000000/,
      ],
      [
        `SELECT * FROM traffic.events FOR VERSION AS OF 'none'`,
        /Cannot find snapshot with reference name: none/,
      ],
      [
        `SELECT * FROM traffic.events FOR TIMESTAMP AS OF TIMESTAMP '2000-01-01 00:00:00 UTC'`,
        /No version history table/,
      ],
    ])('says plainly what is wrong: %s', async (statement, words) => {
      expect(await refused(statement)).toMatch(words)
    })
  })
}
