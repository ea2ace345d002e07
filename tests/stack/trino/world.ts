/**
 * A real potok, a Trino on its catalog, PyIceberg, DuckDB and potok's reader beside them; and the two questions that the judges
 * are asked of each table: do all of you see the same rows, and does any filter hide a row that it should give?
 */
import { join } from 'node:path'
import { expect } from 'vitest'
import { createDuckDbTableReader } from '../../../adapters/duckdb/duckdb-table-reader.ts'
import { openDuckDb } from '../../../adapters/duckdb/instance.ts'
import { createLocalObjectStore } from '../../../adapters/object-store/local-object-store.ts'
import { createS3Api } from '../../../adapters/object-store/s3-api.ts'
import { createS3ObjectStore } from '../../../adapters/object-store/s3-object-store.ts'
import { parseJson } from '../../../iceberg/codec/lossless-json.ts'
import { decodeTableMetadata } from '../../../iceberg/codec/metadata-json.ts'
import { createManifestCache } from '../../../iceberg/scan/plan-files.ts'
import { currentSchema } from '../../../iceberg/spec/schema.ts'
import type { IcebergType, TableMetadata } from '../../../iceberg/spec/table-metadata.ts'
import type { TableReader } from '../../../iceberg/table-reader.ts'
import type { ObjectStore } from '../../../kernel/ports.ts'
import {
  type CanonicalRow,
  rowsOfTrino,
  sortedRows,
} from '../../../testkit/judges/canonical-rows.ts'
import {
  type FilterCase,
  filterCases,
  filterSql,
  typesOf,
} from '../../../testkit/judges/filter-cases.ts'
import {
  type FilterAnswer,
  type FilterAnswers,
  wrongAnswers,
} from '../../../testkit/judges/judge-filters.ts'
import { filterByPotok, rowsByPotok } from '../../../testkit/judges/potok-judge.ts'
import { type PythonJudge, startPythonJudge } from '../../../testkit/judges/python-judge.ts'
import { type RunningPotok, startPotok, temporaryFolder } from '../../../testkit/potok-process.ts'
import type { Minio } from '../../../testkit/servers/minio.ts'
import {
  createCatalogSql,
  s3Files,
  startTrino,
  type Trino,
  type TrinoResult,
} from '../../../testkit/servers/trino.ts'

export type World = {
  readonly data: string
  readonly potok: RunningPotok
  readonly trino: Trino
  readonly python: PythonJudge
  /** Potok's own, in this process. */
  readonly reader: TableReader
  /** One statement in Trino's catalog `potok`. */
  sql(statement: string): Promise<TrinoResult>
  /** The message of the error that the statement must end with. */
  refused(statement: string): Promise<string>
  metadata(table: TableName): Promise<TableMetadata>
  stop(): Promise<void>
}

/** Of potok's catalog: namespace levels and name. */
export type TableName = { readonly namespace: readonly string[]; readonly name: string }

export function named(namespace: string, name: string): TableName {
  return { namespace: namespace.split('.'), name }
}

export function sqlName({ namespace, name }: TableName): string {
  return `"${namespace.join('.')}"."${name}"`
}

/** On a warehouse of local files. */
export async function startWorld(): Promise<World> {
  const folder = temporaryFolder('trino')
  const data = join(folder.path, 'data')
  // Potok first: it is quick, and nothing is left running where it does not start.
  const potok = await startPotok(data, ['--recompute-schedule', 'off'])
  const trino = await startTrino()
  const python = await startPythonJudge()
  const store = createLocalObjectStore({ root: potok.warehouse })
  await trino.query(createCatalogSql('potok', potok.catalogUrl))
  await python.connect(potok.catalogUrl)
  return await createWorld({ folder, data, potok, trino, catalog: 'potok', python, store }, () =>
    trino.stop(),
  )
}

/** The same on a warehouse in MinIO, with the Trino of the other world. */
export async function startS3World(trino: Trino, minio: Minio): Promise<World> {
  const folder = temporaryFolder('trino-s3')
  const data = join(folder.path, 'data')
  Object.assign(process.env, minio.env)
  const potok = await startPotok(data, [
    '--recompute-schedule',
    'off',
    '--warehouse',
    `s3://${minio.bucket}/lake`,
  ]).finally(() => {
    for (const name of Object.keys(minio.env)) delete process.env[name]
  })
  const python = await startPythonJudge()
  const { endpoint, accessKeyId, secretAccessKey } = minio
  const api = createS3Api(minio.options)
  const cacheFolder = join(folder.path, 'cache')
  const store = createS3ObjectStore({ api, cacheFolder, cacheBytesMax: 1 << 28 })
  const keys = { accessKeyId, secretAccessKey }
  await trino.query(createCatalogSql('potok_s3', potok.catalogUrl, s3Files(endpoint, keys)))
  await python.connect(potok.catalogUrl, {
    // The endpoint comes from the catalog's configuration.
    properties: { 's3.access-key-id': accessKeyId, 's3.secret-access-key': secretAccessKey },
    duckdbSql: [
      `CREATE SECRET lake (TYPE s3, KEY_ID '${accessKeyId}', SECRET '${secretAccessKey}', REGION 'us-east-1',
         ENDPOINT '${new URL(endpoint).host}', URL_STYLE 'path', USE_SSL false)`,
    ],
  })
  return await createWorld(
    { folder, data, potok, trino, catalog: 'potok_s3', python, store },
    async () => {
      store.close()
      await api.close()
    },
  )
}

