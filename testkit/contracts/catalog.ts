/** What every Catalog promises; run over each implementation. `connect` gives independent clients of one catalog. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Catalog, TableIdentifier } from '../../iceberg/catalog.ts'
import type { Schema, Snapshot, TableMetadata } from '../../iceberg/spec/table-metadata.ts'
import type { TableUpdate } from '../../iceberg/spec/table-updates.ts'
import type { ViewVersion } from '../../iceberg/spec/view-metadata.ts'

export type CatalogUnderTest = {
  /** A client as another process would have it. */
  connect: () => Catalog
  close: () => Promise<void>
}

const namespace = ['traffic']
const events: TableIdentifier = { namespace, name: 'events' }
const rollup: TableIdentifier = { namespace, name: 'rollup' }

export const testSchema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [
    { id: 1, name: 'id', required: true, type: 'long' },
    { id: 12, name: 'at', required: true, type: 'timestamptz' },
    { id: 3, name: 'note', required: false, type: 'string', doc: 'free text' },
  ],
}

/** A snapshot that goes on from what the table has; its files need not exist for the catalog. */
export function nextSnapshot(metadata: TableMetadata, snapshotId: bigint): Snapshot {
  return {
    snapshotId,
    ...(metadata.currentSnapshotId === null
      ? {}
      : { parentSnapshotId: metadata.currentSnapshotId }),
    sequenceNumber: metadata.lastSequenceNumber + 1,
    timestampMs: metadata.lastUpdatedMs + 1,
    manifestList: `${metadata.location}/metadata/snap-${snapshotId}.avro`,
    summary: { operation: 'append' },
    schemaId: metadata.currentSchemaId,
  }
}

export function appendOf(snapshot: Snapshot): TableUpdate[] {
  return [
    { action: 'add-snapshot', snapshot },
    {
      action: 'set-snapshot-ref',
      refName: 'main',
      type: 'branch',
      snapshotId: snapshot.snapshotId,
    },
  ]
}

const viewVersion: ViewVersion = {
  versionId: 1,
  schemaId: 0,
  timestampMs: 1_700_000_000_000,
  summary: {},
  representations: [{ type: 'sql', sql: 'select 1', dialect: 'trino' }],
  defaultNamespace: namespace,
}

