/**
 * What every Catalog promises; run over each implementation. `connect` gives independent clients of one catalog.
 * `isForeign`: not potok's own, which promises more than the REST specification wants.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Catalog, LoadedTable, TableCommit, TableIdentifier } from '../../iceberg/catalog.ts'
import type {
  Schema,
  Snapshot,
  SortOrder,
  TableMetadata,
} from '../../iceberg/spec/table-metadata.ts'
import type { TableRequirement, TableUpdate } from '../../iceberg/spec/table-updates.ts'
import type { ViewMetadata, ViewVersion } from '../../iceberg/spec/view-metadata.ts'

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

export function catalogContract(
  name: string,
  open: () => Promise<CatalogUnderTest>,
  options: { isForeign?: boolean } = {},
): void {
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
      const before = await reader.version([events])
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
      expect(await reader.version([events])).not.toBe(before)
    })

    it('answers a failed requirement with CommitConflict, and changes nothing', async () => {
      const metadata = await created()
      const version = await catalog.version([events])
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
      expect(await catalog.version([events])).toBe(version)
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

    it('creates a table by a commit with assert-create once, with the ids it is given', async () => {
      const { location } = await created(events)
      const sortOrder: SortOrder = {
        orderId: 1,
        fields: [{ sourceId: 1, transform: 'identity', direction: 'asc', nullOrder: 'nulls-last' }],
      }
      const spec = {
        specId: 0,
        fields: [{ sourceId: 12, fieldId: 1000, name: 'at_day', transform: 'day' }],
      }
      const tableUuid = '0f0a1a5e-0000-4000-8000-000000000001'
      const commit: TableCommit = {
        identifier: rollup,
        requirements: [{ type: 'assert-create' }],
        updates: [
          { action: 'assign-uuid', uuid: tableUuid },
          { action: 'upgrade-format-version', formatVersion: 2 },
          { action: 'add-schema', schema: testSchema, lastColumnId: 12 },
          { action: 'set-current-schema', schemaId: -1 },
          { action: 'add-spec', spec },
          { action: 'set-default-spec', specId: -1 },
          { action: 'add-sort-order', sortOrder },
          { action: 'set-default-sort-order', sortOrderId: -1 },
          { action: 'set-location', location: location.replace(/events$/, 'rollup') },
          { action: 'set-properties', updates: { owner: 'me' } },
        ],
      }
      const [table] = await catalog.commit([commit])
      expect(table?.metadata).toMatchObject({
        tableUuid,
        schemas: [testSchema],
        lastColumnId: 12,
        partitionSpecs: [spec],
        sortOrders: expect.arrayContaining([sortOrder]),
        properties: { owner: 'me' },
      })
      await expect(catalog.commit([commit])).rejects.toMatchObject({ kind: 'CommitConflict' })
    })

    it('answers each requirement that fails with CommitConflict, and takes those that hold', async () => {
      const metadata = await created()
      const failing: TableRequirement[] = [
        { type: 'assert-table-uuid', uuid: '0f0a1a5e-0000-4000-8000-00000000000f' },
        { type: 'assert-ref-snapshot-id', ref: 'side', snapshotId: 2n ** 60n },
        { type: 'assert-last-assigned-field-id', lastAssignedFieldId: 99 },
        { type: 'assert-current-schema-id', currentSchemaId: 99 },
        { type: 'assert-last-assigned-partition-id', lastAssignedPartitionId: 99 },
        { type: 'assert-default-spec-id', defaultSpecId: 99 },
        { type: 'assert-default-sort-order-id', defaultSortOrderId: 99 },
      ]
      const updates: TableUpdate[] = [{ action: 'set-properties', updates: { position: '7' } }]
      for (const requirement of failing) {
        const commit = { identifier: events, requirements: [requirement], updates }
        await expect(catalog.commit([commit]), requirement.type).rejects.toMatchObject({
          kind: 'CommitConflict',
        })
      }
      expect((await catalog.loadTable(events)).metadata).toEqual(metadata)
      const holding: TableRequirement[] = [
        { type: 'assert-table-uuid', uuid: metadata.tableUuid },
        { type: 'assert-ref-snapshot-id', ref: 'side', snapshotId: null },
        { type: 'assert-last-assigned-field-id', lastAssignedFieldId: 12 },
        { type: 'assert-current-schema-id', currentSchemaId: metadata.currentSchemaId },
        { type: 'assert-last-assigned-partition-id', lastAssignedPartitionId: 999 },
        { type: 'assert-default-spec-id', defaultSpecId: metadata.defaultSpecId },
        { type: 'assert-default-sort-order-id', defaultSortOrderId: metadata.defaultSortOrderId },
      ]
      const [table] = await catalog.commit([{ identifier: events, requirements: holding, updates }])
      expect(table?.metadata.properties['position']).toBe('7')
    })

    it('evolves schemas, keeps tags and branches, and lets go of properties, refs and snapshots', async () => {
      const metadata = await created()
      const commit = async (...updates: TableUpdate[]): Promise<TableMetadata> => {
        const [table] = await catalog.commit([{ identifier: events, requirements: [], updates }])
        return (table as LoadedTable).metadata
      }
      const first = nextSnapshot(metadata, 1n)
      const second = nextSnapshot(await commit(...appendOf(first)), 2n)
      await commit(
        { action: 'set-snapshot-ref', refName: 'tagged', type: 'tag', snapshotId: 1n },
        { action: 'set-properties', updates: { a: '1', b: '2' } },
      )
      await commit(...appendOf(second))
      const added = { id: 13, name: 'lane', required: false, type: 'int' }
      const schema = { ...testSchema, schemaId: 1, fields: [...testSchema.fields, added] }
      const evolved = await commit(
        { action: 'add-schema', schema, lastColumnId: 13 },
        { action: 'set-current-schema', schemaId: -1 },
        { action: 'remove-properties', removals: ['a'] },
      )
      expect(evolved.schemas).toEqual([testSchema, schema])
      expect(evolved).toMatchObject({ currentSchemaId: 1, lastColumnId: 13 })
      expect(evolved.properties['a']).toBeUndefined()
      expect(evolved.properties['b']).toBe('2')
      expect(evolved.refs).toMatchObject({
        main: { type: 'branch', snapshotId: 2n },
        tagged: { type: 'tag', snapshotId: 1n },
      })
      const expired = await commit(
        { action: 'remove-snapshot-ref', refName: 'tagged' },
        { action: 'remove-snapshots', snapshotIds: [1n] },
      )
      expect(expired.snapshots.map(({ snapshotId }) => snapshotId)).toEqual([2n])
      expect(Object.keys(expired.refs)).toEqual(['main'])
    })

    it('tells of tables by a version that stays while they do', async () => {
      const both = [events, rollup]
      const empty = await catalog.version(both)
      await created(events)
      const one = await catalog.version(both)
      expect(one).not.toBe(empty)
      expect(await connect().version(both)).toBe(one)
      await created(rollup)
      const two = await catalog.version(both)
      expect(two).not.toBe(one)
      await catalog.loadTable(events)
      expect(await catalog.version(both)).toBe(two)
      await catalog.dropTable(rollup)
      expect(await catalog.version(both)).not.toBe(two)
      expect(await catalog.version([])).toEqual(expect.any(String))
    })

    async function takesNames(odd: TableIdentifier): Promise<void> {
      await catalog.createNamespace(odd.namespace.slice(0, 1))
      await catalog.createNamespace(odd.namespace)
      await created(odd)
      expect(await connect().listTables(odd.namespace)).toEqual([odd])
      expect(await catalog.listNamespaces(odd.namespace.slice(0, 1))).toEqual([odd.namespace])
      expect((await connect().loadTable(odd)).identifier).toEqual(odd)
      await catalog.dropTable(odd, { purge: true })
      expect(await catalog.listTables(odd.namespace)).toEqual([])
    }

    it('takes names as they are: spaces, signs, other scripts', () =>
      takesNames({ namespace: ['дороги 1', 'a+b&c'], name: 'таблица №1 = ?' }))

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

    it('says of views what it says of tables: those that are there, and those that are not', async () => {
      const view = { namespace, name: 'latest' }
      const missing = { kind: 'NotFound' }
      await expect(catalog.loadView(view)).rejects.toMatchObject(missing)
      await expect(catalog.dropView(view)).rejects.toMatchObject(missing)
      await expect(catalog.replaceView(view, [], [])).rejects.toMatchObject(missing)
      const { location } = await created()
      const metadata: ViewMetadata = {
        viewUuid: '5f0a1a5e-0000-4000-8000-000000000001',
        formatVersion: 1,
        location: location.replace('events', 'latest'),
        schemas: [testSchema],
        currentVersionId: 1,
        versions: [viewVersion],
        versionLog: [{ timestampMs: viewVersion.timestampMs, versionId: 1 }],
        properties: { comment: 'a view' },
      }
      const made = await catalog.createView(view, metadata)
      expect(made.metadata.properties).toMatchObject({ comment: 'a view' })
      expect(made.metadata.schemas).toEqual([testSchema])
      expect(made.metadata.versions[0]?.representations).toEqual(viewVersion.representations)
      const taken = { kind: 'AlreadyExists' }
      await expect(catalog.createView(view, metadata)).rejects.toMatchObject(taken)
      await expect(catalog.createView(events, metadata)).rejects.toMatchObject(taken)
    })

    if (options.isForeign === true) return

    it('takes names that look like encoded ones, which some servers refuse', () =>
      takesNames({ namespace: ['100%', 'a%2Fb'], name: '%1F' }))

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
  })
}
