/**
 * RootObject as one object of an S3 store, changed by `If-Match` and `If-None-Match` only.
 *
 * Invariants
 * - The version is the ETag. An ETag is often a hash of the bytes, so each swap puts a fresh id in front of
 *   them: no two contents that ever were the root have the same one, and a stale version never matches again.
 * - No request of a swap is repeated behind its back. 412 is the only "lost". 409 says that a rival was in the
 *   way and what became of it is open: the same bytes go again, until the store says which. 404 under `If-Match`
 *   means that the root has gone: it stops, and never makes a new one. All else that the store did not
 *   definitely refuse is CommitStateUnknown.
 * - The line in front carries length and SHA-256: half a body is never taken for the root.
 *
 * What an unknown outcome was is found out by the catalog's history (`catalog/root-client.ts`), not here.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { PotokError } from '../../kernel/errors.ts'
import type { RootObject } from '../../kernel/ports.ts'
import { decodeRootFile, encodeRootFile } from './root-file.ts'
import type { S3Api, S3Head } from './s3-api.ts'
import { isS3Failure, S3Failure, s3Error } from './s3-failure.ts'
import { placeOfLocation } from './s3-location.ts'
import { createS3Retry } from './s3-retry.ts'

const conflictsMax = 12
const conflictWaitMsFirst = 10
const conflictWaitMsMax = 1_000
/** A body may be torn on its way; one that stays so is corrupt. */
const readsMax = 3

export function createS3RootObject(options: {
  api: S3Api
  /** `<warehouse>/.catalog/root` */
  location: string
  newId?: () => string
  sleep?: (ms: number) => Promise<void>
  random?: () => number
  nowMs?: () => number
}): RootObject {
  const { api, location } = options
  const place = placeOfLocation(location)
  const newId = options.newId ?? randomUUID
  const sleep = options.sleep ?? ((ms: number) => delay(ms))
  const random = options.random ?? Math.random
  const retry = createS3Retry({ sleep, random, nowMs: options.nowMs ?? Date.now })
  let wasThere = false

  function mustHaveGone(): PotokError {
    return new PotokError('DataCorrupt', `the catalog's root object ${location} has gone`, {
      context: { location },
    })
  }

  async function read(): Promise<{ bytes: Uint8Array; version: string; mark: string } | null> {
    // Answers may come out of order: only what was there before this look began can have gone.
    const wasThereBefore = wasThere
    for (let attempt = 1; ; attempt++) {
      try {
        const { bytes: file, head } = await retry(() => api.get(place))
        wasThere = true
        return { ...decodeRootFile(file, location), version: head.etag }
      } catch (error) {
        if (isS3Failure(error, 'missing')) {
          if (wasThereBefore) throw mustHaveGone()
          return null
        }
        const isTorn = error instanceof PotokError && error.kind === 'DataCorrupt'
        if (!isTorn || attempt === readsMax) throw s3Error(error, 'read', location)
      }
    }
  }

  async function swap(
    expected: string | null,
    file: Uint8Array,
    mark: string,
  ): Promise<{ won: true; version: string } | { won: false }> {
    const condition = expected === null ? { ifAbsent: true as const } : { ifMatch: expected }
    for (let conflicts = 0; ; conflicts++) {
      try {
        // CRASH POINT: sent, and nobody hears the answer: the next catalog finds our id in the history, or not.
        const { etag } = await api.put(place, file, condition)
        if (etag === '') throw new S3Failure('lost', 'the store gave no ETag')
        wasThere = true
        return { won: true, version: etag }
      } catch (error) {
        if (!(error instanceof S3Failure)) throw error
        if (error.trouble !== 'conflict')
          return await afterRefusal(error, expected, conflicts, mark)
        if (conflicts === conflictsMax) throw unknown(error)
      }
      await sleep(random() * Math.min(conflictWaitMsMax, conflictWaitMsFirst * 2 ** conflicts))
    }
  }

  async function afterRefusal(
    error: S3Failure,
    expected: string | null,
    conflicts: number,
    mark: string,
  ): Promise<{ won: true; version: string } | { won: false }> {
    const isGone = error.trouble === 'missing' || error.trouble === 'no-bucket'
    if (isGone && expected !== null) throw mustHaveGone()
    if (error.trouble !== 'condition-false') {
      // A definite refusal of this attempt says nothing of those before it.
      if (!error.isDefinite || conflicts > 0) throw unknown(error)
      throw s3Error(error, 'write', location)
    }
    if (conflicts === 0) return { won: false }
    // 409 should mean that nothing was written; a store that wrote all the same is met here.
    try {
      const now = await read()
      return now?.mark === mark ? { won: true, version: now.version } : { won: false }
    } catch (cause) {
      throw unknown(cause)
    }
  }

  function unknown(cause: unknown): PotokError {
    return new PotokError(
      'CommitStateUnknown',
      `the swap of the catalog root ${location} may or may not be in`,
      { context: { location }, cause },
    )
  }

  return {
    async read() {
      const found = await read()
      return found === null ? null : { bytes: found.bytes, version: found.version }
    },

    async version() {
      const wasThereBefore = wasThere
      let head: S3Head | null
      try {
        head = await retry(() => api.head(place))
      } catch (error) {
        throw s3Error(error, 'look at', location)
      }
      if (head === null && wasThereBefore) throw mustHaveGone()
      if (head !== null) wasThere = true
      return head?.etag ?? null
    },

    async swap(expected, bytes) {
      const mark = `id=${newId()}`
      return await swap(expected, encodeRootFile(bytes, mark), mark)
    },
  }
}
