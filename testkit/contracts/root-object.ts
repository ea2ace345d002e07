/** What every RootObject promises; run over each adapter. `open` gives several independent clients of one root. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RootObject } from '../../kernel/ports.ts'

export type RootObjectUnderTest = {
  /** A client as another process would have it: no shared memory. */
  connect: () => RootObject
  close: () => Promise<void>
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

async function contentOf(root: RootObject): Promise<string | null> {
  const found = await root.read()
  return found === null ? null : new TextDecoder().decode(found.bytes)
}

export function rootObjectContract(name: string, open: () => Promise<RootObjectUnderTest>): void {
  describe(`root object: ${name}`, () => {
    let connect: () => RootObject
    let close: () => Promise<void>
    beforeEach(async () => {
      const opened = await open()
      connect = opened.connect
      close = opened.close
    })
    afterEach(() => close())

    it('is null before the first swap', async () => {
      expect(await connect().read()).toBeNull()
      expect(await connect().version()).toBeNull()
    })

    it('shows every client what the last swap wrote, with the version that it gave', async () => {
      const writer = connect()
      const first = await writer.swap(null, bytesOf('one'))
      expect(first.won).toBe(true)
      const reader = connect()
      expect(await contentOf(reader)).toBe('one')
      expect(first.won && first.version).toBe(await reader.version())
      const second = await reader.swap(await reader.version(), bytesOf('two'))
      expect(second.won).toBe(true)
      expect(await contentOf(writer)).toBe('two')
      expect(await writer.version()).toBe(second.won ? second.version : '')
    })

    it('loses a swap whose expectation is stale, and changes nothing', async () => {
      const root = connect()
      const first = await root.swap(null, bytesOf('one'))
      const version = first.won ? first.version : ''
      expect(await root.swap(version, bytesOf('two'))).toMatchObject({ won: true })
      expect(await root.swap(version, bytesOf('three'))).toEqual({ won: false })
      expect(await root.swap(null, bytesOf('four'))).toEqual({ won: false })
      expect(await contentOf(root)).toBe('two')
    })

    it('gives equal bytes a new version', async () => {
      const root = connect()
      const first = await root.swap(null, bytesOf('same'))
      const second = await root.swap(first.won ? first.version : '', bytesOf('same'))
      expect(second.won && first.won && second.version !== first.version).toBe(true)
    })

    it('lets one of 32 writers win', async () => {
      const version = await connect().swap(null, bytesOf('start'))
      const results = await Promise.all(
        Array.from({ length: 32 }, (_, i) =>
          connect().swap(version.won ? version.version : '', bytesOf(`writer ${i}`)),
        ),
      )
      const winners = results.flatMap((result, i) => (result.won ? [i] : []))
      expect(winners).toHaveLength(1)
      expect(await contentOf(connect())).toBe(`writer ${winners[0]}`)
    })

    it('counts 8 clients with 10 increments each to exactly 80', async () => {
      await connect().swap(null, bytesOf('0'))
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const root = connect()
          for (let done = 0; done < 10; ) {
            const found = await root.read()
            const value = Number(new TextDecoder().decode(found?.bytes))
            const result = await root.swap(found?.version ?? null, bytesOf(String(value + 1)))
            if (result.won) done++
          }
        }),
      )
      expect(await contentOf(connect())).toBe('80')
    })
  })
}
