/**
 * A catalog for simulations of what writes to tables: metadata as values in a map, commits atomic and
 * serial by construction. It knows the requirements and updates that sinks and their rivals use, and
 * refuses all others loudly. It is written apart from `catalog/`, so that an error there and the same error
 * here are unlikely.
 */
import { PotokError } from '../kernel/errors.ts'
import type { Catalog, LoadedTable, TableCommit, TableIdentifier } from '../iceberg/catalog.ts'
import type { Snapshot, TableMetadata } from '../iceberg/spec/table-metadata.ts'
import type { TableRequirement, TableUpdate } from '../iceberg/spec/table-updates.ts'
import { type ListStore, rebasedCommit } from './memory-rebase.ts'

export type MemoryCatalog = Catalog & {
  /** Told of each commit that got in. */
  afterApply: (before: readonly LoadedTable[], after: readonly LoadedTable[]) => void
  /** Replaces a table's metadata by force, as an operator with a backup does. */
  plant(identifier: TableIdentifier, metadata: TableMetadata): void
}

export function createMemoryCatalog(options: {
  warehouse: string
  nowMs: () => number
  uuid: () => string
  /** Where manifest lists are: then it rebases appends, as potok's own catalog; without, it is as any other. */
  rebaseIn?: ListStore | undefined
}): MemoryCatalog {
  const tables = new Map<string, LoadedTable>()
  let version = 0

  function find(identifier: TableIdentifier): LoadedTable {
    const table = tables.get(nameOf(identifier))
    if (table === undefined) throw new PotokError('NotFound', `no table ${nameOf(identifier)}`)
    return table
  }

  function keep(identifier: TableIdentifier, metadata: TableMetadata): LoadedTable {
    version++
    const metadataLocation = `${metadata.location}/metadata/${version}.metadata.json`
    const table = { identifier, metadataLocation, metadata }
    tables.set(nameOf(identifier), table)
    return table
  }

  /** One after another: rebasing reads files, and nothing may change meanwhile. */
  let last: Promise<unknown> = Promise.resolve()
  function applyRebased(
    rebaseIn: ListStore,
    commits: readonly TableCommit[],
  ): Promise<LoadedTable[]> {
    const result = last.then(async () => {
      for (const commit of commits) {
        const { metadata } = find(commit.identifier)
        for (const requirement of commit.requirements) check(requirement, metadata)
      }
      const rebased: TableCommit[] = []
      for (const commit of commits) {
        rebased.push(await rebasedCommit(rebaseIn, find(commit.identifier).metadata, commit))
      }
      return apply(rebased)
    })
    last = result.catch(() => undefined)
    return result
  }

  function apply(commits: readonly TableCommit[]): LoadedTable[] {
    const before = commits.map(({ identifier }) => find(identifier))
    const next = commits.map((commit, i) => {
      const { metadata } = before[i] as LoadedTable
      for (const requirement of commit.requirements) check(requirement, metadata)
      const nowMs = Math.max(options.nowMs(), metadata.lastUpdatedMs)
      return commit.updates.reduce((current, update) => updated(current, update, nowMs), metadata)
    })
    const after = commits.map(({ identifier }, i) => keep(identifier, next[i] as TableMetadata))
    catalog.afterApply(before, after)
    return after
  }

  const catalog: MemoryCatalog = {
    features: { assertProperty: options.rebaseIn !== undefined },
    afterApply: () => {},
    async listNamespaces() {
      return []
    },
    async createNamespace() {},
    async listTables() {
      return [...tables.values()].map(({ identifier }) => identifier)
    },
    async loadTable(identifier) {
      return find(identifier)
    },
    async createTable(request) {
      const { identifier, schema, partitionSpec, sortOrder } = request
      if (tables.has(nameOf(identifier))) {
        throw new PotokError('AlreadyExists', `table ${nameOf(identifier)} exists`)
      }
      const spec = partitionSpec ?? { specId: 0, fields: [] }
      const order = sortOrder ?? { orderId: 0, fields: [] }
      return keep(identifier, {
        formatVersion: 2,
        tableUuid: options.uuid(),
        location:
          request.location ??
          `${options.warehouse}/${[...identifier.namespace, identifier.name].join('/')}`,
        lastSequenceNumber: 0,
        lastUpdatedMs: options.nowMs(),
        lastColumnId: Math.max(...schema.fields.map(({ id }) => id)),
        schemas: [schema],
        currentSchemaId: schema.schemaId,
        partitionSpecs: [spec],
        defaultSpecId: spec.specId,
        lastPartitionId: 1000,
        sortOrders: [order],
        defaultSortOrderId: order.orderId,
        properties: request.properties ?? {},
        currentSnapshotId: null,
        snapshots: [],
        snapshotLog: [],
        metadataLog: [],
        refs: {},
        statistics: [],
        partitionStatistics: [],
      })
    },
    async dropTable(identifier) {
      find(identifier)
      tables.delete(nameOf(identifier))
    },
    async commit(commits) {
      return options.rebaseIn === undefined
        ? apply(commits)
        : applyRebased(options.rebaseIn, commits)
    },
    plant(identifier, metadata) {
      keep(identifier, metadata)
    },
    async listViews() {
      return []
    },
    loadView: async () => unsupported(),
    createView: async () => unsupported(),
    replaceView: async () => unsupported(),
    dropView: async () => unsupported(),
    version: async () => String(version),
  }
  return catalog
}

