import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyUpdates } from '../spec/apply-updates.ts'
import { newTableMetadata } from '../spec/new-table.ts'
import type { Snapshot, TableMetadata } from '../spec/table-metadata.ts'
import type { TableRequirement, TableUpdate } from '../spec/table-updates.ts'
import { parseJson, stringifyJson } from './lossless-json.ts'
import { tableMetadataBytes } from './metadata-bytes.ts'
import {
  encodeMetadataFile,
  packMetadata,
  encodeTableMetadata,
  metadataFileName,
  metadataVersionOf,
  readTableMetadata,
} from './metadata-json.ts'
import { decodeRequirement, decodeUpdate, encodeRequirement, encodeUpdate } from './updates-json.ts'

const location = 'file:///w/t/metadata/00000-x.metadata.json'

function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(stringifyJson(value))
}

const snapshotId = 8_999_999_999_999_999_999n
const rich: TableMetadata = applyUpdates(
  newTableMetadata(
    {
      uuid: '9c12d441-03fe-4693-9a96-a0705ddf69c1',
      location: 'file:///w/t',
      schema: {
        type: 'struct',
        schemaId: 0,
        identifierFieldIds: [1],
        fields: [
          { id: 1, name: 'id', required: true, type: 'long', doc: 'ид' },
          {
            id: 2,
            name: 'deep',
            required: false,
            type: {
              type: 'list',
              elementId: 3,
              elementRequired: false,
              element: {
                type: 'map',
                keyId: 4,
                key: 'int',
                valueId: 5,
                value: {
                  type: 'struct',
                  fields: [{ id: 6, name: 'd', required: true, type: 'decimal(9, 2)' }],
                },
                valueRequired: true,
              },
            },
          },
        ],
      },
      partitionSpec: {
        specId: 0,
        fields: [{ sourceId: 1, fieldId: 1000, name: 'id_bucket', transform: 'bucket[16]' }],
      },
      sortOrder: {
        orderId: 1,
        fields: [
          { sourceId: 1, transform: 'identity', direction: 'desc', nullOrder: 'nulls-first' },
        ],
      },
      properties: { a: 'b' },
    },
    5,
  ),
  [
    {
      action: 'add-snapshot',
      snapshot: {
        snapshotId,
        sequenceNumber: 1,
        timestampMs: 6,
        manifestList: 'file:///w/t/metadata/l.avro',
        summary: { operation: 'append', 'added-records': '9007199254740993' },
        schemaId: 0,
      },
    },
    { action: 'set-snapshot-ref', refName: 'main', type: 'branch', snapshotId, maxRefAgeMs: 7 },
    {
      action: 'set-statistics',
      statistics: { 'snapshot-id': snapshotId, 'statistics-path': 'file:///w/t/s' },
    },
  ],
  6,
  'file:///w/t/metadata/old.metadata.json',
)

