import { afterEach, describe, expect, it } from 'vitest'
import type { TableCommit, TableIdentifier } from '../../iceberg/catalog.ts'
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

const events: TableIdentifier = { namespace: ['traffic'], name: 'events' }
const rejected: TableIdentifier = { namespace: ['traffic'], name: 'rejected_events' }
const commitTo = (identifier: TableIdentifier): TableCommit => ({
  identifier,
  requirements: [],
  updates: [{ action: 'set-properties', updates: { position: '7' } }],
})
const conflict = errorAnswer(409, 'CommitFailedException', 'Requirement failed: …')
const keys = { 'idempotency-key-lifetime': 'PT30M' }
const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
let server: ScriptedServer
let client: ClientInTest

/** The answers one after another, the last one for ever; `/v1/config` apart from them. */
async function start(
  answers: readonly ScriptedAnswer[],
  config: Readonly<Record<string, unknown>> = {},
  options: { timeoutMs?: number; bodyBytesMax?: number } = {},
): Promise<void> {
  let next = 0
  server = await startScriptedServer((request) =>
    request.path.startsWith('/v1/config')
      ? configAnswer(config)
      : (answers[Math.min(next++, answers.length - 1)] as ScriptedAnswer),
  )
  client = clientOf(server.url, {}, options)
  await client.catalog.start()
}

const asked = (): readonly SeenRequest[] =>
  server.seen.filter(({ path }) => !path.startsWith('/v1/config'))
const load = () => client.catalog.loadTable(events)
const commit = (...identifiers: TableIdentifier[]) =>
  client.catalog.commit((identifiers.length === 0 ? [events] : identifiers).map(commitTo))

afterEach(async () => {
  await client.catalog.close()
  await server.close()
})

describe('a read', () => {
  const passing: readonly [string, ScriptedAnswer][] = [
    ['cut off', { fault: 'cut' }],
    ['of half a body', { ...tableAnswer(1), fault: 'half' }],
    ['of a busy server', { status: 503 }],
    ['of a broken proxy', { status: 502, body: '<html>Bad gateway</html>' }],
    ['of too many requests', { status: 429 }],
  ]
  it.each(passing)('is repeated after an answer %s', async (_name, answer) => {
    await start([answer, answer, tableAnswer(1)])
    await expect(load()).resolves.toMatchObject({ identifier: events })
    expect(asked()).toHaveLength(3)
    expect(client.waits).toHaveLength(2)
    expect(client.waits[1]).toBeGreaterThan(client.waits[0] as number)
  })

  it('is given up after five attempts', async () => {
    await start([{ status: 503, body: 'down for repairs' }])
    await expect(load()).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringContaining('503: down for repairs'),
    })
    expect(asked()).toHaveLength(5)
  })

  it('that hangs ends as a time-out', async () => {
    await start([{ fault: 'hang' }], {}, { timeoutMs: 100 })
    await expect(load()).rejects.toMatchObject({ kind: 'Timeout' })
  })

  it('waits as long as it is asked to, in seconds or until a time', async () => {
    const at = new Date(1_700_000_000_000 + 9_000).toUTCString()
    await start([
      { status: 503, headers: { 'retry-after': '7' } },
      { status: 429, headers: { 'retry-after': at } },
      tableAnswer(1),
    ])
    await load()
    expect(client.waits).toEqual([7_000, 2_000])
  })

  it('does not wait for minutes', async () => {
    await start([{ status: 429, headers: { 'retry-after': '600' } }])
    await expect(load()).rejects.toMatchObject({ kind: 'Overloaded' })
    expect(client.waits).toEqual([])
  })

  it('of a table that is not there is NotFound; a path that nobody knows is not', async () => {
    await start([
      errorAnswer(404, 'NoSuchTableException', 'Table does not exist: traffic.events'),
      { status: 404, body: '<html>404</html>' },
    ])
    await expect(load()).rejects.toMatchObject({
      kind: 'NotFound',
      message: 'Table does not exist: traffic.events',
    })
    await expect(load()).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringContaining('--catalog-uri'),
    })
    expect(asked()).toHaveLength(2)
  })

  it('takes no answer beyond its limit, and none that is no table', async () => {
    await start([{ body: `{"a":"${'x'.repeat(5_000)}"}` }], {}, { bodyBytesMax: 4_000 })
    await expect(load()).rejects.toThrow('larger than 4000 bytes')
    await client.catalog.close()
    await server.close()
    await start([{ body: '{"metadata":{}}' }, { body: 'no json' }])
    await expect(load()).rejects.toMatchObject({ kind: 'DataCorrupt' })
    await expect(load()).rejects.toMatchObject({ kind: 'DataCorrupt' })
  })

  it('follows no redirect', async () => {
    await start([{ status: 307, headers: { location: 'http://elsewhere/x?token=1' } }])
    await expect(load()).rejects.toThrow('(to http://elsewhere/x)')
  })

  it('of a table in a format that is too new says so', async () => {
    const { body } = tableAnswer(1)
    await start([{ body: body.replace('"format-version":2', '"format-version":9') }])
    await expect(load()).rejects.toMatchObject({ kind: 'Unsupported' })
  })
})

