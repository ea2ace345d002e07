/**
 * Tables that Trino makes, evolves, deletes from and compacts, before potok's reader and the other judges: every
 * type, every transform, position deletes, time travel.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import type { CanonicalRow } from '../../../testkit/judges/canonical-rows.ts'
import { rowsByPotok } from '../../../testkit/judges/potok-judge.ts'
import { expectSameFilters, expectSameRows, named, type World } from './world.ts'

/** One of each type that Trino can make in Iceberg; `n` names the row. */
const everyType = `n integer, b boolean, i integer, l bigint, r real, d double, dec9 decimal(5,2),
  dec18 decimal(18,4), dec38 decimal(38,10), v varchar, dt date, tm time(6), ts timestamp(6),
  tz timestamp(6) with time zone, u uuid, bin varbinary, arr array(integer), m map(varchar, bigint),
  rw row(a integer, b row(c varchar, d array(timestamp(6))))`

const rowsOfEveryType = [
  `(1, true, 1, 2, real '1.5', 2.5, 1.23, 1.2345, 1.0123456789, 'привет, мир', date '0001-01-01',
    time '00:00:00.000001', timestamp '9999-12-31 23:59:59.999999',
    timestamp '1969-12-31 23:59:59.999999 UTC', uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59', X'00ff',
    ARRAY[1, null, 3], MAP(ARRAY['a', 'b'], ARRAY[1, null]),
    ROW(1, ROW('x', ARRAY[timestamp '1900-01-01 00:00:00.000001'])))`,
  `(2${', null'.repeat(18)})`,
  `(3, false, -2147483648, -9223372036854775808, real '-Infinity', -infinity(), -999.99,
    -99999999999999.9999, -9999999999999999999999999999.9999999999, '', date '9999-12-31',
    time '23:59:59.999999', timestamp '0001-01-01 00:00:00', timestamp '9999-12-31 23:59:59.999999 UTC',
    uuid '00000000-0000-0000-0000-000000000000', X'', ARRAY[], MAP(), ROW(null, null))`,
  `(4, true, 2147483647, 9223372036854775807, real 'Infinity', infinity(), 999.99, 99999999999999.9999,
    9999999999999999999999999999.9999999999, '${'\u{1f697}'.repeat(17)}', date '1969-12-31',
    time '12:00:00', timestamp '1969-12-31 23:59:59.999999', timestamp '0001-01-01 00:00:00 UTC',
    uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff', X'${'ff'.repeat(20)}', ARRAY[0], MAP(ARRAY[''], ARRAY[0]),
    ROW(-1, ROW('', ARRAY[])))`,
  `(5, false, 0, 0, -real '0', -0e0, 0, 0, 0, 'a${'\u{10ffff}'.repeat(20)}', date '1970-01-01',
    time '00:00:00', timestamp '1970-01-01 00:00:00', timestamp '1970-01-01 00:00:00 UTC',
    uuid '80000000-0000-0000-0000-000000000000', X'80', null, null, ROW(0, null))`,
  `(6, true, 5, 6, real 'NaN', nan(), 7, 8, 9, 'e\u0301', date '2025-04-05', time '10:15:30.123456',
    timestamp '2025-04-05 10:15:30.123456', timestamp '2025-04-05 10:15:30.123456 UTC',
    uuid '7fffffff-ffff-ffff-ffff-ffffffffffff', X'7f', ARRAY[null], MAP(ARRAY['k'], ARRAY[-1]), null)`,
]

const partitionings: Readonly<Record<string, readonly string[]>> = {
  none: [],
  'buckets and truncations': ['bucket(l, 4)', 'truncate(v, 2)', 'truncate(n, 2)'],
  'years, months, days': ['year(dt)', 'month(ts)', 'day(tz)'],
  'months, days, hours': ['month(dt)', 'day(ts)', 'hour(tz)'],
  'identity of numbers and times': ['b', 'i', 'dec38', 'dt', 'tm', 'tz'],
  'identity of text and ids': ['v', 'u', 'bin'],
  'buckets of everything': [
    'bucket(i, 3)',
    'bucket(dec9, 3)',
    'bucket(v, 3)',
    'bucket(dt, 3)',
    'bucket(tm, 3)',
    'bucket(ts, 3)',
    'bucket(u, 3)',
    'bucket(bin, 3)',
  ],
}

