/**
 * Deletes what nobody refers to any more, behind the answers, one request after another. What fails is logged
 * and left to orphan removal; what comes when the queue is full, too.
 */
import { describeError } from '../kernel/errors.ts'
import type { Logger, ObjectStore } from '../kernel/ports.ts'

const waitingMax = 1_000
const deletesAtOnce = 256

export type BackgroundDeletion = {
  deleteLater(locations: readonly string[]): void
  /** Everything that begins with the prefix. */
  purgeLater(prefix: string): void
  /** Waits for what is under way. */
  close(): Promise<void>
}

export function createBackgroundDeletion(
  store: ObjectStore,
  logger: Logger | undefined,
): BackgroundDeletion {
  let waiting = 0
  let last: Promise<void> = Promise.resolve()

  function later(what: string, run: () => Promise<void>): void {
    if (waiting >= waitingMax) {
      logger?.warn({ what }, 'too many deletions are waiting: left to orphan removal')
      return
    }
    waiting++
    last = last.then(run).then(
      () => {
        waiting--
      },
      (error: unknown) => {
        waiting--
        logger?.warn({ what }, `not deleted, left to orphan removal: ${describeError(error)}`)
      },
    )
  }

  async function purge(prefix: string): Promise<void> {
    let batch: string[] = []
    for await (const object of store.list(prefix)) {
      batch.push(object.location)
      if (batch.length < deletesAtOnce) continue
      await store.delete(batch)
      batch = []
    }
    await store.delete(batch)
  }

  return {
    deleteLater(locations) {
      if (locations.length === 0) return
      later(`${locations.length} files`, () => store.delete(locations))
    },
    purgeLater(prefix) {
      later(prefix, () => purge(prefix))
    },
    async close() {
      await last
    },
  }
}
