/** Namespaces of the catalog: nested, with properties. Parents that a new one lacks are made with it. */
import type { Catalog, Namespace } from '../iceberg/catalog.ts'
import { PotokError } from '../kernel/errors.ts'
import {
  alreadyExists,
  namespaceNotEmpty,
  noSuchNamespace,
  unprocessable,
} from './catalog-errors.ts'
import type { CatalogCore } from './catalog-core.ts'
import { checkNamespace, childrenPrefix, namespaceKey, parseKey, prefixOfKind } from './names.ts'

export type NamespaceUpdate = {
  readonly removed: readonly string[]
  readonly updated: readonly string[]
  readonly missing: readonly string[]
}

export type Namespaces = Pick<Catalog, 'listNamespaces' | 'createNamespace'> & {
  namespaceExists(namespace: Namespace): Promise<boolean>
  /** NotFound where it doesn't exist. */
  namespaceProperties(namespace: Namespace): Promise<Readonly<Record<string, string>>>
  updateNamespaceProperties(
    namespace: Namespace,
    change: { removals: readonly string[]; updates: Readonly<Record<string, string>> },
  ): Promise<NamespaceUpdate>
  dropNamespace(namespace: Namespace): Promise<void>
}

export function createNamespaces(core: CatalogCore): Namespaces {
  const { groupCommit, policy } = core

  function checkProperties(properties: Readonly<Record<string, string>>): void {
    const location = properties['location']
    if (location !== undefined) policy.check(location, 'namespace location')
  }

  return {
    async listNamespaces(parent = []) {
      if (parent.length > 0) await core.requireNamespace(core, parent)
      const found = await core.scan(childrenPrefix(parent))
      return found
        .map(([key]) => parseKey(key).namespace)
        .filter((namespace) => namespace.length === parent.length + 1)
    },

    async namespaceExists(namespace) {
      return (await core.get(namespaceKey(namespace))) !== null
    },

    async createNamespace(namespace, properties = {}) {
      checkNamespace(namespace)
      checkProperties(properties)
      await groupCommit.submit(async (draft) => {
        if ((await draft.get(namespaceKey(namespace))) !== null) {
          throw alreadyExists('Namespace', namespace.join('.'))
        }
        for (let levels = 1; levels < namespace.length; levels++) {
          const key = namespaceKey(namespace.slice(0, levels))
          if ((await draft.get(key)) === null) draft.set(key, { kind: 'namespace', properties: {} })
        }
        draft.set(namespaceKey(namespace), { kind: 'namespace', properties: { ...properties } })
        return () => undefined
      })
    },

    async namespaceProperties(namespace) {
      const entry = await core.requireNamespace(core, namespace)
      return entry.kind === 'namespace' ? entry.properties : {}
    },

    async updateNamespaceProperties(namespace, { removals, updates }) {
      const both = removals.filter((key) => Object.hasOwn(updates, key))
      if (both.length > 0) {
        throw unprocessable(
          `Invalid namespace update, cannot simultaneously set and remove keys: [${both.join(', ')}]`,
        )
      }
      checkProperties(updates)
      return groupCommit.submit(async (draft) => {
        const entry = await core.requireNamespace(draft, namespace)
        const before = entry.kind === 'namespace' ? entry.properties : {}
        const properties = { ...before, ...updates }
        for (const key of removals) delete properties[key]
        draft.set(namespaceKey(namespace), { kind: 'namespace', properties })
        const removed = removals.filter((key) => Object.hasOwn(before, key))
        const missing = removals.filter((key) => !Object.hasOwn(before, key))
        return () => ({ removed, missing, updated: Object.keys(updates) })
      })
    },

    async dropNamespace(namespace) {
      if (namespace.length === 0) {
        throw new PotokError('InvalidInput', 'the root namespace can not be dropped')
      }
      await groupCommit.submit(async (draft) => {
        const key = namespaceKey(namespace)
        if ((await draft.get(key)) === null) throw noSuchNamespace(namespace)
        for (const prefix of [
          prefixOfKind('table', namespace),
          prefixOfKind('view', namespace),
          childrenPrefix(namespace),
        ]) {
          if ((await draft.scan(prefix)).length > 0) throw namespaceNotEmpty(namespace)
        }
        draft.set(key, null)
        return () => undefined
      })
    },
  }
}
