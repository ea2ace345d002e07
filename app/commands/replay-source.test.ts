import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync, gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openReplaySource, parseReplayMapping, type ReplayMapping } from './replay-source.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'potok-replay-'))
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

function example(name: string): URL {
  return new URL(`../../examples/los-loop/${name}`, import.meta.url)
}

function parsed(mapping: object): ReplayMapping {
  return parseReplayMapping(JSON.stringify(mapping))
}

function stampRow(timestamp: string): string {
  return `{"kvfv_id":"a","timestamp":"${timestamp}","vehicle_speed":1}\n`
}

async function replay(name: string, content: string | Buffer, mapping?: ReplayMapping) {
  const file = join(directory, name)
  writeFileSync(file, content)
  const source = await openReplaySource(mapping === undefined ? { file } : { file, mapping })
  const events: unknown[] = []
  for await (const batch of source.batches()) {
    for (const { line } of batch) events.push(JSON.parse(line))
  }
  expect(source.readBytes()).toBe(source.totalBytes)
  return events
}

const wide: ReplayMapping = {
  format: 'wide',
  start: '2012-03-11T01:55:00',
  stepSeconds: 300,
  timeZone: 'America/Los_Angeles',
  unit: 'mph',
}

describe('replay source', () => {
  it('turns a wide table into one event per cell, in elapsed time across a clock change', async () => {
    expect(await replay('wide.csv', 'a,b\n60,10.5\n,0\n', wide)).toEqual([
      { kvfv_id: 'a', timestamp: '2012-03-11T01:55:00-08:00', vehicle_speed: 96.561 },
      { kvfv_id: 'b', timestamp: '2012-03-11T01:55:00-08:00', vehicle_speed: 16.898 },
      { kvfv_id: 'b', timestamp: '2012-03-11T03:00:00-07:00', vehicle_speed: 0 },
    ])
  })

  it('gives 417,312 events of the Los Angeles file, each as the file says', async () => {
    const mapping = parseReplayMapping(readFileSync(example('mapping.json'), 'utf8'))
    const file = example('los-loop-speeds.csv.gz').pathname
    const lines = gunzipSync(readFileSync(file)).toString().trim().split('\n')
    const rows = lines.map((line) => line.split(','))
    const source = await openReplaySource({ file, mapping })
    const startMs = Date.UTC(2012, 2, 1, 8)
    let n = 0
    let wrong = 0
    for await (const batch of source.batches()) {
      for (const { kvfvId, line } of batch) {
        const row = Math.floor(n / 207)
        const column = n % 207
        const event = JSON.parse(line) as Record<string, unknown>
        const mph = Number(rows[row + 1]?.[column])
        const same =
          kvfvId === rows[0]?.[column] &&
          event['kvfv_id'] === kvfvId &&
          Date.parse(event['timestamp'] as string) === startMs + row * 300_000 &&
          Math.abs((event['vehicle_speed'] as number) - mph * 1.609344) <= 0.0005
        if (!same) wrong++
        n++
      }
    }
    expect(n).toBe(417_312)
    expect(wrong).toBe(0)
  })

  it('takes potok’s own field names from CSV and NDJSON without a mapping', async () => {
    const event = {
      kvfv_id: 'KV1',
      timestamp: '2025-04-05T10:15:30Z',
      vehicle_speed: 85.2,
      plate_number: 'А123БВ68',
    }
    const csv = `kvfv_id,timestamp,vehicle_speed,plate_number,lane\nKV1,${event.timestamp},85.2,А123БВ68,2\n`
    expect(await replay('own.csv', `\uFEFF${csv}`)).toEqual([{ ...event, lane: '2' }])
    expect(await replay('own.ndjson', `${JSON.stringify(event)}\r\n\n`)).toEqual([event])
    expect(await replay('own.data', gzipSync(`${JSON.stringify(event)}\n`))).toEqual([event])
  })

  it('maps names, epoch numbers, units and zones of a narrow table', async () => {
    const mapping = parseReplayMapping(
      JSON.stringify({
        format: 'narrow',
        delimiter: ';',
        fields: { kvfv_id: 'sensor', timestamp: 't', vehicle_speed: 'v' },
        epoch: 'ms',
        unit: 'mph',
      }),
    )
    expect(await replay('narrow.csv', 'sensor;t;v;note\n7;1743848130250;60;x\n', mapping)).toEqual([
      { kvfv_id: '7', timestamp: '2025-04-05T10:15:30.250Z', vehicle_speed: 96.561, note: 'x' },
    ])
    const local: ReplayMapping = { format: 'narrow', timeZone: 'Europe/Moscow' }
    const stamps = await replay(
      'local.ndjson',
      stampRow('2025-04-05 10:15:30.123456') +
        stampRow('2025-04-05T10:15:30Z') +
        stampRow('yesterday'),
      local,
    )
    expect(stamps.map((event) => (event as { timestamp: string }).timestamp)).toEqual([
      '2025-04-05T10:15:30.123456+03:00',
      '2025-04-05T10:15:30Z',
      'yesterday',
    ])
  })

  it('passes on what it can’t convert, for the gateway to refuse by name', async () => {
    const file = join(directory, 'bad.ndjson')
    writeFileSync(file, '{"kvfv_id":"a"\n[1]\n')
    const source = await openReplaySource({ file })
    const lines: string[] = []
    for await (const batch of source.batches()) lines.push(...batch.map(({ line }) => line))
    expect(lines).toEqual(['{"kvfv_id":"a"', '[1]'])
    expect(await replay('bad.csv', 'a\nfast\n', wide)).toMatchObject([{ vehicle_speed: 'fast' }])
  })

  it('reads stdin', async () => {
    const stdin = Readable.from([
      Buffer.from('{"kvfv_id":"a","timestamp":"x",'),
      '"vehicle_speed":1}',
    ])
    const source = await openReplaySource({ file: '-', stdin })
    const ids: string[] = []
    for await (const batch of source.batches()) ids.push(...batch.map(({ kvfvId }) => kvfvId))
    expect(ids).toEqual(['a'])
    expect(source.totalBytes).toBeNull()
  })

  it('refuses a mapping that is wrong or doesn’t fit, and a file that is damaged or missing', async () => {
    expect(() => parsed({ format: 'tall' })).toThrow(/mapping is wrong/)
    expect(() => parsed({ ...wide, unit: 'knots' })).toThrow(/unit/)
    expect(() => parsed({ ...wide, timeZone: 'Mars/Olympus' })).toThrow(/time zone/)
    expect(() => parsed({ ...wide, start: 'monday' })).toThrow(/start monday/)
    expect(() => parsed({ ...wide, sped: 1 })).toThrow(/sped/)
    expect(() => parseReplayMapping('{')).toThrow(/no JSON/)
    await expect(replay('x.csv', 'id,time,speed\n1,2,3\n')).rejects.toMatchObject({
      kind: 'InvalidInput',
      message: expect.stringContaining('no column kvfv_id') as string,
    })
    await expect(replay('ragged.csv', 'a,b\n1,2\n1\n', wide)).rejects.toThrow(/line 3/)
    await expect(replay('twice.csv', 'a,a\n1,2\n', wide)).rejects.toThrow(/column a twice/)
    const torn = gzipSync('a,b\n1,2\n'.repeat(9)).subarray(0, 20)
    await expect(replay('torn.csv.gz', torn, wide)).rejects.toMatchObject({ kind: 'InvalidInput' })
    const tornJson = gzipSync('{"a":1}\n').subarray(0, 17)
    await expect(replay('torn.ndjson.gz', tornJson)).rejects.toMatchObject({ kind: 'InvalidInput' })
    await expect(openReplaySource({ file: join(directory, 'none') })).rejects.toMatchObject({
      kind: 'NotFound',
    })
  })
})
