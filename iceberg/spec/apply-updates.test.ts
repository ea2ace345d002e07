import { describe, expect, it } from 'vitest'
import { applyUpdates } from './apply-updates.ts'
import { checkRequirements } from './check-requirements.ts'
import { newTableMetadata } from './new-table.ts'
import type { Schema, Snapshot, TableMetadata } from './table-metadata.ts'
import type { TableUpdate } from './table-updates.ts'

const nowMs = 1_000_000
const schema: Schema = {
  type: 'struct',
  schemaId: 0,
  fields: [
    { id: 1, name: 'id', required: true, type: 'long' },
    { id: 2, name: 'at', required: true, type: 'timestamptz' },
  ],
}

function newTable(properties: Record<string, string> = {}): TableMetadata {
  return newTableMetadata({ uuid: 'u-1', location: 'file:///w/t/', schema, properties }, nowMs)
}

function snapshotOf(id: number, more: Partial<Snapshot> = {}): Snapshot {
  return {
    snapshotId: BigInt(id),
    ...(id > 1 ? { parentSnapshotId: BigInt(id - 1) } : {}),
    sequenceNumber: id,
    timestampMs: nowMs + id,
    manifestList: `file:///w/t/metadata/${id}.avro`,
    summary: { operation: 'append' },
    schemaId: 0,
    ...more,
  }
}

function setMain(id: number): TableUpdate {
  return { action: 'set-snapshot-ref', refName: 'main', type: 'branch', snapshotId: BigInt(id) }
}

function append(id: number, more: Partial<Snapshot> = {}): TableUpdate[] {
  return [{ action: 'add-snapshot', snapshot: snapshotOf(id, more) }, setMain(id)]
}

function withSnapshots(count: number): TableMetadata {
  let metadata = newTable()
  for (let id = 1; id <= count; id++) metadata = applyUpdates(metadata, append(id), nowMs)
  return metadata
}

describe('a new table', () => {
  it('keeps usable field ids and gives all anew where one is not', () => {
    expect(newTable().schemas[0]?.fields.map((field) => field.id)).toEqual([1, 2])
    const nested: Schema = {
      type: 'struct',
      schemaId: 7,
      fields: [
        {
          id: 0,
          name: 'm',
          required: true,
          type: {
            type: 'map',
            keyId: 5,
            key: 'string',
            valueId: 6,
            value: 'long',
            valueRequired: true,
          },
        },
        { id: 3, name: 'b', required: false, type: 'string' },
      ],
    }
    const metadata = newTableMetadata(
      {
        uuid: 'u',
        location: 'file:///w/t',
        schema: nested,
        partitionSpec: {
          specId: 9,
          fields: [{ sourceId: 3, fieldId: -1, name: 'b', transform: 'identity' }],
        },
      },
      nowMs,
    )
    expect(metadata.schemas[0]?.fields.map((field) => field.id)).toEqual([1, 2])
    expect(metadata.lastColumnId).toBe(4)
    expect(metadata.partitionSpecs).toEqual([
      { specId: 0, fields: [{ sourceId: 2, fieldId: 1000, name: 'b', transform: 'identity' }] },
    ])
  })

  it('takes the format version from the properties and keeps it out of them', () => {
    const metadata = newTable({ 'format-version': '1' })
    expect(metadata.formatVersion).toBe(1)
    expect(metadata.properties['format-version']).toBeUndefined()
    expect(() => newTable({ 'format-version': '3' })).toThrow(
      'Unsupported format version: v3 (supported: v2)',
    )
  })

  it('gives all field ids anew where it is asked to, and the sort order follows', () => {
    const given: Schema = {
      ...schema,
      fields: schema.fields.map((field) => ({ ...field, id: field.id + 2 })),
    }
    const metadata = newTableMetadata(
      {
        uuid: 'u',
        location: 'file:///w/t',
        schema: given,
        partitionSpec: {
          specId: 3,
          fields: [{ sourceId: 4, fieldId: 1007, name: 'at_day', transform: 'day' }],
        },
        sortOrder: {
          orderId: 1,
          fields: [
            { transform: 'identity', sourceId: 4, direction: 'asc', nullOrder: 'nulls-first' },
          ],
        },
        freshFieldIds: true,
      },
      nowMs,
    )
    expect(metadata.schemas[0]?.fields.map((field) => field.id)).toEqual([1, 2])
    expect(metadata.sortOrders[0]?.fields[0]?.sourceId).toBe(2)
    expect(metadata.partitionSpecs[0]?.fields[0]).toMatchObject({ sourceId: 2, fieldId: 1000 })
  })

  it('keeps no reserved property, and refuses those that make no sense', () => {
    expect(newTable({ uuid: 'x', 'snapshot-count': '9', a: 'b' }).properties).toEqual({
      'write.parquet.compression-codec': 'zstd',
      a: 'b',
    })
    expect(() => newTable({ 'commit.retry.num-retries': 'x' })).toThrow(
      'Table property commit.retry.num-retries must have integer value',
    )
    expect(() => newTable({ 'write.metadata.metrics.column.none': 'full' })).toThrow(
      /could not find column none/,
    )
  })

  it('refuses a partition of a column that is not there', () => {
    const partitionSpec = {
      specId: 0,
      fields: [{ sourceId: 9, fieldId: 1000, name: 'x', transform: 'identity' }],
    }
    expect(() =>
      newTableMetadata({ uuid: 'u', location: 'file:///w/t', schema, partitionSpec }, nowMs),
    ).toThrow(/Cannot find source column for partition field/)
  })
})

