/**
 * Clients of a REST catalog that append to tables over HTTP as engines do: a manifest list for every commit,
 * written to the store first, and the whole answer read. Manifests are names only, for no catalog reads them,
 * and merged when there are many. What comes back is parsed; ids of snapshots fit a double for that.
 */
import { randomInt, randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { decodeManifestList, encodeManifestList } from '../iceberg/codec/manifest-list.ts'
import type { ManifestFile } from '../iceberg/spec/data-file.ts'

export type Files = {
  read(location: string): Promise<Uint8Array>
  write(location: string, bytes: Uint8Array): Promise<void>
}
/** How commits keep apart: not at all, each by a property of its own, or by the snapshot. */
export type Fence = 'none' | 'property' | 'snapshot'
export type Appends = {
  readonly seconds: number
  readonly latenciesMs: readonly number[]
  readonly conflicts: number
}

type WireSnapshot = {
  'snapshot-id': number
  'manifest-list': string
  'timestamp-ms': number
  summary: Record<string, string>
}
export type WireMetadata = {
  location: string
  'table-uuid': string
  'last-sequence-number': number
  'last-updated-ms': number
  properties: Record<string, string>
  refs: Record<string, { 'snapshot-id': number }>
  snapshots: WireSnapshot[]
}
type Answer = { readonly status: number; readonly text: string }

const manifestsMax = 100
/** What potok's sinks and every table under maintenance do: history is not kept for ever. */
const snapshotsMax = 200
const snapshotsExpired = 50
const retryMsMax = 100

export class CatalogHttp {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #port: number

  constructor(port: number) {
    this.#port = port
  }

  async call(method: string, path: string, body?: unknown): Promise<Answer> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: '127.0.0.1',
          port: this.#port,
          path,
          method,
          agent: this.#agent,
          headers: {
            'content-type': 'application/json',
            ...(payload === undefined ? {} : { 'content-length': payload.length }),
          },
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => {
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() })
          })
        },
      )
      outgoing.on('error', reject).end(payload)
    })
  }

  /** Throws at any other answer than 200 or 204. */
  async done(method: string, path: string, body?: unknown): Promise<string> {
    const { status, text } = await this.call(method, path, body)
    if (status !== 200 && status !== 204) throw new Error(`${method} ${path}: ${status} ${text}`)
    return text
  }

  async load(table: string): Promise<WireMetadata> {
    return metadataOf(await this.done('GET', pathOf(table)))
  }

  async swaps(): Promise<number> {
    return (JSON.parse(await this.done('GET', '/stats')) as { swaps: number }).swaps
  }

  close(): void {
    this.#agent.destroy()
  }
}

export function pathOf(table: string): string {
  return `/v1/namespaces/bench/tables/${table}`
}

/** `clients` append to the table for so long; a conflict is answered by a look and another try. */
export async function appendFor(
  http: CatalogHttp,
  files: Files,
  options: { table: string; clients: number; fence: Fence; seconds: number; commitsMax?: number },
): Promise<Appends> {
  const { table, clients, fence, commitsMax = Number.POSITIVE_INFINITY } = options
  const latenciesMs: number[] = []
  let conflicts = 0
  const first = await http.load(table)
  const startedMs = performance.now()
  const endMs = startedMs + options.seconds * 1_000

  async function client(name: number): Promise<void> {
    let metadata = first
    for (let n = 0; performance.now() < endMs && n < commitsMax; n++) {
      const beganMs = performance.now()
      for (;;) {
        const body = await stage(files, metadata, fence, `bench.position.${name}`, clients > 1)
        const { status, text } = await http.call('POST', pathOf(table), body)
        if (status === 200) {
          metadata = metadataOf(text)
          break
        }
        if (status !== 409) throw new Error(`${status} ${text}`)
        conflicts++
        await new Promise((resolve) => setTimeout(resolve, Math.random() * retryMsMax))
        metadata = await http.load(table)
      }
      latenciesMs.push(performance.now() - beganMs)
    }
  }

  await Promise.all(Array.from({ length: clients }, (_, name) => client(name)))
  return { seconds: (performance.now() - startedMs) / 1_000, latenciesMs, conflicts }
}

function metadataOf(text: string): WireMetadata {
  return (JSON.parse(text) as { metadata: WireMetadata }).metadata
}