export function catalogContract(name: string, open: () => Promise<CatalogUnderTest>): void {
  describe(`catalog: ${name}`, () => {
    let connect: () => Catalog
    let close: () => Promise<void>
    let catalog: Catalog
    beforeEach(async () => {
      const opened = await open()
      connect = opened.connect
      close = opened.close
      catalog = connect()
      await catalog.createNamespace(namespace)
    })
    afterEach(() => close())

    async function created(identifier = events): Promise<TableMetadata> {
      return (await catalog.createTable({ identifier, schema: testSchema })).metadata
    }

    it('lists namespaces by level, and refuses one twice', async () => {
      await catalog.createNamespace(['a', 'b'])
      expect(await catalog.listNamespaces()).toEqual([['a'], ['traffic']])
      expect(await catalog.listNamespaces(['a'])).toEqual([['a', 'b']])
      await expect(catalog.createNamespace(namespace)).rejects.toMatchObject({
        kind: 'AlreadyExists',
      })
      await expect(catalog.listTables(['none'])).rejects.toMatchObject({ kind: 'NotFound' })
    })

    it('creates a table with the field ids, spec, order and properties given', async () => {
      const table = await catalog.createTable({
        identifier: events,
        schema: testSchema,
        partitionSpec: {
          specId: 0,
          fields: [{ sourceId: 12, fieldId: 1000, name: 'at_day', transform: 'day' }],
        },
        sortOrder: {
          orderId: 1,
          fields: [
            { sourceId: 1, transform: 'identity', direction: 'asc', nullOrder: 'nulls-last' },
          ],
        },
        properties: { owner: 'me' },
      })
      const { metadata } = await connect().loadTable(events)
      expect(metadata).toEqual(table.metadata)
      expect(metadata.schemas).toEqual([testSchema])
      expect(metadata.lastColumnId).toBe(12)
      expect(metadata.partitionSpecs[0]?.fields[0]).toMatchObject({ sourceId: 12, fieldId: 1000 })
      expect(metadata.lastPartitionId).toBe(1000)
      expect(metadata.sortOrders[0]).toMatchObject({ orderId: 1 })
      expect(metadata.properties).toMatchObject({ owner: 'me' })
      expect(metadata.formatVersion).toBe(2)
      expect(await catalog.listTables(namespace)).toEqual([events])
    })

    it('refuses a second table of the name, and one in a namespace that is not there', async () => {
      await created()
      await expect(created()).rejects.toMatchObject({ kind: 'AlreadyExists' })
      const elsewhere = { namespace: ['none'], name: 't' }
      await expect(created(elsewhere)).rejects.toMatchObject({ kind: 'NotFound' })
      await expect(catalog.loadTable(elsewhere)).rejects.toMatchObject({ kind: 'NotFound' })
    })

    it('shows every client a commit once it is resolved', async () => {
      const metadata = await created()
      const snapshot = nextSnapshot(metadata, 2n ** 62n + 1n)
      const reader = connect()
      const before = await reader.version()
      const [after] = await catalog.commit([
        {
          identifier: events,
          requirements: [
            { type: 'assert-table-uuid', uuid: metadata.tableUuid },
            { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: null },
          ],
          updates: [
            ...appendOf(snapshot),
            { action: 'set-properties', updates: { position: '7' } },
          ],
        },
      ])
      const loaded = await reader.loadTable(events)
      expect(loaded.metadata).toEqual(after?.metadata)
      expect(loaded.metadata.currentSnapshotId).toBe(2n ** 62n + 1n)
      expect(loaded.metadata.lastSequenceNumber).toBe(1)
      expect(loaded.metadata.snapshotLog).toHaveLength(1)
      expect(loaded.metadata.metadataLog).toHaveLength(1)
      expect(loaded.metadata.properties['position']).toBe('7')
      expect(await reader.version()).not.toBe(before)
    })

    it('answers a failed requirement with CommitConflict, and changes nothing', async () => {
      const metadata = await created()
      const version = await catalog.version()
      await expect(
        catalog.commit([
          {
            identifier: events,
            requirements: [{ type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: 5n }],
            updates: appendOf(nextSnapshot(metadata, 6n)),
          },
        ]),
      ).rejects.toMatchObject({ kind: 'CommitConflict' })
      expect((await catalog.loadTable(events)).metadata).toEqual(metadata)
      expect(await catalog.version()).toBe(version)
    })

    it('commits several tables together or not at all', async () => {
      const first = await created(events)
      const second = await created(rollup)
      const both = (position: string, uuid: string) =>
        [events, rollup].map((identifier) => ({
          identifier,
          requirements: [
            {
              type: 'assert-table-uuid' as const,
              uuid: identifier === events ? first.tableUuid : uuid,
            },
          ],
          updates: [{ action: 'set-properties' as const, updates: { position } }],
        }))
      await expect(catalog.commit(both('1', 'not-it'))).rejects.toMatchObject({
        kind: 'CommitConflict',
      })
      expect((await catalog.loadTable(events)).metadata.properties['position']).toBeUndefined()
      const tables = await catalog.commit(both('2', second.tableUuid))
      expect(tables.map((table) => table.metadata.properties['position'])).toEqual(['2', '2'])
    })

    it('lets one of 32 commits that assert the same snapshot win', async () => {
      const metadata = await created()
      const results = await Promise.allSettled(
        Array.from({ length: 32 }, (_, i) =>
          connect().commit([
            {
              identifier: events,
              requirements: [{ type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: null }],
              updates: appendOf(nextSnapshot(metadata, BigInt(i + 1))),
            },
          ]),
        ),
      )
      const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []))
      expect(winners).toHaveLength(1)
      for (const result of results) {
        if (result.status === 'rejected') {
          expect(result.reason).toMatchObject({ kind: 'CommitConflict' })
        }
      }
      const { metadata: after } = await catalog.loadTable(events)
      expect(after.currentSnapshotId).toBe(BigInt((winners[0] as number) + 1))
      expect(after.snapshots).toHaveLength(1)
    })

    it('takes all of 8 writers with 5 commits each that assert what they read and try again', async () => {
      await created()
      await Promise.all(
        Array.from({ length: 8 }, async (_, writer) => {
          const own = connect()
          for (let done = 0; done < 5; ) {
            const { metadata } = await own.loadTable(events)
            const snapshot = nextSnapshot(metadata, BigInt(writer * 100 + done + 1))
            try {
              await own.commit([
                {
                  identifier: events,
                  requirements: [
                    {
                      type: 'assert-ref-snapshot-id',
                      ref: 'main',
                      snapshotId: metadata.currentSnapshotId,
                    },
                  ],
                  updates: appendOf(snapshot),
                },
              ])
              done++
            } catch (error) {
              expect(error).toMatchObject({ kind: 'CommitConflict' })
            }
          }
        }),
      )
      const { metadata } = await catalog.loadTable(events)
      expect(metadata.lastSequenceNumber).toBe(40)
      expect(metadata.snapshots.map((one) => one.sequenceNumber)).toEqual(
        Array.from({ length: 40 }, (_, i) => i + 1),
      )
      expect(new Set(metadata.snapshots.map((one) => one.snapshotId)).size).toBe(40)
    })

    it('refuses a snapshot that does not go on from the head, though nothing was asserted', async () => {
      const metadata = await created()
      await catalog.commit([
        { identifier: events, requirements: [], updates: appendOf(nextSnapshot(metadata, 1n)) },
      ])
      await expect(
        catalog.commit([
          { identifier: events, requirements: [], updates: appendOf(nextSnapshot(metadata, 2n)) },
        ]),
      ).rejects.toMatchObject({ kind: 'CommitConflict' })
    })

    it('creates a table by a commit with assert-create once', async () => {
      const commit = {
        identifier: rollup,
        requirements: [{ type: 'assert-create' as const }],
        updates: [
          { action: 'add-schema' as const, schema: testSchema },
          { action: 'set-current-schema' as const, schemaId: -1 },
        ],
      }
      const [table] = await catalog.commit([commit])
      expect(table?.metadata.schemas).toEqual([testSchema])
      expect(table?.metadata.partitionSpecs).toEqual([{ specId: 0, fields: [] }])
      await expect(catalog.commit([commit])).rejects.toMatchObject({ kind: 'CommitConflict' })
    })

    it('drops a table, and can make it again', async () => {
      const metadata = await created()
      await catalog.dropTable(events)
      await expect(catalog.loadTable(events)).rejects.toMatchObject({ kind: 'NotFound' })
      await expect(catalog.dropTable(events)).rejects.toMatchObject({ kind: 'NotFound' })
      await expect(
        catalog.commit([
          {
            identifier: events,
            requirements: [{ type: 'assert-table-uuid', uuid: metadata.tableUuid }],
            updates: [],
          },
        ]),
      ).rejects.toMatchObject({ kind: 'NotFound' })
      expect((await created()).tableUuid).not.toBe(metadata.tableUuid)
    })

    it('keeps views beside tables, under names of their own', async () => {
      await created()
      const view = { namespace, name: 'latest' }
      const made = await catalog.createView(view, {
        viewUuid: '5f0a1a5e-0000-4000-8000-000000000000',
        formatVersion: 1,
        location: (await catalog.loadTable(events)).metadata.location.replace('events', 'latest'),
        schemas: [testSchema],
        currentVersionId: 1,
        versions: [viewVersion],
        versionLog: [{ timestampMs: viewVersion.timestampMs, versionId: 1 }],
        properties: {},
      })
      expect((await connect().loadView(view)).metadata).toEqual(made.metadata)
      expect(await catalog.listViews(namespace)).toEqual([view])
      expect(await catalog.listTables(namespace)).toEqual([events])
      await expect(created(view)).rejects.toMatchObject({ kind: 'AlreadyExists' })
      const replaced = await catalog.replaceView(
        view,
        [{ type: 'assert-view-uuid', uuid: made.metadata.viewUuid }],
        [
          {
            action: 'add-view-version',
            viewVersion: {
              ...viewVersion,
              versionId: 2,
              representations: [{ type: 'sql', sql: 'select 2', dialect: 'trino' }],
            },
          },
          { action: 'set-current-view-version', viewVersionId: -1 },
        ],
      )
      expect(replaced.metadata.currentVersionId).toBe(2)
      await expect(
        catalog.replaceView(view, [{ type: 'assert-view-uuid', uuid: 'other' }], []),
      ).rejects.toMatchObject({ kind: 'CommitConflict' })
      await catalog.dropView(view)
      await expect(catalog.loadView(view)).rejects.toMatchObject({ kind: 'NotFound' })
    })
  })
}
