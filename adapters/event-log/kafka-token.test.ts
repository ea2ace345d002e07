import { describe, expect, it } from 'vitest'
import { createTokenFetcher } from './kafka-token.ts'

const source = {
  uri: 'https://idp/token',
  clientId: 'me',
  clientSecret: 'hidden:secret',
  scope: 'kafka',
}

function world(answers: (() => Response)[]) {
  const time = { ms: 0 }
  const asked: { body: string; authorization: string }[] = []
  const fetchOnce: typeof fetch = async (_uri, init) => {
    const headers = new Headers(init?.headers)
    asked.push({
      body: init?.body instanceof URLSearchParams ? init.body.toString() : '',
      authorization: headers.get('authorization') ?? '',
    })
    const answer = answers.shift()
    if (answer === undefined) throw new Error('connection refused')
    return answer()
  }
  const token = createTokenFetcher({ clock: { nowMs: () => time.ms }, fetch: fetchOnce }, source)
  return { time, asked, token }
}

const json =
  (value: unknown, status = 200) =>
  () =>
    Response.json(value, { status })

describe('a token for Kafka', () => {
  it('is asked for once by all who need it, and again before it expires', async () => {
    const { time, asked, token } = world([
      json({ access_token: 'one', expires_in: 100 }),
      json({ access_token: 'two' }),
    ])
    expect(await Promise.all([token(), token()])).toEqual(['one', 'one'])
    time.ms = 79_000
    expect(await token()).toBe('one')
    time.ms = 81_000
    expect(await token()).toBe('two')
    expect(asked).toHaveLength(2)
    expect(asked[0]?.body).toBe('grant_type=client_credentials&scope=kafka')
    expect(Buffer.from(asked[0]?.authorization.slice(6) ?? '', 'base64').toString()).toBe(
      'me:hidden%3Asecret',
    )
  })

  it('that is refused is an error without any secret, and is asked for again', async () => {
    const { token } = world([
      json({ error: 'invalid_client', hint: 'hidden' }, 401),
      json({ token: 'hidden' }),
      () => new Response('hidden'),
    ])
    for (const why of [/answered 401/, /holds no token/, /no JSON/, /no answer/]) {
      const error = await token().catch((caught: unknown) => caught)
      expect(error).toMatchObject({ kind: 'Unavailable' })
      expect(String(error)).toMatch(why)
      expect(String(error)).not.toContain('hidden')
    }
  })
})
