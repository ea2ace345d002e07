/**
 * kill -9 of a real process before every call that its catalog makes to the file system: in the short form
 * before those that change something, with POTOK_SIM_SEEDS (the long form) before each.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openLocalCatalog, setProperty, stepsLeft } from '../../testkit/local-catalog-steps.ts'

const program = resolve(import.meta.dirname, '../../testkit/killed-catalog.ts')
const counted = process.env['POTOK_SIM_SEEDS'] === undefined ? 'changes' : 'all'
const processesAtOnce = 2
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potok-kill-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function run(
  warehouse: string,
  killAt: number,
): Promise<{ lines: string[]; signal: string }> {
  const child = spawn(process.execPath, [program, warehouse, counted, String(killAt)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  const signal = await new Promise<string>((done, failed) => {
    child.on('error', failed)
    child.on('close', (_code, name) => done(name ?? ''))
  })
  return { lines: text.split('\n').filter((line) => line !== ''), signal }
}

async function killBefore(call: number): Promise<void> {
  const warehouse = join(folder, String(call))
  const { lines, signal } = await run(warehouse, call)
  expect([call, signal]).toEqual([call, 'SIGKILL'])
  const done = lines.map((line) => line.slice('done '.length))
  const catalog = openLocalCatalog(warehouse)
  const left = await stepsLeft(catalog)
  expect([call, left.slice(0, done.length)]).toEqual([call, done])
  expect(left.length).toBeLessThanOrEqual(done.length + 1)
  if (left.includes('table')) await setProperty(catalog, 'later')
  else await catalog.createNamespace(['later'])
}

it('keeps what was acknowledged, and at most one step more, wherever the process is killed', async () => {
  const whole = await run(join(folder, 'whole'), 0)
  const calls = Number(whole.lines.at(-1)?.slice('end '.length))
  expect(calls).toBeGreaterThan(20)
  let next = 1
  const worker = async (): Promise<void> => {
    while (next <= calls) await killBefore(next++)
  }
  await Promise.all(Array.from({ length: processesAtOnce }, worker))
})