describe('a commit', () => {
  const refusals: readonly [number, string, string][] = [
    [400, 'BadRequestException', 'InvalidInput'],
    [401, 'NotAuthorizedException', 'Unavailable'],
    [403, 'ForbiddenException', 'Unavailable'],
    [404, 'NoSuchTableException', 'NotFound'],
    [406, 'UnsupportedOperationException', 'Unsupported'],
    [409, 'CommitFailedException', 'CommitConflict'],
    [409, 'AlreadyExistsException', 'CommitConflict'],
    [422, 'UnprocessableEntityException', 'InvalidInput'],
    [501, 'UnsupportedOperationException', 'Unsupported'],
  ]
  it.each(refusals)('refused with %i %s is %s, and sent once', async (status, type, kind) => {
    await start([errorAnswer(status, type, 'why')], keys)
    await expect(commit()).rejects.toMatchObject({ kind })
    expect(asked()).toHaveLength(1)
  })

  const unknown: readonly [string, ScriptedAnswer][] = [
    ['500', errorAnswer(500, 'CommitStateUnknownException', '')],
    ['502', { status: 502 }],
    ['503 with Retry-After', { status: 503, headers: { 'retry-after': '1' } }],
    ['504', { status: 504 }],
    ['a lost connection', { fault: 'cut' }],
    ['half a body', { ...tableAnswer(1), fault: 'half' }],
    ['no answer in time', { fault: 'hang' }],
    ['a success that is no table', { body: '<html>200</html>' }],
  ]
  it.each(unknown)('answered by %s is unknown, and sent once', async (_name, answer) => {
    await start([answer], {}, answer.fault === 'hang' ? { timeoutMs: 300 } : {})
    await expect(commit()).rejects.toMatchObject({ kind: 'CommitStateUnknown' })
    expect(asked()).toHaveLength(1)
    expect(asked()[0]?.headers).not.toHaveProperty('idempotency-key')
  })

  it.each(unknown.slice(0, 7))(
    'answered by %s is sent again with its key, and done once',
    async (_name, answer) => {
      await start(
        [answer, answer, tableAnswer(2)],
        keys,
        answer.fault === 'hang' ? { timeoutMs: 300 } : {},
      )
      await expect(commit()).resolves.toHaveLength(1)
      const sent = asked().map(({ headers }) => headers['idempotency-key'])
      expect(sent).toHaveLength(3)
      expect(new Set(sent).size).toBe(1)
      expect(sent[0]).toMatch(uuidV7)
    },
  )

  it('has a key of its own, which begins with the time', async () => {
    await start([tableAnswer(1)], keys)
    await commit()
    await commit()
    const sent = asked().map(({ headers }) => String(headers['idempotency-key']))
    expect(new Set(sent).size).toBe(2)
    const time = (1_700_000_000_000).toString(16).padStart(12, '0')
    expect(sent[0]?.replace('-', '')).toMatch(new RegExp(`^${time}`))
  })

  it('refused after an attempt without an answer is unknown, never a conflict', async () => {
    await start([{ fault: 'cut' }, conflict], keys)
    await expect(commit()).rejects.toMatchObject({
      kind: 'CommitStateUnknown',
      message: expect.stringContaining('Requirement failed'),
    })
    expect(asked()).toHaveLength(2)
  })

  it('turned away by 429 is sent again even without a key', async () => {
    await start([{ status: 429 }, { status: 429 }, tableAnswer(1)])
    await expect(commit()).resolves.toHaveLength(1)
    expect(asked()).toHaveLength(3)
  })

  it('that can not have left is no unknown one', async () => {
    await start([tableAnswer(1)])
    await server.close()
    await expect(commit()).rejects.toMatchObject({ kind: 'Unavailable' })
    expect(client.waits).toHaveLength(4)
  })

  it('to several tables is one request, and answered with the tables as they are after it', async () => {
    await start([{ status: 204 }, tableAnswer(1), tableAnswer(2)])
    const tables = await commit(events, rejected)
    expect(tables.map(({ identifier }) => identifier)).toEqual([events, rejected])
    expect(asked().map(({ path }) => path)).toEqual([
      '/v1/transactions/commit',
      '/v1/namespaces/traffic/tables/events',
      '/v1/namespaces/traffic/tables/rejected_events',
    ])
    expect(JSON.parse(asked()[0]?.body ?? '')).toMatchObject({
      'table-changes': [{ identifier: events }, { identifier: rejected }],
    })
  })

  it('to several tables that are gone after it is not reported as refused', async () => {
    await start([{ status: 204 }, errorAnswer(404, 'NoSuchTableException', 'gone')])
    await expect(commit(events, rejected)).rejects.toMatchObject({
      kind: 'CommitStateUnknown',
      message: expect.stringContaining('is in'),
    })
  })
})

describe('other changes', () => {
  it('know a name that is taken from a failed requirement', async () => {
    await start([errorAnswer(409, 'AlreadyExistsException', 'Namespace already exists: a')])
    await expect(client.catalog.createNamespace(['a'])).rejects.toMatchObject({
      kind: 'AlreadyExists',
    })
  })

  it('without an answer are unknown', async () => {
    await start([{ fault: 'cut' }])
    await expect(client.catalog.createNamespace(['a'])).rejects.toMatchObject({
      kind: 'CommitStateUnknown',
    })
    await expect(client.catalog.dropTable(events)).rejects.toMatchObject({
      kind: 'CommitStateUnknown',
    })
  })

  it('are refused once the client is closed, and cut where they are under way', async () => {
    await start([{ fault: 'hang' }])
    const waiting = Promise.allSettled([load(), commit()])
    while (asked().length < 2) await new Promise(setImmediate)
    await client.catalog.close()
    expect(await waiting).toMatchObject([
      { reason: { kind: 'ShuttingDown' } },
      { reason: { kind: 'CommitStateUnknown' } },
    ])
    await expect(load()).rejects.toMatchObject({ kind: 'ShuttingDown' })
  })
})
