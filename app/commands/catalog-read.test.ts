import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { writeRows } from '../../adapters/duckdb/iceberg-row-writer.ts'
import type { Row } from '../../iceberg/spec/rows.ts'
import type { LoadedTable } from '../../iceberg/catalog.ts'
import { stageAppend } from '../../iceberg/transaction/append.ts'
import { openInstallation } from '../installation.ts'
import { createProgram } from '../main.ts'
import { openEngine } from '../roles.ts'
import { readSettings } from '../settings.ts'

let data: string
let table: LoadedTable

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'potok-read-'))
  const installation = openInstallation(readSettings({ data }, {}), 'test')
  const { catalog } = installation
  const duckdb = await openEngine(installation, 1)
  await catalog.createNamespace(['a'])
  await catalog.createNamespace(['a', 'b'])
  const identifier = { namespace: ['a', 'b'], name: 't' }
  table = await catalog.createTable({
    identifier,
    schema: {
      type: 'struct',
      schemaId: 0,
      fields: [
        { id: 1, name: 'n', required: true, type: 'long' },
        { id: 2, name: 'text', required: false, type: 'string' },
        { id: 3, name: 'at', required: false, type: 'timestamptz' },
      ],
    },
  })
  const append = async (...rows: Row[]) => {
    const files = await writeRows({ ...installation, duckdb }, table.metadata, rows)
    const staged = await stageAppend(installation, table, { files })
    ;[table] = (await catalog.commit([staged.commit])) as [LoadedTable]
  }
  await append({ n: 1n, text: 'KV\t1', at: 1 }, { n: 2n ** 60n, text: null, at: -1 })
  await append({ n: 3n, text: 'NULL', at: null })
  duckdb.close()
  await catalog.close()
})
afterAll(async () => {
  await rm(data, { recursive: true })
})

async function run(...args: string[]): Promise<string[]> {
  const printed: string[] = []
  const spy = vi
    .spyOn(process.stdout, 'write')
    .mockImplementation((text: unknown, done?: unknown) => {
      printed.push(String(text))
      if (typeof done === 'function') done()
      return true
    })
  const quiet = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  try {
    const code = vi.fn()
    await createProgram(code).parseAsync(['node', 'potok', ...args, '--data', data])
    expect(code).toHaveBeenCalledWith(0)
  } finally {
    spy.mockRestore()
    quiet.mockRestore()
  }
  return printed.join('').split('\n').slice(0, -1)
}

describe('potok catalog read', () => {
  test('prints a header and rows as tab-separated lines in which nothing is ambiguous', async () => {
    const [header, ...lines] = await run('catalog', 'read', 'a.b.t')
    expect(header).toBe('n\ttext\tat')
    expect(lines.toSorted()).toEqual([
      '1\t"KV\\t1"\t1970-01-01T00:00:00.000001+00:00',
      '1152921504606846976\tNULL\t1969-12-31T23:59:59.999999+00:00',
      '3\t"NULL"\tNULL',
    ])
  })

  test('prints the columns and rows asked for, as JSON lines', async () => {
    const lines = await run(
      'catalog',
      'read',
      'a.b.t',
      '--json',
      '--columns',
      'at,n',
      '--where',
      "text like 'KV%' or n > 3",
    )
    expect(lines.toSorted()).toEqual([
      '{"at":"1969-12-31T23:59:59.999999+00:00","n":1152921504606846976}',
      '{"at":"1970-01-01T00:00:00.000001+00:00","n":1}',
    ])
    expect(await run('catalog', 'read', 'a.b.t', '--json', '--limit', '2')).toHaveLength(2)
    expect(await run('catalog', 'read', 'a.b.t', '--json', '--limit', '0')).toEqual([])
  })

  test('goes back to a snapshot and to a time', async () => {
    const [first] = table.metadata.snapshots
    const count = async (...args: string[]) =>
      (await run('catalog', 'read', 'a.b.t', '--json', ...args)).length
    expect(await count('--snapshot', String(first?.snapshotId))).toBe(2)
    const asOf = new Date((first?.timestampMs ?? 0) + 0.5).toISOString()
    const isApart = first?.timestampMs !== table.metadata.snapshots[1]?.timestampMs
    expect(await count('--as-of', asOf)).toBe(isApart ? 2 : 3)
    expect(await count('--ref', 'main')).toBe(3)
  })

  test.each<[RegExp, string[]]>([
    [/NAMESPACE.TABLE/, ['t']],
    [/no column x/, ['a.b.t', '--columns', 'x']],
    [/not understood/, ['a.b.t', '--where', 'n = 1; drop']],
    [/no snapshot id/, ['a.b.t', '--snapshot', 'x']],
    [/no timestamptz/, ['a.b.t', '--as-of', 'yesterday']],
    [/no snapshot is older/, ['a.b.t', '--as-of', '2000-01-01']],
    [/no branch or tag x/, ['a.b.t', '--ref', 'x']],
    [/no count of rows/, ['a.b.t', '--limit', '-1']],
  ])('refuses with %s what makes no sense', async (message, args) => {
    await expect(run('catalog', 'read', ...args)).rejects.toThrow(message)
  })
})

test('potok catalog tables lists tables of all namespaces with their totals', async () => {
  const [line, ...others] = await run('catalog', 'tables')
  expect(line).toMatch(/^a\.b\.t +3 rows +2 files +\d+ KiB {3}v2, last commit 2/)
  expect(others).toEqual([])
  expect(JSON.parse((await run('catalog', 'tables', '--json')).join('\n'))).toMatchObject([
    { table: 'a.b.t', rows: 3, files: 2, formatVersion: 2 },
  ])
})
