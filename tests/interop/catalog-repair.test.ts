/** A catalog that lost its root, rebuilt by the command, judged by PyIceberg: every row is there again. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { runPython } from '../../testkit/python-venv.ts'
import { temporaryFolder } from '../../testkit/potok-process.ts'

const program = resolve(import.meta.dirname, '../../potok')
const common = ['--log-level', 'warn']

async function whileServing<T>(data: string, run: (uri: string) => Promise<T>): Promise<T> {
  const args = [
    'catalog',
    '--data',
    data,
    '--port',
    '0',
    '--catalog-port',
    '0',
    '--json',
    ...common,
  ]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    let text = ''
    while (!text.trimEnd().endsWith('}')) {
      const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
      text += chunk.toString()
    }
    return await run((JSON.parse(text) as { catalog: string }).catalog)
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
}

function repair(data: string, ...flags: string[]): Promise<{ code: number; out: string }> {
  return new Promise((done) => {
    execFile(program, ['catalog', 'repair', '--data', data, ...common, ...flags], (error, out) => {
      done({ code: typeof error?.code === 'number' ? error.code : 0, out })
    })
  })
}

const prelude = `
import json, sys
import pyarrow as pa
from pyiceberg.catalog import load_catalog
catalog = load_catalog('potok', type='rest', uri=sys.argv[1])
`
const fill = `${prelude}
catalog.create_namespace('lab')
for name in ('one', 'two'):
    table = catalog.create_table(('lab', name), schema=pa.schema([('id', pa.int64())]))
    for i in range(3):
        table.append(pa.table({'id': list(range(i * 10, i * 10 + 10))}))
catalog.load_table('lab.two').delete('id < 5')
print(json.dumps(sorted(catalog.list_tables('lab'))))
`
const read = `${prelude}
rows = {}
for identifier in catalog.list_tables('lab'):
    rows[identifier[1]] = sorted(catalog.load_table(identifier).scan().to_arrow()['id'].to_pylist())
print(json.dumps(rows))
`

it('lets PyIceberg read and write every table again after the root was lost', async () => {
  const { path: data, remove } = temporaryFolder('repair')
  try {
    await whileServing(data, (uri) => runPython(fill, [uri]))
    await rm(join(data, 'warehouse', '.catalog'), { recursive: true })
    const shown = await repair(data)
    expect(shown.code).toBe(3)
    expect(shown.out).toMatch(/table lab\.one \(by path/)
    expect((await repair(data, '--apply', '--json')).code).toBe(0)
    const ids = (from: number): number[] => Array.from({ length: 30 - from }, (_, i) => from + i)
    const rows = await whileServing(data, async (uri) => {
      await runPython(
        `${prelude}\ncatalog.load_table('lab.one').append(pa.table({'id': [99]}))\nprint('{}')`,
        [uri],
      )
      return JSON.parse(await runPython(read, [uri])) as Record<string, number[]>
    })
    expect(rows).toEqual({ one: [...ids(0), 99], two: ids(5) })
    expect((await repair(data)).code).toBe(0)
  } finally {
    remove()
  }
})
