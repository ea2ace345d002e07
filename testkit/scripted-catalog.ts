/** Pieces of a scripted Iceberg REST catalog for tests of clients: what it lists, tables, errors, a clock to turn. */
import { createRestCatalog, type RestCatalog } from '../adapters/catalog/rest-catalog.ts'
import type { CatalogProperties } from '../adapters/catalog/catalog-properties.ts'
import type { Logger } from '../kernel/ports.ts'
import { randomIds } from './fixed-ports.ts'
import type { ScriptedAnswer } from './scripted-http.ts'

export const allEndpoints: readonly string[] = [
  'GET /v1/{prefix}/namespaces',
  'POST /v1/{prefix}/namespaces',
  'GET /v1/{prefix}/namespaces/{namespace}/tables',
  'POST /v1/{prefix}/namespaces/{namespace}/tables',
  'GET /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'POST /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}',
  'POST /v1/{prefix}/transactions/commit',
  'GET /v1/{prefix}/namespaces/{namespace}/views',
]

export function configAnswer(more: Readonly<Record<string, unknown>> = {}): ScriptedAnswer {
  return { body: { defaults: {}, overrides: {}, endpoints: allEndpoints, ...more } }
}

export function errorAnswer(
  status: number,
  type: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): ScriptedAnswer {
  return { status, headers, body: { error: { message, type, code: status } } }
}

/** In text, so that an id beyond 2^53 can be in it. */
export function tableAnswer(
  version: number,
  options: { snapshotId?: string; etag?: string } = {},
): ScriptedAnswer & { readonly body: string } {
  const id = options.snapshotId
  const snapshot = `{"snapshot-id":${id},"sequence-number":1,"timestamp-ms":1,"manifest-list":"s3://w/t/m.avro","summary":{"operation":"append"},"schema-id":0}`
  return {
    headers: options.etag === undefined ? {} : { etag: options.etag },
    body: `{"metadata-location":"s3://w/t/${version}.metadata.json","config":{"token":"table-secret"},
      "metadata":{"format-version":2,"table-uuid":"6ac25adc-7a57-4cb3-8291-a46b03deaaf9","location":"s3://w/t",
      "last-sequence-number":1,"last-updated-ms":1,"last-column-id":1,"current-schema-id":0,
      "schemas":[{"type":"struct","schema-id":0,"fields":[{"id":1,"name":"id","required":true,"type":"long"}]}],
      "default-spec-id":0,"partition-specs":[{"spec-id":0,"fields":[]}],"last-partition-id":999,
      "default-sort-order-id":0,"sort-orders":[{"order-id":0,"fields":[]}],"properties":{},
      ${id === undefined ? '' : `"current-snapshot-id":${id},"snapshots":[${snapshot}],`}
      "refs":{}}}`,
  }
}

export type ClientInTest = {
  readonly catalog: RestCatalog
  /** How long it waited between attempts. */
  readonly waits: number[]
  readonly warnings: string[]
  readonly clock: { nowMs(): number; turn(ms: number): void }
}

export function clientOf(
  uri: string,
  properties: CatalogProperties = {},
  options: { timeoutMs?: number; bodyBytesMax?: number } = {},
): ClientInTest {
  let nowMs = 1_700_000_000_000
  const waits: number[] = []
  const warnings: string[] = []
  const note = (_fields: object, message: string): void => void warnings.push(message)
  const logger: Logger = { debug: () => {}, info: note, warn: note, error: note }
  const clock = {
    nowMs: () => nowMs,
    turn(ms: number) {
      nowMs += ms
    },
  }
  const catalog = createRestCatalog({
    properties: { uri, ...properties },
    clock,
    ids: randomIds,
    logger,
    sleep: async (ms) => {
      waits.push(ms)
      nowMs += ms
    },
    random: () => 0.5,
    ...options,
  })
  return { catalog, waits, warnings, clock }
}
