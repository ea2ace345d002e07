import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeSchema } from '../iceberg/codec/schema-json.ts'
import { type CatalogServer, type Json, startCatalogServer } from '../testkit/catalog-server.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'
import { endpointOf, unsupportedRoutes } from './rest-routes.ts'

let server: CatalogServer
let call: CatalogServer['call']

beforeEach(async () => {
  server = await startCatalogServer()
  call = server.call
  await call('POST', '/namespaces', { namespace: ['ns'] })
})
afterEach(async () => {
  await server.stop()
})

const tablePath = '/namespaces/ns/tables/t'

function makeTable(name = 't', more: object = {}) {
  return call('POST', '/namespaces/ns/tables', {
    name,
    schema: encodeSchema(testSchema),
    ...more,
  })
}

function commit(updates: readonly object[], requirements: readonly object[] = []) {
  return call('POST', tablePath, { requirements, updates })
}

describe('pages', () => {
  const names = async (query: string): Promise<{ names: string[]; next: unknown }> => {
    const { json } = await call('GET', `/namespaces/ns/tables${query}`)
    return { names: json.identifiers.map((one: Json) => one.name), next: json['next-page-token'] }
  }
  beforeEach(async () => {
    for (const name of ['a', 'b', 'c']) await makeTable(name)
  })

  it('are only for clients that send a token, be it empty', async () => {
    const all = { names: ['a', 'b', 'c'], next: null }
    expect(await names('')).toEqual(all)
    expect(await names('?pageSize=2')).toEqual(all)
    expect(await names('?pageToken=')).toEqual(all)
    expect((await names('?pageToken=&pageSize=2')).names).toEqual(['a', 'b'])
  })

  it('go on after the token, to the end where no size is given', async () => {
    const { next } = await names('?pageToken=&pageSize=1')
    expect((await names(`?pageToken=${String(next)}`)).names).toEqual(['b', 'c'])
    await call('DELETE', '/namespaces/ns/tables/a')
    expect((await names(`?pageToken=${String(next)}&pageSize=1`)).names).toEqual(['b'])
  })

  it('end with a token of null, exactly at the last name, too', async () => {
    expect(await names('?pageToken=&pageSize=3')).toEqual({ names: ['a', 'b', 'c'], next: null })
    expect((await names('?pageToken=&pageSize=99999999')).next).toBeNull()
  })

  it.each(['pageSize=0', 'pageSize=-1', 'pageSize=x', 'pageSize=1.5', 'pageToken=%25%25'])(
    'are refused for %s',
    async (query) => {
      for (const path of ['/namespaces', '/namespaces/ns/tables', '/namespaces/ns/views']) {
        const answer = await call('GET', `${path}?${query}`)
        expect(answer.json.error).toMatchObject({ type: 'IllegalArgumentException', code: 400 })
      }
    },
  )
})

describe('namespaces', () => {
  it('are parted by the separator that the configuration names', async () => {
    const separator = (await call('GET', '/config')).json.overrides['namespace-separator']
    await call('POST', '/namespaces', { namespace: ['ns', 'a.b', 'c/d'] })
    const path = ['ns', 'a.b', 'c/d'].map(encodeURIComponent).join(separator)
    expect((await call('GET', `/namespaces/${path}`)).json.namespace).toEqual(['ns', 'a.b', 'c/d'])
    const parent = ['ns', 'a.b'].join(separator)
    expect((await call('GET', `/namespaces?parent=${parent}`)).json.namespaces).toEqual([
      ['ns', 'a.b', 'c/d'],
    ])
    expect((await call('GET', '/namespaces?parent=none')).json.error).toMatchObject({
      type: 'NoSuchNamespaceException',
    })
  })
})

