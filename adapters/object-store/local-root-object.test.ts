import { copyFile, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rootObjectContract } from '../../testkit/contracts/root-object.ts'
import { createLocalRootObject } from './local-root-object.ts'
import { createMemoryRootObject } from './memory-root-object.ts'

rootObjectContract('a local folder', async () => {
  const path = await mkdtemp(join(tmpdir(), 'potok-root-'))
  return {
    connect: () => createLocalRootObject({ directory: join(path, 'a', 'root') }),
    close: () => rm(path, { recursive: true, force: true }),
  }
})
rootObjectContract('memory', async () => {
  const root = createMemoryRootObject()
  return { connect: () => root, close: async () => undefined }
})

describe('local root object', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'potok-root-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  async function swapTimes(times: number, from: string | null = null): Promise<string> {
    const root = createLocalRootObject({ directory })
    let version = from
    for (let i = 0; i < times; i++) {
      const result = await root.swap(version, new TextEncoder().encode(`content ${i}`))
      if (!result.won) throw new Error('lost')
      version = result.version
    }
    return version as string
  }

  it('keeps the last generations only', async () => {
    await swapTimes(40)
    const names = await readdir(directory)
    expect(names).toHaveLength(16)
    expect(names).toContain('root-40')
  })

  it('reports a torn root, and never falls back to the one before', async () => {
    await swapTimes(2)
    await truncate(join(directory, 'root-2'), 90)
    const root = createLocalRootObject({ directory })
    await expect(root.read()).rejects.toMatchObject({ kind: 'DataCorrupt' })
  })

  it('reports a changed byte', async () => {
    await swapTimes(1)
    await writeFile(join(directory, 'root-1'), 'x', { flag: 'a' })
    await expect(createLocalRootObject({ directory }).read()).rejects.toThrow(/torn or was changed/)
  })

  it('reports a file that carries another generation than its name', async () => {
    await swapTimes(1)
    await copyFile(join(directory, 'root-1'), join(directory, 'root-2'))
    const root = createLocalRootObject({ directory })
    await expect(root.read()).rejects.toMatchObject({ kind: 'DataCorrupt' })
  })

  it('reports a root that went back or has gone while it looked on', async () => {
    await swapTimes(3)
    const root = createLocalRootObject({ directory })
    expect(await root.version()).toBe('3')
    await rm(join(directory, 'root-3'))
    await expect(root.version()).rejects.toThrow(/went back from generation 3 to 2/)
    await rm(directory, { recursive: true })
    await expect(root.read()).rejects.toThrow(/has gone/)
  })

  it('takes no look that was overtaken by a later one for a root that went back', async () => {
    let version = await swapTimes(1)
    const root = createLocalRootObject({ directory })
    const writer = createLocalRootObject({ directory })
    const state = { stopped: false }
    const look = async () => {
      while (!state.stopped) await root.version()
    }
    const looking = Promise.all([look(), look(), look(), look(), look(), look()])
    for (let i = 0; i < 80; i++) {
      const result = await writer.swap(version, new TextEncoder().encode(`content ${i}`))
      if (!result.won) throw new Error('lost')
      version = result.version
    }
    state.stopped = true
    await looking
    expect(await root.version()).toBe(version)
  })

  it('refuses a root of a newer format', async () => {
    await writeFile(
      join(directory, 'root-1'),
      `potok-root 2 generation=1 bytes=0 sha256=${'0'.repeat(64)}\n`,
    )
    const root = createLocalRootObject({ directory })
    await expect(root.read()).rejects.toMatchObject({ kind: 'Unsupported' })
  })

  it('is not disturbed by temporary files of a crash, and removes them in the end', async () => {
    await swapTimes(1)
    await writeFile(join(directory, '.root-tmp-2-dead'), 'half')
    const root = createLocalRootObject({ directory })
    expect(await root.version()).toBe('1')
    await swapTimes(20, '1')
    expect(await readdir(directory)).not.toContain('.root-tmp-2-dead')
  })

  it('never says won to a client that slept while the root moved past what is kept', async () => {
    const stale = await swapTimes(1)
    const sleeper = createLocalRootObject({ directory })
    await swapTimes(30, stale)
    expect(await sleeper.swap(stale, new Uint8Array(1))).toEqual({ won: false })
    expect(await sleeper.version()).toBe('31')
  })
})
