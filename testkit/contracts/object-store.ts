/** What every ObjectStore promises; run over each adapter. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ObjectStore } from '../../kernel/ports.ts'

export type ObjectStoreUnderTest = {
  store: ObjectStore
  /** Ends with a slash; everything under it is the test's. */
  prefix: string
  close: () => Promise<void>
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

async function locationsUnder(store: ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const object of store.list(prefix)) found.push(object.location)
  return found.sort()
}

export function objectStoreContract(name: string, open: () => Promise<ObjectStoreUnderTest>): void {
  describe(`object store: ${name}`, () => {
    let store: ObjectStore
    let prefix: string
    let close: () => Promise<void>
    beforeEach(async () => {
      const opened = await open()
      store = opened.store
      prefix = opened.prefix
      close = opened.close
    })
    afterEach(() => close())

    it('gives back what was written, whole and by range', async () => {
      await store.write(`${prefix}a/b/c.bin`, bytesOf('0123456789'))
      expect(textOf(await store.read(`${prefix}a/b/c.bin`))).toBe('0123456789')
      const range = { byteOffset: 3, lengthBytes: 4 }
      expect(textOf(await store.read(`${prefix}a/b/c.bin`, range))).toBe('3456')
    })

    it('keeps empty objects', async () => {
      await store.write(`${prefix}empty`, new Uint8Array(0))
      expect((await store.stat(`${prefix}empty`))?.sizeBytes).toBe(0)
      expect((await store.read(`${prefix}empty`)).length).toBe(0)
    })

    it('refuses a range beyond the end instead of giving less', async () => {
      await store.write(`${prefix}short`, bytesOf('abc'))
      await expect(
        store.read(`${prefix}short`, { byteOffset: 1, lengthBytes: 9 }),
      ).rejects.toMatchObject({ kind: 'DataCorrupt' })
    })

    it('says NotFound for what is not there, and null to a look at it', async () => {
      await expect(store.read(`${prefix}none`)).rejects.toMatchObject({ kind: 'NotFound' })
      expect(await store.stat(`${prefix}none`)).toBeNull()
    })

    it('never replaces an object', async () => {
      await store.write(`${prefix}once`, bytesOf('first'))
      await expect(store.write(`${prefix}once`, bytesOf('second'))).rejects.toMatchObject({
        kind: 'AlreadyExists',
      })
      expect(textOf(await store.read(`${prefix}once`))).toBe('first')
    })

    it('lets one of 32 writers of the same name win, and keeps what the winner wrote', async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 32 }, (_, i) => store.write(`${prefix}race`, bytesOf(`writer ${i}`))),
      )
      const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []))
      expect(winners).toHaveLength(1)
      expect(textOf(await store.read(`${prefix}race`))).toBe(`writer ${winners[0]}`)
      for (const result of results) {
        if (result.status === 'rejected') {
          expect(result.reason).toMatchObject({ kind: 'AlreadyExists' })
        }
      }
    })

    it('lists by prefix of the location, also in the middle of a name', async () => {
      for (const name of ['t/data/1', 't/data/2', 't/metadata/1', 't2/data/1', 'u']) {
        await store.write(prefix + name, bytesOf(name))
      }
      expect(await locationsUnder(store, `${prefix}t/`)).toEqual(
        ['t/data/1', 't/data/2', 't/metadata/1'].map((name) => prefix + name),
      )
      expect(await locationsUnder(store, `${prefix}t`)).toHaveLength(4)
      expect(await locationsUnder(store, `${prefix}t/da`)).toHaveLength(2)
      expect(await locationsUnder(store, `${prefix}nothing/`)).toEqual([])
    })

    it('tells size and time of an object in lists as in a look at it', async () => {
      await store.write(`${prefix}x/one`, bytesOf('four'))
      for await (const object of store.list(`${prefix}x/`)) {
        expect(object).toEqual(await store.stat(`${prefix}x/one`))
        expect(object.sizeBytes).toBe(4)
        expect(Math.abs(object.modifiedMs - Date.now())).toBeLessThan(60_000)
      }
    })

    it('deletes, and does not mind what is not there', async () => {
      await store.write(`${prefix}gone`, bytesOf('x'))
      await store.delete([`${prefix}gone`, `${prefix}never/was`])
      expect(await store.stat(`${prefix}gone`)).toBeNull()
      await store.write(`${prefix}gone`, bytesOf('again'))
    })

    it('adopts a staged file under its final name and takes it away from where it was', async () => {
      const staged = await store.stagingPath(`${prefix}d/file.parquet`)
      await writeFile(staged, 'PAR1')
      expect(await locationsUnder(store, prefix)).toEqual([])
      const adopted = await store.adopt(staged, `${prefix}d/file.parquet`)
      expect(adopted).toMatchObject({ location: `${prefix}d/file.parquet`, sizeBytes: 4 })
      expect(textOf(await store.read(`${prefix}d/file.parquet`))).toBe('PAR1')
      await expect(stat(staged)).rejects.toMatchObject({ code: 'ENOENT' })
    })

    it('adopts a file from any folder, and never over an object', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'potok-adopt-'))
      try {
        await writeFile(join(folder, 'one'), '1')
        await writeFile(join(folder, 'two'), '2')
        await store.adopt(join(folder, 'one'), `${prefix}adopted`)
        await expect(store.adopt(join(folder, 'two'), `${prefix}adopted`)).rejects.toMatchObject({
          kind: 'AlreadyExists',
        })
        expect(textOf(await store.read(`${prefix}adopted`))).toBe('1')
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    })

    it('gives a path on the local disk where an engine reads the object', async () => {
      await store.write(`${prefix}for-engine`, bytesOf('bytes'))
      const path = await store.localPath(`${prefix}for-engine`)
      expect((await stat(path)).size).toBe(5)
    })
  })
}
