/**
 * Where tables may be: in the warehouse, or under a prefix that the operator allows. Every location that a
 * client brings (table, metadata, manifest list, statistics, data path) passes here, so that nobody makes the
 * server or its compactor read or delete elsewhere.
 */
import type { Namespace, TableIdentifier } from '../iceberg/catalog.ts'
import { PotokError } from '../kernel/errors.ts'

export type LocationPolicy = {
  readonly warehouse: string
  /** In one spelling, without a slash at the end; InvalidInput where it isn't allowed. */
  check(location: string, what: string): string
  isAllowed(location: string): boolean
  /** The warehouse or an allowed prefix itself: nothing to be emptied for the sake of one table. */
  isWholePrefix(location: string): boolean
  /** Where its tables go, unless the namespace has a location of its own. */
  namespaceLocation(namespace: Namespace): string
  /** `<warehouse>/<namespace>/<table>`; `parent` in place of the first two where the namespace says so. */
  defaultLocation(identifier: TableIdentifier, parent?: string): string
}

export function createLocationPolicy(options: {
  warehouseLocation: string
  allowedLocations?: readonly string[]
}): LocationPolicy {
  const warehouse = normaliseLocation(options.warehouseLocation)
  const prefixes = [warehouse, ...(options.allowedLocations ?? []).map(normaliseLocation)]

  function namespaceLocation(namespace: Namespace): string {
    return [warehouse, ...namespace.map(pathSegment)].join('/')
  }

  function isAllowed(location: string): boolean {
    const normal = normaliseLocation(location)
    // There are the root object, what it points at, and files that are being written.
    if (normal.startsWith(`${warehouse}/.`)) return false
    return prefixes.some((prefix) => normal === prefix || normal.startsWith(`${prefix}/`))
  }

  return {
    warehouse,
    isAllowed,
    isWholePrefix: (location) => prefixes.includes(normaliseLocation(location)),
    check(location, what) {
      const normal = normaliseLocation(location)
      if (!isAllowed(normal)) {
        throw new PotokError(
          'InvalidInput',
          normal.startsWith(`${warehouse}/.`)
            ? `The ${what} ${location} is in a folder that belongs to the catalog`
            : `The ${what} ${location} is outside of the warehouse ${warehouse} and of the allowed locations`,
          { context: { location } },
        )
      }
      return normal
    },
    namespaceLocation,
    defaultLocation(identifier, parent) {
      return `${parent ?? namespaceLocation(identifier.namespace)}/${pathSegment(identifier.name)}`
    },
  }
}

/** `file:/p`, `file://localhost/p` and `/p` become `file:///p`, `s3a:` and `s3n:` become `s3:`. */
export function normaliseLocation(location: string): string {
  const match = /^([a-z][a-z0-9+.-]*):(.*)$/i.exec(
    location.startsWith('/') ? `file:${location}` : location,
  )
  if (match === null) throw invalid(location, 'it is no absolute location')
  const scheme = (match[1] as string).toLowerCase().replace(/^s3[an]$/, 's3')
  const rest = match[2] as string
  const path = scheme === 'file' ? filePath(location, rest) : rest.replace(/^\/\//, '')
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  if (/[\u0000-\u001f\\?#]/.test(path))
    throw invalid(location, 'it holds \\, ?, # or control characters')
  const segments = path.split('/')
  if (segments.some((segment) => /^(\.|%2e){1,2}$/i.test(segment))) {
    throw invalid(location, 'it holds . or .. as a segment')
  }
  const kept = segments.filter((segment, i) => segment !== '' || i === 0)
  return `${scheme}://${kept.join('/')}`
}

function filePath(location: string, rest: string): string {
  const path = rest.startsWith('//') ? rest.slice(2).replace(/^localhost(?=\/)/, '') : rest
  if (!path.startsWith('/')) throw invalid(location, 'it names a host; write file:///path')
  return path
}

/** What can't stand in a path in every engine becomes `_`; folders with a dot in front are the catalog's own. */
function pathSegment(name: string): string {
  return name.replaceAll(/[^\p{L}\p{N}_.\-=]/gu, '_').replace(/^\.+/, '_')
}

function invalid(location: string, why: string): PotokError {
  return new PotokError('InvalidInput', `Invalid location ${location}: ${why}`, {
    context: { location },
  })
}
