/** Random schemas, rows and filters: what was written is read, and a filter passes what its meaning says. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SingleValue } from '../../iceberg/codec/single-value.ts'
import type { ScanFilter } from '../../iceberg/scan/scan-filter.ts'
import { checkedRow, type Row } from '../../iceberg/spec/rows.ts'
import type { PartitionSpec, Schema } from '../../iceberg/spec/table-metadata.ts'
import { rowsOfBatch } from '../../iceberg/table-reader.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { randomIds } from '../../testkit/fixed-ports.ts'
import { nestedSchemas, primitiveValues, rowsOf } from '../../testkit/iceberg-rows.ts'
import { filterExpressions, judgeFilter } from '../../testkit/judge-filter.ts'
import { createStagedTable, type StagedTable } from '../../testkit/staged-table.ts'
import { createLocalObjectStore } from '../object-store/local-object-store.ts'
import { createDuckDbTableReader } from './duckdb-table-reader.ts'
import { writeRows } from './iceberg-row-writer.ts'
import { type DuckDb, openDuckDb } from './instance.ts'

let folder: string
let store: ObjectStore
let duckdb: DuckDb

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-read-property-'))
  store = createLocalObjectStore({ root: `file://${folder}` })
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'spill'),
  })
})
afterAll(async () => {
  duckdb.close()
  await rm(folder, { recursive: true })
})

async function tableOf(
  schema: Schema,
  spec: PartitionSpec,
  ...commits: readonly (readonly Row[])[]
): Promise<StagedTable> {
  const location = `file://${folder}/${randomIds.uuid()}`
  const table = createStagedTable({ store, schema, spec, location })
  for (const rows of commits) {
    if (rows.length === 0) continue
    const add = await writeRows({ store, ids: randomIds, duckdb }, table.loaded().metadata, rows)
    await table.change({ add })
  }
  return table
}

async function read(table: StagedTable, filter: ScanFilter = []): Promise<Row[]> {
  const reader = createDuckDbTableReader({ store, duckdb, manifests: table.io.manifests })
  const scan = await reader.open(table.loaded().metadata, { filter })
  const rows: Row[] = []
  for await (const batch of scan.batches()) rows.push(...rowsOfBatch(scan.schema, batch))
  return rows.toSorted((a, b) => Number(a['rid']) - Number(b['rid']))
}

test('rows of any schema are read as they were written', async () => {
  const cases = nestedSchemas.chain((schema) =>
    fc.record({ schema: fc.constant(schema), rows: rowsOf(schema, 8) }),
  )
  await fc.assert(
    fc.asyncProperty(cases, async ({ schema, rows }) => {
      const table = await tableOf(schema, { specId: 0, fields: [] }, rows)
      expect(await read(table)).toEqual(rows.map((row) => checkedRow(schema, row)))
    }),
    { numRuns: 15 },
  )
})

test('a filter passes the rows that it means, whatever the type and the partitioning', async () => {
  const types = Object.keys(primitiveValues)
  const schema: Schema = {
    type: 'struct',
    schemaId: 0,
    fields: [
      { id: 1, name: 'rid', required: true, type: 'int' },
      ...types.map((type, i) => ({ id: i + 2, name: type, required: false, type })),
    ],
  }
  const valuesOf = (type: string) => primitiveValues[type] as fc.Arbitrary<SingleValue>
  // Few values, so that filters and rows meet.
  const pool = fc.record(
    Object.fromEntries(
      types.map((type) => [type, fc.array(valuesOf(type), { minLength: 3, maxLength: 3 })]),
    ),
  )
  const cases = pool.chain((of) => {
    const from = (type: string) => fc.constantFrom(...(of[type] as SingleValue[]))
    const row = fc.record(
      Object.fromEntries(types.map((type) => [type, fc.option(from(type), { freq: 4 })])),
    )
    const isNumber = (value: SingleValue) => !Number.isNaN(value)
    const columns = Object.fromEntries(
      types
        .map((type) => [type, (of[type] as SingleValue[]).filter(isNumber)] as const)
        .filter(([, values]) => values.length > 0)
        .map(([type, values]) => [type, fc.constantFrom(...values)]),
    )
    return fc.record({
      rows: fc.array(row, { minLength: 1, maxLength: 30 }),
      filters: fc.array(filterExpressions(columns, ['string']), { minLength: 8, maxLength: 8 }),
      partition: fc.constantFrom(...types),
      transform: fc.constantFrom('identity', 'void'),
    })
  })
  await fc.assert(
    fc.asyncProperty(cases, async ({ rows, filters, partition, transform }) => {
      const spec: PartitionSpec = {
        specId: 0,
        fields: [{ sourceId: types.indexOf(partition) + 2, fieldId: 1000, name: 'p', transform }],
      }
      const numbered = rows.map((row, rid): Record<string, SingleValue | null> => ({ rid, ...row }))
      const half = numbered.length >> 1
      const table = await tableOf(schema, spec, numbered.slice(0, half), numbered.slice(half))
      for (const filter of filters) {
        const expected = numbered.filter((row) => judgeFilter(row, filter) === true)
        const found = await read(table, [filter])
        const rids = found.map((row) => row['rid'])
        expect({ filter, rids }).toEqual({ filter, rids: expected.map((row) => row['rid']) })
      }
    }),
    { numRuns: 8, endOnFailure: true },
  )
})
