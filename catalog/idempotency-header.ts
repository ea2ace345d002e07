/** `Idempotency-Key` of a request, as the REST specification describes it, and the request that it is bound to. */
import { createHash } from 'node:crypto'
import type { Request } from 'express'
import { PotokError } from '../kernel/errors.ts'
import type { KeyedRequest } from './idempotent-changes.ts'

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i
/** 128 bits: two requests are never taken for one by chance. */
const fingerprintBytes = 16

/** null where there is none, and where the method changes nothing. InvalidInput where it is no UUIDv7. */
export function keyedRequestOf(request: Request): KeyedRequest | null {
  if (request.method !== 'POST' && request.method !== 'DELETE') return null
  const key = request.get('Idempotency-Key')
  if (key === undefined) return null
  if (!uuidV7.test(key)) {
    throw new PotokError('InvalidInput', 'Invalid Idempotency-Key: it must be one UUIDv7')
  }
  const body: unknown = request.body
  const hash = createHash('sha256').update(`${request.method} ${request.originalUrl}\n`)
  if (body instanceof Uint8Array) hash.update(body)
  const digest = hash.digest().subarray(0, fingerprintBytes)
  return { key: key.toLowerCase(), fingerprint: digest.toString('base64url') }
}
