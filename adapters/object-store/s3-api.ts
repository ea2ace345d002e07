/**
 * The few requests of S3 that potok makes, each sent once: no retry hides in here, because a hidden one would
 * hide that the first attempt may have landed (`s3-retry.ts` repeats what may be repeated). Failures are
 * `S3Failure`s.
 *
 * Every request has a deadline that grows with its bytes, and ends where the connection is silent for long.
 * The SDK is loaded with the first request: who keeps the tables on a local folder never pays for it.
 * Checksums of the SDK's own are off (older stores refuse them); the signature covers the body's SHA-256.
 */
import { readFileSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import { describeError, PotokError } from '../../kernel/errors.ts'
import { S3Failure, sortS3Error } from './s3-failure.ts'
import type { S3Place } from './s3-location.ts'

export type S3Options = {
  /** Empty: AWS. */
  readonly endpoint: string
  /** Empty: as the AWS tools find it (AWS_REGION, profile); with an endpoint `us-east-1`. */
  readonly region: string
  /** `http://host/bucket/key` instead of `http://bucket.host/key`; null: where an endpoint is named. */
  readonly pathStyle: boolean | null
  /** Both empty: as the AWS tools find them (variables, profile, web identity, instance). */
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** PEM file with the CA of the endpoint's certificate; empty: the system's. */
  readonly caFile: string
  /** Deadline of a request without the time for its bytes. */
  readonly requestTimeoutMs?: number
  readonly connectTimeoutMs?: number
}

/** `ifMatch` an ETag as given here, or only where nothing is there yet. */
export type S3Condition = { readonly ifMatch: string } | { readonly ifAbsent: true }

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
export type S3Part = { readonly partNumber: number; readonly etag: string }
export type S3Range = { readonly byteOffset: number; readonly lengthBytes: number }

export type S3Api = ReturnType<typeof createS3Api>

type Sdk = typeof import('@aws-sdk/client-s3')
type Loaded = { readonly sdk: Sdk; readonly client: S3Client }
type Allow = (bytes: number) => void

const requestTimeoutMsDefault = 20_000
const connectTimeoutMsDefault = 5_000
/** Slower than this is as good as broken. */
const bytesPerMsMin = 256
const connectionsMax = 64

/** One instance per process and store: it holds the connections. */
export function createS3Api(options: S3Options) {
  const requestTimeoutMs = options.requestTimeoutMs ?? requestTimeoutMsDefault
  let loading: Promise<Loaded> | null = null

  function load(): Promise<Loaded> {
    loading ??= openClient(options, requestTimeoutMs)
    return loading
  }

  /** `allow` gives more time once it is known how many bytes will come. */
  async function attempt<T>(
    bodyBytes: number,
    run: (loaded: Loaded, signal: AbortSignal, allow: Allow) => Promise<T>,
  ): Promise<T> {
    const loaded = await load()
    const controller = new AbortController()
    const abort = (): void => controller.abort()
    const timeFor = (bytes: number): number => requestTimeoutMs + bytes / bytesPerMsMin
    let timer = setTimeout(abort, timeFor(bodyBytes))
    try {
      return await run(loaded, controller.signal, (bytes) => {
        clearTimeout(timer)
        timer = setTimeout(abort, timeFor(bytes))
      })
    } catch (error) {
      if (controller.signal.aborted) throw new S3Failure('timeout', 'the deadline has passed')
      throw sortS3Error(error)
    } finally {
      clearTimeout(timer)
    }
  }

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
            await file.write(chunk, 0, chunk.length, done).catch((error: unknown) => {
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

    async startUpload(
      { bucket, key }: S3Place,
      metadata: Readonly<Record<string, string>>,
    ): Promise<string> {
      return await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.CreateMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          ContentType: 'application/octet-stream',
          Metadata: metadata,
        })
        const { UploadId } = await client.send(command, { abortSignal })
        if (UploadId === undefined) throw new S3Failure('lost', 'the answer names no upload')
        return UploadId
      })
    },

    async uploadPart(
      { bucket, key }: S3Place,
      uploadId: string,
      partNumber: number,
      bytes: Uint8Array,
    ): Promise<S3Part> {
      return await attempt(bytes.length, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.UploadPartCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
          PartNumber: partNumber,
          Body: bytes,
          ContentLength: bytes.length,
        })
        return { partNumber, etag: etagOf((await client.send(command, { abortSignal })).ETag) }
      })
    },

    async completeUpload(
      { bucket, key }: S3Place,
      uploadId: string,
      parts: readonly S3Part[],
      sizeBytes: number,
      condition: S3Condition | null,
    ): Promise<void> {
      // Stores may put the parts together before they answer.
      await attempt(sizeBytes, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.CompleteMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
          MultipartUpload: {
            Parts: parts.map(({ partNumber, etag }) => ({
              PartNumber: partNumber,
              ETag: quoted(etag),
            })),
          },
          ...conditionHeaders(condition),
        })
        await client.send(command, { abortSignal })
      })
    },

    async abortUpload({ bucket, key }: S3Place, uploadId: string): Promise<void> {
      await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.AbortMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
        })
        await client.send(command, { abortSignal })
      })
    },

    /** Uploads that were begun and neither completed nor aborted; the first thousand. */
    async listUploads(
      bucket: string,
      prefix: string,
    ): Promise<{ key: string; uploadId: string; startedMs: number }[]> {
      return await attempt(0, async ({ sdk, client }, abortSignal) => {
        const command = new sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix })
        const { Uploads } = await client.send(command, { abortSignal })
        return (Uploads ?? []).flatMap(({ Key, UploadId, Initiated }) =>
          Key === undefined || UploadId === undefined || Initiated === undefined
            ? []
            : [{ key: Key, uploadId: UploadId, startedMs: Initiated.getTime() }],
        )
      })
    },

    /** Closes the connections; requests after it open new ones. */
    async close(): Promise<void> {
      if (loading !== null) (await loading).client.destroy()
      loading = null
    },
  }
}

