/**
 * Tables that PyIceberg and DuckDB make through potok's catalog: partitioned by every transform, evolved,
 * overwritten, deleted from. Potok's reader sees the rows that their makers see, whatever the filter.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDuckDbTableReader } from '../../adapters/duckdb/duckdb-table-reader.ts'
import { type DuckDb, openDuckDb } from '../../adapters/duckdb/instance.ts'
import { createLocalObjectStore } from '../../adapters/object-store/local-object-store.ts'
import { createLocalRootObject } from '../../adapters/object-store/local-root-object.ts'
import { type CatalogService, createCatalogService } from '../../catalog/catalog-service.ts'
import { createCatalogRouter } from '../../catalog/rest-server.ts'
import { createManifestCache } from '../../iceberg/scan/plan-files.ts'
import { currentSchema } from '../../iceberg/spec/schema.ts'
import type { TableReader } from '../../iceberg/table-reader.ts'
import { randomIds, systemClock } from '../../testkit/fixed-ports.ts'
import { type CanonicalRow, sortedRows } from '../../testkit/judges/canonical-rows.ts'
import { filterCases } from '../../testkit/judges/filter-cases.ts'
import { wrongAnswers } from '../../testkit/judges/judge-filters.ts'
import { filterByPotok, rowsByPotok } from '../../testkit/judges/potok-judge.ts'
import { type PythonJudge, startPythonJudge } from '../../testkit/judges/python-judge.ts'

let folder: string
let server: Server
let service: CatalogService
let duckdb: DuckDb
let reader: TableReader
let python: PythonJudge

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-others-'))
  const warehouse = join(folder, 'warehouse')
  const store = createLocalObjectStore({ root: warehouse })
  service = createCatalogService({
    root: createLocalRootObject({ directory: join(warehouse, '.catalog') }),
    store,
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: `file://${warehouse}`,
  })
  const app = express()
  app.use(createCatalogRouter(service, { warehouseNames: ['potok'] }))
  server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 1,
    tempDirectory: join(folder, 'spill'),
  })
  const manifests = createManifestCache(store, 1e7)
  reader = createDuckDbTableReader({ store, manifests, duckdb })
  python = await startPythonJudge()
  await python.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  await python.python(`catalog.create_namespace('o')`)
})
afterAll(async () => {
  await python.stop()
  server.closeAllConnections()
  server.close()
  await service.close()
  duckdb.close()
  await rm(folder, { recursive: true, force: true })
})

/** What PyIceberg reads, potok reads; and potok's filters on every column give the right ones of them. */
async function expectAlike(name: string, key: string): Promise<CanonicalRow[]> {
  const table = { namespace: ['o'], name }
  const { metadata } = await service.loadTable(table)
  const schema = currentSchema(metadata)
  const columns = schema.fields.map((field) => field.name)
  const theirs = sortedRows(await python.pyiceberg(table, columns))
  expect(await rowsByPotok(reader, metadata)).toEqual(theirs)
  const cases = filterCases(schema, theirs)
  const potok = await filterByPotok(reader, metadata, [key], cases)
  expect(wrongAnswers(metadata, theirs, [key], cases, { potok })).toEqual([])
  return theirs
}

const prelude = `
import datetime as dt, decimal, uuid
from pyiceberg.partitioning import PartitionSpec, PartitionField
from pyiceberg.schema import Schema
from pyiceberg.transforms import *
from pyiceberg.types import *
from pyiceberg.expressions import *
columns = [('n', IntegerType()), ('b', BooleanType()), ('i', IntegerType()), ('l', LongType()), ('f', FloatType()),
  ('d', DoubleType()), ('p', DecimalType(9, 2)), ('s', StringType()), ('day', DateType()), ('t', TimeType()),
  ('ts', TimestampType()), ('tz', TimestamptzType()), ('u', UUIDType()), ('bin', BinaryType()), ('fix', FixedType(3))]
schema = Schema(*[NestedField(i + 1, name, kind) for i, (name, kind) in enumerate(columns)])
utc = dt.timezone.utc
def row(n):
    if n % 7 == 0: return {'n': n}
    at = dt.datetime(1969, 12, 31, 22) + dt.timedelta(hours=n % 5, microseconds=n)
    return {'n': n, 'b': n % 2 == 0, 'i': [-2**31, 2**31 - 1, n][n % 3], 'l': [-2**63, 2**63 - 1, n][n % 3],
      'f': [float('nan'), float('-inf'), -0.0, n / 4][n % 4], 'd': [float('nan'), float('inf'), -0.0, n / 4][n % 4],
      'p': decimal.Decimal(n - 10) / 4, 's': ['', 'камера-с-длинным-именем', '\\U0010ffff' * 20, f'n{n}'][n % 4],
      'day': [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1969, 12, 31)][n % 3],
      't': dt.time(23, 59, 59, n), 'ts': at, 'tz': at.replace(tzinfo=utc),
      'u': uuid.UUID(int=[0, 2**127, 2**128 - 1][n % 3]).bytes, 'bin': bytes([255] * (n % 20)), 'fix': bytes([n, 255, 0])}
def rows(start, end, of=None):
    return pa.Table.from_pylist([row(n) for n in range(start, end)], schema=(of or schema).as_arrow())
def spec(*fields):
    return PartitionSpec(*[PartitionField(schema.find_field(name).field_id, 1000 + i, transform, f'p{i}') for i, (name, transform) in enumerate(fields)])
`

