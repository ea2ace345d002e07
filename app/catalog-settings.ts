/** Settings of another catalog, and the properties that Iceberg's clients call them by. Pure. */
import { type CatalogProperties } from '../adapters/catalog/catalog-properties.ts'
import { PotokError } from '../kernel/errors.ts'
import type { Settings } from './settings.ts'

/** What `--catalog-properties` may hold beside headers; the rest has settings of its own or isn't done. */
const furtherProperties: ReadonlySet<string> = new Set([
  'audience',
  'namespace-separator',
  'prefix',
  'resource',
  'view-endpoints-supported',
])

export function readCatalogProperties(settings: Settings): CatalogProperties {
  const own: Record<string, string> = {
    uri: settings.catalogUri,
    warehouse: settings.catalogWarehouse,
    token: settings.catalogToken,
    credential: settings.catalogCredential,
    'oauth2-server-uri': settings.catalogOauth2Uri,
    scope: settings.catalogScope,
  }
  const given = Object.entries(own).filter(([, value]) => value !== '')
  return { ...Object.fromEntries(given), ...readFurther(settings.catalogProperties) }
}

/** `name=value,name=value`, or JSON where values hold commas. */
function readFurther(text: string): Record<string, string> {
  const entries = text.trimStart().startsWith('{') ? entriesOfJson(text) : entriesOfList(text)
  for (const [name] of entries) {
    if (furtherProperties.has(name) || /^header\.[\w-]+$/.test(name)) continue
    throw refused(`${name} is none of ${[...furtherProperties].join(', ')}, header.NAME`)
  }
  return Object.fromEntries(entries)
}

function entriesOfList(text: string): [string, string][] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=')
      // Not the part itself: it may be the rest of a secret with a comma in it.
      if (equals < 1) throw refused('write name=value,name=value, or JSON')
      return [part.slice(0, equals).trim(), part.slice(equals + 1).trim()]
    })
}

function entriesOfJson(text: string): [string, string][] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw refused('not JSON')
  }
  return Object.entries(value as object).map(([name, one]) => {
    if (typeof one !== 'string') throw refused(`the value of ${name} is no text`)
    return [name, one]
  })
}

function refused(why: string): PotokError {
  return new PotokError(
    'InvalidInput',
    `setting --catalog-properties (POTOK_CATALOG_PROPERTIES): ${why}`,
  )
}
