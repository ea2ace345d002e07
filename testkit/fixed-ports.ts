/** Clock and ids for tests: real enough to be unique, or from a seed. */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Clock, IdSource } from '../kernel/ports.ts'

export const systemClock: Clock = { nowMs: () => Date.now() }

export const randomIds: IdSource = {
  uuid: () => randomUUID(),
  snapshotId: () => (randomBytes(8).readBigUInt64BE() >> 1n) + 1n,
}
