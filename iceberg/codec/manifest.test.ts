import * as fc from 'fast-check'
import avro from 'avsc'
import { describe, expect, test } from 'vitest'
import type { DataFile, ManifestEntry, ManifestFile, PartitionValue } from '../spec/data-file.ts'
import { partitionTypes } from '../spec/schema.ts'
import type { PartitionSpec, Schema } from '../spec/table-metadata.ts'
import { decodeAvroContainer, encodeAvroContainer } from './avro-container.ts'
import { avroName } from './avro-types.ts'
import { decimalBytes } from './manifest-avro.ts'
import { decodeManifestList, encodeManifestList, unknownCount } from './manifest-list.ts'
import { decodeManifest, encodeManifest } from './manifest.ts'

const maxLong = 2n ** 63n - 1n

/** One column and one identity partition field for every type that can be partitioned by. */
const partitionCases: readonly [string, fc.Arbitrary<PartitionValue>][] = [
  ['boolean', fc.boolean()],
  ['int', fc.integer()],
  ['long', fc.bigInt({ min: -maxLong, max: maxLong })],
  ['float', fc.float({ noNaN: true })],
  ['double', fc.double({ noNaN: true })],
  ['date', fc.integer({ min: -100_000, max: 100_000 })],
  ['time', fc.bigInt({ min: 0n, max: 86_399_999_999n })],
  ['timestamp', fc.bigInt({ min: -maxLong, max: maxLong })],
  ['timestamptz', fc.bigInt({ min: -maxLong, max: maxLong })],
  ['string', fc.string({ unit: 'binary' })],
  ['uuid', fc.uint8Array({ minLength: 16, maxLength: 16 })],
  ['fixed[4]', fc.uint8Array({ minLength: 4, maxLength: 4 })],
  ['binary', fc.uint8Array()],
  ['decimal(9,2)', fc.bigInt({ min: -999_999_999n, max: 999_999_999n })],
  ['decimal(38,2)', fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n })],
]
const schema: Schema = {
  type: 'struct',
  schemaId: 3,
  fields: partitionCases.map(([type], i) => ({ id: i + 1, name: `c ${i}`, required: false, type })),
}
const spec: PartitionSpec = {
  specId: 7,
  fields: partitionCases.map(([type], i) => ({
    sourceId: i + 1,
    fieldId: 1000 + i,
    name: `${i} of ${type}`,
    transform: 'identity',
  })),
}

const manifest: ManifestFile = {
  manifestPath: 'file:///w/t/metadata/m0.avro',
  manifestLength: 1,
  partitionSpecId: 7,
  content: 'data',
  sequenceNumber: 5,
  minSequenceNumber: 5,
  addedSnapshotId: maxLong,
  addedFilesCount: 1,
  existingFilesCount: 0,
  deletedFilesCount: 0,
  addedRowsCount: 1,
  existingRowsCount: 0,
  deletedRowsCount: 0,
}

/** avsc refuses the last one, 2^53 − 1. */
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 })
const bytes = fc.uint8Array({ maxLength: 20 })
function mapOf<V>(values: fc.Arbitrary<V>): fc.Arbitrary<Map<number, V>> {
  return fc.array(fc.tuple(fc.nat(), values), { maxLength: 12 }).map((pairs) => new Map(pairs))
}
const dataFiles: fc.Arbitrary<DataFile> = fc.record(
  {
    content: fc.constantFrom('data', 'position-deletes', 'equality-deletes'),
    filePath: fc.string({ unit: 'binary' }),
    fileFormat: fc.constantFrom('PARQUET', 'AVRO', 'ORC'),
    specId: fc.constant(7),
    partition: fc.tuple(...partitionCases.map(([, values]) => fc.option(values))),
    recordCount: count,
    fileSizeBytes: count,
    columnSizes: mapOf(count),
    valueCounts: mapOf(count),
    nullValueCounts: mapOf(count),
    nanValueCounts: mapOf(count),
    lowerBounds: mapOf(bytes),
    upperBounds: mapOf(bytes),
    keyMetadata: bytes,
    splitOffsets: fc.array(count),
    equalityIds: fc.array(fc.nat()),
    sortOrderId: fc.nat(),
  },
  {
    requiredKeys: [
      'content',
      'filePath',
      'fileFormat',
      'specId',
      'partition',
      'recordCount',
      'fileSizeBytes',
    ],
  },
)
const entries: fc.Arbitrary<ManifestEntry> = fc.record({
  status: fc.constantFrom('existing', 'added', 'deleted'),
  snapshotId: fc.bigInt({ min: 1n, max: maxLong }),
  sequenceNumber: fc.option(count),
  fileSequenceNumber: fc.option(count),
  dataFile: dataFiles,
})

function encode(list: readonly ManifestEntry[], formatVersion = 2): Promise<Buffer> {
  const types = partitionTypes([schema], spec)
  return encodeManifest({
    formatVersion,
    schema,
    spec,
    partitionTypes: types,
    content: 'data',
    entries: list,
  })
}