function unsupported(): never {
  throw new PotokError('Unsupported', 'the memory catalog has no such operation')
}

function refuse(detail: string): never {
  throw new PotokError('CommitConflict', `requirement failed: ${detail}`)
}

function nameOf(identifier: TableIdentifier): string {
  return [...identifier.namespace, identifier.name].join('.')
}

function check(requirement: TableRequirement, metadata: TableMetadata): void {
  if (requirement.type === 'assert-table-uuid') {
    if (requirement.uuid !== metadata.tableUuid) refuse('another table')
  } else if (requirement.type === 'assert-ref-snapshot-id') {
    const current = metadata.refs[requirement.ref]?.snapshotId ?? null
    if (current !== requirement.snapshotId) refuse(`${requirement.ref} is at ${current}`)
  } else if (requirement.type === 'assert-property') {
    const value = metadata.properties[requirement.key] ?? null
    if (value !== requirement.value) refuse(`property ${requirement.key}`)
  } else {
    throw new PotokError('Unsupported', `requirement ${requirement.type}`)
  }
}

function updated(metadata: TableMetadata, update: TableUpdate, nowMs: number): TableMetadata {
  if (update.action === 'add-snapshot') return withSnapshot(metadata, update.snapshot, nowMs)
  if (update.action === 'set-snapshot-ref') {
    const { action: _action, refName, ...ref } = update
    const refs = { ...metadata.refs, [refName]: ref }
    if (refName !== 'main') return { ...metadata, refs }
    const entry = { snapshotId: ref.snapshotId, timestampMs: nowMs }
    const snapshotLog = [...metadata.snapshotLog, entry]
    return { ...metadata, refs, currentSnapshotId: ref.snapshotId, snapshotLog }
  }
  if (update.action === 'remove-snapshots') {
    const gone = new Set(update.snapshotIds)
    if (Object.values(metadata.refs).some(({ snapshotId }) => gone.has(snapshotId))) {
      throw new PotokError('InvalidInput', 'a snapshot with a ref is not removed')
    }
    const snapshots = metadata.snapshots.filter(({ snapshotId }) => !gone.has(snapshotId))
    return { ...metadata, snapshots }
  }
  if (update.action === 'set-properties') {
    return { ...metadata, properties: { ...metadata.properties, ...update.updates } }
  }
  if (update.action === 'remove-properties') {
    const gone = new Set(update.removals)
    const kept = Object.entries(metadata.properties).filter(([key]) => !gone.has(key))
    return { ...metadata, properties: Object.fromEntries(kept) }
  }
  throw new PotokError('Unsupported', `update ${update.action}`)
}

function withSnapshot(metadata: TableMetadata, snapshot: Snapshot, nowMs: number): TableMetadata {
  if (metadata.snapshots.some(({ snapshotId }) => snapshotId === snapshot.snapshotId)) {
    throw new PotokError('InvalidInput', 'a snapshot is added once')
  }
  if (snapshot.sequenceNumber <= metadata.lastSequenceNumber) {
    throw new PotokError('InvalidInput', 'sequence numbers rise')
  }
  return {
    ...metadata,
    snapshots: [...metadata.snapshots, snapshot],
    lastSequenceNumber: snapshot.sequenceNumber,
    lastUpdatedMs: nowMs,
  }
}