const schema = 'made'

export function describeMadeByTrino(world: () => World): void {
  describe('what Trino writes', () => {
    const sql = (text: string) => world().sql(text)
    beforeAll(async () => {
      await sql(`CREATE SCHEMA ${schema}`)
    })

    test.each(Object.entries(partitionings))(
      'partitioned by %s is read alike by everybody; so it is after DELETE, UPDATE, MERGE and optimize',
      async (what, fields) => {
        const name = `t_${what.replaceAll(/\W+/g, '_')}`
        const table = named(schema, name)
        const list = fields.map((field) => `'${field}'`).join(', ')
        await sql(
          `CREATE TABLE ${schema}.${name} (${everyType}) WITH (partitioning = ARRAY[${list}])`,
        )
        await sql(`INSERT INTO ${schema}.${name} VALUES ${rowsOfEveryType.slice(0, 3).join(', ')}`)
        await sql(`INSERT INTO ${schema}.${name} VALUES ${rowsOfEveryType.slice(3).join(', ')}`)
        const rows = await expectSameRows(world(), table)
        expect(rows).toHaveLength(6)
        // Planning is the same for all ways to partition that have the same columns: two are enough.
        if (fields.length === 0 || fields.length > 6) {
          await expectSameFilters(world(), table, rows, ['n'])
        }

        await sql(`DELETE FROM ${schema}.${name} WHERE n = 4`)
        await sql(`UPDATE ${schema}.${name} SET v = 'changed' WHERE n IN (2, 5)`)
        await sql(
          `MERGE INTO ${schema}.${name} AS t USING (VALUES (1, 'merged'), (7, 'new')) AS x(n, v) ON t.n = x.n
           WHEN MATCHED THEN UPDATE SET v = x.v WHEN NOT MATCHED THEN INSERT (n, v) VALUES (x.n, x.v)`,
        )
        const deletes = await sql(
          `SELECT count(*) FROM ${schema}."${name}$files" WHERE content = 1`,
        )
        expect(Number(deletes.rows[0]?.[0])).toBeGreaterThan(0)
        const changed = await expectSameRows(world(), table)
        expect(texts(changed)).toEqual([
          ['1', 'merged'],
          ['2', 'changed'],
          ['3', ''],
          ['5', 'changed'],
          ['6', 'e\u0301'],
          ['7', 'new'],
        ])

        await sql(`ALTER TABLE ${schema}.${name} EXECUTE optimize`)
        expect(await expectSameRows(world(), table)).toEqual(changed)
      },
    )

    test('is read alike through changes of schema and partitioning, at every version', async () => {
      const table = named(schema, 'evolved')
      const t = `${schema}.evolved`
      const seen: CanonicalRow[][] = []
      const versions: bigint[] = []
      const step = async (...statements: readonly string[]) => {
        for (const each of statements) await sql(each)
        seen.push(await expectSameRows(world(), table))
        versions.push((await world().metadata(table)).currentSnapshotId as bigint)
      }
      await sql(
        `CREATE TABLE ${t} (id integer, name varchar, price decimal(5,2), f real, s row(a integer))
         WITH (partitioning = ARRAY['truncate(id, 10)'], sorted_by = ARRAY['id DESC NULLS LAST'])`,
      )
      await step(
        `INSERT INTO ${t} VALUES (1, 'a', 1.5, real '1.1', row(1)), (11, 'b', 2.5, null, null)`,
      )
      await step(
        `ALTER TABLE ${t} ADD COLUMN extra varchar`,
        `ALTER TABLE ${t} RENAME COLUMN name TO title`,
        `ALTER TABLE ${t} ALTER COLUMN id SET DATA TYPE bigint`,
        `ALTER TABLE ${t} ALTER COLUMN f SET DATA TYPE double`,
        `ALTER TABLE ${t} ALTER COLUMN price SET DATA TYPE decimal(12,2)`,
        `ALTER TABLE ${t} ADD COLUMN s.b varchar`,
        `INSERT INTO ${t} VALUES (9007199254740993, 'c', 1000000.5, 3e300, row(2, 'two'), 'x')`,
      )
      await step(
        `ALTER TABLE ${t} SET PROPERTIES partitioning = ARRAY['bucket(id, 3)', 'title']`,
        `INSERT INTO ${t} VALUES (5, 'd', 1, 1, row(null, ''), 'y')`,
      )
      await step(
        `ALTER TABLE ${t} DROP COLUMN extra`,
        // Of the same name and another type: the old values must not come back.
        `ALTER TABLE ${t} ADD COLUMN extra integer`,
        `ALTER TABLE ${t} RENAME COLUMN s.a TO z`,
        `ALTER TABLE ${t} DROP COLUMN s.b`,
        `INSERT INTO ${t} VALUES (6, 'e', 1, 1, row(3), 9)`,
      )
      await step(`DELETE FROM ${t} WHERE title = 'a' OR id = 5`)
      await step(
        `ALTER TABLE ${t} SET PROPERTIES partitioning = ARRAY[]`,
        `INSERT INTO ${t} VALUES (7, 'f', null, null, null, null)`,
      )
      const last = seen.at(-1) as CanonicalRow[]
      expect(last.map(([id]) => id)).toEqual(['11', '6', '7', '9007199254740993'])
      await expectSameFilters(world(), table, last, ['id'])
      await step(`ALTER TABLE ${t} EXECUTE optimize`)
      expect(seen.at(-1)).toEqual(last)

      // As it was: each version by its own schema.
      const metadata = await world().metadata(table)
      for (const [i, snapshotId] of versions.entries()) {
        const selector = { snapshotId }
        const ours = await rowsByPotok(world().reader, metadata, { snapshot: selector })
        expect(ours, `version ${i}`).toEqual(seen[i])
        const { rows } = await sql(`SELECT count(*) FROM ${t} FOR VERSION AS OF ${snapshotId}`)
        expect(rows, `version ${i}`).toEqual([[seen[i]?.length]])
      }
    })

    test('is found again by time, branch and tag', async () => {
      const table = named(schema, 'travelled')
      const t = `${schema}.travelled`
      await sql(`CREATE TABLE ${t} (n integer)`)
      const times: number[] = []
      for (const n of [1, 2, 3]) {
        await sql(`INSERT INTO ${t} VALUES ${n}`)
        times.push((await world().metadata(table)).lastUpdatedMs)
      }
      const [, second] = (await world().metadata(table)).snapshots
        .toSorted((a, b) => a.sequenceNumber - b.sequenceNumber)
        .filter(({ summary }) => summary['added-records'] === '1')
      // Trino 476 reads branches and tags, but has no SQL that makes them.
      await world().python.python(`
t = catalog.load_table('${schema}.travelled')
t.manage_snapshots().create_tag(${second?.snapshotId}, 'second').create_branch(${second?.snapshotId}, 'side').commit()
t = catalog.load_table('${schema}.travelled')
t.append(pa.table({'n': pa.array([9], pa.int32())}), branch='side')
`)
      const metadata = await world().metadata(table)
      const ours = async (snapshot: { asOfMs: number } | { ref: string }) =>
        (await rowsByPotok(world().reader, metadata, { snapshot })).map(([n]) => Number(n))
      const theirs = async (at: string) =>
        (await sql(`SELECT n FROM ${t} FOR ${at} ORDER BY n`)).rows.map(([n]) => n)
      for (const [i, time] of times.entries()) {
        const wanted = [1, 2, 3].slice(0, i + 1)
        const instant = new Date(time).toISOString().replace('T', ' ').replace('Z', ' UTC')
        expect(await theirs(`TIMESTAMP AS OF TIMESTAMP '${instant}'`)).toEqual(wanted)
        expect(await ours({ asOfMs: time })).toEqual(wanted)
      }
      expect(await theirs(`VERSION AS OF 'second'`)).toEqual([1, 2])
      expect(await ours({ ref: 'second' })).toEqual([1, 2])
      expect(await theirs(`VERSION AS OF 'side'`)).toEqual([1, 2, 9])
      expect(await ours({ ref: 'side' })).toEqual([1, 2, 9])
      const refs = await sql(`SELECT name, type FROM ${schema}."travelled$refs" ORDER BY name`)
      expect(refs.rows).toEqual([
        ['main', 'BRANCH'],
        ['second', 'TAG'],
        ['side', 'BRANCH'],
      ])
    })
  })
}

/** Columns `n` and `v`, by `n`. */
function texts(rows: readonly CanonicalRow[]): CanonicalRow[] {
  return rows.map((row) => [row[0] as string, row[9] as string])
}
