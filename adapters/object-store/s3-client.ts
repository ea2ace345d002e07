/**
 * The AWS SDK's client as potok uses it: each request is sent once, because a hidden retry would hide that the
 * first attempt may have landed. Every attempt has a deadline that grows with its bytes, and ends where the
 * connection is silent for long. What fails throws an `S3Failure`.
 *
 * The SDK is loaded with the first request: who keeps the tables on a local folder never pays for it.
 * Checksums of the SDK's own are off (older stores refuse them); the signature covers the body's SHA-256.
 */
import { readFileSync } from 'node:fs'
import type { S3Client } from '@aws-sdk/client-s3'
import { describeError, PotokError } from '../../kernel/errors.ts'
import { S3Failure, sortS3Error } from './s3-failure.ts'

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

type Sdk = typeof import('@aws-sdk/client-s3')
type Loaded = { readonly sdk: Sdk; readonly client: S3Client }

/** Sends one request. `allow` gives more time once it is known how many bytes will come. */
export type S3Attempt = <T>(
  bodyBytes: number,
  run: (loaded: Loaded, signal: AbortSignal, allow: (bytes: number) => void) => Promise<T>,
) => Promise<T>

const requestTimeoutMsDefault = 20_000
const connectTimeoutMsDefault = 5_000
/** Slower than this is as good as broken. */
const bytesPerMsMin = 256
const connectionsMax = 64

/** One per process and store: it holds the connections. */
export function createS3Client(options: S3Options): {
  attempt: S3Attempt
  /** Closes the connections; requests after it open new ones. */
  close(): Promise<void>
} {
  const requestTimeoutMs = options.requestTimeoutMs ?? requestTimeoutMsDefault
  let loading: Promise<Loaded> | null = null

  function load(): Promise<Loaded> {
    loading ??= openClient(options, requestTimeoutMs)
    return loading
  }

  return {
    async attempt(bodyBytes, run) {
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
    },
    async close() {
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
