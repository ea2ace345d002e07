/**
 * Rows of any schema before PyIceberg and DuckDB: what potok's writer puts into files, they read alike, whatever
 * filter they are asked; and so does potok's own reader. Schemas and values are random, from a seed.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDuckDbTableReader } from '../../adapters/duckdb/duckdb-table-reader.ts'
import { writeRows } from '../../adapters/duckdb/iceberg-row-writer.ts'
import { type DuckDb, openDuckDb } from '../../adapters/duckdb/instance.ts'
import { createLocalObjectStore } from '../../adapters/object-store/local-object-store.ts'
import { encodeMetadataFile, encodeTableMetadata } from '../../iceberg/codec/metadata-json.ts'
import { createManifestCache } from '../../iceberg/scan/plan-files.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import { currentSchema } from '../../iceberg/spec/schema.ts'
import type {
  IcebergType,
  PartitionSpec,
  Schema,
  StructType,
} from '../../iceberg/spec/table-metadata.ts'
import type { TableReader } from '../../iceberg/table-reader.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { randomIds } from '../../testkit/fixed-ports.ts'
import { nestedSchemas, primitiveValues, rowsOf } from '../../testkit/iceberg-rows.ts'
import {
  canonicalRows,
  type CanonicalRow,
  type CanonicalValue,
  sortedRows,
} from '../../testkit/judges/canonical-rows.ts'
import { filterCases } from '../../testkit/judges/filter-cases.ts'
import { type FilterAnswers, wrongAnswers } from '../../testkit/judges/judge-filters.ts'
import { filterByPotok, rowsByPotok } from '../../testkit/judges/potok-judge.ts'
import { type PythonJudge, startPythonJudge } from '../../testkit/judges/python-judge.ts'
import { createStagedTable, type StagedTable } from '../../testkit/staged-table.ts'

let folder: string
let store: ObjectStore
let duckdb: DuckDb
let reader: TableReader
let python: PythonJudge

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-rows-'))
  store = createLocalObjectStore({ root: `file://${folder}` })
  duckdb = await openDuckDb({
    memoryLimitBytes: 512 * 1024 * 1024,
    threads: 1,
    tempDirectory: join(folder, 'spill'),
  })
  const manifests = createManifestCache(store, 1e7)
  reader = createDuckDbTableReader({ store, manifests, duckdb })
  python = await startPythonJudge()
})
afterAll(async () => {
  await python.stop()
  duckdb.close()
  await rm(folder, { recursive: true, force: true })
})

/** Three commits, so that files differ in their bounds. */
async function tableOf(
  schema: Schema,
  spec: PartitionSpec,
  rows: readonly Row[],
  properties: Readonly<Record<string, string>> = {},
): Promise<{ table: StagedTable; metadata: string }> {
  const location = `file://${folder}/${randomIds.uuid()}`
  const table = createStagedTable({ store, schema, spec, location, properties })
  const third = Math.ceil(rows.length / 3)
  for (let from = 0; from < rows.length; from += third) {
    const part = rows.slice(from, from + third)
    const io = { store, ids: randomIds, duckdb }
    await table.change({ add: await writeRows(io, table.loaded().metadata, part) })
  }
  const metadata = `${location}/metadata/00001-${randomIds.uuid()}.metadata.json`
  const { metadata: last } = table.loaded()
  await store.write(metadata, encodeMetadataFile(encodeTableMetadata(last), metadata))
  return { table, metadata }
}

/**
 * As the judges can read it: DuckDB's names know no case, PyIceberg's paths no dots within names, and PyIceberg
 * fails at required fields of structs that are null.
 */
function readable(type: IcebergType): IcebergType {
  if (typeof type === 'string') return type
  if (type.type === 'list') {
    return { ...type, elementRequired: false, element: readable(type.element) }
  }
  if (type.type === 'map') return { ...type, valueRequired: false, value: readable(type.value) }
  return {
    ...type,
    fields: type.fields.map((field) =>
      field.name === 'rid'
        ? field
        : {
            ...field,
            required: false,
            name: `${field.name.replace('.', ' ')} ${field.id}`,
            type: readable(field.type),
          },
    ),
  }
}

/**
 * PyIceberg 0.12 takes null for empty in some lists and maps of nested values (it makes such arrays anew without
 * their nulls): for it, null and empty are one there.
 */
function withoutNullLists(type: IcebergType, value: CanonicalValue): CanonicalValue {
  if (typeof type === 'string') return value
  if (type.type === 'struct') {
    const struct = value as { readonly [name: string]: CanonicalValue } | null
    if (struct === null) return null
    return Object.fromEntries(
      type.fields.map(({ name, type: of }) => [name, withoutNullLists(of, struct[name] ?? null)]),
    )
  }
  const inner = type.type === 'list' ? type.element : type.value
  if (value === null) return typeof inner === 'string' ? null : []
  return (value as readonly CanonicalValue[]).map((item) => {
    if (type.type === 'list') return withoutNullLists(inner, item)
    const [key, each] = item as readonly [CanonicalValue, CanonicalValue]
    return [key, withoutNullLists(inner, each)]
  })
}

