/**
 * ObjectStore over any S3 store with conditional writes (`s3-probe.ts` finds out whether it has them).
 *
 * Invariants: an object is there whole or not at all, and none is ever replaced; a write whose outcome could
 * not be found out throws Unavailable or Timeout, never AlreadyExists. Engines get copies on the local disk
 * (`s3-file-cache.ts`); a file that was just uploaded is its own first copy.
 *
 * It doesn't do the swap of the root (`s3-root-object.ts`), and makes no bucket.
 */
import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { Logger, ObjectStore } from '../../kernel/ports.ts'
import { unlinkIfThere } from './durable-files.ts'
import { nodeFileSystem } from './file-system.ts'
import { fileSystemError } from './file-system-error.ts'
import type { S3Api, S3Page } from './s3-api.ts'
import { s3Error } from './s3-failure.ts'
import { createS3FileCache } from './s3-file-cache.ts'
import { locationOfPlace, placeOfLocation } from './s3-location.ts'
import { createS3Retry } from './s3-retry.ts'
import { createS3Upload } from './s3-upload.ts'

export type S3ObjectStore = ObjectStore & {
  /**
   * Takes away what crashes left and no list shows: local files, and uploads in parts under the prefix that
   * were never ended (they cost money until then). What fails is logged.
   */
  removeLeftovers(options: { prefix: string; nowMs: number; olderThanMs: number }): Promise<void>
  /** Lets go of the cache's index; a later call opens it again. */
  close(): void
}

export type S3ObjectStoreOptions = {
  readonly api: S3Api
  /** On the local disk, shared by the processes of this machine. */
  readonly cacheFolder: string
  readonly cacheBytesMax: number
  readonly cacheLeaseMs?: number
  readonly partBytes?: number
  readonly sleep?: (ms: number) => Promise<void>
  readonly random?: () => number
  readonly nowMs?: () => number
  readonly logger?: Logger
}

/** S3's own limit of one request. */
const deletesPerRequest = 1_000

export function createS3ObjectStore(options: S3ObjectStoreOptions): S3ObjectStore {
  const { api, logger } = options
  const nowMs = options.nowMs ?? Date.now
  const retry = createS3Retry({
    sleep: options.sleep ?? ((ms) => delay(ms)),
    random: options.random ?? Math.random,
    nowMs,
  })
  const upload = createS3Upload({
    api,
    retry,
    newId: randomUUID,
    ...(options.partBytes === undefined ? {} : { partBytes: options.partBytes }),
  })
  const cache = createS3FileCache({
    folder: options.cacheFolder,
    sizeBytesMax: options.cacheBytesMax,
    nowMs,
    ...(options.cacheLeaseMs === undefined ? {} : { leaseMs: options.cacheLeaseMs }),
  })

  async function naming<T>(doing: string, location: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      throw s3Error(error, doing, location)
    }
  }

  function listPage(
    prefix: string,
    bucket: string,
    key: string,
    token: string | null,
  ): Promise<S3Page> {
    return naming('list', prefix, () => retry(() => api.listPage(bucket, key, token)))
  }

  const store: S3ObjectStore = {
    async read(location, range) {
      const place = placeOfLocation(location)
      if (range !== undefined && range.lengthBytes === 0) {
        if ((await store.stat(location)) !== null) return new Uint8Array(0)
        throw new PotokError('NotFound', `could not read ${location}: it does not exist`)
      }
      return await naming('read', location, async () => {
        const { bytes } = await retry(() => api.get(place, range))
        return bytes
      })
    },

    async write(location, bytes) {
      const place = placeOfLocation(location)
      await naming('write', location, () => upload.putBytes(place, bytes))
    },

    async stat(location) {
      const place = placeOfLocation(location)
      const head = await naming('look at', location, () => retry(() => api.head(place)))
      if (head === null) return null
      const { sizeBytes, modifiedMs } = head
      return { location: locationOfPlace(place), sizeBytes, modifiedMs }
    },

    async *list(prefix) {
      const { bucket, key } = placeOfLocation(prefix)
      let token: string | null = null
      do {
        const page: S3Page = await listPage(prefix, bucket, key, token)
        for (const { key, sizeBytes, modifiedMs } of page.objects) {
          yield { location: locationOfPlace({ bucket, key }), sizeBytes, modifiedMs }
        }
        token = page.next
      } while (token !== null)
    },

    async delete(locations) {
      const byBucket = Map.groupBy(locations.map(placeOfLocation), ({ bucket }) => bucket)
      for (const [bucket, places] of byBucket) {
        for (let i = 0; i < places.length; i += deletesPerRequest) {
          const keys = places.slice(i, i + deletesPerRequest).map(({ key }) => key)
          const first = locationOfPlace({ bucket, key: keys[0] as string })
          const what = keys.length === 1 ? first : `${first} and ${keys.length - 1} more`
          await naming('delete', what, () => retry(() => api.deleteMany(bucket, keys)))
        }
      }
    },

    async adopt(localPath, location) {
      const place = placeOfLocation(location)
      const sizeBytes = await sizeOf(localPath)
      await naming(`upload ${localPath} to`, location, async () => {
        await upload.putFile(place, localPath, sizeBytes)
      })
      // CRASH POINT: the object is there and the local file still is: removed with the leftovers.
      await cache.take(locationOfPlace(place), localPath, sizeBytes)
      await unlinkIfThere(nodeFileSystem, localPath)
      const found = await store.stat(location)
      if (found === null || found.sizeBytes !== sizeBytes) {
        throw new PotokError(
          'DataCorrupt',
          `${location} was written with ${sizeBytes} bytes and has ${found?.sizeBytes ?? 'gone'}`,
          { context: { location, sizeBytes } },
        )
      }
      return found
    },

    async localPath(location) {
      const place = placeOfLocation(location)
      return await naming('fetch', location, () =>
        cache.get(locationOfPlace(place), async (file) =>
          retry(async () => {
            await file.truncate()
            return await api.download(place, file)
          }),
        ),
      )
    },

    async stagingPath(location) {
      return cache.stagingPath(locationOfPlace(placeOfLocation(location)))
    },

    async removeLeftovers({ prefix, nowMs, olderThanMs }) {
      await cache.removeLeftovers(olderThanMs)
      const { bucket, key } = placeOfLocation(prefix)
      try {
        for (const found of await retry(() => api.listUploads(bucket, key))) {
          if (nowMs - found.startedMs < olderThanMs) continue
          await retry(() => api.abortUpload({ bucket, key: found.key }, found.uploadId))
        }
      } catch (error) {
        logger?.warn({ prefix }, `unfinished uploads are left: ${describeError(error)}`)
      }
    },

    close: () => cache.close(),
  }
  return store
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    throw fileSystemError(error, 'upload', path)
  }
}
