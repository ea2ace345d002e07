/**
 * Trino 476 as an outside judge of the stack suite: one node on a free port, from Maven Central, unpacked once
 * into the cache with the Iceberg connector and nothing else. Catalogs are made by SQL (`CREATE CATALOG`), so
 * that one server serves several potoks.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseJson } from '../../iceberg/codec/lossless-json.ts'
import { cachedFolder } from './cache.ts'
import { findJava } from './java.ts'
import { mavenFile } from './maven.ts'
import { freePort, startServer } from './server-process.ts'

const version = '476'
const javaMajorMin = 24
const answerMsMax = 10_000
const pluginsKept = new Set(['iceberg'])
const execute = promisify(execFile)

export type Trino = {
  readonly uri: string
  /** Runs one statement to its end; fails with Trino's message. */
  query(sql: string, session?: TrinoSession): Promise<TrinoResult>
  log(): string
  stop(): Promise<void>
}

export type TrinoSession = { readonly catalog?: string; readonly schema?: string }

export type TrinoColumn = { readonly name: string; readonly typeSignature: TrinoType }

export type TrinoType = {
  readonly rawType: string
  readonly arguments: readonly { readonly kind: string; readonly value: unknown }[]
}

export type TrinoResult = {
  readonly columns: readonly TrinoColumn[]
  /** Values as Trino's JSON has them; integers that a double can't hold are bigint. */
  readonly rows: readonly (readonly unknown[])[]
  readonly updateCount: number | null
}

export class TrinoError extends Error {
  readonly errorName: string

  constructor(message: string, errorName: string) {
    super(message)
    this.errorName = errorName
  }
}

/** `file:` locations are read as they are with this; any other value is put in front of their path. */
const localFiles = { 'fs.native-local.enabled': 'true', 'local.location': '/' }

export function s3Files(
  endpoint: string,
  keys: { readonly accessKeyId: string; readonly secretAccessKey: string },
): Readonly<Record<string, string>> {
  return {
    'fs.native-s3.enabled': 'true',
    's3.endpoint': endpoint,
    's3.region': 'us-east-1',
    's3.path-style-access': 'true',
    's3.aws-access-key': keys.accessKeyId,
    's3.aws-secret-key': keys.secretAccessKey,
  }
}

/** The statement that makes potok's catalog known to Trino. */
export function createCatalogSql(
  name: string,
  catalogUrl: string,
  fileSystem: Readonly<Record<string, string>> = localFiles,
): string {
  const properties = {
    'iceberg.catalog.type': 'rest',
    'iceberg.rest-catalog.uri': catalogUrl,
    'iceberg.rest-catalog.nested-namespace-enabled': 'true',
    'iceberg.rest-catalog.view-endpoints-enabled': 'true',
    ...fileSystem,
  }
  const list = Object.entries(properties).map(([key, value]) => `"${key}" = '${value}'`)
  return `CREATE CATALOG ${name} USING iceberg WITH (${list.join(', ')})`
}

export async function startTrino(): Promise<Trino> {
  const { java, home } = await trinoProgram()
  const work = await mkdtemp(join(tmpdir(), 'potok-trino-'))
  const port = await freePort()
  const uri = `http://127.0.0.1:${port}`
  await writeSettings(work, home, port)
  const server = await startServer({
    name: `Trino ${version}`,
    command: java,
    args: [...trinoJvmArguments, ...settingsArguments(work), ...trinoMain(home)],
    cwd: work,
    isReady: () => trinoIsReady(uri),
  })
  return {
    uri,
    query: (sql, session) => queryTrino(uri, sql, session),
    log: () => server.log(),
    async stop() {
      await server.stop()
      await rm(work, { recursive: true, force: true })
    },
  }
}

export async function trinoProgram(): Promise<{ readonly java: string; readonly home: string }> {
  return { java: await findJava(javaMajorMin), home: await unpacked() }
}

export function trinoMain(home: string): string[] {
  return ['-cp', join(home, 'lib', '*'), 'io.trino.server.TrinoServer']
}

export async function trinoIsReady(uri: string): Promise<boolean> {
  const response = await fetch(`${uri}/v1/info`, { signal: AbortSignal.timeout(answerMsMax) })
  return !((await response.json()) as { starting: boolean }).starting
}