describe('snapshots', () => {
  it('become current, with sequence number, log and time', () => {
    const metadata = withSnapshots(2)
    expect(metadata).toMatchObject({
      currentSnapshotId: 2n,
      lastSequenceNumber: 2,
      lastUpdatedMs: nowMs + 2,
      refs: { main: { snapshotId: 2n, type: 'branch' } },
    })
    expect(metadata.snapshotLog).toEqual([
      { snapshotId: 1n, timestampMs: nowMs + 1 },
      { snapshotId: 2n, timestampMs: nowMs + 2 },
    ])
  })

  it('conflict when their sequence number is taken or their parent is not the head', () => {
    const base = withSnapshots(2)
    const late = append(3, { sequenceNumber: 2 })
    expect(() => applyUpdates(base, late, nowMs)).toThrow(
      'Cannot add snapshot with sequence number 2 older than last sequence number 2',
    )
    const fork = append(3, { parentSnapshotId: 1n })
    expect(() => applyUpdates(base, fork, nowMs)).toThrow(/its parent is not 2/)
    const orphan = [
      { action: 'add-snapshot' as const, snapshot: { ...snapshotOf(3), parentSnapshotId: 77n } },
      setMain(3),
    ]
    expect(() => applyUpdates(base, orphan, nowMs)).toThrow(/does not go on from 2/)
  })

  it('may come several in one commit; those only passed through leave the log', () => {
    const metadata = applyUpdates(withSnapshots(1), [...append(2), ...append(3)], nowMs)
    expect(metadata.snapshotLog.map((entry) => entry.snapshotId)).toEqual([1n, 3n])
    const chained = applyUpdates(
      withSnapshots(1),
      [
        { action: 'add-snapshot', snapshot: snapshotOf(2) },
        { action: 'add-snapshot', snapshot: snapshotOf(3) },
        setMain(3),
      ],
      nowMs,
    )
    expect(chained.currentSnapshotId).toBe(3n)
  })

  it('may be rolled back to, staged aside, and replaced from nothing after main was removed', () => {
    const base = withSnapshots(3)
    expect(applyUpdates(base, [setMain(1)], nowMs).currentSnapshotId).toBe(1n)
    const staged = applyUpdates(
      base,
      [{ action: 'add-snapshot', snapshot: snapshotOf(4, { parentSnapshotId: 2n }) }],
      nowMs,
    )
    expect(staged.currentSnapshotId).toBe(3n)
    const { parentSnapshotId: _, ...fresh } = snapshotOf(4)
    const replaced = applyUpdates(
      base,
      [
        { action: 'remove-snapshot-ref', refName: 'main' },
        { action: 'add-snapshot', snapshot: fresh },
        setMain(4),
      ],
      nowMs,
    )
    expect(replaced.currentSnapshotId).toBe(4n)
  })

  it('without a parent replace what was there, though others have taken their number', () => {
    const base = withSnapshots(2)
    const { parentSnapshotId: _, ...fresh } = snapshotOf(9, { sequenceNumber: 2 })
    const replaced = applyUpdates(
      base,
      [
        { action: 'remove-snapshot-ref', refName: 'main' },
        { action: 'add-snapshot', snapshot: fresh },
        setMain(9),
      ],
      nowMs,
    )
    expect(replaced).toMatchObject({ currentSnapshotId: 9n, lastSequenceNumber: 2 })
    const unasked = [{ action: 'add-snapshot' as const, snapshot: fresh }, setMain(9)]
    expect(() => applyUpdates(base, unasked, nowMs)).toThrow(/does not go on from 2/)
  })

  it.each([
    [{ type: 'tag', minSnapshotsToKeep: 1 }, 'Tags do not support setting minSnapshotsToKeep'],
    [{ type: 'branch', maxRefAgeMs: 0 }, 'Max reference age must be greater than 0'],
  ] as const)('refuse the ref %o', (ref, message) => {
    const update: TableUpdate = {
      action: 'set-snapshot-ref',
      refName: 'r',
      snapshotId: 1n,
      ...ref,
    }
    expect(() => applyUpdates(withSnapshots(1), [update], nowMs)).toThrow(message)
  })

  it('take their refs, statistics and what came before them in the log with them', () => {
    const statistics = { 'snapshot-id': 1, 'statistics-path': 'file:///w/t/metadata/s.puffin' }
    const base = applyUpdates(
      withSnapshots(3),
      [
        { action: 'set-statistics', statistics },
        { action: 'set-snapshot-ref', refName: 'old', type: 'tag', snapshotId: 1n },
      ],
      nowMs,
    )
    const metadata = applyUpdates(
      base,
      [{ action: 'remove-snapshots', snapshotIds: [1n, 9n] }],
      nowMs,
    )
    expect(metadata.snapshots.map((one) => one.snapshotId)).toEqual([2n, 3n])
    expect(Object.keys(metadata.refs)).toEqual(['main'])
    expect(metadata.statistics).toEqual([])
    expect(metadata.snapshotLog.map((entry) => entry.snapshotId)).toEqual([2n, 3n])
  })

  it('never let the time of the last change go back', () => {
    const ahead = applyUpdates(newTable(), append(1, { timestampMs: nowMs + 5_000 }), nowMs)
    const behind = applyUpdates(ahead, append(2, { timestampMs: nowMs - 5_000 }), nowMs)
    expect(behind.lastUpdatedMs).toBe(nowMs + 5_000)
    const times = behind.snapshotLog.map((entry) => entry.timestampMs)
    expect(times).toEqual([...times].sort((a, b) => a - b))
  })

  it('refuse a ref to what is not there', () => {
    expect(() => applyUpdates(newTable(), [setMain(5)], nowMs)).toThrow(
      'Cannot set main to unknown snapshot: 5',
    )
  })
})

