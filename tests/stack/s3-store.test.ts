/** The S3 adapters over a real store (MinIO), with MinIO's own client as a judge that shares nothing with them. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createS3Api, type S3Api } from '../../adapters/object-store/s3-api.ts'
import {
  createS3ObjectStore,
  type S3ObjectStore,
} from '../../adapters/object-store/s3-object-store.ts'
import { probeS3Store } from '../../adapters/object-store/s3-probe.ts'
import { createS3RootObject } from '../../adapters/object-store/s3-root-object.ts'
import { objectStoreContract } from '../../testkit/contracts/object-store.ts'
import { rootObjectContract } from '../../testkit/contracts/root-object.ts'
import { startScriptedS3 } from '../../testkit/scripted-s3.ts'
import { type Minio, startMinio } from '../../testkit/servers/minio.ts'

const execute = promisify(execFile)
let minio: Minio
let folder: string
let count = 0

beforeAll(async () => {
  minio = await startMinio()
  folder = await mkdtemp(join(tmpdir(), 'potok-s3-'))
})
afterAll(async () => {
  await minio.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Small parts, so that little files go up in several; S3 allows no less but for the last. */
const partBytes = 5 * 1024 * 1024

function openStore(): { api: S3Api; store: S3ObjectStore; close: () => Promise<void> } {
  const api = createS3Api(minio.options)
  const cacheFolder = join(folder, `cache-${count++}`)
  const store = createS3ObjectStore({ api, cacheFolder, cacheBytesMax: 1 << 30, partBytes })
  return {
    api,
    store,
    close: async () => {
      store.close()
      await api.close()
    },
  }
}

const freshPrefix = (): string => `s3://${minio.bucket}/run-${count++}/`

objectStoreContract('S3 (MinIO)', async () => {
  const { store, close } = openStore()
  return { store, prefix: freshPrefix(), close }
})

rootObjectContract('S3 (MinIO)', async () => {
  const location = `${freshPrefix()}.catalog/root`
  const apis: S3Api[] = []
  return {
    connect() {
      const api = createS3Api(minio.options)
      apis.push(api)
      return createS3RootObject({ api, location })
    },
    close: async () => {
      await Promise.all(apis.map((api) => api.close()))
    },
  }
})

