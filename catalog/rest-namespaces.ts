/** Routes of namespaces. */
import { optional, stringMapField, stringsField } from '../iceberg/codec/wire-reader.ts'
import { noSuchNamespace } from './catalog-errors.ts'
import { sendJson, sendNothing } from './rest-answers.ts'
import { bodyOf, namespaceOf, namespaceSeparator, pageOf, parentOf } from './rest-requests.ts'
import { namespacePath, type Routes } from './rest-routes.ts'

export const namespaceRoutes: Routes = [
  [
    'get',
    '/namespaces',
    async (service, request, response) => {
      const found = await service.listNamespaces(parentOf(request))
      const page = pageOf(request, found, (one) => one.join(namespaceSeparator))
      sendJson(response, { namespaces: page.items, 'next-page-token': page.nextPageToken })
    },
  ],
  [
    'post',
    '/namespaces',
    async (service, request, response) => {
      const body = bodyOf(request)
      const namespace = stringsField(body, 'namespace')
      const properties = optional(body, 'properties', stringMapField) ?? {}
      await service.createNamespace(namespace, properties)
      sendJson(response, { namespace, properties })
    },
  ],
  [
    'get',
    namespacePath,
    async (service, request, response) => {
      const namespace = namespaceOf(request)
      sendJson(response, {
        namespace,
        // Trino makes a table in two steps, the second of which must find its folder empty; it names the
        // folder itself, and so creates nothing in the first, only where it knows the namespace's.
        properties: {
          location: service.namespaceLocation(namespace),
          ...(await service.namespaceProperties(namespace)),
        },
      })
    },
  ],
  [
    'head',
    namespacePath,
    async (service, request, response) => {
      const namespace = namespaceOf(request)
      if (!(await service.namespaceExists(namespace))) throw noSuchNamespace(namespace)
      sendNothing(response)
    },
  ],
  [
    'delete',
    namespacePath,
    async (service, request, response) => {
      await service.dropNamespace(namespaceOf(request))
      sendNothing(response)
    },
  ],
  [
    'post',
    `${namespacePath}/properties`,
    async (service, request, response) => {
      const body = bodyOf(request)
      sendJson(
        response,
        await service.updateNamespaceProperties(namespaceOf(request), {
          removals: optional(body, 'removals', stringsField) ?? [],
          updates: optional(body, 'updates', stringMapField) ?? {},
        }),
      )
    },
  ],
]
