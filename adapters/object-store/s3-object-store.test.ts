import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { objectStoreContract } from '../../testkit/contracts/object-store.ts'
import { type S3Fault, type ScriptedS3, startScriptedS3 } from '../../testkit/scripted-s3.ts'
import { createS3Api, type S3Api } from './s3-api.ts'
import { createS3ObjectStore, type S3ObjectStore } from './s3-object-store.ts'

const partBytes = 1_000
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

type Opened = {
  s3: ScriptedS3
  api: S3Api
  store: S3ObjectStore
  folder: string
  close: () => Promise<void>
}

async function open(): Promise<Opened> {
  const s3 = await startScriptedS3({ listPageSize: 2 })
  const api = createS3Api({ ...s3.options, requestTimeoutMs: 500 })
  const folder = await mkdtemp(join(tmpdir(), 'potok-s3-unit-'))
  const store = createS3ObjectStore({
    api,
    cacheFolder: join(folder, 'cache'),
    cacheBytesMax: 1_000_000,
    partBytes,
    sleep: async () => undefined,
    random: () => 0.5,
  })
  const close = async (): Promise<void> => {
    store.close()
    await api.close()
    await s3.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { s3, api, store, folder, close }
}

objectStoreContract('S3, a scripted store with pages of two', async () => {
  const { store, close } = await open()
  return { store, prefix: 's3://lake/run/', close }
})

describe('the S3 object store', () => {
  let s3: ScriptedS3
  let store: S3ObjectStore
  let folder: string
  let close: () => Promise<void>
  beforeEach(async () => {
    ;({ s3, store, folder, close } = await open())
  })
  afterEach(() => close())

  /** Faults of the next requests of one kind, in order. */
  function script(operation: string, ...faults: (S3Fault | null)[]): void {
    s3.fault = (call) => (call.operation === operation ? (faults.shift() ?? null) : null)
  }
  async function staged(sizeBytes: number): Promise<{ path: string; bytes: Buffer }> {
    const path = join(folder, 'staged')
    const bytes = Buffer.from(Array.from({ length: sizeBytes }, (_, i) => (i * 7) % 251))
    await writeFile(path, bytes)
    return { path, bytes }
  }
  const contentOf = (key: string): string | undefined => s3.objects.get(key)?.bytes.toString()

  it('writes once though the answer is lost, and knows its own write by its id', async () => {
    script('put', 'cut-after', { status: 503, code: 'SlowDown' }, 'cut-after')
    await store.write('s3://lake/a', bytesOf('mine'))
    expect(contentOf('a')).toBe('mine')
    await expect(store.write('s3://lake/a', bytesOf('mine'))).rejects.toMatchObject({
      kind: 'AlreadyExists',
    })
  })

  it('says AlreadyExists of another’s object also after an answer of its own was lost', async () => {
    script('put', 'cut-before')
    const first = s3.fault
    s3.fault = (call) => {
      const fault = first(call)
      if (fault !== null)
        s3.objects.set('a', { bytes: Buffer.from('theirs'), metadata: {}, modified: new Date() })
      return fault
    }
    await expect(store.write('s3://lake/a', bytesOf('mine'))).rejects.toMatchObject({
      kind: 'AlreadyExists',
    })
    expect(contentOf('a')).toBe('theirs')
  })

  it('leaves the outcome unknown where it can not be found out', async () => {
    s3.fault = () => 'cut-after'
    await expect(store.write('s3://lake/a', bytesOf('mine'))).rejects.toMatchObject({
      kind: 'Unavailable',
    })
    s3.fault = () => 'silent'
    await expect(store.stat('s3://lake/a')).rejects.toMatchObject({ kind: 'Timeout' })
  })

  it('reads again where a body ends early or the store is busy', async () => {
    await store.write('s3://lake/a', bytesOf('0123456789'))
    script('get', 'half', { status: 503, code: 'SlowDown' }, 'cut-before')
    const range = { byteOffset: 2, lengthBytes: 3 }
    expect(Buffer.from(await store.read('s3://lake/a', range)).toString()).toBe('234')
    script('get', 'half')
    expect(await readFile(await store.localPath('s3://lake/a'), 'utf8')).toBe('0123456789')
  })

  it('does not ask again where the store has refused for good', async () => {
    s3.fault = () => ({ status: 403, code: 'AccessDenied' })
    await expect(store.read('s3://lake/a')).rejects.toMatchObject({
      kind: 'Unavailable',
      message: /access is denied/,
    })
    expect(s3.calls).toHaveLength(1)
  })

  it('uploads a file in parts through failures of each step', async () => {
    const { path, bytes } = await staged(3_500)
    const failing = new Map<string, S3Fault[]>([
      ['start-upload', ['cut-after']],
      ['part', ['cut-before', { status: 500 }, 'cut-after']],
      ['complete-upload', [{ status: 409, code: 'ConditionalRequestConflict' }, 'cut-after']],
    ])
    s3.fault = ({ operation }) => failing.get(operation)?.shift() ?? null
    const adopted = await store.adopt(path, 's3://lake/t/big.parquet')
    expect(adopted.sizeBytes).toBe(3_500)
    expect(s3.objects.get('t/big.parquet')?.bytes.equals(bytes)).toBe(true)
    // Only the upload whose id was lost with its answer is left; removeLeftovers finds it.
    expect(s3.uploads.size).toBe(1)
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('aborts an upload that fails, and keeps the file', async () => {
    const { path } = await staged(3_500)
    s3.fault = ({ operation }) =>
      operation === 'part' ? { status: 403, code: 'AccessDenied' } : null
    await expect(store.adopt(path, 's3://lake/big')).rejects.toMatchObject({ kind: 'Unavailable' })
    expect(s3.uploads.size).toBe(0)
    expect((await stat(path)).size).toBe(3_500)
  })

  it('never completes parts over another’s object', async () => {
    await store.write('s3://lake/big', bytesOf('theirs'))
    const { path } = await staged(3_500)
    await expect(store.adopt(path, 's3://lake/big')).rejects.toMatchObject({
      kind: 'AlreadyExists',
    })
    expect(contentOf('big')).toBe('theirs')
    expect(s3.uploads.size).toBe(0)
  })

  it('deletes in batches of a thousand, and again where the answer was lost', async () => {
    for (let i = 0; i < 2_100; i++) {
      s3.objects.set(`d/${i}`, { bytes: Buffer.alloc(1), metadata: {}, modified: new Date() })
    }
    script('delete', 'cut-after')
    await store.delete(Array.from({ length: 2_100 }, (_, i) => `s3a://lake/d/${i}`))
    expect(s3.objects.size).toBe(0)
    expect(s3.calls.filter(({ operation }) => operation === 'delete')).toHaveLength(4)
  })

  it('takes s3a and s3n for s3, and refuses what is no location in a store', async () => {
    await store.write('s3a://lake/x/y', bytesOf('1'))
    expect(await store.stat('s3n://lake/x/y')).toMatchObject({ location: 's3://lake/x/y' })
    for (const location of ['file:///x', 's3://lake', 's3://lake/../x', 's3:///x', '/x']) {
      await expect(store.stat(location)).rejects.toMatchObject({ kind: 'InvalidInput' })
    }
  })

  it('fetches an object once, however many ask at a time', async () => {
    await store.write('s3://lake/a', bytesOf('body'))
    const paths = await Promise.all(Array.from({ length: 8 }, () => store.localPath('s3://lake/a')))
    expect(new Set(paths).size).toBe(1)
    expect(s3.calls.filter(({ operation }) => operation === 'get')).toHaveLength(1)
    await expect(store.localPath('s3://lake/none')).rejects.toMatchObject({ kind: 'NotFound' })
  })
})
