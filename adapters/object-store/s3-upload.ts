/**
 * Makes objects that are there whole or not at all and never replace another: `If-None-Match: *`.
 *
 * A write whose answer was lost is sent again and then meets itself: the store says 412 of an object that is
 * ours. So each write carries an id in the object's metadata, by which its own success is recognised.
 * Large files go up in parts, read from the disk as they go; what failed is aborted, so that no paid-for parts
 * stay behind (after a crash `removeLeftovers` of the store does that).
 * Memory: parts under way × their size.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { PotokError } from '../../kernel/errors.ts'
import type { S3Api } from './s3-api.ts'
import type { S3Part } from './s3-upload-api.ts'
import { isS3Failure, S3Failure } from './s3-failure.ts'
import type { S3Place } from './s3-location.ts'
import type { S3Retry } from './s3-retry.ts'

export type S3Upload = {
  putBytes(place: S3Place, bytes: Uint8Array): Promise<void>
  putFile(place: S3Place, path: string, sizeBytes: number): Promise<void>
}

/** No separator in it: some stores allow no dashes, some proxies drop underscores. */
const writeIdName = 'potokwriteid'
const mib = 1024 * 1024
const partBytesDefault = 16 * mib
const partsAtOnceDefault = 3
const partsMax = 10_000
const startsMax = 4

export function createS3Upload(options: {
  api: S3Api
  retry: S3Retry
  newId: () => string
  /** Files larger than one part go up in parts. */
  partBytes?: number
  partsAtOnce?: number
}): S3Upload {
  const { api, retry } = options
  const partBytesMin = options.partBytes ?? partBytesDefault
  const partsAtOnce = options.partsAtOnce ?? partsAtOnceDefault

  async function isOurs(place: S3Place, id: string): Promise<boolean> {
    const there = await retry(() => api.head(place))
    if (there === null) throw new S3Failure('lost', 'it was there and has gone')
    return there.metadata[writeIdName] === id
  }

  async function putBytes(place: S3Place, bytes: Uint8Array): Promise<void> {
    const id = options.newId()
    await retry(async () => {
      try {
        await api.put(place, bytes, { ifAbsent: true }, { [writeIdName]: id })
      } catch (error) {
        if (!isS3Failure(error, 'condition-false') || !(await isOurs(place, id))) throw error
      }
    })
  }

  /** `start-again`: the store wants the whole upload anew (S3's answer 409). */
  async function complete(
    place: S3Place,
    id: string,
    uploadId: string,
    parts: readonly S3Part[],
    sizeBytes: number,
  ): Promise<'done' | 'start-again'> {
    return await retry(async () => {
      try {
        await api.completeUpload(place, uploadId, parts, sizeBytes, { ifAbsent: true })
        return 'done'
      } catch (error) {
        if (isS3Failure(error, 'conflict')) return 'start-again'
        // An upload that is no longer known may have been completed by the attempt before.
        const mayBeOurs = isS3Failure(error, 'condition-false') || isS3Failure(error, 'no-upload')
        if (mayBeOurs && (await isOurs(place, id))) return 'done'
        throw error
      }
    })
  }

  async function uploadParts(
    place: S3Place,
    uploadId: string,
    file: FileHandle,
    sizeBytes: number,
  ): Promise<S3Part[]> {
    const partBytes = Math.max(partBytesMin, Math.ceil(sizeBytes / partsMax / mib) * mib)
    const partCount = Math.ceil(sizeBytes / partBytes)
    const parts: S3Part[] = []
    let next = 1
    let hasFailed = false
    const worker = async (): Promise<void> => {
      while (next <= partCount && !hasFailed) {
        const partNumber = next++
        const from = (partNumber - 1) * partBytes
        try {
          const bytes = await readPart(file, from, Math.min(partBytes, sizeBytes - from))
          parts.push(await retry(() => api.uploadPart(place, uploadId, partNumber, bytes)))
        } catch (error) {
          hasFailed = true
          throw error
        }
      }
    }
    // All of them end before the upload is aborted: a part that comes later would stay behind.
    const ended = await Promise.allSettled(Array.from({ length: partsAtOnce }, worker))
    for (const one of ended) if (one.status === 'rejected') throw one.reason
    return parts.sort((a, b) => a.partNumber - b.partNumber)
  }

  async function putInParts(place: S3Place, path: string, sizeBytes: number): Promise<void> {
    const id = options.newId()
    const file = await open(path, 'r')
    try {
      for (let start = 1; ; start++) {
        const uploadId = await retry(() => api.startUpload(place, { [writeIdName]: id }))
        let outcome: 'done' | 'start-again' = 'start-again'
        try {
          const parts = await uploadParts(place, uploadId, file, sizeBytes)
          outcome = await complete(place, id, uploadId, parts, sizeBytes)
        } finally {
          if (outcome !== 'done') await api.abortUpload(place, uploadId).catch(() => undefined)
        }
        if (outcome === 'done') return
        if (start === startsMax)
          throw new S3Failure('conflict', `${start} uploads were in conflict`)
      }
    } finally {
      await file.close()
    }
  }

  return {
    putBytes,
    async putFile(place, path, sizeBytes) {
      if (sizeBytes > partBytesMin) return await putInParts(place, path, sizeBytes)
      const file = await open(path, 'r')
      try {
        await putBytes(place, await readPart(file, 0, sizeBytes))
      } finally {
        await file.close()
      }
    },
  }
}

async function readPart(file: FileHandle, from: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafe(lengthBytes)
  for (let done = 0; done < lengthBytes; ) {
    const { bytesRead } = await file.read(bytes, done, lengthBytes - done, from + done)
    if (bytesRead === 0) throw new PotokError('DataCorrupt', 'a file shrank while it was uploaded')
    done += bytesRead
  }
  return bytes
}
