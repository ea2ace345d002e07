/**
 * potok's REST catalog over HTTP, the server a process of its own: commits a second of many clients that append
 * to one table, by what they assert, beside a server that takes one commit a swap; and what a commit takes as
 * tables or snapshots become many. Server and clients share the machine.
 *
 *   npm run bench -- catalog [--seconds 10] [--clients 32] [--tables 10000] [--snapshots 10000] [--minio]
 *
 * With --minio the warehouse is in MinIO (built on first use) instead of a local folder.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createS3Api } from '../adapters/object-store/s3-api.ts'
import { createS3ObjectStore } from '../adapters/object-store/s3-object-store.ts'
import { createLogger } from '../adapters/telemetry/logger.ts'
import { type Minio, startMinio } from '../testkit/servers/minio.ts'
import {
  type Appends,
  appendFor,
  CatalogHttp,
  type Fence,
  type Files,
  pathOf,
  summaryOf,
} from './lib-catalog-clients.ts'
import { machine, usageOf } from './lib-machine.ts'

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    clients: { type: 'string', default: '32' },
    tables: { type: 'string', default: '10000' },
    snapshots: { type: 'string', default: '10000' },
    minio: { type: 'boolean', default: false },
    /** A server that is profiled: `--cpu-prof-dir=…` of node. */
    'profile-into': { type: 'string' },
  },
})
const seconds = Number(flags.seconds)
const clients = Number(flags.clients)
const schema = {
  type: 'struct',
  'schema-id': 0,
  fields: [{ id: 1, name: 'id', required: false, type: 'long' }],
}

type Server = {
  readonly http: CatalogHttp
  readonly files: Files
  readonly pid: number
  stop(): Promise<void>
}