function attempt(update: TableUpdate): () => TableMetadata {
  return () => applyUpdates(newTable(), [update], nowMs)
}

describe('schema, spec and order', () => {
  const wider: Schema = {
    ...schema,
    fields: [...schema.fields, { id: 3, name: 'note', required: false, type: 'string' }],
  }

  it('are added once, found again, and set by -1', () => {
    const updates: TableUpdate[] = [
      { action: 'add-schema', schema: wider },
      { action: 'set-current-schema', schemaId: -1 },
    ]
    const once = applyUpdates(newTable(), updates, nowMs)
    expect(once).toMatchObject({ currentSchemaId: 1, lastColumnId: 3 })
    const back = applyUpdates(once, [{ action: 'set-current-schema', schemaId: 0 }], nowMs)
    const again = applyUpdates(back, updates, nowMs)
    expect(again.schemas).toHaveLength(2)
    expect(again.currentSchemaId).toBe(1)
  })

  it('refuse -1 where nothing was added, unknown ids, and removal of what is in use', () => {
    expect(attempt({ action: 'set-current-schema', schemaId: -1 })).toThrow(
      'Cannot set last added schema: no schema has been added',
    )
    expect(attempt({ action: 'set-default-spec', specId: 4 })).toThrow(/unknown spec: 4/)
    expect(attempt({ action: 'remove-schemas', schemaIds: [0] })).toThrow(
      'Cannot remove the current schema',
    )
    expect(attempt({ action: 'remove-partition-specs', specIds: [0] })).toThrow(
      'Cannot remove the default partition spec',
    )
    const evolved = applyUpdates(
      withSnapshots(1),
      [
        { action: 'add-schema', schema: wider },
        { action: 'set-current-schema', schemaId: -1 },
      ],
      nowMs,
    )
    expect(() =>
      applyUpdates(evolved, [{ action: 'remove-schemas', schemaIds: [0] }], nowMs),
    ).toThrow('Cannot remove schema 0: snapshot 1 uses it')
  })

  it('refuse a later format by name, and one that is gone', () => {
    expect(attempt({ action: 'upgrade-format-version', formatVersion: 3 })).toThrow(
      'Cannot upgrade table to unsupported format version: v3 (supported: v2)',
    )
    expect(attempt({ action: 'upgrade-format-version', formatVersion: 1 })).toThrow(
      'Cannot downgrade v2 table to v1',
    )
    const later = { ...newTable(), formatVersion: 3 }
    expect(() =>
      applyUpdates(later, [{ action: 'set-properties', updates: { a: 'b' } }], nowMs),
    ).toThrow('Tables of format v3 can be read but not changed here (supported: v1, v2)')
  })

  it('know a spec again by its fields, whatever their ids', () => {
    const byDay = { sourceId: 2, fieldId: 1005, name: 'at_day', transform: 'day' }
    const updates = (fieldId: number): TableUpdate[] => [
      { action: 'add-spec', spec: { specId: 0, fields: [{ ...byDay, fieldId }] } },
    ]
    const once = applyUpdates(newTable(), updates(1005), nowMs)
    expect(applyUpdates(once, updates(1009), nowMs).partitionSpecs).toHaveLength(2)
    const first = newTable({ 'format-version': '1' })
    const counted = applyUpdates(applyUpdates(first, updates(-1), nowMs), updates(-1), nowMs)
    expect(counted.partitionSpecs[1]?.fields[0]?.fieldId).toBe(1000)
    expect(() => applyUpdates(first, updates(1005), nowMs)).toThrow(
      'Spec does not use sequential IDs that are required in v1',
    )
  })

  it('give partition fields ids that were never used, and the old one for the old field', () => {
    const byDay = { sourceId: 2, fieldId: -1, name: 'at_day', transform: 'day' }
    const byHour = { sourceId: 2, fieldId: -1, name: 'at_hour', transform: 'hour' }
    const first = applyUpdates(
      newTable(),
      [
        { action: 'add-spec', spec: { specId: 0, fields: [byDay] } },
        { action: 'set-default-spec', specId: -1 },
      ],
      nowMs,
    )
    expect(first).toMatchObject({ defaultSpecId: 1, lastPartitionId: 1000 })
    const second = applyUpdates(
      first,
      [{ action: 'add-spec', spec: { specId: 0, fields: [byHour, byDay] } }],
      nowMs,
    )
    expect(second.partitionSpecs[2]?.fields.map((field) => field.fieldId)).toEqual([1001, 1000])
  })
})

