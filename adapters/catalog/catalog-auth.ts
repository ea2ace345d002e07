/**
 * Who we are to the catalog: nobody, a bearer token, or OAuth2 client credentials (RFC 6749 §4.4); and extra
 * headers. A token from credentials is fetched anew before it expires and when the catalog refuses it: token
 * exchange, which Java's client prefers, is left out, since the credentials are at hand anyway.
 *
 * Invariant: no token, secret or header value is in an error or a log; what servers say is passed through
 * `redact` first.
 */
import { parseJson } from '../../iceberg/codec/lossless-json.ts'
import { wireObject, type WireObject } from '../../iceberg/codec/wire-reader.ts'
import { describeError, PotokError } from '../../kernel/errors.ts'
import type { Clock, Logger } from '../../kernel/ports.ts'
import type { CatalogProperties } from './catalog-properties.ts'
import { type HttpAnswer, type HttpExchange, HttpFailure } from './http-exchange.ts'

export type CatalogAuth = {
  /** Everything that a request carries of us. */
  headers(): Promise<Readonly<Record<string, string>>>
  /**
   * The catalog refused the request that had these headers: gives whether another token is there now, so that
   * it is worth trying again.
   */
  renew(refused: Readonly<Record<string, string>>): Promise<boolean>
  redact(text: string): string
}

export type AuthPorts = {
  readonly exchange: HttpExchange
  readonly clock: Clock
  readonly logger: Logger | undefined
}

type Token = {
  readonly value: string
  /** null: it says nothing of its end; used until it is refused. */
  readonly life: { readonly renewAtMs: number; readonly expiresAtMs: number } | null
}

const headerPrefix = 'header.'
const oauthPathDefault = 'v1/oauth/tokens'
/** A token is renewed this long before it expires, or when a tenth of a shorter life is left. */
const renewBeforeMs = 60_000
/** After a renewal that failed while the old token is still good. */
const renewAgainMs = 10_000
const authNames = [
  'token',
  'credential',
  'oauth2-server-uri',
  'scope',
  'audience',
  'resource',
] as const

/** The same answers to who we are: a token fetched for one serves the other. */
export function isSameAuth(a: CatalogProperties, b: CatalogProperties): boolean {
  const headers = (one: CatalogProperties) => JSON.stringify(headersOf(one))
  return authNames.every((name) => a[name] === b[name]) && headers(a) === headers(b)
}

export function createCatalogAuth(
  ports: AuthPorts,
  uri: string,
  properties: CatalogProperties,
): CatalogAuth {
  const extra = headersOf(properties)
  const { token, credential } = properties
  const secrets = [token, credential, ...Object.values(extra)]
  if (credential !== undefined) secrets.push(splitCredential(credential).secret)
  let current: Token | null =
    token === undefined || token === '' ? null : { value: token, life: null }
  let previous = ''
  // A token that was given wins over credentials, as with Java's client, until the catalog refuses it.
  const canFetch = credential !== undefined && credential !== ''
  let fetching: Promise<Token> | null = null
  let waitUntilMs = 0

  const redact = (text: string): string =>
    [...secrets, current?.value, previous].reduce<string>(
      (clean, secret) =>
        secret === undefined || secret.length < 4 ? clean : clean.replaceAll(secret, '(secret)'),
      text,
    )

  /** One at a time, for all who need it. */
  function fetchOnce(): Promise<Token> {
    fetching ??= fetchToken(ports, uri, properties, redact)
      .then((fetched) => {
        previous = current?.value ?? ''
        current = fetched
        return fetched
      })
      .finally(() => {
        fetching = null
      })
    return fetching
  }

  async function ensureToken(): Promise<Token | null> {
    if (!canFetch) return current
    if (current === null) return await fetchOnce()
    const nowMs = ports.clock.nowMs()
    const { life } = current
    if (life === null || nowMs < life.renewAtMs || nowMs < waitUntilMs) return current
    try {
      return await fetchOnce()
    } catch (error) {
      if (nowMs >= life.expiresAtMs) throw error
      waitUntilMs = nowMs + renewAgainMs
      ports.logger?.warn({ error: describeError(error) }, 'the catalog token could not be renewed')
      return current
    }
  }

  return {
    redact,
    async headers() {
      const present = await ensureToken()
      return present === null ? extra : { ...extra, authorization: `Bearer ${present.value}` }
    },
    async renew(refused) {
      if (!canFetch) return false
      const isOurs = current !== null && refused['authorization'] === `Bearer ${current.value}`
      if (isOurs || current === null) await fetchOnce()
      return true
    },
  }
}

