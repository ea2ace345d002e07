/** Routes of tables, and of commits to one or several of them. */
import type { LoadedTable } from '../iceberg/catalog.ts'
import { encodeTableMetadata } from '../iceberg/codec/metadata-json.ts'
import { booleanField, objectField, optional, stringField } from '../iceberg/codec/wire-reader.ts'
import { noSuchTable } from './catalog-errors.ts'
import { sendJson, sendNothing, sendTable, sendTableIfNew } from './rest-answers.ts'
import {
  bodyOf,
  decodeCommit,
  decodeCreation,
  decodeIdentifier,
  decodeTransaction,
  namespaceOf,
  pageOf,
  queryOf,
  snapshotModeOf,
  tableOf,
} from './rest-requests.ts'
import { checkMetricsReport } from './rest-metrics.ts'
import { namespacePath, type Routes } from './rest-routes.ts'

export const tableRoutes: Routes = [
  [
    'get',
    `${namespacePath}/tables`,
    async (service, request, response) => {
      const found = await service.listTables(namespaceOf(request))
      const page = pageOf(request, found, (one) => one.name)
      sendJson(response, { identifiers: page.items, 'next-page-token': page.nextPageToken })
    },
  ],
  [
    'post',
    `${namespacePath}/tables`,
    async (service, request, response) => {
      const { request: creation, isStaged } = decodeCreation(bodyOf(request), namespaceOf(request))
      if (isStaged) {
        const metadata = await service.stageCreate(creation, { freshFieldIds: true })
        sendJson(response, { metadata: encodeTableMetadata(metadata), config: {} })
        return
      }
      sendTable(response, await service.createTable(creation, { freshFieldIds: true }))
    },
  ],
  [
    'get',
    `${namespacePath}/tables/{table}`,
    async (service, request, response) => {
      const mode = snapshotModeOf(request)
      sendTableIfNew(request, response, await service.loadTable(tableOf(request)), mode)
    },
  ],
  [
    'post',
    `${namespacePath}/tables/{table}`,
    async (service, request, response) => {
      const [table] = await service.commit([decodeCommit(bodyOf(request), tableOf(request))])
      sendTable(response, table as LoadedTable)
    },
  ],
  [
    'head',
    `${namespacePath}/tables/{table}`,
    async (service, request, response) => {
      const identifier = tableOf(request)
      if (!(await service.tableExists(identifier))) throw noSuchTable(identifier)
      sendNothing(response)
    },
  ],
  [
    'delete',
    `${namespacePath}/tables/{table}`,
    async (service, request, response) => {
      const purge = queryOf(request, 'purgeRequested')?.toLowerCase() === 'true'
      await service.dropTable(tableOf(request), { purge })
      sendNothing(response)
    },
  ],
  [
    'post',
    `${namespacePath}/register`,
    async (service, request, response) => {
      const body = bodyOf(request)
      const identifier = { namespace: namespaceOf(request), name: stringField(body, 'name') }
      const location = stringField(body, 'metadata-location')
      const overwrite = optional(body, 'overwrite', booleanField) ?? false
      sendTable(response, await service.registerTable(identifier, location, { overwrite }))
    },
  ],
  [
    'post',
    '/tables/rename',
    async (service, request, response) => {
      const body = bodyOf(request)
      await service.renameTable(
        decodeIdentifier(objectField(body, 'source')),
        decodeIdentifier(objectField(body, 'destination')),
      )
      sendNothing(response)
    },
  ],
  [
    'post',
    '/transactions/commit',
    async (service, request, response) => {
      await service.commit(decodeTransaction(bodyOf(request)))
      sendNothing(response)
    },
  ],
  [
    'post',
    `${namespacePath}/tables/{table}/metrics`,
    // Reports of scans and commits: taken and not kept.
    async (service, request, response) => {
      checkMetricsReport(bodyOf(request))
      const identifier = tableOf(request)
      if (!(await service.tableExists(identifier))) throw noSuchTable(identifier)
      sendNothing(response)
    },
  ],
]
