import { afterEach, describe, expect, it } from 'vitest'
import { describeError } from '../../kernel/errors.ts'
import {
  type ClientInTest,
  clientOf,
  configAnswer,
  errorAnswer,
  tableAnswer,
} from '../../testkit/scripted-catalog.ts'
import {
  type ScriptedAnswer,
  type ScriptedServer,
  type SeenRequest,
  startScriptedServer,
} from '../../testkit/scripted-http.ts'
import { type CatalogProperties, refuseUnsafeMove } from './catalog-properties.ts'

const events = { namespace: ['traffic'], name: 'events' }
let server: ScriptedServer
let client: ClientInTest

type Script = {
  readonly token?: (index: number) => ScriptedAnswer
  readonly config?: Readonly<Record<string, unknown>>
  readonly answer?: (request: SeenRequest) => ScriptedAnswer
}

/** Tokens are `token-1`, `token-2` …, an hour each. */
async function start(properties: CatalogProperties, script: Script = {}): Promise<void> {
  let tokens = 0
  server = await startScriptedServer((request) => {
    if (request.path.includes('token')) {
      tokens++
      if (script.token !== undefined) return script.token(tokens)
      return {
        body: { access_token: `token-${tokens}`, token_type: 'bearer', expires_in: 3_600 },
      }
    }
    if (request.path.startsWith('/v1/config')) return configAnswer(script.config)
    return script.answer?.(request) ?? tableAnswer(1)
  })
  client = clientOf(server.url, properties)
}

const load = () => client.catalog.loadTable(events)
const bearers = () =>
  server.seen
    .filter(({ path }) => !path.includes('token'))
    .map(({ headers }) => headers.authorization)
const tokenRequests = () => server.seen.filter(({ path }) => path.includes('token'))
const unauthorized = errorAnswer(401, 'NotAuthorizedException', 'Not authorized')

afterEach(async () => {
  await client.catalog.close()
  await server.close()
})

describe('nobody and bearer tokens', () => {
  it('without credentials nothing is said of us', async () => {
    await start({})
    await load()
    expect(bearers()).toEqual([undefined, undefined])
  })

  it('a token goes with every request, and so do extra headers', async () => {
    await start({ token: 'abc', 'header.X-Tenant': 'roads' })
    await load()
    expect(bearers()).toEqual(['Bearer abc', 'Bearer abc'])
    expect(server.seen.every(({ headers }) => headers['x-tenant'] === 'roads')).toBe(true)
  })

  it('a token that is refused is said once, with what to do', async () => {
    await start({ token: 'abc' }, { answer: () => unauthorized })
    await expect(load()).rejects.toThrow('--catalog-token')
    expect(server.seen).toHaveLength(2)
  })

  it('what is forbidden may not exist, and the error says so', async () => {
    await start({ token: 'abc' }, { answer: () => errorAnswer(403, 'ForbiddenException', 'no') })
    await expect(load()).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringMatching(/grant it.*does not exist/),
    })
  })
})

