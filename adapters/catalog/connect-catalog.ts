/**
 * The first steps with a REST catalog: who we are, its configuration, and whether potok can work with it. What
 * it says there may change its address and our credentials for all that follows.
 */
import type { CatalogFeatures } from '../../iceberg/catalog.ts'
import type { WireObject } from '../../iceberg/codec/wire-reader.ts'
import { isPotokError, PotokError } from '../../kernel/errors.ts'
import type { Clock, IdSource, Logger } from '../../kernel/ports.ts'
import { type CatalogAuth, createCatalogAuth, isSameAuth } from './catalog-auth.ts'
import { type CatalogClient, createCatalogClient } from './catalog-client.ts'
import {
  type CatalogPaths,
  type CatalogProperties,
  createPaths,
  readConfiguration,
  refuseUnfit,
  refuseUnsafeMove,
} from './catalog-properties.ts'
import { openHttpExchange } from './http-exchange.ts'

export type RestCatalogOptions = {
  /** `uri` and whatever else Iceberg's clients call so: `warehouse`, `token`, `credential`, `header.…` … */
  readonly properties: CatalogProperties
  /** PEM certificates to trust beside the usual ones. */
  readonly caFile?: string
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger?: Logger
  /** Of one request with its answer. */
  readonly timeoutMs?: number
  readonly bodyBytesMax?: number
  readonly sleep?: (ms: number) => Promise<void>
  readonly random?: () => number
}

export type Connection = {
  /** Where it is, with a slash at its end. */
  readonly uri: string
  readonly client: CatalogClient
  readonly paths: CatalogPaths
  readonly endpoints: ReadonlySet<string>
  readonly features: CatalogFeatures
  /** Resolved: it answers. */
  ping(): Promise<void>
  close(): void
}

const timeoutMsDefault = 30_000
const bodyBytesDefault = 256 * 1024 * 1024

export async function connectCatalog(options: RestCatalogOptions): Promise<Connection> {
  const own = options.properties
  const ownUri = addressOf(own)
  const exchange = await openHttpExchange({
    timeoutMs: options.timeoutMs ?? timeoutMsDefault,
    bodyBytesMax: options.bodyBytesMax ?? bodyBytesDefault,
    ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
  })
  const ports = { ...options, exchange, logger: options.logger }
  const clientFor = (auth: CatalogAuth, uri: string, hasIdempotencyKeys: boolean): CatalogClient =>
    createCatalogClient({ ...ports, auth }, { uri, hasIdempotencyKeys })
  const ask = async (client: CatalogClient): Promise<WireObject> => {
    const { warehouse } = own
    const answer = await client.send({
      purpose: 'read',
      what: 'say its configuration',
      method: 'GET',
      path: 'v1/config',
      ...(warehouse === undefined ? {} : { query: { warehouse } }),
    })
    return answer.read((body) => body)
  }
  try {
    const firstAuth = createCatalogAuth(ports, ownUri, own)
    const first = clientFor(firstAuth, ownUri, false)
    const configuration = readConfiguration(await ask(first).catch(explain), own)
    const { properties, endpoints, hasIdempotencyKeys } = configuration
    refuseUnsafeMove(own, properties)
    refuseUnfit(configuration, ownUri)
    const uri = addressOf(properties)
    const isSame = uri === ownUri && isSameAuth(own, properties)
    const auth = isSame ? firstAuth : createCatalogAuth(ports, uri, properties)
    return {
      uri,
      client: clientFor(auth, uri, hasIdempotencyKeys),
      paths: createPaths(properties),
      endpoints,
      features: { assertProperty: properties['potok.assert-property'] === 'true' },
      ping: async () => {
        await ask(first)
      },
      close: () => exchange.close(),
    }
  } catch (error) {
    exchange.close()
    throw error
  }
}

function addressOf(properties: CatalogProperties): string {
  const text = properties['uri'] ?? ''
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new PotokError('InvalidInput', `the catalog's address is http(s)://…, not ${text}`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new PotokError(
      'InvalidInput',
      "the catalog's address holds no names or passwords: use --catalog-credential or --catalog-token",
    )
  }
  const { pathname } = url
  // Some give the address with the version that every path below it begins with.
  return `${url.origin}${pathname.replace(/\/+$/, '').replace(/\/v1$/, '')}/`
}

/** Here a 404 is about the warehouse, or nobody's. */
function explain(error: unknown): never {
  if (!isPotokError(error, 'NotFound')) throw error
  throw new PotokError('InvalidInput', `${error.message}: check --catalog-warehouse`, {
    cause: error,
  })
}