async function fetchToken(
  { exchange, clock, logger }: AuthPorts,
  uri: string,
  properties: CatalogProperties,
  redact: (text: string) => string,
): Promise<Token> {
  const server = properties['oauth2-server-uri'] ?? ''
  if (server === '') {
    logger?.warn(
      { catalog: uri },
      'asking the catalog itself for a token (v1/oauth/tokens), which Iceberg has deprecated: name the token endpoint with --catalog-oauth2-uri',
    )
  }
  // A path is below the catalog's address, as Iceberg's clients take it.
  const url = new URL(server === '' ? oauthPathDefault : server.replace(/^\/+/, ''), uri)
  const { id, secret } = splitCredential(properties['credential'] ?? '')
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    ...(id === null ? {} : { client_id: id }),
    client_secret: secret,
    scope: properties['scope'] ?? 'catalog',
  })
  for (const name of ['audience', 'resource'] as const) {
    const value = properties[name]
    if (value !== undefined && value !== '') form.set(name, value)
  }
  const startMs = clock.nowMs()
  let answer: HttpAnswer
  try {
    answer = await exchange.send({
      method: 'POST',
      url,
      headers: {
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
        ...(url.origin === new URL(uri).origin ? headersOf(properties) : {}),
      },
      body: form.toString(),
    })
  } catch (cause) {
    if (!(cause instanceof HttpFailure)) throw cause
    throw new PotokError(
      cause.isTimeout ? 'Timeout' : 'Unavailable',
      `no token from ${endpointName(url)}: ${redact(cause.message)}`,
    )
  }
  return readToken(answer, url, startMs, redact)
}

function readToken(
  answer: HttpAnswer,
  url: URL,
  startMs: number,
  redact: (text: string) => string,
): Token {
  const body = bodyOf(answer)
  const value = body?.['access_token']
  if (answer.status === 200 && typeof value === 'string' && value !== '') {
    const seconds = Number(body?.['expires_in'] ?? Number.NaN)
    const expiresAtMs =
      Number.isFinite(seconds) && seconds > 0 ? startMs + seconds * 1_000 : expiryOfJwt(value)
    if (expiresAtMs === null) return { value, life: null }
    const beforeMs = Math.min(renewBeforeMs, (expiresAtMs - startMs) / 10)
    return { value, life: { renewAtMs: expiresAtMs - beforeMs, expiresAtMs } }
  }
  const said = [body?.['error'], body?.['error_description']].filter(
    (one): one is string => typeof one === 'string',
  )
  const detail = said.length === 0 ? '' : ` (${redact(said.join(': ')).slice(0, 300)})`
  const isRefused = answer.status < 500 && answer.status !== 429
  const advice = isRefused
    ? '; check --catalog-credential (id:secret), --catalog-scope and --catalog-oauth2-uri'
    : ''
  throw new PotokError(
    'Unavailable',
    `no token from ${endpointName(url)}: it answered ${answer.status}${detail}${advice}`,
    { context: { status: answer.status, isRefused } },
  )
}

function bodyOf(answer: HttpAnswer): WireObject | null {
  try {
    return wireObject(parseJson(answer.text), 'token response')
  } catch {
    return null
  }
}

/** Epoch ms of the claim `exp`, null where it is no JWT or has none. Not verified: only the catalog can. */
function expiryOfJwt(token: string): number | null {
  const payload = token.split('.')[1]
  if (payload === undefined) return null
  try {
    const claims = wireObject(
      JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')),
      'claims',
    )
    const exp = claims['exp']
    return typeof exp === 'number' ? exp * 1_000 : null
  } catch {
    return null
  }
}

/** `id:secret`; without a colon it is all secret. */
function splitCredential(credential: string): { id: string | null; secret: string } {
  const colon = credential.indexOf(':')
  if (colon === -1) return { id: null, secret: credential.trim() }
  return { id: credential.slice(0, colon).trim(), secret: credential.slice(colon + 1).trim() }
}

function headersOf(properties: CatalogProperties): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith(headerPrefix)) {
      headers[name.slice(headerPrefix.length).toLowerCase()] = value
    }
  }
  return headers
}

/** Without a query, which might hold what isn't for logs. */
function endpointName(url: URL): string {
  return url.origin + url.pathname
}
