import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeSchema } from '../iceberg/codec/schema-json.ts'
import { type CatalogServer, startCatalogServer } from '../testkit/catalog-server.ts'
import { testSchema } from '../testkit/contracts/catalog.ts'

let server: CatalogServer
let call: CatalogServer['call']

beforeEach(async () => {
  server = await startCatalogServer()
  call = server.call
  await call('POST', '/namespaces', { namespace: ['ns'] })
  await makeTable('t')
  await makeView('v')
})
afterEach(async () => {
  await server.stop()
})

const idOf = (name: string, namespace = 'ns') => ({ namespace: [namespace], name })

function makeTable(name: string, more: object = {}) {
  return call('POST', '/namespaces/ns/tables', {
    name,
    schema: encodeSchema(testSchema),
    ...more,
  })
}

function makeView(name: string) {
  return call('POST', '/namespaces/ns/views', {
    name,
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
}

function rename(kind: 'tables' | 'views', source: object, destination: object) {
  return call('POST', `/${kind}/rename`, { source, destination })
}

describe('a name that is taken', () => {
  it('is said to be by a table or by a view, and as what it was wanted', async () => {
    const taken = [
      [await makeTable('t'), 'Table already exists: ns.t'],
      [await makeTable('v'), 'View with same name already exists: ns.v'],
      [await makeTable('v', { 'stage-create': true }), 'View with same name already exists: ns.v'],
      [await makeView('v'), 'View already exists: ns.v'],
      [await makeView('t'), 'Table with same name already exists: ns.t'],
    ] as const
    for (const [answer, message] of taken) {
      expect(answer.json.error).toEqual({ message, type: 'AlreadyExistsException', code: 409 })
    }
  })

  it('stops a rename', async () => {
    await makeTable('t2')
    await makeView('v2')
    const stopped = [
      [await rename('tables', idOf('t'), idOf('t2')), 'ns.t to ns.t2. Table already exists'],
      [await rename('tables', idOf('t'), idOf('v')), 'ns.t to ns.v. View already exists'],
      [await rename('views', idOf('v'), idOf('v2')), 'ns.v to ns.v2. View already exists'],
      [await rename('views', idOf('v'), idOf('t')), 'ns.v to ns.t. Table already exists'],
    ] as const
    for (const [answer, message] of stopped) {
      expect(answer.json.error).toEqual({
        message: `Cannot rename ${message}`,
        type: 'AlreadyExistsException',
        code: 409,
      })
    }
  })
})

describe('a rename', () => {
  it('needs its source and the namespace of its destination', async () => {
    const missing = [
      [await rename('tables', idOf('v'), idOf('x')), 'NoSuchTableException'],
      [await rename('views', idOf('t'), idOf('x')), 'NoSuchViewException'],
      [await rename('tables', idOf('t'), idOf('t', 'other')), 'NoSuchNamespaceException'],
      [await rename('views', idOf('v'), idOf('v', 'other')), 'NoSuchNamespaceException'],
    ] as const
    for (const [answer, type] of missing) {
      expect(answer.json.error).toMatchObject({ type, code: 404 })
    }
  })
})

describe('what is registered', () => {
  it('is a view again after it was dropped', async () => {
    const before = (await call('GET', '/namespaces/ns/views/v')).json
    const body = { name: 'v', 'metadata-location': before['metadata-location'] }
    const register = () => call('POST', '/namespaces/ns/register-view', body)
    expect((await register()).json.error.message).toBe('View already exists: ns.v')
    await call('DELETE', '/namespaces/ns/views/v')
    expect((await register()).json).toEqual(before)
    const onTable = await call('POST', '/namespaces/ns/register-view', { ...body, name: 't' })
    expect(onTable.json.error.message).toBe('Table with same name already exists: ns.t')
  })

  it('takes the place of a table only where it is asked to, and never of a view', async () => {
    const other = (await makeTable('other')).json
    const register = (name: string, overwrite: boolean) =>
      call('POST', '/namespaces/ns/register', {
        name,
        'metadata-location': other['metadata-location'],
        overwrite,
      })
    expect((await register('t', false)).json.error.message).toBe('Table already exists: ns.t')
    const loaded = (await register('t', true)).json
    expect(loaded.metadata['table-uuid']).toBe(other.metadata['table-uuid'])
    expect((await call('GET', '/namespaces/ns/tables/t')).json).toEqual(loaded)
    expect((await register('v', true)).json.error.message).toBe(
      'View with same name already exists: ns.v',
    )
    expect((await register('new', true)).status).toBe(200)
  })

  it.each(['register', 'register-view'])('needs a file that is there (%s)', async (route) => {
    const answer = await call('POST', `/namespaces/ns/${route}`, {
      name: 'x',
      'metadata-location': 'memory://w/ns/x/metadata/none.metadata.json',
    })
    expect(answer.json.error).toEqual({
      message: 'Failed to open input stream for file: memory://w/ns/x/metadata/none.metadata.json',
      type: 'NotFoundException',
      code: 404,
    })
  })

  it.each(['register', 'register-view'])('needs a file that can be read (%s)', async (route) => {
    const location = 'memory://w/ns/x/metadata/0.metadata.json'
    await server.store.write(location, new TextEncoder().encode('{"format-version": 1}'))
    const answer = await call('POST', `/namespaces/ns/${route}`, {
      name: 'x',
      'metadata-location': location,
    })
    expect(answer.json.error).toMatchObject({ type: 'IllegalArgumentException', code: 400 })
    expect(answer.json.error.message).toMatch(/can not be understood: Cannot parse/)
  })

  it('may not be elsewhere', async () => {
    const answer = await call('POST', '/namespaces/ns/register-view', {
      name: 'x',
      'metadata-location': 'memory://elsewhere/0.metadata.json',
    })
    expect(answer.json.error).toMatchObject({ code: 400 })
    expect(answer.json.error.message).toMatch(/outside of the warehouse/)
  })
})

describe('a table whose metadata file has gone', () => {
  it('is there by name and can not be loaded', async () => {
    const { metadataLocation } = await server.service.loadTable(idOf('t'))
    await server.store.delete([metadataLocation])
    const restarted = await startCatalogServer(server)
    try {
      expect((await restarted.call('HEAD', '/namespaces/ns/tables/t')).status).toBe(204)
      expect((await restarted.call('GET', '/namespaces/ns/tables/t')).json.error).toEqual({
        message: `Failed to open input stream for file: ${metadataLocation}`,
        type: 'NotFoundException',
        code: 404,
      })
      expect((await restarted.call('DELETE', '/namespaces/ns/tables/t')).status).toBe(204)
    } finally {
      await restarted.stop()
    }
  })
})