describe('table metadata', () => {
  it('is the same after being written and read, gzipped or not', async () => {
    for (const name of ['00001-x.metadata.json', '00001-x.gz.metadata.json']) {
      const bytes = encodeMetadataFile(encodeTableMetadata(rich), name)
      expect(readTableMetadata(bytes, name)).toEqual(rich)
      const packed = await packMetadata(tableMetadataBytes(rich), name)
      expect(readTableMetadata(packed, name)).toEqual(rich)
    }
  })

  it('is the same in bytes as in objects, whatever was added behind and removed in front', () => {
    const plain = (metadata: TableMetadata) =>
      parseJson(stringifyJson(encodeTableMetadata(metadata)))
    const inBytes = (metadata: TableMetadata) =>
      parseJson(new TextDecoder().decode(tableMetadataBytes(metadata)))
    expect(inBytes(rich)).toEqual(plain(rich))
    const change = fc.record({ add: fc.nat(2_000), removed: fc.double({ min: 0, max: 1 }) })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.nat(1_000), (changes, step) => {
        let metadata = rich
        let id = 1n
        for (const { add, removed } of changes) {
          const added = Array.from({ length: add }, () => {
            id += BigInt(step) + 1n
            return { ...(rich.snapshots[0] as Snapshot), snapshotId: id }
          })
          const snapshots = [...metadata.snapshots, ...added]
          const kept = snapshots.slice(Math.floor(removed * snapshots.length))
          const log = kept.map(({ snapshotId: one }) => ({ snapshotId: one, timestampMs: 1 }))
          metadata = { ...metadata, snapshots: kept, snapshotLog: log }
          expect(inBytes(metadata)).toEqual(plain(metadata))
          expect(inBytes({ ...metadata })).toEqual(plain(metadata))
        }
      }),
      { numRuns: 10 },
    )
  })

  it('keeps the fields of a newer format that it does not know', () => {
    const wire = parseJson(stringifyJson(encodeTableMetadata(rich))) as Record<string, unknown>
    wire['format-version'] = 3
    wire['next-row-id'] = 17
    ;(wire['snapshots'] as Record<string, unknown>[])[0]!['first-row-id'] = 3
    const metadata = readTableMetadata(bytesOf(wire), location)
    expect(parseJson(stringifyJson(encodeTableMetadata(metadata)))).toEqual(wire)
    expect(() => applyUpdates(metadata, [], 7)).toThrow(/v3 can be read but not changed/)
  })

  it('reads v1, where one schema and one spec stand alone and ids are missing', () => {
    const metadata = readTableMetadata(
      gzipSync(
        bytesOf({
          'format-version': 1,
          location: 'file:///w/t',
          'last-updated-ms': 1,
          'last-column-id': 1,
          schema: { type: 'struct', fields: [{ id: 1, name: 'x', required: false, type: 'int' }] },
          'partition-spec': [{ 'source-id': 1, name: 'x', transform: 'identity' }],
          'current-snapshot-id': 3_051_729_675_574_597_004n,
          snapshots: [
            {
              'snapshot-id': 3_051_729_675_574_597_004n,
              'timestamp-ms': 1,
              'manifest-list': 'file:///w/t/l.avro',
            },
          ],
        }),
      ),
      location,
    )
    expect(metadata.schemas[0]?.schemaId).toBe(0)
    expect(metadata.partitionSpecs).toEqual([
      { specId: 0, fields: [{ sourceId: 1, fieldId: 1000, name: 'x', transform: 'identity' }] },
    ])
    expect(metadata).toMatchObject({ lastPartitionId: 1000, lastSequenceNumber: 0 })
    expect(metadata.refs).toEqual({
      main: { snapshotId: 3_051_729_675_574_597_004n, type: 'branch' },
    })
  })

  it('writes null as -1 for the current snapshot, which old readers need', () => {
    expect(encodeTableMetadata({ ...rich, currentSnapshotId: null })['current-snapshot-id']).toBe(
      -1,
    )
  })

  it.each([
    ['no JSON', new TextEncoder().encode('{"format-version": 2')],
    ['no UTF-8', Uint8Array.of(0xff, 0xfe)],
    ['another thing', bytesOf({ hello: 1 })],
    ['no location', bytesOf({ ...encodeTableMetadata(rich), location: undefined })],
    [
      'a type that is none',
      bytesOf({
        ...encodeTableMetadata(rich),
        schemas: [
          { type: 'struct', fields: [{ id: 1, name: 'x', required: true, type: 'longer' }] },
        ],
      }),
    ],
  ])('is DataCorrupt when the file holds %s', (_what, bytes) => {
    expect(() => readTableMetadata(bytes, location)).toThrow(/can not be understood/)
  })

  it('refuses a format version that nobody knows', () => {
    const wire = { ...encodeTableMetadata(rich), 'format-version': 9 }
    expect(() => readTableMetadata(bytesOf(wire), location)).toThrow(/unsupported version 9/)
  })

  it('numbers its files', () => {
    expect(metadataFileName(7, 'u')).toBe('00007-u.metadata.json')
    expect(metadataVersionOf('file:///w/t/metadata/00012-a-b.metadata.json')).toBe(12)
    expect(metadataVersionOf('file:///w/t/metadata/v3.metadata.json')).toBe(-1)
  })
})

