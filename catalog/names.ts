/**
 * Names of namespaces, tables and views, and the keys under which the root object holds them. Keys sort so
 * that what is in a namespace stands together; the separators can't occur in names.
 */
import type { Namespace, TableIdentifier } from '../iceberg/catalog.ts'
import { PotokError } from '../kernel/errors.ts'

export type EntryKind = 'namespace' | 'table' | 'view'

const levelSeparator = '\u001f'
const partSeparator = '\u0000'
const nameCharactersMax = 255
const namespaceLevelsMax = 16
const prefixes: Readonly<Record<EntryKind, string>> = { namespace: 'n', table: 't', view: 'v' }

export function namespaceKey(namespace: Namespace): string {
  return prefixes.namespace + partSeparator + namespace.join(levelSeparator)
}

export function tableKey(identifier: TableIdentifier): string {
  return prefixOfKind('table', identifier.namespace) + identifier.name
}

export function viewKey(identifier: TableIdentifier): string {
  return prefixOfKind('view', identifier.namespace) + identifier.name
}

/** All keys of tables or views in the namespace begin so. */
export function prefixOfKind(kind: 'table' | 'view', namespace: Namespace): string {
  return prefixes[kind] + partSeparator + namespace.join(levelSeparator) + partSeparator
}

export const allTablesPrefix = prefixes.table + partSeparator
export const allViewsPrefix = prefixes.view + partSeparator

/** All keys of namespaces below this one, at any depth, begin so. */
export function childrenPrefix(parent: Namespace): string {
  return parent.length === 0
    ? prefixes.namespace + partSeparator
    : namespaceKey(parent) + levelSeparator
}

export function parseKey(key: string): { kind: EntryKind; namespace: string[]; name: string } {
  const [prefix, namespace, name] = key.split(partSeparator)
  const kind = prefix === 'n' ? 'namespace' : prefix === 't' ? 'table' : 'view'
  return { kind, namespace: (namespace ?? '').split(levelSeparator), name: name ?? '' }
}

export function keyOf(kind: EntryKind, namespace: Namespace, name: string): string {
  if (kind === 'namespace') return namespaceKey(namespace)
  return prefixOfKind(kind, namespace) + name
}

export function checkNamespace(namespace: Namespace): void {
  if (namespace.length === 0) throw invalid('a namespace has at least one level')
  if (namespace.length > namespaceLevelsMax) {
    throw invalid(`a namespace has at most ${namespaceLevelsMax} levels`)
  }
  for (const level of namespace) checkName(level, 'a namespace level')
}

export function checkIdentifier(identifier: TableIdentifier): void {
  checkNamespace(identifier.namespace)
  checkName(identifier.name, 'a name')
}

function checkName(name: string, what: string): void {
  if (name === '') throw invalid(`${what} can not be empty`)
  if (name.length > nameCharactersMax) {
    throw invalid(`${what} has at most ${nameCharactersMax} characters`)
  }
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  if (/[\u0000-\u001f\u007f]/.test(name)) throw invalid(`${what} can not hold control characters`)
}

function invalid(message: string): PotokError {
  return new PotokError('InvalidInput', message)
}
