import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createMemoryObjectStore } from '../adapters/object-store/memory-object-store.ts'
import { createMemoryRootObject } from '../adapters/object-store/memory-root-object.ts'
import { parseJson, stringifyJson } from '../iceberg/codec/lossless-json.ts'
import { encodeSchema } from '../iceberg/codec/schema-json.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { randomIds } from '../testkit/fixed-ports.ts'
import { createCatalogService } from './catalog-service.ts'
import { createCatalogRouter } from './rest-server.ts'
import { decodeRootState } from './root-state.ts'

// biome-ignore lint: answers of any shape are looked into
type Json = any
type Answer = { status: number; json: Json; retryAfter: string | null }
type Call = (method: string, path: string, body?: unknown, key?: string) => Promise<Answer>

const minuteMs = 60_000
const tablePath = '/namespaces/ns/tables/t'
const servers: Server[] = []
let root: ReturnType<typeof createMemoryRootObject>
let store: ReturnType<typeof createMemoryObjectStore>
let nowMs: number
let keyCount: number

beforeEach(() => {
  root = createMemoryRootObject()
  store = createMemoryObjectStore()
  nowMs = 1_800_000_000_000
  keyCount = 0
})
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** Another catalog server over the same root: another process, or the same one after a restart. */
async function serve(idempotencyKeysMax = 1_000): Promise<Call> {
  const service = createCatalogService({
    root,
    store,
    clock: { nowMs: () => nowMs },
    ids: randomIds,
    warehouseLocation: 'memory://w',
    sleep: async () => undefined,
    idempotencyKeysMax,
  })
  const app = express()
  app.use(createCatalogRouter(service))
  const server = createServer(app)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return async (method, path, body, key) => {
    const response = await fetch(base + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'Idempotency-Key': key }),
      },
      ...(body === undefined ? {} : { body: stringifyJson(body) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      json: text === '' ? null : parseJson(text),
      retryAfter: response.headers.get('retry-after'),
    }
  }
}

async function withTable(): Promise<Call> {
  const call = await serve()
  expect((await call('POST', '/namespaces', { namespace: ['ns'] })).status).toBe(200)
  expect((await call('POST', '/namespaces/ns/tables', creation('t'))).status).toBe(200)
  return call
}

function newKey(): string {
  return `019a0000-0000-7000-8000-${String(keyCount++).padStart(12, '0')}`
}

function creation(name: string) {
  return { name, schema: encodeSchema(testSchema) }
}

/** Succeeds once: the property must not be there yet. */
function once(key: string, value = '1') {
  return {
    requirements: [{ type: 'assert-property', key, value: null }],
    updates: [{ action: 'set-properties', updates: { [key]: value } }],
  }
}

describe('a request with a key', () => {
  it('is done once, and answered alike when it comes again, also by another server', async () => {
    const call = await withTable()
    const key = newKey()
    const first = await call('POST', tablePath, once('a'), key)
    const swaps = root.history.length
    const again = await call('POST', tablePath, once('a'), key)
    const elsewhere = await (await serve())('POST', tablePath, once('a'), key.toUpperCase())
    expect([first.status, again.status, elsewhere.status]).toEqual([200, 200, 200])
    expect(again.json).toEqual(first.json)
    expect(elsewhere.json).toEqual(first.json)
    expect(root.history.length).toBe(swaps)
    expect((await call('POST', tablePath, once('a'))).status).toBe(409)
  })

  it('is answered with the same refusal though it would succeed by now', async () => {
    const call = await withTable()
    await call('POST', tablePath, once('a'))
    const key = newKey()
    const first = await call('POST', tablePath, once('a'), key)
    const remove = { requirements: [], updates: [{ action: 'remove-properties', removals: ['a'] }] }
    expect((await call('POST', tablePath, remove)).status).toBe(200)
    const again = await (await serve())('POST', tablePath, once('a'), key)
    expect(first.status).toBe(409)
    expect(first.json.error.type).toBe('CommitFailedException')
    expect(again).toEqual(first)
    expect((await call('POST', tablePath, once('a'), newKey())).status).toBe(200)
  })

  it('is refused with 422 where the key was used for another path, query, method or body', async () => {
    const call = await withTable()
    const key = newKey()
    expect((await call('POST', tablePath, once('a'), key)).status).toBe(200)
    const others = [
      await call('POST', tablePath, once('a', '2'), key),
      await call('POST', `${tablePath}?x=1`, once('a'), key),
      await call('POST', '/namespaces/ns/tables', creation('u'), key),
      await call('DELETE', tablePath, undefined, key),
    ]
    for (const other of others) {
      expect(other.status).toBe(422)
      expect(other.json.error.type).toBe('UnprocessableEntityException')
    }
    expect((await call('GET', tablePath)).json.metadata.properties).toMatchObject({ a: '1' })
  })

  it.each(['', 'x', '00000000-0000-4000-8000-000000000000', '0'.repeat(36)])(
    'is refused with 400 where the key is no UUIDv7: "%s"',
    async (key) => {
      const call = await serve()
      const answer = await call('POST', '/namespaces', { namespace: ['ns'] }, key)
      expect(answer.status).toBe(400)
      expect(root.history).toHaveLength(0)
    },
  )

  it('is done once though it arrives many times at once, on one server and on several', async () => {
    const call = await withTable()
    const calls = [call, call, call, await serve(), await serve()]
    const key = newKey()
    const answers = await Promise.all(
      calls.flatMap((one) => [1, 2, 3].map(() => one('POST', tablePath, once('a'), key))),
    )
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]))
    expect(new Set(answers.map((answer) => answer.json['metadata-location'])).size).toBe(1)
  })

  it('with another body at the same time is refused with 422', async () => {
    const call = await withTable()
    const key = newKey()
    const answers = await Promise.all(
      ['1', '2', '3'].map((value) => call('POST', tablePath, once('a', value), key)),
    )
    expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([
      200, 422, 422,
    ])
  })
})

