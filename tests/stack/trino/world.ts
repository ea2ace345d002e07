/**
 * A real potok, a Trino on its catalog, PyIceberg and DuckDB beside them; and the two questions that the judges
 * are asked of each table: do all of you see the same rows, and does any filter hide a row that it should give?
 */
import { join } from 'node:path'
import { expect } from 'vitest'
import { parseJson } from '../../../iceberg/codec/lossless-json.ts'
import { decodeTableMetadata } from '../../../iceberg/codec/metadata-json.ts'
import { currentSchema } from '../../../iceberg/spec/schema.ts'
import type { IcebergType, TableMetadata } from '../../../iceberg/spec/table-metadata.ts'
import {
  type CanonicalRow,
  rowsOfTrino,
  sortedRows,
} from '../../../testkit/judges/canonical-rows.ts'
import {
  describeFilter,
  type FilterCase,
  filterCases,
  filterSql,
  isMatch,
  typesOf,
  valueAt,
} from '../../../testkit/judges/filter-cases.ts'
import {
  type FilterAnswer,
  type PythonJudge,
  startPythonJudge,
} from '../../../testkit/judges/python-judge.ts'
import { type RunningPotok, startPotok, temporaryFolder } from '../../../testkit/potok-process.ts'
import {
  createCatalogSql,
  startTrino,
  type Trino,
  type TrinoResult,
} from '../../../testkit/servers/trino.ts'

export type World = {
  readonly data: string
  readonly potok: RunningPotok
  readonly trino: Trino
  readonly python: PythonJudge
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

export async function startWorld(): Promise<World> {
  const folder = temporaryFolder('trino')
  const data = join(folder.path, 'data')
  // Potok first: it is quick, and nothing is left running where it does not start.
  const potok = await startPotok(data, ['--recompute-schedule', 'off'])
  const trino = await startTrino()
  const python = await startPythonJudge()
  await trino.query(createCatalogSql('potok', potok.catalogUrl))
  await python.connect(potok.catalogUrl)
  const sql = (statement: string) => trino.query(statement, { catalog: 'potok' })
  return {
    data,
    potok,
    trino,
    python,
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
      await Promise.all([python.stop(), trino.stop(), potok.kill('SIGTERM')])
      folder.remove()
    },
  }
}

export type Engine = 'trino' | 'pyiceberg' | 'duckdb'

/** An engine's own way that is no fault of the table; `why` names it. */
export type Deviation = {
  readonly engine: Engine
  readonly why: string
  readonly applies: (filter: FilterCase) => boolean
}

/** All engines read the same rows; gives them, in the order of the schema's columns. */
export async function expectSameRows(world: World, table: TableName): Promise<CanonicalRow[]> {
  const { columns, types } = await columnsOf(world, table)
  const trino = await rowsByTrino(world, table, columns, types)
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
  deviations: readonly Deviation[] = [],
): Promise<number> {
  const schema = currentSchema(await world.metadata(table))
  const cases = filterCases(schema, rows)
  const expected = (nanIsGreatest: boolean): string[] =>
    cases.map((filter) =>
      textOf(
        rows
          .filter((row) => isMatch(filter, valueAt(schema, row, filter.path), nanIsGreatest))
          .map((row) => keys.map((key) => valueAt(schema, row, [key]))),
      ),
    )
  const [right, rightForDuckDb] = [expected(false), expected(true)]
  const answers: Record<Engine, FilterAnswer[]> = {
    trino: await filterByTrino(world, table, keys, typesOf(schema, keys), cases),
    pyiceberg: await world.python.filterByPyIceberg(table, keys, cases),
    duckdb: await world.python.filterByDuckDb(table, keys, cases),
  }
  const differences: unknown[] = []
  for (const [engine, given] of Object.entries(answers) as [Engine, FilterAnswer[]][]) {
    for (const [i, filter] of cases.entries()) {
      const answer = given[i] as FilterAnswer
      const wanted = (engine === 'duckdb' ? rightForDuckDb : right)[i]
      if (typeof answer !== 'string' && textOf(answer) === wanted) continue
      if (deviations.some((each) => each.engine === engine && each.applies(filter))) continue
      const got = typeof answer === 'string' ? answer : textOf(answer)
      differences.push({ engine, filter: describeFilter(filter), got, wanted })
    }
  }
  expect(differences).toEqual([])
  return cases.length
}

function textOf(rows: readonly CanonicalRow[]): string {
  return JSON.stringify(sortedRows(rows))
}

async function columnsOf(
  world: World,
  table: TableName,
): Promise<{ columns: string[]; types: IcebergType[] }> {
  const { fields } = currentSchema(await world.metadata(table))
  return { columns: fields.map((field) => field.name), types: fields.map((field) => field.type) }
}

export async function rowsByTrino(
  world: World,
  table: TableName,
  columns: readonly string[],
  types: readonly IcebergType[],
  at = '',
): Promise<CanonicalRow[]> {
  const list = columns.map((name) => `"${name}"`).join(', ')
  return sortedRows(
    rowsOfTrino(await world.sql(`SELECT ${list} FROM ${sqlName(table)} ${at}`), types),
  )
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
  const list = keys.map((name) => `"${name}"`).join(', ')
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
