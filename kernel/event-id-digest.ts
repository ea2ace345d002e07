/**
 * SHA-256 and HMAC-SHA-256 as the hot path needs them: of the first `length` bytes of a buffer, the digest as
 * `binary` text of 32 characters. Making a Buffer for the result costs three times as much as the hash.
 */
import { hash } from 'node:crypto'

export type Digest = (bytes: Buffer, length: number) => string

const blockBytes = 64
const viewLengthMax = 1_024

export function createSha256(): Digest {
  // A view made for each hash costs a fifth of it: those of the lengths that come are kept.
  let viewed: Buffer | null = null
  let views: (Buffer | undefined)[] = []
  return (bytes, length) => {
    if (length > viewLengthMax) return hash('sha256', bytes.subarray(0, length), 'binary')
    if (viewed !== bytes) {
      viewed = bytes
      views = Array.from({ length: viewLengthMax + 1 })
    }
    const view = (views[length] ??= bytes.subarray(0, length))
    return hash('sha256', view, 'binary')
  }
}

/** RFC 2104 by two one-shot hashes, a fraction of the cost of an Hmac object per detection. */
export function createHmacSha256(key: Uint8Array): Digest {
  const padded = Buffer.alloc(blockBytes)
  padded.set(key.length > blockBytes ? Buffer.from(hash('sha256', key, 'hex'), 'hex') : key)
  const outer = Buffer.alloc(blockBytes + 32)
  for (let i = 0; i < blockBytes; i++) outer[i] = (padded[i] as number) ^ 0x5c
  let inner = Buffer.alloc(2_048)
  for (let i = 0; i < blockBytes; i++) inner[i] = (padded[i] as number) ^ 0x36
  return (bytes, length) => {
    if (blockBytes + length > inner.length) {
      const larger = Buffer.alloc((blockBytes + length) * 2)
      larger.set(inner.subarray(0, blockBytes))
      inner = larger
    }
    bytes.copy(inner, blockBytes, 0, length)
    const binary = hash('sha256', inner.subarray(0, blockBytes + length), 'binary')
    outer.write(binary, blockBytes, 'binary')
    return hash('sha256', outer, 'binary')
  }
}