describe('client credentials', () => {
  const credential = 'me:s3cret:with colon'

  it('are exchanged for a token, in the body of one request for all', async () => {
    await start({ credential })
    await Promise.all(Array.from({ length: 10 }, load))
    const [request, ...others] = tokenRequests()
    expect(others).toEqual([])
    expect(request).toMatchObject({ method: 'POST', path: '/v1/oauth/tokens' })
    expect(request?.headers['content-type']).toBe('application/x-www-form-urlencoded')
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toEqual({
      grant_type: 'client_credentials',
      client_id: 'me',
      client_secret: 's3cret:with colon',
      scope: 'catalog',
    })
    expect(new Set(bearers())).toEqual(new Set(['Bearer token-1']))
    expect(client.warnings).toEqual([expect.stringContaining('--catalog-oauth2-uri')])
  })

  it('go to the endpoint, scope, audience and resource that are set', async () => {
    const idp = await startScriptedServer(() => ({ body: { access_token: 'elsewhere' } }))
    await start({
      credential: 'only-a-secret',
      'oauth2-server-uri': `${idp.url}/realms/x/token`,
      scope: 'PRINCIPAL_ROLE:ALL',
      audience: 'iceberg',
      resource: 'urn:wh',
      'header.X-Tenant': 'roads',
    })
    await load()
    expect(idp.seen[0]?.path).toBe('/realms/x/token')
    // Extra headers are for the catalog, not for others.
    expect(idp.seen[0]?.headers).not.toHaveProperty('x-tenant')
    expect(Object.fromEntries(new URLSearchParams(idp.seen[0]?.body))).toEqual({
      grant_type: 'client_credentials',
      client_secret: 'only-a-secret',
      scope: 'PRINCIPAL_ROLE:ALL',
      audience: 'iceberg',
      resource: 'urn:wh',
    })
    expect(bearers()).toEqual(['Bearer elsewhere', 'Bearer elsewhere'])
    expect(client.warnings).toEqual([])
    await idp.close()
  })

  it('are used again before the token expires, not earlier', async () => {
    await start({ credential })
    await load()
    client.clock.turn(3_500_000)
    await load()
    client.clock.turn(45_000)
    await load()
    expect(bearers().slice(1)).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-2'])
  })

  it('read the end of a token that is a JWT out of it', async () => {
    const claims = { exp: 1_700_000_000 + 100 }
    const jwt = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`
    await start({ credential }, { token: (n) => ({ body: { access_token: n > 1 ? 'b' : jwt } }) })
    await load()
    client.clock.turn(95_000)
    await load()
    expect(bearers().at(-1)).toBe('Bearer b')
  })

  it('keep to a good token while no other is to be had', async () => {
    const good = { body: { access_token: 'good', expires_in: 1_000 } }
    await start({ credential }, { token: (n) => (n === 1 ? good : { status: 503 }) })
    await load()
    client.clock.turn(990_000)
    await load()
    expect(bearers().at(-1)).toBe('Bearer good')
    client.clock.turn(20_000)
    await expect(load()).rejects.toMatchObject({ kind: 'Unavailable' })
  })

  it.each([401, 419])('fetch another token where one is refused by %i, once', async (status) => {
    const refusal = { ...unauthorized, status }
    const isOld = ({ headers }: SeenRequest) => headers.authorization === 'Bearer token-1'
    await start({ credential }, { answer: (r) => (isOld(r) ? refusal : tableAnswer(1)) })
    await Promise.all([load(), load(), load()])
    expect(tokenRequests()).toHaveLength(2)
    await client.catalog.close()
    await server.close()

    await start({ credential }, { answer: () => refusal })
    await expect(load()).rejects.toThrow('--catalog-credential')
    expect(tokenRequests()).toHaveLength(2)
    expect(bearers()).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-2'])
  })

  it('repeat a commit that was refused for its token: it was not looked at', async () => {
    const isOld = ({ headers }: SeenRequest) => headers.authorization === 'Bearer token-1'
    await start({ credential }, { answer: (r) => (isOld(r) ? unauthorized : tableAnswer(1)) })
    await client.catalog.commit([{ identifier: events, requirements: [], updates: [] }])
    expect(bearers()).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-2'])
  })

  it('that are wrong are tried once, and are in no error', async () => {
    const said = { error: 'invalid_client', error_description: `no such client ${credential}` }
    await start({ credential }, { token: () => ({ status: 401, body: said }) })
    const error = await load().catch((failure: unknown) => failure)
    expect(error).toMatchObject({ kind: 'Unavailable' })
    expect(describeError(error)).toMatch(/invalid_client.*--catalog-credential/)
    expect(describeError(error)).not.toContain('s3cret')
    expect(server.seen).toHaveLength(1)
  })

  it('that the catalog sets in its configuration are used from then on', async () => {
    await start({ credential }, { config: { overrides: { token: 'given' } } })
    await load()
    expect(bearers()).toEqual(['Bearer token-1', 'Bearer given'])
  })
})

describe('secrets', () => {
  it('that a catalog repeats are not passed on', async () => {
    const secrets = { token: 'tok-1234', 'header.X-Key': 'key-5678' }
    const text = 'you sent Bearer tok-1234 and key-5678'
    await start(secrets, { answer: () => errorAnswer(400, 'BadRequestException', text) })
    const error = await load().catch((failure: unknown) => failure)
    expect(describeError(error)).toContain('you sent Bearer (secret) and (secret)')
    expect(JSON.stringify(error)).not.toMatch(/tok-1234|key-5678/)
  })

  it('are not taken in the address', async () => {
    await start({})
    const other = clientOf('http://me:pw@127.0.0.1:1/')
    await expect(other.catalog.start()).rejects.toMatchObject({
      kind: 'InvalidInput',
      message: expect.not.stringContaining('pw@'),
    })
  })

  it('are not sent where a catalog moves its clients off encryption', async () => {
    await start({})
    const own = { uri: 'https://safe' }
    for (const name of ['uri', 'oauth2-server-uri']) {
      expect(() => refuseUnsafeMove(own, { ...own, [name]: 'http://elsewhere' })).toThrow(name)
    }
    refuseUnsafeMove(own, { ...own, 'oauth2-server-uri': 'https://idp' })
  })
})
