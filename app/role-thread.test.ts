import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createRoleThread } from './role-thread.ts'
import { readSettings } from './settings.ts'

describe('a role whose thread could not start', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'potok-role-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('says so once, and is stopped without waiting for an answer', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    const deaths: Error[] = []
    const settings = readSettings({ data: join(file, 'data') }, {})
    const role = createRoleThread('writer', settings, (error) => deaths.push(error))
    await expect(role.start()).rejects.toThrow(/writer: .*ENOTDIR/)
    // By then the thread has ended: nobody is there to answer.
    await delay(300)
    const begunMs = performance.now()
    await role.stop(20_000)
    expect(performance.now() - begunMs).toBeLessThan(5_000)
    expect(deaths).toEqual([])
  })
})
