/**
 * Judges of a simulated world, apart from the code that they judge. Each has a name, which stands in what
 * is thrown: exactly-once, positions-monotone, tables-agree, ranges-join, fenced, files-present.
 */
import type { Catalog, LoadedTable, TableCommit } from '../../iceberg/catalog.ts'
import { planScan } from '../../iceberg/scan/plan-files.ts'
import { createManifestCache } from '../../iceberg/scan/manifest-cache.ts'
import { decodeOffsets, readPositions } from '../../iceberg/sink/positions.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import type { ObjectStore } from '../../kernel/ports.ts'
import { eventsTable, namespaceName, rejectedEventsTable } from '../../kernel/tables.ts'
import { type MemoryRow, readMemoryParquet } from '../../testkit/memory-parquet.ts'
import type { SimulatedLog } from '../../testkit/simulated-log.ts'

export class Finding extends Error {
  constructor(judge: string, detail: string) {
    super(`${judge}: ${detail}`)
    this.name = 'Finding'
  }
}

export const eventsId = { namespace: [namespaceName], name: eventsTable.name }
export const rejectedId = { namespace: [namespaceName], name: rejectedEventsTable.name }

type ObjectMap = ReadonlyMap<string, { readonly bytes: Uint8Array }>

/** Reads past all faults: a judge must see what is, not what a client gets. */
export function faultlessStore(objects: ObjectMap): ObjectStore {
  const read = async (location: string) => {
    const object = objects.get(location)
    if (object === undefined) throw new Finding('files-present', `${location} has gone`)
    return new Uint8Array(object.bytes)
  }
  return { read } as Partial<ObjectStore> as ObjectStore
}

/**
 * Called with each commit that is sent: what adds a snapshot must assert the table, and its snapshot or every
 * position that it sets.
 */
export function judgeRequest(commits: readonly TableCommit[]): void {
  for (const { identifier, requirements, updates } of commits) {
    if (!updates.some(({ action }) => action === 'add-snapshot')) continue
    const has = (type: string) => requirements.some((requirement) => requirement.type === type)
    if (!has('assert-table-uuid')) {
      throw new Finding('fenced', `a commit to ${identifier.name} lacks assert-table-uuid`)
    }
    if (has('assert-ref-snapshot-id')) continue
    const asserted = requirements.flatMap((one) =>
      one.type === 'assert-property' ? [one.key] : [],
    )
    const set = updates.flatMap((update) =>
      update.action === 'set-properties' ? Object.keys(update.updates) : [],
    )
    if (set.length > 0 && set.every((key) => asserted.includes(key))) continue
    throw new Finding('fenced', `a commit to ${identifier.name} has no fence`)
  }
}

/** Called with each commit that gets in. */
export function judgeCommit(before: readonly LoadedTable[], after: readonly LoadedTable[]): void {
  for (const [i, table] of after.entries()) {
    const old = (before[i] as LoadedTable).metadata
    const was = readPositions(old.properties)
    const is = readPositions(table.metadata.properties)
    for (const [logPartition, position] of was) {
      const next = is.get(logPartition)
      if (next === undefined || next.nextOffset < position.nextOffset) {
        throw new Finding(
          'positions-monotone',
          `${table.identifier.name} partition ${logPartition}: ${position.nextOffset} → ${next?.nextOffset}`,
        )
      }
      if ((next.eventTimeUsMax ?? -1) < (position.eventTimeUsMax ?? -1)) {
        throw new Finding('positions-monotone', 'the watermark went back')
      }
    }
    const fresh = table.metadata.snapshots.find(
      ({ snapshotId }) => snapshotId === table.metadata.currentSnapshotId,
    )
    const offsets = fresh?.summary['potok.log.offsets']
    if (fresh === undefined || offsets === undefined || fresh.summary.operation !== 'append')
      continue
    if (old.currentSnapshotId === fresh.snapshotId) continue
    for (const [logPartition, range] of decodeOffsets(offsets)) {
      const start = was.get(logPartition)?.nextOffset
      const end = is.get(logPartition)?.nextOffset
      if ((start !== undefined && start !== range.startOffset) || end !== range.endOffset) {
        throw new Finding(
          'ranges-join',
          `partition ${logPartition}: summary ${range.startOffset}–${range.endOffset}, properties ${start} → ${end}`,
        )
      }
    }
  }
}

export async function liveRows(
  objects: ObjectMap,
  metadata: TableMetadata,
  snapshotId?: bigint,
): Promise<MemoryRow[]> {
  const store = faultlessStore(objects)
  const manifests = createManifestCache(store, 1_000_000)
  const io = { store, manifests }
  const { files } = await planScan(io, metadata, snapshotId === undefined ? {} : { snapshotId })
  const rows: MemoryRow[] = []
  const paths = new Set<string>()
  for (const { dataFile } of files) {
    if (paths.has(dataFile.filePath)) throw new Finding('exactly-once', 'a file is live twice')
    paths.add(dataFile.filePath)
    rows.push(...(await readMemoryParquet(store, dataFile.filePath)))
  }
  return rows
}

/** At rest, everything read: each offset that the log ever gave is in exactly one live row or range. */
export async function judgeWorld(
  log: SimulatedLog,
  expectedKinds: ReadonlyMap<string, 'event' | 'rejected'>,
  catalog: Catalog,
  objects: ObjectMap,
): Promise<{ rows: number }> {
  const events = await catalog.loadTable(eventsId)
  const rejected = await catalog.loadTable(rejectedId)
  const positions = readPositions(events.metadata.properties)
  const others = readPositions(rejected.metadata.properties)
  if (JSON.stringify([...positions]) !== JSON.stringify([...others])) {
    throw new Finding('tables-agree', 'positions of the two tables differ')
  }
  const seen = new Map<string, string>()
  const take = (row: MemoryRow, offset: number, what: string): void => {
    const key = `${String(row['log_partition'])}/${offset}`
    if (seen.has(key)) throw new Finding('exactly-once', `${key} is there twice`)
    seen.set(key, what)
  }
  for (const row of await liveRows(objects, events.metadata)) {
    take(row, row['log_offset'] as number, 'event')
  }
  for (const row of await liveRows(objects, rejected.metadata)) {
    const first = row['log_offset'] as number
    const what = row['reason'] === 'log_gap' ? 'gap' : 'rejected'
    for (let i = 0; i < (row['record_count'] as number); i++) take(row, first + i, what)
  }
  for (const [logPartition, { endOffset }] of log.partitions.entries()) {
    const position = positions.get(logPartition)?.nextOffset ?? 0
    if (position !== endOffset) {
      throw new Finding(
        'exactly-once',
        `position ${position} of ${logPartition}, log ends at ${endOffset}`,
      )
    }
    for (let offset = 0; offset < endOffset; offset++) {
      const key = `${logPartition}/${offset}`
      const expected = expectedKinds.get(key) ?? 'gap'
      if (seen.get(key) !== expected) {
        throw new Finding('exactly-once', `${key} is ${seen.get(key) ?? 'lost'}, not ${expected}`)
      }
    }
  }
  const total = log.partitions.reduce((sum, { endOffset }) => sum + endOffset, 0)
  if (seen.size !== total) throw new Finding('exactly-once', `${seen.size} rows of ${total}`)
  // Every snapshot that is still listed can be read whole.
  for (const { metadata } of [events, rejected]) {
    for (const { snapshotId } of metadata.snapshots) await liveRows(objects, metadata, snapshotId)
  }
  return { rows: seen.size }
}