/**
 * As Trino's own `jvm.config` has them, but with little memory and for a short life: the second compiler would
 * take more time than it saves (half the CPU for the same queries without it).
 */
export const trinoJvmArguments = [
  '-server',
  '-Xmx1500M',
  '-XX:+ExitOnOutOfMemoryError',
  '-XX:-OmitStackTraceInFastThrow',
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
  '-Djdk.attach.allowAttachSelf=true',
  '-Djdk.nio.maxCachedBufferSize=2000000',
  '-Dfile.encoding=UTF-8',
  '-XX:+EnableDynamicAgentLoading',
  '--enable-native-access=ALL-UNNAMED',
  '--sun-misc-unsafe-memory-access=allow',
]

function settingsArguments(work: string): string[] {
  return [
    '-Dnode.environment=test',
    `-Dnode.data-dir=${join(work, 'data')}`,
    `-Dconfig=${join(work, 'config.properties')}`,
    `-Dlog.levels-file=${join(work, 'log.properties')}`,
  ]
}

async function writeSettings(work: string, home: string, port: number): Promise<void> {
  await mkdir(join(work, 'data'))
  const config = {
    coordinator: 'true',
    'node-scheduler.include-coordinator': 'true',
    'http-server.http.port': String(port),
    'node.internal-address': '127.0.0.1',
    'node.bind-ip': '127.0.0.1',
    'discovery.uri': `http://127.0.0.1:${port}`,
    'query.max-memory': '400MB',
    'query.max-memory-per-node': '400MB',
    'memory.heap-headroom-per-node': '300MB',
    'task.concurrency': '1',
    'task.max-worker-threads': '4',
    'catalog.management': 'dynamic',
    'catalog.store': 'memory',
    'plugin.dir': join(home, 'plugin'),
  }
  const lines = Object.entries(config).map(([key, value]) => `${key}=${value}\n`)
  await writeFile(join(work, 'config.properties'), lines.join(''))
  await writeFile(join(work, 'log.properties'), 'io.trino=WARN\nio.airlift=WARN\n')
}

async function unpacked(): Promise<string> {
  return await cachedFolder(`trino-${version}`, async (folder) => {
    const archive = await mavenFile(`io.trino:trino-server:${version}:tar.gz`)
    // All of it first: the plugins' jars are hard links to each other's.
    await execute('tar', ['-xzf', archive, '-C', folder, '--strip-components=1'])
    for (const plugin of await readdir(join(folder, 'plugin'))) {
      if (!pluginsKept.has(plugin)) await rm(join(folder, 'plugin', plugin), { recursive: true })
    }
  })
}

type Answer = {
  readonly nextUri?: string
  readonly columns?: readonly TrinoColumn[]
  readonly data?: readonly (readonly unknown[])[]
  readonly updateCount?: number | bigint
  readonly error?: { readonly message: string; readonly errorName: string }
}

/** https://trino.io/docs/476/develop/client-protocol.html: the first answer, and those that `nextUri` names. */
export async function queryTrino(
  uri: string,
  sql: string,
  session: TrinoSession = {},
): Promise<TrinoResult> {
  const headers: Record<string, string> = {
    'x-trino-user': 'judge',
    'x-trino-time-zone': 'UTC',
    // Else timestamps and times come cut to milliseconds.
    'x-trino-client-capabilities': 'PARAMETRIC_DATETIME',
  }
  if (session.catalog !== undefined) headers['x-trino-catalog'] = session.catalog
  if (session.schema !== undefined) headers['x-trino-schema'] = session.schema
  let columns: readonly TrinoColumn[] = []
  const rows: (readonly unknown[])[] = []
  let updateCount: number | null = null
  let answer = await ask(`${uri}/v1/statement`, { method: 'POST', headers, body: sql })
  for (;;) {
    if (answer.error !== undefined)
      throw new TrinoError(answer.error.message, answer.error.errorName)
    columns = answer.columns ?? columns
    rows.push(...(answer.data ?? []))
    if (answer.updateCount !== undefined) updateCount = Number(answer.updateCount)
    if (answer.nextUri === undefined) return { columns, rows, updateCount }
    answer = await ask(answer.nextUri, { headers })
  }
}

async function ask(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  if (!response.ok) throw new Error(`Trino answered ${response.status}: ${text.slice(0, 500)}`)
  return parseJson(text) as Answer
}
