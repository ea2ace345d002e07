import { randomBytes, randomUUID } from 'node:crypto'
import type { IdSource } from '../../kernel/ports.ts'

export const randomIds: IdSource = {
  uuid: () => randomUUID(),
  snapshotId: () => {
    const id = randomBytes(8).readBigUInt64BE() & 0x7fffffffffffffffn
    return id === 0n ? 1n : id
  },
}