const partitionings = [
  [
    'identities',
    `('b', IdentityTransform()), ('s', IdentityTransform()), ('day', IdentityTransform())`,
  ],
  [
    'more identities',
    `('i', IdentityTransform()), ('tz', IdentityTransform()), ('p', IdentityTransform())`,
  ],
  ['years and months', `('day', YearTransform()), ('ts', MonthTransform())`],
  ['days and hours', `('day', DayTransform()), ('ts', DayTransform()), ('tz', HourTransform())`],
  [
    'truncations',
    `('s', TruncateTransform(3)), ('p', TruncateTransform(50)), ('n', TruncateTransform(5))`,
  ],
  ['buckets', `('i', BucketTransform(3)), ('s', BucketTransform(3)), ('tz', BucketTransform(3))`],
  [
    'more buckets',
    `('u', BucketTransform(3)), ('l', BucketTransform(3)), ('day', BucketTransform(3))`,
  ],
  ['void', `('s', VoidTransform()), ('n', BucketTransform(2))`],
] as const

describe('a table that PyIceberg makes through potok', () => {
  test.each(partitionings)(
    'partitioned by %s, overwritten and deleted from, is read alike',
    async (name, fields) => {
      const table = name.replaceAll(' ', '_')
      await python.python(`${prelude}
t = catalog.create_table('o.${table}', schema, partition_spec=spec(${fields}))
t.append(rows(0, 12))
t.append(rows(12, 20))
`)
      expect(await expectAlike(table, 'n')).toHaveLength(20)
      await python.python(`${prelude}
t = catalog.load_table('o.${table}')
t.delete(And(GreaterThanOrEqual('n', 3), LessThan('n', 6)))
t.overwrite(rows(30, 33), overwrite_filter=EqualTo('n', 13))
`)
      expect(await expectAlike(table, 'n')).toHaveLength(19)
    },
  )

  test('of changing columns and partitions is read alike after each change', async () => {
    await python.python(`${prelude}
catalog.create_table('o.evolved', schema, partition_spec=spec(('day', DayTransform()))).append(rows(0, 10))
`)
    const changes = [
      `with t.update_schema() as u:
    u.add_column('extra', StructType(NestedField(1, 'x', IntegerType()), NestedField(2, 'y', ListType(1, StringType(), False))))
    u.rename_column('s', 'title')
    u.update_column('i', LongType())
    u.update_column('f', DoubleType())
    u.update_column('p', DecimalType(18, 2))
with t.update_schema() as u: u.move_first('title')`,
      `with t.update_spec() as u:
    u.add_field('n', BucketTransform(4), 'n_bucket')
    u.add_identity('b')`,
      `t.append(pa.Table.from_pylist([{'n': 50, 'title': 'new', 'i': 2**40, 'f': 1e300, 'p': decimal.Decimal('123456789012.25'), 'extra': {'x': 1, 'y': ['a', None]}}], schema=t.schema().as_arrow()))`,
      `with t.update_spec() as u: u.remove_field('p0')
with t.update_schema() as u:
    u.delete_column('f')
    u.add_column('f', StringType())
    u.rename_column('extra.x', 'z')`,
      `t.append(pa.Table.from_pylist([{'n': 51, 'f': 'text now', 'extra': {'z': 2, 'y': []}}], schema=t.schema().as_arrow()))`,
      `t.delete(Or(EqualTo('n', 2), EqualTo('n', 50)))`,
    ]
    for (const change of changes) {
      await python.python(`${prelude}
t = catalog.load_table('o.evolved')
${change}
`)
      await expectAlike('evolved', 'n')
    }
    expect(await expectAlike('evolved', 'n')).toHaveLength(10)
  })
})

test('a table that DuckDB makes through potok, with deletes by position, is read alike', async () => {
  await python.python(`
for statement in [
    "CREATE TABLE potok.o.duck (n INTEGER, v VARCHAR, d DECIMAL(9,2), seen TIMESTAMPTZ, m STRUCT(a INTEGER, b VARCHAR))",
    "INSERT INTO potok.o.duck SELECT n, 'имя ' || n, n - 5, TIMESTAMPTZ '1969-12-31 20:00:00Z' + n * INTERVAL 1 HOUR, {'a': n, 'b': NULL} FROM range(10) AS r(n)",
    "INSERT INTO potok.o.duck VALUES (100, '', NULL, NULL, NULL)",
    "DELETE FROM potok.o.duck WHERE n IN (2, 3)",
    "UPDATE potok.o.duck SET v = 'changed' WHERE n = 100",
]:
    duck.execute(statement)
`)
  expect(await expectAlike('duck', 'n')).toHaveLength(9)
  const { metadata } = await service.loadTable({ namespace: ['o'], name: 'duck' })
  const last = metadata.snapshots.toSorted((a, b) => a.sequenceNumber - b.sequenceNumber).at(-1)
  expect(Number(last?.summary['total-position-deletes'])).toBeGreaterThan(0)
})
