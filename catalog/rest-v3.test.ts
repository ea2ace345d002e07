/** Tables of format v3, made elsewhere: they can be had, read and given away, and not changed. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { stringifyJson } from '../iceberg/codec/lossless-json.ts'
import { type CatalogServer, startCatalogServer } from '../testkit/catalog-server.ts'

const location = 'memory://w/ns/t/metadata/00001-x.metadata.json'
const wire = {
  'format-version': 3,
  'table-uuid': '6b4b7d2a-0000-4000-8000-000000000001',
  location: 'memory://w/ns/t',
  'last-sequence-number': 1,
  'last-updated-ms': 1_700_000_000_000,
  'last-column-id': 4,
  'current-schema-id': 0,
  schemas: [
    {
      type: 'struct',
      'schema-id': 0,
      fields: [
        { id: 1, name: 'at', required: true, type: 'timestamptz_ns' },
        { id: 2, name: 'v', required: false, type: 'variant' },
        { id: 3, name: 'where', required: false, type: 'geometry(srid:4326)' },
        {
          id: 4,
          name: 'n',
          required: true,
          type: 'int',
          'initial-default': 7,
          'write-default': 8,
        },
      ],
    },
  ],
  'default-spec-id': 0,
  'partition-specs': [
    {
      'spec-id': 0,
      fields: [
        { 'source-ids': [1, 4], 'field-id': 1000, name: 'both', transform: 'later[2]' },
        { 'source-id': 4, 'field-id': 1001, name: 'n', transform: 'identity' },
      ],
    },
  ],
  'last-partition-id': 1001,
  'default-sort-order-id': 0,
  'sort-orders': [{ 'order-id': 0, fields: [] }],
  properties: { a: 'b' },
  'current-snapshot-id': 8_123_456_789_012_345_677n,
  refs: { main: { 'snapshot-id': 8_123_456_789_012_345_677n, type: 'branch' } },
  statistics: [],
  'partition-statistics': [],
  snapshots: [
    {
      'sequence-number': 1,
      'snapshot-id': 8_123_456_789_012_345_677n,
      'timestamp-ms': 1_700_000_000_000,
      summary: { operation: 'append' },
      'manifest-list': 'memory://w/ns/t/metadata/snap-1.avro',
      'schema-id': 0,
      'first-row-id': 0,
      'added-rows': 3,
      'key-id': 'k1',
    },
  ],
  'snapshot-log': [
    { 'timestamp-ms': 1_700_000_000_000, 'snapshot-id': 8_123_456_789_012_345_677n },
  ],
  'metadata-log': [],
  'next-row-id': 3,
  'encryption-keys': [{ 'key-id': 'k1', 'encrypted-key-metadata': 'AA==' }],
}

let server: CatalogServer
let call: CatalogServer['call']

beforeEach(async () => {
  server = await startCatalogServer()
  call = server.call
  await call('POST', '/namespaces', { namespace: ['ns'] })
  await server.store.write(location, new TextEncoder().encode(stringifyJson(wire)))
  const body = { name: 't', 'metadata-location': location }
  expect((await call('POST', '/namespaces/ns/register', body)).json.metadata).toEqual(wire)
})
afterEach(async () => {
  await server.stop()
})

it('is listed, loaded with all that it has, renamed and dropped', async () => {
  expect((await call('GET', '/namespaces/ns/tables')).json.identifiers).toHaveLength(1)
  expect((await call('HEAD', '/namespaces/ns/tables/t')).status).toBe(204)
  const loaded = (await call('GET', '/namespaces/ns/tables/t')).json
  expect(loaded).toEqual({ 'metadata-location': location, metadata: wire, config: {} })
  const refs = (await call('GET', '/namespaces/ns/tables/t?snapshots=refs')).json
  expect(refs.metadata).toEqual(wire)
  const names = { source: { namespace: ['ns'], name: 't' } }
  const destination = { namespace: ['ns'], name: 'u' }
  expect((await call('POST', '/tables/rename', { ...names, destination })).status).toBe(204)
  expect((await call('DELETE', '/namespaces/ns/tables/u')).status).toBe(204)
})

it('is not changed: refused by name with 406', async () => {
  const change = { requirements: [], updates: [{ action: 'set-properties', updates: { c: 'd' } }] }
  const error = {
    message: 'Tables of format v3 can be read but not changed here (supported: v1, v2)',
    type: 'UnsupportedOperationException',
    code: 406,
  }
  expect((await call('POST', '/namespaces/ns/tables/t', change)).json.error).toEqual(error)
  const transaction = {
    'table-changes': [{ identifier: { namespace: ['ns'], name: 't' }, ...change }],
  }
  expect((await call('POST', '/transactions/commit', transaction)).json.error).toEqual(error)
  expect((await call('GET', '/namespaces/ns/tables/t')).json.metadata).toEqual(wire)
})

it('is not made: a create of format v3, staged or not, is refused by name with 406', async () => {
  for (const staged of [false, true]) {
    const answer = await call('POST', '/namespaces/ns/tables', {
      name: 'x',
      schema: { type: 'struct', fields: [] },
      properties: { 'format-version': '3' },
      'stage-create': staged,
    })
    expect(answer.json.error).toEqual({
      message: 'Unsupported format version: v3 (supported: v2)',
      type: 'UnsupportedOperationException',
      code: 406,
    })
  }
})

it('is refused in a format that is later still', async () => {
  const later = 'memory://w/ns/x/metadata/1.metadata.json'
  const text = stringifyJson({ ...wire, 'format-version': 4 })
  await server.store.write(later, new TextEncoder().encode(text))
  const answer = await call('POST', '/namespaces/ns/register', {
    name: 'x',
    'metadata-location': later,
  })
  expect(answer.json.error).toMatchObject({
    message: 'Cannot read unsupported version 4 of table metadata',
    code: 406,
  })
})
