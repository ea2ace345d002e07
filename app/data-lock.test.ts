import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, it } from 'vitest'
import { acquireDataLock, readRunning, tryDataLock } from './data-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'potok-lock-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('one process holds the lock; the next is told who', () => {
  const lock = acquireDataLock(folder)
  lock.announce({ pid: process.pid, startedAt: 'now', url: 'http://here', catalogUrl: null })
  const script = `
    import { acquireDataLock } from ${JSON.stringify(join(import.meta.dirname, 'data-lock.ts'))}
    try { acquireDataLock(${JSON.stringify(folder)}); console.log('got it') } catch (error) { console.log(error.message) }`
  const other = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  })
  expect(other.stdout).toContain(`process ${process.pid}, http://here`)
  lock.release()
  expect(readRunning(folder)).toBe(null)
})

it('who starts while another process only asks whether the lock is free gets it', async () => {
  const asking = acquireDataLock(folder)
  const script = `
    import { acquireDataLock } from ${JSON.stringify(join(import.meta.dirname, 'data-lock.ts'))}
    console.log('trying')
    acquireDataLock(${JSON.stringify(folder)})`
  const starting = spawn(process.execPath, ['--input-type=module', '-e', script])
  await once(starting.stdout, 'data')
  await delay(50)
  asking.release()
  const [exitCode] = (await once(starting, 'exit')) as [number]
  expect(exitCode).toBe(0)
})

it('the lock of a process that was killed is free', () => {
  const script = `
    import { acquireDataLock } from ${JSON.stringify(join(import.meta.dirname, 'data-lock.ts'))}
    acquireDataLock(${JSON.stringify(folder)}); process.kill(process.pid, 'SIGKILL')`
  const killed = spawnSync(process.execPath, ['--input-type=module', '-e', script])
  expect(killed.signal).toBe('SIGKILL')
  const lock = tryDataLock(folder)
  expect(lock).not.toBe(null)
  lock?.release()
})
