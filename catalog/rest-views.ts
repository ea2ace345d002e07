/** Routes of views. */
import { decodeViewCreation, decodeViewRequirement } from '../iceberg/codec/view-json.ts'
import { arrayField, objectField, optional, stringField } from '../iceberg/codec/wire-reader.ts'
import { noSuchView } from './catalog-errors.ts'
import { sendJson, sendNothing, sendView } from './rest-answers.ts'
import {
  bodyOf,
  decodeIdentifier,
  decodeViewCommitUpdate,
  namespaceOf,
  pageOf,
  viewOf,
} from './rest-requests.ts'
import { namespacePath, type Routes } from './rest-routes.ts'

export const viewRoutes: Routes = [
  [
    'get',
    `${namespacePath}/views`,
    async (service, request, response) => {
      const found = await service.listViews(namespaceOf(request))
      const page = pageOf(request, found, (one) => one.name)
      sendJson(response, { identifiers: page.items, 'next-page-token': page.nextPageToken })
    },
  ],
  [
    'post',
    `${namespacePath}/views`,
    async (service, request, response) => {
      const creation = decodeViewCreation(bodyOf(request))
      const identifier = { namespace: namespaceOf(request), name: creation.name }
      const metadata = await service.newView(identifier, creation)
      sendView(response, await service.createView(identifier, metadata))
    },
  ],
  [
    'get',
    `${namespacePath}/views/{view}`,
    async (service, request, response) =>
      sendView(response, await service.loadView(viewOf(request))),
  ],
  [
    'post',
    `${namespacePath}/views/{view}`,
    async (service, request, response) => {
      const body = bodyOf(request)
      const requirements = (optional(body, 'requirements', arrayField) ?? []).map(
        decodeViewRequirement,
      )
      const updates = arrayField(body, 'updates').map(decodeViewCommitUpdate)
      sendView(response, await service.replaceView(viewOf(request), requirements, updates))
    },
  ],
  [
    'head',
    `${namespacePath}/views/{view}`,
    async (service, request, response) => {
      const identifier = viewOf(request)
      if (!(await service.viewExists(identifier))) throw noSuchView(identifier)
      sendNothing(response)
    },
  ],
  [
    'delete',
    `${namespacePath}/views/{view}`,
    async (service, request, response) => {
      await service.dropView(viewOf(request))
      sendNothing(response)
    },
  ],
  [
    'post',
    `${namespacePath}/register-view`,
    async (service, request, response) => {
      const body = bodyOf(request)
      const identifier = { namespace: namespaceOf(request), name: stringField(body, 'name') }
      const location = stringField(body, 'metadata-location')
      sendView(response, await service.registerView(identifier, location))
    },
  ],
  [
    'post',
    '/views/rename',
    async (service, request, response) => {
      const body = bodyOf(request)
      await service.renameView(
        decodeIdentifier(objectField(body, 'source')),
        decodeIdentifier(objectField(body, 'destination')),
      )
      sendNothing(response)
    },
  ],
]
