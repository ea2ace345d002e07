/**
 * The log is deleted and made anew beneath the tables: sinks halt and say so everywhere, and go on where
 * somebody says, without a restart; what was left out is on record and the audit closes per epoch.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import {
  eventsNamed,
  eventually,
  postEvents,
  potokStatus,
  readiness,
  runPotok,
  startPotok,
  temporaryFolder,
} from '../../testkit/potok-process.ts'

type Reset = {
  done: boolean
  log_epoch: number
  halted: { writer: string | null; rollups: string | null }
  partitions: { problem: string | null; skipped: number; events: { from: number; to: number } }[]
}

describe('a log that was deleted and made anew', () => {
  const folder = temporaryFolder('reset')
  const data = join(folder.path, 'data')
  afterAll(folder.remove)

  const start = () => startPotok(data, ['--recompute-schedule', 'off', '--log-partitions', '3'])
  const status = () => potokStatus(['--data', data])
  const rowsAre = (rows: number) =>
    eventually(
      `${rows} rows`,
      async () => {
        const now = await status()
        return now.code === 0 && now.tables['events']?.rows === rows && now.lag['rollup_5m'] === 0
          ? now
          : null
      },
      90_000,
    )
  const reset = (...args: string[]) => runPotok(['ingest', 'reset', '--data', data, ...args])

  it('halts the sinks until somebody says where to go on, and then nothing is unaccounted for', async () => {
    let potok = await start()
    expect((await postEvents(potok.url, eventsNamed('a', 300))).status).toBe(202)
    await rowsAre(300)
    const fine = await reset('--to', 'start')
    expect(fine.code).toBe(2)
    expect(fine.stderr).toContain('nothing to reset')
    await potok.kill('SIGTERM')
    rmSync(join(data, 'log'), { recursive: true })

    potok = await start()
    expect((await postEvents(potok.url, eventsNamed('b', 120))).status).toBe(202)
    const red = await eventually('a red readiness', async () => {
      const now = await readiness(potok.url)
      return now.text.includes('topic id') ? now : null
    })
    expect(red.status).toBe(503)
    expect(red.text).toContain('ingest reset --to start')
    await eventually('metrics that name the case', async () => {
      const metrics = await (await fetch(`${potok.url}/metrics`)).text()
      return ['writer', 'rollups'].every((service) =>
        metrics.includes(`potok_sink_halted{service="${service}",case="log_replaced"} 1`),
      )
        ? true
        : null
    })
    const told = await status()
    expect(told.code).toBe(3)
    expect(told.sinks).toMatchObject({
      events: { halted: 'log_replaced' },
      rollup_5m: { halted: 'log_replaced' },
    })
    expect(told.problems.map(({ part }) => part)).toEqual(['writer', 'rollups'])

    const dry = await reset('--to', 'start', '--dry-run', '--json')
    expect(JSON.parse(dry.stdout) as Reset).toMatchObject({ done: false, log_epoch: 1 })
    expect((await status()).tables['events']?.rows).toBe(300)
    const done = JSON.parse((await reset('--to', 'start', '--json')).stdout) as Reset
    expect(done).toMatchObject({ done: true, halted: { writer: 'log_replaced' } })
    expect(done.partitions.map(({ events }) => events.to)).toEqual([0, 0, 0])
    await rowsAre(420)
    // A thread tells its health twice a second: rows may be there before it has.
    await eventually('all well again', async () =>
      (await readiness(potok.url)).status === 200 ? true : null,
    )
    expect((await reset('--to', 'end')).stderr).toContain('nothing to reset')
    await potok.kill('SIGTERM')

    // Once more, and what the new log holds is left out.
    rmSync(join(data, 'log'), { recursive: true })
    potok = await start()
    expect((await postEvents(potok.url, eventsNamed('c', 60))).status).toBe(202)
    await eventually('a red status', async () => ((await status()).code === 3 ? true : null))
    const skipped = await reset('--to', 'end')
    expect(skipped.stdout).toContain('60 offsets are left out')
    expect((await postEvents(potok.url, eventsNamed('d', 10))).status).toBe(202)
    await rowsAre(430)
    await potok.kill('SIGTERM')

    const verify = await runPotok(['verify', '--data', data, '--json'])
    const report = JSON.parse(verify.stdout) as {
      checks: { check: string; counts: Record<string, number>; findings: unknown[] }[]
    }
    expect(report.checks.flatMap(({ findings }) => findings)).toEqual([])
    const positions = report.checks.find(({ check }) => check === 'log-positions')
    expect(positions?.counts).toMatchObject({ records: 490, former_epochs: 6 })
  })

  it('is a problem of its own while it is not there', async () => {
    rmSync(join(data, 'log'), { recursive: true })
    const now = await status()
    expect(now.code).toBe(3)
    expect(now.problems).toMatchObject([{ part: 'log' }])
    expect(now.tables['events']?.rows).toBe(430)
    expect(now.lag['events']).toBe(null)
  })
})
