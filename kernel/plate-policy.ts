/**
 * What becomes of number plates. They are personal data: the policy is applied at the gateway, before
 * anything is kept.
 *
 * - `keep`: as the camera sent them.
 * - `hmac`: a pseudonym, the first 128 bits of HMAC-SHA-256 under the operator's key, as 22 characters of
 *   base64url. The same plate has the same pseudonym as long as the key stays; without the key it can't be
 *   reversed by trying all plates. It is still personal data.
 * - `drop`: not kept at all.
 *
 * Before hashing a plate is brought to one spelling, because cameras differ: Unicode NFKC, upper case,
 * without white space, hyphens and dots, and the Cyrillic letters that Russian plates use (А В Е К М Н О Р С Т
 * У Х, chosen for their Latin look-alikes, GOST R 50577) and the Ukrainian І as Latin letters.
 *
 * Event ids are keyed under `hmac` and `drop`, with another key derived from the same secret.
 */
import { createHmacSha256 } from './event-id-digest.ts'
import { PotokError } from './errors.ts'

export type PlatePolicySettings =
  | { readonly mode: 'keep' }
  | { readonly mode: 'hmac' | 'drop'; readonly secret: Uint8Array }

export type PlatePolicy = {
  readonly mode: 'keep' | 'hmac' | 'drop'
  /** What is kept instead of the plate. */
  apply(plate: string): string | null
  /** Key for event ids; null: unkeyed, computed by the writer. */
  readonly eventIdKey: Uint8Array | null
}

export const plateSecretBytesMin = 16

export function createPlatePolicy(settings: PlatePolicySettings): PlatePolicy {
  if (settings.mode === 'keep') {
    return { mode: 'keep', apply: (plate) => plate, eventIdKey: null }
  }
  const { mode, secret } = settings
  if (secret.length < plateSecretBytesMin) {
    throw new PotokError(
      'InvalidInput',
      `the plate policy ${mode} needs a secret of at least ${plateSecretBytesMin} bytes`,
    )
  }
  const derive = createHmacSha256(secret)
  const eventIdKey = deriveKey(derive, 'potok event id 1')
  if (mode === 'drop') return { mode, apply: () => null, eventIdKey }
  const digest = createHmacSha256(deriveKey(derive, 'potok plate 1'))
  return {
    mode,
    eventIdKey,
    apply(plate) {
      const normal = normalPlate(plate)
      if (normal === '') return null
      const bytes = Buffer.from(normal)
      return Buffer.from(digest(bytes, bytes.length).slice(0, 16), 'binary').toString('base64url')
    },
  }
}

function deriveKey(derive: (bytes: Buffer, length: number) => string, purpose: string): Uint8Array {
  const bytes = Buffer.from(purpose)
  return Buffer.from(derive(bytes, bytes.length), 'binary')
}

const latinOf: Readonly<Record<string, string>> = {
  А: 'A',
  В: 'B',
  Е: 'E',
  К: 'K',
  М: 'M',
  Н: 'H',
  О: 'O',
  Р: 'P',
  С: 'C',
  Т: 'T',
  У: 'Y',
  Х: 'X',
  І: 'I',
}

export function normalPlate(plate: string): string {
  return plate
    .normalize('NFKC')
    .toUpperCase()
    .replace(/[\s.·\p{Pd}]+/gu, '')
    .replace(/[АВЕКМНОРСТУХІ]/g, (letter) => latinOf[letter] as string)
}
