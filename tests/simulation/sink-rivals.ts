/** Others who write to the tables of a sink: a compactor, an expirer, somebody who sets a property. */
import type { Catalog, LoadedTable, TableIdentifier } from '../../iceberg/catalog.ts'
import { createManifestCache } from '../../iceberg/scan/manifest-cache.ts'
import { planScan } from '../../iceberg/scan/plan-files.ts'
import { offsetsToCarryForward } from '../../iceberg/sink/positions.ts'
import { mainSnapshotId, snapshotById } from '../../iceberg/spec/schema.ts'
import type { TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import { stageSnapshot } from '../../iceberg/transaction/stage-snapshot.ts'
import { PotokError } from '../../kernel/errors.ts'
import type { Clock, IdSource, ObjectStore } from '../../kernel/ports.ts'
import { readMemoryParquet } from '../../testkit/memory-parquet.ts'
import type { Random } from '../../testkit/random.ts'

export type RivalIo = {
  readonly catalog: Catalog
  readonly store: ObjectStore
  readonly clock: Clock
  readonly ids: IdSource
  readonly random: Random
}

/** Does one thing; whatever fails is left as it is, as a rival that dies would. */
export async function rivalMove(io: RivalIo, identifier: TableIdentifier): Promise<void> {
  try {
    const table = await io.catalog.loadTable(identifier)
    const move = io.random.pick([compact, compact, expireToOne, expireToOne, setProperty])
    await move(io, table)
  } catch (error) {
    if (!(error instanceof PotokError)) throw error
  }
}

/** Merges all files of one day into one. Half of them carry the offsets forward, half don't (as Trino). */
async function compact(io: RivalIo, table: LoadedTable): Promise<void> {
  const { store, clock, ids, random } = io
  const manifests = createManifestCache(store, 1_000_000)
  const { files } = await planScan({ store, manifests }, table.metadata)
  const byDay = [...Map.groupBy(files, ({ dataFile }) => String(dataFile.partition[0])).values()]
  const many = byDay.filter(({ length }) => length > 1)
  if (many.length === 0) return
  const chosen = random.pick(many).map(({ dataFile }) => dataFile)
  const rows: unknown[] = []
  for (const { filePath } of chosen) rows.push(...(await readMemoryParquet(store, filePath)))
  const bytes = Buffer.from(JSON.stringify(rows))
  const filePath = `${table.metadata.location}/data/compacted-${ids.uuid()}.parquet`
  await store.write(filePath, bytes)
  const [first] = chosen
  if (first === undefined) return
  const staged = await stageSnapshot({ store, clock, ids, manifests }, table, {
    operation: 'replace',
    add: [{ ...first, filePath, recordCount: rows.length, fileSizeBytes: bytes.length }],
    remove: new Set(chosen.map((file) => file.filePath)),
    summary: random.chance(0.5) ? offsetsToCarryForward(table.metadata) : {},
  })
  await io.catalog.commit([staged.commit])
}

/** Keeps the current snapshot alone and deletes what only the others referred to. */
export async function expireToOne(io: RivalIo, table: LoadedTable): Promise<void> {
  const { metadata, identifier } = table
  const current = mainSnapshotId(metadata)
  if (current === null || metadata.snapshots.length < 2) return
  const expired = metadata.snapshots
    .map(({ snapshotId }) => snapshotId)
    .filter((snapshotId) => snapshotId !== current)
  const before = await referenced(io, metadata, expired)
  const kept = await referenced(io, metadata, [current])
  await io.catalog.commit([
    {
      identifier,
      requirements: [
        { type: 'assert-table-uuid', uuid: metadata.tableUuid },
        { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: current },
      ],
      updates: [{ action: 'remove-snapshots', snapshotIds: expired }],
    },
  ])
  await io.store.delete([...before].filter((location) => !kept.has(location)))
}

async function referenced(
  io: RivalIo,
  metadata: TableMetadata,
  snapshotIds: readonly bigint[],
): Promise<Set<string>> {
  const manifests = createManifestCache(io.store, 1_000_000)
  const locations = new Set<string>()
  for (const snapshotId of snapshotIds) {
    const { manifestList } = snapshotById(metadata, snapshotId)
    locations.add(manifestList)
    for (const manifest of await manifests.manifestList(manifestList)) {
      locations.add(manifest.manifestPath)
    }
    const { files } = await planScan({ store: io.store, manifests }, metadata, { snapshotId })
    for (const { dataFile } of files) locations.add(dataFile.filePath)
  }
  return locations
}

async function setProperty(io: RivalIo, table: LoadedTable): Promise<void> {
  await io.catalog.commit([
    {
      identifier: table.identifier,
      requirements: [],
      updates: [{ action: 'set-properties', updates: { comment: io.ids.uuid() } }],
    },
  ])
}