describe('names', () => {
  it('may hold blanks, plus signs, slashes and what objects have anyway', async () => {
    const names = ['a b', 'a+b', 'a/b', 'a%b', 'ü', 'constructor', '__proto__']
    for (const name of names) expect((await makeTable(name)).status).toBe(200)
    for (const name of names) {
      // As Java's URLEncoder does it.
      const path = encodeURIComponent(name).replaceAll('%20', '+')
      const { json } = await call('GET', `/namespaces/ns/tables/${path}`)
      expect(json.metadata.location).toMatch(/^memory:\/\/w\/ns\//)
    }
    const { json } = await call('GET', '/namespaces/ns/tables')
    expect(json.identifiers.map((one: Json) => one.name).sort()).toEqual([...names].sort())
  })

  it('of properties and branches are only what somebody has set', async () => {
    const property = '{"removals":["constructor","__proto__"],"updates":{}}'
    expect((await call('POST', '/namespaces/ns/properties', property)).json).toEqual({
      removed: [],
      updated: [],
      missing: ['constructor', '__proto__'],
    })
    await call('POST', '/namespaces/ns/properties', '{"updates":{"__proto__":"x"}}')
    const { json } = await call('GET', '/namespaces/ns')
    expect(Object.entries(json.properties)).toContainEqual(['__proto__', 'x'])
    await makeTable()
    const absent = { type: 'assert-ref-snapshot-id', ref: 'constructor', 'snapshot-id': null }
    expect((await commit([], [absent])).status).toBe(200)
  })
})

describe('the ETag', () => {
  it('comes with every answer that holds a table', async () => {
    const made = await makeTable()
    const etag = made.headers.get('etag') as string
    expect((await call('GET', tablePath, undefined, { 'if-none-match': etag })).status).toBe(304)
    const changed = await commit([{ action: 'set-properties', updates: { a: 'b' } }])
    const next = changed.headers.get('etag') as string
    expect(next).not.toBe(etag)
    expect((await call('GET', tablePath, undefined, { 'if-none-match': next })).status).toBe(304)
    await call('DELETE', tablePath)
    const back = await call('POST', '/namespaces/ns/register', {
      name: 't',
      'metadata-location': changed.json['metadata-location'],
    })
    expect(back.headers.get('etag')).toBe(next)
  })

  it('is asked for with all snapshots or with those of refs, and nothing else', async () => {
    await makeTable()
    expect((await call('GET', `${tablePath}?snapshots=all`)).status).toBe(200)
    expect((await call('GET', `${tablePath}?snapshots=some`)).json.error).toEqual({
      message: 'Invalid snapshot mode: some',
      type: 'IllegalArgumentException',
      code: 400,
    })
  })
})

describe('metrics', () => {
  const report = {
    'report-type': 'commit-report',
    'table-name': 'ns.t',
    'snapshot-id': 1,
    'sequence-number': 1,
    operation: 'append',
    metrics: {},
  }

  it('are taken for a table that is there', async () => {
    await makeTable()
    expect((await call('POST', `${tablePath}/metrics`, report)).status).toBe(204)
    const missing = await call('POST', '/namespaces/ns/tables/none/metrics', report)
    expect(missing.json.error.type).toBe('NoSuchTableException')
  })

  it.each([
    {},
    { ...report, 'snapshot-id': 'x' },
    { ...report, metrics: [] },
    { 'report-type': 'scan-report', 'table-name': 'ns.t', 'snapshot-id': 1, metrics: {} },
  ])('that are none are refused: %o', async (body) => {
    await makeTable()
    expect((await call('POST', `${tablePath}/metrics`, body)).json.error).toMatchObject({
      type: 'BadRequestException',
      code: 400,
    })
  })
})

describe('bodies of the wrong shape', () => {
  it.each<[string, object]>([
    ['/namespaces', { namespace: ['x'], properties: { a: 1 } }],
    ['/namespaces/ns/tables', { name: 'x' }],
    ['/namespaces/ns/tables', { name: 1, schema: encodeSchema(testSchema) }],
    ['/namespaces/ns/tables', { name: 'x', schema: { type: 'list' } }],
    [
      '/namespaces/ns/tables',
      { name: 'x', schema: encodeSchema(testSchema), 'stage-create': 'yes' },
    ],
    ['/namespaces/ns/register', { name: 'x' }],
    ['/namespaces/ns/register', { name: 'x', 'metadata-location': 'memory://w/x', overwrite: 1 }],
    ['/namespaces/ns/register-view', { name: 'x' }],
    ['/tables/rename', { source: { namespace: ['ns'], name: 't' } }],
    ['/views/rename', { source: 'ns.t', destination: 'ns.u' }],
    ['/namespaces/ns/tables/t', { updates: [] }],
    ['/namespaces/ns/tables/t', { requirements: [], updates: {} }],
    ['/namespaces/ns/tables/t', { requirements: [], updates: [{ action: 'set-properties' }] }],
    [
      '/namespaces/ns/tables/t',
      { requirements: [], updates: [{ action: 'set-statistics', statistics: {} }] },
    ],
    ['/transactions/commit', { 'table-changes': [] }],
    ['/transactions/commit', { 'table-changes': [{ requirements: [], updates: [] }] }],
    ['/namespaces/ns/views', { name: 'x', schema: encodeSchema(testSchema) }],
  ])('are refused with 400 and change nothing: %s %j', async (path, body) => {
    await makeTable()
    const swaps = server.root.swapCount
    const answer = await call('POST', path, body)
    expect(answer.json.error).toMatchObject({ code: 400 })
    expect(server.root.swapCount).toBe(swaps)
  })
})

describe('updates and requirements of something else', () => {
  it.each<[string, number, object]>([
    [
      'Cannot apply update AddViewVersion to a table',
      406,
      { updates: [{ action: 'add-view-version' }] },
    ],
    [
      'Cannot apply update add-encryption-key: encryption keys are of format v3',
      406,
      { updates: [{ action: 'add-encryption-key' }] },
    ],
    [
      'Cannot upgrade table to unsupported format version: v3 (supported: v2)',
      406,
      { updates: [{ action: 'upgrade-format-version', 'format-version': 3 }] },
    ],
    [
      'Cannot validate AssertViewUUID against a table',
      400,
      { requirements: [{ type: 'assert-view-uuid', uuid: 'x' }] },
    ],
    ['Unknown metadata update action: dance', 400, { updates: [{ action: 'dance' }] }],
    ['Unknown requirement type: assert-fun', 400, { requirements: [{ type: 'assert-fun' }] }],
  ])('%s', async (message, code, body) => {
    await makeTable()
    const swaps = server.root.swapCount
    const answer = await call('POST', tablePath, { updates: [], requirements: [], ...body })
    expect(answer.status).toBe(code)
    expect(answer.json.error).toMatchObject({ message, code })
    expect(server.root.swapCount).toBe(swaps)
  })

  it('are told apart for views, too', async () => {
    await call('POST', '/namespaces/ns/views', {
      name: 'v',
      schema: encodeSchema(testSchema),
      'view-version': {
        'version-id': 1,
        'timestamp-ms': 1,
        'schema-id': 0,
        summary: {},
        representations: [{ type: 'sql', sql: 'select 1', dialect: 'trino' }],
        'default-namespace': ['ns'],
      },
      properties: {},
    })
    const change = async (body: object) =>
      (await call('POST', '/namespaces/ns/views/v', { updates: [], ...body })).json.error
    // As early releases wrote it.
    expect(await change({ updates: [{ action: 'set-properties', updated: { a: 'b' } }] })).toBe(
      undefined,
    )
    expect(await change({ updates: [{ action: 'add-snapshot' }] })).toMatchObject({ code: 406 })
    expect(await change({ updates: [{ action: 'dance' }] })).toMatchObject({ code: 400 })
    expect(await change({ requirements: [{ type: 'assert-create' }] })).toEqual({
      message: 'Cannot validate AssertTableDoesNotExist against a view',
      type: 'ValidationException',
      code: 400,
    })
    const wrong = { requirements: [{ type: 'assert-view-uuid', uuid: 'x' }] }
    expect(await change(wrong)).toMatchObject({ type: 'CommitFailedException', code: 409 })
  })
})

describe("endpoints that the specification has and this catalog hasn't", () => {
  it('are refused by name, and not listed', async () => {
    const { endpoints } = (await call('GET', '/config')).json
    await makeTable()
    for (const [method, path] of unsupportedRoutes) {
      const endpoint = endpointOf(method, path)
      expect(endpoints).not.toContain(endpoint)
      const concrete = path.replace('{namespace}', 'ns').replaceAll(/\{[\w-]+\}/g, 't')
      const answer = await call(method.toUpperCase(), concrete, method === 'post' ? {} : undefined)
      expect(answer.json.error).toEqual({
        message: `Server does not support endpoint: ${endpoint}`,
        type: 'UnsupportedOperationException',
        code: 406,
      })
    }
  })
})

describe('locations', () => {
  it('have one spelling in metadata, however clients write them', async () => {
    await makeTable()
    const location = 'memory:w//moved/'
    const { json } = await commit([{ action: 'set-location', location }])
    expect(json.metadata.location).toBe('memory://w/moved')
  })
})