describe('requirements and updates', () => {
  const spec = rich.partitionSpecs[0]!
  const order = rich.sortOrders[0]!
  const updates: TableUpdate[] = [
    { action: 'assign-uuid', uuid: 'u' },
    { action: 'upgrade-format-version', formatVersion: 2 },
    { action: 'add-schema', schema: rich.schemas[0]!, lastColumnId: 6 },
    { action: 'set-current-schema', schemaId: -1 },
    { action: 'add-spec', spec },
    { action: 'add-spec', spec: { specId: 0, fields: [{ ...spec.fields[0]!, fieldId: -1 }] } },
    { action: 'set-default-spec', specId: -1 },
    { action: 'add-sort-order', sortOrder: order },
    { action: 'set-default-sort-order', sortOrderId: -1 },
    { action: 'add-snapshot', snapshot: rich.snapshots[0]! },
    { action: 'set-snapshot-ref', refName: 'r', type: 'tag', snapshotId, maxRefAgeMs: 1 },
    { action: 'remove-snapshots', snapshotIds: [1n, snapshotId] },
    { action: 'remove-snapshot-ref', refName: 'r' },
    { action: 'set-location', location: 'file:///w/t' },
    { action: 'set-properties', updates: { a: 'b' } },
    { action: 'remove-properties', removals: ['a'] },
    {
      action: 'set-statistics',
      statistics: {
        'snapshot-id': snapshotId,
        'statistics-path': 'p',
        'file-size-in-bytes': 9,
        'file-footer-size-in-bytes': 4,
        'blob-metadata': [
          {
            type: 'apache-datasketches-theta-v1',
            'snapshot-id': snapshotId,
            'sequence-number': 1,
            fields: [1],
          },
        ],
      },
    },
    { action: 'remove-statistics', snapshotId },
    {
      action: 'set-partition-statistics',
      partitionStatistics: { 'snapshot-id': 5, 'statistics-path': 'p', 'file-size-in-bytes': 1 },
    },
    { action: 'remove-partition-statistics', snapshotId },
    { action: 'remove-partition-specs', specIds: [1] },
    { action: 'remove-schemas', schemaIds: [1, 2] },
  ]
  const requirements: TableRequirement[] = [
    { type: 'assert-create' },
    { type: 'assert-table-uuid', uuid: 'u' },
    { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId },
    { type: 'assert-ref-snapshot-id', ref: 'main', snapshotId: null },
    { type: 'assert-last-assigned-field-id', lastAssignedFieldId: 1 },
    { type: 'assert-current-schema-id', currentSchemaId: 1 },
    { type: 'assert-last-assigned-partition-id', lastAssignedPartitionId: 1 },
    { type: 'assert-default-spec-id', defaultSpecId: 1 },
    { type: 'assert-default-sort-order-id', defaultSortOrderId: 1 },
    { type: 'assert-property', key: 'k', value: 'v' },
    { type: 'assert-property', key: 'k', value: null },
  ]

  it.each(updates)('$action is the same after the wire', (update) => {
    expect(decodeUpdate(parseJson(stringifyJson(encodeUpdate(update))))).toEqual(update)
  })

  it.each(requirements)('$type is the same after the wire', (requirement) => {
    const wire = parseJson(stringifyJson(encodeRequirement(requirement)))
    expect(decodeRequirement(wire)).toEqual(requirement)
  })

  it('are refused where they are unknown', () => {
    expect(() => decodeUpdate({ action: 'dance' })).toThrow(/Unknown metadata update/)
    expect(() => decodeUpdate({ action: 'add-encryption-key' })).toThrow(/are of format v3/)
    expect(() => decodeRequirement({ type: 'assert-x' })).toThrow(/Unknown requirement type/)
  })
})
