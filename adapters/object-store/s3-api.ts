/**
 * The few requests of S3 that potok makes, each sent once (`s3-client.ts`); `s3-retry.ts` repeats what may be
 * repeated. Failures are `S3Failure`s.
 */
import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { createS3Client, type S3Attempt, type S3Options } from './s3-client.ts'
import { S3Failure } from './s3-failure.ts'
import {
  conditionHeaders,
  etagOf,
  rangeHeader,
  type S3Condition,
  type S3Range,
} from './s3-headers.ts'
import type { S3Place } from './s3-location.ts'
import { uploadRequests } from './s3-upload-api.ts'

export type S3Head = {
  /** Without quotes and weakness mark, so that spellings of different answers compare. */
  readonly etag: string
  readonly sizeBytes: number
  readonly modifiedMs: number
  readonly metadata: Readonly<Record<string, string>>
}

export type S3Page = {
  readonly objects: readonly { key: string; sizeBytes: number; modifiedMs: number }[]
  readonly next: string | null
}

export type S3Api = ReturnType<typeof createS3Api>

export function createS3Api(options: S3Options) {
  const client = createS3Client(options)
  const attempt: S3Attempt = (bodyBytes, run) => client.attempt(bodyBytes, run)
  return {
    ...readRequests(attempt),
    ...writeRequests(attempt),
    ...uploadRequests(attempt),
    close: (): Promise<void> => client.close(),
  }
}

function readRequests(attempt: S3Attempt) {
  return {
    /** null where it doesn't exist (or the bucket doesn't: HEAD can't tell). */
    async head({ bucket, key }: S3Place): Promise<S3Head | null> {
      try {
        return await attempt(0, async ({ sdk, client }, abortSignal) => {
          const command = new sdk.HeadObjectCommand({ Bucket: bucket, Key: key })
          return headOf(await client.send(command, { abortSignal }))
        })
      } catch (error) {
        if (error instanceof S3Failure && error.trouble === 'missing') return null
        throw error
      }
    },

    /** Whole, or exactly the range; `beyond-end` where the object is shorter. */
    async get(
      { bucket, key }: S3Place,
      range?: S3Range,
    ): Promise<{ bytes: Uint8Array<ArrayBuffer>; head: S3Head }> {
      return await attempt(range?.lengthBytes ?? 0, async ({ sdk, client }, abortSignal, allow) => {
        const command = new sdk.GetObjectCommand({
          Bucket: bucket,
          Key: key,
          ...(range === undefined ? {} : { Range: rangeHeader(range) }),
        })
        const answer = await client.send(command, { abortSignal })
        const body = answer.Body as Readable
        allow(answer.ContentLength ?? 0)
        // A store that doesn't know ranges answers with everything.
        const isPart = range !== undefined && answer.ContentRange !== undefined
        const bytes = await readBody(body, answer.ContentLength)
        if (range === undefined) return { bytes, head: headOf(answer) }
        const part = isPart
          ? bytes
          : bytes.slice(range.byteOffset, range.byteOffset + range.lengthBytes)
        if (part.length < range.lengthBytes) {
          throw new S3Failure(
            'beyond-end',
            `${part.length} of ${range.lengthBytes} bytes are there`,
          )
        }
        return { bytes: part, head: headOf(answer) }
      })
    },

    /** Writes the object into an open file; gives its size. Errors of the file pass as they are. */
    async download({ bucket, key }: S3Place, file: FileHandle): Promise<number> {
      let diskError: unknown = null
      try {
        return await attempt(0, async ({ sdk, client }, abortSignal, allow) => {
          const command = new sdk.GetObjectCommand({ Bucket: bucket, Key: key })
          const answer = await client.send(command, { abortSignal })
          allow(answer.ContentLength ?? 0)
          let done = 0
          for await (const chunk of answer.Body as Readable as AsyncIterable<Buffer>) {
            await writeAll(file, chunk, done).catch((error: unknown) => {
              diskError = error
              throw error
            })
            done += chunk.length
          }
          requireWhole(done, answer.ContentLength)
          return done
        })
      } catch (error) {
        throw diskError ?? error
      }
    },

    async listPage(bucket: string, prefix: string, token: string | null): Promise<S3Page> {
      return await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.ListObjectsV2Command({
          Bucket: bucket,
          Prefix: prefix,
          ...(token === null ? {} : { ContinuationToken: token }),
        })
        const answer = await client.send(command, { abortSignal })
        return {
          objects: (answer.Contents ?? []).map((object) => ({
            key: object.Key ?? '',
            sizeBytes: object.Size ?? 0,
            modifiedMs: secondsOf(object.LastModified),
          })),
          next: answer.IsTruncated === true ? (answer.NextContinuationToken ?? null) : null,
        }
      })
    },
  }
}

function writeRequests(attempt: S3Attempt) {
  return {
    async put(
      { bucket, key }: S3Place,
      bytes: Uint8Array,
      condition: S3Condition | null,
      metadata: Readonly<Record<string, string>> = {},
    ): Promise<{ etag: string }> {
      return await attempt(bytes.length, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.PutObjectCommand({
          Bucket: bucket,
          Key: key,
          Body: bytes,
          ContentLength: bytes.length,
          ContentType: 'application/octet-stream',
          Metadata: metadata,
          ...conditionHeaders(condition),
        })
        return { etag: etagOf((await client.send(command, { abortSignal })).ETag) }
      })
    },

    /** At most 1,000. What isn't there is no error. */
    async deleteMany(bucket: string, keys: readonly string[]): Promise<void> {
      await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.DeleteObjectsCommand({
          Bucket: bucket,
          Delete: { Objects: keys.map((Key) => ({ Key })), Quiet: true },
        })
        const failed = (await client.send(command, { abortSignal })).Errors?.find(
          ({ Code }) => Code !== 'NoSuchKey',
        )
        if (failed === undefined) return
        const error = new Error(`${failed.Key}: ${failed.Message ?? 'no reason given'}`)
        error.name = failed.Code ?? 'Error'
        throw error
      })
    },
  }
}

async function readBody(
  body: Readable,
  lengthBytes: number | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = []
  let done = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    done += chunk.length
  }
  requireWhole(done, lengthBytes)
  const bytes = new Uint8Array(done)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

function requireWhole(done: number, lengthBytes: number | undefined): void {
  if (lengthBytes === undefined || done === lengthBytes) return
  throw new S3Failure('lost', `the answer ended after ${done} of ${lengthBytes} bytes`)
}

function headOf(answer: {
  ETag?: string | undefined
  ContentLength?: number | undefined
  LastModified?: Date | undefined
  Metadata?: Record<string, string> | undefined
}): S3Head {
  return {
    etag: etagOf(answer.ETag),
    sizeBytes: answer.ContentLength ?? 0,
    modifiedMs: secondsOf(answer.LastModified),
    metadata: answer.Metadata ?? {},
  }
}

/** Some stores list milliseconds; HEAD never has them. */
function secondsOf(time: Date | undefined): number {
  return Math.floor((time?.getTime() ?? 0) / 1_000) * 1_000
}

async function writeAll(file: FileHandle, chunk: Buffer, at: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    done += (await file.write(chunk, done, chunk.length - done, at + done)).bytesWritten
  }
}
