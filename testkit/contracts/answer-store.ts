/** What every AnswerStore promises; run over each adapter. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { AnswerStore } from '../../kernel/ports.ts'

export type AnswerStoreUnderTest = {
  /** A client as another process would have it, not started. */
  connect: () => AnswerStore
  /** Values above it are not kept. */
  valueBytesMax: number
  close: () => Promise<void>
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

export function answerStoreContract(name: string, open: () => Promise<AnswerStoreUnderTest>): void {
  describe(`answer store: ${name}`, () => {
    let under: AnswerStoreUnderTest
    let store: AnswerStore
    const kept = async (key: string): Promise<Uint8Array> =>
      vi.waitFor(
        async () => {
          const found = await store.get(key)
          expect(found).not.toBeNull()
          return found as Uint8Array
        },
        { timeout: 20_000 },
      )
    beforeEach(async () => {
      under = await open()
      store = under.connect()
      await store.start()
      await vi.waitFor(() => expect(store.stats.isConnected).toBe(true), { timeout: 20_000 })
    })
    afterEach(async () => {
      await store.stop(1_000)
      await under.close()
    })

    it('gives null for a key that nobody has set', async () => {
      expect(await store.get('nothing')).toBeNull()
    })

    it('gives every client the very bytes that one has set, empty or not text', async () => {
      const other = under.connect()
      await other.start()
      await vi.waitFor(() => expect(other.stats.isConnected).toBe(true), { timeout: 20_000 })
      const bytes = Uint8Array.from({ length: 300 }, (_, i) => i)
      other.set('a', bytes)
      other.set('empty', new Uint8Array())
      expect([...(await kept('a'))]).toEqual([...bytes])
      expect([...(await kept('empty'))]).toEqual([])
      await other.stop(1_000)
    })

    it('keeps no value above its limit', async () => {
      store.set('large', new Uint8Array(under.valueBytesMax + 1))
      store.set('largest', new Uint8Array(under.valueBytesMax))
      expect((await kept('largest')).length).toBe(under.valueBytesMax)
      expect(await store.get('large')).toBeNull()
    })

    it('does not keep the array that it was given, which its owner may go on using', async () => {
      const bytes = bytesOf('one')
      store.set('own', bytes)
      await kept('own')
      bytes[0] = 0
      expect(Buffer.from(await kept('own')).toString()).toBe('one')
    })

    it('gives null, keeps nothing and throws nothing before its start and after its stop', async () => {
      const idle = under.connect()
      expect(idle.stats.isConnected).toBe(false)
      idle.set('idle', bytesOf('x'))
      expect(await idle.get('idle')).toBeNull()
      expect(await store.get('idle')).toBeNull()
      store.set('kept', bytesOf('x'))
      await kept('kept')
      await store.stop(1_000)
      store.set('late', bytesOf('x'))
      expect(await store.get('kept')).toBeNull()
      expect(store.stats.isConnected).toBe(false)
    })

    it('says in its health whether it is connected, and is ok either way', async () => {
      expect(store.health().ok).toBe(true)
      await store.stop(1_000)
      expect(store.health().ok).toBe(true)
    })
  })
}