describe('every mutating route', () => {
  it('replays success', async () => {
    const call = await withTable()
    const view = {
      name: 'v',
      schema: encodeSchema(testSchema),
      'view-version': {
        'version-id': 1,
        'timestamp-ms': 1,
        'schema-id': 0,
        summary: {},
        'default-namespace': ['ns'],
        representations: [{ type: 'sql', sql: 'select 1', dialect: 'trino' }],
      },
      properties: {},
    }
    const identifier = (name: string) => ({ namespace: ['ns'], name })
    const rename = (from: string, to: string) => ({
      source: identifier(from),
      destination: identifier(to),
    })
    const location = (await call('GET', tablePath)).json['metadata-location']
    const change = (name: string) => ({ identifier: identifier(name), ...once('z') })
    const requests: [string, string, unknown][] = [
      ['POST', '/namespaces', { namespace: ['n2'], properties: { a: '1' } }],
      ['POST', '/namespaces/n2/properties', { removals: ['a', 'b'], updates: { c: '1' } }],
      ['DELETE', '/namespaces/n2', undefined],
      ['POST', '/namespaces/ns/tables', creation('u')],
      ['POST', '/namespaces/ns/register', { name: 'r', 'metadata-location': location }],
      ['POST', '/transactions/commit', { 'table-changes': [change('u'), change('t')] }],
      ['POST', '/tables/rename', rename('u', 'w')],
      ['DELETE', '/namespaces/ns/tables/w?purgeRequested=true', undefined],
      ['POST', '/namespaces/ns/views', view],
      [
        'POST',
        '/namespaces/ns/views/v',
        { updates: [{ action: 'set-properties', updates: { p: '1' } }] },
      ],
      ['POST', '/views/rename', rename('v', 'v2')],
      ['DELETE', '/namespaces/ns/views/v2', undefined],
    ]
    for (const [method, path, body] of requests) {
      const key = newKey()
      const first = await call(method, path, body, key)
      const swaps = root.history.length
      const again = await (await serve())(method, path, body, key)
      expect([path, first.status]).toEqual([
        path,
        path.match(/^\/(tables|views)\/|^\/tr/) || method === 'DELETE' ? 204 : 200,
      ])
      expect([path, again]).toEqual([path, first])
      expect(root.history.length).toBe(swaps)
    }
  })

  it('replays refusals of each status', async () => {
    const call = await withTable()
    const requests: [number, string, string, unknown][] = [
      [409, 'POST', '/namespaces', { namespace: ['ns'] }],
      [409, 'POST', '/namespaces/ns/tables', creation('t')],
      [409, 'DELETE', '/namespaces/ns', undefined],
      [404, 'DELETE', '/namespaces/ns/tables/none', undefined],
      [404, 'POST', '/namespaces/none/tables', creation('t')],
    ]
    for (const [status, method, path, body] of requests) {
      const key = newKey()
      const first = await call(method, path, body, key)
      const swaps = root.history.length
      expect([path, first.status]).toEqual([path, status])
      expect(await (await serve())(method, path, body, key)).toEqual(first)
      expect(root.history.length).toBe(swaps)
    }
  })

  it('has the lifetime of keys in its configuration', async () => {
    const call = await serve()
    expect((await call('GET', '/config')).json['idempotency-key-lifetime']).toBe('PT10M')
  })
})

