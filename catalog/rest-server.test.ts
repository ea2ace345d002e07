import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeSchema } from '../iceberg/codec/schema-json.ts'
import { encodeUpdate } from '../iceberg/codec/updates-json.ts'
import { type CatalogServer, type Json, startCatalogServer } from '../testkit/catalog-server.ts'
import { appendOf, nextSnapshot, testSchema } from '../testkit/contracts/catalog.ts'
import type { CatalogService } from './catalog-service.ts'

let server: CatalogServer
let service: CatalogService
let root: CatalogServer['root']
let call: CatalogServer['call']

beforeEach(async () => {
  server = await startCatalogServer()
  ;({ service, root, call } = server)
})
afterEach(async () => {
  await server.stop()
})

async function withTable(name = 't'): Promise<Json> {
  await call('POST', '/namespaces', { namespace: ['ns'] })
  const made = await call('POST', '/namespaces/ns/tables', {
    name,
    schema: encodeSchema(testSchema),
  })
  expect(made.status).toBe(200)
  return made.json
}

function changeOf(name: string, uuid?: string) {
  return {
    identifier: { namespace: ['ns'], name },
    requirements: uuid === undefined ? [] : [{ type: 'assert-table-uuid', uuid }],
    updates: [{ action: 'set-properties', updates: { x: '1' } }],
  }
}

describe('configuration', () => {
  it('answers without a warehouse, with this one, and 404 for another', async () => {
    for (const query of ['', '?warehouse=potok', '?warehouse=memory%3A%2F%2Fw%2F', '?warehouse=']) {
      expect((await call('GET', `/config${query}`)).status).toBe(200)
    }
    const other = await call('GET', '/config?warehouse=other')
    expect(other.status).toBe(404)
    expect(other.json.error).toMatchObject({ type: 'NoSuchWarehouseException', code: 404 })
  })

  it('lists endpoints, and each of them has a route', async () => {
    const { defaults, endpoints } = (await call('GET', '/config')).json
    expect(defaults).toEqual({ 'potok.assert-property': 'true' })
    expect(endpoints).toContain('POST /v1/{prefix}/transactions/commit')
    expect(endpoints).toContain('HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}')
    for (const endpoint of endpoints as string[]) {
      const [method, path] = endpoint.split(' ') as [string, string]
      const answer = await call(
        method,
        path.replace('/v1/{prefix}', '').replaceAll(/\{\w+\}/g, 'x'),
        method === 'POST' ? {} : undefined,
      )
      expect(JSON.stringify(answer.json)).not.toContain('No route')
    }
  })
})

describe('namespaces', () => {
  it('are made, listed by parent, described, changed and dropped', async () => {
    await call('POST', '/namespaces', { namespace: ['a', 'b'], properties: { owner: 'x' } })
    expect((await call('GET', '/namespaces')).json.namespaces).toEqual([['a']])
    expect((await call('GET', '/namespaces?parent=a')).json.namespaces).toEqual([['a', 'b']])
    expect((await call('GET', '/namespaces/a%1Fb')).json).toEqual({
      namespace: ['a', 'b'],
      // With the location, by which Trino knows where it may make a table.
      properties: { owner: 'x', location: 'memory://w/a/b' },
    })
    const changed = await call('POST', '/namespaces/a%1Fb/properties', {
      removals: ['owner', 'none'],
      updates: { color: 'red' },
    })
    expect(changed.json).toEqual({ removed: ['owner'], missing: ['none'], updated: ['color'] })
    expect((await call('HEAD', '/namespaces/a%1Fb')).status).toBe(204)
    expect((await call('DELETE', '/namespaces/a')).json.error).toMatchObject({
      type: 'NamespaceNotEmptyException',
      code: 409,
    })
    expect((await call('DELETE', '/namespaces/a%1Fb')).status).toBe(204)
    expect((await call('HEAD', '/namespaces/a%1Fb')).status).toBe(404)
  })

  it('refuses a key that is set and removed at once with 422', async () => {
    await call('POST', '/namespaces', { namespace: ['a'] })
    const answer = await call('POST', '/namespaces/a/properties', {
      removals: ['k'],
      updates: { k: 'v' },
    })
    expect(answer.json.error).toMatchObject({ type: 'UnprocessableEntityException', code: 422 })
  })
})