describe('logs and no-ops', () => {
  it('gives the base itself where nothing changes', () => {
    const base = withSnapshots(1)
    const updates: TableUpdate[] = [
      setMain(1),
      { action: 'set-location', location: base.location },
      { action: 'remove-properties', removals: ['none'] },
      { action: 'set-properties', updates: {} },
    ]
    expect(applyUpdates(base, updates, nowMs + 9)).toBe(base)
  })

  it('keeps as many previous metadata files as the table wants', () => {
    let metadata = newTable({ 'write.metadata.previous-versions-max': '2' })
    for (let i = 0; i < 4; i++) {
      const updates = { i: String(i) }
      metadata = applyUpdates(metadata, [{ action: 'set-properties', updates }], nowMs, `f${i}`)
    }
    expect(metadata.metadataLog.map((entry) => entry.metadataFile)).toEqual(['f2', 'f3'])
  })

  it('leaves its base as it was', () => {
    const base = withSnapshots(2)
    const copy = structuredClone(base)
    applyUpdates(base, [...append(3), { action: 'remove-snapshots', snapshotIds: [1n] }], nowMs)
    expect(base).toEqual(copy)
  })
})

describe('requirements', () => {
  const metadata = withSnapshots(2)
  it.each([
    [{ type: 'assert-create' }, 'table already exists'],
    [{ type: 'assert-table-uuid', uuid: 'other' }, 'UUID does not match: expected u-1 != other'],
    [
      { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: 1n },
      'branch main has changed: expected id 1 != 2',
    ],
    [
      { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: null },
      'branch main was created concurrently',
    ],
    [
      { type: 'assert-ref-snapshot-id', ref: 'gone', snapshotId: 1n },
      'branch or tag gone is missing, expected 1',
    ],
    [
      { type: 'assert-last-assigned-field-id', lastAssignedFieldId: 1 },
      'last assigned field id changed: expected id 1 != 2',
    ],
    [
      { type: 'assert-current-schema-id', currentSchemaId: 5 },
      'current schema changed: expected id 5 != 0',
    ],
    [
      { type: 'assert-last-assigned-partition-id', lastAssignedPartitionId: 1 },
      'last assigned partition id changed: expected id 1 != 999',
    ],
    [
      { type: 'assert-default-spec-id', defaultSpecId: 5 },
      'default partition spec changed: expected id 5 != 0',
    ],
    [
      { type: 'assert-default-sort-order-id', defaultSortOrderId: 5 },
      'default sort order changed: expected id 5 != 0',
    ],
  ] as const)('%o fails as the reference words it', (requirement, message) => {
    expect(() => checkRequirements([requirement], metadata)).toThrow(
      `Requirement failed: ${message}`,
    )
  })

  it('hold where they hold', () => {
    checkRequirements(
      [
        { type: 'assert-table-uuid', uuid: 'U-1' },
        { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: 2n },
        { type: 'assert-ref-snapshot-id', ref: 'other', snapshotId: null },
        { type: 'assert-last-assigned-field-id', lastAssignedFieldId: 2 },
        { type: 'assert-property', key: 'none', value: null },
      ],
      metadata,
    )
    checkRequirements([{ type: 'assert-create' }], null)
  })
})
