/**
 * Manifests as bytes: reads and writes format v1 and v2 (Iceberg spec, "Manifests").
 *
 * Sequence numbers stay as the file has them: null = inherited from the manifest list, because the same bytes
 * may be committed under another sequence number when a catalog rebases the append. Whoever makes live files
 * of entries applies the inheritance.
 */
import { PotokError } from '../../kernel/errors.ts'
import type {
  DataFile,
  FileContent,
  ManifestEntry,
  ManifestFile,
  PartitionValue,
} from '../spec/data-file.ts'
import type { IcebergType, PartitionSpec, Schema } from '../spec/table-metadata.ts'
import { decodeAvroContainer, encodeAvroContainer } from './avro-container.ts'
import { avroName, readerTypeOf } from './avro-types.ts'
import { decimalBytes, decimalPrecisionScale, manifestSchemaText } from './manifest-avro.ts'
import { stringifyJson } from './lossless-json.ts'
import { encodePartitionFields, encodeSchema } from './schema-json.ts'
import { decodeUnscaled } from './single-value.ts'

const statuses = ['existing', 'added', 'deleted'] as const
const contents: readonly FileContent[] = ['data', 'position-deletes', 'equality-deletes']

type KeyValue<V> = { key: number; value: V }

/** A data file as Avro has it; the optional ones are null or, from foreign writers, missing. */
type WireDataFile = {
  content?: number
  file_path: string
  file_format: string
  partition: Record<string, unknown>
  record_count: number
  file_size_in_bytes: number
  block_size_in_bytes?: number
  column_sizes?: KeyValue<number>[] | null
  value_counts?: KeyValue<number>[] | null
  null_value_counts?: KeyValue<number>[] | null
  nan_value_counts?: KeyValue<number>[] | null
  lower_bounds?: KeyValue<Uint8Array>[] | null
  upper_bounds?: KeyValue<Uint8Array>[] | null
  key_metadata?: Uint8Array | null
  split_offsets?: number[] | null
  equality_ids?: number[] | null
  sort_order_id?: number | null
  referenced_data_file?: string | null
}

type WireEntry = {
  status: number
  snapshot_id?: bigint | null
  sequence_number?: number | null
  file_sequence_number?: number | null
  data_file: WireDataFile
}

/** What the deprecated `block_size_in_bytes` says in every file of the Java client. */
const blockSizeBytes = 64 * 1024 * 1024

export async function encodeManifest(options: {
  readonly formatVersion: number
  readonly schema: Schema
  readonly spec: PartitionSpec
  readonly partitionTypes: readonly IcebergType[]
  readonly content: ManifestFile['content']
  readonly entries: readonly ManifestEntry[]
}): Promise<Buffer> {
  const { formatVersion, schema, spec, partitionTypes: types } = options
  const isV1 = formatVersion === 1
  const schemaText = manifestSchemaText(spec, types, formatVersion)
  const partitionNames = spec.fields.map((field) => avroName(field.name))
  return encodeAvroContainer({
    schemaText,
    type: readerTypeOf(schemaText),
    metadata: {
      schema: stringifyJson(encodeSchema(schema)),
      'schema-id': String(schema.schemaId),
      'partition-spec': stringifyJson(encodePartitionFields(spec.fields)),
      'partition-spec-id': String(spec.specId),
      'format-version': String(formatVersion),
      ...(isV1 ? {} : { content: options.content }),
    },
    records: options.entries.map((entry) => toWire(entry, partitionNames, types)),
  })
}

export async function decodeManifest(
  bytes: Uint8Array,
  manifest: ManifestFile,
): Promise<ManifestEntry[]> {
  const container = await decodeAvroContainer(bytes, manifest.manifestPath)
  const partition = partitionReader(container.schema)
  return (container.records as WireEntry[]).map((record) => fromWire(record, manifest, partition))
}

function toWire(
  entry: ManifestEntry,
  partitionNames: readonly string[],
  types: readonly IcebergType[],
): WireEntry {
  const file = entry.dataFile
  const partition: Record<string, unknown> = {}
  for (let i = 0; i < partitionNames.length; i++) {
    partition[partitionNames[i] as string] = partitionToWire(
      types[i] as IcebergType,
      file.partition[i] ?? null,
    )
  }
  return {
    status: statuses.indexOf(entry.status),
    snapshot_id: entry.snapshotId,
    sequence_number: entry.sequenceNumber,
    file_sequence_number: entry.fileSequenceNumber,
    data_file: {
      content: contents.indexOf(file.content),
      file_path: file.filePath,
      file_format: file.fileFormat,
      partition,
      record_count: file.recordCount,
      file_size_in_bytes: file.fileSizeBytes,
      block_size_in_bytes: blockSizeBytes,
      column_sizes: pairs(file.columnSizes),
      value_counts: pairs(file.valueCounts),
      null_value_counts: pairs(file.nullValueCounts),
      nan_value_counts: pairs(file.nanValueCounts),
      lower_bounds: bytePairs(file.lowerBounds),
      upper_bounds: bytePairs(file.upperBounds),
      key_metadata: file.keyMetadata === undefined ? null : asBuffer(file.keyMetadata),
      split_offsets: file.splitOffsets === undefined ? null : [...file.splitOffsets],
      equality_ids: file.equalityIds === undefined ? null : [...file.equalityIds],
      sort_order_id: file.sortOrderId ?? null,
      referenced_data_file: file.referencedDataFile ?? null,
    },
  }
}