function field(id: number, name: string, type: unknown): object {
  return { name, type, 'field-id': id }
}

/** avsc reads bytes as Buffers. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [k, plain(v)]))
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
}

describe('a manifest', () => {
  test('comes back as it was, with every partition type, 64-bit ids and optional fields', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entries, { maxLength: 5 }), async (list) => {
        expect(plain(await decodeManifest(await encode(list), manifest))).toEqual(plain(list))
      }),
      { numRuns: 150 },
    )
  })

  test('of format v1 has neither sequence numbers nor content, and is as old as can be', async () => {
    const list = fc
      .sample(entries, { numRuns: 20, seed: 3 })
      .filter(({ dataFile }) => dataFile.content === 'data')
      .map((entry) => {
        const { equalityIds: _none, ...dataFile } = entry.dataFile
        return { ...entry, sequenceNumber: 0, fileSequenceNumber: 0, dataFile }
      })
    const encoded = await encode(list, 1)
    const container = await decodeAvroContainer(encoded, 'm')
    expect(container.metadata.get('format-version')).toBe('1')
    expect(container.metadata.has('content')).toBe(false)
    expect(JSON.stringify(container.schema)).not.toMatch(/sequence_number|equality_ids/)
    expect(JSON.stringify(container.schema)).toContain('"block_size_in_bytes"')
    expect(plain(await decodeManifest(encoded, manifest))).toEqual(plain(list))
  })

  test('carries the metadata that the spec demands and fields with ids', async () => {
    const container = await decodeAvroContainer(await encode([]), 'm')
    expect(Object.fromEntries(container.metadata)).toMatchObject({
      'schema-id': '3',
      'partition-spec-id': '7',
      'format-version': '2',
      content: 'data',
    })
    expect(JSON.parse(container.metadata.get('schema') as string)).toMatchObject({
      type: 'struct',
      'schema-id': 3,
      fields: [
        { id: 1, name: 'c 0', required: false, type: 'boolean' },
        ...Array.from({ length: 14 }, () => ({})),
      ],
    })
    expect(JSON.parse(container.metadata.get('partition-spec') as string)[4]).toEqual({
      'source-id': 5,
      'field-id': 1004,
      name: '4 of double',
      transform: 'identity',
    })
    const text = JSON.stringify(container.schema)
    for (const id of [
      0, 1, 2, 3, 4, 100, 101, 102, 103, 104, 108, 109, 110, 125, 128, 134, 137, 140,
    ]) {
      expect(text).toContain(`"field-id":${id}`)
    }
    expect(text).toContain('"logicalType":"map"')
    expect(text).toContain('{"type":"int","logicalType":"date"}')
  })

  test('of the same entries has the same bytes', async () => {
    const list = fc.sample(entries, { numRuns: 3, seed: 1 })
    expect((await encode(list)).equals(await encode(list))).toBe(true)
  })

  test('with thousands of entries spans several blocks', async () => {
    const [entry] = fc.sample(entries, { numRuns: 1, seed: 4 }) as [ManifestEntry]
    const list = Array.from({ length: 3_000 }, (_, i) => ({
      ...entry,
      dataFile: { ...entry.dataFile, filePath: `file:///${i}` },
    }))
    const decoded = await decodeManifest(await encode(list), manifest)
    expect(decoded.map((each) => each.dataFile.filePath)).toEqual(
      list.map((each) => each.dataFile.filePath),
    )
  })

  test('takes an entry that is bigger than a block', async () => {
    const [entry] = fc.sample(entries, { numRuns: 1, seed: 4 }) as [ManifestEntry]
    const bound = new Map([[1, new Uint8Array(700_000).fill(7)]])
    const big = { ...entry, dataFile: { ...entry.dataFile, lowerBounds: bound } }
    const decoded = await decodeManifest(await encode([entry, big, entry]), manifest)
    expect(plain(decoded)).toEqual(plain([entry, big, entry]))
  })

  test('that is cut short, flipped in a bit or no Avro at all is corrupt, never a part of itself', async () => {
    const whole = await encode(fc.sample(entries, { numRuns: 20, seed: 2 }))
    for (const length of [0, 3, 10, 200, whole.length - 17, whole.length - 1]) {
      await expect(decodeManifest(whole.subarray(0, length), manifest)).rejects.toMatchObject({
        kind: 'DataCorrupt',
      })
    }
    const flipped = Buffer.from(whole)
    flipped[whole.length - 5] = (flipped[whole.length - 5] as number) ^ 1
    await expect(decodeManifest(flipped, manifest)).rejects.toThrow(/no readable Avro file/)
  })

  test('without ids of its own takes the snapshot from the list, and age 0 where format v1 wrote it', async () => {
    // The v1 schema: no sequence numbers, no content, other names (one that Avro forbids); resolved by id.
    const v1 = {
      type: 'record',
      name: 'entry',
      fields: [
        field(0, 'state', 'int'),
        field(1, 'snap', ['null', 'long']),
        field(2, 'file', {
          type: 'record',
          name: 'f',
          fields: [
            field(100, 'path', 'string'),
            field(101, 'format', 'string'),
            field(102, 'part', {
              type: 'record',
              name: 'p',
              fields: [field(1000, 'a day!', ['null', { type: 'int', logicalType: 'date' }])],
            }),
            field(103, 'rows', 'long'),
            field(104, 'bytes', 'long'),
            field(105, 'block_size_in_bytes', 'long'),
          ],
        }),
      ],
    }
    const file = { path: 'a', format: 'PARQUET', part: { a_x20day_x21: 12 }, rows: 3, bytes: 4 }
    const wellNamed = JSON.parse(JSON.stringify(v1).replace('a day!', 'a_x20day_x21'))
    const encoded = await encodeAvroContainer({
      schemaText: JSON.stringify(v1),
      type: avro.Type.forSchema(wellNamed, { wrapUnions: false }),
      metadata: {},
      records: [{ state: 1, snap: null, file: { ...file, block_size_in_bytes: 9 } }],
    })
    expect(await decodeManifest(encoded, manifest)).toEqual([
      {
        status: 'added',
        snapshotId: maxLong,
        sequenceNumber: 0,
        fileSequenceNumber: 0,
        dataFile: {
          content: 'data',
          filePath: 'a',
          fileFormat: 'PARQUET',
          specId: 7,
          partition: [12],
          recordCount: 3,
          fileSizeBytes: 4,
        },
      },
    ])
  })
})

describe('a manifest list', () => {
  test('comes back as it was', async () => {
    const manifests: ManifestFile[] = [
      manifest,
      {
        ...manifest,
        content: 'deletes',
        partitions: [
          { containsNull: true },
          {
            containsNull: false,
            containsNan: false,
            lowerBound: Buffer.of(1),
            upperBound: Buffer.of(2),
          },
        ],
        keyMetadata: Buffer.of(9),
      },
    ]
    const encoded = await encodeManifestList({
      formatVersion: 2,
      snapshotId: maxLong,
      parentSnapshotId: null,
      sequenceNumber: 5,
      manifests,
    })
    expect(await decodeManifestList(encoded, 'l')).toEqual(manifests)
    expect(Object.fromEntries((await decodeAvroContainer(encoded, 'l')).metadata)).toEqual({
      'snapshot-id': '9223372036854775807',
      'parent-snapshot-id': 'null',
      'sequence-number': '5',
      'format-version': '2',
    })
  })

  test('is written in format v1 without sequence numbers and content', async () => {
    const encoded = await encodeManifestList({
      formatVersion: 1,
      snapshotId: 5n,
      parentSnapshotId: 4n,
      sequenceNumber: 0,
      manifests: [manifest],
    })
    const container = await decodeAvroContainer(encoded, 'l')
    expect(container.metadata.get('format-version')).toBe('1')
    expect(container.metadata.has('sequence-number')).toBe(false)
    expect(JSON.stringify(container.schema)).not.toMatch(/"sequence_number"|"content"/)
    expect(await decodeManifestList(encoded, 'l')).toEqual([
      { ...manifest, sequenceNumber: 0, minSequenceNumber: 0 },
    ])
  })

  test('of format v1 has age 0, and counts that are unknown rather than 0', async () => {
    const v1 = {
      type: 'record',
      name: 'manifest_file',
      fields: [
        field(500, 'manifest_path', 'string'),
        field(501, 'manifest_length', 'long'),
        field(502, 'partition_spec_id', 'int'),
        field(503, 'added_snapshot_id', 'long'),
        field(504, 'added_data_files_count', ['null', 'int']),
      ],
    }
    const encoded = await encodeAvroContainer({
      schemaText: JSON.stringify(v1),
      type: avro.Type.forSchema(v1 as never, { wrapUnions: false }),
      metadata: {},
      records: [
        {
          manifest_path: 'm',
          manifest_length: 1,
          partition_spec_id: 0,
          added_snapshot_id: 12,
          added_data_files_count: 2,
        },
      ],
    })
    expect(await decodeManifestList(encoded, 'l')).toMatchObject([
      {
        sequenceNumber: 0,
        addedSnapshotId: 12n,
        addedFilesCount: 2,
        existingFilesCount: unknownCount,
        content: 'data',
      },
    ])
  })
})

test('names that Avro does not know are written as the Java client writes them', () => {
  expect(avroName('event_time_day')).toBe('event_time_day')
  expect(avroName('9x')).toBe('_9x')
  expect(avroName('a.b')).toBe('a_x2Eb')
  expect(avroName('a b☃')).toBe('a_x20b_x2603')
})

test('a decimal takes the fewest bytes that hold its digits', () => {
  expect([1, 2, 3, 4, 9, 10, 18, 19, 38].map(decimalBytes)).toEqual([1, 1, 2, 2, 4, 5, 8, 9, 16])
})