describe('tables', () => {
  it('keeps 64-bit snapshot ids through a commit and a load', async () => {
    const table = await withTable()
    const loaded = await service.loadTable({ namespace: ['ns'], name: 't' })
    const snapshot = nextSnapshot(loaded.metadata, 8_123_456_789_012_345_677n)
    const committed = await call('POST', '/namespaces/ns/tables/t', {
      requirements: [{ type: 'assert-table-uuid', uuid: table.metadata['table-uuid'] }],
      updates: appendOf(snapshot).map(encodeUpdate),
    })
    expect(committed.status).toBe(200)
    const { json } = await call('GET', '/namespaces/ns/tables/t')
    expect(json.metadata['current-snapshot-id']).toBe(8_123_456_789_012_345_677n)
    expect(json['metadata-location']).toBe(committed.json['metadata-location'])
  })

  it('stages a create that a commit finishes', async () => {
    await call('POST', '/namespaces', { namespace: ['ns'] })
    const staged = await call('POST', '/namespaces/ns/tables', {
      name: 's',
      schema: encodeSchema(testSchema),
      'stage-create': true,
    })
    expect(staged.json['metadata-location']).toBeUndefined()
    expect((await call('HEAD', '/namespaces/ns/tables/s')).status).toBe(404)
    const { metadata } = staged.json
    const commit = {
      requirements: [{ type: 'assert-create' }],
      updates: [
        { action: 'assign-uuid', uuid: metadata['table-uuid'] },
        { action: 'upgrade-format-version', 'format-version': 2 },
        { action: 'add-schema', schema: metadata.schemas[0], 'last-column-id': 12 },
        { action: 'set-current-schema', 'schema-id': -1 },
        { action: 'add-spec', spec: metadata['partition-specs'][0] },
        { action: 'set-default-spec', 'spec-id': -1 },
        { action: 'add-sort-order', 'sort-order': metadata['sort-orders'][0] },
        { action: 'set-default-sort-order', 'sort-order-id': -1 },
        { action: 'set-location', location: metadata.location },
      ],
    }
    const made = await call('POST', '/namespaces/ns/tables/s', commit)
    expect(made.json.metadata['table-uuid']).toBe(metadata['table-uuid'])
    expect((await call('POST', '/namespaces/ns/tables/s', commit)).json.error).toEqual({
      message: 'Requirement failed: table already exists',
      type: 'CommitFailedException',
      code: 409,
    })
  })

  it('answers 304 to whoever has it already, apart for all and for refs', async () => {
    await withTable()
    const all = await call('GET', '/namespaces/ns/tables/t')
    const refs = await call('GET', '/namespaces/ns/tables/t?snapshots=refs')
    const etag = all.headers.get('etag') as string
    expect(etag).not.toBe(refs.headers.get('etag'))
    const again = (headers: Record<string, string>) =>
      call('GET', '/namespaces/ns/tables/t', undefined, headers)
    expect((await again({ 'if-none-match': etag })).status).toBe(304)
    expect((await again({ 'if-none-match': refs.headers.get('etag') as string })).status).toBe(200)
    await call('POST', '/namespaces/ns/tables/t', {
      requirements: [],
      updates: [{ action: 'set-properties', updates: { a: 'b' } }],
    })
    expect((await again({ 'if-none-match': etag })).status).toBe(200)
  })

  it('renames, registers, drops', async () => {
    const table = await withTable()
    const from = { namespace: ['ns'], name: 't' }
    const to = { namespace: ['ns'], name: 'u' }
    const rename = () => call('POST', '/tables/rename', { source: from, destination: to })
    expect((await rename()).status).toBe(204)
    expect((await rename()).json.error.type).toBe('NoSuchTableException')
    expect((await call('DELETE', '/namespaces/ns/tables/u')).status).toBe(204)
    const back = await call('POST', '/namespaces/ns/register', {
      name: 'v',
      'metadata-location': table['metadata-location'],
    })
    expect(back.json.metadata['table-uuid']).toBe(table.metadata['table-uuid'])
  })

  it('commits tables together', async () => {
    await withTable('a')
    await withTable('b')
    const refused = await call('POST', '/transactions/commit', {
      'table-changes': [changeOf('a'), changeOf('b', 'other')],
    })
    expect(refused.json.error).toMatchObject({ type: 'CommitFailedException', code: 409 })
    expect(refused.json.error.message).toMatch(
      /^Requirement failed: UUID does not match: expected /,
    )
    const done = await call('POST', '/transactions/commit', {
      'table-changes': [changeOf('a'), changeOf('b')],
    })
    expect(done.status).toBe(204)
    for (const name of ['a', 'b']) {
      const { json } = await call('GET', `/namespaces/ns/tables/${name}`)
      expect(json.metadata.properties.x).toBe('1')
    }
  })

  it('gives names in pages', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await withTable(name)
    const names: string[] = []
    let token = ''
    do {
      const { json } = await call('GET', `/namespaces/ns/tables?pageSize=2&pageToken=${token}`)
      names.push(...json.identifiers.map((one: Json) => one.name))
      token = json['next-page-token'] ?? ''
    } while (token !== '')
    expect(names).toEqual(['a', 'b', 'c', 'd', 'e'])
  })
})