async function openClient(options: S3Options, requestTimeoutMs: number): Promise<Loaded> {
  const { endpoint, region, accessKeyId, secretAccessKey, caFile } = options
  const ca = caFile === '' ? undefined : readCa(caFile)
  const [sdk, { NodeHttpHandler }] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('@smithy/node-http-handler'),
  ])
  const agent = { keepAlive: true, maxSockets: connectionsMax }
  const chosenRegion = region === '' && endpoint !== '' ? 'us-east-1' : region
  const client = new sdk.S3Client({
    ...(endpoint === '' ? {} : { endpoint }),
    ...(chosenRegion === '' ? {} : { region: chosenRegion }),
    ...(accessKeyId === '' ? {} : { credentials: { accessKeyId, secretAccessKey } }),
    forcePathStyle: options.pathStyle ?? endpoint !== '',
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: options.connectTimeoutMs ?? connectTimeoutMsDefault,
      socketTimeout: requestTimeoutMs,
      // Requests may wait for a connection: nothing to warn of.
      socketAcquisitionWarningTimeout: 2_147_483_647,
      httpAgent: agent,
      httpsAgent: { ...agent, ...(ca === undefined ? {} : { ca }) },
    }),
  })
  return { sdk, client }
}

function readCa(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new PotokError('InvalidInput', `setting --s3-ca-file: ${describeError(cause)}`, { cause })
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

function conditionHeaders(condition: S3Condition | null): {
  IfMatch?: string
  IfNoneMatch?: string
} {
  if (condition === null) return {}
  return 'ifMatch' in condition ? { IfMatch: quoted(condition.ifMatch) } : { IfNoneMatch: '*' }
}

function etagOf(header: string | undefined): string {
  return (header ?? '').replace(/^W\//, '').replaceAll('"', '')
}

function quoted(etag: string): string {
  return `"${etag}"`
}

function rangeHeader({ byteOffset, lengthBytes }: S3Range): string {
  return `bytes=${byteOffset}-${byteOffset + lengthBytes - 1}`
}
