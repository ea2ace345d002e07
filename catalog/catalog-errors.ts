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
  | 'IllegalArgumentException'
  | 'ValidationException'

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

/** What is in the way is of the other kind: `wanted` is what the name was to become. */
export function nameTaken(
  wanted: 'table' | 'view',
  found: 'table' | 'view',
  identifier: TableIdentifier,
): PotokError {
  const what = found === 'table' ? 'Table' : 'View'
  return alreadyExists(wanted === found ? what : `${what} with same name`, nameOf(identifier))
}

export function renameTargetTaken(
  from: TableIdentifier,
  to: TableIdentifier,
  found: 'table' | 'view',
): PotokError {
  const what = found === 'table' ? 'Table' : 'View'
  return failure(
    'AlreadyExists',
    'AlreadyExistsException',
    `Cannot rename ${nameOf(from)} to ${nameOf(to)}. ${what} already exists`,
  )
}

/** A name points to a file that has gone: for us damage, for clients of the reference implementation a 404. */
export function noMetadataFile(location: string, cause: unknown): PotokError {
  return new PotokError('DataCorrupt', `Failed to open input stream for file: ${location}`, {
    context: { exception: 'NotFoundException', location },
    cause,
  })
}

/** A client names a metadata file that isn't there. */
export function noSuchFile(location: string): PotokError {
  return failure(
    'NotFound',
    'NotFoundException',
    `Failed to open input stream for file: ${location}`,
  )
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