/** What everybody reads, and what everybody gives for filters on every column. */
async function expectAgreement(
  { table, metadata }: { readonly table: StagedTable; readonly metadata: string },
  rows: readonly CanonicalRow[],
): Promise<void> {
  const { metadata: loaded } = table.loaded()
  const schema = currentSchema(loaded)
  const columns = schema.fields.map((field) => field.name)
  const wanted = sortedRows(rows)
  const judged = { metadata }
  expect(await rowsByPotok(reader, loaded), 'potok').toEqual(wanted)
  const blurred = (all: readonly CanonicalRow[]): CanonicalRow[] =>
    sortedRows(
      all.map((row) => schema.fields.map(({ type }, i) => withoutNullLists(type, row[i] ?? null))),
    )
  expect(blurred(await python.pyiceberg(judged, columns)), 'PyIceberg').toEqual(blurred(wanted))
  expect(sortedRows(await python.duckdb(judged, columns)), 'DuckDB').toEqual(wanted)
  const cases = filterCases(schema, rows)
  const keys = ['rid']
  const answers: FilterAnswers = {
    potok: await filterByPotok(reader, loaded, keys, cases),
    pyiceberg: await python.filterByPyIceberg(judged, keys, cases),
    duckdb: await python.filterByDuckDb(judged, keys, cases),
  }
  expect(wrongAnswers(loaded, rows, keys, cases, answers)).toEqual([])
}

const transformsOf: Readonly<Record<string, readonly string[]>> = {
  boolean: ['identity'],
  int: ['identity', 'bucket[3]', 'truncate[1000]'],
  long: ['identity', 'bucket[3]', 'truncate[7]'],
  date: ['identity', 'bucket[3]', 'year', 'month', 'day'],
  time: ['identity', 'bucket[3]'],
  timestamp: ['bucket[3]', 'year', 'month', 'day', 'hour'],
  timestamptz: ['identity', 'bucket[3]', 'year', 'month', 'day', 'hour'],
  string: ['identity', 'bucket[3]', 'truncate[2]'],
  uuid: ['identity', 'bucket[3]'],
  binary: ['identity', 'bucket[3]', 'truncate[2]'],
  'decimal(9,2)': ['identity', 'bucket[3]', 'truncate[50]'],
  'decimal(18,4)': ['bucket[3]', 'truncate[1000]'],
  'decimal(38,10)': ['identity', 'bucket[3]'],
}

/** Up to two fields, of the columns that have transforms. */
function specOf(schema: Schema, choice: readonly number[]): PartitionSpec {
  const candidates = schema.fields.flatMap((field) =>
    (typeof field.type === 'string' ? (transformsOf[field.type] ?? []) : []).map((transform) => ({
      field,
      transform,
    })),
  )
  const chosen = choice.map((n) => candidates[n % candidates.length])
  const bySource = new Map(chosen.flatMap((each) => (each ? [[each.field.id, each]] : [])))
  return {
    specId: 0,
    fields: Array.from(bySource.values(), ({ field, transform }, i) => ({
      sourceId: field.id,
      fieldId: 1000 + i,
      name: `p${i}`,
      transform,
    })),
  }
}

const metricsProperties = [
  {},
  { 'write.metadata.metrics.default': 'truncate(3)' },
  { 'write.metadata.metrics.default': 'full' },
]

const cases = fc
  .record({
    schema: nestedSchemas.map(
      (schema): Schema => ({
        ...schema,
        ...(readable(schema) as StructType),
      }),
    ),
    choice: fc.array(fc.nat(1_000), { maxLength: 2 }),
    properties: fc.constantFrom(...metricsProperties),
  })
  .chain((one) => rowsOf(one.schema, 24).map((rows) => ({ ...one, rows })))
  .filter(({ rows }) => rows.length > 2)

describe('rows of random schemas that potok writes', () => {
  const seed = Number(process.env['POTOK_TEST_ROWS_SEED'] ?? 5)
  const count = Number(process.env['POTOK_TEST_ROWS_COUNT'] ?? 8)
  test.each(fc.sample(cases, { numRuns: count, seed }).map((one, i) => ({ ...one, i })))(
    'are read alike by everybody, whatever the filter: case $i',
    async ({ schema, choice, properties, rows }) => {
      const spec = specOf(schema, choice)
      await expectAgreement(
        await tableOf(schema, spec, rows, properties),
        canonicalRows(schema, rows),
      )
    },
  )
})

/** A column of each type. */
const flat: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: ['int', ...Object.keys(primitiveValues)].map((type, i) => ({
    id: i + 1,
    name: i === 0 ? 'rid' : `c_${type.replaceAll(/\W+/g, '_')}`,
    required: i === 0,
    type,
  })),
}

describe('rows with a column of every type', () => {
  // Arrays of fast-check are mostly short.
  const rows = fc
    .sample(rowsOf(flat, 40), { numRuns: 60, seed: 11 })
    .flat()
    .map((row, rid) => ({ ...row, rid }))
  const rowsOfCase = 24
  test.each(
    ['identity', 'bucket[3]', 'truncate[2]', 'day'].map((transform, i) => ({ transform, i })),
  )(
    'are read alike by everybody, whatever the filter, in partitions by $transform',
    async ({ transform, i }) => {
      const isOfKind = (one: string) => one.slice(0, 6) === transform.slice(0, 6)
      const fields = flat.fields
        .slice(1)
        .filter(({ type }) => transformsOf[type as string]?.some(isOfKind))
        .map(({ id }, at) => ({ sourceId: id, fieldId: 1000 + at, name: `p${at}`, transform }))
      const some = rows.slice(i * rowsOfCase, (i + 1) * rowsOfCase)
      expect(some).toHaveLength(rowsOfCase)
      const table = await tableOf(flat, { specId: 0, fields }, some)
      await expectAgreement(table, canonicalRows(flat, some))
    },
  )
})
