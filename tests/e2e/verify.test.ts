/** `potok verify` finds what was corrupted by hand, and only then. */
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  eventually,
  postEvents,
  recompute,
  runPotok,
  startPotok,
  temporaryFolder,
} from '../../testkit/potok-process.ts'
import { runPython } from '../../testkit/python-venv.ts'

type Report = {
  findings: number
  checks: { check: string; counts: Record<string, number>; findings: { message: string }[] }[]
}

async function verify(
  data: string,
): Promise<{ code: number | null; report: Report; text: string }> {
  const result = await runPotok(['verify', '--data', data, '--json'])
  if (result.stdout === '') throw new Error(`verify ended with ${result.code}: ${result.stderr}`)
  return { code: result.code, report: JSON.parse(result.stdout) as Report, text: result.stdout }
}

function checkOf(report: Report, name: string) {
  const check = report.checks.find((c) => c.check === name)
  if (check === undefined) throw new Error(`no check ${name}`)
  return check
}

describe('potok verify', () => {
  const folder = temporaryFolder('verify')
  const sound = join(folder.path, 'sound')

  /** A copy to corrupt. The tables' locations are absolute, so the copy takes the place of the original. */
  const backup = join(folder.path, 'backup')
  const restore = () => {
    rmSync(sound, { recursive: true, force: true })
    cpSync(backup, sound, { recursive: true })
  }

  beforeAll(async () => {
    const potok = await startPotok(sound, ['--recompute-schedule', 'off'])
    const events = Array.from({ length: 3_000 }, (_, i) => ({
      kvfv_id: `KV${i % 20}`,
      timestamp: new Date(Date.UTC(2025, 3, 5, 10) + i * 13_000).toISOString(),
      vehicle_speed: 20 + (i % 90),
      event_id: `e${i}`,
    }))
    for (let at = 0; at < events.length; at += 500) {
      expect((await postEvents(potok.url, events.slice(at, at + 500))).status).toBe(202)
    }
    expect((await postEvents(potok.url, [{ kvfv_id: 'KV1' }])).status).toBe(400)
    expect(await recompute(potok.url, { from: '2025-04-05', to: '2025-04-06' })).toMatchObject({
      status: 'done',
    })
    await eventually('no lag', async () => {
      const status = await runPotok(['status', '--data', sound, '--json'])
      const { lag } = JSON.parse(status.stdout) as { lag: Record<string, number> }
      return lag['events'] === 0 && lag['rollup_5m'] === 0 ? true : null
    })
    await potok.kill('SIGTERM')
    cpSync(sound, backup, { recursive: true })
  })
  afterAll(folder.remove)

  it('finds nothing in a sound installation, and says what it looked at', async () => {
    const { code, report } = await verify(sound)
    expect(report.checks.flatMap((c) => c.findings)).toEqual([])
    expect(code).toBe(0)
    expect(checkOf(report, 'log-positions').counts['records']).toBe(3_001)
    expect(checkOf(report, 'sealed-windows').counts['windows_rollup_5m']).toBeGreaterThan(100)
    expect(checkOf(report, 'files-present').counts['files']).toBeGreaterThan(3)
  })

  it('finds nothing beside a running potok either', async () => {
    restore()
    const potok = await startPotok(sound, ['--recompute-schedule', 'off', '--cameras', '5'])
    const { code } = await verify(sound)
    await potok.kill('SIGTERM')
    expect(code).toBe(0)
    restore()
  })

  const withTable = (name: string, code: string) =>
    `
import sys, glob, os, json
from pyiceberg.catalog import load_catalog
catalog = load_catalog('potok', **{'type': 'rest', 'uri': sys.argv[1]})
table = catalog.load_table(('traffic', '${name}'))
${code}
`
  /** Somebody else changes a table through the catalog. */
  const doctor = async (name: string, code: string): Promise<void> => {
    const potok = await startPotok(sound, ['--recompute-schedule', 'off'])
    try {
      await runPython(withTable(name, code), [potok.catalogUrl])
    } finally {
      await potok.kill('SIGTERM')
    }
  }
  const liveFile = async (name: string): Promise<string> => {
    const potok = await startPotok(sound, ['--recompute-schedule', 'off'])
    try {
      const out = await runPython(
        withTable(name, 'print(next(iter(table.scan().plan_files())).file.file_path)'),
        [potok.catalogUrl],
      )
      return decodeURIComponent(new URL(out.trim()).pathname)
    } finally {
      await potok.kill('SIGTERM')
    }
  }

  it('names a data file that was deleted', async () => {
    restore()
    const file = await liveFile('events')
    rmSync(file)
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    expect(JSON.stringify(checkOf(report, 'files-present').findings)).toContain(file)
    // What could not be checked never looks like a pass.
    expect(checkOf(report, 'log-positions').findings).toHaveLength(1)
  })

  it('names a data file that was cut short', async () => {
    restore()
    const file = await liveFile('rollup_5m')
    truncateSync(file, 100)
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    expect(JSON.stringify(checkOf(report, 'files-present').findings)).toContain('100 bytes')
  })

  it('names a rollup row that was doctored', async () => {
    restore()
    await doctor(
      'rollup_5m',
      `
import pyarrow as pa
rows = table.scan().to_arrow()
names = rows.schema.names
at = names.index('speed_sum_milli')
values = rows['speed_sum_milli'].to_pylist()
values[7] += 1
table.overwrite(rows.set_column(at, rows.schema.field(at), pa.array(values, pa.int64())).cast(table.schema().as_arrow()))
`,
    )
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    const messages = checkOf(report, 'sealed-windows').findings.map(({ message }) => message)
    expect(messages).toHaveLength(1)
    expect(messages[0]).toMatch(
      /rollup_5m, camera KV\d+, window .*speed_sum_milli is \d+, the events give \d+/,
    )
  })

  it('names a percentile that was doctored', async () => {
    restore()
    await doctor(
      'rollup_1d',
      `
import pyarrow as pa
rows = table.scan().to_arrow()
at = rows.schema.names.index('p85_milli')
values = rows['p85_milli'].to_pylist()
values[3] += 1
table.overwrite(rows.set_column(at, rows.schema.field(at), pa.array(values, pa.int64())).cast(table.schema().as_arrow()))
`,
    )
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    const messages = checkOf(report, 'sealed-windows').findings.map(({ message }) => message)
    expect(messages).toEqual([expect.stringMatching(/rollup_1d, .*p85_milli is \d+/)])
  })

  it('names a provisional row in a sealed window', async () => {
    restore()
    await doctor(
      'rollup_5m',
      `
import pyarrow as pa
rows = table.scan().to_arrow().slice(5, 1)
at = rows.schema.names.index('is_exact')
table.append(rows.set_column(at, rows.schema.field(at), pa.array([False])).cast(table.schema().as_arrow()))
`,
    )
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    const messages = checkOf(report, 'sealed-windows').findings.map(({ message }) => message)
    expect(messages.join()).toContain('has a provisional row although it is sealed')
  })

  it('names a position of the rollup stream that was changed by hand', async () => {
    restore()
    await doctor(
      'rollup_5m',
      `
key = next(k for k in table.properties if k.startswith('potok.log.position.'))
position = json.loads(table.properties[key])
position['next_offset'] += 1
with table.transaction() as tx:
    tx.set_properties({key: json.dumps(position)})
`,
    )
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    expect(JSON.stringify(checkOf(report, 'log-positions').findings)).toContain('rollup_5m')
  })

  it('names what can not be read any more, though its size is right', async () => {
    restore()
    const file = await liveFile('events')
    const bytes = readFileSync(file)
    writeFileSync(file, bytes.fill(0x5a, 100, bytes.length - 2_000))
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    expect(JSON.stringify(checkOf(report, 'sealed-windows').findings)).toContain('not checked')
  })

  it('names a data file that was added again', async () => {
    restore()
    await doctor(
      'events',
      `
path = next(iter(table.scan().plan_files())).file.file_path
entry = next(e for m in table.current_snapshot().manifests(table.io) for e in m.fetch_manifest_entry(table.io) if e.data_file.file_path == path)
with table.transaction() as tx:
    with tx.update_snapshot().fast_append() as append:
        append.append_data_file(entry.data_file)
`,
    )
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    expect(checkOf(report, 'files-once').findings).toHaveLength(1)
    expect(JSON.stringify(checkOf(report, 'log-positions').findings)).toContain('repetition')
  })

  it('names rows of events that were deleted', async () => {
    restore()
    await doctor('events', `table.delete("kvfv_id = 'KV3'")`)
    const { code, report } = await verify(sound)
    expect(code).toBe(3)
    expect(JSON.stringify(checkOf(report, 'log-positions').findings)).toContain('gap')
  })
})
