/** Waiting for the sinks: until the positions in the tables are at the end of the log, or nothing moves any more. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRestCatalog, type RestCatalog } from '../../adapters/catalog/rest-catalog.ts'
import { randomIds } from '../../adapters/system/random-ids.ts'
import { systemClock } from '../../adapters/system/system-clock.ts'
import { readPositions } from '../../iceberg/sink/positions.ts'
import { namespaceName } from '../../kernel/tables.ts'
import { readExactness } from '../../kernel/exactness.ts'
import { foreignClient } from '../kafka-log.ts'
import { rollupNames } from './judges.ts'
import { topic, type World } from './world.ts'

/** Without a move of any position. */
const stillMsMax = 120_000
const lookMs = 500

/** End of each partition of the log. */
export async function waitUntilDrained(
  world: World,
  tell: (line: string) => void,
): Promise<Map<number, number>> {
  const catalog = catalogOf(world)
  const admin = foreignClient(world.kafka.brokers).admin()
  try {
    await admin.connect()
    let last = ''
    let movedMs = Date.now()
    for (;;) {
      const ends = new Map(
        (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [
          partition,
          Number(high),
        ]),
      )
      const waiting = await missing(catalog, ends)
      if (waiting === '') return ends
      if (waiting !== last) {
        movedMs = Date.now()
        last = waiting
      }
      if (Date.now() - movedMs > stillMsMax) {
        tell(`the sinks stand still before the end of the log: ${waiting}`)
        return ends
      }
      await sleep(lookMs)
    }
  } finally {
    await admin.disconnect()
    await catalog.close()
  }
}

export type RollupsState = {
  readonly sealedUntilUs: number | null
  /** Equal ones: no commit in between. */
  readonly snapshots: string
}

export async function rollupsState(world: World): Promise<RollupsState> {
  const catalog = catalogOf(world)
  try {
    const snapshots: string[] = []
    let sealedUntilUs: number | null = null
    for (const name of rollupNames) {
      const { metadata } = await catalog.loadTable({ namespace: [namespaceName], name })
      snapshots.push(`${name} ${metadata.currentSnapshotId}`)
      if (name === 'rollup_5m') sealedUntilUs = readExactness(metadata.properties).sealedUntilUs
    }
    return { sealedUntilUs, snapshots: snapshots.join(', ') }
  } finally {
    await catalog.close()
  }
}

function catalogOf(world: World): RestCatalog {
  return createRestCatalog({
    properties: { uri: world.catalogUrl() },
    clock: systemClock,
    ids: randomIds,
  })
}

async function missing(catalog: RestCatalog, ends: ReadonlyMap<number, number>): Promise<string> {
  const texts: string[] = []
  for (const name of ['events', 'rollup_5m']) {
    const { metadata } = await catalog.loadTable({ namespace: [namespaceName], name })
    const positions = readPositions(metadata.properties)
    for (const [partition, end] of ends) {
      const at = positions.get(partition)?.nextOffset ?? 0
      if (at !== end) texts.push(`${name}/${partition} ${at} of ${end}`)
    }
  }
  return texts.join(', ')
}
