/**
 * Errors as the reference implementation names and words them: engines' clients tell them apart by type and
 * compare the messages. `context.exception` carries the type name to the REST server.
 */
import type { Namespace, TableIdentifier } from '../iceberg/catalog.ts'
import { type ErrorKind, PotokError } from '../kernel/errors.ts'

export type CatalogException =
  | 'NoSuchNamespaceException'
  | 'NoSuchTableException'
  | 'NoSuchViewException'
  | 'AlreadyExistsException'
  | 'NamespaceNotEmptyException'
  | 'UnprocessableEntityException'
  | 'NotFoundException'

export function noSuchNamespace(namespace: Namespace): PotokError {
  return failure(
    'NotFound',
    'NoSuchNamespaceException',
    `Namespace does not exist: ${namespace.join('.')}`,
  )
}

export function noSuchTable(identifier: TableIdentifier): PotokError {
  return failure('NotFound', 'NoSuchTableException', `Table does not exist: ${nameOf(identifier)}`)
}

export function noSuchView(identifier: TableIdentifier): PotokError {
  return failure('NotFound', 'NoSuchViewException', `View does not exist: ${nameOf(identifier)}`)
}

export function alreadyExists(what: string, name: string): PotokError {
  return failure('AlreadyExists', 'AlreadyExistsException', `${what} already exists: ${name}`)
}

export function namespaceNotEmpty(namespace: Namespace): PotokError {
  return failure(
    'InvalidInput',
    'NamespaceNotEmptyException',
    `Namespace is not empty: ${namespace.join('.')}`,
  )
}

export function unprocessable(message: string): PotokError {
  return failure('InvalidInput', 'UnprocessableEntityException', message)
}

export function nameOf(identifier: TableIdentifier): string {
  return [...identifier.namespace, identifier.name].join('.')
}

function failure(kind: ErrorKind, exception: CatalogException, message: string): PotokError {
  return new PotokError(kind, message, { context: { exception } })
}
