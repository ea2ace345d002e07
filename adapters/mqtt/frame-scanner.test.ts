import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createFrameScanner } from './frame-scanner.ts'

const limits = { firstPacketBytesMax: 200, packetBytesMax: 100_000 }

function packetOf(length: number): Buffer {
  const size: number[] = []
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    size.push(rest >= 128 ? (rest % 128) | 0x80 : rest)
    if (rest < 128) break
  }
  return Buffer.concat([Buffer.from([0x30, ...size]), Buffer.alloc(length, 0x81)])
}

describe('the scanner of MQTT packets', () => {
  it('finds every packet, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 20_000 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1 }),
        (lengths, cuts) => {
          const bytes = Buffer.concat([0, ...lengths].map(packetOf))
          const scanner = createFrameScanner(limits)
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const end = at + (cuts[i % cuts.length] as number)
            expect(scanner.see(bytes.subarray(at, end))).toBeNull()
            at = end
          }
          expect(scanner.packets).toBe(lengths.length + 1)
          expect(scanner.pendingBytes).toBe(0)
        },
      ),
    )
  })

  it('counts what has come of a packet that is not whole', () => {
    const scanner = createFrameScanner(limits)
    scanner.see(packetOf(0))
    scanner.see(packetOf(5_000).subarray(0, 1_000))
    expect([scanner.packets, scanner.pendingBytes]).toEqual([1, 1_000])
  })

  it('refuses a packet by its length alone, the first one sooner', () => {
    expect(createFrameScanner(limits).see(packetOf(201).subarray(0, 3))).toMatch(/201 bytes/)
    const known = createFrameScanner(limits)
    expect(known.see(packetOf(200))).toBeNull()
    expect(known.see(packetOf(100_000))).toBeNull()
    expect(known.see(packetOf(100_001).subarray(0, 4))).toMatch(/more than 100000/)
    expect(createFrameScanner(limits).see(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff))).toMatch(
      /more than/,
    )
  })
})
