import { afterEach, describe, expect, it } from 'vitest'
import { type S3Habits, type ScriptedS3, startScriptedS3 } from '../../testkit/scripted-s3.ts'
import { createS3Api } from './s3-api.ts'
import { probeS3Store } from './s3-probe.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function start(habits: S3Habits): Promise<{ s3: ScriptedS3; probe: () => Promise<void> }> {
  const s3 = await startScriptedS3(habits)
  const api = createS3Api(s3.options)
  closing.push(
    () => api.close(),
    () => s3.close(),
  )
  return {
    s3,
    probe: () =>
      probeS3Store({
        api,
        endpoint: 'http://my-store:9000',
        warehouse: 's3://lake/warehouse',
        sleep: async () => undefined,
        random: () => 0.5,
        nowMs: () => 0,
      }),
  }
}

describe('the probe of an S3 store', () => {
  it.each<[string, S3Habits]>([
    ['answers as AWS does', {}],
    ['says 412 instead of 404 to If-Match where nothing is there', { missingIs412: true }],
    ['writes its ETags without quotes', { etagStyle: 'bare' }],
    ['has weak ETags behind a proxy', { etagStyle: 'weak' }],
  ])('passes a store that %s, and leaves nothing in it', async (_, habits) => {
    const { s3, probe } = await start(habits)
    await probe()
    expect([...s3.objects.keys()]).toEqual([])
    expect(s3.calls.length).toBeLessThan(350)
    expect(
      s3.calls.every(({ key }) => key === '' || key.startsWith('warehouse/.catalog/probe/')),
    ).toBe(true)
  })

  it.each<[string, S3Habits, RegExp]>([
    ['ignores If-Match', { ignoresIfMatch: true }, /accepts If-Match with a stale ETag/],
    [
      'ignores If-None-Match',
      { ignoresIfNoneMatch: true },
      /accepts If-None-Match: \* over an object/,
    ],
    ['makes a missing key', { makesMissing: true }, /accepts If-Match although nothing is there/],
    [
      'lets several of 32 writers win',
      { isRacy: true },
      /of 32 writers with the same If-Match, \d+ won/,
    ],
    [
      'refuses what it should take',
      { refusesTrue: true },
      /refuses If-None-Match: \* although nothing/,
    ],
    [
      'reads bytes and ETag of different writes',
      { tearsReads: true },
      /bytes of one write and the ETag of another/,
    ],
  ])('refuses a store that %s, and names store and case', async (_, habits, what) => {
    const { s3, probe } = await start(habits)
    const refusal = await probe().catch((error: unknown) => error)
    expect(refusal).toMatchObject({ kind: 'Unsupported', message: what })
    expect(refusal).toMatchObject({ message: /http:\/\/my-store:9000/ })
    expect([...s3.objects.keys()]).toEqual([])
  })

  it('refuses a store that does not know the headers', async () => {
    const { s3, probe } = await start({})
    s3.fault = ({ operation }) =>
      operation === 'put' ? { status: 501, code: 'NotImplemented' } : null
    await expect(probe()).rejects.toMatchObject({
      kind: 'Unsupported',
      message: /knows no conditional/,
    })
  })

  it('is not misled by lost answers, conflicts and a busy store', async () => {
    const { s3, probe } = await start({})
    let puts = 0
    s3.fault = ({ operation, key }) => {
      if (operation === 'get' && s3.calls.length % 3 === 0) return 'half'
      if (operation !== 'put') return null
      puts++
      const busy = puts % 4 === 2 ? { status: 503, code: 'SlowDown' } : null
      if (!/race-.*-1$/.test(key)) return puts % 4 === 1 ? 'cut-after' : busy
      // The first of a key may be the object that the race is about.
      if (!s3.objects.has(key)) return null
      return puts % 2 === 0 ? 'cut-after' : { status: 409, code: 'ConditionalRequestConflict' }
    }
    await probe()
    expect(puts).toBeGreaterThan(70)
  })

  it('says that it could not find out where the store stays busy', async () => {
    const { s3, probe } = await start({})
    s3.fault = () => ({ status: 503, code: 'SlowDown' })
    await expect(probe()).rejects.toMatchObject({ kind: 'Unavailable', message: /too busy/ })
  })
})
