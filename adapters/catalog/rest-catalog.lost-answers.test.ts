/**
 * The adapter behind a network that loses requests and answers, cuts bodies and answers for itself, in front of
 * potok's own server: from the table's history, every commit reported as done is there once, every one reported
 * as refused is not, and unknown ones are either.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { afterEach, expect, it } from 'vitest'
import { createCatalogService } from '../../catalog/catalog-service.ts'
import { createCatalogRouter } from '../../catalog/rest-server.ts'
import { isPotokError } from '../../kernel/errors.ts'
import { appendOf, nextSnapshot, testSchema } from '../../testkit/contracts/catalog.ts'
import { randomIds, systemClock } from '../../testkit/fixed-ports.ts'
import { createRandom } from '../../testkit/random.ts'
import { createMemoryObjectStore } from '../object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../object-store/memory-root-object.ts'
import { createRestCatalog, type RestCatalog } from './rest-catalog.ts'

const events = { namespace: ['traffic'], name: 'events' }
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  closing.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function startCatalog(): Promise<string> {
  const service = createCatalogService({
    root: createMemoryRootObject(),
    store: createMemoryObjectStore(),
    clock: systemClock,
    ids: randomIds,
    warehouseLocation: 'memory://w',
  })
  closing.push(() => service.close())
  return await listen(express().use(createCatalogRouter(service)))
}

type Fate = 'through' | 'request-lost' | 'answer-lost' | 'half' | 'refused-before' | 'failed-after'

/** Where `hasKeys` is false it also hides that the catalog knows idempotency keys. */
async function startNetwork(to: string, fateOf: () => Fate, hasKeys: boolean): Promise<string> {
  return await listen((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => void pass(request, Buffer.concat(chunks), response))
  })

  async function pass(request: IncomingMessage, body: Buffer, response: ServerResponse) {
    const isConfig = request.url?.startsWith('/v1/config') === true
    const fate = isConfig ? 'through' : fateOf()
    if (fate === 'request-lost') return void response.destroy()
    if (fate === 'refused-before') return void response.writeHead(429).end()
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => /^(content-type|idem|if-)/.test(name)),
    ) as Record<string, string>
    const answer = await fetch(`${to}${request.url}`, {
      method: request.method ?? 'GET',
      headers,
      ...(body.length === 0 ? {} : { body: new Uint8Array(body) }),
    })
    const text = (await answer.text()).replace(
      isConfig && !hasKeys ? /"idempotency-key-lifetime":"\w+"/ : /$^/,
      '"x":0',
    )
    if (fate === 'answer-lost') return void response.destroy()
    if (fate === 'failed-after') return void response.writeHead(502).end('Bad gateway')
    const bytes = Buffer.from(text)
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    if (fate === 'half') response.write(bytes.subarray(0, 20), () => response.destroy())
    else response.end(bytes)
  }
}

it.each([
  { hasKeys: true, seed: 1 },
  { hasKeys: false, seed: 2 },
])('reports of commits are true (keys: $hasKeys, seed $seed)', async ({ hasKeys, seed }) => {
  const random = createRandom(seed)
  const faults: readonly Fate[] = [
    'request-lost',
    'answer-lost',
    'half',
    'refused-before',
    'failed-after',
  ]
  let isStormy = false
  const fateOf = (): Fate => (isStormy && random.chance(0.4) ? random.pick(faults) : 'through')
  const network = await startNetwork(await startCatalog(), fateOf, hasKeys)
  const connect = (): RestCatalog => {
    const catalog = createRestCatalog({
      properties: { uri: network },
      clock: systemClock,
      ids: randomIds,
      sleep: async () => {},
      random: () => random.next(),
    })
    closing.push(() => catalog.close())
    return catalog
  }
  const calm = connect()
  await calm.createNamespace(events.namespace)
  await calm.createTable({ identifier: events, schema: testSchema })

  const reports = new Map<bigint, 'done' | 'refused' | 'unknown'>()
  isStormy = true
  await Promise.all(
    Array.from({ length: 3 }, async (_, writer) => {
      const catalog = connect()
      for (let i = 1; i <= 12; i++) {
        const id = BigInt(writer * 1_000 + i)
        try {
          const { metadata } = await catalog.loadTable(events)
          const snapshot = nextSnapshot(metadata, id)
          const ref = { ref: 'main', snapshotId: metadata.currentSnapshotId }
          reports.set(id, 'unknown')
          await catalog.commit([
            {
              identifier: events,
              requirements: [{ type: 'assert-ref-snapshot-id', ...ref }],
              updates: appendOf(snapshot),
            },
          ])
          reports.set(id, 'done')
        } catch (error) {
          if (isPotokError(error, 'CommitConflict')) reports.set(id, 'refused')
          else if (!isPotokError(error)) throw error
        }
      }
    }),
  )
  isStormy = false

  const { metadata } = await calm.loadTable(events)
  const inTable = metadata.snapshots.map(({ snapshotId }) => snapshotId)
  expect(new Set(inTable).size).toBe(inTable.length)
  const counts = { done: 0, refused: 0, unknown: 0 }
  for (const [id, report] of reports) {
    counts[report]++
    if (report !== 'unknown')
      expect(inTable.includes(id), `${id} ${report}`).toBe(report === 'done')
  }
  // Something of each happened, else nothing was shown; keys settle what would be unknown without.
  expect(counts.done).toBeGreaterThan(0)
  expect(counts.refused).toBeGreaterThan(0)
  if (!hasKeys) expect(counts.unknown).toBeGreaterThan(0)
  expect(inTable.every((id) => reports.get(id) !== 'refused')).toBe(true)
})
