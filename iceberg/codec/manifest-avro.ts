/**
 * Avro schemas of manifests and manifest lists (Iceberg spec, "Manifests", "Manifest Lists"), formats v1 and
 * v2, with the field ids by which every engine resolves them. Partition values have the Avro types of the spec's
 * Appendix A.
 */
import { PotokError } from '../../kernel/errors.ts'
import type { IcebergType, PartitionSpec } from '../spec/table-metadata.ts'
import { avroName } from './avro-types.ts'

function required(id: number, name: string, type: unknown): object {
  return { name, type, 'field-id': id }
}

function optional(id: number, name: string, type: unknown): object {
  return { name, type: ['null', type], default: null, 'field-id': id }
}

/** Maps with int keys are arrays of records in Avro, whose maps know string keys only. */
function intMap(keyId: number, valueId: number, value: string): object {
  return {
    type: 'array',
    items: {
      type: 'record',
      name: `k${keyId}_v${valueId}`,
      fields: [required(keyId, 'key', 'int'), required(valueId, 'value', value)],
    },
    logicalType: 'map',
  }
}

export function manifestSchemaText(
  spec: PartitionSpec,
  partitionTypes: readonly IcebergType[],
  formatVersion: number,
): string {
  const isV1 = formatVersion === 1
  const named = new Set<string>()
  const partition = {
    type: 'record',
    name: 'r102',
    fields: spec.fields.map((field, i) =>
      optional(
        field.fieldId,
        avroName(field.name),
        avroTypeOf(partitionTypes[i] as IcebergType, named),
      ),
    ),
  }
  return JSON.stringify({
    type: 'record',
    name: 'manifest_entry',
    fields: [
      required(0, 'status', 'int'),
      ...(isV1
        ? [required(1, 'snapshot_id', 'long')]
        : [
            optional(1, 'snapshot_id', 'long'),
            optional(3, 'sequence_number', 'long'),
            optional(4, 'file_sequence_number', 'long'),
          ]),
      required(2, 'data_file', {
        type: 'record',
        name: 'r2',
        fields: [
          ...(isV1 ? [] : [required(134, 'content', 'int')]),
          required(100, 'file_path', 'string'),
          required(101, 'file_format', 'string'),
          required(102, 'partition', partition),
          required(103, 'record_count', 'long'),
          required(104, 'file_size_in_bytes', 'long'),
          // Deprecated, and still required by v1.
          ...(isV1 ? [required(105, 'block_size_in_bytes', 'long')] : []),
          optional(108, 'column_sizes', intMap(117, 118, 'long')),
          optional(109, 'value_counts', intMap(119, 120, 'long')),
          optional(110, 'null_value_counts', intMap(121, 122, 'long')),
          optional(137, 'nan_value_counts', intMap(138, 139, 'long')),
          optional(125, 'lower_bounds', intMap(126, 127, 'bytes')),
          optional(128, 'upper_bounds', intMap(129, 130, 'bytes')),
          optional(131, 'key_metadata', 'bytes'),
          optional(132, 'split_offsets', { type: 'array', items: 'long', 'element-id': 133 }),
          ...(isV1
            ? []
            : [optional(135, 'equality_ids', { type: 'array', items: 'int', 'element-id': 136 })]),
          optional(140, 'sort_order_id', 'int'),
          optional(143, 'referenced_data_file', 'string'),
        ],
      }),
    ],
  })
}

const countFields = [
  required(504, 'added_files_count', 'int'),
  required(505, 'existing_files_count', 'int'),
  required(506, 'deleted_files_count', 'int'),
  required(512, 'added_rows_count', 'long'),
  required(513, 'existing_rows_count', 'long'),
  required(514, 'deleted_rows_count', 'long'),
]

function manifestListSchema(versionFields: readonly object[]): string {
  return JSON.stringify({
    type: 'record',
    name: 'manifest_file',
    fields: [
      required(500, 'manifest_path', 'string'),
      required(501, 'manifest_length', 'long'),
      required(502, 'partition_spec_id', 'int'),
      ...versionFields,
      required(503, 'added_snapshot_id', 'long'),
      ...countFields,
      optional(507, 'partitions', {
        type: 'array',
        items: {
          type: 'record',
          name: 'r508',
          fields: [
            required(509, 'contains_null', 'boolean'),
            optional(518, 'contains_nan', 'boolean'),
            optional(510, 'lower_bound', 'bytes'),
            optional(511, 'upper_bound', 'bytes'),
          ],
        },
        'element-id': 508,
      }),
      optional(519, 'key_metadata', 'bytes'),
    ],
  })
}

const listSchemaV1 = manifestListSchema([])
const listSchemaV2 = manifestListSchema([
  required(517, 'content', 'int'),
  required(515, 'sequence_number', 'long'),
  required(516, 'min_sequence_number', 'long'),
])

export function manifestListSchemaText(formatVersion: number): string {
  return formatVersion === 1 ? listSchemaV1 : listSchemaV2
}

/** Bytes of a fixed that holds `precision` decimal digits. */
export function decimalBytes(precision: number): number {
  let bytes = 1
  while (2n ** BigInt(8 * bytes - 1) <= 10n ** BigInt(precision) - 1n) bytes++
  return bytes
}

export function decimalPrecisionScale(type: string): { precision: number; scale: number } | null {
  const match = /^decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)$/.exec(type)
  return match === null ? null : { precision: Number(match[1]), scale: Number(match[2]) }
}

/** A named type is defined where it first stands and referred to by name after that. */
function avroTypeOf(type: IcebergType, named: Set<string>): unknown {
  const once = (name: string, definition: object): unknown => {
    if (named.has(name)) return name
    named.add(name)
    return { type: 'fixed', name, ...definition }
  }
  switch (type) {
    case 'boolean':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
    case 'string':
      return type
    case 'date':
      return { type: 'int', logicalType: 'date' }
    case 'time':
      return { type: 'long', logicalType: 'time-micros' }
    case 'timestamp':
    case 'timestamptz':
      return {
        type: 'long',
        logicalType: 'timestamp-micros',
        'adjust-to-utc': type === 'timestamptz',
      }
    case 'timestamp_ns':
    case 'timestamptz_ns':
      return {
        type: 'long',
        logicalType: 'timestamp-nanos',
        'adjust-to-utc': type === 'timestamptz_ns',
      }
    case 'uuid':
      return once('uuid_fixed', { size: 16, logicalType: 'uuid' })
    case 'binary':
      return 'bytes'
  }
  if (typeof type === 'string') {
    const decimal = decimalPrecisionScale(type)
    if (decimal !== null) {
      const { precision, scale } = decimal
      return once(`decimal_${precision}_${scale}`, {
        size: decimalBytes(precision),
        logicalType: 'decimal',
        precision,
        scale,
      })
    }
    const fixed = /^fixed\[(\d+)\]$/.exec(type)
    if (fixed !== null) return once(`fixed_${fixed[1]}`, { size: Number(fixed[1]) })
  }
  throw new PotokError('Unsupported', `no partition value has the type ${JSON.stringify(type)}`)
}
