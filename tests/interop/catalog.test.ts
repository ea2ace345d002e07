/** The catalog judged from outside: PyIceberg as a client, two of them as rivals, DuckDB as a reader, kill -9. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLocalObjectStore } from '../../adapters/object-store/local-object-store.ts'
import { createLocalRootObject } from '../../adapters/object-store/local-root-object.ts'
import { type CatalogService, createCatalogService } from '../../catalog/catalog-service.ts'
import { createCatalogRouter } from '../../catalog/rest-server.ts'
import { testSchema } from '../../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../../testkit/fixed-ports.ts'
import { runPython } from '../../testkit/python-venv.ts'

let folder: string
let server: Server
let service: CatalogService
let uri: string

function openCatalog(warehouse: string): CatalogService {
  return createCatalogService({
    root: createLocalRootObject({ directory: join(warehouse, '.catalog') }),
    store: createLocalObjectStore({ root: warehouse }),
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: `file://${warehouse}`,
  })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-interop-catalog-'))
  service = openCatalog(join(folder, 'warehouse'))
  const app = express()
  app.use(createCatalogRouter(service, { warehouseNames: ['potok'] }))
  server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await service.close()
  await rm(folder, { recursive: true, force: true })
})

const prelude = `
import json, sys
import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg import exceptions as ex
def connect():
    return load_catalog('potok', type='rest', uri=sys.argv[1])
def refused(kind, run):
    try:
        run()
    except kind as error:
        return str(error)
    raise AssertionError(f'{kind.__name__} expected')
catalog = connect()
`

async function python(script: string): Promise<unknown> {
  return JSON.parse(await runPython(prelude + script, [uri]))
}

describe('PyIceberg', () => {
  it('makes, describes, changes and drops namespaces', async () => {
    const result = await python(`
catalog.create_namespace('a', {'owner': 'x'})
catalog.create_namespace(('a', 'b'))
refused(ex.NamespaceAlreadyExistsError, lambda: catalog.create_namespace('a'))
refused(ex.NamespaceNotEmptyError, lambda: catalog.drop_namespace('a'))
refused(ex.NoSuchNamespaceError, lambda: catalog.load_namespace_properties('none'))
summary = catalog.update_namespace_properties('a', removals={'owner'}, updates={'color': 'red'})
result = {
  'top': catalog.list_namespaces(), 'below': catalog.list_namespaces('a'),
  'properties': catalog.load_namespace_properties('a'),
  'removed': summary.removed, 'updated': summary.updated,
}
catalog.drop_namespace(('a', 'b'))
catalog.drop_namespace('a')
result['exists'] = catalog.namespace_exists('a')
print(json.dumps(result))
`)
    expect(result).toEqual({
      top: [['a']],
      below: [['a', 'b']],
      properties: { color: 'red', location: expect.stringMatching(/warehouse\/a$/) },
      removed: ['owner'],
      updated: ['color'],
      exists: false,
    })
  })

  it('makes a table, appends, reads, filters, deletes, evolves, renames, drops', async () => {
    const result = await python(`
from pyiceberg.partitioning import PartitionSpec, PartitionField
from pyiceberg.transforms import DayTransform
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, LongType, StringType, TimestamptzType
import datetime as dt
catalog.create_namespace('t')
schema = Schema(NestedField(1, 'id', LongType(), required=True),
                NestedField(2, 'name', StringType()),
                NestedField(3, 'at', TimestamptzType(), required=True))
spec = PartitionSpec(PartitionField(3, 1000, DayTransform(), 'at_day'))
table = catalog.create_table('t.events', schema, partition_spec=spec, properties={'k': 'v'})
refused(ex.TableAlreadyExistsError, lambda: catalog.create_table('t.events', schema))
refused(ex.NoSuchTableError, lambda: catalog.load_table('t.none'))
arrow = table.schema().as_arrow()
def rows(start):
    day = dt.datetime(2025, 4, 5, tzinfo=dt.timezone.utc)
    return pa.Table.from_pylist([{'id': i, 'name': f'имя {i}', 'at': day + dt.timedelta(hours=i)} for i in range(start, start + 50)], schema=arrow)
table.append(rows(0))
table.append(rows(50))
result = {'count': len(catalog.load_table('t.events').scan().to_arrow())}
result['filtered'] = len(table.scan(row_filter="at >= '2025-04-06T00:00:00+00:00' and id < 60").to_arrow())
with table.update_schema() as update:
    update.add_column('extra', LongType(), 'new')
    update.rename_column('name', 'title')
table.delete('id >= 90')
with table.transaction() as tx:
    tx.set_properties(a='1', b='2')
    tx.remove_properties('k')
fresh = catalog.load_table('t.events')
result['after'] = len(fresh.scan().to_arrow())
result['columns'] = fresh.schema().column_names
result['sequences'] = [one.sequence_number for one in fresh.metadata.snapshots] == list(range(1, fresh.metadata.last_sequence_number + 1))
result['properties'] = {k: v for k, v in fresh.properties.items() if k in ('a', 'b', 'k')}
result['location'] = fresh.location()
fresh.manage_snapshots().create_tag(fresh.current_snapshot().snapshot_id, 'end').commit()
result['refs'] = sorted(catalog.load_table('t.events').metadata.refs)
catalog.rename_table('t.events', 't.renamed')
result['tables'] = catalog.list_tables('t')
result['renamed'] = len(catalog.load_table('t.renamed').scan().to_arrow())
location = catalog.load_table('t.renamed').metadata_location
catalog.drop_table('t.renamed')
result['exists'] = catalog.table_exists('t.renamed')
result['registered'] = len(catalog.register_table('t.back', location).scan().to_arrow())
print(json.dumps(result))
`)
    expect(result).toEqual({
      count: 100,
      filtered: 36,
      after: 90,
      columns: ['id', 'title', 'at', 'extra'],
      sequences: true,
      properties: { a: '1', b: '2' },
      location: `file://${folder}/warehouse/t/events`,
      refs: ['end', 'main'],
      tables: [['t', 'renamed']],
      renamed: 90,
      exists: false,
      registered: 90,
    })
  })

  it('creates a table in a transaction, with its first rows', async () => {
    const result = await python(`
catalog.create_namespace('tx')
data = pa.table({'x': pa.array([1, 2, 3], pa.int64())})
with catalog.create_table_transaction('tx.t', schema=data.schema) as transaction:
    transaction.append(data)
refused(ex.TableAlreadyExistsError, lambda: catalog.create_table_transaction('tx.t', schema=data.schema).commit_transaction())
print(json.dumps(catalog.load_table('tx.t').scan().to_arrow()['x'].to_pylist()))
`)
    expect(result).toEqual([1, 2, 3])
  })

  it('gets an honest conflict when another client was faster, and loses no rows by retrying', async () => {
    const result = await python(`
import concurrent.futures as futures
catalog.create_namespace('rivals')
data = pa.table({'x': pa.array([1], pa.int64())})
table = catalog.create_table('rivals.t', data.schema)
single = catalog.create_table('rivals.single', data.schema, properties={'commit.retry.num-retries': '0'})
stale = connect().load_table('rivals.single')
single.append(data)
conflict = refused(ex.CommitFailedException, lambda: stale.append(data))
table.append(data)
def writer(n):
    own = connect().load_table('rivals.t')
    done = conflicts = 0
    while done < 5:
        try:
            own.append(pa.table({'x': pa.array([n * 100 + done], pa.int64())}))
            done += 1
        except ex.CommitFailedException:
            conflicts += 1
            own = connect().load_table('rivals.t')
    return conflicts
with futures.ThreadPoolExecutor(4) as pool:
    conflicts = sum(pool.map(writer, range(1, 5)))
final = catalog.load_table('rivals.t')
values = sorted(final.scan().to_arrow()['x'].to_pylist())
print(json.dumps({'conflict': conflict, 'values': values, 'snapshots': len(final.metadata.snapshots)}))
`)
    const { conflict, values, snapshots } = result as {
      conflict: string
      values: number[]
      snapshots: number
    }
    expect(conflict).toMatch(
      /Requirement failed: branch main (has changed|was created concurrently)/,
    )
    expect(values).toEqual([
      1,
      ...[1, 2, 3, 4].flatMap((writer) => [0, 1, 2, 3, 4].map((i) => writer * 100 + i)),
    ])
    expect(snapshots).toBe(21)
  })

  it.each([1, 2])(
    'reads every row once after appends that assert nothing and are rebased, in format v%i',
    async (version) => {
      const result = (await python(`
import concurrent.futures as futures
catalog.create_namespace_if_not_exists('rebased')
name = 'rebased.v${version}'
data = pa.table({'x': pa.array([0], pa.int64())})
catalog.create_table(name, data.schema, properties={'format-version': '${version}'}).append(data)
stale = connect().load_table(name)
def careless(n):
    # PyIceberg's own files and updates, all on the snapshot of before; without its assertion.
    transaction = stale.transaction()
    transaction.append(pa.table({'x': pa.array([n * 100 + 1, n * 100 + 2], pa.int64())}))
    requirements = tuple(r for r in transaction._requirements if r.type != 'assert-ref-snapshot-id')
    connect().commit_table(stale, requirements, transaction._updates)
def careful(n):
    own = connect().load_table(name)
    done = conflicts = 0
    while done < 3:
        try:
            own.append(pa.table({'x': pa.array([n * 100 + done], pa.int64())}))
            done += 1
        except ex.CommitFailedException:
            conflicts += 1
            own = connect().load_table(name)
    return conflicts
with futures.ThreadPoolExecutor(10) as pool:
    plain = [pool.submit(careless, n) for n in range(1, 9)]
    honest = [pool.submit(careful, n) for n in range(11, 13)]
    for one in plain + honest: one.result()
final = catalog.load_table(name)
snapshots = final.metadata.snapshots
parents = {s.snapshot_id: s.parent_snapshot_id for s in snapshots}
lineage, at = 0, final.metadata.current_snapshot_id
while at is not None:
    lineage, at = lineage + 1, parents[at]
print(json.dumps({
  'values': sorted(final.scan().to_arrow()['x'].to_pylist()),
  'total': final.current_snapshot().summary['total-records'],
  'snapshots': len(snapshots), 'lineage': lineage,
  'files': len(final.inspect.data_files()),
  'rows then': [final.scan(snapshot_id=s.snapshot_id).to_arrow().num_rows == int(s.summary['total-records']) for s in snapshots],
}))
`)) as Record<string, unknown>
      const careless = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((n) => [n * 100 + 1, n * 100 + 2])
      const careful = [11, 12].flatMap((n) => [n * 100, n * 100 + 1, n * 100 + 2])
      expect(result).toEqual({
        values: [0, ...careless, ...careful],
        total: '23',
        snapshots: 15,
        lineage: 15,
        files: 15,
        'rows then': Array.from({ length: 15 }, () => true),
      })
    },
  )

  it('lists and drops views that the catalog keeps', async () => {
    await service.createNamespace(['views'])
    const creation = {
      name: 'v',
      schema: testSchema,
      viewVersion: {
        versionId: 1,
        schemaId: 0,
        timestampMs: Date.now(),
        summary: {},
        representations: [{ type: 'sql' as const, sql: 'select 1', dialect: 'trino' }],
        defaultNamespace: ['views'],
      },
      properties: {},
    }
    const identifier = { namespace: ['views'], name: 'v' }
    await service.createView(identifier, await service.newView(identifier, creation))
    const result = await python(`
before = catalog.list_views('views')
exists = catalog.view_exists('views.v')
catalog.drop_view('views.v')
refused(ex.NoSuchViewError, lambda: catalog.drop_view('views.v'))
print(json.dumps([before, exists, catalog.list_views('views')]))
`)
    expect(result).toEqual([[['views', 'v']], true, []])
  })
})

describe('DuckDB', () => {
  it('attaches the catalog and reads a table of it', async () => {
    const result = await python(`
catalog.create_namespace('duck')
data = pa.table({'x': pa.array(range(1000), pa.int64()), 'name': [f'n{i}' for i in range(1000)]})
catalog.create_table('duck.t', data.schema).append(data)
import duckdb, glob, os
import duckdb_extension_avro, duckdb_extension_httpfs, duckdb_extension_iceberg
con = duckdb.connect(config={'autoinstall_known_extensions': 'false', 'autoload_known_extensions': 'false'})
for module in (duckdb_extension_avro, duckdb_extension_httpfs, duckdb_extension_iceberg):
    [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', '*.duckdb_extension'))
    con.execute(f"LOAD '{path}'")
con.execute(f"ATTACH 'potok' AS potok (TYPE iceberg, ENDPOINT '{sys.argv[1]}', AUTHORIZATION_TYPE 'none')")
rows = con.execute('SELECT count(*), sum(x), min(name) FROM potok.duck.t').fetchone()
print(json.dumps([int(rows[0]), int(rows[1]), rows[2]]))
`)
    expect(result).toEqual([1000, 499_500, 'n0'])
  })
})

/** Commits one after another and says after each which it was; the parent kills it at a random moment. */
const committer = `
import { createCatalogService } from '${join(import.meta.dirname, '../../catalog/catalog-service.ts')}'
import { createLocalObjectStore } from '${join(import.meta.dirname, '../../adapters/object-store/local-object-store.ts')}'
import { createLocalRootObject } from '${join(import.meta.dirname, '../../adapters/object-store/local-root-object.ts')}'
import { randomIds, systemClock } from '${join(import.meta.dirname, '../../testkit/fixed-ports.ts')}'
import { writeSync } from 'node:fs'
const [warehouse, run] = process.argv.slice(-2)
const catalog = createCatalogService({
  root: createLocalRootObject({ directory: warehouse + '/.catalog' }),
  store: createLocalObjectStore({ root: warehouse }),
  clock: systemClock, ids: randomIds, warehouseLocation: 'file://' + warehouse,
})
for (let i = 0; ; i++) {
  await Promise.all([0, 1, 2].map(async (lane) => {
    const key = run + '.' + i + '.' + lane
    await catalog.commit([{
      identifier: { namespace: ['k'], name: 't' + lane }, requirements: [],
      updates: [{ action: 'set-properties', updates: { [key]: '1' } }],
    }])
    writeSync(1, key + '\\n')
  }))
}
`