describe('lost answers', () => {
  it('gives 200 for the second try of a commit whose outcome could not be found out', async () => {
    const call = await withTable()
    const key = newKey()
    const swap = root.swap.bind(root)
    root.script = ['answer-lost']
    root.swap = async (expected, bytes) => {
      root.isUnreachable = true
      return swap(expected, bytes)
    }
    const first = await call('POST', tablePath, once('a'), key)
    expect([first.status, first.json.error.type]).toEqual([500, 'CommitStateUnknownException'])
    root.isUnreachable = false
    root.swap = swap
    expect((await (await serve())('POST', tablePath, once('a'), key)).status).toBe(200)
  })

  it('lets one in where the first try lands while the second is under way', async () => {
    const call = await withTable()
    const key = newKey()
    const swap = root.swap.bind(root)
    root.script = ['delayed']
    root.swap = async (expected, bytes) => {
      root.isUnreachable = true
      return swap(expected, bytes)
    }
    expect((await call('POST', tablePath, once('a'), key)).status).toBe(500)
    root.isUnreachable = false
    root.swap = async (expected, bytes) => {
      root.deliverDelayed()
      return swap(expected, bytes)
    }
    expect((await call('POST', tablePath, once('a'), key)).status).toBe(200)
    expect(decodeRootState(root.history.at(-1) as Uint8Array).idempotency.recent).toHaveLength(1)
  })

  it('remembers no overload and no failure: the same key may succeed later', async () => {
    const call = await withTable()
    const key = newKey()
    root.script = ['refused']
    const refused = await call('POST', tablePath, once('a'), key)
    expect(refused.status).toBe(503)
    expect((await call('POST', tablePath, once('a'), key)).status).toBe(200)
  })
})

describe('capacity and lifetime', () => {
  it('refuses further keys with 429 before anything happens, and takes them when some have expired', async () => {
    await withTable()
    const call = await serve(3)
    for (const name of ['a', 'b', 'c']) {
      expect((await call('POST', tablePath, once(name), newKey())).status).toBe(200)
    }
    const swaps = root.history.length
    const full = await call('POST', tablePath, once('d'), newKey())
    expect([full.status, full.retryAfter]).toEqual([429, '1'])
    expect(root.history.length).toBe(swaps)
    expect((await call('POST', tablePath, once('e'))).status).toBe(200)
    nowMs += 12 * minuteMs
    expect((await call('POST', tablePath, once('d'), newKey())).status).toBe(200)
  })

  it('keeps a key for its lifetime, and takes it for a new one long after', async () => {
    const call = await withTable()
    const key = newKey()
    await call('POST', tablePath, once('a'), key)
    nowMs += 10 * minuteMs
    expect((await call('POST', tablePath, once('a'), key)).status).toBe(200)
    nowMs += 2 * minuteMs
    expect((await call('POST', tablePath, once('a'), key)).status).toBe(409)
  })

  it('finds keys in pages, drops expired pages, and deletes them one step later', async () => {
    const call = await withTable()
    const keys = Array.from({ length: 300 }, newKey)
    const answers = await Promise.all(
      keys.map((key, i) => call('POST', tablePath, once(`k${i}`), key)),
    )
    expect(answers.every((answer) => answer.status === 200)).toBe(true)
    const pages = () => [...store.objects.keys()].filter((name) => name.includes('/keys-'))
    expect(pages()).toHaveLength(1)
    const fresh = await serve()
    for (const i of [0, 150, 299]) {
      expect((await fresh('POST', tablePath, once(`k${i}`), keys[i])).status).toBe(200)
    }
    nowMs += 12 * minuteMs
    await call('POST', tablePath, once('later'), newKey())
    const state = decodeRootState(root.history.at(-1) as Uint8Array).idempotency
    expect(state).toMatchObject({ pages: [], recent: [{ result: { outcome: 'table' } }] })
    expect(state.retired).toHaveLength(1)
  })

  it('gives up a key page of a swap that was lost', async () => {
    const call = await withTable()
    root.rival = async () => {
      const own = root.script
      root.script = []
      await (await serve())('POST', tablePath, once(`rival`))
      root.script = own
    }
    const count = 257
    root.script = ['ok', 'rival-first']
    const answers = await Promise.all(
      Array.from({ length: count }, (_, i) => call('POST', tablePath, once(`k${i}`), newKey())),
    )
    expect(answers.every((answer) => answer.status === 200)).toBe(true)
    const state = decodeRootState(root.history.at(-1) as Uint8Array).idempotency
    const held = [...store.objects.keys()].filter((name) => name.includes('/keys-'))
    expect(held).toEqual(
      state.pages.map((page) => `memory://w/.catalog/pages/keys-${page.id}.json`),
    )
    expect(state.recent.length + state.pages.reduce((n, page) => n + page.keyCount, 0)).toBe(count)
  })
})
