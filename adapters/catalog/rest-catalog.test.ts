import { afterEach, describe, expect, it } from 'vitest'
import type { TableIdentifier } from '../../iceberg/catalog.ts'
import {
  allEndpoints,
  type ClientInTest,
  clientOf,
  configAnswer,
  errorAnswer,
  tableAnswer,
} from '../../testkit/scripted-catalog.ts'
import {
  type ScriptedAnswer,
  type ScriptedServer,
  type SeenRequest,
  startScriptedServer,
} from '../../testkit/scripted-http.ts'
import type { CatalogProperties } from './catalog-properties.ts'

const events: TableIdentifier = { namespace: ['traffic'], name: 'events' }
const transaction = 'POST /v1/{prefix}/transactions/commit'
let server: ScriptedServer
let client: ClientInTest

/** `/v1/config` as `config`, everything else as `answer`. */
async function start(
  config: Readonly<Record<string, unknown>>,
  answer: (request: SeenRequest, index: number) => ScriptedAnswer,
  properties: CatalogProperties = {},
): Promise<void> {
  server = await startScriptedServer((request, index) =>
    request.path.startsWith('/v1/config') ? configAnswer(config) : answer(request, index - 1),
  )
  client = clientOf(server.url, properties)
}

afterEach(async () => {
  await client.catalog.close()
  await server.close()
})

const pathsSeen = () => server.seen.map(({ method, path }) => `${method} ${path}`)

describe('what a catalog says of itself', () => {
  it('is asked for before anything else, once, and with the warehouse', async () => {
    await start({}, () => tableAnswer(1), { warehouse: 'my wh' })
    expect(server.seen).toEqual([])
    await Promise.all([client.catalog.loadTable(events), client.catalog.loadTable(events)])
    expect(pathsSeen()).toEqual([
      'GET /v1/config?warehouse=my+wh',
      'GET /v1/namespaces/traffic/tables/events',
      'GET /v1/namespaces/traffic/tables/events',
    ])
  })

  it('counts less than own settings in its defaults, and more in its overrides', async () => {
    const told = {
      defaults: { prefix: 'from-default', 'header.X-One': 'default', 'header.X-Two': 'default' },
      overrides: { 'header.X-One': 'override' },
    }
    const own = { prefix: 'own', 'header.X-One': 'own', 'header.X-Two': 'own' }
    await start(told, () => tableAnswer(1), own)
    await client.catalog.loadTable(events)
    expect(server.seen[0]?.headers).toMatchObject({ 'x-one': 'own' })
    expect(server.seen[1]).toMatchObject({
      path: '/v1/own/namespaces/traffic/tables/events',
      headers: { 'x-one': 'override', 'x-two': 'own' },
    })
  })

  it('can put everything below another address and a prefix of several parts', async () => {
    const other = await startScriptedServer(() => tableAnswer(1))
    const overrides = { uri: `${other.url}/iceberg/v1/`, prefix: 'a/b' }
    await start({ overrides }, () => ({ status: 500 }))
    await client.catalog.loadTable(events)
    expect(other.seen.map(({ path }) => path)).toEqual([
      '/iceberg/v1/a/b/namespaces/traffic/tables/events',
    ])
    await other.close()
  })

  it('separates levels of namespaces as it says, and encodes what is in them', async () => {
    const answer = () => ({ body: { identifiers: [], namespaces: [] } })
    await start({ overrides: { 'namespace-separator': '%2E' } }, answer)
    await client.catalog.listTables(['a/b', 'ц %'])
    await client.catalog.listNamespaces(['a/b', 'c'])
    expect(pathsSeen().slice(1)).toEqual([
      'GET /v1/namespaces/a%2Fb%2E%D1%86%20%25/tables?pageToken=',
      'GET /v1/namespaces?parent=a%2Fb.c&pageToken=',
    ])
  })

  it('without endpoints means those of the specification: no views, but the transaction', async () => {
    await start({ endpoints: undefined }, () => ({ body: { identifiers: [] } }))
    await client.catalog.start()
    await expect(client.catalog.listViews(['traffic'])).rejects.toMatchObject({
      kind: 'Unsupported',
      message: expect.stringContaining('GET /v1/{prefix}/namespaces/{namespace}/views'),
    })
    expect(server.seen).toHaveLength(1)
  })

  it('is refused by name where it lists no commit to several tables', async () => {
    await start({ endpoints: allEndpoints.filter((one) => one !== transaction) }, () => ({}))
    const refused = { kind: 'Unsupported', message: expect.stringContaining(transaction) }
    await expect(client.catalog.start()).rejects.toMatchObject(refused)
    await expect(client.catalog.loadTable(events)).rejects.toMatchObject(refused)
    await expect(client.catalog.start()).rejects.toThrow(server.url)
    expect(pathsSeen().every((path) => path === 'GET /v1/config')).toBe(true)
  })

  it('is refused where it wants signatures', async () => {
    await start({ overrides: { 'rest.sigv4-enabled': 'true' } }, () => ({}))
    await expect(client.catalog.start()).rejects.toMatchObject({ kind: 'Unsupported' })
  })

  it('tells whether properties are asserted there; where it does not, none is sent', async () => {
    await start({ defaults: { 'potok.assert-property': 'true' } }, () => tableAnswer(1))
    expect(client.catalog.features.assertProperty).toBe(false)
    await client.catalog.start()
    expect(client.catalog.features.assertProperty).toBe(true)
    await server.close()

    await start({}, () => tableAnswer(1))
    const requirements = [{ type: 'assert-property' as const, key: 'a', value: null }]
    await expect(
      client.catalog.commit([{ identifier: events, requirements, updates: [] }]),
    ).rejects.toMatchObject({ kind: 'Unsupported' })
    expect(server.seen).toHaveLength(1)
  })

  it('names the warehouse setting where the warehouse is not known', async () => {
    server = await startScriptedServer(() =>
      errorAnswer(404, 'NoSuchWarehouseException', 'Warehouse does not exist: w'),
    )
    client = clientOf(server.url, { warehouse: 'w' })
    await expect(client.catalog.start()).rejects.toMatchObject({
      kind: 'InvalidInput',
      message: expect.stringContaining('--catalog-warehouse'),
    })
  })

  it('is asked again after a start that failed', async () => {
    let isUp = false
    server = await startScriptedServer(() => (isUp ? configAnswer() : { status: 400 }))
    client = clientOf(server.url)
    await expect(client.catalog.start()).rejects.toMatchObject({ kind: 'InvalidInput' })
    isUp = true
    await client.catalog.start()
  })
})

