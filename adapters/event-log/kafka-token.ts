/**
 * Tokens for SASL OAUTHBEARER by OAuth2 client credentials (RFC 6749 §4.4): fetched when a connection logs in,
 * kept until shortly before they expire. Every connection of this process shares them.
 *
 * Invariant: no token and no secret is in an error; of a refusal only the status is told.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { Clock } from '../../kernel/ports.ts'
import { refusal } from './kafka-failure.ts'

export type TokenSource = {
  readonly uri: string
  readonly clientId: string
  readonly clientSecret: string
  /** Empty: none is asked for. */
  readonly scope: string
}

export type TokenPorts = { readonly clock: Clock; readonly fetch: typeof fetch }

const timeoutMs = 10_000
/** Renewed when this part of its life is over, or after so long where it says nothing of its end. */
const lifePart = 0.8
const lifeSecondsDefault = 300

export function createTokenFetcher(ports: TokenPorts, source: TokenSource): () => Promise<string> {
  let current: { value: string; renewAtMs: number } | null = null
  let fetching: Promise<string> | null = null

  async function fetchToken(): Promise<string> {
    const answer = await ask(ports, source)
    const { access_token: value, expires_in: life } = answer
    if (typeof value !== 'string' || value === '')
      throw refused(source, 'its answer holds no token')
    const seconds = Number(life) > 0 ? Number(life) : lifeSecondsDefault
    current = { value, renewAtMs: ports.clock.nowMs() + seconds * 1_000 * lifePart }
    return value
  }

  return async () => {
    if (current !== null && ports.clock.nowMs() < current.renewAtMs) return current.value
    fetching ??= fetchToken().finally(() => {
      fetching = null
    })
    return await fetching
  }
}

async function ask(
  ports: TokenPorts,
  source: TokenSource,
): Promise<{ access_token?: unknown; expires_in?: unknown }> {
  const { clientId, clientSecret, scope } = source
  const basic = [clientId, clientSecret].map(encodeURIComponent).join(':')
  const body = new URLSearchParams({ grant_type: 'client_credentials' })
  if (scope !== '') body.set('scope', scope)
  let response: Response
  try {
    response = await ports.fetch(source.uri, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(basic).toString('base64')}` },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    })
  } catch (cause) {
    throw new PotokError('Unavailable', `no answer from the token endpoint ${source.uri}`, {
      cause,
    })
  }
  if (!response.ok) throw refused(source, `it answered ${response.status}`, response.status)
  try {
    return (await response.json()) as { access_token?: unknown }
  } catch {
    throw refused(source, 'its answer is no JSON')
  }
}

/** With a status of 4xx for good; what else goes wrong there may pass. */
function refused(source: TokenSource, why: string, status = 500): PotokError {
  const message = `no token for Kafka from ${source.uri}: ${why} (POTOK_KAFKA_USERNAME, POTOK_KAFKA_PASSWORD)`
  const isLasting = status >= 400 && status < 500 && status !== 408 && status !== 429
  return isLasting ? refusal(message) : new PotokError('Unavailable', message)
}