async function stage(
  files: Files,
  metadata: WireMetadata,
  fence: Fence,
  property: string,
  keepsShort: boolean,
) {
  const headId = metadata.refs['main']?.['snapshot-id']
  const head = metadata.snapshots.findLast((one) => one['snapshot-id'] === headId)
  const sequenceNumber = metadata['last-sequence-number'] + 1
  const snapshotId = randomInt(2 ** 47)
  const folder = `${metadata.location}/metadata`
  const before = head === undefined ? [] : await listOf(files, head['manifest-list'])
  const added = manifestOf(folder, snapshotId, sequenceNumber, 1, [])
  const manifests =
    before.length < manifestsMax
      ? [added, ...before]
      : [added, manifestOf(folder, snapshotId, sequenceNumber, 0, before)]
  const manifestList = `${folder}/snap-${snapshotId}-1-${randomUUID()}.avro`
  const bytes = await encodeManifestList({
    formatVersion: 2,
    snapshotId: BigInt(snapshotId),
    parentSnapshotId: headId === undefined ? null : BigInt(headId),
    sequenceNumber,
    manifests,
  })
  await files.write(manifestList, bytes)
  lists.set(manifestList, manifests)
  const total = Number(head?.summary['total-records'] ?? 0) + 1_000
  const snapshot = {
    'snapshot-id': snapshotId,
    ...(headId === undefined ? {} : { 'parent-snapshot-id': headId }),
    'sequence-number': sequenceNumber,
    'timestamp-ms': Math.max(Date.now(), metadata['last-updated-ms']),
    'manifest-list': manifestList,
    summary: summaryOf(total),
    'schema-id': 0,
  }
  const position = metadata.properties[property] ?? null
  const uuid = { type: 'assert-table-uuid', uuid: metadata['table-uuid'] }
  const requirements = {
    none: [uuid],
    property: [uuid, { type: 'assert-property', key: property, value: position }],
    snapshot: [
      uuid,
      { type: 'assert-ref-snapshot-id', ref: 'main', 'snapshot-id': headId ?? null },
    ],
  }[fence]
  const updates: unknown[] = [
    { action: 'add-snapshot', snapshot },
    { action: 'set-snapshot-ref', 'ref-name': 'main', type: 'branch', 'snapshot-id': snapshotId },
  ]
  if (keepsShort && metadata.snapshots.length > snapshotsMax) {
    const old = metadata.snapshots.slice(0, snapshotsExpired).map((one) => one['snapshot-id'])
    updates.push({ action: 'remove-snapshots', 'snapshot-ids': old })
  }
  if (fence === 'property') {
    const next = { [property]: String(Number(position ?? 0) + 1) }
    updates.push({ action: 'set-properties', updates: next })
  }
  return { requirements, updates }
}

/** As a client keeps what it wrote or read last; the lists of a run fit in memory. */
const lists = new Map<string, readonly ManifestFile[]>()

async function listOf(files: Files, location: string): Promise<readonly ManifestFile[]> {
  const known = lists.get(location)
  if (known !== undefined) return known
  const list = await decodeManifestList(await files.read(location), location)
  if (lists.size > 1_000) lists.clear()
  lists.set(location, list)
  return list
}

function manifestOf(
  folder: string,
  snapshotId: number,
  sequenceNumber: number,
  addedFiles: number,
  merged: readonly ManifestFile[],
): ManifestFile {
  const sum = (count: (one: ManifestFile) => number): number =>
    merged.reduce((total, one) => total + count(one), 0)
  return {
    manifestPath: `${folder}/${randomUUID()}-m0.avro`,
    manifestLength: 7_000,
    partitionSpecId: 0,
    content: 'data',
    sequenceNumber,
    minSequenceNumber: Math.min(sequenceNumber, ...merged.map((one) => one.minSequenceNumber)),
    addedSnapshotId: BigInt(snapshotId),
    addedFilesCount: addedFiles,
    existingFilesCount: sum((one) => one.addedFilesCount + one.existingFilesCount),
    deletedFilesCount: 0,
    addedRowsCount: addedFiles * 1_000,
    existingRowsCount: sum((one) => one.addedRowsCount + one.existingRowsCount),
    deletedRowsCount: 0,
    partitions: [],
  }
}

export function summaryOf(totalRecords: number): Record<string, string> {
  return {
    operation: 'append',
    'added-data-files': '1',
    'added-records': '1000',
    'added-files-size': '100000',
    'changed-partition-count': '1',
    'total-records': String(totalRecords),
    'total-data-files': String(totalRecords / 1_000),
    'total-files-size': String(totalRecords * 100),
    'total-delete-files': '0',
    'total-position-deletes': '0',
    'total-equality-deletes': '0',
  }
}