function fromWire(
  record: WireEntry,
  manifest: ManifestFile,
  partition: (record: Record<string, unknown>) => PartitionValue[],
): ManifestEntry {
  const file = record.data_file
  const status = statuses[record.status]
  const content = contents[file.content ?? 0]
  if (status === undefined || content === undefined) {
    throw new PotokError('DataCorrupt', `${manifest.manifestPath} has an unknown status or content`)
  }
  const dataFile: DataFile = {
    content,
    filePath: file.file_path,
    fileFormat: file.file_format,
    specId: manifest.partitionSpecId,
    partition: partition(file.partition),
    recordCount: file.record_count,
    fileSizeBytes: file.file_size_in_bytes,
    ...given('columnSizes', mapOf(file.column_sizes)),
    ...given('valueCounts', mapOf(file.value_counts)),
    ...given('nullValueCounts', mapOf(file.null_value_counts)),
    ...given('nanValueCounts', mapOf(file.nan_value_counts)),
    ...given('lowerBounds', mapOf(file.lower_bounds)),
    ...given('upperBounds', mapOf(file.upper_bounds)),
    ...given('keyMetadata', file.key_metadata),
    ...given('splitOffsets', file.split_offsets),
    ...given('equalityIds', file.equality_ids),
    ...given('sortOrderId', file.sort_order_id),
    ...given('referencedDataFile', file.referenced_data_file),
  }
  return {
    status,
    snapshotId: record.snapshot_id ?? manifest.addedSnapshotId,
    // Format v1 has no such fields: everything in it is as old as can be.
    sequenceNumber: record.sequence_number === undefined ? 0 : record.sequence_number,
    fileSequenceNumber:
      record.file_sequence_number === undefined
        ? (record.sequence_number ?? (record.sequence_number === undefined ? 0 : null))
        : record.file_sequence_number,
    dataFile,
  }
}

/** Values of the partition struct in the file's order, which is the spec's: specs never change. */
function partitionReader(schema: unknown): (record: Record<string, unknown>) => PartitionValue[] {
  const fields = partitionFieldsOf(schema)
  const decimals = fields.map((field) => isDecimal(field.type))
  if (!decimals.includes(true)) return (record) => Object.values(record) as PartitionValue[]
  return (record) =>
    Object.values(record).map((value, i) =>
      decimals[i] && value instanceof Uint8Array
        ? decodeUnscaled(value)
        : (value as PartitionValue),
    )
}

type WireField = { name: string; type: unknown; 'field-id'?: number }

function partitionFieldsOf(schema: unknown): readonly WireField[] {
  const fieldsOf = (node: unknown) => (node as { fields?: WireField[] } | undefined)?.fields ?? []
  const dataFile = fieldsOf(schema).find((field) => field['field-id'] === 2)
  const partition = fieldsOf(dataFile?.type).find((field) => field['field-id'] === 102)
  return fieldsOf(partition?.type)
}

function isDecimal(type: unknown): boolean {
  if (Array.isArray(type)) return type.some(isDecimal)
  if (typeof type === 'string') return /^decimal_\d+_\d+$/.test(type)
  return (type as { logicalType?: string }).logicalType === 'decimal'
}

function partitionToWire(type: IcebergType, value: PartitionValue): unknown {
  if (value === null) return null
  if (value instanceof Uint8Array) return asBuffer(value)
  if (typeof type !== 'string') return value
  const decimal = decimalPrecisionScale(type)
  if (decimal !== null) return fixedOf(BigInt(value), decimalBytes(decimal.precision))
  // The 64-bit types: avsc takes them as bigint here.
  return type === 'long' || type.startsWith('time') ? BigInt(value) : value
}

function fixedOf(value: bigint, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  let rest = BigInt.asUintN(size * 8, value)
  for (let i = size - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}

function given<K extends string, V>(key: K, value: V | null | undefined): { [P in K]?: V } {
  return (value === null || value === undefined ? {} : { [key]: value }) as { [P in K]?: V }
}

function pairs<V>(map: ReadonlyMap<number, V> | undefined): KeyValue<V>[] | null {
  return map === undefined ? null : Array.from(map, ([key, value]) => ({ key, value }))
}

function bytePairs(map: ReadonlyMap<number, Uint8Array> | undefined): KeyValue<Buffer>[] | null {
  if (map === undefined) return null
  return Array.from(map, ([key, value]) => ({ key, value: asBuffer(value) }))
}

function mapOf<V>(list: readonly KeyValue<V>[] | null | undefined): Map<number, V> | null {
  if (list === null || list === undefined) return null
  const map = new Map<number, V>()
  for (const { key, value } of list) map.set(key, value)
  return map
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
