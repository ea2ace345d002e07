/**
 * MinIO for the stack suite and `npm run stack`: built once by the machine's `go` (some minutes; kept in the
 * cache). That of a suite is on a free port of the loopback, over a fresh folder, and gone with the suite.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'minio'
import type { S3Options } from '../../adapters/object-store/s3-client.ts'
import { cachedFolder } from './cache.ts'
import { freePort, type ServerPlan, type ServerProcess, startServer } from './server-process.ts'

const execute = promisify(execFile)
/** The last of its kind: the repository was archived in 2026. */
const version = 'v0.0.0-20260212201848-7aac2a2c5b7c'
const answerMsMax = 10_000
const buildTimeoutMs = 25 * 60_000

export type Minio = {
  readonly endpoint: string
  readonly bucket: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** As potok's adapters take it. */
  readonly options: S3Options
  /** As potok's programs take it. */
  readonly env: Readonly<Record<string, string>>
  /** MinIO's own client: it shares nothing with our adapter. */
  judge(): Client
  /** Kills it without warning, and starts it again over the same folder and port. */
  kill(): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
}

export type MinioPlace = {
  readonly folder: string
  readonly port: number
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** MinIO's own client. */
export function minioClient({ port, accessKeyId, secretAccessKey }: MinioPlace): Client {
  return new Client({
    endPoint: '127.0.0.1',
    port,
    useSSL: false,
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
  })
}

export async function planMinio(place: MinioPlace): Promise<ServerPlan> {
  return {
    name: 'MinIO',
    command: join(await cachedFolder(`minio-${version}`, build), 'minio'),
    args: ['server', place.folder, '--address', `127.0.0.1:${place.port}`, '--quiet'],
    env: {
      MINIO_ROOT_USER: place.accessKeyId,
      MINIO_ROOT_PASSWORD: place.secretAccessKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    },
    isReady: () => minioAnswers(place.port),
  }
}

/** A stranger is turned away by one that serves; one that is starting answers 503 to everybody. */
export async function minioAnswers(port: number): Promise<boolean> {
  const signal = AbortSignal.timeout(answerMsMax)
  return (await fetch(`http://127.0.0.1:${port}/`, { signal })).status === 403
}

export async function startMinio(): Promise<Minio> {
  const [accessKeyId, secretAccessKey] = ['potok-test', 'potok-test-secret']
  const folder = await mkdtemp(join(tmpdir(), 'potok-minio-'))
  const place = { folder, port: await freePort(), accessKeyId, secretAccessKey }
  const endpoint = `http://127.0.0.1:${place.port}`
  const bucket = 'lake'
  const plan = await planMinio(place)
  const judge = (): Client => minioClient(place)

  let server: ServerProcess = await startServer(plan)
  await judge().makeBucket(bucket)
  return {
    endpoint,
    bucket,
    accessKeyId,
    secretAccessKey,
    options: { endpoint, region: '', pathStyle: null, accessKeyId, secretAccessKey, caFile: '' },
    env: {
      POTOK_S3_ENDPOINT: endpoint,
      POTOK_S3_ACCESS_KEY_ID: accessKeyId,
      POTOK_S3_SECRET_ACCESS_KEY: secretAccessKey,
    },
    judge,
    kill: () => server.kill('SIGKILL'),
    async restart() {
      server = await startServer(plan)
    },
    async stop() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function build(folder: string): Promise<void> {
  try {
    await execute('go', ['install', `github.com/minio/minio@${version}`], {
      timeout: buildTimeoutMs,
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, GOBIN: folder, GOFLAGS: '', CGO_ENABLED: '0' },
    })
  } catch (error) {
    throw new Error(
      'MinIO can not be built: the stack suite needs Go (Debian: golang) and its module proxy once',
      {
        cause: error,
      },
    )
  }
}
