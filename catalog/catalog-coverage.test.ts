/** docs/reference/catalog-coverage.md says what the code does. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { decodeRequirement, decodeUpdate } from '../iceberg/codec/updates-json.ts'
import { decodeViewUpdate } from '../iceberg/codec/view-json.ts'
import type { TableRequirement, TableUpdate } from '../iceberg/spec/table-updates.ts'
import type { ViewUpdate } from '../iceberg/spec/view-metadata.ts'
import { startCatalogServer } from '../testkit/catalog-server.ts'
import { endpointOf, unsupportedRoutes } from './rest-routes.ts'

const page = readFileSync(
  join(import.meta.dirname, '..', 'docs', 'reference', 'catalog-coverage.md'),
  'utf8',
)

/** First and second cell of the table under the heading: the name and what is said of it. */
function rowsUnder(heading: string): [string, string][] {
  const section = page.split('\n## ').find((part) => part.startsWith(heading)) ?? ''
  return [...section.matchAll(/^\| `([^`]+)` \| ([^|]*?) *\|/gm)].map((match) => [
    match[1] as string,
    match[2] as string,
  ])
}

function namesOf(rows: readonly [string, string][], isRefused: boolean): string[] {
  return rows.flatMap(([name, said]) => (said.startsWith('refused') === isRefused ? [name] : []))
}

function messageOf(decode: () => unknown): string {
  try {
    decode()
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

const requirements: Readonly<Record<TableRequirement['type'], true>> = {
  'assert-create': true,
  'assert-table-uuid': true,
  'assert-ref-snapshot-id': true,
  'assert-last-assigned-field-id': true,
  'assert-current-schema-id': true,
  'assert-last-assigned-partition-id': true,
  'assert-default-spec-id': true,
  'assert-default-sort-order-id': true,
  'assert-property': true,
}
const updates: Readonly<Record<TableUpdate['action'], true>> = {
  'assign-uuid': true,
  'upgrade-format-version': true,
  'add-schema': true,
  'set-current-schema': true,
  'add-spec': true,
  'set-default-spec': true,
  'add-sort-order': true,
  'set-default-sort-order': true,
  'add-snapshot': true,
  'set-snapshot-ref': true,
  'remove-snapshots': true,
  'remove-snapshot-ref': true,
  'set-location': true,
  'set-properties': true,
  'remove-properties': true,
  'set-statistics': true,
  'remove-statistics': true,
  'set-partition-statistics': true,
  'remove-partition-statistics': true,
  'remove-partition-specs': true,
  'remove-schemas': true,
}
const viewUpdates: Readonly<Record<ViewUpdate['action'], true>> = {
  'assign-uuid': true,
  'upgrade-format-version': true,
  'add-schema': true,
  'set-location': true,
  'set-properties': true,
  'remove-properties': true,
  'add-view-version': true,
  'set-current-view-version': true,
}

it('lists the endpoints that the configuration lists, and those that are refused', async () => {
  const server = await startCatalogServer()
  try {
    const rows = rowsUnder('Endpoints')
    const { endpoints } = (await server.call('GET', '/config')).json
    expect(namesOf(rows, false).sort()).toEqual([...(endpoints as string[])].sort())
    const refused = unsupportedRoutes.map(([method, path]) => endpointOf(method, path))
    expect(namesOf(rows, true).sort()).toEqual([...refused].sort())
  } finally {
    await server.stop()
  }
})

it.each([
  ['Requirements', Object.keys(requirements), (type: string) => decodeRequirement({ type })],
  ['Updates', Object.keys(updates), (action: string) => decodeUpdate({ action })],
  ['Views', Object.keys(viewUpdates), (action: string) => decodeViewUpdate({ action })],
] as const)('lists what the code knows and what it refuses: %s', (heading, known, decode) => {
  const rows = rowsUnder(heading)
  expect(namesOf(rows, false).sort()).toEqual([...known].sort())
  const isRefusal = /^(Unknown|Cannot apply|Cannot validate)/
  for (const name of known) expect(messageOf(() => decode(name))).not.toMatch(isRefusal)
  for (const name of namesOf(rows, true)) {
    expect(messageOf(() => decode(name))).toMatch(/^(Cannot apply|Cannot validate)/)
  }
})
