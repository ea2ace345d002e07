/**
 * Users of the embedded broker, from a file of lines `name:password`: the password as it is, or as
 * mosquitto_passwd hashes it (`$7$iterations$salt$hash`, PBKDF2 with SHA-512), so that one file serves both.
 */
import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { PotokError } from '../../kernel/errors.ts'

export type Users = {
  readonly count: number
  check(name: string, password: Uint8Array): Promise<boolean>
}

type Hashed = { readonly iterations: number; readonly salt: Buffer; readonly hash: Buffer }

const derive = promisify(pbkdf2)
const iterationsMax = 1_000_000

/** InvalidInput names the line, never what it holds. */
export function parseUsers(text: string): Users {
  const users = new Map<string, Hashed | Buffer>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const secret = line.slice(colon + 1)
    if (colon < 1 || secret === '') throw bad(index, 'is not name:password')
    users.set(line.slice(0, colon), secret.startsWith('$') ? parseHash(secret, index) : sha(secret))
  }
  return {
    count: users.size,
    async check(name, password) {
      const known = users.get(name)
      // The same work for a name that nobody has.
      if (known === undefined) return sha(password).length === 0
      if (known instanceof Uint8Array) return timingSafeEqual(known, sha(password))
      const { iterations, salt, hash } = known
      return timingSafeEqual(await derive(password, salt, iterations, hash.length, 'sha512'), hash)
    },
  }
}

function parseHash(secret: string, index: number): Hashed {
  const [, kind, iterations = '', salt = '', hash = ''] = secret.split('$')
  const parsed = {
    iterations: Number(iterations),
    salt: Buffer.from(salt, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  }
  const isSane = Number.isInteger(parsed.iterations) && parsed.iterations <= iterationsMax
  if (kind !== '7' || !isSane || parsed.iterations < 1 || parsed.hash.length !== 64) {
    throw bad(index, 'has a hash of a kind that is not known: use mosquitto_passwd (its $7$)')
  }
  return parsed
}

function sha(password: string | Uint8Array): Buffer {
  return createHash('sha256').update(password).digest()
}

function bad(index: number, what: string): PotokError {
  return new PotokError('InvalidInput', `the file of MQTT users: line ${index + 1} ${what}`)
}
