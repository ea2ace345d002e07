/** Tables that others made, evolved and deleted from: potok reads the rows that their makers read. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDuckDbTableReader } from '../../adapters/duckdb/duckdb-table-reader.ts'
import { type DuckDb, openDuckDb } from '../../adapters/duckdb/instance.ts'
import { createLocalObjectStore } from '../../adapters/object-store/local-object-store.ts'
import { readTableMetadata } from '../../iceberg/codec/metadata-json.ts'
import { createManifestCache } from '../../iceberg/scan/plan-files.ts'
import type { IcebergType, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import type { ReadRequest, CellValue, TableReader } from '../../iceberg/table-reader.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { runPython } from '../../testkit/python-venv.ts'
import { evolvedTables } from './read-scripts.ts'

type Made = { metadata: string; scans: Record<string, unknown[][]> } & Record<string, unknown>

let folder: string
let store: ObjectStore
let duckdb: DuckDb
let reader: TableReader

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-[read]-'))
  store = createLocalObjectStore({ root: `file://${folder}` })
  duckdb = await openDuckDb({
    memoryLimitBytes: 256 * 1024 * 1024,
    threads: 2,
    tempDirectory: join(folder, 'scratch'),
  })
  reader = createDuckDbTableReader({ store, duckdb, manifests: createManifestCache(store, 1e7) })
})
afterAll(async () => {
  duckdb.close()
  await rm(folder, { recursive: true, force: true })
})

async function make(script: string): Promise<Record<string, Made>> {
  return JSON.parse(await runPython(script, [folder])) as Record<string, Made>
}

async function metadataOf(location: string): Promise<TableMetadata> {
  const path = location.replace(/^file:\/\//, '')
  return readTableMetadata(await readFile(path), location)
}

/** Equal texts are equal values: as `text` of the scripts has it. */
function textOf(type: IcebergType, value: CellValue): unknown {
  if (value === null) return null
  if (typeof type !== 'string') {
    const values = value as readonly CellValue[]
    switch (type.type) {
      case 'struct':
        return type.fields.map((field, i) => textOf(field.type, values[i] ?? null))
      case 'list':
        return values.map((each) => textOf(type.element, each))
      case 'map':
        return (values as readonly (readonly CellValue[])[]).map(([key, each]) => [
          textOf(type.key, key ?? null),
          textOf(type.value, each ?? null),
        ])
    }
  }
  if (type === 'float' || type === 'double') return floatText(value as number)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return value
}

function floatText(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return Number.isNaN(value) ? 'NaN' : bytes.toString('hex')
}

/** Rows as sorted texts: no reader promises an order. */
async function rowsOf(metadata: TableMetadata, request?: ReadRequest): Promise<string[]> {
  const scan = await reader.open(metadata, request)
  const rows: string[] = []
  for await (const batch of scan.batches()) {
    for (let row = 0; row < batch.rowCount; row++) {
      const values = scan.schema.fields.map(({ type }, i) =>
        textOf(type, batch.columns[i]?.[row] ?? null),
      )
      rows.push(JSON.stringify(values))
    }
  }
  return rows.toSorted()
}

function sorted(rows: readonly unknown[][] | undefined): string[] {
  if (rows === undefined) throw new Error('no such scan')
  return rows.map((row) => JSON.stringify(row)).toSorted()
}

function pick(tables: Record<string, Made>, name: string): Made {
  const made = tables[name]
  if (made === undefined) throw new Error(`no table ${name}`)
  return made
}

describe('of a table that PyIceberg made and evolved', () => {
  let tables: Record<string, Made>
  beforeAll(async () => {
    tables = await make(evolvedTables)
  })

  test('every type is read as it was written, to the last bit', async () => {
    const made = pick(tables, 'types')
    expect(await rowsOf(await metadataOf(made.metadata))).toEqual(sorted(made.scans['all']))
  })

  test('columns are found by field id after adding, dropping, renaming, moving and promoting', async () => {
    const made = pick(tables, 'evolved')
    const metadata = await metadataOf(made.metadata)
    const { scans } = made
    expect(await rowsOf(metadata)).toEqual(sorted(scans['all']))
    expect(await rowsOf(metadata, { columns: ['gone', 'st'] })).toEqual(
      (scans['some'] as [unknown, unknown][])
        .map((row) => JSON.stringify(row.toReversed()))
        .toSorted(),
    )
    const snapshot = { snapshotId: BigInt(made['first'] as string) }
    expect(await rowsOf(metadata, { snapshot })).toEqual(sorted(scans['first']))
  })

  test('filters pass the same rows over files from before and after a promotion', async () => {
    const made = pick(tables, 'evolved')
    const metadata = await metadataOf(made.metadata)
    const { scans } = made
    const range = [
      { column: 'b2', op: '>=', value: 15n },
      { column: 'b2', op: '<', value: 1_099_511_627_800n },
    ] as const
    expect(await rowsOf(metadata, { filter: range })).toEqual(sorted(scans['filtered']))
    const above = [{ column: 'b', op: '>', value: 1.1 }] as const
    expect(await rowsOf(metadata, { filter: above })).toEqual(sorted(scans['widened']))
    const absent = [{ column: 'gone', op: 'is null' }] as const
    expect(await rowsOf(metadata, { filter: absent })).toEqual(sorted(scans['added']))
  })
})
