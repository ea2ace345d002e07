import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createS3FileCache, type S3FileCache } from './s3-file-cache.ts'

const leaseMs = 1_000

describe('the cache of local copies', () => {
  let folder: string
  let nowMs: number
  let fetched: string[]
  let cache: S3FileCache
  const open = (): S3FileCache =>
    createS3FileCache({ folder, sizeBytesMax: 100, leaseMs, nowMs: () => nowMs })
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'potok-cache-'))
    nowMs = 1_000_000
    fetched = []
    cache = open()
  })
  afterEach(async () => {
    cache.close()
    await rm(folder, { recursive: true, force: true })
  })

  async function get(from: S3FileCache, location: string, text = location): Promise<string> {
    return await from.get(location, async (file) => {
      fetched.push(location)
      await file.write(text)
      return Buffer.byteLength(text)
    })
  }
  const files = (): string[] => readdirSync(folder).filter((name) => !name.startsWith('index.'))

  it('fetches once and gives the same file to all, also to another process', async () => {
    const path = await get(cache, 's3://b/t/one.parquet')
    expect(path).toMatch(/one\.parquet$/)
    expect(readFileSync(path, 'utf8')).toBe('s3://b/t/one.parquet')
    const other = open()
    expect(await get(other, 's3://b/t/one.parquet')).toBe(path)
    other.close()
    expect(fetched).toHaveLength(1)
  })

  it('lets the files unused for longest go, and none that was given out since', async () => {
    const [a, b] = [await get(cache, 'a', 'x'.repeat(40)), await get(cache, 'b', 'x'.repeat(40))]
    nowMs += leaseMs + 1
    await get(cache, 'a')
    const c = await get(cache, 'c', 'x'.repeat(40))
    expect([a, b, c].map((path) => existsSync(path))).toEqual([true, false, true])
    expect(await get(cache, 'b', 'x'.repeat(10))).not.toBe(b)
  })

  it('goes above its limit rather than take away what was just given out', async () => {
    const paths = []
    for (let i = 0; i < 5; i++) paths.push(await get(cache, `big-${i}`, 'x'.repeat(60)))
    expect(paths.every((path) => existsSync(path))).toBe(true)
    nowMs += leaseMs + 1
    await get(cache, 'next', 'x')
    expect(files()).toHaveLength(2)
  })

  it('keeps nothing of a fetch that failed', async () => {
    const broken = cache.get('x', async (file) => {
      await file.write('half')
      throw new Error('lost')
    })
    await expect(broken).rejects.toThrow('lost')
    expect(files()).toEqual([])
    expect(readFileSync(await get(cache, 'x'), 'utf8')).toBe('x')
  })

  it('fetches again what was deleted or cut by hand', async () => {
    const path = await get(cache, 'x', 'whole')
    writeFileSync(path, 'cut')
    const again = await get(cache, 'x', 'whole')
    expect(readFileSync(again, 'utf8')).toBe('whole')
    await rm(again)
    expect(readFileSync(await get(cache, 'x', 'whole'), 'utf8')).toBe('whole')
  })

  it('says what may be done where its index is broken', async () => {
    writeFileSync(join(folder, 'index.sqlite'), 'no database'.repeat(100))
    await expect(get(cache, 'x')).rejects.toMatchObject({
      kind: 'Unavailable',
      message: /may be deleted while no potok runs/,
    })
  })

  it('takes an uploaded file for the first copy', async () => {
    const staged = cache.stagingPath('s3://b/one.parquet')
    await writeFile(staged, 'bytes')
    await cache.take('s3://b/one.parquet', staged, 5)
    expect(existsSync(staged)).toBe(false)
    expect(readFileSync(await get(cache, 's3://b/one.parquet'), 'utf8')).toBe('bytes')
    expect(fetched).toEqual([])
  })

  it('removes what crashes left, and no copy', async () => {
    const kept = await get(cache, 'kept')
    const [old, young] = [cache.stagingPath('old'), cache.stagingPath('young')]
    writeFileSync(old, '')
    writeFileSync(young, '')
    const longAgo = new Date(0)
    utimesSync(old, longAgo, longAgo)
    utimesSync(kept, longAgo, longAgo)
    nowMs = Date.now()
    await cache.removeLeftovers(60_000)
    expect([kept, old, young].map((path) => existsSync(path))).toEqual([true, false, true])
  })

  it('gives only paths that are there, while threads fill and empty it together', async () => {
    const module = pathToFileURL(join(import.meta.dirname, 's3-file-cache.ts')).href
    const code = (seed: number): string => `
      const { createS3FileCache } = await import(${JSON.stringify(module)})
      const { readFileSync } = await import('node:fs')
      const { parentPort } = await import('node:worker_threads')
      const leaseMs = 100
      const cache = createS3FileCache({
        folder: ${JSON.stringify(folder)}, sizeBytesMax: 50, leaseMs, nowMs: Date.now })
      let bad = 0
      for (let i = 0; i < 200; i++) {
        const startMs = Date.now()
        const name = 'n' + (i * ${seed}) % 23
        const path = await cache.get(name, async (file) => {
          await file.write(name.repeat(4))
          return name.length * 4
        })
        let text = ''
        try { text = readFileSync(path, 'utf8') } catch {}
        // A thread that was held up for longer than the lease has lost its claim.
        if (text !== name.repeat(4) && Date.now() - startMs < leaseMs) bad++
      }
      cache.close()
      parentPort.postMessage(bad)`
    const bad = await Promise.all(
      [3, 5, 7, 11].map(
        (seed) =>
          new Promise((resolve, reject) => {
            const url = new URL(`data:text/javascript,${encodeURIComponent(code(seed))}`)
            const worker = new Worker(url)
            worker.once('message', resolve)
            worker.once('error', reject)
          }),
      ),
    )
    expect(bad).toEqual([0, 0, 0, 0])
    nowMs = Date.now() + 10_000
    await get(cache, 'last', 'x')
    // The limit of this one is 100 bytes, and none of the files has fewer than 8 but the last.
    expect(files().length).toBeLessThan(14)
  })
})