describe('tables', () => {
  it('keep snapshot ids that a double can not hold', async () => {
    await start({}, () => tableAnswer(1, { snapshotId: '9223372036854775807' }))
    const { metadata } = await client.catalog.loadTable(events)
    expect(metadata.currentSnapshotId).toBe(2n ** 63n - 1n)
    const requirements = [
      { type: 'assert-ref-snapshot-id' as const, ref: 'main', snapshotId: 2n ** 63n - 1n },
    ]
    await client.catalog.commit([{ identifier: events, requirements, updates: [] }])
    expect(server.seen.at(-1)?.body).toContain('"snapshot-id":9223372036854775807')
  })

  it('are loaded anew only where the catalog says that they changed', async () => {
    let etag = '"1"'
    await start({}, ({ headers }) =>
      headers['if-none-match'] === etag
        ? { status: 304, headers: { etag } }
        : tableAnswer(Number(etag.replaceAll('"', '')), { etag }),
    )
    const first = await client.catalog.loadTable(events)
    expect(await client.catalog.loadTable(events)).toBe(first)
    const version = await client.catalog.version([events])
    expect(await client.catalog.version([events])).toBe(version)
    etag = '"2"'
    expect(await client.catalog.version([events])).not.toBe(version)
    expect((await client.catalog.loadTable(events)).metadataLocation).toContain('/2.')
    expect(server.seen.filter(({ headers }) => 'if-none-match' in headers)).toHaveLength(5)
  })

  it('have versions without ETags, and when they are not there', async () => {
    let version = 0
    await start({}, () =>
      version === 0 ? errorAnswer(404, 'NoSuchTableException', 'no') : tableAnswer(version),
    )
    const versions: string[] = []
    for (version = 0; version < 3; version++) {
      versions.push(await client.catalog.version([events]))
    }
    expect(new Set(versions).size).toBe(3)
  })

  it('are listed to the last page', async () => {
    await start({}, ({ path }) => {
      const token = new URL(path, server.url).searchParams.get('pageToken')
      const page = token === '' ? 1 : Number(token)
      const identifiers = [{ namespace: ['traffic'], name: `t${page}` }]
      return { body: { identifiers, 'next-page-token': page < 3 ? String(page + 1) : null } }
    })
    const names = (await client.catalog.listTables(['traffic'])).map(({ name }) => name)
    expect(names).toEqual(['t1', 't2', 't3'])
  })

  it('are not listed for ever', async () => {
    const body = { identifiers: [], 'next-page-token': 'again' }
    await start({}, () => ({ body }))
    await expect(client.catalog.listTables(['traffic'])).rejects.toMatchObject({
      kind: 'DataCorrupt',
    })
  })

  it('that were made with other field ids are refused', async () => {
    await start({}, () => tableAnswer(1))
    const fields = [{ id: 7, name: 'id', required: true, type: 'long' }]
    const schema = { type: 'struct' as const, schemaId: 0, fields }
    await expect(client.catalog.createTable({ identifier: events, schema })).rejects.toMatchObject({
      kind: 'Unsupported',
      message: expect.stringContaining('field ids'),
    })
    expect(JSON.parse(server.seen[1]?.body ?? '')).toMatchObject({ 'stage-create': true })
    expect(JSON.parse(server.seen[2]?.body ?? '')).toMatchObject({
      requirements: [{ type: 'assert-create' }],
    })
  })

  it('come with credentials that are left alone, which is said once', async () => {
    const { body } = tableAnswer(1)
    const credentials = '"storage-credentials":[{"prefix":"s3","config":{"s3.secret":"x"}}],'
    await start({}, () => ({ body: body.replace('{', `{${credentials}`) }))
    await client.catalog.loadTable(events)
    await client.catalog.loadTable(events)
    expect(client.warnings).toEqual([expect.stringContaining('credentials for files')])
  })
})
