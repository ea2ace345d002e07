/**
 * A maintainer that knows nothing of sinks: expires every snapshot but the newest of every table, by commits
 * over REST that nothing but the refs of the table keeps from. Truth about positions must survive that.
 */
import { createRestCatalog } from '../../adapters/catalog/rest-catalog.ts'
import { randomIds } from '../../adapters/system/random-ids.ts'
import { systemClock } from '../../adapters/system/system-clock.ts'
import { planSnapshotExpiry } from '../../iceberg/transaction/plan-snapshot-expiry.ts'
import { describeError } from '../../kernel/errors.ts'
import { allTables, namespaceName } from '../../kernel/tables.ts'

const tries = 5

export async function expireSnapshots(world: { catalogUrl(): string }): Promise<string> {
  const catalog = createRestCatalog({
    properties: { uri: world.catalogUrl() },
    clock: systemClock,
    ids: randomIds,
    timeoutMs: 5_000,
  })
  let expired = 0
  const failures: string[] = []
  try {
    for (const { name } of allTables) {
      for (let i = 1; i <= tries; i++) {
        try {
          const table = await catalog.loadTable({ namespace: [namespaceName], name })
          const change = planSnapshotExpiry(table.metadata, {
            nowMs: Date.now(),
            olderThanMs: Date.now(),
            retainLast: 1,
          })
          if (change.updates.length > 0) {
            await catalog.commit([{ identifier: table.identifier, ...change }])
            expired += table.metadata.snapshots.length - 1
          }
          break
        } catch (error) {
          // Somebody committed in between, or the catalog is away: another fault's doing.
          if (i === tries) failures.push(`${name}: ${describeError(error).slice(0, 80)}`)
        }
      }
    }
  } finally {
    await catalog.close()
  }
  return `${expired} snapshots${failures.length === 0 ? '' : `; not done: ${failures.join('; ')}`}`
}
