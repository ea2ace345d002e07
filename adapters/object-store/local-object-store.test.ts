import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { objectStoreContract } from '../../testkit/contracts/object-store.ts'
import { createLocalObjectStore } from './local-object-store.ts'
import { createMemoryObjectStore } from './memory-object-store.ts'

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'potok-store-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

objectStoreContract('a local folder', async () => {
  const folder = await temporaryFolder()
  const store = createLocalObjectStore({ root: folder.path })
  return { store, prefix: `file://${folder.path}/warehouse/`, close: folder.remove }
})
objectStoreContract('a local folder without a root', async () => {
  const folder = await temporaryFolder()
  return {
    store: createLocalObjectStore(),
    prefix: `file://${folder.path}/`,
    close: folder.remove,
  }
})
objectStoreContract('memory', async () => {
  const store = createMemoryObjectStore()
  return { store, prefix: 'memory://warehouse/', close: () => store.close() }
})

describe('local object store', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  beforeEach(async () => {
    folder = await temporaryFolder()
  })
  afterEach(() => folder.remove())

  it('takes file:/p, file:///p, file://localhost/p and /p for the same object', async () => {
    const store = createLocalObjectStore({ root: folder.path })
    await store.write(`file:${folder.path}/x`, new Uint8Array([7]))
    for (const location of [`file://${folder.path}/x`, `file://localhost${folder.path}/x`]) {
      expect((await store.read(location))[0]).toBe(7)
      expect((await store.stat(location))?.location).toBe(`file://${folder.path}/x`)
    }
    expect((await store.read(`${folder.path}/x`))[0]).toBe(7)
  })

  it('refuses locations with .., with a host, with another scheme', async () => {
    const store = createLocalObjectStore({ root: folder.path })
    for (const location of [
      `file://${folder.path}/a/../../x`,
      'file://host/x',
      's3://b/x',
      'file:x',
    ]) {
      await expect(store.read(location)).rejects.toMatchObject({ kind: 'InvalidInput' })
    }
  })

  it('hides what a crash left half written, and removes it when it is old', async () => {
    const store = createLocalObjectStore({ root: folder.path })
    const staged = await store.stagingPath(`file://${folder.path}/t/data/x.parquet`)
    await writeFile(staged, 'half')
    const listed = []
    for await (const object of store.list(`file://${folder.path}/`)) listed.push(object)
    expect(listed).toEqual([])
    const nowMs = Date.now()
    expect(await store.removeLeftovers({ nowMs, olderThanMs: 60_000 })).toBe(0)
    await utimes(staged, 1, 1)
    expect(await store.removeLeftovers({ nowMs, olderThanMs: 60_000 })).toBe(1)
  })

  it('leaves no temporary file behind, won or lost', async () => {
    const store = createLocalObjectStore({ root: folder.path })
    const location = `file://${folder.path}/t/x`
    await store.write(location, new Uint8Array(3))
    await store.write(location, new Uint8Array(3)).catch(() => undefined)
    expect(await readdir(join(folder.path, '.potok-staging'))).toEqual([])
    expect(await readdir(join(folder.path, 't'))).toEqual(['x'])
  })

  it('makes a folder again that was removed behind its back', async () => {
    const store = createLocalObjectStore({ root: folder.path })
    await store.write(`file://${folder.path}/t/1`, new Uint8Array(1))
    await rm(join(folder.path, 't'), { recursive: true })
    await store.write(`file://${folder.path}/t/2`, new Uint8Array(1))
    expect(await readdir(join(folder.path, 't'))).toEqual(['2'])
  })

  it('names the path and the reason where the disk refuses', async () => {
    const store = createLocalObjectStore({ root: folder.path })
    await writeFile(join(folder.path, 'file'), '')
    await expect(
      store.write(`file://${folder.path}/file/below`, new Uint8Array(1)),
    ).rejects.toThrow(/could not write .*\/file\/below: .*(a part of the path|exists already)/)
    await mkdir(join(folder.path, 'folder'))
    await expect(store.read(`file://${folder.path}/folder`)).rejects.toThrow(/a folder, not a file/)
  })
})
