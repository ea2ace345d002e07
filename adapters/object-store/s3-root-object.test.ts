import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rootObjectContract } from '../../testkit/contracts/root-object.ts'
import { type S3Fault, type ScriptedS3, startScriptedS3 } from '../../testkit/scripted-s3.ts'
import type { RootObject } from '../../kernel/ports.ts'
import { createS3Api, type S3Api } from './s3-api.ts'
import { createS3RootObject } from './s3-root-object.ts'

const location = 's3://lake/warehouse/.catalog/root'
const key = 'warehouse/.catalog/root'
const conflict: S3Fault = { status: 409, code: 'ConditionalRequestConflict' }
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

function rootOver(api: S3Api): RootObject {
  return createS3RootObject({ api, location, sleep: async () => undefined, random: () => 0.5 })
}

// Over MinIO it runs in the stack suite; here over what proxies and other stores make of ETags.
rootObjectContract('S3, a scripted store with weak ETags', async () => {
  const s3 = await startScriptedS3({ etagStyle: 'weak', missingIs412: true })
  const apis: S3Api[] = []
  return {
    connect() {
      const api = createS3Api(s3.options)
      apis.push(api)
      return rootOver(api)
    },
    close: async () => {
      for (const api of apis) await api.close()
      await s3.close()
    },
  }
})

describe('the root object in an S3 store', () => {
  let s3: ScriptedS3
  let api: S3Api
  let root: RootObject
  let version: string
  beforeEach(async () => {
    s3 = await startScriptedS3()
    api = createS3Api({ ...s3.options, requestTimeoutMs: 300 })
    root = rootOver(api)
    const first = await root.swap(null, bytesOf('one'))
    version = first.won ? first.version : ''
  })
  afterEach(async () => {
    await api.close()
    await s3.close()
  })

  /** Faults of the next writes, in order; all others are as they should be. */
  function script(...faults: (S3Fault | null)[]): void {
    s3.fault = ({ operation }) => (operation === 'put' ? (faults.shift() ?? null) : null)
  }
  const putCount = (): number => s3.calls.filter(({ operation }) => operation === 'put').length
  const content = async (): Promise<string> =>
    new TextDecoder().decode((await rootOver(api).read())?.bytes)

  it.each<[string, S3Fault, string]>([
    ['the connection ends before the write', 'cut-before', 'one'],
    ['the connection ends after the write', 'cut-after', 'two'],
    ['no answer comes in time', 'silent', 'one'],
    ['the store answers 500 after the write', { status: 500, isDone: true }, 'two'],
    ['the store answers 503', { status: 503, code: 'SlowDown' }, 'one'],
    ['the store answers 429', { status: 429, code: 'TooManyRequests' }, 'one'],
  ])('calls it unknown and sends nothing again when %s', async (_, fault, then) => {
    script(fault)
    await expect(root.swap(version, bytesOf('two'))).rejects.toMatchObject({
      kind: 'CommitStateUnknown',
    })
    expect(putCount()).toBe(2)
    expect(await content()).toBe(then)
  })

  it('sends the same bytes again after a conflict, until the store says who won', async () => {
    script(conflict, conflict)
    expect(await root.swap(version, bytesOf('two'))).toMatchObject({ won: true })
    expect(await content()).toBe('two')
    const read = await root.read()
    script(conflict, { status: 412, code: 'PreconditionFailed' })
    expect(await root.swap(read?.version ?? '', bytesOf('three'))).toEqual({ won: false })
  })

  it('recognises its own write where the store said conflict and wrote all the same', async () => {
    script({ ...(conflict as object), status: 409, isDone: true })
    const swapped = await root.swap(version, bytesOf('two'))
    expect(swapped).toEqual({ won: true, version: await root.version() })
  })

  it('never takes conflicts without end for lost', async () => {
    s3.fault = ({ operation }) => (operation === 'put' ? conflict : null)
    await expect(root.swap(version, bytesOf('two'))).rejects.toMatchObject({
      kind: 'CommitStateUnknown',
    })
    expect(putCount()).toBeLessThan(20)
  })

  it('says that nothing was written where the store refused', async () => {
    script({ status: 403, code: 'AccessDenied' })
    await expect(root.swap(version, bytesOf('two'))).rejects.toMatchObject({ kind: 'Unavailable' })
    expect(await content()).toBe('one')
  })

  it('stops where the root has gone, and never makes it anew', async () => {
    s3.objects.delete(key)
    await expect(root.swap(version, bytesOf('two'))).rejects.toMatchObject({ kind: 'DataCorrupt' })
    await expect(root.read()).rejects.toMatchObject({ kind: 'DataCorrupt' })
    await expect(root.version()).rejects.toMatchObject({ kind: 'DataCorrupt' })
    expect(s3.objects.has(key)).toBe(false)
  })

  it('reads again where half a body came, and calls what stays torn corrupt', async () => {
    let cuts = 2
    s3.fault = ({ operation }) => (operation === 'get' && cuts-- > 0 ? 'half' : null)
    expect(await content()).toBe('one')
    const torn = s3.objects.get(key)
    if (torn !== undefined) torn.bytes = torn.bytes.subarray(0, -1)
    await expect(root.read()).rejects.toMatchObject({ kind: 'DataCorrupt', message: /torn/ })
  })

  it('says that the store can not be reached, which is no lost write', async () => {
    await s3.close()
    await expect(root.swap(version, bytesOf('two'))).rejects.toMatchObject({
      kind: expect.stringMatching(/Unavailable|CommitStateUnknown/),
    })
  })
})