describe('kill -9', () => {
  it('20 times in the midst of commits: the root opens, and each reported commit is there', async () => {
    const warehouse = join(folder, 'killed')
    const catalog = openCatalog(warehouse)
    await catalog.createNamespace(['k'])
    for (const lane of [0, 1, 2]) {
      await catalog.createTable({
        identifier: { namespace: ['k'], name: `t${lane}` },
        schema: testSchema,
        properties: {
          'write.metadata.delete-after-commit.enabled': 'true',
          'write.metadata.previous-versions-max': '5',
        },
      })
    }
    let reported = 0
    for (let run = 0; run < 20; run++) {
      const child = spawn(
        process.execPath,
        ['--input-type=module-typescript', '-e', committer, '--', warehouse, String(run)],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
      await once(child.stdout, 'data')
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 150))
      child.kill('SIGKILL')
      await once(child, 'close')
      const keys = output.split('\n').slice(0, -1)
      reported += keys.length
      const reader = openCatalog(warehouse)
      for (const lane of [0, 1, 2]) {
        const { metadata } = await reader.loadTable({ namespace: ['k'], name: `t${lane}` })
        const own = keys.filter((key) => key.endsWith(`.${lane}`))
        expect(own.filter((key) => metadata.properties[key] !== '1')).toEqual([])
      }
    }
    expect(reported).toBeGreaterThan(20)
  })
})