async function createWorld(
  parts: Pick<World, 'data' | 'potok' | 'trino' | 'python'> & {
    readonly folder: ReturnType<typeof temporaryFolder>
    readonly catalog: string
    readonly store: ObjectStore
  },
  stopOthers: () => Promise<void>,
): Promise<World> {
  const { folder, data, potok, trino, catalog, python, store } = parts
  const duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 1,
    tempDirectory: join(folder.path, 'spill'),
  })
  const manifests = createManifestCache(store, 32 * 1024 * 1024)
  const sql = (statement: string) => trino.query(statement, { catalog })
  return {
    data,
    potok,
    trino,
    python,
    reader: createDuckDbTableReader({ store, manifests, duckdb }),
    sql,
    async refused(statement) {
      const failure = await sql(statement).then(
        () => null,
        (error: Error) => error.message,
      )
      if (failure === null) throw new Error(`not refused: ${statement}`)
      return failure
    },
    async metadata({ namespace, name }) {
      const path = `namespaces/${namespace.map(encodeURIComponent).join('%1F')}/tables/${encodeURIComponent(name)}`
      const response = await fetch(`${potok.catalogUrl}/v1/${path}`)
      const body = parseJson(await response.text()) as { metadata: unknown }
      if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(body)}`)
      return decodeTableMetadata(body.metadata)
    },
    async stop() {
      await Promise.all([python.stop(), stopOthers(), potok.kill('SIGTERM')])
      duckdb.close()
      folder.remove()
    },
  }
}

/** Every engine reads the same rows; gives them in an order of their own, columns in that of the schema. */
export async function expectSameRows(world: World, table: TableName): Promise<CanonicalRow[]> {
  const metadata = await world.metadata(table)
  const { fields } = currentSchema(metadata)
  const columns = fields.map((field) => field.name)
  const types = fields.map((field) => field.type)
  const result = await world.sql(`SELECT ${listOf(columns)} FROM ${sqlName(table)}`)
  const trino = sortedRows(rowsOfTrino(result, types))
  expect(await rowsByPotok(world.reader, metadata), 'potok').toEqual(trino)
  expect(sortedRows(await world.python.pyiceberg(table, columns)), 'PyIceberg').toEqual(trino)
  expect(sortedRows(await world.python.duckdb(table, columns)), 'DuckDB').toEqual(trino)
  return trino
}

/** Filters at and around the values of every column give the right rows in every engine. */
export async function expectSameFilters(
  world: World,
  table: TableName,
  rows: readonly CanonicalRow[],
  keys: readonly string[],
): Promise<number> {
  const metadata = await world.metadata(table)
  const schema = currentSchema(metadata)
  const cases = filterCases(schema, rows)
  const answers: FilterAnswers = {
    potok: await filterByPotok(world.reader, metadata, keys, cases),
    trino: await filterByTrino(world, table, keys, typesOf(schema, keys), cases),
    pyiceberg: await world.python.filterByPyIceberg(table, keys, cases),
    duckdb: await world.python.filterByDuckDb(table, keys, cases),
  }
  expect(wrongAnswers(metadata, rows, keys, cases, answers)).toEqual([])
  return cases.length
}

function listOf(columns: readonly string[]): string {
  return columns.map((name) => `"${name}"`).join(', ')
}

const filtersPerQuery = 24

/** Many filters in one query, each with a scan of its own: planning takes longer than reading. */
async function filterByTrino(
  world: World,
  table: TableName,
  keys: readonly string[],
  types: readonly IcebergType[],
  cases: readonly FilterCase[],
): Promise<FilterAnswer[]> {
  const answers: CanonicalRow[][] = cases.map(() => [])
  const list = listOf(keys)
  for (let from = 0; from < cases.length; from += filtersPerQuery) {
    const branches = cases
      .slice(from, from + filtersPerQuery)
      .map(
        (filter, i) =>
          `SELECT ${from + i} AS filter, ${list} FROM ${sqlName(table)} WHERE ${filterSql('trino', filter)}`,
      )
    const result = await world.sql(branches.join('\nUNION ALL '))
    for (const [index, ...row] of rowsOfTrino(result, ['int', ...types])) {
      answers[Number(index)]?.push(row)
    }
  }
  return answers
}