describe('views', () => {
  it('are made, listed, replaced, renamed and dropped', async () => {
    await call('POST', '/namespaces', { namespace: ['ns'] })
    const version = {
      'version-id': 1,
      'timestamp-ms': 1,
      'schema-id': 0,
      summary: {},
      representations: [{ type: 'sql', sql: 'select 1', dialect: 'trino' }],
      'default-namespace': ['ns'],
    }
    const made = await call('POST', '/namespaces/ns/views', {
      name: 'v',
      schema: encodeSchema(testSchema),
      'view-version': version,
      properties: {},
    })
    expect(made.json.metadata['current-version-id']).toBe(1)
    expect((await call('GET', '/namespaces/ns/views')).json.identifiers).toEqual([
      { namespace: ['ns'], name: 'v' },
    ])
    const replaced = await call('POST', '/namespaces/ns/views/v', {
      requirements: [{ type: 'assert-view-uuid', uuid: made.json.metadata['view-uuid'] }],
      updates: [
        {
          action: 'add-view-version',
          'view-version': {
            ...version,
            representations: [{ type: 'sql', sql: 'select 2', dialect: 'trino' }],
          },
        },
        { action: 'set-current-view-version', 'view-version-id': -1 },
      ],
    })
    expect(replaced.json.metadata['current-version-id']).toBe(2)
    const source = { namespace: ['ns'], name: 'v' }
    const destination = { namespace: ['ns'], name: 'w' }
    expect((await call('POST', '/views/rename', { source, destination })).status).toBe(204)
    expect((await call('HEAD', '/namespaces/ns/views/w')).status).toBe(204)
    expect((await call('DELETE', '/namespaces/ns/views/w')).status).toBe(204)
    expect((await call('GET', '/namespaces/ns/views/w')).json.error.type).toBe(
      'NoSuchViewException',
    )
  })
})

describe('errors', () => {
  it.each([
    [
      'GET',
      '/namespaces/none',
      undefined,
      404,
      'NoSuchNamespaceException',
      'Namespace does not exist: none',
    ],
    [
      'GET',
      '/namespaces/ns/tables/x',
      undefined,
      404,
      'NoSuchTableException',
      'Table does not exist: ns.x',
    ],
    [
      'POST',
      '/namespaces',
      { namespace: ['ns'] },
      409,
      'AlreadyExistsException',
      'Namespace already exists: ns',
    ],
    ['POST', '/namespaces', '{"namespace":', 400, 'BadRequestException', /no JSON/],
    ['POST', '/namespaces', { namespace: 'ns' }, 400, 'BadRequestException', /namespace/],
    ['POST', '/namespaces', ' '.repeat(100_001), 413, 'BadRequestException', /too large/],
    ['GET', '/oauth/tokens', undefined, 404, 'NotFoundException', /No route/],
    ['GET', '/namespaces/%ff', undefined, 400, 'BadRequestException', /./],
  ])('answers %s %s with its type', async (method, path, body, status, type, message) => {
    await withTable()
    const answer = await call(method, path, body)
    expect(answer.status).toBe(status)
    expect(answer.json.error).toMatchObject({ type, code: status })
    expect(answer.json.error.message).toMatch(message)
  })

  it('refuses an unknown update or requirement with 400 and writes nothing', async () => {
    await withTable()
    const version = await service.version([])
    for (const body of [
      { requirements: [], updates: [{ action: 'set-colour' }] },
      { requirements: [{ type: 'assert-moon' }], updates: [] },
    ]) {
      const answer = await call('POST', '/namespaces/ns/tables/t', body)
      expect(answer.json.error).toMatchObject({ type: 'BadRequestException', code: 400 })
    }
    expect(await service.version([])).toBe(version)
  })

  it('answers 500 CommitStateUnknownException where it is not known', async () => {
    await withTable()
    root.script = Array.from({ length: 20 }, () => 'request-lost' as const)
    const answer = await call('POST', '/namespaces/ns/tables/t', {
      requirements: [],
      updates: [{ action: 'set-properties', updates: { a: 'b' } }],
    })
    expect(answer.json.error).toMatchObject({ type: 'CommitStateUnknownException', code: 500 })
  })

  it('refuses a body that is not declared as JSON, as a web page could send it', async () => {
    const answer = await call('POST', '/namespaces', '{"namespace":["x"]}', {
      'content-type': 'text/plain',
    })
    expect(answer.status).toBe(415)
    expect((await call('HEAD', '/namespaces/x')).status).toBe(404)
  })

  it('answers only 200 and 409 to 32 clients that race for one snapshot', async () => {
    await withTable()
    const { metadata } = await service.loadTable({ namespace: ['ns'], name: 't' })
    const answers = await Promise.all(
      Array.from({ length: 32 }, (_, i) =>
        call('POST', '/namespaces/ns/tables/t', {
          requirements: [{ type: 'assert-ref-snapshot-id', ref: 'main', 'snapshot-id': null }],
          updates: appendOf(nextSnapshot(metadata, BigInt(i + 1))).map(encodeUpdate),
        }),
      ),
    )
    const statuses = answers.map((answer) => answer.status).sort((a, b) => a - b)
    expect(statuses).toEqual([200, ...Array.from({ length: 31 }, () => 409)])
  })
})