describe('the S3 object store, as another client sees it', () => {
  it('writes what MinIO’s client reads, and lists what it lists, over several pages', async () => {
    const { store, close } = openStore()
    const prefix = freshPrefix()
    const names = Array.from({ length: 1_003 }, (_, i) => `many/${i} ä+%&=.bin`)
    for (let i = 0; i < names.length; i += 50) {
      await Promise.all(
        names.slice(i, i + 50).map((name) => store.write(prefix + name, Buffer.from(name))),
      )
    }
    const [name] = names as [string]
    const key = (prefix + name).slice(`s3://${minio.bucket}/`.length)
    const chunks: Buffer[] = []
    for await (const chunk of await minio.judge().getObject(minio.bucket, key)) {
      chunks.push(chunk as Buffer)
    }
    expect(Buffer.concat(chunks).toString()).toBe(name)
    expect(await ourNames(store, prefix)).toEqual(await theirNames(prefix))
    await store.delete(names.map((one) => prefix + one))
    expect(await theirNames(prefix)).toEqual([])
    await close()
  })

  it('uploads large files in parts, whole and once, and keeps them as local copies', async () => {
    const { store, close } = openStore()
    const prefix = freshPrefix()
    const bytes = randomBytes(2 * partBytes + 12_345)
    const staged = await store.stagingPath(`${prefix}large.parquet`)
    await writeFile(staged, bytes)
    const found = await store.adopt(staged, `${prefix}large.parquet`)
    expect(found.sizeBytes).toBe(bytes.length)
    const theirs = await minio.judge().statObject(minio.bucket, keyOf(`${prefix}large.parquet`))
    expect(theirs.size).toBe(bytes.length)
    expect(theirs.etag).toMatch(/-3$/)
    expect(Buffer.compare(await store.read(`${prefix}large.parquet`), bytes)).toBe(0)
    // Its first copy is the file itself; a store elsewhere fetches its own.
    expect((await stat(await store.localPath(`${prefix}large.parquet`))).size).toBe(bytes.length)
    const other = openStore()
    const path = await other.store.localPath(`${prefix}large.parquet`)
    expect(Buffer.compare(await readFile(path), bytes)).toBe(0)

    await writeFile(staged, bytes)
    await expect(store.adopt(staged, `${prefix}large.parquet`)).rejects.toMatchObject({
      kind: 'AlreadyExists',
    })
    // What was refused left no parts behind.
    expect(await other.api.listUploads(minio.bucket, keyOf(`${prefix}large.parquet`))).toEqual([])
    await other.close()
    await close()
  })

  it('ends uploads that a crash left', async () => {
    const { api, store, close } = openStore()
    const prefix = freshPrefix()
    const place = { bucket: minio.bucket, key: keyOf(`${prefix}half.parquet`) }
    const uploadId = await api.startUpload(place, {})
    await api.uploadPart(place, uploadId, 1, Buffer.from('part'))
    const tidy = (nowMs: number): Promise<void> =>
      // MinIO lists uploads of one object only.
      store.removeLeftovers({ prefix: `${prefix}half.parquet`, nowMs, olderThanMs: 3_600_000 })
    await tidy(Date.now())
    expect(await api.listUploads(place.bucket, place.key)).toHaveLength(1)
    await tidy(Date.now() + 2 * 3_600_000)
    expect(await api.listUploads(place.bucket, place.key)).toEqual([])
    await close()
  })

  it('names what is wrong with bucket and keys, and never the secret', async () => {
    const wrongKey = createS3Api({ ...minio.options, secretAccessKey: 'not-the-secret' })
    const root = createS3RootObject({ api: wrongKey, location: `${freshPrefix()}root` })
    const denied = await root.read().catch((error: unknown) => error)
    expect(denied).toMatchObject({ kind: 'Unavailable', message: /access is denied/ })
    expect(JSON.stringify(denied)).not.toContain('not-the-secret')
    const api = createS3Api(minio.options)
    const nowhere = createS3RootObject({ api, location: 's3://no-such-bucket/root' })
    await expect(nowhere.read()).rejects.toMatchObject({ message: /bucket does not exist/ })
    await expect(nowhere.swap(null, Buffer.from('x'))).rejects.toMatchObject({
      kind: 'Unavailable',
    })
    await Promise.all([api.close(), wrongKey.close()])
  })

  it('trusts a certificate by the CA that it is given, and none else', async () => {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const request =
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=store -addext subjectAltName=IP:127.0.0.1'
    await execute('openssl', [...request.split(' '), '-keyout', key, '-out', cert])
    const s3 = await startScriptedS3(
      {},
      { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') },
    )
    const [stranger, friend] = [
      createS3Api(s3.options),
      createS3Api({ ...s3.options, caFile: cert }),
    ]
    const location = 's3://lake/root'
    await expect(createS3RootObject({ api: stranger, location }).read()).rejects.toMatchObject({
      kind: 'Unavailable',
      message: /certificate is not trusted: name the CA with --s3-ca-file/,
    })
    expect(await createS3RootObject({ api: friend, location }).read()).toBeNull()
    await Promise.all([stranger.close(), friend.close()])
    await s3.close()
  })

  it('passes the probe, which leaves nothing behind', async () => {
    const api = createS3Api(minio.options)
    const warehouse = freshPrefix().replace(/\/$/, '')
    await probeS3Store({
      api,
      endpoint: minio.endpoint,
      warehouse,
      sleep: (ms) => sleep(ms),
      random: Math.random,
      nowMs: Date.now,
    })
    expect(await theirNames(`${warehouse}/`)).toEqual([])
    await api.close()
  })
})

function keyOf(location: string): string {
  return location.slice(`s3://${minio.bucket}/`.length)
}

async function ourNames(store: S3ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const { location, sizeBytes } of store.list(prefix)) {
    found.push(`${keyOf(location)} ${sizeBytes}`)
  }
  return found.sort()
}

async function theirNames(prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const one of minio.judge().listObjectsV2(minio.bucket, keyOf(prefix), true)) {
    found.push(`${one.name} ${one.size}`)
  }
  return found.sort()
}