async function startServer(minio: Minio | null, changesPerSwap: number): Promise<Server> {
  const data = await mkdtemp(join(tmpdir(), 'potok-bench-catalog-'))
  const prefix = `s3://${minio?.bucket}/bench-${Date.now()}`
  const profile = flags['profile-into']
  const child = spawn(
    process.execPath,
    [
      ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]),
      join(import.meta.dirname, 'lib-catalog-server.ts'),
      data,
      String(changesPerSwap),
      ...(minio === null ? [] : [prefix]),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...minio?.env } },
  )
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (line: Buffer) => {
      resolve((JSON.parse(line.toString()) as { port: number }).port)
    })
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}`)))
  })
  const http = new CatalogHttp(port)
  await http.done('POST', '/v1/namespaces', { namespace: ['bench'] })
  return {
    http,
    files: minio === null ? localFiles : s3Files(minio, data),
    pid: child.pid as number,
    async stop() {
      http.close()
      const gone = new Promise((resolve) => {
        child.once('exit', resolve)
      })
      child.kill('SIGTERM')
      await gone
      await rm(data, { recursive: true, force: true })
    },
  }
}

/** Engines don't fsync what they write to a folder. */
const localFiles: Files = {
  read: (location) => readFile(fileURLToPath(location)),
  async write(location, bytes) {
    const path = fileURLToPath(location)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, bytes)
  },
}

function s3Files(minio: Minio, data: string): Files {
  const store = createS3ObjectStore({
    api: createS3Api(minio.options),
    cacheFolder: join(data, 'client-cache'),
    cacheBytesMax: 1_000_000,
    logger: createLogger({ level: 'error', role: 'bench' }),
  })
  return {
    read: (location) => store.read(location),
    write: async (location, bytes) => {
      await store.write(location, bytes)
    },
  }
}

async function createTable({ http }: Server, name: string): Promise<void> {
  await http.done('POST', '/v1/namespaces/bench/tables', { name, schema })
}

async function throughput(minio: Minio | null): Promise<void> {
  console.log(`\n${clients} clients append to one table for ${seconds} s`)
  for (const changesPerSwap of [256, 1]) {
    const server = await startServer(minio, changesPerSwap)
    for (const fence of ['none', 'property', 'snapshot'] as const) {
      await createTable(server, `by-${fence}`)
      const before = await server.http.swaps()
      const options = { table: `by-${fence}`, clients, fence, seconds }
      const usedBefore = [usageOf(server.pid).cpuSeconds, usageOf(process.pid).cpuSeconds]
      const result = await appendFor(server.http, server.files, options)
      const used = [usageOf(server.pid).cpuSeconds, usageOf(process.pid).cpuSeconds].map(
        (cpuSeconds, i) =>
          ((1_000 * (cpuSeconds - (usedBefore[i] ?? 0))) / result.latenciesMs.length).toFixed(1),
      )
      const swaps = (await server.http.swaps()) - before
      const what = `${changesPerSwap === 1 ? 'one commit a swap' : 'group commit'}, ${assertions[fence]}`
      console.log(
        `${what.padEnd(42)} ${figures(result)}, ${swaps} swaps, CPU ms a commit: server ${used[0]}, clients ${used[1]}`,
      )
    }
    await server.stop()
  }
}

const assertions: Record<Fence, string> = {
  none: 'nothing asserted',
  property: 'assert-property',
  snapshot: 'snapshot asserted',
}

async function manyTables(minio: Minio | null): Promise<void> {
  console.log('\nappends of one client, one after another, by tables in the catalog')
  const server = await startServer(minio, 256)
  let tables = 0
  for (const count of [10, 1_000, 10_000].filter((one) => one <= Number(flags.tables))) {
    const lane = async (): Promise<void> => {
      while (tables < count) await createTable(server, `t${tables++}`)
    }
    await Promise.all(Array.from({ length: 64 }, lane))
    // Each time a table without history: only the number of tables differs.
    await createTable(server, `measured-${count}`)
    await one(server, `measured-${count}`, `${count} tables`)
  }
  await server.stop()
}

async function manySnapshots(minio: Minio | null): Promise<void> {
  console.log('\nappends of one client, one after another, by snapshots of the table')
  const server = await startServer(minio, 256)
  for (const count of [1, 1_000, 10_000].filter((some) => some <= Number(flags.snapshots))) {
    const table = `with-${count}`
    await createTable(server, table)
    // The first has a list that is there; the others go on from it and are read by nobody.
    const options = { table, clients: 1, fence: 'none' as const, seconds: 60, commitsMax: 1 }
    await appendFor(server.http, server.files, options)
    if (count > 1) await addHistory(server, table, count - 1)
    await one(server, table, `${count} snapshots`)
  }
  await server.stop()
}

async function one(server: Server, table: string, what: string): Promise<void> {
  const options = { table, clients: 1, fence: 'none' as const, seconds, commitsMax: 100 }
  const bytes = (await server.http.done('GET', pathOf(table))).length
  const result = await appendFor(server.http, server.files, options)
  const metadata = `${(bytes / 1_024).toFixed(0)} KiB of metadata`
  console.log(`${what.padEnd(42)} ${figures(result)}, ${metadata}`)
}

async function addHistory({ http }: Server, table: string, count: number): Promise<void> {
  const metadata = await http.load(table)
  const first = metadata.snapshots[0]
  if (first === undefined) throw new RangeError('a table without a snapshot')
  const updates: unknown[] = []
  let parent = first['snapshot-id']
  for (let i = 1; i <= count; i++) {
    const snapshotId = 2 ** 48 + i
    const snapshot = {
      'snapshot-id': snapshotId,
      'parent-snapshot-id': parent,
      'sequence-number': i + 1,
      'timestamp-ms': Date.now(),
      'manifest-list': first['manifest-list'],
      summary: summaryOf((i + 1) * 1_000),
      'schema-id': 0,
    }
    updates.push({ action: 'add-snapshot', snapshot })
    parent = snapshotId
  }
  updates.push({
    action: 'set-snapshot-ref',
    'ref-name': 'main',
    type: 'branch',
    'snapshot-id': parent,
  })
  await http.done('POST', pathOf(table), { requirements: [], updates })
}

function figures({ seconds: took, latenciesMs, conflicts }: Appends): string {
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  const quantile = (q: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN).toFixed(1)
  const rate = (sorted.length / took).toFixed(1).padStart(6)
  return `${rate} commits/s, p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, ${conflicts} conflicts`
}

console.log(machine())
const minio = flags.minio ? await startMinio() : null
console.log(minio === null ? 'warehouse: a local folder' : 'warehouse: MinIO on this machine')
try {
  await throughput(minio)
  await manyTables(minio)
  await manySnapshots(minio)
} finally {
  await minio?.stop()
}
